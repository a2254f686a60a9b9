//! One table of a log table's rows, mostly a partition: which it is, what indexes it has, and how rows get into it.

use pgrx::pg_sys;

use super::bounds::{partition_for, Range};
use super::leaf_index::{Index, Keys};
use super::leaf_shape::{is_plain, no_triggers_on_insert};
use super::log_table::{Row, Shape};
use super::past_pgrx;
use super::pending_list::Limit;
use super::slots::{self, Slots};

/// A partition, or what is beside them, that is as the install script makes it.
pub struct Leaf {
    parent: pg_sys::Oid,
    oid: pg_sys::Oid,
    indexes: Vec<Index>,
    /// Holds what `indexes` points to.
    memory: pg_sys::MemoryContext,
}

const ROW_EXCLUSIVE: i32 = pg_sys::RowExclusiveLock as i32;
const NO_LOCK: i32 = pg_sys::NoLock as i32;

impl Leaf {
    pub fn oid(&self) -> pg_sys::Oid {
        self.oid
    }

    /// Where rows of an instant go, and the range this is for: a partition, or `unplaced` where there is none.
    /// None where it is not as the install script makes it.
    ///
    /// # Safety
    /// `parent` is a partitioned table's oid.
    pub unsafe fn find(
        (parent, unplaced): (pg_sys::Oid, pg_sys::Oid),
        at: i64,
        shape: &Shape,
    ) -> (Range, Option<Leaf>) {
        // SAFETY: by contract; relations are closed again, their locks are kept.
        unsafe {
            let relation = pg_sys::table_open(parent, ROW_EXCLUSIVE);
            let plain = no_triggers_on_insert(relation) && !(*(*relation).rd_rel).relhasrules;
            let (range, oid) = partition_for(pg_sys::RelationGetPartitionDesc(relation, true), at);
            pg_sys::table_close(relation, NO_LOCK);
            let leaf = pg_sys::try_table_open(oid.unwrap_or(unplaced), ROW_EXCLUSIVE);
            if leaf.is_null() {
                return (range, None);
            }
            let found = if plain && is_plain(leaf, shape) { Leaf::of(parent, leaf) } else { None };
            pg_sys::table_close(leaf, NO_LOCK);
            (range, found)
        }
    }

    /// # Safety
    /// `relation` is open.
    unsafe fn of(parent: pg_sys::Oid, relation: pg_sys::Relation) -> Option<Leaf> {
        // SAFETY: by contract; what is allocated belongs to the leaf's context.
        unsafe {
            let memory = pg_sys::AllocSetContextCreateInternal(
                pg_sys::TopMemoryContext,
                c"audit_log partition".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
            );
            let mut leaf = Leaf { parent, oid: (*relation).rd_id, indexes: Vec::new(), memory };
            let oids = pgrx::PgList::<pg_sys::Oid>::from_pg(pg_sys::RelationGetIndexList(relation));
            for oid in oids.iter_oid() {
                let index = pg_sys::index_open(oid, ROW_EXCLUSIVE);
                let ready = (*(*index).rd_index).indisready;
                let old = pg_sys::MemoryContextSwitchTo(memory);
                let found = Index::of(index);
                pg_sys::MemoryContextSwitchTo(old);
                pg_sys::relation_close(index, NO_LOCK);
                match found {
                    Some(index) if ready => leaf.indexes.push(index),
                    // Being built beside us, not yet to be written to.
                    _ if !ready => {}
                    _ => return None,
                }
            }
            Some(leaf)
        }
    }

    /// Writes rows to heap and indexes; false, and nothing written, where the partition is gone or
    /// `is_current` says, once it is locked, that what is known of it is not.
    ///
    /// # Safety
    /// The rows were formed by `desc`, whose columns are the partition's, in the order of capture.
    pub unsafe fn open_and_write(
        &self,
        rows: &[Row],
        desc: pg_sys::TupleDesc,
        slots: &mut Slots,
        is_current: impl Fn() -> bool,
    ) -> bool {
        // SAFETY: by contract.
        unsafe {
            let slots = if rows.len() > 1 { slots.at_least(rows.len(), desc) } else { &mut [] };
            let mut keys = Keys::new(rows.len(), (*desc).natts as usize);
            let _limit = Limit::set(rows.len());
            // One guard for all calls. What it skips in an error owns nothing, and closing is then
            // for PostgreSQL's abort to do.
            pg_sys::ffi::pg_guard_ffi_boundary(|| self.write(rows, desc, slots, &mut keys, &is_current))
        }
    }

    /// # Safety
    /// As `open_and_write`; under a guard, and with nothing in it that would have to be dropped.
    unsafe fn write<'a>(
        &self,
        rows: &'a [Row],
        desc: pg_sys::TupleDesc,
        slots: &mut [*mut pg_sys::TupleTableSlot],
        keys: &mut Keys<'a>,
        is_current: &impl Fn() -> bool,
    ) -> bool {
        // SAFETY: by contract.
        unsafe {
            // The parent first, as an INSERT does: whoever changes both locks them in this order.
            past_pgrx::LockRelationOid(self.parent, ROW_EXCLUSIVE);
            let relation = past_pgrx::try_table_open(self.oid, ROW_EXCLUSIVE);
            if relation.is_null() {
                return false;
            }
            if !is_current() {
                past_pgrx::relation_close(relation, NO_LOCK);
                return false;
            }
            match rows {
                [row] => past_pgrx::heap_insert(relation, row.tuple, row.command, 0, std::ptr::null_mut()),
                _ => slots::insert_together(relation, rows, slots),
            }
            for (i, row) in rows.iter().enumerate() {
                keys.deform(i, row, desc);
            }
            // One index after the other: its upper pages stay at hand for all rows.
            for index in &self.indexes {
                if !index.takes_any(rows.len(), keys) {
                    continue;
                }
                let opened = past_pgrx::index_open(index.oid, ROW_EXCLUSIVE);
                index.insert(opened, relation, rows, keys);
                past_pgrx::relation_close(opened, NO_LOCK);
            }
            past_pgrx::relation_close(relation, NO_LOCK);
        }
        true
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // SAFETY: the context is this leaf's own; it may be the current one where making the leaf failed.
        unsafe {
            if pg_sys::CurrentMemoryContext == self.memory {
                pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
            }
            pg_sys::MemoryContextDelete(self.memory);
        }
    }
}
