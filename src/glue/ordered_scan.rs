//! A B-tree whose first column is eight bytes long, read from a value on.

use std::marker::PhantomData;

use pgrx::pg_sys;

use super::index_stream::{place_number, tuple_columns};
use super::partition::Partition;
use super::past_pgrx;
use super::version;

/// Rows are read this many at a time, at first and at most.
const FIRST_READ: usize = 32;
const LARGEST_READ: usize = 512;

/// Places by the value of the index's first column, an int8 or timestamptz, ascending.
pub struct OrderedScan<'a> {
    partition: PhantomData<&'a Partition>,
    scan: pg_sys::IndexScanDesc,
    keys: [pg_sys::ScanKeyData; 2],
    read: Vec<(i64, u64)>,
    at: usize,
    exhausted: bool,
}

/// The operators of the column's type.
#[derive(Clone, Copy)]
pub enum Of {
    Number,
    Instant,
}

impl OrderedScan<'_> {
    /// Reads the values of `from..end`.
    ///
    /// # Safety
    /// Table and index are open until the scan is dropped; the index begins with a column of the type.
    pub unsafe fn open(
        table: pg_sys::Relation,
        index: pg_sys::Relation,
        snapshot: pg_sys::Snapshot,
        of: Of,
        from: i64,
        end: i64,
    ) -> Self {
        let (ge, lt) = match of {
            Of::Number => (pg_sys::F_INT8GE, pg_sys::F_INT8LT),
            Of::Instant => (pg_sys::F_TIMESTAMPTZ_GE, pg_sys::F_TIMESTAMPTZ_LT),
        };
        let mut keys = [pg_sys::ScanKeyData::default(); 2];
        let strategies = [pg_sys::BTGreaterEqualStrategyNumber, pg_sys::BTLessStrategyNumber];
        // SAFETY: by contract; the operators are those of the column's type.
        let scan = unsafe {
            for (key, (strategy, (function, value))) in
                keys.iter_mut().zip(strategies.into_iter().zip([(ge, from), (lt, end)]))
            {
                let (attribute, subtype, collation) = (1, pg_sys::InvalidOid, pg_sys::InvalidOid);
                pg_sys::ScanKeyEntryInitialize(
                    key,
                    0,
                    attribute,
                    strategy as u16,
                    subtype,
                    collation,
                    function.into(),
                    pg_sys::Datum::from(value),
                );
            }
            let scan = version::index_beginscan(table, index, snapshot, keys.len() as i32);
            (*scan).xs_want_itup = true;
            scan
        };
        let mut opened =
            OrderedScan { partition: PhantomData, scan, keys, read: Vec::new(), at: 0, exhausted: false };
        opened.begin(from);
        opened
    }

    /// The value and place the scan stands at; None at its end.
    pub fn current(&self) -> Option<(i64, u64)> {
        self.read.get(self.at).copied()
    }

    pub fn advance(&mut self) {
        self.at += 1;
        if self.at >= self.read.len() {
            self.read_on((self.read.len() * 2).clamp(FIRST_READ, LARGEST_READ));
        }
    }

    /// Goes on to the first value that is not below another.
    pub fn skip_to(&mut self, value: i64) {
        self.at += self.read[self.at..].partition_point(|(one, _)| *one < value);
        if self.at < self.read.len() || self.exhausted {
            return;
        }
        self.read_on(LARGEST_READ);
        self.at = self.read.partition_point(|(one, _)| *one < value);
        if self.at >= self.read.len() && !self.exhausted {
            self.begin(value);
        }
    }

    /// Begins anew at a value.
    pub fn begin(&mut self, from: i64) {
        self.keys[0].sk_argument = pg_sys::Datum::from(from);
        // SAFETY: the scan is open, and has this many keys.
        unsafe {
            let count = self.keys.len() as i32;
            pg_sys::index_rescan(self.scan, self.keys.as_mut_ptr(), count, std::ptr::null_mut(), 0);
        }
        self.exhausted = false;
        self.read_on(FIRST_READ);
    }

    /// Reads the next ones in place of those read before.
    fn read_on(&mut self, count: usize) {
        self.at = 0;
        self.read.clear();
        if self.exhausted {
            return;
        }
        self.read.reserve(count);
        let (scan, read) = (self.scan, &mut self.read);
        // One guard for all calls: the vector has the room, so there is nothing to be dropped.
        // SAFETY: the scan is open, and a tuple of the index lives until the next call.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                while read.len() < count {
                    let place =
                        past_pgrx::index_getnext_tid(scan, pg_sys::ScanDirection::ForwardScanDirection);
                    if place.is_null() {
                        break;
                    }
                    let value = tuple_columns((*scan).xs_itup).cast::<i64>().read();
                    read.push((value, place_number(*place)));
                }
            });
        }
        self.exhausted = self.read.len() < count;
    }
}

impl Drop for OrderedScan<'_> {
    fn drop(&mut self) {
        // After an error PostgreSQL's abort ends it.
        if !std::thread::panicking() {
            // SAFETY: the scan is this value's own.
            unsafe { pg_sys::index_endscan(self.scan) };
        }
    }
}
