//! `list_json`: a page of entries as the listing API answers.

use audit_log_model::list_request::ListRequest;
use audit_log_model::AuditError;
use serde_json::{json, Value};

use super::list::{prepare, read};
use crate::glue::memory::{with_current, Arena};
use crate::glue::row::Kept;
use crate::glue::spi::{self, Arg};
use crate::glue::{backend, jsonb, jsonb_read, value, varlena};
use crate::store::entry;

const BEFORE: usize = entry::place("before");
const AFTER: usize = entry::place("after");
const CHANGES: usize = entry::place("changes");

/// Row states of more bytes are left out: a page of a hundred must fit into one jsonb.
const MOST_SHOWN: usize = 1 << 20;

/// The answer to a request, or the envelope of what is wrong with it, as jsonb; anything but
/// the four codes is not the request's fault and is an error.
pub fn list_json(
    request: Result<Option<Value>, AuditError>,
    memory: &Arena,
) -> Result<value::Value<'_>, AuditError> {
    answered(request, answer, memory)
}

/// What `answer` says to a request, or the envelope of what is wrong with it.
pub fn answered<'m>(
    request: Result<Option<Value>, AuditError>,
    answer: fn(&Value, &'m Arena) -> Result<value::Value<'m>, AuditError>,
    memory: &'m Arena,
) -> Result<value::Value<'m>, AuditError> {
    let answer = request.and_then(|request| answer(&request.unwrap_or_default(), memory));
    answer.or_else(|error| match error.code.status() {
        Some(status) => jsonb::from_value(&failure(status, &error), memory),
        None => Err(error),
    })
}

fn answer<'m>(request: &Value, memory: &'m Arena) -> Result<value::Value<'m>, AuditError> {
    let request = ListRequest::from_json(request)?;
    let (scope, page) = prepare(&request).map_err(as_in_json)?;
    let (found, next) = read(&request, &page, &scope)?;
    success(found.iter().map(|one| &one.row), next.is_some(), next, memory)
}

/// The envelope of entries, as jsonb.
pub fn success<'a, 'm>(
    rows: impl Iterator<Item = &'a Kept>,
    more: bool,
    next: Option<String>,
    memory: &'m Arena,
) -> Result<value::Value<'m>, AuditError> {
    let results = rows.map(entry_json).collect::<Result<Vec<_>, _>>()?;
    let envelope = json!({"success": true, "results": [], "moreDataAvailable": more, "nextCursor": next});
    // Entries go through as they are stored: whatever jsonb holds is listed, and comes out unaltered.
    let results = jsonb_read::array(results, memory);
    let envelope = jsonb::from_value(&envelope, memory)?;
    let answer = jsonb_read::with_values(envelope, &[("results", Some(results))], memory);
    Ok(varlena::copy_of_bytes(&answer, memory))
}

/// An entry as the API shows it. Its row states are put in as the bytes they are: they may be nested as
/// deep as the stack allows.
fn entry_json(row: &Kept) -> Result<Vec<u8>, AuditError> {
    with_current(|memory| {
        let mut columns = entry::columns(row, memory);
        let states = [BEFORE, AFTER, CHANGES].map(|state| columns[state].take());
        let fits = jsonb::raw_size(states[0]) + jsonb::raw_size(states[1]) <= MOST_SHOWN;
        let (row_type, value) = backend::composite(c"entry", &columns, memory).ok_or_else(|| {
            AuditError::internal("audit_log.entry has other columns than this library knows")
        })?;
        let sql = include_str!("../../sql/queries/entry_json.sql");
        let args = [Arg::value(row_type, Some(value)), Arg::of(Some(fits))];
        spi::select(sql, &args, |rows| {
            let row = rows.iter().next();
            let json = row.as_ref().and_then(|row| row.column(1));
            let json = json.ok_or_else(|| AuditError::internal("entry_json gave nothing"))?;
            let [before, after, changes] = states.map(|state| state.filter(|_| fits));
            let values = [("before", before), ("after", after), ("changes", changes)];
            with_current(|memory| Ok(jsonb_read::with_values(json, &values, memory)))
        })
    })
}

/// Names an argument as the request spells it.
fn as_in_json(error: AuditError) -> AuditError {
    let spell = |text: &str| {
        let pairs = [("start_date", "startDate"), ("end_date", "endDate"), ("target_types", "targetTypes")];
        pairs.iter().fold(text.to_string(), |text, (sql, json)| text.replace(sql, json))
    };
    AuditError {
        message: spell(&error.message),
        hint: spell(&error.hint),
        field: error.field.as_deref().map(spell),
        ..error
    }
}

fn failure(status: u16, error: &AuditError) -> Value {
    let mut info = json!({"code": error.code.as_str(), "message": error.message});
    if let Some(field) = &error.field {
        info["field"] = Value::from(field.as_str());
    }
    json!({"success": false, "status": status, "errorInfo": info})
}
