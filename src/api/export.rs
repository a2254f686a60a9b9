//! Export: what `export` checks and records before it reads, and other products' formats.

use audit_log_model::deep_json::Folder;
use audit_log_model::{format, window, AuditError};
use serde_json::{json, Map, Value};

use super::configuration;
use super::list::{allowed, Arguments};
use crate::glue::backend;

/// Checks an export as a listing, and records it in the organization it is of.
pub fn begin(arguments: Arguments) -> Result<(), AuditError> {
    let request = arguments.check()?;
    allowed(&request)?;
    if request.start.zip(request.end).is_some_and(|(start, end)| start >= end) {
        return Err(window::empty());
    }
    if backend::is_read_only() {
        pgrx::notice!("this export is not recorded: nothing can be written here");
        return Ok(());
    }
    let mut filters = Map::new();
    let lists = [
        ("actor_ids", &request.actor_ids),
        ("target_ids", &request.target_ids),
        ("target_types", &request.target_types),
        ("categories", &request.categories),
    ];
    for (name, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
        filters.insert(name.into(), json!(values));
    }
    for (name, bound) in [("start_date", request.start), ("end_date", request.end)] {
        filters.extend(bound.map(|bound| (name.into(), json!(bound.to_rfc3339()))));
    }
    filters.extend(request.organization.iter().map(|id| ("organization".into(), json!(id))));
    let metadata = json!({"format": "rows", "filters": filters});
    configuration::record("data_export", request.organization.as_deref(), None, Some(metadata))
}

/// An entry, given as the JSON of its row and where it was imported from, in another product's shape.
/// Any depth and any keys go through (`deep_json`).
pub fn format(entry: Option<String>, source: Option<String>, name: &str) -> Result<String, AuditError> {
    let entry = entry.unwrap_or_default();
    let mut folder = Folder::new(&[&entry, source.as_deref().unwrap_or_default()]);
    let mut parsed = |text: &str| serde_json::from_str(&folder.fold(text)).ok();
    let source = source.as_deref().and_then(&mut parsed);
    match parsed(&entry) {
        Some(Value::Object(entry)) => {
            let formatted = format::format(&entry, source.as_ref(), name)?;
            Ok(folder.unfold(&formatted.to_string()))
        }
        _ => Err(AuditError::invalid("entry", "the entry is null", "Give a row of audit_log.entry.")),
    }
}
