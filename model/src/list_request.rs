//! A listing's request: its JSON shape, its checks, and the fingerprint its cursor is bound to.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::cursor::{Fingerprint, ListCursor};
use crate::stored_id::stored_id;
use crate::window::{self, Window};
use crate::{AuditError, Code};

/// The most values one filter may name.
pub const MAX_ITEMS: usize = 100;
/// The largest page, and the page where no limit is given.
pub const MAX_LIMIT: i64 = 100;

/// What a caller asked of `list`; filters hold no NULL and no duplicates, in sorted order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    pub cursor: Option<String>,
    pub limit: i64,
    pub start: Option<DateTime<Utc>>,
    pub end: Option<DateTime<Utc>>,
    pub actor_ids: Vec<String>,
    pub target_ids: Vec<String>,
    pub target_types: Vec<String>,
    pub categories: Vec<String>,
    pub organization: Option<String>,
}

/// Where a page begins: the whole window, or behind a row of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub window: Window,
    pub after: Option<ListCursor>,
}

impl ListRequest {
    /// Reads the JSON shape; an unknown key is an error, `null` is the same as leaving a key out.
    pub fn from_json(request: &Value) -> Result<Self, AuditError> {
        let Value::Object(map) = request else {
            return Err(invalid("request", "the request is not a JSON object"));
        };
        const KNOWN: [&str; 9] = [
            "cursor",
            "limit",
            "startDate",
            "endDate",
            "actorIds",
            "targetIds",
            "targetTypes",
            "categories",
            "organization",
        ];
        check_keys(map, &KNOWN)?;
        Ok(ListRequest {
            cursor: text(map, "cursor")?,
            limit: check_limit(whole_number(map, "limit")?)?,
            start: date(map, "startDate")?,
            end: date(map, "endDate")?,
            actor_ids: as_stored(texts(map, "actorIds")?),
            target_ids: as_stored(texts(map, "targetIds")?),
            target_types: texts(map, "targetTypes")?,
            categories: texts(map, "categories")?,
            organization: text(map, "organization")?,
        })
    }

    /// Binds window and filters; the limit and the cursor itself may change from page to page.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        let mut part = |tag: u8, values: &[String]| {
            hash.update([tag]);
            for value in values {
                hash.update((value.len() as u64).to_be_bytes());
                hash.update(value.as_bytes());
            }
        };
        let instant = |t: &Option<DateTime<Utc>>| -> Vec<String> {
            t.iter().map(|t| t.timestamp_micros().to_string()).collect()
        };
        part(b's', &instant(&self.start));
        part(b'e', &instant(&self.end));
        part(b'a', &self.actor_ids);
        part(b't', &self.target_ids);
        part(b'T', &self.target_types);
        part(b'c', &self.categories);
        part(b'o', self.organization.as_slice());
        let mut print = Fingerprint::default();
        print.copy_from_slice(&hash.finalize()[..16]);
        print
    }

    /// Resolves where the page begins: by the cursor if there is one, else by the window rules.
    pub fn page(&self, now: DateTime<Utc>) -> Result<Page, AuditError> {
        let Some(text) = &self.cursor else {
            return Ok(Page { window: window::resolve(self.start, self.end, now)?, after: None });
        };
        let cursor = ListCursor::decode(text)?;
        if cursor.filters != self.fingerprint() {
            return Err(AuditError::cursor(
                "the cursor was made for another window or other filters than this call's",
            ));
        }
        let bound = |micros| {
            DateTime::from_timestamp_micros(micros)
                .ok_or_else(|| AuditError::cursor("the cursor names an impossible instant"))
        };
        let window = Window { start: bound(cursor.start)?, end: bound(cursor.end)? };
        Ok(Page { window, after: Some(cursor) })
    }
}

/// Refuses keys that a request does not have.
pub(crate) fn check_keys(map: &Map<String, Value>, known: &[&str]) -> Result<(), AuditError> {
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(AuditError::invalid(
            unknown.clone(),
            format!("unknown request key \"{unknown}\""),
            crate::nearest::hint(
                unknown,
                known.iter().copied(),
                &format!("The keys are {}.", known.join(", ")),
            ),
        )),
    }
}

