//! `list_json`: a page of entries as the listing API answers.

use audit_log_model::list_request::ListRequest;
use audit_log_model::AuditError;
use serde_json::{json, Value};

use super::list::{prepare, read};
use crate::glue::args;
use crate::glue::backend;
use crate::glue::partition::Kept;
use crate::glue::spi::{self, Arg};
use crate::store::entry;

/// The answer to a request, or the envelope of what is wrong with it, as JSON text; anything but
/// the four codes is not the request's fault and is an error.
pub fn list_json(request: Result<Option<Value>, AuditError>) -> Result<String, AuditError> {
    answered(request, answer)
}

/// What `answer` says to a request, or the envelope of what is wrong with it.
pub fn answered(
    request: Result<Option<Value>, AuditError>,
    answer: fn(&Value) -> Result<String, AuditError>,
) -> Result<String, AuditError> {
    let answer = request.and_then(|request| answer(&request.unwrap_or_default()));
    answer.or_else(|error| match error.code.status() {
        Some(status) => Ok(failure(status, &error).to_string()),
        None => Err(error),
    })
}

fn answer(request: &Value) -> Result<String, AuditError> {
    let request = ListRequest::from_json(request)?;
    let (scope, page) = prepare(&request).map_err(as_in_json)?;
    let (found, next) = read(&request, &page, &scope)?;
    success(found.iter().map(|one| &one.row), next.is_some(), next)
}

/// The envelope of entries, as JSON text.
pub fn success<'a>(
    rows: impl Iterator<Item = &'a Kept>,
    more: bool,
    next: Option<String>,
) -> Result<String, AuditError> {
    // Entries go through as text: whatever jsonb holds is listed, and comes out unaltered.
    let results = rows.map(entry_json).collect::<Result<Vec<_>, _>>()?.join(",");
    let (more, next) = (Value::from(more), Value::from(next));
    Ok(format!(r#"{{"success":true,"results":[{results}],"moreDataAvailable":{more},"nextCursor":{next}}}"#))
}

/// An entry as the API shows it.
fn entry_json(row: &Kept) -> Result<String, AuditError> {
    let (row_type, value) = backend::composite(c"entry", &entry::columns(row)?)
        .ok_or_else(|| AuditError::internal("audit_log.entry has other columns than this library knows"))?;
    let sql = include_str!("../../sql/queries/entry_json.sql");
    spi::select(sql, &[Arg::datum(row_type, Some(value))], |rows| {
        let json = rows.iter().next().and_then(|row| row.datum(1));
        args::jsonb_text(json.ok_or_else(|| AuditError::internal("entry_json gave nothing"))?)
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
