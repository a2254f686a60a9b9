//! Entries in other products' shapes, and in the Open Cybersecurity Schema Framework's.
//!
//! A format is a function from an entry, as the view `entry` shows it, to one JSON object. An
//! entry that was imported in a format's own shape comes back as its record: built from the entry,
//! and from the kept record where the entry has no place for something (`imported`).

mod ashby;
mod captivateiq;
mod columns;
mod gem;
mod greenhouse;
mod imported;
mod ocsf;

use serde_json::{Map, Value};

use crate::{nearest, AuditError};
use columns::Entry;
use imported::Source;

/// The formats `format` writes.
pub const FORMATS: [&str; 5] = ["ashby", "captivateiq", "gem", "greenhouse", "ocsf"];

/// The entry in the named format.
///
/// `entry` has the columns of the view `entry`, instants as ISO 8601 text in UTC, addresses and
/// `transaction_id` as text, NULL as null. `source` is, for an imported entry,
/// `{"format", "record"}`: the record as it came.
pub fn format(entry: &Map<String, Value>, source: Option<&Value>, format: &str) -> Result<Value, AuditError> {
    let entry = Entry(entry);
    let source = source.and_then(Source::read);
    let record_in = |format| source.filter(|s| s.format == format).map(|s| s.record);
    let rendered = match format {
        "ashby" => ashby::render(&entry, record_in("entry")),
        "captivateiq" => captivateiq::render(&entry, record_in("captivateiq")),
        "gem" => gem::render(&entry, record_in("gem")),
        "greenhouse" => greenhouse::render(&entry),
        "ocsf" => ocsf::render(&entry, source),
        other => return Err(unknown(other)),
    };
    Ok(Value::Object(rendered))
}

fn unknown(format: &str) -> AuditError {
    AuditError::invalid(
        "format",
        format!("unknown format \"{format}\""),
        nearest::hint(format, FORMATS, &format!("The formats are {}.", FORMATS.join(", "))),
    )
}

/// A JSON object of these keys.
fn object<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

/// A JSON object of those keys that have a value.
fn known<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    object(pairs).into_iter().filter(|(_, value)| !value.is_null()).collect()
}

/// The object, or null where it is empty.
fn or_null(map: Map<String, Value>) -> Value {
    match map.is_empty() {
        true => Value::Null,
        false => Value::Object(map),
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
