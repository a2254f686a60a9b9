//! A partition opened for reading by index, a row at a time.

use std::cell::{Cell, RefCell};

use audit_log_model::posting::Posting;
use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::bounds::{self, Range};
use super::error::unwrap_or_raise;
use super::gin_value::{Found, GinIndex};
use super::index_scan::place;
use super::index_stream::{self as stream, IndexStream};
use super::leaf_index::{is_of_text_values, key_columns};
use super::leaf_shape::has_columns;
use super::log_table::Shape;
use super::memory::{Arena, Chunk};
use super::ordered_scan::{Of, OrderedScan};
use super::past_pgrx;
use super::places::{each_place_of, Bitmap, Places};
use super::row::{Fields, Kept};
use super::value::Value;

/// A partition whose columns are those this library knows.
pub struct Partition {
    pub(super) relation: pg_sys::Relation,
    indexes: Vec<Index>,
    slot: *mut pg_sys::TupleTableSlot,
    pub(super) snapshot: pg_sys::Snapshot,
    /// For what looking at a row takes; emptied before the next. Borrowed while one is looked at.
    scratch: RefCell<Chunk>,
    /// Rows looked at.
    looked_at: Cell<u64>,
}

/// What became of opening a partition.
pub enum Opened {
    Known(Partition),
    /// It is not as the install script makes it.
    Other,
    Gone,
}

/// The partitions of a log table in the window `start..end`, the newest first, then what is beside them.
pub fn of_table(shape: &Shape, start: i64, end: i64) -> Vec<(Option<Range>, pg_sys::Oid)> {
    let Some(oid) = super::backend::relation_oid(shape.table) else { return Vec::new() };
    // SAFETY: the table exists, and is partitioned by ranges of its first column; its lock is kept.
    let mut found = unsafe {
        let relation = pg_sys::table_open(oid, ACCESS_SHARE);
        let found = bounds::partitions(pg_sys::RelationGetPartitionDesc(relation, true), start, end);
        pg_sys::table_close(relation, NO_LOCK);
        found
    };
    found.extend(super::backend::relation_oid(shape.unplaced).map(|oid| (None, oid)));
    found
}

/// The partition of a table for a value of its key, a date or a timestamptz as PostgreSQL counts it.
pub fn for_key(table: pg_sys::Oid, key: i64) -> Option<pg_sys::Oid> {
    // SAFETY: relations of this extension, partitioned by ranges of one such column; the lock is kept.
    unsafe {
        let relation = pg_sys::table_open(table, ACCESS_SHARE);
        let found = bounds::partition_for(pg_sys::RelationGetPartitionDesc(relation, true), key);
        pg_sys::table_close(relation, NO_LOCK);
        found.1
    }
}

/// The instant a partition begins with; None for what is beside them.
pub fn start(shape: &Shape, partition: pg_sys::Oid) -> Option<i64> {
    let all = of_table(shape, i64::MIN, i64::MAX);
    all.into_iter().find(|(_, oid)| *oid == partition)?.0.map(|range| range.lower())
}

/// An index over columns: a B-tree in ascending order, or a GIN index of texts.
struct Index {
    relation: pg_sys::Relation,
    is_gin: bool,
    /// Column numbers from 1.
    columns: Vec<i16>,
    /// Leaves out rows where this column is NULL.
    only_where: Option<i16>,
}

/// A column, counted from 0, and the text that it is to have.
pub type Is<'v> = (usize, &'v str);

/// For which list of values a column of an index, from 1, is to have a text.
type WantedOf<'v> = (usize, i16, &'v str);

const ACCESS_SHARE: i32 = pg_sys::AccessShareLock as i32;
const NO_LOCK: i32 = pg_sys::NoLock as i32;

