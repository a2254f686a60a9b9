//! One partition of a log table: which it is, what indexes it has, and how rows get into it.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::log_table::{Row, Shape};
use super::slots::{self, Slots};
use super::version;

/// The instants of a partition, or of a gap that the default partition serves; PostgreSQL's
/// microseconds, `upper` excluded.
#[derive(Clone, Copy)]
pub struct Range {
    lower: i64,
    upper: i64,
}

impl Range {
    pub fn contains(&self, at: i64) -> bool {
        self.lower <= at && at < self.upper
    }
}

/// A B-tree index over columns.
struct Index {
    oid: pg_sys::Oid,
    /// Places in the row, from 0.
    columns: Vec<usize>,
    /// The index leaves out rows where this one is NULL.
    only_where: Option<usize>,
    unique: bool,
    info: *mut pg_sys::IndexInfo,
}

/// A partition that is as the install script makes it.
pub struct Leaf {
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

    /// The partition for an instant and the range it serves; the partition is None where it is not
    /// as the install script makes it. All None where there is no partition at all.
    ///
    /// # Safety
    /// `parent` is a partitioned table's oid.
    pub unsafe fn find(parent: pg_sys::Oid, at: i64, shape: &Shape) -> Option<(Range, Option<Leaf>)> {
        // SAFETY: by contract; relations are closed again, the partition's lock is kept.
        unsafe {
            let relation = pg_sys::table_open(parent, pg_sys::AccessShareLock as i32);
            let plain = no_triggers_on_insert(relation) && !(*(*relation).rd_rel).relhasrules;
            let found = partition_for(pg_sys::RelationGetPartitionDesc(relation, true), at);
            pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
            let (range, oid) = found?;
            let leaf = pg_sys::try_table_open(oid, ROW_EXCLUSIVE);
            if leaf.is_null() {
                return Some((range, None));
            }
            let found = if plain && is_plain(leaf, shape) { Leaf::of(leaf) } else { None };
            pg_sys::table_close(leaf, NO_LOCK);
            Some((range, found))
        }
    }

