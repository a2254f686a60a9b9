//! A sync's request in its JSON shape.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::list_request::{check_keys, date, text, whole_number};
use crate::AuditError;

/// What a caller asked of `sync_json`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncRequest {
    pub cursor: Option<String>,
    pub limit: Option<i64>,
    pub organization: Option<String>,
    /// Without a cursor: the earliest past entries wanted; None for none.
    pub backfill_start_time: Option<DateTime<Utc>>,
}

impl SyncRequest {
    /// Reads the JSON shape; an unknown key is an error, `null` is the same as leaving a key out.
    pub fn from_json(request: &Value) -> Result<Self, AuditError> {
        let Value::Object(map) = request else {
            return Err(AuditError::invalid(
                "request",
                "the request is not a JSON object",
                "Give an object.",
            ));
        };
        check_keys(map, &["cursor", "limit", "organization", "backfillStartTime"])?;
        let request = SyncRequest {
            cursor: text(map, "cursor")?,
            limit: whole_number(map, "limit")?,
            organization: text(map, "organization")?,
            backfill_start_time: date(map, "backfillStartTime")?,
        };
        if request.cursor.is_some() && request.backfill_start_time.is_some() {
            return Err(AuditError::invalid(
                "backfillStartTime",
                "cursor and backfillStartTime are both given",
                "Begin with backfillStartTime, and go on with the cursor alone.",
            ));
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_names_what_is_wrong_with_it() {
        let field = |request| SyncRequest::from_json(&request).err().and_then(|error| error.field);
        assert_eq!(field(json!({})), None);
        assert_eq!(field(json!({"cursor": "x", "limit": 5, "organization": null})), None);
        assert_eq!(field(json!([])).as_deref(), Some("request"));
        assert_eq!(field(json!({"cursors": 1})).as_deref(), Some("cursors"));
        assert_eq!(field(json!({"limit": "5"})).as_deref(), Some("limit"));
        let both = json!({"cursor": "x", "backfillStartTime": "2026-01-01"});
        assert_eq!(field(both).as_deref(), Some("backfillStartTime"));
    }
}