/// Checks a limit: above the maximum it is the maximum, below 1 it is an error.
pub fn check_limit(limit: Option<i64>) -> Result<i64, AuditError> {
    match limit {
        None => Ok(MAX_LIMIT),
        Some(n) if n < 1 => Err(AuditError::invalid(
            "limit",
            format!("limit {n} is below 1"),
            format!("Ask for 1 to {MAX_LIMIT} entries a page."),
        )),
        Some(n) => Ok(n.min(MAX_LIMIT)),
    }
}

/// Checks a filter's values and brings them into canonical order.
pub fn check_items(field: &str, items: Vec<Option<String>>) -> Result<Vec<String>, AuditError> {
    if items.len() > MAX_ITEMS {
        return Err(AuditError::invalid(
            field,
            format!("{field} has {} items, more than {MAX_ITEMS}", items.len()),
            format!("Split the list: one call takes at most {MAX_ITEMS} values a filter."),
        ));
    }
    let mut values = items
        .into_iter()
        .enumerate()
        .map(|(i, item)| {
            item.ok_or_else(|| {
                AuditError::invalid(
                    field,
                    format!("item {} of {field} is null", i + 1),
                    "Leave null items out; an empty array filters nothing.",
                )
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    values.sort_unstable();
    values.dedup();
    Ok(values)
}

/// Checks a filter's ids, which may be given whole, and brings them into canonical order as they are stored.
pub fn check_ids(field: &str, items: Vec<Option<String>>) -> Result<Vec<String>, AuditError> {
    check_items(field, items).map(as_stored)
}

fn as_stored(ids: Vec<String>) -> Vec<String> {
    let mut stored: Vec<String> = ids.iter().map(|id| stored_id(id).into_owned()).collect();
    stored.sort_unstable();
    stored.dedup();
    stored
}

/// Parses an ISO 8601 instant, a month (`2026-05`) or a date; without an offset it is UTC.
pub fn parse_instant(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(t) = DateTime::parse_from_rfc3339(text) {
        return Some(t.with_timezone(&Utc));
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M:%S%.f%#z"] {
        if let Ok(t) = DateTime::parse_from_str(text, format) {
            return Some(t.with_timezone(&Utc));
        }
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(t) = NaiveDateTime::parse_from_str(text, format) {
            return Some(t.and_utc());
        }
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .or_else(|_| NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d"));
    date.ok().map(|d| d.and_time(NaiveTime::MIN).and_utc())
}

fn invalid(field: &str, message: impl Into<String>) -> AuditError {
    AuditError {
        field: Some(field.to_string()),
        ..AuditError::new(
            Code::InvalidInput,
            message,
            "See COMMENT ON FUNCTION audit_log.list_json for the request's shape.",
        )
    }
}

pub(crate) fn text(map: &Map<String, Value>, key: &str) -> Result<Option<String>, AuditError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(s)) => Ok(Some(s.clone())),
        Some(_) => Err(invalid(key, format!("{key} is not a string"))),
    }
}

fn texts(map: &Map<String, Value>, key: &str) -> Result<Vec<String>, AuditError> {
    let items = match map.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(invalid(key, format!("{key} is not an array of strings"))),
    };
    let items = items
        .iter()
        .map(|item| match item {
            Value::String(s) => Ok(Some(s.clone())),
            Value::Null => Ok(None),
            _ => Err(invalid(key, format!("{key} holds something that is not a string"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    check_items(key, items)
}

pub(crate) fn whole_number(map: &Map<String, Value>, key: &str) -> Result<Option<i64>, AuditError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(n)) => {
            let whole = n
                .as_i64()
                .or_else(|| n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 1e15).map(|f| f as i64));
            whole.map(Some).ok_or_else(|| invalid(key, format!("{key} is not a whole number")))
        }
        Some(_) => Err(invalid(key, format!("{key} is not a number"))),
    }
}

pub(crate) fn date(map: &Map<String, Value>, key: &str) -> Result<Option<DateTime<Utc>>, AuditError> {
    let Some(given) = text(map, key)? else {
        return Ok(None);
    };
    parse_instant(&given).map(Some).ok_or_else(|| {
        AuditError::invalid(
            key,
            format!("{key} \"{given}\" is not a valid ISO 8601 date"),
            "Write it like 2026-05-01 or 2026-05-01T09:30:00Z.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn iso_8601_dates() {
        let second = |s: &str| parse_instant(s).map(|t| t.timestamp());
        assert_eq!(second("2026-05-01"), Some(1_777_593_600));
        assert_eq!(second("2026-05"), second("2026-05-01"));
        assert_eq!(second("2026-05-01T02:00"), Some(1_777_593_600 + 7200));
        assert_eq!(second("2026-05-01T02:00:00+02:00"), second("2026-05-01"));
        assert_eq!(second("2026-05-01T02:00:00.5+0200"), second("2026-05-01"));
        assert_eq!(second("2026-05-01T00:00:00Z"), second("2026-05-01"));
        for bad in ["", "yesterday", "2026-13-01", "2026-02-30", "01/05/2026", "2026-05-01T25:00:00Z"] {
            assert_eq!(parse_instant(bad), None, "{bad}");
        }
    }

    #[test]
    fn unknown_keys_and_wrong_types_name_the_field() {
        for (request, field) in [
            (json!({"actorIDs": []}), "actorIDs"),
            (json!({"limit": "ten"}), "limit"),
            (json!({"limit": 1.5}), "limit"),
            (json!({"limit": 0}), "limit"),
            (json!({"startDate": "soon"}), "startDate"),
            (json!({"categories": "job_created"}), "categories"),
            (json!({"actorIds": [null]}), "actorIds"),
            (json!({"targetIds": [7]}), "targetIds"),
            (json!({"targetTypes": vec!["job"; 101]}), "targetTypes"),
            (json!([]), "request"),
        ] {
            let error = ListRequest::from_json(&request).expect_err("must be refused");
            assert_eq!(error.field.as_deref(), Some(field), "{request}");
            assert_eq!(error.code, Code::InvalidInput);
        }
    }

    #[test]
    fn limits() {
        assert_eq!(check_limit(None), Ok(100));
        assert_eq!(check_limit(Some(1)), Ok(1));
        assert_eq!(check_limit(Some(i64::MAX)), Ok(100));
        assert!(check_limit(Some(0)).is_err());
        assert!(check_limit(Some(-1)).is_err());
    }

    fn request(ids: &[String], org: Option<String>) -> ListRequest {
        let items = ids.iter().cloned().map(Some).collect();
        ListRequest {
            limit: 10,
            actor_ids: check_items("actor_ids", items).expect("short enough"),
            organization: org,
            ..ListRequest::default()
        }
    }

    proptest! {
        #[test]
        fn a_cursor_fits_its_own_request_only(
            mut a in proptest::collection::vec("[a-c]{1,2}", 0..4),
            b in proptest::collection::vec("[a-c]{1,2}", 0..4),
            org in proptest::option::of("[xy]"),
        ) {
            let one = request(&a, org.clone());
            let cursor = ListCursor {
                start: 0, end: 1_000, occurred_at: 10, id: uuid::Uuid::nil(), filters: one.fingerprint(),
            };
            let with_cursor = |r: &ListRequest| ListRequest { cursor: Some(cursor.encode()), limit: 3, ..r.clone() };
            prop_assert!(with_cursor(&one).page(Utc::now()).is_ok());
            a.reverse();
            prop_assert!(with_cursor(&request(&a, org.clone())).page(Utc::now()).is_ok());
            let other = request(&b, org.clone());
            prop_assert_eq!(with_cursor(&other).page(Utc::now()).is_ok(), other.actor_ids == one.actor_ids);
            let elsewhere = request(&a, Some("elsewhere".into()));
            prop_assert!(with_cursor(&elsewhere).page(Utc::now()).is_err());
        }

        #[test]
        fn no_json_panics(text in "\\{(\"(cursor|limit|startDate|actorIds|x)\":(null|[0-9e.-]{1,8}|\"[^\"\\\\]{0,12}\"|\\[(\"a\",?|null,?|1,?)*\\]),?){0,4}\\}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                if let Ok(request) = ListRequest::from_json(&value) {
                    let _ = request.page(Utc::now());
                    prop_assert!((1..=100).contains(&request.limit));
                }
            }
        }

        #[test]
        fn no_date_panics(text in ".{0,40}") {
            let _ = parse_instant(&text);
        }
    }
}