impl Partition {
    pub fn open(oid: pg_sys::Oid, shape: &Shape) -> Opened {
        // Relations are closed by drop or, after an error, by PostgreSQL's abort; locks stay until commit.
        // SAFETY: plain calls; a snapshot is active, as a query is running.
        unsafe {
            let relation = pg_sys::try_table_open(oid, ACCESS_SHARE);
            if relation.is_null() {
                return Opened::Gone;
            }
            let is_heap = (*(*relation).rd_rel).relkind as u8 == pg_sys::RELKIND_RELATION
                && (*relation).rd_tableam == pg_sys::GetHeapamTableAmRoutine();
            if !(is_heap && has_columns((*relation).rd_att, shape)) {
                pg_sys::table_close(relation, NO_LOCK);
                return Opened::Other;
            }
            let oids = pgrx::PgList::<pg_sys::Oid>::from_pg(pg_sys::RelationGetIndexList(relation));
            Opened::Known(Partition {
                relation,
                indexes: oids.iter_oid().filter_map(|oid| Index::open(oid)).collect(),
                slot: pg_sys::MakeSingleTupleTableSlot(
                    (*relation).rd_att,
                    &raw const pg_sys::TTSOpsBufferHeapTuple,
                ),
                snapshot: pg_sys::RegisterSnapshot(pg_sys::GetActiveSnapshot()),
                scratch: RefCell::new(Chunk::child_of(pg_sys::CurrentMemoryContext)),
                looked_at: Cell::new(0),
            })
        }
    }

    pub fn oid(&self) -> pg_sys::Oid {
        // SAFETY: the relation is open.
        unsafe { (*self.relation).rd_id }
    }

