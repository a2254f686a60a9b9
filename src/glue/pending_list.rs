//! A GIN index that rows are written to: what they add goes to the end of its pending list, a page at a time.
//!
//! PostgreSQL's own insertion adds one row's keys at a time, each time under a lock of the index's first page and with
//! a WAL record of its own. Its two halves are exported: collecting a row's keys, and adding what was collected.

use std::ffi::c_void;

use pgrx::pg_sys;

use super::leaf_index::Keys;
use super::log_table::Row;
use super::past_pgrx;

/// PostgreSQL's description of a GIN index: its beginning, and room for the rest, which only PostgreSQL reads.
#[repr(C)]
pub struct GinState {
    index: pg_sys::Relation,
    one_column: bool,
    columns: pg_sys::TupleDesc,
    /// How a column's keys are formed: of an index of one column as its rows are.
    first_key: pg_sys::TupleDesc,
    rest: [u64; 2048],
}

/// Keys that were collected, as PostgreSQL has them.
#[repr(C)]
pub struct GinTupleCollector {
    tuples: *mut pg_sys::IndexTuple,
    count: u32,
    room: u32,
    /// Of all tuples, in bytes.
    size: u32,
}

/// What a page of a pending list holds: a page without its header and GIN's own few bytes at its end.
const PAGE_ROOM: usize = pg_sys::BLCKSZ as usize - 24 - 8;

/// Where the keys of a row begin among those collected.
#[derive(Clone, Copy, Default)]
struct Mark {
    count: u32,
    size: u32,
}

/// An index's pending list.
pub struct PendingList {
    state: *mut GinState,
    /// By column whether it is a text, which is its own key.
    is_text: Vec<bool>,
    /// What inserting takes; emptied afterwards.
    scratch: pg_sys::MemoryContext,
}

impl PendingList {
    /// None where keys do not wait in a list: fastupdate is off.
    ///
    /// # Safety
    /// `index` is an open GIN index of operator class `text_values`; the current memory lives as long as the result.
    pub unsafe fn of(index: pg_sys::Relation) -> Option<PendingList> {
        /// Bytes of a varlena's header in front of it.
        const FASTUPDATE: usize = 4;
        // SAFETY: by contract; options are those of a GIN index, whose first is a boolean.
        unsafe {
            let options = (*index).rd_options.cast::<u8>();
            if !options.is_null() && *options.add(FASTUPDATE) == 0 {
                return None;
            }
            let state = pg_sys::palloc0(size_of::<GinState>()).cast::<GinState>();
            past_pgrx::initGinState(state, index);
            let scratch = pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"audit_log pending list".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            let columns = (*(*index).rd_index).indnkeyatts as usize;
            let is_text = (0..columns).map(|i| *(*index).rd_opcintype.add(i) == pg_sys::TEXTOID).collect();
            Some(PendingList { state, is_text, scratch })
        }
    }

