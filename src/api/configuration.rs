//! The extension's own changes, as entries; and what tells sessions of them.

use audit_log_model::event::{Relation, Target};
use audit_log_model::AuditError;
use pgrx::{pg_extern, JsonB};
use serde_json::Value;

use crate::capture::row::with_context;
use crate::glue::backend;
use crate::glue::error::{to_report, SqlResult};
use crate::store::append::{self, NewEntry};
use crate::store::{context, organization, vocabulary};

#[pg_extern(sql = false)]
fn configuration_changed() {
    organization::changed();
}

#[pg_extern(sql = false)]
fn system_identifier() -> i64 {
    backend::system_identifier()
}

#[pg_extern(sql = false)]
fn record_configuration(
    category: &str,
    organization: Option<&str>,
    target_id: Option<&str>,
    metadata: Option<JsonB>,
) -> SqlResult<()> {
    record(category, organization.unwrap_or("default"), target_id, metadata.map(|m| m.0)).map_err(to_report)
}

fn record(
    category: &str,
    organization: &str,
    target_id: Option<&str>,
    metadata: Option<Value>,
) -> Result<(), AuditError> {
    // Nothing of a disabled organization is recorded, this included.
    if !organization::enabled(organization)? {
        return Ok(());
    }
    let context = context::current()?;
    let target_type = vocabulary::category(category)?.target_type;
    let target = Target::new(target_type, target_id.map(str::to_string), Relation::Primary);
    let mut all = context.metadata.clone();
    if let Some(Value::Object(own)) = metadata {
        all.extend(own);
    }
    append::append(&NewEntry {
        organization,
        category,
        targets: &[target],
        metadata: Some(&all),
        ..with_context(&context)
    })?;
    Ok(())
}
