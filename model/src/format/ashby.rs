//! `ashby`: an entry of the listing API, in camelCase, as `list_json` gives it.

use serde_json::{Map, Value};

use super::columns::Entry;
use super::{imported, object};

/// Each key of the shape, and how else a record that is imported may spell it.
const KEYS: [(&str, &[&str]); 23] = [
    ("id", &[]),
    ("occurredAt", &["occurred_at"]),
    ("recordedAt", &["recorded_at"]),
    ("organizationId", &["organization_id", "organization"]),
    ("category", &[]),
    ("operation", &[]),
    ("actor", &[]),
    ("effectiveActor", &["effective_actor"]),
    ("target", &[]),
    ("targets", &[]),
    ("before", &[]),
    ("after", &[]),
    ("changes", &[]),
    ("metadata", &[]),
    ("remoteAddr", &["remote_addr"]),
    ("accessRoute", &["access_route"]),
    ("userAgent", &["user_agent"]),
    ("requestId", &["request_id"]),
    ("databaseUser", &["database_user"]),
    ("applicationName", &["application_name"]),
    ("relation", &[]),
    ("transactionId", &["transaction_id"]),
    ("position", &[]),
];

/// Objects of the shape that are flat columns in a row of `entry`.
const FLAT: [(&str, &[&str]); 3] = [
    ("actor", &["type", "id", "name", "email"]),
    ("effectiveActor", &["type", "id", "name", "email"]),
    ("target", &["type", "id", "name"]),
];

/// What the import's own entry has too, but about the import.
const OF_THE_RECORD: [&str; 7] =
    ["id", "recordedAt", "databaseUser", "applicationName", "relation", "transactionId", "position"];

/// `{"id", "occurredAt", "recordedAt", "organizationId", "category", "operation", "actor": {"type",
/// "id", "name", "email"}, "effectiveActor": {…}, "target": {"type", "id", "name"}, "targets",
/// "before", "after", "changes", "metadata", "remoteAddr", "accessRoute", "userAgent", "requestId",
/// "databaseUser", "applicationName", "relation", "transactionId", "position"}`.
///
/// The entry of an imported record has that record's values, and the entry's own where the record
/// lacks one of these keys.
pub fn render(entry: &Entry, record: Option<&Map<String, Value>>) -> Map<String, Value> {
    let target = object([
        ("type", entry.copy("target_type")),
        ("id", entry.copy("target_id")),
        ("name", entry.copy("target_name")),
    ]);
    let mut rendered = object([
        ("id", entry.copy("id")),
        ("occurredAt", micros(entry, "occurred_at")),
        ("recordedAt", micros(entry, "recorded_at")),
        ("organizationId", entry.copy("organization_id")),
        ("category", entry.copy("category")),
        ("operation", entry.copy("operation")),
        ("actor", entry.actor().to_json()),
        ("effectiveActor", entry.effective_actor().to_json()),
        ("target", Value::Object(target)),
        ("targets", entry.copy("targets")),
        ("before", entry.copy("before")),
        ("after", entry.copy("after")),
        ("changes", entry.copy("changes")),
        ("metadata", entry.copy("metadata")),
        ("remoteAddr", entry.copy("remote_addr")),
        ("accessRoute", entry.copy("access_route")),
        ("userAgent", entry.copy("user_agent")),
        ("requestId", entry.copy("request_id")),
        ("databaseUser", entry.copy("database_user")),
        ("applicationName", entry.copy("application_name")),
        ("relation", entry.copy("relation")),
        ("transactionId", entry.copy("transaction_id")),
        ("position", entry.copy("position")),
    ]);
    let Some(record) = record.map(in_camel_case) else {
        return rendered;
    };
    for key in OF_THE_RECORD.into_iter().filter(|key| record.contains_key(*key)) {
        rendered.remove(key);
    }
    let came = imported::as_it_came(&rendered, &record);
    rendered.extend(came);
    rendered
}

/// The instant as `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
fn micros(entry: &Entry, column: &str) -> Value {
    match entry.instant(column) {
        Some(instant) => Value::from(instant.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()),
        None => entry.copy(column),
    }
}

/// A record whose keys are spelled as in the shape, whichever way it spells them itself.
fn in_camel_case(record: &Map<String, Value>) -> Map<String, Value> {
    let mut rest = record.clone();
    let mut found = Map::new();
    for (key, spellings) in KEYS {
        let spelled = std::iter::once(&key).chain(spellings);
        let values: Vec<Value> = spelled.filter_map(|spelling| rest.remove(*spelling)).collect();
        // The first that says something, as the import reads it.
        let value = values.iter().find(|value| !value.is_null()).or(values.first()).cloned();
        if let Some(value) = value {
            found.insert(key.to_string(), value);
        }
    }
    for (key, fields) in FLAT {
        let prefix = if key == "effectiveActor" { "effective_actor" } else { key };
        let column = |field: &&'static str| rest.remove(&format!("{prefix}_{field}")).map(|v| (*field, v));
        let columns: Vec<(&str, Value)> = fields.iter().filter_map(column).collect();
        if !columns.is_empty() && found.get(key).is_none_or(Value::is_null) {
            let columns = columns.into_iter().map(|(field, value)| (field.to_string(), value));
            found.insert(key.to_string(), Value::Object(columns.collect()));
        }
    }
    rest.extend(found);
    rest
}

#[cfg(test)]
#[path = "ashby_tests.rs"]
mod tests;
