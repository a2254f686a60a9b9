//! A cursor that decodes is one that encodes to the very same text; nothing panics.
#![no_main]

use audit_log_model::cursor::ListCursor;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(cursor) = ListCursor::decode(text) {
        assert_eq!(cursor.encode(), text);
    }
});
