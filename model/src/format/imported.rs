//! What an imported record says beyond its entry: its own id, the form of its ids and instants, and
//! whatever has no column here.
//!
//! The entry says what happened. A key's value is the record's where it means the same as the
//! entry's or where the entry has nothing for it, so that 191796 comes back as a number and
//! `2026-01-02T03:04:05+01:00` with its offset; where the two differ, it is the entry's.

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::list_request::parse_instant;

/// Where an imported entry came from: `{"format", "record"}`.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub format: &'a str,
    pub record: &'a Map<String, Value>,
}

impl<'a> Source<'a> {
    pub fn read(source: &'a Value) -> Option<Self> {
        Some(Source { format: source.get("format")?.as_str()?, record: source.get("record")?.as_object()? })
    }
}

/// The record's keys and no others: what it did not have, its product did not say.
pub fn as_it_came(rendered: &Map<String, Value>, record: &Map<String, Value>) -> Map<String, Value> {
    record.iter().map(|(key, recorded)| (key.clone(), settle(rendered.get(key), recorded))).collect()
}

/// The entry's value, in the record's form where the two agree.
fn settle(rendered: Option<&Value>, recorded: &Value) -> Value {
    match rendered {
        Some(rendered) if !agree(rendered, recorded) => rendered.clone(),
        _ => recorded.clone(),
    }
}

/// Whether the record says nothing else than the entry. Null and empty say nothing.
fn agree(rendered: &Value, recorded: &Value) -> bool {
    match (rendered, recorded) {
        (Value::Null, _) | (_, Value::Null) => true,
        (_, Value::Array(items)) if items.is_empty() => true,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            b.iter().all(|(key, recorded)| a.get(key).is_none_or(|rendered| agree(rendered, recorded)))
        }
        (a, b) => a == b || means_the_same(a, b),
    }
}

/// A number and its text, an instant and an address in two forms.
fn means_the_same(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (scalar(a), scalar(b)) else {
        return false;
    };
    let micros = |text: &str| parse_instant(text).map(|t| t.timestamp_micros());
    a == b
        || micros(&a).is_some_and(|instant| micros(&b) == Some(instant))
        || address(&a).is_some_and(|found| address(&b) == Some(found))
}

/// A string, or a number as its text.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// An address and its prefix length; of a single host all bits of it.
fn address(text: &str) -> Option<(IpAddr, u8)> {
    let (host, prefix) = match text.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (text, None),
    };
    let host: IpAddr = host.parse().ok()?;
    let all = if host.is_ipv4() { 32 } else { 128 };
    Some((host, prefix.map_or(Some(all), |p| p.parse().ok())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn two_forms_of_one_value_agree() {
        for (rendered, recorded) in [
            (json!("191796"), json!(191_796)),
            (json!("2026-01-02T02:04:05Z"), json!("2026-01-02T03:04:05+01:00")),
            (json!("2001:db8::1"), json!("2001:DB8:0::1/128")),
            (json!(null), json!({"kept": "by nobody else"})),
            (json!("default"), json!(null)),
            (json!([{"type": "job"}]), json!([])),
            (json!({"type": "job", "relation": "primary"}), json!({"type": "job", "depth": 2})),
        ] {
            assert!(agree(&rendered, &recorded), "{rendered} {recorded}");
        }
    }

    #[test]
    fn where_they_differ_the_entry_counts() {
        for (rendered, recorded) in [
            (json!("1"), json!("2")),
            (json!("10.0.0.0/8"), json!("10.0.0.0")),
            (json!([1, 2]), json!([2, 1])),
            (json!({"id": "1"}), json!({"id": "2"})),
            (json!({"id": "1"}), json!("1")),
        ] {
            assert_eq!(settle(Some(&rendered), &recorded), rendered);
        }
    }
}