    /// The postings of a column's value, or of all where `column` is the instant's; None where there
    /// is no index for it. Columns are counted from 0.
    pub fn stream(&self, column: usize, wanted: &stream::Wanted) -> Option<IndexStream<'_>> {
        let index = self.stream_index(column, wanted.value.is_some(), wanted.has_event_id)?;
        // SAFETY: both are open as long as this partition, and the index is on these columns.
        Some(unsafe { IndexStream::open(self, index.relation, wanted) })
    }

    /// Whether there is a stream of postings with event ids of a column's values.
    pub fn has_stream(&self, column: usize) -> bool {
        self.stream_index(column, true, true).is_some()
    }

    fn stream_index(&self, column: usize, of_value: bool, has_event_id: bool) -> Option<&Index> {
        const INSTANT: i16 = 1;
        const EVENT_ID: i16 = 2;
        let column = column as i16 + 1;
        let needed: &[i16] = match (of_value, has_event_id) {
            (false, _) => &[INSTANT],
            (true, false) => &[column, INSTANT],
            (true, true) => &[column, INSTANT, EVENT_ID],
        };
        let fits = |i: &&Index| {
            !i.is_gin && i.columns.starts_with(needed) && i.only_where.is_none_or(|c| of_value && c == column)
        };
        self.indexes.iter().find(fits)
    }

    /// Whether an index finds the rows that have a text in a column, counted from 0.
    pub fn finds(&self, column: usize) -> bool {
        self.index_of(column).is_some()
    }

    fn index_of(&self, column: usize) -> Option<&Index> {
        let column = column as i16 + 1;
        let has = |i: &&Index| match i.is_gin {
            true => i.columns.contains(&column) && i.only_where.is_none(),
            false => i.columns.first() == Some(&column) && i.only_where.is_none_or(|c| c == column),
        };
        self.indexes.iter().filter(has).max_by_key(|i| i.is_gin)
    }

    /// The places of rows that have one of some values, of several such lists of values; of any list None that has a
    /// column without an index.
    pub fn places(&self, lists: &[Vec<Is>]) -> Vec<Option<Places<'_>>> {
        let mut all: Vec<Option<Places>> = Vec::new();
        // An index is asked once for what all lists want of it.
        let mut by_index: Vec<(&Index, Vec<WantedOf>)> = Vec::new();
        for (list, values) in lists.iter().enumerate() {
            let indexes: Option<Vec<&Index>> =
                values.iter().map(|(column, _)| self.index_of(*column)).collect();
            all.push(indexes.as_ref().map(|_| Places::default()));
            for (index, (column, value)) in indexes.into_iter().flatten().zip(values) {
                let column = *column as i16 + 1;
                let place = index.columns.iter().position(|c| *c == column).map_or(1, |at| at as i16 + 1);
                match by_index.iter_mut().find(|(known, _)| std::ptr::eq(*known, index)) {
                    Some((_, wanted)) => wanted.push((list, place, value)),
                    None => by_index.push((index, vec![(list, place, value)])),
                }
            }
        }
        for (index, wanted) in by_index {
            let found: Vec<Found> = match index.is_gin {
                // SAFETY: it is one of the indexes this partition has open, of texts.
                true => unsafe { GinIndex::of(self, index.relation) }
                    .find(&wanted.iter().map(|(_, place, value)| (*place, *value)).collect::<Vec<_>>()),
                false => wanted.iter().map(|(_, _, value)| self.by_b_tree(index, value)).collect(),
            };
            for ((list, ..), found) in wanted.into_iter().zip(found) {
                if let Some(places) = &mut all[list] {
                    places.add(found);
                }
            }
        }
        all.iter_mut().flatten().for_each(Places::settle);
        all
    }

    fn by_b_tree(&self, index: &Index, value: &str) -> Found<'_> {
        let mut bitmap = Bitmap::new();
        // SAFETY: it is one of the indexes this partition has open, and begins with a text.
        unsafe { bitmap.add(self, index.relation, value) };
        let mut found = Found::default();
        bitmap.list(&mut found.places);
        found
    }

    /// The places of rows with an instant between two, both included, in ascending order, and maybe of some more. None where
    /// no index begins with the column, which is counted from 0.
    pub fn within(&self, column: usize, first: i64, last: i64) -> Option<Vec<u64>> {
        pgrx::check_for_interrupts!();
        let mut bitmap = Bitmap::new();
        // SAFETY: it is one of the indexes this partition has open, and begins with an instant.
        unsafe { bitmap.add_between(self, self.ascending(column)?.relation, first, last) };
        let mut listed = Vec::new();
        bitmap.list(&mut listed);
        let mut places = Vec::with_capacity(listed.len());
        listed.into_iter().for_each(|place| each_place_of(place, |one| places.push(one)));
        Some(places)
    }

    /// Gives the instants of rows that the snapshot sees, and their places; those of one page should follow one another.
    pub fn instants(&self, places: &[u64], mut each: impl FnMut(i64, u64)) {
        const ALL_AT_ONCE: usize = 1024;
        for some in places.chunks(ALL_AT_ONCE) {
            pgrx::check_for_interrupts!();
            // SAFETY: the relation is open; one guard for all calls, and nothing in it to be dropped.
            unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| self.instants_of(some, &mut each)) };
        }
    }

    /// # Safety
    /// Under a guard.
    unsafe fn instants_of(&self, places: &[u64], each: &mut impl FnMut(i64, u64)) {
        let mut held: Option<(u32, pg_sys::Buffer)> = None;
        // SAFETY: by contract; a row is looked at while its page is locked. The instant is the first column, never NULL.
        unsafe {
            let let_go = |buffer| {
                past_pgrx::LockBuffer(buffer, pg_sys::BUFFER_LOCK_UNLOCK as i32);
                past_pgrx::ReleaseBuffer(buffer);
            };
            for number in places {
                let block = (number >> 16) as u32;
                let buffer = match held {
                    Some((known, buffer)) if known == block => buffer,
                    _ => {
                        held.into_iter().for_each(|(_, buffer)| let_go(buffer));
                        let buffer = past_pgrx::ReadBuffer(self.relation, block);
                        past_pgrx::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
                        held = Some((block, buffer));
                        buffer
                    }
                };
                let mut tuple = pg_sys::HeapTupleData { t_self: place(*number), ..Default::default() };
                let mut at = tuple.t_self;
                let seen = past_pgrx::heap_hot_search_buffer(
                    &mut at,
                    self.relation,
                    buffer,
                    self.snapshot,
                    &mut tuple,
                    std::ptr::null_mut(),
                    true,
                );
                if seen {
                    let header = tuple.t_data;
                    let instant = header.cast::<u8>().add((*header).t_hoff.into()).cast::<i64>();
                    each(instant.read_unaligned(), *number);
                }
            }
            held.into_iter().for_each(|(_, buffer)| let_go(buffer));
        }
    }

    /// How many rows it has, about: as many a page as there were when it was last analyzed.
    pub fn rows(&self) -> f64 {
        /// Entries of a page, mostly.
        const OF_A_PAGE: f64 = 30.0;
        // SAFETY: the relation is open.
        unsafe {
            let pages =
                pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM);
            let known = &*(*self.relation).rd_rel;
            let of_a_page = match known.relpages > 0 && known.reltuples > 0.0 {
                true => f64::from(known.reltuples) / f64::from(known.relpages),
                false => OF_A_PAGE,
            };
            f64::from(pages) * of_a_page
        }
    }

    /// The places of a column's values `from..end`, ascending; None where no index begins with it.
    /// The column, counted from 0, must be of the type.
    pub fn in_order(&self, column: usize, of: Of, from: i64, end: i64) -> Option<OrderedScan<'_>> {
        let index = self.ascending(column)?;
        // SAFETY: both are open as long as this partition; the index begins with the column.
        Some(unsafe { OrderedScan::open(self, index.relation, of, from, end) })
    }

    /// An index that begins with a column, counted from 0, and has all rows.
    fn ascending(&self, column: usize) -> Option<&Index> {
        let fits = |i: &&Index| {
            !i.is_gin && i.columns.first() == Some(&(column as i16 + 1)) && i.only_where.is_none()
        };
        self.indexes.iter().find(fits)
    }

    /// Looks at a row where it is; None where the snapshot does not see it.
    pub fn look<T>(&self, posting: Posting, look: impl FnOnce(&View) -> T) -> Option<T> {
        self.looked_at.set(self.looked_at.get() + 1);
        if self.looked_at.get().is_multiple_of(64) {
            pgrx::check_for_interrupts!();
        }
        // There is one slot: another row is not looked at before this one is done with.
        let scratch = self.scratch.try_borrow_mut();
        let mut scratch = unwrap_or_raise(
            scratch.map_err(|_| AuditError::internal("two rows of a partition are looked at")),
        );
        let mut tuple = pg_sys::HeapTupleData { t_self: place(posting.place), ..Default::default() };
        // SAFETY: the relation is open; the slot takes the pin over.
        unsafe {
            let buffer = self.fetch(&mut tuple)?;
            pg_sys::ExecStorePinnedBufferHeapTuple(&mut tuple, self.slot, buffer);
        }
        let result = scratch.anew(|memory| look(&View { slot: self.slot, memory }));
        // SAFETY: the slot lets go of the pin; nobody looks at its row any more.
        unsafe { pg_sys::ExecClearTuple(self.slot) };
        Some(result)
    }

    /// The version of a row that the snapshot sees, and the pinned page it is on; None where there is none.
    ///
    /// # Safety
    /// The tuple names a place that an index has.
    unsafe fn fetch(&self, tuple: &mut pg_sys::HeapTupleData) -> Option<pg_sys::Buffer> {
        let (relation, snapshot) = (self.relation, self.snapshot);
        // A row that was updated in place is behind the place that the index knows.
        // SAFETY: by contract; one guard for all calls, and nothing in it to be dropped.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                let mut place = tuple.t_self;
                let block = (u32::from(place.ip_blkid.bi_hi) << 16) | u32::from(place.ip_blkid.bi_lo);
                let buffer = past_pgrx::ReadBuffer(relation, block);
                past_pgrx::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
                let all_dead = std::ptr::null_mut();
                let seen = past_pgrx::heap_hot_search_buffer(
                    &mut place, relation, buffer, snapshot, tuple, all_dead, true,
                );
                past_pgrx::LockBuffer(buffer, pg_sys::BUFFER_LOCK_UNLOCK as i32);
                if !seen {
                    past_pgrx::ReleaseBuffer(buffer);
                }
                seen.then_some(buffer)
            })
        }
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // SAFETY: all are this value's own.
        unsafe {
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            self.scratch.get_mut().delete();
            pg_sys::UnregisterSnapshot(self.snapshot);
            self.indexes.iter().for_each(|index| pg_sys::index_close(index.relation, NO_LOCK));
            pg_sys::table_close(self.relation, NO_LOCK);
        }
    }
}

