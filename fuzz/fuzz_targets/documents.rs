//! Contexts, records to import and json texts: read or refused, never a panic.
#![no_main]

use audit_log_model::{context::Context, import, json_exact};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = Context::parse(text);
    let _ = json_exact::fits_jsonb(text);
    if let Ok(value) = serde_json::from_str(text) {
        for format in import::FORMATS {
            let _ = import::parse(format, &value);
        }
    }
});
