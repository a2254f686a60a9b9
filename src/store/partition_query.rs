//! The way to read partitions that are not as the install script makes them.

use audit_log_model::sync_cursor::Position;
use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::filter::{ID, OCCURRED_AT};
use super::tables::column;
use crate::glue::backend;
use crate::glue::memory::Current;
use crate::glue::partition::{Fields, Kept};
use crate::glue::spi::{self, Arg};

const FEED: usize = column("feed");

/// So many rows are read at first; each time as many again as before, as what is wanted may be rare.
const FIRST_READ: i64 = 1_000;
const LARGEST_READ: i64 = 64_000;

/// Gives all rows of a partition within `start..end`, newest first, until `each` wants no more;
/// whatever columns, indexes and access method the partition has.
pub fn read(
    partition: pg_sys::Oid,
    start: i64,
    end: i64,
    mut each: impl FnMut(i64, [u8; 16], Kept) -> bool,
) -> Result<(), AuditError> {
    let Some(name) = backend::relation_label(partition) else { return Ok(()) };
    let sql = include_str!("../../sql/queries/list_partition.sql").replace("{partition}", &name);
    let instant = |t: i64| Arg::datum(pg_sys::TIMESTAMPTZOID, Some(pg_sys::Datum::from(t)));
    let memory = Current::memory();
    let mut last = (end, [0; 16]);
    let mut count = FIRST_READ;
    loop {
        let (at, id) = last;
        let id = pgrx::Uuid::from_bytes(id);
        let args = [instant(start), instant(at), Arg::of(Some(id)), Arg::of(Some(count))];
        let more = spi::select(&sql, &args, |rows| {
            for row in rows.iter() {
                let row = row.keep(&memory);
                let (Some(at), Some(id)) = (row.values[OCCURRED_AT], row.uuid(ID)) else { continue };
                last = (at.value() as i64, id);
                if !each(last.0, last.1, row) {
                    return Ok(false);
                }
            }
            Ok(rows.count as i64 == count)
        })?;
        if !more {
            return Ok(());
        }
        count = (count * 2).min(LARGEST_READ);
    }
}

/// Gives all rows of a partition behind a position and below a feed number, in the feed's order, until
/// `each` wants no more.
pub fn read_feed(
    partition: pg_sys::Oid,
    after: Position,
    end: i64,
    mut each: impl FnMut(Position, Kept) -> bool,
) -> Result<(), AuditError> {
    let Some(name) = backend::relation_label(partition) else { return Ok(()) };
    let sql = include_str!("../../sql/queries/feed_partition.sql").replace("{partition}", &name);
    let memory = Current::memory();
    let mut last = after;
    let mut count = FIRST_READ;
    loop {
        let id = pgrx::Uuid::from_bytes(last.1);
        let args = [Arg::of(Some(last.0)), Arg::of(Some(id)), Arg::of(Some(end)), Arg::of(Some(count))];
        let more = spi::select(&sql, &args, |rows| {
            for row in rows.iter() {
                let row = row.keep(&memory);
                let (Some(number), Some(id)) = (row.values[FEED], row.uuid(ID)) else { continue };
                last = (number.value() as i64, id);
                if !each(last, row) {
                    return Ok(false);
                }
            }
            Ok(rows.count as i64 == count)
        })?;
        if !more {
            return Ok(());
        }
        count = (count * 2).min(LARGEST_READ);
    }
}
