//! `list_json`: a page of entries as the listing API answers.

use audit_log_model::list_request::ListRequest;
use audit_log_model::AuditError;
use pgrx::{pg_extern, JsonB};
use serde_json::{json, Value};

use super::list::prepare;
use crate::glue::error::{to_report, SqlResult};
use crate::store::page::{self, Shape};

#[pg_extern(sql = false)]
fn list_json(request: Option<JsonB>) -> SqlResult<JsonB> {
    let request = request.map(|r| r.0).unwrap_or_default();
    match answer(&request) {
        Ok(answer) => Ok(JsonB(answer)),
        Err(error) => match error.code.status() {
            Some(status) => Ok(JsonB(failure(status, &error))),
            // Anything but the four codes is not the request's fault.
            None => Err(to_report(error)),
        },
    }
}

fn answer(request: &Value) -> Result<Value, AuditError> {
    let request = ListRequest::from_json(request)?;
    let (scope, page) = prepare(&request, ["targetTypes", "categories"])?;
    let mut results = Vec::new();
    let next = page::read(&request, &page, &scope, Shape::Json, |row, _| {
        results.extend(row.get::<JsonB>(3).map(|entry| entry.0));
        Ok(())
    })?;
    Ok(json!({
        "success": true,
        "results": results,
        "moreDataAvailable": next.is_some(),
        "nextCursor": next,
    }))
}

fn failure(status: u16, error: &AuditError) -> Value {
    let mut info = json!({"code": error.code.as_str(), "message": error.message});
    if let Some(field) = &error.field {
        info["field"] = Value::from(field.as_str());
    }
    json!({"success": false, "status": status, "errorInfo": info})
}
