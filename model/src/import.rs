//! Records of other products in their own shapes: what each field of theirs is here.
//!
//! Whatever finds no column of its own goes into `metadata.source`, and the whole record is kept
//! beside the entry, so that nothing of it is lost.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::context::{self, Actor};
use crate::event::{self, Relation, Target};
use crate::list_request::parse_instant;
use crate::{nearest, AuditError, Code};

/// The formats `import` reads.
pub const FORMATS: [&str; 3] = ["entry", "gem", "captivateiq"];

/// One record, read but not yet checked against the vocabulary.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportedEvent {
    pub category: String,
    pub occurred_at: Option<DateTime<Utc>>,
    pub organization: Option<String>,
    pub operation: Option<String>,
    pub actor: Actor,
    pub effective_actor: Option<Actor>,
    /// One without a type is of the category's.
    pub targets: Vec<Target>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub metadata: Option<Map<String, Value>>,
    pub remote_addr: Option<String>,
    pub access_route: Option<Vec<String>>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
}

/// Reads one record in the named format.
pub fn parse(format: &str, record: &Value) -> Result<ImportedEvent, AuditError> {
    let Value::Object(map) = record else {
        return Err(fault("record", "the record is not a JSON object"));
    };
    match format {
        "gem" => gem(Fields(map)),
        "captivateiq" => captivateiq(Fields(map)),
        "entry" => crate::import_entry::entry(Fields(map)),
        other => Err(AuditError::invalid(
            "format",
            format!("unknown import format \"{other}\""),
            nearest::hint(other, FORMATS, &format!("The formats are {}.", FORMATS.join(", "))),
        )),
    }
}

pub(crate) fn fault(field: &str, message: impl Into<String>) -> AuditError {
    AuditError {
        field: Some(field.to_string()),
        ..AuditError::new(
            Code::InvalidInput,
            message,
            "Correct the record and import it again; the other records are not affected.",
        )
    }
}

