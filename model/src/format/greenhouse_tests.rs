use serde_json::json;

use super::super::fixtures::*;
use super::super::format;

#[test]
fn a_data_change_has_its_fields() {
    let row = format(&row_change(), None, "greenhouse").unwrap();
    assert_eq!(
        row,
        json!({
            "organization_id": "acme", "event_time": "2026-11-21T10:00:00.123456+00:00", "request_id": "r-1",
            "request_type": "jobs#update", "performer_id": "7", "performer_type": "user",
            "performer_meta": {"name": "Ann Samuelson", "email": "ann@example.com", "user_agent": "Mozilla/5.0",
                               "on_behalf_of": {"type": "user", "id": "8", "name": "Bo Lind"}},
            "performer_ip_address": "203.0.113.45", "event_type": "data_change_update",
            "event_target_id": "1", "event_target_type": "job",
            "event_meta": {"salary": [10.50, 11.00], "status": ["open", "closed"]}
        })
    );
}

#[test]
fn each_operation_has_its_event_type() {
    let mut entry = row_change();
    for (operation, event_type) in [
        (json!("insert"), "data_change_create"),
        (json!("update"), "data_change_update"),
        (json!("delete"), "data_change_destroy"),
        (json!("truncate"), "action"),
        (json!(null), "action"),
    ] {
        entry.insert("operation".into(), operation.clone());
        let row = format(&entry, None, "greenhouse").unwrap();
        assert_eq!(row["event_type"], event_type);
        let action = json!({"request_type": "jobs#update", "category": "job_updated"});
        let meta = if event_type == "action" { &action } else { &entry["changes"] };
        assert_eq!(&row["event_meta"], meta, "{operation}");
    }
}

#[test]
fn what_is_not_known_is_null_or_left_out() {
    let row = format(&recorded_event(), None, "greenhouse").unwrap();
    assert_eq!(row["performer_meta"], json!({}));
    assert_eq!(row["event_meta"], json!({"category": "user_login_failed"}));
    assert_eq!(row["request_type"], json!(null));
    let mut entry = row_change();
    entry.insert("changes".into(), json!(null));
    assert_eq!(format(&entry, None, "greenhouse").unwrap()["event_meta"], json!({}));
}
