//! An entry's columns, read from the JSON object of a row of the view `entry`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};

use super::object;
use crate::list_request::parse_instant;

static NULL: Value = Value::Null;

/// A row of the view `entry`.
pub struct Entry<'a>(pub &'a Map<String, Value>);

impl<'a> Entry<'a> {
    /// The column; null where it is not there.
    pub fn value(&self, column: &str) -> &'a Value {
        self.0.get(column).unwrap_or(&NULL)
    }

    pub fn copy(&self, column: &str) -> Value {
        self.value(column).clone()
    }

    /// The column's text; none where it is null or empty.
    pub fn text(&self, column: &str) -> Option<&'a str> {
        self.value(column).as_str().filter(|text| !text.is_empty())
    }

    pub fn instant(&self, column: &str) -> Option<DateTime<Utc>> {
        self.text(column).and_then(parse_instant)
    }

    /// The instant as `YYYY-MM-DDTHH:MM:SS[.fff[fff]]Z`; what is no instant (`infinity`) as it is.
    pub fn utc(&self, column: &str) -> Value {
        match self.instant(column) {
            Some(instant) => Value::from(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => self.copy(column),
        }
    }

    /// Who really acted.
    pub fn actor(&self) -> Person<'a> {
        self.person(["actor_type", "actor_id", "actor_name", "actor_email"])
    }

    /// On whose behalf; the actor where nobody was impersonated.
    pub fn effective_actor(&self) -> Person<'a> {
        self.person([
            "effective_actor_type",
            "effective_actor_id",
            "effective_actor_name",
            "effective_actor_email",
        ])
    }

    /// The one on whose behalf it was done, where that is somebody else.
    pub fn impersonated(&self) -> Option<Person<'a>> {
        let effective = self.effective_actor();
        (effective != self.actor() && !effective.kind.is_null()).then_some(effective)
    }

    fn person(&self, [kind, id, name, email]: [&str; 4]) -> Person<'a> {
        let value = |column| self.value(column);
        Person { kind: value(kind), id: value(id), name: value(name), email: value(email) }
    }

    /// Every target, the primary first.
    pub fn targets(&self) -> impl Iterator<Item = &'a Map<String, Value>> {
        self.value("targets").as_array().into_iter().flatten().filter_map(Value::as_object)
    }
}

/// An actor, column by column.
#[derive(Clone, Copy, PartialEq)]
pub struct Person<'a> {
    pub kind: &'a Value,
    pub id: &'a Value,
    pub name: &'a Value,
    pub email: &'a Value,
}

impl Person<'_> {
    /// `{"type", "id", "name", "email"}`.
    pub fn to_json(self) -> Value {
        Value::Object(object([
            ("type", self.kind.clone()),
            ("id", self.id.clone()),
            ("name", self.name.clone()),
            ("email", self.email.clone()),
        ]))
    }
}

/// The key of a target; null where it has none.
pub fn of_target(target: &Map<String, Value>, key: &str) -> Value {
    target.get(key).cloned().unwrap_or_default()
}
