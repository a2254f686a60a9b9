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
pub mod looked_up;
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
pub mod signal;
pub mod stamp;
pub mod sync;
pub mod tables;
pub mod totals;
pub mod vocabulary;

use pgrx::pg_sys;

use signal::Fate;

/// Tells of the end of a transaction or of a part of it.
pub fn transaction_went_on(fate: Fate) {
    match fate {
        Fate::Ended { .. } => pending::forget(),
        Fate::SubtransactionAborted(subtransaction) => pending::subtransaction_aborted(subtransaction),
        Fate::SubtransactionCommitted { subtransaction, parent } => {
            pending::subtransaction_committed(subtransaction, parent)
        }
    }
    feed::transaction_went_on(fate);
    organization::transaction_went_on(fate);
}

/// Forgets what may have changed in another session, or what this one has rolled back.
pub fn relation_changed(relation: Option<pg_sys::Oid>) {
    organization::relation_changed(relation);
    feed::relation_changed(relation);
    vocabulary::relation_changed(relation);
    context::relation_changed(relation);
    tables::relation_changed(relation);
    if relation.is_none() {
        session::forget();
    }
}
