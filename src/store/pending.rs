//! Entries captured but not yet written: those of one statement are written together.
//!
//! They are written when their statement ends, before another query starts and before the commit
//! (`glue::hooks`), each as part of the command that it was captured in: whoever reads the log
//! finds every entry captured before.

use std::cell::{Cell, RefCell};

use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::tables::{self, Table};
use crate::glue::backend;
use crate::glue::log_table::Row;
use crate::glue::memory::Memory;
use crate::glue::spi::{self, Arg};

/// At the most so many rows, or bytes of them, wait: they stay in the processor's cache.
const MAX_ROWS: usize = 256;
const MAX_BYTES: usize = 512 * 1024;

/// Rows that one (sub)transaction captured.
#[derive(Default)]
struct Batch {
    owner: u32,
    /// The subtransaction that wrote them, where it is another that may still roll back.
    written_by: Option<u32>,
    /// Its rows are in the memory of those that are kept.
    kept: bool,
    rows: [Vec<Row>; Table::COUNT],
}

thread_local! {
    /// In the order of capture.
    static BATCHES: RefCell<Vec<Batch>> = const { RefCell::new(Vec::new()) };
    /// How many rows wait, and their bytes.
    static WAITING: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    /// How many writes are going on: a trigger of somebody's on the log may nest them.
    static WRITING: Cell<u32> = const { Cell::new(0) };
    static MEMORY: Memory = const { Memory::new(c"audit_log pending entries") };
    /// Of rows that a savepoint wrote for an outer transaction: few, and kept until it is over.
    static KEPT: Memory = const { Memory::new(c"audit_log kept entries") };
}

/// Whether anything waits.
pub fn is_waiting() -> bool {
    WAITING.get().0 > 0
}

/// Adds a row, given as a value a column.
pub fn add(table: Table, values: &[Option<pg_sys::Datum>]) -> Result<(), AuditError> {
    backend::refuse_read_only();
    let row = MEMORY.with(|memory| tables::of(table, |t| t.form(values, memory.context())));
    // Where only an INSERT will do it is not put off: what it fires belongs to this moment.
    let Some(row) = row else {
        write()?;
        return insert(table, values);
    };
    let owner = backend::subtransaction();
    BATCHES.with_borrow_mut(|batches| {
        if batches.last().is_none_or(|last| last.owner != owner || last.written_by.is_some() || last.kept) {
            batches.push(Batch { owner, ..Batch::default() });
        }
        if let Some(batch) = batches.last_mut() {
            batch.rows[table as usize].push(row);
        }
    });
    let (rows, bytes) = WAITING.get();
    WAITING.set((rows + 1, bytes + row.bytes()));
    match rows + 1 >= MAX_ROWS || bytes + row.bytes() >= MAX_BYTES {
        true => write(),
        false => Ok(()),
    }
}

/// Writes all that waits. What an outer transaction captured is kept until this one can no longer
/// roll it back alone.
pub fn write() -> Result<(), AuditError> {
    // At every commit it is asked for, and a snapshot is not for nothing.
    if !is_waiting() {
        return Ok(());
    }
    let writer = backend::subtransaction();
    let rows = BATCHES.with_borrow_mut(|batches| {
        let mut rows: [Vec<Row>; Table::COUNT] = Default::default();
        for batch in batches.iter_mut().filter(|batch| batch.written_by.is_none()) {
            batch.written_by = Some(writer);
            if batch.owner != writer && !std::mem::replace(&mut batch.kept, true) {
                let rows = batch.rows.iter_mut().flatten();
                KEPT.with(|memory| rows.for_each(|row| *row = row.copy(memory)));
            }
            for (all, its) in rows.iter_mut().zip(&batch.rows) {
                all.extend_from_slice(its);
            }
        }
        rows
    });
    WAITING.set((0, 0));
    {
        let _writing = Writing::begin();
        backend::with_snapshot(|| Table::ALL.into_iter().try_for_each(|t| write_rows(t, &rows[t as usize])))?;
    }
    settle();
    Ok(())
}

/// While it lives the rows' memory stays.
struct Writing;

impl Writing {
    fn begin() -> Self {
        WRITING.set(WRITING.get() + 1);
        Writing
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.set(WRITING.get() - 1);
    }
}

fn write_rows(table: Table, rows: &[Row]) -> Result<(), AuditError> {
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
    let at = values.first().copied().flatten().map_or(0, |at| at.value() as i64);
    spi::execute(&table.insert(at), &args).map(drop)
}

/// Lets go of what is written for good, and of memory that nothing is in.
fn settle() {
    BATCHES.with_borrow_mut(|batches| {
        batches.retain(|batch| batch.written_by != Some(batch.owner));
        let waiting = batches.iter().filter(|batch| batch.written_by.is_none());
        let rows = waiting.flat_map(|batch| batch.rows.iter().flatten());
        WAITING.set(rows.fold((0, 0), |(rows, bytes), row| (rows + 1, bytes + row.bytes())));
        if WRITING.get() > 0 {
            return;
        }
        if batches.iter().all(|batch| batch.kept) {
            MEMORY.with(Memory::reset);
        }
        if batches.is_empty() {
            KEPT.with(Memory::reset);
        }
    });
}

/// What a rolled-back savepoint captured is gone; what it wrote for outer ones waits again.
pub fn subtransaction_aborted(subtransaction: u32) {
    BATCHES.with_borrow_mut(|batches| {
        batches.retain(|batch| batch.owner != subtransaction);
        for batch in batches.iter_mut().filter(|batch| batch.written_by == Some(subtransaction)) {
            batch.written_by = None;
        }
    });
    settle();
}

/// What a released savepoint captured and wrote is its parent's.
pub fn subtransaction_committed(subtransaction: u32, parent: u32) {
    BATCHES.with_borrow_mut(|batches| {
        for batch in batches.iter_mut() {
            if batch.owner == subtransaction {
                batch.owner = parent;
            }
            if batch.written_by == Some(subtransaction) {
                batch.written_by = Some(parent);
            }
        }
    });
    settle();
}

pub fn forget() {
    BATCHES.with_borrow_mut(Vec::clear);
    settle();
}
