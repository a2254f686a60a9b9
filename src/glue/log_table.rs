//! Direct writes to the log's partitions: heap and indexes, as the executor does it, without a plan.
//!
//! Only where a partition is as the install script makes it. Another access method, a trigger, a
//! constraint or an expression index of somebody's own is left to an INSERT, which knows them all.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::rc::Rc;

use pgrx::pg_sys;

use super::bounds::Range;
use super::leaf::Leaf;
use super::memory::{Memory, Owned};
use super::past_pgrx;
use super::slots::Slots;
use super::value::Value;

/// A column of a log table.
pub struct Column {
    pub name: &'static str,
    pub type_oid: pg_sys::Oid,
    pub not_null: bool,
}

/// No log table has more columns.
const MOST_COLUMNS: usize = 32;

/// What a log table is known to look like.
pub struct Shape {
    pub table: &'static CStr,
    /// Where rows are whose time has no partition.
    pub unplaced: &'static CStr,
    /// In the table's order. The first is the timestamptz it is partitioned by.
    pub columns: &'static [Column],
}

/// A row formed but not written, in a memory that stays as long as it.
#[derive(Clone)]
pub struct Row {
    pub(super) tuple: pg_sys::HeapTuple,
    _memory: Rc<Owned>,
    /// PostgreSQL's microseconds.
    pub(super) at: i64,
    /// The command it was captured in: later ones see it, whenever it is written.
    pub(super) command: pg_sys::CommandId,
}

impl Row {
    /// A copy in another memory context.
    pub fn copy(&self, memory: &Memory) -> Row {
        let memory = memory.owned();
        // SAFETY: the tuple is in this row's memory.
        let tuple = memory.run(|| unsafe { pg_sys::heap_copytuple(self.tuple) });
        Row { tuple, _memory: memory, ..*self }
    }

    /// Lets go of its memory; nobody may use it, or a copy of this value, any more.
    pub fn free(&self) {
        // SAFETY: the tuple is one allocation of its own.
        unsafe { pg_sys::heap_freetuple(self.tuple) };
    }

    pub fn bytes(&self) -> usize {
        // SAFETY: the tuple is in this row's memory.
        unsafe { (*self.tuple).t_len as usize }
    }
}

/// A log table as this session knows it.
pub struct LogTable {
    shape: &'static Shape,
    /// The partitioned table, and the one beside it.
    tables: Cell<Option<(pg_sys::Oid, pg_sys::Oid)>>,
    desc: Cell<pg_sys::TupleDesc>,
    slots: RefCell<Slots>,
    /// Of each range of time looked up so far its partition, None where it needs an INSERT.
    ranges: RefCell<Vec<(Range, Option<Rc<Leaf>>)>>,
    /// Counts invalidations of whatever relation: what was looked up before one may be wrong.
    invalidations: Cell<u64>,
}

impl LogTable {
    pub const fn new(shape: &'static Shape) -> Self {
        LogTable {
            shape,
            tables: Cell::new(None),
            desc: Cell::new(std::ptr::null_mut()),
            slots: RefCell::new(Slots::new()),
            ranges: RefCell::new(Vec::new()),
            invalidations: Cell::new(0),
        }
    }

    /// Forgets what may have changed; to be called for every invalidation.
    pub fn relation_changed(&self, relation: Option<pg_sys::Oid>) {
        self.invalidations.set(self.invalidations.get() + 1);
        let concerns = relation.is_none_or(|changed| {
            self.is_table(changed)
                || self
                    .ranges
                    .borrow()
                    .iter()
                    .any(|(_, leaf)| leaf.as_ref().is_none_or(|l| l.oid() == changed))
        });
        if concerns {
            self.ranges.borrow_mut().clear();
            if relation.is_none_or(|changed| self.is_table(changed)) {
                self.tables.set(None);
            }
        }
    }

    /// Whether the table is known at the moment.
    pub fn is_known(&self) -> bool {
        self.tables.get().is_some()
    }

    fn is_table(&self, relation: pg_sys::Oid) -> bool {
        self.tables.get().is_some_and(|(parent, unplaced)| relation == parent || relation == unplaced)
    }

    /// Whether a relation is the table, or a partition that was written to, wherever it is kept.
    pub fn is(&self, relation: pg_sys::Oid) -> bool {
        let is_leaf = |leaf: &Option<Rc<Leaf>>| leaf.as_ref().is_some_and(|leaf| leaf.oid() == relation);
        self.is_table(relation) || self.ranges.borrow().iter().any(|(_, leaf)| is_leaf(leaf))
    }

