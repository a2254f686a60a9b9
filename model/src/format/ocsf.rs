//! `ocsf`: an event of the Open Cybersecurity Schema Framework.
//!
//! A change of a row is Entity Management, an event that the application recorded is API Activity.
//! What the framework has no attribute for is in `unmapped`. Attributes without a value are left
//! out: null is no value of the framework.

use serde_json::{json, Map, Value};

use super::columns::{of_target, Entry, Person};
use super::imported::{scalar, Source};
use super::{known, object, or_null};

/// The version of the schema that is written.
pub const SCHEMA_VERSION: &str = "1.8.0";

struct Class {
    uid: u32,
    name: &'static str,
    category_uid: u32,
    category_name: &'static str,
}

const ENTITY_MANAGEMENT: Class = Class {
    uid: 3004,
    name: "Entity Management",
    category_uid: 3,
    category_name: "Identity & Access Management",
};

const API_ACTIVITY: Class =
    Class { uid: 6003, name: "API Activity", category_uid: 6, category_name: "Application Activity" };

/// A member of an enumeration and its caption.
type Member<'a> = (u32, &'a str);

const OTHER: u32 = 99;

/// Of both classes: `{"class_uid", "class_name", "category_uid", "category_name", "activity_id",
/// "activity_name", "type_uid", "type_name", "severity_id", "severity", "status_id", "status",
/// "time", "message", "metadata": {…}, "actor": {"user", "app_name"?}, "src_endpoint"?,
/// "http_request"?, "raw_data"?, "unmapped"?}`; of Entity Management also `"entity"`,
/// `"entity_result"?`, of API Activity `"api"`, `"resources"?`.
pub fn render(entry: &Entry, source: Option<Source>) -> Map<String, Value> {
    let category = entry.text("category").unwrap_or("unknown");
    // The session that imported a record is not where it happened.
    let application = source.is_none().then(|| entry.text("application_name")).flatten();
    let (class, activity, own) = match entry.text("operation") {
        Some(operation) => {
            (ENTITY_MANAGEMENT, activity_of_operation(operation), entity_management(entry, application))
        }
        None => (API_ACTIVITY, activity_of_category(category), api_activity(entry, category, application)),
    };
    // A row has changed when its entry is there; an application also records what did not work.
    let failed = entry.text("operation").is_none() && last_word(category) == "failed";
    let status: Member = if failed { (2, "Failure") } else { (1, "Success") };
    let caption = if activity.0 == OTHER { "Other" } else { activity.1 };
    let time = millis(entry, "occurred_at").or(millis(entry, "recorded_at")).unwrap_or_default();
    let mut event = known([
        ("class_uid", json!(class.uid)),
        ("class_name", json!(class.name)),
        ("category_uid", json!(class.category_uid)),
        ("category_name", json!(class.category_name)),
        ("activity_id", json!(activity.0)),
        ("activity_name", json!(activity.1)),
        ("type_uid", json!(class.uid * 100 + activity.0)),
        ("type_name", json!(format!("{}: {caption}", class.name))),
        ("severity_id", json!(1)),
        ("severity", json!("Informational")),
        ("status_id", json!(status.0)),
        ("status", json!(status.1)),
        ("time", json!(time)),
        ("message", json!(message(entry, category))),
        ("metadata", Value::Object(metadata(entry, category, source))),
        ("http_request", or_null(http_request(entry))),
        ("raw_data", source.map_or(Value::Null, |s| json!(Value::Object(s.record.clone()).to_string()))),
        ("unmapped", or_null(unmapped(entry))),
    ]);
    event.extend(own);
    event
}

fn activity_of_operation(operation: &str) -> Member<'_> {
    match operation {
        "insert" => (1, "Create"),
        "update" => (3, "Update"),
        "delete" | "truncate" => (4, "Delete"),
        other => (OTHER, other),
    }
}

/// What the category's last word says was done; else the category itself.
fn activity_of_category(category: &str) -> Member<'_> {
    match last_word(category).as_str() {
        "created" => (1, "Create"),
        "read" | "viewed" | "export" | "exported" => (2, "Read"),
        "updated" | "changed" => (3, "Update"),
        "deleted" => (4, "Delete"),
        _ => (OTHER, category),
    }
}

