//! `greenhouse`: the twelve columns of a business-intelligence connector, as in the view
//! `bi_audit_log`.

use serde_json::{json, Map, Value};

use super::columns::Entry;
use super::{known, object};

/// `{"organization_id", "event_time", "request_id", "request_type", "performer_id",
/// "performer_type", "performer_meta", "performer_ip_address", "event_type", "event_target_id",
/// "event_target_type", "event_meta"}`.
pub fn render(entry: &Entry) -> Map<String, Value> {
    object([
        ("organization_id", entry.copy("organization_id")),
        ("event_time", entry.copy("occurred_at")),
        ("request_id", entry.copy("request_id")),
        ("request_type", as_text(entry.value("metadata").get("request_type"))),
        ("performer_id", entry.copy("actor_id")),
        ("performer_type", entry.copy("actor_type")),
        ("performer_meta", Value::Object(performer_meta(entry))),
        ("performer_ip_address", entry.copy("remote_addr")),
        ("event_type", Value::from(event_type(entry))),
        ("event_target_id", entry.copy("target_id")),
        ("event_target_type", entry.copy("target_type")),
        ("event_meta", Value::Object(event_meta(entry))),
    ])
}

/// As the operator `->>` gives it.
fn as_text(value: Option<&Value>) -> Value {
    match value {
        None | Some(Value::Null) => Value::Null,
        Some(Value::String(text)) => Value::from(text.as_str()),
        Some(other) => Value::from(other.to_string()),
    }
}

fn event_type(entry: &Entry) -> &'static str {
    match entry.text("operation") {
        Some("insert") => "data_change_create",
        Some("update") => "data_change_update",
        Some("delete") => "data_change_destroy",
        _ => "action",
    }
}

/// `{"name", "email", "user_agent", "on_behalf_of"}`, where known.
fn performer_meta(entry: &Entry) -> Map<String, Value> {
    let (actor, effective) = (entry.actor(), entry.effective_actor());
    let on_behalf_of = match (effective.kind, effective.id) == (actor.kind, actor.id) {
        true => Value::Null,
        false => Value::Object(known([
            ("type", effective.kind.clone()),
            ("id", effective.id.clone()),
            ("name", effective.name.clone()),
            ("email", effective.email.clone()),
        ])),
    };
    known([
        ("name", actor.name.clone()),
        ("email", actor.email.clone()),
        ("user_agent", entry.copy("user_agent")),
        ("on_behalf_of", on_behalf_of),
    ])
}

/// `{"field": [old, new]}` of a data change, else the metadata and the category.
fn event_meta(entry: &Entry) -> Map<String, Value> {
    let column = if event_type(entry) == "action" { "metadata" } else { "changes" };
    let mut meta = match entry.value(column) {
        Value::Null => Map::new(),
        Value::Object(map) => map.clone(),
        other => object([(column, json!(other))]),
    };
    if column == "metadata" {
        meta.insert("category".into(), entry.copy("category"));
    }
    meta
}

#[cfg(test)]
#[path = "greenhouse_tests.rs"]
mod tests;