impl Index {
    /// None for what does not serve: not valid, not ascending over columns nor of the log's operator class, a predicate
    /// other than `column IS NOT NULL`.
    ///
    /// # Safety
    /// `oid` is an index of an open table.
    unsafe fn open(oid: pg_sys::Oid) -> Option<Index> {
        // SAFETY: by contract; arrays have an element a key column.
        unsafe {
            let relation = pg_sys::index_open(oid, ACCESS_SHARE);
            let form = &*(*relation).rd_index;
            let keys = form.indnkeyatts as usize;
            let known = [
                pg_sys::TEXT_BTREE_FAM_OID,
                pg_sys::TEXT_PATTERN_BTREE_FAM_OID,
                pg_sys::Oid::from(DATETIME_BTREE_FAMILY),
                pg_sys::Oid::from(UUID_BTREE_FAMILY),
                pg_sys::INTEGER_BTREE_FAM_OID,
            ];
            let is_gin = (*(*relation).rd_rel).relam == pg_sys::GIN_AM_OID;
            let is_ascending = |i| *(*relation).rd_indoption.add(i) == 0;
            let fits = match is_gin {
                true => is_of_text_values(relation),
                false => {
                    (*(*relation).rd_rel).relam == pg_sys::BTREE_AM_OID
                        && (0..keys)
                            .all(|i| is_ascending(i) && known.contains(&*(*relation).rd_opfamily.add(i)))
                }
            };
            let plain = fits && form.indisvalid && !form.indcheckxmin;
            let found = if plain { key_columns(relation) } else { None };
            match found {
                Some((columns, only_where)) => Some(Index { relation, is_gin, columns, only_where }),
                None => {
                    pg_sys::index_close(relation, NO_LOCK);
                    None
                }
            }
        }
    }
}