/// Of `job_status_changed`, `job.status.changed` and `JobStatusChanged`: `changed`.
fn last_word(category: &str) -> String {
    let word = category.rsplit(['_', '.']).next().unwrap_or_default();
    let capital = word.rfind(char::is_uppercase).unwrap_or_default();
    word.get(capital..).unwrap_or_default().to_lowercase()
}

/// `{"actor", "entity", "entity_result"?, "src_endpoint"?}`: the row before and after.
fn entity_management(entry: &Entry, application: Option<&str>) -> Map<String, Value> {
    let after = match entry.value("after") {
        Value::Null => Value::Null,
        after => entity(entry, after),
    };
    known([
        ("actor", actor(entry, application)),
        ("entity", entity(entry, entry.value("before"))),
        ("entity_result", after),
        ("src_endpoint", remote_ip(entry).map_or(Value::Null, |ip| json!({"ip": ip}))),
    ])
}

/// `{"uid"?, "name"?, "type", "type_id", "data"?}`.
fn entity(entry: &Entry, data: &Value) -> Value {
    let kind = entry.text("target_type");
    let (type_id, caption) = match kind {
        None => (0, "Unknown"),
        Some("device") => (1, "Device"),
        Some("user") => (2, "User"),
        Some("group") => (3, "Group"),
        Some("organization") => (4, "Organization"),
        Some("policy") => (5, "Policy"),
        Some("email") => (6, "Email"),
        Some(other) => (OTHER, other),
    };
    let uid = entry.text("target_id");
    // One of the two must be there: of a truncated table it is the table's name.
    let nameless = || uid.is_none().then(|| entry.text("relation").or(kind).unwrap_or("unknown"));
    Value::Object(known([
        ("uid", json!(uid)),
        ("name", json!(entry.text("target_name").or_else(nameless))),
        ("type", json!(caption)),
        ("type_id", json!(type_id)),
        ("data", data.clone()),
    ]))
}

/// `{"actor", "api": {"operation", "service"?, "request"?}, "resources"?, "src_endpoint"}`.
fn api_activity(entry: &Entry, category: &str, application: Option<&str>) -> Map<String, Value> {
    let resources: Vec<Value> = entry.targets().map(resource).collect();
    let one = |key: &str, value: Option<&str>| value.map_or(Value::Null, |text| json!({ key: text }));
    let api = known([
        ("operation", json!(category)),
        ("service", one("name", application)),
        ("request", one("uid", entry.text("request_id"))),
    ]);
    known([
        ("actor", actor(entry, None)),
        ("api", Value::Object(api)),
        ("resources", if resources.is_empty() { Value::Null } else { Value::Array(resources) }),
        ("src_endpoint", remote_ip(entry).map_or_else(|| json!({"name": "unknown"}), |ip| json!({"ip": ip}))),
    ])
}

/// `{"uid"?, "name"?, "type"?, "role", "role_id", "data"?}`.
fn resource(target: &Map<String, Value>) -> Value {
    let relation = of_target(target, "relation");
    let (role_id, role) = match relation.as_str() {
        Some("primary") => (1, "Target"),
        Some("related") => (4, "Related"),
        Some(other) => (OTHER, other),
        None => (0, "Unknown"),
    };
    let text = |key| json!(scalar(&of_target(target, key)));
    Value::Object(known([
        ("uid", text("id")),
        ("name", text("name")),
        ("type", text("type")),
        ("role", json!(role)),
        ("role_id", json!(role_id)),
        ("data", of_target(target, "metadata")),
    ]))
}

/// `{"user": {"uid"?, "name"?, "email_addr"?, "type", "type_id"}, "app_name"?}`.
fn actor(entry: &Entry, app_name: Option<&str>) -> Value {
    let Person { kind, id, name, email } = entry.actor();
    let (type_id, caption) = match kind.as_str() {
        None | Some("") => (0, "Unknown"),
        Some("user" | "candidate") => (1, "User"),
        Some("system") => (3, "System"),
        Some("api_key" | "automation") => (4, "Service"),
        Some(other) => (OTHER, other),
    };
    let uid = text(id);
    // One of the two must be there.
    let nameless = || uid.is_none().then(|| text(kind).unwrap_or("unknown"));
    let user = known([
        ("uid", json!(uid)),
        ("name", json!(text(name).or_else(nameless))),
        ("email_addr", json!(text(email))),
        ("type", json!(caption)),
        ("type_id", json!(type_id)),
    ]);
    Value::Object(known([("user", Value::Object(user)), ("app_name", json!(app_name))]))
}

