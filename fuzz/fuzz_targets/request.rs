//! Whatever JSON a listing is asked with, it is a request within the limits or an error with a field.
#![no_main]

use audit_log_model::list_request::ListRequest;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(value) = serde_json::from_str(text) else { return };
    match ListRequest::from_json(&value) {
        Ok(request) => {
            assert!((1..=100).contains(&request.limit));
            for filter in [&request.actor_ids, &request.target_ids, &request.target_types, &request.categories] {
                assert!(filter.len() <= 100 && filter.is_sorted());
            }
            let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
            if let Ok(page) = request.page(now) {
                assert!(page.window.start <= page.window.end || page.after.is_some());
            }
        }
        Err(error) => assert!(error.field.is_some() && !error.hint.is_empty()),
    }
});
