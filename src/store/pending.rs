//! Entries captured but not yet written: those of one statement are written together.
//!
//! They are written when their statement ends, before another query reads them and before the commit
//! (`glue::hooks`), each as part of the command that it was captured in: whoever reads the log
//! finds every entry captured before. What a block of a function captured that may be rolled back by itself
//! waits for the block's end (`glue::nesting`): rolled back, it is never written.

use std::cell::{Cell, RefCell};

use audit_log_model::AuditError;

use super::tables::{self, Table};
use crate::glue::backend;
use crate::glue::log_table::Row;
use crate::glue::memory::Memory;
use crate::glue::spi::{self, Arg};
use crate::glue::value::Value;

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
pub fn add(table: Table, values: &[Option<Value>]) -> Result<(), AuditError> {
    backend::refuse_read_only();
    let row = MEMORY.with(|memory| tables::of(table, |t| t.form(values, memory)));
    // Where only an INSERT will do it is not put off: what it fires belongs to this moment.
    let Some(row) = row else {
        write()?;
        return insert(table, values);
    };
    let (owner, row_bytes) = (backend::subtransaction(), row.bytes());
    BATCHES.with_borrow_mut(|batches| {
        if batches.last().is_none_or(|last| last.owner != owner || last.written_by.is_some() || last.kept) {
            batches.push(Batch { owner, ..Batch::default() });
        }
        if let Some(batch) = batches.last_mut() {
            batch.rows[table as usize].push(row);
        }
    });
    let (rows, bytes) = WAITING.get();
    WAITING.set((rows + 1, bytes + row_bytes));
    // Not what an outer transaction captured: this one may roll it back, again and again.
    match is_full((rows + 1, bytes + row_bytes)) && is_full(waiting_of(|one| one == owner)) {
        true => write_of(|one| one == owner),
        false => Ok(()),
    }
}

fn is_full((rows, bytes): (usize, usize)) -> bool {
    rows >= MAX_ROWS || bytes >= MAX_BYTES
}

/// How many rows of some transactions wait, and their bytes.
fn waiting_of(is_theirs: impl Fn(u32) -> bool) -> (usize, usize) {
    BATCHES.with_borrow(|batches| {
        let theirs = batches.iter().filter(|batch| batch.written_by.is_none() && is_theirs(batch.owner));
        let rows = theirs.flat_map(|batch| batch.rows.iter().flatten());
        rows.fold((0, 0), |(rows, bytes), row| (rows + 1, bytes + row.bytes()))
    })
}

/// Writes all that waits. What an outer transaction captured is kept until this one can no longer
/// roll it back alone.
pub fn write() -> Result<(), AuditError> {
    write_of(|_| true)
}

/// Writes what the running subtransaction captured.
pub fn write_own() -> Result<(), AuditError> {
    let own = backend::subtransaction();
    write_of(|owner| owner == own)
}

fn write_of(is_theirs: impl Fn(u32) -> bool) -> Result<(), AuditError> {
    // At every commit it is asked for, and a snapshot is not for nothing.
    if !is_waiting() {
        return Ok(());
    }
    let writer = backend::subtransaction();
    let rows = BATCHES.with_borrow_mut(|batches| {
        let mut rows: [Vec<Row>; Table::COUNT] = Default::default();
        let waiting = batches.iter_mut().filter(|batch| batch.written_by.is_none());
        for batch in waiting.filter(|batch| is_theirs(batch.owner)) {
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
    if rows.iter().all(Vec::is_empty) {
        return Ok(());
    }
    WAITING.set(waiting_of(|_| true));
    {
        let _writing = Writing::begin();
        backend::with_snapshot(|| Table::ALL.into_iter().try_for_each(|t| write_rows(t, &rows[t as usize])))?;
    }
    // Nobody but what is kept has anything in their memory now.
    drop(rows);
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
fn insert(table: Table, values: &[Option<Value>]) -> Result<(), AuditError> {
    let args: Vec<Arg> = tables::typed(table, values).map(|(oid, value)| Arg::value(oid, value)).collect();
    let at = values.first().copied().flatten().map_or(0, Value::number);
    spi::execute(&table.insert(at), &args).map(drop)
}

/// Lets go of what is written for good, and of memory that nothing is in.
fn settle() {
    BATCHES.with_borrow_mut(|batches| {
        let is_gone = |batch: &Batch| batch.written_by == Some(batch.owner);
        let stays = batches.iter().any(|batch| !is_gone(batch) && !batch.kept);
        if stays && WRITING.get() == 0 {
            // What an outer transaction waits with keeps the memory from being emptied: row by row then.
            let gone = batches.iter().filter(|batch| is_gone(batch) && !batch.kept);
            gone.flat_map(|batch| batch.rows.iter().flatten()).for_each(Row::free);
        }
        batches.retain(|batch| !is_gone(batch));
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
    // Most have captured nothing.
    if BATCHES.with_borrow(Vec::is_empty) {
        return;
    }
    let may_free = WRITING.get() == 0;
    BATCHES.with_borrow_mut(|batches| {
        batches.retain(|batch| {
            let is_gone = batch.owner == subtransaction;
            if is_gone && may_free {
                // A loop of such savepoints must not fill the memory beside what an outer one waits with.
                batch.rows.iter().flatten().for_each(|row| row.free());
            }
            !is_gone
        });
        for batch in batches.iter_mut().filter(|batch| batch.written_by == Some(subtransaction)) {
            batch.written_by = None;
        }
    });
    settle();
}

/// What a savepoint captured may wait on for the end of the statement that it is part of, as long as it is not
/// too much together with what its parent has: a loop of them is written together.
pub fn before_subtransaction_commits(
    subtransaction: u32,
    parent: u32,
    may_wait: bool,
) -> Result<(), AuditError> {
    let is_either = |owner| owner == subtransaction || owner == parent;
    match may_wait && !is_full(waiting_of(is_either)) {
        true => Ok(()),
        false if may_wait => write_of(is_either),
        false => write_own(),
    }
}

/// What a released savepoint captured and wrote is its parent's.
pub fn subtransaction_committed(subtransaction: u32, parent: u32) {
    if BATCHES.with_borrow(Vec::is_empty) {
        return;
    }
    BATCHES.with_borrow_mut(|batches| {
        for batch in batches.iter_mut() {
            if batch.owner == subtransaction {
                batch.owner = parent;
            }
            if batch.written_by == Some(subtransaction) {
                batch.written_by = Some(parent);
            }
        }
        // Thousands of savepoints would leave as many batches.
        let plain = |batch: &Batch| batch.owner == parent && batch.written_by.is_none() && !batch.kept;
        while let [.., one, last] = batches.as_mut_slice() {
            if !(plain(one) && plain(last)) {
                break;
            }
            for (all, its) in one.rows.iter_mut().zip(&mut last.rows) {
                all.append(its);
            }
            batches.pop();
        }
    });
    settle();
}

pub fn forget() {
    BATCHES.with_borrow_mut(Vec::clear);
    settle();
}