/// Operator families that the bindings leave out.
const DATETIME_BTREE_FAMILY: u32 = 434;
const UUID_BTREE_FAMILY: u32 = 2968;

/// A row while it is looked at.
pub struct View<'a> {
    slot: *mut pg_sys::TupleTableSlot,
    memory: &'a Arena,
}

impl Fields for View<'_> {
    fn value(&self, column: usize) -> Option<Value<'_>> {
        // SAFETY: the slot holds a row that has the column, as long as it is looked at.
        unsafe {
            pg_sys::slot_getsomeattrs(self.slot, column as i32 + 1);
            let is_null = *(*self.slot).tts_isnull.add(column);
            (!is_null).then(|| Value::of(*(*self.slot).tts_values.add(column)))
        }
    }

    fn memory(&self) -> &Arena {
        self.memory
    }
}

impl View<'_> {
    /// A copy of the row.
    pub fn keep(&self) -> Kept {
        // SAFETY: the slot holds a row of its descriptor; the slot's own tuple is copied where it stands.
        unsafe {
            let mut is_copy = false;
            let tuple = pg_sys::ExecFetchSlotHeapTuple(self.slot, false, &mut is_copy);
            let kept = Kept::of(tuple, (*self.slot).tts_tupleDescriptor);
            if is_copy {
                pg_sys::heap_freetuple(tuple);
            }
            kept
        }
    }
}
