//! Entries for the tests of the formats: as the view `entry` shows them.

use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat, Utc};
use proptest::prelude::*;
use serde_json::{json, Map, Value};

use crate::import::{self, ImportedEvent};

/// The object of a JSON value that is one.
pub fn map(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

/// A changed row, written by somebody on behalf of somebody else.
pub fn row_change() -> Map<String, Value> {
    map(&json!({
        "id": "019aa5f0-6d40-7000-8000-0123456789ab",
        "occurred_at": "2026-11-21T10:00:00.123456+00:00", "recorded_at": "2026-11-21T10:00:00.123456+00:00",
        "organization_id": "acme", "category": "job_updated", "operation": "update",
        "actor_type": "user", "actor_id": "7", "actor_name": "Ann Samuelson", "actor_email": "ann@example.com",
        "effective_actor_type": "user", "effective_actor_id": "8", "effective_actor_name": "Bo Lind",
        "effective_actor_email": null,
        "target_type": "job", "target_id": "1", "target_name": "Cook",
        "targets": [{"type": "job", "id": "1", "name": "Cook", "relation": "primary"},
                    {"type": "team", "id": "3", "relation": "parent", "metadata": {"depth": 1}}],
        "before": {"salary": 10.50, "status": "open"}, "after": {"salary": 11.00, "status": "closed"},
        "changes": {"salary": [10.50, 11.00], "status": ["open", "closed"]},
        "metadata": {"request_type": "jobs#update"},
        "remote_addr": "203.0.113.45", "access_route": ["203.0.113.45", "10.0.0.1"],
        "user_agent": "Mozilla/5.0", "request_id": "r-1", "database_user": "app/writer",
        "application_name": "ats", "relation": "public.job", "transaction_id": "771",
        "position": "0001000000000303019aa5f06d40700080000123456789ab"
    }))
}

/// An event that the application recorded, with as little as an entry has.
pub fn recorded_event() -> Map<String, Value> {
    let mut entry: Map<String, Value> = row_change().into_iter().map(|(key, _)| (key, Value::Null)).collect();
    entry.extend(map(&json!({
        "id": "019aa5f0-6d41-7000-8000-0123456789ac",
        "occurred_at": "2026-11-21T10:00:01+00:00", "recorded_at": "2026-11-21T10:00:01.5+00:00",
        "organization_id": "default", "category": "user_login_failed", "actor_type": "system",
        "effective_actor_type": "system", "target_type": "user",
        "targets": [{"type": "user", "id": null, "relation": "primary"}],
        "database_user": "app", "transaction_id": "772", "position": "0001"
    })));
    entry
}

/// What the view shows of an imported event.
pub fn as_viewed(event: &ImportedEvent) -> Map<String, Value> {
    let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, false);
    let now = "2026-11-21T10:00:00.123456+00:00";
    let effective = event.effective_actor.as_ref().unwrap_or(&event.actor);
    let mut targets = event.targets.clone();
    if targets.is_empty() {
        // The import takes the category's target type.
        targets.push(crate::event::Target::new("report", None, crate::event::Relation::Primary));
    }
    let primary = &targets[0];
    let address = |text: &String| match text.split_once('/') {
        None => text.parse::<IpAddr>().expect("an address").to_string(),
        Some((host, prefix)) => format!("{}/{prefix}", host.parse::<IpAddr>().expect("an address")),
    };
    map(&json!({
        "id": "019aa5f0-6d42-7000-8000-0123456789ad",
        "occurred_at": event.occurred_at.map_or(now.to_string(), instant), "recorded_at": now,
        "organization_id": event.organization.as_deref().unwrap_or("default"),
        "category": event.category, "operation": event.operation,
        "actor_type": event.actor.kind, "actor_id": event.actor.id,
        "actor_name": event.actor.name, "actor_email": event.actor.email,
        "effective_actor_type": effective.kind, "effective_actor_id": effective.id,
        "effective_actor_name": effective.name, "effective_actor_email": effective.email,
        "target_type": primary.kind, "target_id": primary.id, "target_name": primary.name,
        "targets": targets.iter().map(crate::event::Target::to_json).collect::<Value>(),
        "before": event.before, "after": event.after, "changes": changes(event),
        "metadata": event.metadata.clone().filter(|m| !m.is_empty()),
        "remote_addr": event.remote_addr.as_ref().map(address),
        "access_route": event.access_route.as_ref().map(|r| r.iter().map(address).collect::<Vec<_>>()),
        "user_agent": event.user_agent, "request_id": event.request_id,
        "database_user": "importer", "application_name": "psql", "relation": null,
        "transaction_id": "900", "position": "0001ffff"
    }))
}

