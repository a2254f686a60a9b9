//! The way to read partitions that are not as the install script makes them.

use audit_log_model::sync_cursor::Position;
use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::filter::{ID, OCCURRED_AT};
use super::tables::column;
use crate::glue::backend;
use crate::glue::row::Fields;
use crate::glue::spi::{self, Arg, Row};
use crate::glue::value::Value;

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
    mut each: impl FnMut(i64, [u8; 16], &Row) -> bool,
) -> Result<(), AuditError> {
    let sql = include_str!("../../sql/queries/list_partition.sql");
    let args = |(at, id): Key| [Arg::instant(start), Arg::instant(at), id_arg(id)];
    each_row(partition, sql, OCCURRED_AT, (end, [0; 16]), args, |(at, id), row| each(at, id, row))
}

/// Gives all rows of a partition behind a position and below a feed number, in the feed's order, until
/// `each` wants no more.
pub fn read_feed(
    partition: pg_sys::Oid,
    after: Position,
    end: i64,
    mut each: impl FnMut(Position, &Row) -> bool,
) -> Result<(), AuditError> {
    let sql = include_str!("../../sql/queries/feed_partition.sql");
    let args = |(number, id): Key| [Arg::of(Some(end)), Arg::of(Some(number)), id_arg(id)];
    each_row(partition, sql, FEED, after, args, &mut each)
}

/// A row's place in the order of a query: a column of eight bytes, and the id.
type Key = (i64, [u8; 16]);

fn id_arg(id: [u8; 16]) -> Arg<'static> {
    Arg::of(Some(pgrx::Uuid::from_bytes(id)))
}

/// Runs a query of a partition again and again, each time from behind the last row, until it has no
/// more or `each` wants none. `args` are its first parameters; the last is how many rows it gives.
fn each_row(
    partition: pg_sys::Oid,
    sql: &str,
    key: usize,
    mut last: Key,
    args: impl Fn(Key) -> [Arg<'static>; 3],
    mut each: impl FnMut(Key, &Row) -> bool,
) -> Result<(), AuditError> {
    let Some(name) = backend::relation_label(partition) else { return Ok(()) };
    let sql = sql.replace("{partition}", &name);
    let mut count = FIRST_READ;
    loop {
        let [a, b, c] = args(last);
        let more = spi::select(&sql, &[a, b, c, Arg::of(Some(count))], |rows| {
            for row in rows.iter() {
                let (Some(first), Some(id)) = (row.value(key).map(Value::number), row.uuid(ID)) else {
                    continue;
                };
                last = (first, id);
                if !each(last, &row) {
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
