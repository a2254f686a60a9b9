//! The feed's order: epoch (one a cluster the log has lived in) and top-level transaction.

use std::cell::Cell;

use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::signal::{Fate, Signal, Word};
use crate::glue::current_rows::{CurrentRow, Table, Written};
use crate::glue::spi::{self, Arg};
use crate::glue::value::Value;
use crate::glue::{backend, board};

/// Transactions take the low bits of a feed number.
const TRANSACTION_BITS: u32 = 48;

/// The clusters and databases that the log has lived in: epoch, system_identifier, database_oid.
const EPOCHS: Table = Table::new(c"feed_epoch", Written::AppendOnly, None);
/// The log's names: id, created_at. The oldest counts.
const IDENTITIES: Table = Table::new(c"log_identity", Written::InPlace, None);

#[derive(Clone, Copy)]
struct Epoch {
    number: i16,
    word: Word,
}

thread_local! {
    static EPOCH: Cell<Option<Epoch>> = const { Cell::new(None) };
    /// This transaction wrote entries, be it in a subtransaction that was rolled back since.
    static HAS_WRITTEN: Cell<bool> = const { Cell::new(false) };
    static SIGNAL: Signal = const { Signal::of(EPOCHS.name) };
}

/// The feed number of what this transaction writes.
pub fn number() -> Result<i64, AuditError> {
    let epoch = match EPOCH.get() {
        Some(epoch) => epoch,
        None => {
            let moment = SIGNAL.with(Signal::now);
            let epoch = find_or_begin()?;
            EPOCH.set(SIGNAL.with(|signal| signal.is_unchanged_since(moment)).then_some(epoch));
            epoch
        }
    };
    Ok((i64::from(epoch.number) << TRANSACTION_BITS) | backend::transaction() as i64)
}

/// The same for an entry, which will then be there to be counted.
pub fn number_of_entry() -> Result<i64, AuditError> {
    HAS_WRITTEN.set(true);
    number()
}

/// A cluster and a database of it: where a log lives.
pub type Home = (i64, u32);

/// Where this log lives now.
pub fn here() -> Home {
    (backend::system_identifier(), backend::database())
}

fn home((system, database): Home) -> [Arg<'static>; 2] {
    [Arg::of(Some(system)), Arg::of(Some(pg_sys::Oid::from(database)))]
}

/// The epoch that a row of `feed_epoch` is of, and where that was.
fn epoch_and_home(row: &CurrentRow) -> Option<(i16, Home)> {
    Some((row.get(0)?, (row.get(1)?, row.get::<pg_sys::Oid>(2)?.into())))
}

/// The epoch of this cluster's transactions, and whether it has begun: with the first write it does.
pub fn epoch_here() -> (i16, bool) {
    let (epoch, has_begun) = find();
    (epoch.number, has_begun)
}

fn find() -> (Epoch, bool) {
    let here = here();
    let (mut newest, mut mine): (i16, Option<Epoch>) = (0, None);
    EPOCHS.each(|row| {
        let Some((number, home)) = epoch_and_home(row) else { return };
        newest = newest.max(number);
        // Of several rows of one epoch one that is committed is enough.
        let is_better =
            |known: Epoch| number > known.number || number == known.number && known.word != Word::Everybodys;
        if home == here && mine.is_none_or(is_better) {
            mine = Some(Epoch { number, word: Word::just_read(row.is_own()) });
        }
    });
    // A log that was in another cluster since must not fall back behind it.
    match mine.filter(|epoch| epoch.number == newest) {
        Some(epoch) => (epoch, true),
        None => (Epoch { number: newest + 1, word: Word::just_read(true) }, false),
    }
}

/// Which log this is, wherever it is restored.
pub fn log_identity() -> Result<[u8; 16], AuditError> {
    let mut oldest: Option<(i64, [u8; 16])> = None;
    IDENTITIES.each(|row| {
        let created_at = row.value(1).map_or(i64::MAX, Value::number);
        if let Some(id) = row.get::<pgrx::Uuid>(0) {
            let this = (created_at, *id.as_bytes());
            oldest = Some(oldest.map_or(this, |oldest| oldest.min(this)));
        }
    });
    oldest.map(|(_, id)| id).ok_or_else(|| AuditError::internal("audit_log.log_identity is empty"))
}

/// Whether an epoch was of a place.
pub fn was_epoch_of(epoch: i16, place: Home) -> bool {
    let mut was = false;
    EPOCHS.each(|row| was |= epoch_and_home(row) == Some((epoch, place)));
    was
}

fn find_or_begin() -> Result<Epoch, AuditError> {
    let (epoch, has_begun) = find();
    if !has_begun {
        let [system, database] = home(here());
        let sql = include_str!("../../sql/queries/feed_epoch_begin.sql");
        spi::execute(sql, &[Arg::of(Some(epoch.number)), system, database])?;
    }
    Ok(epoch)
}

/// Forgets the epoch of a table that may be gone.
pub fn relation_changed(relation: Option<pg_sys::Oid>) {
    if SIGNAL.with(|signal| signal.relation_changed(relation)) {
        EPOCH.set(None);
    }
}

/// Tells the worker of entries once they are committed; forgets an epoch that was only this transaction's
/// word, where it is taken back.
pub fn transaction_went_on(fate: Fate) {
    if let Fate::Ended { committed } = fate {
        if HAS_WRITTEN.replace(false) && committed {
            board::entries_came();
        }
    }
    EPOCH.set(EPOCH.get().and_then(|mut epoch| epoch.word.outlives(fate).then_some(epoch)));
}
