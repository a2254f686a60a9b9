//! Entries captured but not yet written: they are written together when their statement ends.
//!
//! They wait only while a statement runs whose end `glue::hooks` will see, and only until the next
//! query starts: whoever reads the log finds every entry captured before.

use std::cell::{Cell, RefCell};

use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::tables::{self, Table};
use crate::glue::log_table::Row;
use crate::glue::memory::Memory;
use crate::glue::spi::{self, Arg};
use crate::glue::{backend, hooks};

/// At the most so many rows, or bytes of them, wait: they stay in the processor's cache.
const MAX_ROWS: usize = 256;
const MAX_BYTES: usize = 512 * 1024;

/// What one (sub)transaction has waiting.
#[derive(Default)]
struct Level {
    subtransaction: u32,
    rows: [Vec<Row>; Table::COUNT],
    bytes: usize,
}

thread_local! {
    /// Innermost last.
    static LEVELS: RefCell<Vec<Level>> = const { RefCell::new(Vec::new()) };
    static WAITING: Cell<bool> = const { Cell::new(false) };
    /// How many flushes are going on: a trigger of somebody's on the log may nest them.
    static FLUSHING: Cell<u32> = const { Cell::new(0) };
    static MEMORY: Memory = const { Memory::new(c"audit_log pending entries") };
}

/// Whether anything waits.
pub fn is_waiting() -> bool {
    WAITING.get()
}

/// Adds a row, given as a value a column. It is written at the latest when its statement ends.
pub fn add(table: Table, values: &[Option<pg_sys::Datum>]) -> Result<(), AuditError> {
    backend::refuse_read_only();
    let row = MEMORY.with(|memory| tables::of(table, |t| t.form(values, memory.context())));
    // A table that is not as this library knows it: PostgreSQL says what is wrong with it.
    let Some(row) = row else { return insert(table, values) };
    let full = LEVELS.with_borrow_mut(|levels| {
        let subtransaction = backend::subtransaction();
        if levels.last().is_none_or(|level| level.subtransaction != subtransaction) {
            levels.push(Level { subtransaction, ..Level::default() });
        }
        let Some(level) = levels.last_mut() else { return false };
        level.rows[table as usize].push(row);
        level.bytes += row.bytes();
        level.rows[table as usize].len() >= MAX_ROWS || level.bytes >= MAX_BYTES
    });
    WAITING.set(true);
    match full || !hooks::end_will_be_seen() {
        true => flush(),
        false => Ok(()),
    }
}

/// Writes what this subtransaction has waiting; what outer ones have is theirs to write.
pub fn flush() -> Result<(), AuditError> {
    let subtransaction = backend::subtransaction();
    let level =
        LEVELS.with_borrow_mut(|levels| levels.pop_if(|level| level.subtransaction == subtransaction));
    let Some(level) = level else { return Ok(()) };
    {
        let _flushing = Flushing::begin();
        for table in Table::ALL {
            write(table, &level.rows[table as usize])?;
        }
    }
    settle();
    Ok(())
}

/// While it lives the rows' memory stays.
struct Flushing;

impl Flushing {
    fn begin() -> Self {
        FLUSHING.set(FLUSHING.get() + 1);
        Flushing
    }
}

impl Drop for Flushing {
    fn drop(&mut self) {
        FLUSHING.set(FLUSHING.get() - 1);
    }
}

fn write(table: Table, rows: &[Row]) -> Result<(), AuditError> {
    let mut rest = rows;
    while let [first, others @ ..] = rest {
        rest = match tables::of(table, |t| t.write(rest)) {
            Some(count) => &rest[count..],
            None => {
                insert(table, &tables::of(table, |t| t.values(first)))?;
                others
            }
        };
    }
    Ok(())
}

/// The way for partitions that are not as the install script makes them.
fn insert(table: Table, values: &[Option<pg_sys::Datum>]) -> Result<(), AuditError> {
    let args: Vec<Arg> = tables::typed(table, values).map(|(oid, datum)| Arg::datum(oid, datum)).collect();
    spi::execute(table.insert(), &args).map(drop)
}

/// Frees the rows' memory once nothing waits any more.
fn settle() {
    let waiting = LEVELS.with_borrow(|levels| !levels.is_empty());
    WAITING.set(waiting);
    if !waiting && FLUSHING.get() == 0 {
        MEMORY.with(Memory::reset);
    }
}

/// What a rolled-back savepoint had waiting is gone.
pub fn subtransaction_aborted(subtransaction: u32) {
    LEVELS.with_borrow_mut(|levels| levels.retain(|level| level.subtransaction != subtransaction));
    settle();
}

/// What a released savepoint has waiting is its parent's.
pub fn subtransaction_committed(subtransaction: u32, parent: u32) {
    LEVELS.with_borrow_mut(|levels| {
        let Some(mine) = levels.pop_if(|level| level.subtransaction == subtransaction) else { return };
        match levels.last_mut().filter(|level| level.subtransaction == parent) {
            None => levels.push(Level { subtransaction: parent, ..mine }),
            Some(level) => {
                level.bytes += mine.bytes;
                for (to, from) in level.rows.iter_mut().zip(mine.rows) {
                    to.extend(from);
                }
            }
        }
    });
}

pub fn forget() {
    LEVELS.with_borrow_mut(Vec::clear);
    settle();
}
