//! The options of a watched table as its trigger carries them, and the category rules in them.

use serde::Deserialize;
use serde_json::Value;

/// A column by name; the number says where it was when the trigger was written, so that a rename
/// that nobody followed is still understood.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Column(pub String, pub i16);

/// How much of a row is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capture {
    /// Inserts and deletes whole, of an update the changed columns.
    #[default]
    Changes,
    /// Every column, of an update too.
    Full,
    /// No row state.
    Keys,
}

/// What happened to a row or table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    Insert,
    Update,
    Delete,
    Truncate,
}

/// An operation as it is stored, with what the log must know of it and shows nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredOperation {
    Insert,
    Update,
    /// An update that took the row to an organization that is disabled.
    Left,
    /// An update that took the row from an organization that is disabled.
    Entered,
    Delete,
    Truncate,
    /// A truncate of one partition only.
    TruncatePartition,
}

impl StoredOperation {
    const ALL: [StoredOperation; 7] = [
        StoredOperation::Insert,
        StoredOperation::Update,
        StoredOperation::Left,
        StoredOperation::Entered,
        StoredOperation::Delete,
        StoredOperation::Truncate,
        StoredOperation::TruncatePartition,
    ];

    /// The one-letter form that is stored.
    pub fn letter(self) -> u8 {
        match self {
            StoredOperation::Insert => b'i',
            StoredOperation::Update => b'u',
            StoredOperation::Left => b'l',
            StoredOperation::Entered => b'e',
            StoredOperation::Delete => b'd',
            StoredOperation::Truncate => b't',
            StoredOperation::TruncatePartition => b'p',
        }
    }

    /// The operation that an entry shows by a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| Self::shown(one.letter()) == Some(name))
    }

    /// What an entry shows for a stored letter.
    pub fn shown(letter: u8) -> Option<&'static str> {
        Self::ALL.into_iter().find(|one| one.letter() == letter).map(|one| match one {
            StoredOperation::Insert => "insert",
            StoredOperation::Update | StoredOperation::Left | StoredOperation::Entered => "update",
            StoredOperation::Delete => "delete",
            StoredOperation::Truncate | StoredOperation::TruncatePartition => "truncate",
        })
    }
}

impl From<Operation> for StoredOperation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Insert => StoredOperation::Insert,
            Operation::Update => StoredOperation::Update,
            Operation::Delete => StoredOperation::Delete,
            Operation::Truncate => StoredOperation::Truncate,
        }
    }
}

/// The category an operation has where no rule says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DefaultCategories {
    pub insert: String,
    pub update: String,
    pub delete: String,
    pub truncate: String,
}

/// One category rule; the first that matches wins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rule {
    pub on: Operation,
    pub column: Option<Column>,
    /// Absent: any value. `null` in JSON means SQL NULL and is kept apart from absent.
    #[serde(default, deserialize_with = "present")]
    pub from: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    pub to: Option<Value>,
    pub category: String,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WatchOptions {
    pub target_type: String,
    pub target_id: Vec<Column>,
    #[serde(default)]
    pub target_name: Option<Column>,
    #[serde(default)]
    pub organization: Option<Column>,
    /// Pairs of target type and column, in the order they become targets.
    #[serde(default)]
    pub parents: Vec<(String, Column)>,
    #[serde(default)]
    pub rules: Vec<Rule>,
    #[serde(default)]
    pub ignore: Vec<Column>,
    #[serde(default)]
    pub redact: Vec<Column>,
    #[serde(default)]
    pub capture: Capture,
    pub defaults: DefaultCategories,
}

impl WatchOptions {
    pub fn default_category(&self, operation: Operation) -> &str {
        match operation {
            Operation::Insert => &self.defaults.insert,
            Operation::Update => &self.defaults.update,
            Operation::Delete => &self.defaults.delete,
            Operation::Truncate => &self.defaults.truncate,
        }
    }
}

/// Whether a rule's `from` or `to` stands for a column's value (`None` is SQL NULL).
///
/// Booleans compare as `true` and `false`, numbers by value, everything else by its text.
pub fn value_matches(wanted: &Value, value: Option<&str>) -> bool {
    let Some(value) = value else {
        return wanted.is_null();
    };
    match wanted {
        Value::Null => false,
        Value::Bool(b) => matches!((b, value), (true, "t" | "true") | (false, "f" | "false")),
        Value::String(s) => s == value || matches!((s.as_str(), value), ("true", "t") | ("false", "f")),
        Value::Number(n) => {
            let text = n.to_string();
            let same = || Some(text.parse::<f64>().ok()? == value.parse::<f64>().ok()?);
            text == value || same().unwrap_or(false)
        }
        Value::Array(_) | Value::Object(_) => {
            serde_json::from_str::<Value>(value).is_ok_and(|v| v == *wanted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_compare_as_people_write_them() {
        assert!(value_matches(&json!("open"), Some("open")));
        assert!(!value_matches(&json!("open"), None));
        assert!(value_matches(&json!(null), None));
        assert!(!value_matches(&json!(null), Some("")));
        assert!(value_matches(&json!(true), Some("t")));
        assert!(!value_matches(&json!(false), Some("t")));
        assert!(value_matches(&json!(1), Some("1.00")));
        assert!(!value_matches(&json!(1), Some("one")));
        assert!(value_matches(&json!({"a": 1}), Some("{\"a\": 1}")));
    }

    #[test]
    fn null_and_absent_are_different_in_a_rule() {
        let rule: Rule = serde_json::from_value(
            json!({"on": "update", "column": ["c", 1], "from": null, "category": "x"}),
        )
        .unwrap();
        assert_eq!(rule.from, Some(Value::Null));
        assert_eq!(rule.to, None);
    }
}
