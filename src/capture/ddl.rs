//! DDL on watched tables: what their triggers carry follows it.

use audit_log_model::AuditError;

use crate::glue::event_trigger::{in_binary_upgrade, EventTriggerCall, PartitionChange};
use crate::glue::spi::{self, Arg};

/// The event trigger. What it does is SQL; here is only what SQL cannot see of a command.
pub fn follow(call: &EventTriggerCall) -> Result<(), AuditError> {
    if in_binary_upgrade() {
        return Ok(());
    }
    let sql = include_str!("../../sql/queries/follow_commands.sql");
    let change = call.partition_change();
    let args = [PartitionChange::Added, PartitionChange::Removed].map(|c| Arg::of(Some(c == change)));
    spi::execute(sql, &args)?;
    Ok(())
}