    /// Whether rows can be formed: the table is there and has the columns this library knows.
    fn known(&self) -> Option<(pg_sys::Oid, pg_sys::Oid)> {
        if let Some(tables) = self.tables.get() {
            return Some(tables);
        }
        let [oid, unplaced] = [self.shape.table, self.shape.unplaced].map(super::backend::relation_oid);
        let (oid, unplaced) = (oid?, unplaced?);
        let mut slots = self.slots.try_borrow_mut().ok()?;
        // SAFETY: the relation exists; its descriptor is copied while it is open.
        unsafe {
            let relation = pg_sys::table_open(oid, pg_sys::AccessShareLock as i32);
            let fits = super::leaf_shape::has_shape((*relation).rd_att, self.shape);
            if fits {
                slots.drop_all();
                if !self.desc.get().is_null() {
                    pg_sys::FreeTupleDesc(self.desc.get());
                }
                let old = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
                self.desc.set(pg_sys::CreateTupleDescCopy((*relation).rd_att));
                pg_sys::MemoryContextSwitchTo(old);
            }
            pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
            fits.then(|| self.tables.set(Some((oid, unplaced))))?;
        }
        Some((oid, unplaced))
    }

    /// Forms a row in a memory; None where only an INSERT will do.
    pub fn form(&self, values: &[Option<Value>], memory: &Memory) -> Option<Row> {
        let at = values.first().copied().flatten()?.number();
        self.leaf_for(at)?;
        let mut datums = [pg_sys::Datum::from(0); MOST_COLUMNS];
        let mut nulls = [true; MOST_COLUMNS];
        for (i, value) in values.iter().enumerate() {
            if let Some(value) = value {
                (datums[i], nulls[i]) = (value.datum(), false);
            }
        }
        let memory = memory.owned();
        // SAFETY: as many values as columns, of their types.
        let (tuple, command) = unsafe {
            let (desc, datums, nulls) = (self.desc.get(), datums.as_mut_ptr(), nulls.as_mut_ptr());
            let tuple = memory.run(|| pg_sys::heap_form_tuple(desc, datums, nulls));
            (tuple, past_pgrx::GetCurrentCommandId(true))
        };
        Some(Row { tuple, _memory: memory, at, command })
    }

    /// The values of a row.
    pub fn values<'a>(&self, row: &'a Row) -> Vec<Option<Value<'a>>> {
        let width = self.shape.columns.len();
        let mut datums = vec![pg_sys::Datum::from(0); width];
        let mut nulls = vec![true; width];
        // SAFETY: the row was formed by this descriptor, which has this width: its values are its own.
        unsafe {
            pg_sys::heap_deform_tuple(row.tuple, self.desc.get(), datums.as_mut_ptr(), nulls.as_mut_ptr());
            let values = datums.into_iter().zip(nulls);
            values.map(|(datum, null)| (!null).then(|| Value::of(datum))).collect()
        }
    }

    /// Writes rows, as many from the front as share a partition; how many that was. None where
    /// that partition needs an INSERT.
    pub fn write(&self, rows: &[Row]) -> Option<usize> {
        let first = rows.first()?;
        // A partition that changes between its look-up and its lock is looked up again.
        for _ in 0..10 {
            let seen = self.invalidations.get();
            let (range, leaf) = self.leaf_for(first.at)?;
            let count = rows.iter().take_while(|r| range.contains(r.at)).count();
            let is_current = || self.invalidations.get() == seen;
            // Only an operator class of somebody's own could nest a write in a write.
            let mut slots = self.slots.try_borrow_mut().ok()?;
            let desc = self.desc.get();
            // SAFETY: the rows were formed by this descriptor, and the leaf has its shape.
            let written = unsafe { leaf.open_and_write(&rows[..count], desc, &mut slots, is_current) };
            if written {
                return Some(count);
            }
        }
        None
    }

    fn leaf_for(&self, at: i64) -> Option<(Range, Rc<Leaf>)> {
        let found = self
            .ranges
            .borrow()
            .iter()
            .find(|(r, _)| r.contains(at))
            .map(|(range, leaf)| (*range, leaf.clone()));
        if let Some((range, leaf)) = found {
            return leaf.map(|leaf| (range, leaf));
        }
        let tables = self.known()?;
        let seen = self.invalidations.get();
        // SAFETY: the tables exist: their oids are current as of the last invalidation.
        let (range, leaf) = unsafe { Leaf::find(tables, at, self.shape) };
        let leaf = leaf.map(Rc::new);
        if seen == self.invalidations.get() {
            self.ranges.borrow_mut().push((range, leaf.clone()));
        }
        leaf.map(|leaf| (range, leaf))
    }
}