fn changes(event: &ImportedEvent) -> Value {
    let state =
        |state: &Option<Value>| state.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    let (before, after) = (state(&event.before), state(&event.after));
    let pair = |key: &String| (key.clone(), json!([before.get(key), after.get(key)]));
    super::or_null(before.keys().chain(after.keys()).map(pair).filter(|(_, v)| v[0] != v[1]).collect())
}

/// Imports the record, and formats the entry it becomes.
pub fn imported_and_formatted(record: &Value, import: &str, format: &str) -> Value {
    let event = import::parse(import, record).expect("a record that can be imported");
    let source = json!({"format": import, "record": record});
    super::format(&as_viewed(&event), Some(&source), format).expect("a known format")
}

/// A key that may be missing, be null or have a value.
pub fn maybe(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    prop_oneof![Just(None), Just(Some(Value::Null)), value.prop_map(Some)].boxed()
}

/// An id as a number or as text.
pub fn some_id() -> BoxedStrategy<Value> {
    prop_oneof![(0..1_000_000_u32).prop_map(|n| json!(n)), "[a-z]{1,4}".prop_map(|s| json!(s))].boxed()
}

pub fn some_address() -> BoxedStrategy<Value> {
    proptest::sample::select(vec!["203.0.113.45", "2001:DB8:0::1", "10.0.0.0/8", "10.0.0.1/32", "::1"])
        .prop_map(|s| json!(s))
        .boxed()
}

pub fn some_instant() -> BoxedStrategy<Value> {
    let forms = ["2025-02-23T14:30:00Z", "2025-02-23T14:30:00.123456+01:00", "2025-02-23 14:30", "2025-02"];
    proptest::sample::select(forms.to_vec())
        .prop_filter("an instant", |s| crate::list_request::parse_instant(s).is_some())
        .prop_map(|s| json!(s))
        .boxed()
}

/// An object of keys that may be missing.
pub fn object_of(keys: Vec<(&'static str, BoxedStrategy<Option<Value>>)>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    values
        .prop_map(move |values| {
            let pairs = names.iter().zip(values);
            Value::Object(pairs.filter_map(|(k, v)| v.map(|v| (k.to_string(), v))).collect())
        })
        .boxed()
}

/// Any JSON, some of it as deep as targets are.
pub fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        "insert|update|delete|truncate|infinity|2026-01-01T00:00:00\\+00:00|::1/64|parent|user"
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let key = "id|type|name|relation|metadata|source|request_type|[a-z]{1,3}";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
    .boxed()
}

/// An entry with any JSON in some of its columns, well-formed or not.
pub fn any_entry() -> BoxedStrategy<Map<String, Value>> {
    let base = prop_oneof![Just(row_change()), Just(recorded_event()), Just(Map::new())];
    let columns: Vec<String> = row_change().keys().cloned().collect();
    let column = (proptest::sample::select(columns), any_json());
    (base, proptest::collection::vec(column, 0..6))
        .prop_map(|(mut entry, columns)| {
            entry.extend(columns);
            entry
        })
        .boxed()
}

/// A source, or something that is none.
pub fn any_source() -> BoxedStrategy<Option<Value>> {
    let format = "entry|gem|captivateiq|other";
    let key = "id|actor|actor_type|targets|metadata|occurred_at|[a-z]{1,4}";
    let record = proptest::collection::btree_map(key, any_json(), 0..5);
    let source = (format, record).prop_map(|(format, record)| json!({"format": format, "record": record}));
    prop_oneof![Just(None), any_json().prop_map(Some), source.prop_map(Some)].boxed()
}
