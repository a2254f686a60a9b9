//! A stored row's columns, and a row that was kept.

use pgrx::pg_sys;

use super::memory::Arena;
use super::tuple::OwnTuple;
use super::value::Value;

/// A row's columns, counted from 0.
pub trait Fields {
    fn value(&self, column: usize) -> Option<Value<'_>>;

    /// Where what reading takes is put; it stays as long as the row.
    fn memory(&self) -> &Arena;

    /// A text column's bytes; it must be a text.
    fn text(&self, column: usize) -> Option<&[u8]> {
        self.value(column).map(|value| value.text(self.memory()))
    }

    /// A uuid column's bytes; it must be a uuid.
    fn uuid(&self, column: usize) -> Option<[u8; 16]> {
        self.value(column).map(uuid)
    }
}

fn uuid(value: Value) -> [u8; 16] {
    // SAFETY: a uuid has 16 bytes.
    unsafe { *value.datum().cast_mut_ptr() }
}

/// A copy of a row, in memory of its own.
pub struct Kept {
    /// What the values point into.
    _row: OwnTuple,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

impl Kept {
    /// # Safety
    /// The tuple is of the descriptor.
    pub(super) unsafe fn of(tuple: pg_sys::HeapTuple, desc: pg_sys::TupleDesc) -> Kept {
        // SAFETY: by contract; a row that has all columns has no value in the descriptor.
        unsafe {
            let row = OwnTuple::whole(tuple, desc);
            let width = (*desc).natts as usize;
            let mut values = vec![pg_sys::Datum::from(0); width];
            let mut nulls = vec![true; width];
            pg_sys::heap_deform_tuple(&mut row.header(), desc, values.as_mut_ptr(), nulls.as_mut_ptr());
            Kept { _row: row, values, nulls }
        }
    }

    pub fn value(&self, column: usize) -> Option<Value<'_>> {
        // SAFETY: it points into the row, which lives as long as this.
        (!*self.nulls.get(column)?).then(|| unsafe { Value::of(self.values[column]) })
    }

    /// A text column's bytes, expanded in a memory where they are compressed; it must be a text.
    pub fn text<'a>(&'a self, column: usize, memory: &'a Arena) -> Option<&'a [u8]> {
        self.value(column).map(|value| value.text(memory))
    }

    /// A uuid column's bytes; it must be a uuid.
    pub fn uuid(&self, column: usize) -> Option<[u8; 16]> {
        self.value(column).map(uuid)
    }
}
