//! Checks that the SQL functions of the vocabulary call.

use audit_log_model::AuditError;
use pgrx::pg_extern;
use serde_json::Value;

use crate::glue::error::{to_report, SqlResult};
use crate::store::vocabulary;

/// Fails where the argument is not a JSON Schema.
pub fn check_metadata_schema(metadata_schema: Option<Value>) -> Result<(), AuditError> {
    metadata_schema.map_or(Ok(()), |schema| vocabulary::compile(&schema).map(drop))
}

#[pg_extern(sql = false)]
fn check_vocabulary(field: &str, codes: Vec<Option<String>>) -> SqlResult<()> {
    let null = || AuditError::invalid(field, format!("{field} is null"), "Name a code of the vocabulary.");
    let codes: Option<Vec<String>> = codes.into_iter().collect();
    codes.ok_or_else(null).and_then(|codes| vocabulary::check(field, &codes)).map_err(to_report)
}
