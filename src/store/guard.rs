//! Nobody changes entries.

use audit_log_model::watch_options::Operation;
use audit_log_model::{AuditError, Code};

/// Refuses what its trigger fired on.
pub fn refuse(operation: Operation) -> Result<(), AuditError> {
    let verb = match operation {
        Operation::Update => "updated",
        Operation::Delete => "deleted",
        Operation::Truncate => "truncated",
        Operation::Insert => "changed",
    };
    Err(AuditError::new(
        Code::EntriesAreAppendOnly,
        format!("audit log entries cannot be {verb}"),
        "Entries are append-only for everybody, the tables' owner included; only retention removes them, by rule.",
    ))
}
