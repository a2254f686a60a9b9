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
            // SAFETY: the slot is this value's own.
            unsafe {
                disown(slot);
                pg_sys::ExecDropSingleTupleTableSlot(slot);
            }
        }
    }

    /// # Safety
    /// `desc` outlives the slots.
    pub unsafe fn at_least(
        &mut self,
        count: usize,
        desc: pg_sys::TupleDesc,
    ) -> &mut [*mut pg_sys::TupleTableSlot] {
        while self.0.len() < count {
            // SAFETY: by contract.
            unsafe {
                let old = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
                self.0.push(pg_sys::MakeSingleTupleTableSlot(desc, &raw const pg_sys::TTSOpsHeapTuple));
                pg_sys::MemoryContextSwitchTo(old);
            }
        }
        &mut self.0[..count]
    }
}

/// Writes several rows to the heap, a page at a time; their places are then in their tuples.
///
/// # Safety
/// Under a guard; the relation is open for writing, there is a slot a row, of the rows' descriptor.
pub unsafe fn insert_together(
    relation: pg_sys::Relation,
    rows: &[Row],
    slots: &mut [*mut pg_sys::TupleTableSlot],
) {
    // The earliest command of all: whoever reads the log starts a batch of its own, so nobody between
    // them can tell.
    let Some(command) = rows.first().map(|row| row.command) else { return };
    // A slot that owns its tuple is not made to copy it: each is lent its row, and disowned again,
    // first of all those that an error left with a row that is gone.
    // SAFETY: by contract; there are as many slots as rows.
    unsafe {
        for (row, slot) in rows.iter().zip(slots.iter()) {
            disown(*slot);
            past_pgrx::ExecStoreHeapTuple(row.tuple, *slot, true);
        }
        let count = rows.len() as i32;
        past_pgrx::heap_multi_insert(relation, slots.as_mut_ptr(), count, command, 0, std::ptr::null_mut());
        for (row, slot) in rows.iter().zip(slots.iter()) {
            // The slot knows its place also where a toasted copy was written.
            (*row.tuple).t_self = (**slot).tts_tid;
            disown(*slot);
        }
    }
}

/// # Safety
/// `slot` is a heap tuple's.
unsafe fn disown(slot: *mut pg_sys::TupleTableSlot) {
    // SAFETY: by contract; an empty slot that owns nothing frees nothing.
    unsafe {
        (*slot).tts_flags &= !(pg_sys::TTS_FLAG_SHOULDFREE as u16);
        (*slot).tts_flags |= pg_sys::TTS_FLAG_EMPTY as u16;
        (*slot.cast::<pg_sys::HeapTupleTableSlot>()).tuple = std::ptr::null_mut();
    }
}