/// A record's fields; `null` counts as absent.
pub(crate) struct Fields<'a>(pub &'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// The first of several spellings of a key that is there.
    pub fn any(&self, keys: &[&'static str]) -> Option<(&'static str, &'a Value)> {
        keys.iter().find_map(|k| self.0.get(*k).filter(|v| !v.is_null()).map(|v| (*k, v)))
    }

    pub fn text(&self, keys: &[&'static str]) -> Result<Option<String>, AuditError> {
        self.any(keys).map(|(key, value)| event::scalar(key, value)).transpose()
    }

    pub fn required(&self, keys: &[&'static str]) -> Result<String, AuditError> {
        let name = keys.first().copied().unwrap_or_default();
        self.text(keys)?.ok_or_else(|| fault(name, format!("the record has no {name}")))
    }

    pub fn instant(&self, keys: &[&'static str]) -> Result<Option<DateTime<Utc>>, AuditError> {
        let Some((key, value)) = self.any(keys) else {
            return Ok(None);
        };
        let parsed = value.as_str().and_then(parse_instant);
        parsed.map(Some).ok_or_else(|| fault(key, format!("{key} is not an ISO 8601 date")))
    }

    pub fn object(&self, keys: &[&'static str]) -> Result<Option<&'a Map<String, Value>>, AuditError> {
        match self.any(keys) {
            None => Ok(None),
            Some((_, Value::Object(map))) => Ok(Some(map)),
            Some((key, _)) => Err(fault(key, format!("{key} is not a JSON object"))),
        }
    }

    pub fn list(&self, keys: &[&'static str]) -> Result<&'a [Value], AuditError> {
        match self.any(keys) {
            None => Ok(&[]),
            Some((_, Value::Array(items))) => Ok(items),
            Some((key, _)) => Err(fault(key, format!("{key} is not a JSON array"))),
        }
    }

    pub fn address(&self, keys: &[&'static str]) -> Result<Option<String>, AuditError> {
        let Some((key, value)) = self.any(keys) else {
            return Ok(None);
        };
        let text = event::scalar(key, value)?;
        if context::check_address(&text) {
            return Ok(Some(text));
        }
        Err(fault(key, format!("{key} \"{text}\" is not an IP address")))
    }

    pub fn route(&self, keys: &[&'static str]) -> Result<Option<Vec<String>>, AuditError> {
        let Some((key, _)) = self.any(keys) else {
            return Ok(None);
        };
        let check = |v: &Value| match v.as_str() {
            Some(text) if context::check_address(text) => Ok(text.to_string()),
            _ => Err(fault(key, format!("{key} holds {v}, which is not an IP address"))),
        };
        self.list(keys)?.iter().map(check).collect::<Result<_, _>>().map(Some)
    }

    /// Everything but the named keys.
    fn rest(&self, known: &[&str]) -> Map<String, Value> {
        let unknown = self.0.iter().filter(|(k, _)| !known.contains(&k.as_str()));
        unknown.map(|(k, v)| (k.clone(), v.clone())).collect()
    }
}

/// Puts what found no column under `metadata.source`.
fn with_source(metadata: Option<Map<String, Value>>, rest: Map<String, Value>) -> Option<Map<String, Value>> {
    if rest.is_empty() {
        return metadata;
    }
    let mut metadata = metadata.unwrap_or_default();
    metadata.insert("source".into(), Value::Object(rest));
    Some(metadata)
}

/// `{"action","team_id","actor","targets","access_route","remote_addr","user_agent","metadata"}`.
fn gem(record: Fields) -> Result<ImportedEvent, AuditError> {
    let actor = record.object(&["actor"])?.ok_or_else(|| fault("actor", "the record has no actor"))?;
    let actor_fields = Fields(actor);
    let about = actor_fields.object(&["metadata"])?;
    let about_text = |key: &'static str| about.map_or(Ok(None), |m| Fields(m).text(&[key]));
    let targets = record.list(&["targets"])?.iter().enumerate().map(|(i, value)| {
        let mut target = event::parse_target(&format!("targets[{i}]"), value)?;
        target.relation = if i == 0 { Relation::Primary } else { Relation::Related };
        Ok(target)
    });
    let about_rest = about.map(|m| Fields(m).rest(&["name", "email"])).unwrap_or_default();
    let mut rest = record.rest(&[
        "action",
        "team_id",
        "actor",
        "targets",
        "access_route",
        "remote_addr",
        "user_agent",
        "metadata",
        "timestamp",
        "before",
        "after",
    ]);
    if !about_rest.is_empty() {
        rest.insert("actor".into(), Value::Object(about_rest));
    }
    Ok(ImportedEvent {
        category: record.required(&["action"])?,
        occurred_at: record.instant(&["timestamp"])?,
        organization: record.text(&["team_id"])?,
        actor: Actor {
            kind: actor_fields.required(&["type"])?,
            id: actor_fields.text(&["id"])?,
            name: about_text("name")?,
            email: about_text("email")?,
        },
        targets: targets.collect::<Result<_, AuditError>>()?,
        before: record.any(&["before"]).map(|(_, v)| v.clone()),
        after: record.any(&["after"]).map(|(_, v)| v.clone()),
        metadata: with_source(record.object(&["metadata"])?.cloned(), rest),
        remote_addr: record.address(&["remote_addr"])?,
        access_route: record.route(&["access_route"])?,
        user_agent: record.text(&["user_agent"])?,
        ..ImportedEvent::default()
    })
}

/// One flat object: `logged_in_user_*` acted, `user_*` is on whose behalf, `object_*` the target.
fn captivateiq(record: Fields) -> Result<ImportedEvent, AuditError> {
    let person = |id, name, email| -> Result<Option<Actor>, AuditError> {
        let person = Actor {
            kind: "user".into(),
            id: record.text(&[id])?,
            name: record.text(&[name])?,
            email: record.text(&[email])?,
        };
        let known = person.id.is_some() || person.name.is_some() || person.email.is_some();
        Ok(known.then_some(person))
    };
    let user = person("user_id", "user_name", "user_email")?;
    let logged_in = person("logged_in_user_id", "logged_in_user_name", "logged_in_user_email")?;
    let (actor, effective) = match (logged_in, user) {
        (Some(actor), effective) => (actor, effective),
        (None, Some(user)) => (user, None),
        (None, None) => (Actor::system(), None),
    };
    let mut targets = Vec::new();
    if let Some(kind) = record.text(&["object_type"])? {
        let mut target = Target::new(kind, record.text(&["object_id"])?, Relation::Primary);
        target.name = record.text(&["object_name"])?;
        targets.push(target);
    }
    for (i, parent) in record.list(&["parent_objects"])?.iter().enumerate() {
        targets.push(captivateiq_parent(&format!("parent_objects[{i}]"), parent)?);
    }
    let rest = record.rest(&[
        "organization_id",
        "user_id",
        "user_name",
        "user_email",
        "logged_in_user_id",
        "logged_in_user_name",
        "logged_in_user_email",
        "ip_address",
        "created_at",
        "event_type",
        "object_id",
        "object_name",
        "object_type",
        "parent_objects",
    ]);
    Ok(ImportedEvent {
        category: record.required(&["event_type"])?,
        occurred_at: record.instant(&["created_at"])?,
        organization: record.text(&["organization_id"])?,
        effective_actor: effective.filter(|e| *e != actor),
        actor,
        targets,
        metadata: with_source(None, rest),
        remote_addr: record.address(&["ip_address"])?,
        ..ImportedEvent::default()
    })
}

fn captivateiq_parent(path: &str, parent: &Value) -> Result<Target, AuditError> {
    let Value::Object(map) = parent else {
        return Err(fault(path, format!("{path} is not a JSON object")));
    };
    let fields = Fields(map);
    let kind = fields.required(&["type", "object_type"])?;
    let mut target = Target::new(kind, fields.text(&["id", "object_id"])?, Relation::Parent);
    target.name = fields.text(&["name", "object_name"])?;
    let rest = fields.rest(&["type", "object_type", "id", "object_id", "name", "object_name"]);
    target.metadata = (!rest.is_empty()).then_some(Value::Object(rest));
    Ok(target)
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
