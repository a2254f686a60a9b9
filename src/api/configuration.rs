//! The extension's own changes, as entries; and what tells sessions of them.

use audit_log_model::event::{Relation, Target};
use audit_log_model::AuditError;
use pgrx::pg_extern;
use serde_json::{Map, Value};

use crate::glue::memory::with_current;
use crate::glue::{backend, spi};
use crate::store::append::{self, NewEntry};
use crate::store::{context, organization, vocabulary};

#[pg_extern(sql = false)]
fn system_identifier() -> i64 {
    backend::system_identifier()
}

/// Records a change of the extension's own configuration; nothing in a disabled organization.
pub fn record(
    category: &str,
    organization: Option<&str>,
    target_id: Option<&str>,
    metadata: Option<Value>,
) -> Result<(), AuditError> {
    let organization = organization.unwrap_or("default");
    // Nothing of a disabled organization is recorded, this included.
    if !organization::enabled(organization)? {
        return Ok(());
    }
    // Before the first entry of the range: later it would have to be moved there.
    spi::execute(include_str!("../../sql/queries/ensure_partitions.sql"), &[])?;
    append(category, organization, target_id.map(str::to_string), metadata)
}

/// Records what happened to a watched table or its watch: in the default organization, whether that is
/// enabled or not.
pub fn record_own(
    category: &str,
    target_id: Option<String>,
    metadata: Option<Value>,
) -> Result<(), AuditError> {
    spi::execute(include_str!("../../sql/queries/ensure_partitions.sql"), &[])?;
    append(category, "default", target_id, metadata)
}

/// Records a purge: in the organization, or in the default one where that is disabled.
pub fn record_removal(
    organization: &str,
    partition: Option<String>,
    metadata: Option<Value>,
) -> Result<(), AuditError> {
    for place in [organization, "default"] {
        if organization::enabled(place)? {
            return append("retention_run", place, partition, metadata);
        }
    }
    Ok(())
}

fn append(
    category: &str,
    organization: &str,
    target_id: Option<String>,
    metadata: Option<Value>,
) -> Result<(), AuditError> {
    let context = context::current()?;
    let target_type = vocabulary::category(category)?.target_type;
    let target = Target::new(target_type, target_id, Relation::Primary);
    let own = match metadata {
        Some(Value::Object(own)) => own,
        _ => Map::new(),
    };
    with_current(|memory| {
        append::append(&NewEntry {
            organization,
            category,
            targets: &[target],
            metadata: context.metadata(own, memory)?,
            ..NewEntry::from(&context.provenance)
        })
    })?;
    Ok(())
}
