//! The log's tables: appending entries, organizations, vocabulary, context, reading pages, retention.

pub mod append;
pub mod context;
pub mod criteria;
pub mod entry;
pub mod feed;
pub mod feed_reader;
pub mod feed_rows;
pub mod filter;
pub mod guard;
pub mod names;
pub mod newest;
pub mod organization;
pub mod page;
pub mod partition_query;
pub mod pending;
pub mod provenance;
pub mod reader;
pub mod related;
pub mod retention;
pub mod session;
pub mod stamp;
pub mod sync;
pub mod tables;
pub mod totals;
pub mod vocabulary;

use pgrx::pg_sys;

/// Forgets what was only true if the transaction had committed.
pub fn transaction_ended(committed: bool) {
    pending::forget();
    feed::transaction_ended(committed);
    if !committed {
        rolled_back();
    }
}

/// Forgets what may have changed in another session.
pub fn relation_changed(relation: Option<pg_sys::Oid>) {
    organization::relation_changed(relation);
    feed::relation_changed(relation);
    tables::relation_changed(relation);
    if relation.is_none() {
        session::forget();
        vocabulary::forget();
    }
}

pub fn subtransaction_aborted(subtransaction: u32) {
    pending::subtransaction_aborted(subtransaction);
    feed::transaction_ended(false);
    rolled_back();
}

/// Forgets what may only have been true in what was rolled back.
fn rolled_back() {
    organization::forget();
    vocabulary::forget();
    entry::forget();
}