    /// Adds the keys of rows that are in the table. What is NULL is left out: the index has no predicate, so it is never read
    /// but for a value.
    ///
    /// # Safety
    /// Under a guard; the index is open, and the one the list is of; `keys` are the rows', `columns` the index's.
    pub unsafe fn insert<'a>(
        &self,
        index: pg_sys::Relation,
        columns: &[usize],
        rows: &'a [Row],
        keys: &Keys<'a>,
    ) {
        // SAFETY: by contract. The state points to the relation, which may be another each time it is opened.
        unsafe {
            (*self.state).index = index;
            (*self.state).columns = (*index).rd_att;
            if (*self.state).one_column {
                (*self.state).first_key = (*index).rd_att;
            }
            pg_sys::MemoryContextReset(self.scratch);
            let old = pg_sys::MemoryContextSwitchTo(self.scratch);
            let mut collected =
                GinTupleCollector { tuples: std::ptr::null_mut(), count: 0, room: 0, size: 0 };
            for (i, row) in rows.iter().enumerate() {
                let before = Mark { count: collected.count, size: collected.size };
                let (values, is_null) = keys.of(i);
                for (number, column) in (1_u16..).zip(columns).filter(|(_, column)| !is_null[**column]) {
                    let place = &raw mut (*row.tuple).t_self;
                    self.collect(&mut collected, number, values[*column], place);
                }
                if before.count > 0 && !fits_a_page(&collected) {
                    self.add(&mut collected, before);
                }
            }
            let all = Mark { count: collected.count, size: collected.size };
            self.add(&mut collected, all);
            pg_sys::MemoryContextSwitchTo(old);
            pg_sys::MemoryContextReset(self.scratch);
        }
    }

    /// Collects the keys of a value.
    ///
    /// # Safety
    /// Under a guard; the value is of the column, from 1.
    unsafe fn collect(
        &self,
        collected: &mut GinTupleCollector,
        column: u16,
        value: pg_sys::Datum,
        place: pg_sys::ItemPointer,
    ) {
        // SAFETY: by contract; the array has room for one more.
        unsafe {
            // A text is its own key: it need not be asked for.
            if !self.is_text[column as usize - 1] {
                past_pgrx::ginHeapTupleFastCollect(self.state, collected, column, value, false, place);
                return;
            }
            if collected.count == collected.room {
                collected.room = (collected.room * 2).max(16);
                let bytes = collected.room as usize * size_of::<pg_sys::IndexTuple>();
                collected.tuples = match collected.tuples.is_null() {
                    true => past_pgrx::palloc(bytes).cast(),
                    false => past_pgrx::repalloc(collected.tuples.cast(), bytes).cast(),
                };
            }
            let tuple =
                past_pgrx::GinFormTuple(self.state, column, value, 0, std::ptr::null_mut(), 0, 0, true);
            (*tuple).t_tid = *place;
            *collected.tuples.add(collected.count as usize) = tuple;
            collected.count += 1;
            collected.size += u32::from((*tuple).t_info) & pg_sys::INDEX_SIZE_MASK;
        }
    }

    /// Adds what was collected up to a mark, and keeps the rest. Only a row by itself may take more than a page.
    ///
    /// # Safety
    /// Under a guard; the state is of an open index.
    unsafe fn add(&self, collected: &mut GinTupleCollector, until: Mark) {
        super::board::keys_were_added(until.size);
        let rest = Mark { count: collected.count - until.count, size: collected.size - until.size };
        (collected.count, collected.size) = (until.count, until.size);
        // SAFETY: by contract; the tuples behind those that were added move to the front.
        unsafe {
            past_pgrx::ginHeapTupleFastInsert(self.state, collected);
            if rest.count > 0 {
                let from = collected.tuples.add(until.count as usize);
                std::ptr::copy(from, collected.tuples, rest.count as usize);
            }
        }
        (collected.count, collected.size) = (rest.count, rest.size);
    }
}

/// While it lives, this session merges a list once it has added to more than it may hold.
pub struct Limit(i32);

impl Limit {
    /// Where a worker merges, nobody else should have to: it has until the size that PostgreSQL has for itself. Without
    /// one whoever adds to a list merges it, often and a little each time: see docs/performance.md. A statement with many
    /// rows takes long in any case, and merges much at once, which costs less a row; but for its last rows.
    pub fn set(rows: usize) -> Self {
        /// So many rows are written together where there are more to come.
        const MANY: usize = 256;
        const BESIDE_A_WORKER: i32 = 4096;
        const AMONG_MANY: i32 = 1024;
        const ALONE: i32 = 64;
        let limit = match super::board::merges() {
            true => BESIDE_A_WORKER,
            false if rows >= MANY => AMONG_MANY,
            false => ALONE,
        };
        // SAFETY: a plain variable of this process, kilobytes, which is set back.
        unsafe {
            let before = pg_sys::gin_pending_list_limit;
            pg_sys::gin_pending_list_limit = limit;
            Limit(before)
        }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { pg_sys::gin_pending_list_limit = self.0 };
    }
}

fn fits_a_page(collected: &GinTupleCollector) -> bool {
    collected.size as usize + collected.count as usize * size_of::<pg_sys::ItemIdData>() <= PAGE_ROOM
}

/// What it has a column: a descriptor, six functions, a collation, a boolean; and half as much to spare.
const _: () = {
    const COLUMN: usize = size_of::<*mut c_void>() + 6 * size_of::<pg_sys::FmgrInfo>() + 4 + 1;
    assert!(size_of::<GinState>() > pg_sys::INDEX_MAX_KEYS as usize * COLUMN * 3 / 2);
};
const _: () = assert!(std::mem::offset_of!(GinState, columns) == 2 * size_of::<*mut c_void>());
