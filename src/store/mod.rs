//! The log's tables: appending entries, organizations, vocabulary, context, reading pages.

pub mod append;
pub mod context;
pub mod feed;
pub mod guard;
pub mod organization;
pub mod page;
pub mod vocabulary;

use pgrx::pg_sys;

/// Forgets what was only true if the transaction had committed.
pub fn transaction_ended(committed: bool) {
    feed::transaction_ended(committed);
    if !committed {
        organization::forget();
    }
}

/// Forgets what may have changed in another session.
pub fn relation_changed(relation: Option<pg_sys::Oid>) {
    organization::relation_changed(relation);
}
