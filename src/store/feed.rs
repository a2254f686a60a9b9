//! The feed's order: epoch (one a cluster the log has lived in) and top-level transaction.

use std::cell::Cell;

use audit_log_model::AuditError;
use pgrx::pg_sys;

use crate::glue::spi::{self, Arg};
use crate::glue::{backend, board};

/// Transactions take the low bits of a feed number.
const TRANSACTION_BITS: u32 = 48;

#[derive(Clone, Copy)]
struct Epoch {
    number: i16,
    /// False while the row that says so is this transaction's own.
    committed: bool,
}

thread_local! {
    static EPOCH: Cell<Option<Epoch>> = const { Cell::new(None) };
    /// This transaction wrote entries.
    static HAS_WRITTEN: Cell<bool> = const { Cell::new(false) };
    /// The table it is from.
    static TABLE: Cell<Option<pg_sys::Oid>> = const { Cell::new(None) };
}

/// The feed number of what this transaction writes.
pub fn number() -> Result<i64, AuditError> {
    let epoch = match EPOCH.get() {
        Some(epoch) => epoch,
        None => {
            let epoch = find_or_begin()?;
            TABLE.set(backend::relation_oid(c"feed_epoch"));
            EPOCH.set(Some(epoch));
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

fn home((system, database): Home) -> [Arg; 2] {
    let database = Some(pg_sys::Datum::from(database));
    [Arg::of(Some(system)), Arg::datum(pg_sys::OIDOID, database)]
}

/// The epoch of this cluster's transactions, and whether it has begun: with the first write it does.
pub fn epoch_here() -> Result<(i16, bool), AuditError> {
    let sql = include_str!("../../sql/queries/feed_epoch.sql");
    let (mine, newest) = spi::select_latest(sql, &home(here()), |rows| {
        let row = rows.iter().next();
        Ok(row.map_or((None, None), |r| (r.get::<i16>(1), r.get::<i16>(2))))
    })?;
    // A log that was in another cluster since must not fall back behind it.
    match mine.filter(|number| Some(*number) == newest) {
        Some(number) => Ok((number, true)),
        None => Ok((newest.unwrap_or(0) + 1, false)),
    }
}

/// Which log this is, wherever it is restored.
pub fn log_identity() -> Result<[u8; 16], AuditError> {
    let sql = include_str!("../../sql/queries/log_identity.sql");
    let id: Option<pgrx::Uuid> = spi::select(sql, &[], |rows| Ok(rows.iter().next().and_then(|r| r.get(1))))?;
    id.map(|id| *id.as_bytes()).ok_or_else(|| AuditError::internal("audit_log.log_identity is empty"))
}

/// Whether an epoch was of a place.
pub fn was_epoch_of(epoch: i16, place: Home) -> Result<bool, AuditError> {
    let sql = include_str!("../../sql/queries/feed_epoch_of.sql");
    let [system, database] = home(place);
    spi::select(sql, &[Arg::of(Some(epoch)), system, database], |rows| Ok(rows.count > 0))
}

fn find_or_begin() -> Result<Epoch, AuditError> {
    let (number, has_begun) = epoch_here()?;
    if has_begun {
        return Ok(Epoch { number, committed: false });
    }
    let [system, database] = home(here());
    let sql = include_str!("../../sql/queries/feed_epoch_begin.sql");
    spi::execute(sql, &[Arg::of(Some(number)), system, database])?;
    Ok(Epoch { number, committed: false })
}

/// Forgets the epoch of a table that may be gone.
pub fn relation_changed(relation: Option<pg_sys::Oid>) {
    if relation.is_none() || relation == TABLE.get() {
        EPOCH.set(None);
    }
}

/// Keeps a number only once the transaction that read or wrote it is over for good.
pub fn transaction_ended(committed: bool) {
    if HAS_WRITTEN.replace(false) && committed {
        board::entries_came();
    }
    EPOCH.set(EPOCH.get().and_then(|epoch| match (epoch.committed, committed) {
        (true, _) => Some(epoch),
        (false, true) => Some(Epoch { committed: true, ..epoch }),
        (false, false) => None,
    }));
}
