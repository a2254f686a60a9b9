//! The application's context: who acts, for whom, from where, in which request.

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::{AuditError, Code};

/// The actor types every installation has.
pub const ACTOR_TYPES: [&str; 8] =
    ["user", "api_key", "system", "automation", "support", "candidate", "operations", "other"];

/// Who acted, or on whose behalf.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actor {
    pub kind: String,
    pub id: Option<String>,
    pub name: Option<String>,
    pub email: Option<String>,
}

impl Actor {
    /// The actor where nobody said who acts.
    pub fn system() -> Self {
        Actor { kind: "system".into(), ..Actor::default() }
    }
}

/// A parsed context; everything is optional but the actor's type.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Context {
    pub organization: Option<String>,
    pub actor: Option<Actor>,
    pub effective_actor: Option<Actor>,
    pub remote_addr: Option<String>,
    pub access_route: Option<Vec<String>>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    /// The context's own metadata, with `actor.metadata` under `actor` and `effective_actor`.
    pub metadata: Map<String, Value>,
}

impl Context {
    /// Parses the setting's text; empty text is no context.
    pub fn parse(text: &str) -> Result<Self, AuditError> {
        if text.trim().is_empty() {
            return Ok(Context::default());
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|e| malformed("context", format!("the context is not valid JSON: {e}")))?;
        if !crate::json_exact::numbers_fit(text) {
            return Err(malformed("context", "the context holds a number with too many digits"));
        }
        Context::from_json(&value)
    }

    /// Reads the contract's shape; an unknown or mistyped key is an error that names it.
    pub fn from_json(value: &Value) -> Result<Self, AuditError> {
        let Value::Object(map) = value else {
            return Err(malformed("context", "the context is not a JSON object"));
        };
        let mut context = Context::default();
        let mut actor_metadata = Map::new();
        for (key, value) in map {
            match key.as_str() {
                _ if value.is_null() => check_key(key)?,
                "organization" => context.organization = organization(key, value)?,
                "actor" | "effective_actor" => {
                    let (actor, metadata) = actor(key, value)?;
                    if let Some(metadata) = metadata {
                        actor_metadata.insert(key.clone(), metadata);
                    }
                    match key.as_str() {
                        "actor" => context.actor = Some(actor),
                        _ => context.effective_actor = Some(actor),
                    }
                }
                "remote_addr" => context.remote_addr = Some(address(key, value)?),
                "access_route" => context.access_route = Some(route(key, value)?),
                "user_agent" => context.user_agent = Some(string(key, value)?),
                "request_id" => context.request_id = Some(identifier(key, value)?),
                "metadata" => context.metadata = object(key, value)?,
                other => check_key(other)?,
            }
        }
        for (key, metadata) in actor_metadata {
            context.metadata.entry(key).or_insert(metadata);
        }
        Ok(context)
    }

    /// The types named, with the field that names them, for a check against the vocabulary.
    pub fn actor_types(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let actor = self.actor.iter().map(|a| ("actor.type", a.kind.as_str()));
        let effective = self.effective_actor.iter().map(|a| ("effective_actor.type", a.kind.as_str()));
        actor.chain(effective)
    }
}

/// The error for an actor type that the vocabulary lacks.
pub fn unknown_actor_type(field: &str, kind: &str, known: &[String]) -> AuditError {
    AuditError::invalid(
        field,
        format!("unknown actor type \"{kind}\" in {field}"),
        crate::nearest::hint(
            kind,
            known.iter().map(String::as_str),
            "SELECT code FROM audit_log.actor_type lists the types; define_actor_type adds one.",
        ),
    )
}

const KEYS: [&str; 8] = [
    "organization",
    "actor",
    "effective_actor",
    "remote_addr",
    "access_route",
    "user_agent",
    "request_id",
    "metadata",
];

fn check_key(key: &str) -> Result<(), AuditError> {
    if KEYS.contains(&key) {
        return Ok(());
    }
    Err(AuditError::invalid(
        key,
        format!("unknown context key \"{key}\""),
        crate::nearest::hint(key, KEYS, &format!("The keys are {}.", KEYS.join(", "))),
    ))
}

fn malformed(field: &str, message: impl Into<String>) -> AuditError {
    AuditError {
        field: Some(field.to_string()),
        ..AuditError::new(
            Code::InvalidInput,
            message,
            "See COMMENT ON FUNCTION audit_log.set_context for the context's shape.",
        )
    }
}

fn string(field: &str, value: &Value) -> Result<String, AuditError> {
    match value {
        Value::String(s) => no_nul(field, s),
        _ => Err(malformed(field, format!("{field} is not a string"))),
    }
}

/// A string, or a number taken as one: ids come as either.
fn identifier(field: &str, value: &Value) -> Result<String, AuditError> {
    match value {
        Value::Number(n) => Ok(n.to_string()),
        Value::String(s) => no_nul(field, s),
        _ => Err(malformed(field, format!("{field} is neither a string nor a number"))),
    }
}

/// The longest organization id, in characters.
pub const MAX_ORGANIZATION: usize = 255;

