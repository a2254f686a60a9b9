//! `captivateiq`: one flat object.

use serde_json::{json, Map, Value};

use super::columns::{of_target, Entry};
use super::{imported, object};

/// What only the record can say of itself and of its organization.
const OF_THE_RECORD: [&str; 4] = ["id", "object", "organization_name", "version"];

/// `{"id", "object", "organization_id", "organization_name", "user_id", "user_name", "user_email",
/// "logged_in_user_id", "logged_in_user_name", "logged_in_user_email", "ip_address", "created_at",
/// "event_type", "version", "object_id", "object_name", "object_type", "parent_objects":
/// [{"object_id", "object_name", "object_type"}]}`.
///
/// `logged_in_user_*` is the actor, `user_*` the effective one. The entry of an imported record has
/// that record's keys.
pub fn render(entry: &Entry, record: Option<&Map<String, Value>>) -> Map<String, Value> {
    let (actor, effective) = (entry.actor(), entry.effective_actor());
    let is_parent = |target: &&Map<String, Value>| of_target(target, "relation") == "parent";
    // A record can name parents and no object.
    let has_object = !entry.targets().next().is_some_and(|first| is_parent(&first));
    let object_column = |column| if has_object { entry.copy(column) } else { Value::Null };
    let mut rendered = object([
        ("id", entry.copy("id")),
        ("object", json!("audit_log")),
        ("organization_id", entry.copy("organization_id")),
        ("organization_name", Value::Null),
        ("user_id", effective.id.clone()),
        ("user_name", effective.name.clone()),
        ("user_email", effective.email.clone()),
        ("logged_in_user_id", actor.id.clone()),
        ("logged_in_user_name", actor.name.clone()),
        ("logged_in_user_email", actor.email.clone()),
        ("ip_address", entry.copy("remote_addr")),
        ("created_at", entry.utc("occurred_at")),
        ("event_type", entry.copy("category")),
        ("version", json!(0)),
        ("object_id", object_column("target_id")),
        ("object_name", object_column("target_name")),
        ("object_type", object_column("target_type")),
        ("parent_objects", entry.targets().filter(is_parent).map(parent).collect()),
    ]);
    let Some(record) = record else {
        return rendered;
    };
    for key in OF_THE_RECORD {
        rendered.remove(key);
    }
    imported::as_it_came(&rendered, record)
}

fn parent(target: &Map<String, Value>) -> Value {
    Value::Object(object([
        ("object_id", of_target(target, "id")),
        ("object_name", of_target(target, "name")),
        ("object_type", of_target(target, "type")),
    ]))
}

#[cfg(test)]
#[path = "captivateiq_tests.rs"]
mod tests;