/// `{"version", "product", "uid", "event_code", "tenant_uid", "correlation_uid"?, "log_name",
/// "original_time", "logged_time", "source"?, "original_event_uid"?}`.
fn metadata(entry: &Entry, category: &str, source: Option<Source>) -> Map<String, Value> {
    let product = object([
        ("name", json!("audit_log")),
        ("vendor_name", json!("audit_log")),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
    ]);
    let transaction = source.is_none().then(|| scalar(entry.value("transaction_id"))).flatten();
    known([
        ("version", json!(SCHEMA_VERSION)),
        ("product", Value::Object(product)),
        ("uid", json!(entry.text("id"))),
        ("event_code", json!(category)),
        ("tenant_uid", json!(entry.text("organization_id"))),
        ("correlation_uid", json!(transaction)),
        ("log_name", json!("audit_log.entry")),
        ("original_time", json!(entry.text("occurred_at"))),
        ("logged_time", json!(millis(entry, "recorded_at"))),
        ("source", json!(source.map(|s| s.format))),
        ("original_event_uid", json!(source.and_then(|s| s.record.get("id")).and_then(scalar))),
    ])
}

/// `{"user_agent"?, "uid"?, "x_forwarded_for"?}`.
fn http_request(entry: &Entry) -> Map<String, Value> {
    let route = entry.value("access_route").as_array().into_iter().flatten();
    let route: Vec<&str> = route.filter_map(Value::as_str).map(host).collect();
    known([
        ("user_agent", json!(entry.text("user_agent"))),
        ("uid", json!(entry.text("request_id"))),
        ("x_forwarded_for", if route.is_empty() { Value::Null } else { json!(route) }),
    ])
}

/// What has no attribute of its own, under the names of the view `entry`; on whose behalf under
/// `effective_actor`.
fn unmapped(entry: &Entry) -> Map<String, Value> {
    let recorded = entry.text("operation").is_none();
    let only = |condition: bool, column: &str| if condition { entry.copy(column) } else { Value::Null };
    let whole_network = entry.text("remote_addr").is_some_and(|address| host(address) != address);
    known([
        ("actor_type", entry.copy("actor_type")),
        ("effective_actor", entry.impersonated().map_or(Value::Null, |person| person.to_json())),
        ("operation", entry.copy("operation")),
        ("relation", entry.copy("relation")),
        ("metadata", entry.copy("metadata")),
        ("database_user", entry.copy("database_user")),
        ("position", entry.copy("position")),
        ("remote_addr", only(whole_network, "remote_addr")),
        ("targets", only(!recorded && entry.targets().nth(1).is_some(), "targets")),
        ("before", only(recorded, "before")),
        ("after", only(recorded, "after")),
    ])
}

/// `job_updated: job 7 (Cook), by user 9 (Ann)`.
fn message(entry: &Entry, category: &str) -> String {
    let label = |columns: [&str; 3]| {
        let [kind, id, name] = columns.map(|column| entry.text(column));
        let name = name.map(|name| format!("({name})"));
        let words: Vec<&str> = [kind, id, name.as_deref()].into_iter().flatten().collect();
        words.join(" ")
    };
    let target = label(["target_type", "target_id", "target_name"]);
    let actor = label(["actor_type", "actor_id", "actor_name"]);
    format!("{category}: {target}, by {actor}")
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// An address without the length of its prefix, which the framework's addresses do not have.
fn host(address: &str) -> &str {
    address.split_once('/').map_or(address, |(host, _)| host)
}

fn remote_ip<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    entry.text("remote_addr").map(host)
}

/// Milliseconds since 1970.
fn millis(entry: &Entry, column: &str) -> Option<i64> {
    entry.instant(column).map(|instant| instant.timestamp_millis())
}

#[cfg(test)]
#[path = "ocsf_tests.rs"]
mod tests;
