//! `gem`: an action, its actor and its targets.

use serde_json::{Map, Value};

use super::columns::{of_target, Entry};
use super::{imported, known, object, or_null};

/// `{"action", "timestamp", "team_id", "actor": {"type", "id", "metadata"}, "targets": [{"type",
/// "id", "metadata"}], "access_route", "remote_addr", "user_agent", "metadata", "before", "after"}`.
///
/// Names and emails are in the metadata of those they belong to. The entry of an imported record
/// has that record's keys.
pub fn render(entry: &Entry, record: Option<&Map<String, Value>>) -> Map<String, Value> {
    let mut rendered = object([
        ("action", entry.copy("category")),
        ("timestamp", entry.utc("occurred_at")),
        ("team_id", entry.copy("organization_id")),
        ("actor", actor(entry)),
        ("targets", entry.targets().map(target).collect()),
        ("access_route", entry.copy("access_route")),
        ("remote_addr", entry.copy("remote_addr")),
        ("user_agent", entry.copy("user_agent")),
        ("metadata", entry.copy("metadata")),
        ("before", entry.copy("before")),
        ("after", entry.copy("after")),
    ]);
    let Some(record) = record else {
        return rendered;
    };
    // What the import found no column for is at its place in the record.
    if let Some(Value::Object(metadata)) = rendered.get_mut("metadata") {
        metadata.remove("source");
    }
    imported::as_it_came(&rendered, record)
}

fn actor(entry: &Entry) -> Value {
    let actor = entry.actor();
    let about = known([
        ("email", actor.email.clone()),
        ("name", actor.name.clone()),
        ("effective_actor", entry.impersonated().map_or(Value::Null, |person| person.to_json())),
    ]);
    Value::Object(object([
        ("type", actor.kind.clone()),
        ("id", actor.id.clone()),
        ("metadata", or_null(about)),
    ]))
}

fn target(target: &Map<String, Value>) -> Value {
    let metadata = match (of_target(target, "name"), of_target(target, "metadata")) {
        (Value::Null, metadata) => metadata,
        (name, Value::Null) => Value::Object(object([("name", name)])),
        (name, Value::Object(mut metadata)) => {
            metadata.entry("name").or_insert(name);
            Value::Object(metadata)
        }
        (_, metadata) => metadata,
    };
    Value::Object(object([
        ("type", of_target(target, "type")),
        ("id", of_target(target, "id")),
        ("metadata", metadata),
    ]))
}

#[cfg(test)]
#[path = "gem_tests.rs"]
mod tests;
