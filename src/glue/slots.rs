//! Slots in which rows are handed to the heap together.

use pgrx::pg_sys;

use super::log_table::Row;
use super::past_pgrx;

/// Slots of one descriptor; made once, they live as long as the session.
pub struct Slots(Vec<*mut pg_sys::TupleTableSlot>);

impl Slots {
    pub const fn new() -> Self {
        Slots(Vec::new())
    }

    /// Lets go of the slots and of their descriptor.
    pub fn drop_all(&mut self) {
        for slot in self.0.drain(..) {
            // SAFETY: the slot is this value's own, and empty between writes.
            unsafe { pg_sys::ExecDropSingleTupleTableSlot(slot) };
        }
    }

    /// # Safety
    /// `desc` outlives the slots.
    pub unsafe fn at_least(
        &mut self,
        count: usize,
        desc: pg_sys::TupleDesc,
    ) -> *mut *mut pg_sys::TupleTableSlot {
        while self.0.len() < count {
            // SAFETY: by contract.
            unsafe {
                let old = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
                self.0.push(pg_sys::MakeSingleTupleTableSlot(desc, &raw const pg_sys::TTSOpsHeapTuple));
                pg_sys::MemoryContextSwitchTo(old);
            }
        }
        self.0.as_mut_ptr()
    }
}

/// Writes several rows to the heap, a page at a time; their places are then in their tuples.
///
/// # Safety
/// Under a guard; the relation is open for writing, there is a slot a row, of the rows' descriptor.
pub unsafe fn insert_together(
    relation: pg_sys::Relation,
    rows: &[Row],
    slots: *mut *mut pg_sys::TupleTableSlot,
    command: pg_sys::CommandId,
) {
    // SAFETY: by contract; heap_multi_insert takes the tuples out of the slots as they are, and
    // notes in the slots where each was put, also where it wrote a toasted copy. A slot lets go of
    // its tuple when it gets the next, without looking at it.
    unsafe {
        for (i, row) in rows.iter().enumerate() {
            past_pgrx::ExecStoreHeapTuple(row.tuple, *slots.add(i), false);
        }
        past_pgrx::heap_multi_insert(relation, slots, rows.len() as i32, command, 0, std::ptr::null_mut());
        for (i, row) in rows.iter().enumerate() {
            (*row.tuple).t_self = (**slots.add(i)).tts_tid;
        }
    }
}
