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
            Some(PendingList { state, scratch })
        }
    }

    /// Adds the keys of rows that are in the table. What is NULL is left out: no search of the operator class asks for it.
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
            pg_sys::MemoryContextReset(self.scratch);
            let old = pg_sys::MemoryContextSwitchTo(self.scratch);
            let mut collected =
                GinTupleCollector { tuples: std::ptr::null_mut(), count: 0, room: 0, size: 0 };
            for (i, row) in rows.iter().enumerate() {
                let before = Mark { count: collected.count, size: collected.size };
                let (values, is_null) = keys.of(i);
                for (number, column) in (1_u16..).zip(columns).filter(|(_, column)| !is_null[**column]) {
                    let place = &raw mut (*row.tuple).t_self;
                    past_pgrx::ginHeapTupleFastCollect(
                        self.state,
                        &mut collected,
                        number,
                        values[*column],
                        false,
                        place,
                    );
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
    /// one whoever adds to a list merges it, often and a little each time: see docs/performance.md.
    pub fn set() -> Self {
        const BESIDE_A_WORKER: i32 = 4096;
        const ALONE: i32 = 64;
        let limit = if super::board::merges() { BESIDE_A_WORKER } else { ALONE };
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
