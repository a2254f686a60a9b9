use std::sync::LazyLock;

use super::fixtures::*;
use super::*;
use proptest::prelude::*;
use serde_json::json;

/// The keys of each format but `ocsf`, whose keys depend on the class and on what is known.
const KEYS: [(&str, &[&str]); 4] = [
    (
        "ashby",
        &[
            "id",
            "occurredAt",
            "recordedAt",
            "organizationId",
            "category",
            "operation",
            "actor",
            "effectiveActor",
            "target",
            "targets",
            "before",
            "after",
            "changes",
            "metadata",
            "remoteAddr",
            "accessRoute",
            "userAgent",
            "requestId",
            "databaseUser",
            "applicationName",
            "relation",
            "transactionId",
            "position",
        ],
    ),
    (
        "captivateiq",
        &[
            "id",
            "object",
            "organization_id",
            "organization_name",
            "user_id",
            "user_name",
            "user_email",
            "logged_in_user_id",
            "logged_in_user_name",
            "logged_in_user_email",
            "ip_address",
            "created_at",
            "event_type",
            "version",
            "object_id",
            "object_name",
            "object_type",
            "parent_objects",
        ],
    ),
    (
        "gem",
        &[
            "action",
            "timestamp",
            "team_id",
            "actor",
            "targets",
            "access_route",
            "remote_addr",
            "user_agent",
            "metadata",
            "before",
            "after",
        ],
    ),
    (
        "greenhouse",
        &[
            "organization_id",
            "event_time",
            "request_id",
            "request_type",
            "performer_id",
            "performer_type",
            "performer_meta",
            "performer_ip_address",
            "event_type",
            "event_target_id",
            "event_target_type",
            "event_meta",
        ],
    ),
];

fn sorted<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut keys: Vec<&str> = keys.into_iter().collect();
    keys.sort_unstable();
    keys
}

#[test]
fn an_unknown_format_is_named_with_the_nearest() {
    let error = format(&row_change(), None, "genn").unwrap_err();
    assert_eq!(error.field.as_deref(), Some("format"));
    assert_eq!(error.code, crate::Code::InvalidInput);
    assert_eq!(error.message, "unknown format \"genn\"");
    let hint = "Did you mean \"gem\"? The formats are ashby, captivateiq, gem, greenhouse, ocsf.";
    assert_eq!(error.hint, hint);
    assert!(format(&row_change(), None, "").is_err());
}

#[test]
fn the_record_of_another_format_is_no_record_of_this_one() {
    let record = json!({"id": "9", "action": "job_created", "actor": {"type": "user", "id": 7}});
    let other = imported_and_formatted(&record, "gem", "captivateiq");
    assert_eq!(sorted(map(&other).keys().map(String::as_str)), sorted(KEYS[1].1.iter().copied()));
    assert_eq!(other["id"], json!("019aa5f0-6d42-7000-8000-0123456789ad"));
}

/// The examples of docs/formats.md: under each format's heading the entry above all in that format,
/// and under `ocsf` a recorded event as well.
#[test]
fn the_documented_examples_are_what_comes_out() {
    let text = include_str!("../../../docs/formats.md");
    let examples = |section: &str| -> Vec<Value> {
        let blocks = section.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.map(|json| serde_json::from_str(json).expect("valid JSON")).collect()
    };
    let mut sections = text.split("\n## ");
    let entry = map(&examples(sections.next().expect("an introduction"))[0]);
    assert_eq!(sorted(entry.keys().map(String::as_str)), sorted(row_change().keys().map(String::as_str)));
    let mut seen = Vec::new();
    for section in sections {
        let title = section.lines().next().unwrap_or_default().trim_matches('`');
        let Some(name) = FORMATS.into_iter().find(|name| *name == title) else {
            continue;
        };
        let entries = if name == "ocsf" { vec![&entry, &OFFER_SENT] } else { vec![&entry] };
        let mut rendered: Vec<Value> =
            entries.into_iter().map(|entry| format(entry, None, name).expect("a known format")).collect();
        for event in rendered.iter_mut().filter(|_| name == "ocsf") {
            // Another release of this extension documents the same.
            event["metadata"]["product"]["version"] = json!("0.1.0");
        }
        assert_eq!(rendered, examples(section), "{name}");
        seen.push(name);
    }
    assert_eq!(seen, FORMATS);
}

static OFFER_SENT: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let mut entry = recorded_event();
    entry.extend(map(&json!({
        "id": "019aa5f0-70d4-7000-8000-0123456789ac", "organization_id": "acme", "category": "offer_sent",
        "actor_type": "api_key", "actor_id": "k1", "actor_name": "Careers site",
        "effective_actor_type": "api_key", "effective_actor_id": "k1", "effective_actor_name": "Careers site",
        "target_type": "offer", "target_id": "42",
        "targets": [{"type": "offer", "id": "42", "relation": "primary"},
                    {"type": "job", "id": "1", "relation": "related"}],
        "metadata": {"channel": "email"}, "request_id": "r-2", "application_name": "ats",
        "position": "0001000000000304019aa5f070d4700080000123456789ac"
    })));
    entry
});

proptest! {
    #[test]
    fn any_entry_has_the_documented_keys(entry in any_entry(), source in any_source()) {
        for (name, keys) in KEYS {
            let rendered = format(&entry, None, name).map_err(|e| TestCaseError::fail(e.message))?;
            let found = map(&rendered);
            prop_assert_eq!(sorted(found.keys().map(String::as_str)), sorted(keys.iter().copied()));
        }
        for name in FORMATS {
            let rendered = format(&entry, source.as_ref(), name).map_err(|e| TestCaseError::fail(e.message))?;
            prop_assert!(rendered.is_object());
        }
    }

    #[test]
    fn any_other_format_is_refused(name in ".{0,12}") {
        prop_assume!(!FORMATS.contains(&name.as_str()));
        prop_assert!(format(&Map::new(), None, &name).is_err());
    }
}