    /// # Safety
    /// `relation` is open.
    unsafe fn of(relation: pg_sys::Relation) -> Option<Leaf> {
        // SAFETY: by contract; what is allocated belongs to the leaf's context.
        unsafe {
            let memory = pg_sys::AllocSetContextCreateInternal(
                pg_sys::TopMemoryContext,
                c"audit_log partition".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
            );
            let mut leaf = Leaf { oid: (*relation).rd_id, indexes: Vec::new(), memory };
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
    /// The rows were formed by `desc`, whose columns are the partition's.
    pub unsafe fn open_and_write(
        &self,
        rows: &[Row],
        desc: pg_sys::TupleDesc,
        slots: &mut Slots,
        is_current: impl Fn() -> bool,
    ) -> bool {
        // SAFETY: by contract.
        unsafe {
            let slots = if rows.len() > 1 { slots.at_least(rows.len(), desc) } else { std::ptr::null_mut() };
            let mut keys = Keys::new(rows.len(), (*desc).natts as usize);
            // One guard for all calls. What it skips in an error owns nothing, and closing is then
            // for PostgreSQL's abort to do.
            pg_sys::ffi::pg_guard_ffi_boundary(|| self.write(rows, desc, slots, &mut keys, &is_current))
        }
    }

    /// # Safety
    /// As `open_and_write`; under a guard, and with nothing in it that would have to be dropped.
    unsafe fn write(
        &self,
        rows: &[Row],
        desc: pg_sys::TupleDesc,
        slots: *mut *mut pg_sys::TupleTableSlot,
        keys: &mut Keys,
        is_current: &impl Fn() -> bool,
    ) -> bool {
        // SAFETY: by contract.
        unsafe {
            let relation = plain::try_table_open(self.oid, ROW_EXCLUSIVE);
            if relation.is_null() {
                return false;
            }
            if !is_current() {
                plain::relation_close(relation, NO_LOCK);
                return false;
            }
            let command = plain::GetCurrentCommandId(true);
            match rows {
                [row] => plain::heap_insert(relation, row.tuple, command, 0, std::ptr::null_mut()),
                _ => slots::insert_together(relation, rows, slots, command),
            }
            for (i, row) in rows.iter().enumerate() {
                keys.deform(i, row, desc);
            }
            // One index after the other: its upper pages stay at hand for all rows.
            for index in &self.indexes {
                let opened = plain::index_open(index.oid, ROW_EXCLUSIVE);
                for (i, row) in rows.iter().enumerate() {
                    let (datums, nulls) = keys.of(i);
                    index.insert(opened, relation, row, datums, nulls);
                }
                plain::relation_close(opened, NO_LOCK);
            }
            plain::relation_close(relation, NO_LOCK);
        }
        true
    }
}

/// The values of rows that are being written.
struct Keys {
    width: usize,
    datums: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

impl Keys {
    fn new(rows: usize, width: usize) -> Self {
        Keys { width, datums: vec![pg_sys::Datum::from(0); width * rows], nulls: vec![true; width * rows] }
    }

    /// # Safety
    /// The row was formed by `desc`.
    unsafe fn deform(&mut self, i: usize, row: &Row, desc: pg_sys::TupleDesc) {
        let at = i * self.width;
        // SAFETY: by contract; the vectors have room for all columns of all rows.
        unsafe { plain::heap_deform_tuple(row.tuple, desc, &mut self.datums[at], &mut self.nulls[at]) };
    }

    fn of(&self, i: usize) -> (&[pg_sys::Datum], &[bool]) {
        let range = i * self.width..(i + 1) * self.width;
        (&self.datums[range.clone()], &self.nulls[range])
    }
}

/// PostgreSQL's functions past pgrx, which would guard each call by itself.
pub(super) mod plain {
    use pgrx::pg_sys::*;

    extern "C-unwind" {
        pub fn try_table_open(oid: Oid, lock: LOCKMODE) -> Relation;
        pub fn index_open(oid: Oid, lock: LOCKMODE) -> Relation;
        pub fn relation_close(relation: Relation, lock: LOCKMODE);
        pub fn GetCurrentCommandId(used: bool) -> CommandId;
        pub fn heap_insert(
            table: Relation,
            row: HeapTuple,
            command: CommandId,
            options: i32,
            bulk: BulkInsertState,
        );
        pub fn heap_multi_insert(
            table: Relation,
            slots: *mut *mut TupleTableSlot,
            count: i32,
            command: CommandId,
            options: i32,
            bulk: BulkInsertState,
        );
        pub fn heap_deform_tuple(row: HeapTuple, desc: TupleDesc, values: *mut Datum, nulls: *mut bool);
        pub fn ExecStoreHeapTuple(
            row: HeapTuple,
            slot: *mut TupleTableSlot,
            free: bool,
        ) -> *mut TupleTableSlot;
        pub fn index_insert(
            index: Relation,
            values: *mut Datum,
            nulls: *mut bool,
            place: ItemPointer,
            table: Relation,
            check: IndexUniqueCheck::Type,
            unchanged: bool,
            info: *mut IndexInfo,
        ) -> bool;
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // SAFETY: the context is this leaf's own.
        unsafe { pg_sys::MemoryContextDelete(self.memory) };
    }
}

impl Index {
    /// None for what takes more than columns of the row: expressions, other access methods, a
    /// predicate other than `column IS NOT NULL`, exclusion or deferred uniqueness.
    ///
    /// # Safety
    /// `index` is open.
    unsafe fn of(index: pg_sys::Relation) -> Option<Index> {
        // SAFETY: by contract; lists and nodes are PostgreSQL's own.
        unsafe {
            let form = &*(*index).rd_index;
            let info = pg_sys::BuildIndexInfo(index);
            let plain = (*(*index).rd_rel).relam == pg_sys::Oid::from(pg_sys::BTREE_AM_OID)
                && (*info).ii_Expressions.is_null()
                && !form.indisexclusion
                && (form.indimmediate || !form.indisunique);
            let only_where = match plain && !(*info).ii_Predicate.is_null() {
                true => Some(not_null_column((*info).ii_Predicate)?),
                false => None,
            };
            let numbers = &(&(*info).ii_IndexAttrNumbers)[..(*info).ii_NumIndexAttrs as usize];
            let columns =
                numbers.iter().map(|n| usize::try_from(*n).ok()?.checked_sub(1)).collect::<Option<_>>()?;
            plain.then_some(Index {
                oid: (*index).rd_id,
                columns,
                only_where,
                unique: form.indisunique,
                info,
            })
        }
    }

    /// # Safety
    /// The index and its table are open, and the row is in the table.
    unsafe fn insert(
        &self,
        index: pg_sys::Relation,
        table: pg_sys::Relation,
        row: &Row,
        datums: &[pg_sys::Datum],
        nulls: &[bool],
    ) {
        if self.only_where.is_some_and(|at| nulls[at]) {
            return;
        }
        const MOST: usize = pg_sys::INDEX_MAX_KEYS as usize;
        let mut keys = [pg_sys::Datum::from(0); MOST];
        let mut key_nulls = [true; MOST];
        for (i, at) in self.columns.iter().enumerate() {
            keys[i] = datums[*at];
            key_nulls[i] = nulls[*at];
        }
        let check = match self.unique {
            true => pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES,
            false => pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO,
        };
        // SAFETY: by contract; the keys are of the index's columns.
        unsafe {
            let place = &raw mut (*row.tuple).t_self;
            plain::index_insert(
                index,
                keys.as_mut_ptr(),
                key_nulls.as_mut_ptr(),
                place,
                table,
                check,
                false,
                self.info,
            );
        }
    }
}

/// The place of the column where a predicate is just `column IS NOT NULL`.
///
/// # Safety
/// `predicate` is a list of expression nodes.
unsafe fn not_null_column(predicate: *mut pg_sys::List) -> Option<usize> {
    // SAFETY: by contract; a node's tag says what it is.
    unsafe {
        let nodes = pgrx::PgList::<pg_sys::Node>::from_pg(predicate);
        let node =
            nodes.get_ptr(0).filter(|n| nodes.len() == 1 && (**n).type_ == pg_sys::NodeTag::T_NullTest)?;
        let test = node.cast::<pg_sys::NullTest>();
        let argument = (*test).arg.cast::<pg_sys::Var>();
        let plain = (*test).nulltesttype == pg_sys::NullTestType::IS_NOT_NULL
            && (*argument).xpr.type_ == pg_sys::NodeTag::T_Var
            && (*argument).varattno > 0;
        plain.then(|| (*argument).varattno as usize - 1)
    }
}

/// # Safety
/// `relation` is open.
unsafe fn no_triggers_on_insert(relation: pg_sys::Relation) -> bool {
    // SAFETY: by contract; the description is NULL where there are no triggers.
    unsafe {
        let triggers = (*relation).trigdesc;
        triggers.is_null()
            || !((*triggers).trig_insert_before_row
                || (*triggers).trig_insert_after_row
                || (*triggers).trig_insert_instead_row
                || (*triggers).trig_insert_before_statement
                || (*triggers).trig_insert_after_statement)
    }
}

/// # Safety
/// `relation` is open.
unsafe fn is_plain(relation: pg_sys::Relation, shape: &Shape) -> bool {
    // SAFETY: by contract.
    unsafe {
        (*(*relation).rd_rel).relkind as u8 == pg_sys::RELKIND_RELATION
            && (*relation).rd_tableam == pg_sys::GetHeapamTableAmRoutine()
            && no_triggers_on_insert(relation)
            && has_shape((*relation).rd_att, shape)
    }
}

/// Whether columns and constraints are those that what is written is made for.
///
/// # Safety
/// `desc` is a valid descriptor.
pub unsafe fn has_shape(desc: pg_sys::TupleDesc, shape: &Shape) -> bool {
    // SAFETY: by contract; names are terminated.
    unsafe {
        let constraints = (*desc).constr;
        let no_others = constraints.is_null()
            || ((*constraints).num_check <= shape.checks && !(*constraints).has_generated_stored);
        no_others
            && (*desc).natts as usize == shape.columns.len()
            && shape.columns.iter().enumerate().all(|(i, column)| {
                let attribute = version::attribute(desc, i);
                !attribute.attisdropped
                    && attribute.atttypid == column.type_oid
                    && attribute.attnotnull == column.not_null
                    && CStr::from_ptr(attribute.attname.data.as_ptr()).to_bytes() == column.name.as_bytes()
            })
    }
}

/// The partition for an instant and the range it serves.
///
/// # Safety
/// The description is of a table partitioned by ranges of one timestamptz.
unsafe fn partition_for(desc: pg_sys::PartitionDesc, at: i64) -> Option<(Range, pg_sys::Oid)> {
    // SAFETY: by contract; bounds are in ascending order, `indexes` has one more than there are.
    unsafe {
        let bounds = (*desc).boundinfo;
        if bounds.is_null() || (*bounds).strategy as u8 != b'r' {
            return None;
        }
        let count = (*bounds).ndatums as usize;
        let bound = |i: usize| match **(*bounds).kind.add(i) {
            pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_VALUE => {
                (**(*bounds).datums.add(i)).value() as i64
            }
            pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MINVALUE => i64::MIN,
            _ => i64::MAX,
        };
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = (low + high) / 2;
            match bound(middle) <= at {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let range = Range {
            lower: if low == 0 { i64::MIN } else { bound(low - 1) },
            upper: if low == count { i64::MAX } else { bound(low) },
        };
        let own = if (*bounds).nindexes as usize > low { *(*bounds).indexes.add(low) } else { -1 };
        let place = if own >= 0 { own } else { (*bounds).default_index };
        let place = usize::try_from(place).ok()?;
        (*(*desc).is_leaf.add(place)).then(|| (range, *(*desc).oids.add(place)))
    }
}
