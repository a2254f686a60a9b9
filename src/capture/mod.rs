//! Row changes become entries.

pub mod ddl;
pub mod image;
pub mod moved;
pub mod plan;
pub mod row;
pub mod truncate;

use audit_log_model::AuditError;
use pgrx::pg_sys;

use crate::glue::backend;

/// The last moment to write what still waits for its other half.
pub fn before_commit() -> Result<(), AuditError> {
    match moved::is_empty() {
        true => Ok(()),
        false => backend::with_snapshot(row::flush_pending),
    }
}

pub fn transaction_ended() {
    moved::forget();
    truncate::forget();
    ddl::aborted();
}

pub fn subtransaction_aborted(subtransaction: u32) {
    ddl::aborted();
    moved::subtransaction_aborted(subtransaction);
    truncate::subtransaction_aborted(subtransaction);
}

pub fn subtransaction_committed(subtransaction: u32, parent: u32) {
    moved::subtransaction_committed(subtransaction, parent);
    truncate::subtransaction_committed(subtransaction, parent);
}

pub fn relation_changed(relation: Option<pg_sys::Oid>) {
    plan::relation_changed(relation);
}
