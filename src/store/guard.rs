//! Nobody changes entries, but retention.

use std::cell::Cell;

use audit_log_model::watch_options::Operation;
use audit_log_model::{AuditError, Code};

thread_local! {
    static RETENTION_AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, entries may be deleted. No setting reaches it, and only `store::retention`, whose
/// statements are fixed, makes one.
pub struct Lifted(());

impl Lifted {
    pub fn begin() -> Lifted {
        RETENTION_AT_WORK.set(true);
        Lifted(())
    }
}

impl Drop for Lifted {
    fn drop(&mut self) {
        RETENTION_AT_WORK.set(false);
    }
}

/// Refuses what its trigger fired on.
pub fn refuse(operation: Operation) -> Result<(), AuditError> {
    let verb = match operation {
        Operation::Delete if RETENTION_AT_WORK.get() => return Ok(()),
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
