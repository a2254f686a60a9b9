use super::*;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn gem_keeps_actor_targets_route_and_metadata() {
    let record = json!({
        "action": "job_user_access_changed", "team_id": 191796,
        "actor": {"type": "user", "id": 445177, "metadata": {"email": "ann@x", "name": "Ann"}},
        "targets": [
            {"type": "job_user_access", "id": 107404, "metadata": {"access_level_id": 7349}},
            {"type": "job", "id": 313520, "metadata": null}
        ],
        "access_route": ["::1"], "remote_addr": "::1", "user_agent": "Mozilla",
        "metadata": {"previous_access_level_id": 7347}
    });
    let event = parse("gem", &record).unwrap();
    assert_eq!(event.organization.as_deref(), Some("191796"));
    assert_eq!(event.actor.id.as_deref(), Some("445177"));
    assert_eq!(event.actor.email.as_deref(), Some("ann@x"));
    assert_eq!(event.targets[0].relation, Relation::Primary);
    assert_eq!(event.targets[0].metadata, Some(json!({"access_level_id": 7349})));
    assert_eq!(event.targets[1].id.as_deref(), Some("313520"));
    assert_eq!(event.metadata.map(Value::Object), Some(json!({"previous_access_level_id": 7347})));
}

#[test]
fn captivateiq_separates_who_acted_from_on_whose_behalf() {
    let record = json!({
        "id": "550e8400", "object": "audit_log", "organization_id": "org_1", "organization_name": "Acme",
        "user_id": "u1", "user_name": "John", "user_email": "j@x",
        "logged_in_user_id": "a1", "logged_in_user_name": "Jane", "logged_in_user_email": "ja@x",
        "ip_address": "203.0.113.45", "created_at": "2025-02-23T14:30:00Z", "event_type": "user.login",
        "version": 0, "object_id": "o1", "object_name": "Dash", "object_type": "report",
        "parent_objects": [{"type": "team", "id": "t1", "depth": 2}]
    });
    let event = parse("captivateiq", &record).unwrap();
    assert_eq!(event.actor.id.as_deref(), Some("a1"));
    assert_eq!(event.effective_actor.and_then(|e| e.id).as_deref(), Some("u1"));
    assert_eq!(event.targets[0].kind, "report");
    assert_eq!(event.targets[1].relation, Relation::Parent);
    assert_eq!(event.targets[1].metadata, Some(json!({"depth": 2})));
    let source = json!({"id": "550e8400", "object": "audit_log", "organization_name": "Acme", "version": 0});
    assert_eq!(event.metadata.unwrap()["source"], source);
}

#[test]
fn entry_reads_both_spellings() {
    let camel = json!({
        "category": "job_updated", "occurredAt": "2026-01-02T03:04:05Z", "organizationId": "acme",
        "actor": {"type": "user", "id": "1"}, "effectiveActor": {"type": "user", "id": "2"},
        "target": {"type": "job", "id": "7", "name": "Cook"}, "before": {"a": 1}, "after": {"a": 2},
        "operation": "update", "userAgent": "x"
    });
    let flat = json!({
        "category": "job_updated", "occurred_at": "2026-01-02T03:04:05+00:00", "organization_id": "acme",
        "actor_type": "user", "actor_id": "1", "effective_actor_type": "user", "effective_actor_id": "2",
        "target_type": "job", "target_id": "7", "target_name": "Cook", "before": {"a": 1}, "after": {"a": 2},
        "operation": "update", "user_agent": "x"
    });
    assert_eq!(parse("entry", &camel), parse("entry", &flat));
    assert_eq!(parse("entry", &camel).unwrap().targets[0].name.as_deref(), Some("Cook"));
}

#[test]
fn faults_name_their_field() {
    for (format, record, field) in [
        ("gem", json!({"actor": {"type": "user"}}), "action"),
        ("gem", json!({"action": "x"}), "actor"),
        ("gem", json!({"action": "x", "actor": {"type": "user"}, "remote_addr": "nowhere"}), "remote_addr"),
        ("captivateiq", json!({}), "event_type"),
        ("captivateiq", json!({"event_type": "x", "created_at": "soon"}), "created_at"),
        ("entry", json!({"category": "x", "operation": "upsert"}), "operation"),
        ("entry", json!({"category": "x", "metadata": []}), "metadata"),
        ("entry", json!(7), "record"),
        ("genn", json!({}), "format"),
    ] {
        let error = parse(format, &record).unwrap_err();
        assert_eq!(error.field.as_deref(), Some(field), "{format} {record}");
    }
}

proptest! {
    #[test]
    fn no_record_panics(
        format in "entry|gem|captivateiq",
        keys in proptest::collection::vec("action|actor|targets|category|event_type|metadata|object_type|parent_objects|created_at|access_route", 0..6),
        values in proptest::collection::vec("null|1|\"x\"|\\[\\]|\\[1\\]|\\{\\}|\\{\"type\":\"a\"\\}|\\[\\{\"type\":\"a\"\\}\\]", 6),
    ) {
        let mut map = Map::new();
        for (key, value) in keys.into_iter().zip(values) {
            map.insert(key, serde_json::from_str(&value).unwrap_or(Value::Null));
        }
        let _ = parse(&format, &Value::Object(map));
    }
}