/// An organization; an empty one is none.
fn organization(field: &str, value: &Value) -> Result<Option<String>, AuditError> {
    let organization = identifier(field, value)?;
    if organization.chars().count() > MAX_ORGANIZATION {
        return Err(malformed(field, format!("{field} has more than {MAX_ORGANIZATION} characters")));
    }
    Ok((!organization.is_empty()).then_some(organization))
}

fn no_nul(field: &str, text: &str) -> Result<String, AuditError> {
    if text.contains('\0') {
        return Err(malformed(field, format!("{field} holds the character \\u0000")));
    }
    Ok(text.to_string())
}

fn object(field: &str, value: &Value) -> Result<Map<String, Value>, AuditError> {
    match value {
        Value::Object(map) => Ok(map.clone()),
        _ => Err(malformed(field, format!("{field} is not a JSON object"))),
    }
}

fn actor(field: &str, value: &Value) -> Result<(Actor, Option<Value>), AuditError> {
    let map = object(field, value)?;
    let mut actor = Actor::default();
    let mut metadata = None;
    for (key, value) in &map {
        let path = format!("{field}.{key}");
        match key.as_str() {
            "type" => actor.kind = string(&path, value)?,
            "id" if !value.is_null() => actor.id = Some(identifier(&path, value)?),
            "name" if !value.is_null() => actor.name = Some(string(&path, value)?),
            "email" if !value.is_null() => actor.email = Some(string(&path, value)?),
            "metadata" if !value.is_null() => metadata = Some(Value::Object(object(&path, value)?)),
            "id" | "name" | "email" | "metadata" => {}
            _ => {
                return Err(malformed(&path, format!("unknown key \"{key}\" in {field}")));
            }
        }
    }
    if actor.kind.is_empty() {
        return Err(malformed(&format!("{field}.type"), format!("{field} has no type")));
    }
    Ok((actor, metadata))
}

/// An IP address, optionally with a prefix length, as PostgreSQL's inet takes it.
pub fn check_address(text: &str) -> bool {
    let (host, prefix) = match text.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (text, None),
    };
    let Ok(host) = host.parse::<IpAddr>() else {
        return false;
    };
    let longest = if host.is_ipv4() { 32 } else { 128 };
    let plain = |p: &str| !p.is_empty() && p.len() <= 3 && p.bytes().all(|b| b.is_ascii_digit());
    prefix.is_none_or(|p| plain(p) && p.parse::<u8>().is_ok_and(|p| p <= longest))
}

fn address(field: &str, value: &Value) -> Result<String, AuditError> {
    let text = string(field, value)?;
    if check_address(&text) {
        return Ok(text);
    }
    Err(malformed(field, format!("{field} \"{text}\" is not an IP address")))
}

fn route(field: &str, value: &Value) -> Result<Vec<String>, AuditError> {
    let Value::Array(items) = value else {
        return Err(malformed(field, format!("{field} is not an array of IP addresses")));
    };
    items.iter().enumerate().map(|(i, v)| address(&format!("{field}[{i}]"), v)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_whole_shape() {
        let context = Context::from_json(&json!({
            "organization": "acme",
            "actor": {"type": "user", "id": 7, "name": "Ann", "email": "a@x", "metadata": {"role": "admin"}},
            "effective_actor": {"type": "user", "id": "8"},
            "remote_addr": "2001:db8::1", "access_route": ["10.0.0.1", "::1"],
            "user_agent": "curl", "request_id": "r-1", "metadata": {"k": 1}
        }))
        .expect("well-formed");
        assert_eq!(context.actor.as_ref().and_then(|a| a.id.as_deref()), Some("7"));
        assert_eq!(context.metadata["actor"], json!({"role": "admin"}));
        assert_eq!(context.metadata["k"], json!(1));
        assert_eq!(context.access_route.map(|r| r.len()), Some(2));
        assert_eq!(Context::parse("  "), Ok(Context::default()));
    }

    #[test]
    fn every_fault_names_its_field() {
        for (context, field) in [
            (json!([]), "context"),
            (json!({"organisation": "x"}), "organisation"),
            (json!({"actr": null}), "actr"),
            (json!({"actor": "ann"}), "actor"),
            (json!({"organization": "x".repeat(256)}), "organization"),
            (json!({"actor": {"id": "1"}}), "actor.type"),
            (json!({"actor": {"type": "user", "id": []}}), "actor.id"),
            (json!({"actor": {"type": "user", "nick": "x"}}), "actor.nick"),
            (json!({"remote_addr": "localhost"}), "remote_addr"),
            (json!({"remote_addr": "1.2.3.4/33"}), "remote_addr"),
            (json!({"access_route": ["10.0.0.1", "x"]}), "access_route[1]"),
            (json!({"user_agent": "a\u{0}b"}), "user_agent"),
            (json!({"metadata": 1}), "metadata"),
        ] {
            let error = Context::from_json(&context).expect_err("must be refused");
            assert_eq!(error.field.as_deref(), Some(field), "{context}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,120}") {
            let _ = Context::parse(&text);
        }
    }
}
