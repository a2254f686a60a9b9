//! Row changes become entries.

pub mod ddl;
pub mod image;
pub mod moved;
pub mod plan;
pub mod row;
pub mod truncate;

use pgrx::pg_sys;

/// The last moment to write what still waits for its other half.
pub fn before_commit() {
    if !moved::is_empty() {
        crate::glue::error::unwrap_or_raise(crate::glue::backend::with_snapshot(row::flush_pending));
    }
}

pub fn transaction_ended() {
    moved::forget();
    truncate::forget();
}

pub fn subtransaction_aborted(subtransaction: u32) {
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
