//! A B-tree of a partition, read without its table.

use std::marker::PhantomData;

use pgrx::pg_sys;

use super::partition::Partition;
use super::past_pgrx;
use super::version;

/// What a column of the index is to be: a strategy of B-trees and the function that decides it.
pub struct Condition {
    /// From 1.
    pub column: i16,
    pub strategy: u32,
    pub function: u32,
    pub value: pg_sys::Datum,
}

/// A scan that lives as long as its partition is open.
pub struct IndexScan<'a> {
    partition: PhantomData<&'a Partition>,
    scan: pg_sys::IndexScanDesc,
    keys: Vec<pg_sys::ScanKeyData>,
}

#[derive(Clone, Copy)]
pub enum Direction {
    Forward,
    Backward,
}

impl IndexScan<'_> {
    /// A scan that is to be begun by `begin`.
    ///
    /// # Safety
    /// Table and index are open until it is dropped; the conditions fit the index's columns.
    pub unsafe fn of(
        table: pg_sys::Relation,
        index: pg_sys::Relation,
        snapshot: pg_sys::Snapshot,
        conditions: &[Condition],
    ) -> Self {
        let mut keys = vec![pg_sys::ScanKeyData::default(); conditions.len()];
        // SAFETY: by contract.
        let scan = unsafe {
            for (key, Condition { column, strategy, function, value }) in keys.iter_mut().zip(conditions) {
                let collation = *(*index).rd_indcollation.add(*column as usize - 1);
                let (flags, subtype) = (0, pg_sys::InvalidOid);
                let (strategy, function) = (*strategy as u16, (*function).into());
                pg_sys::ScanKeyEntryInitialize(
                    key, flags, *column, strategy, subtype, collation, function, *value,
                );
            }
            let scan = version::index_beginscan(table, index, snapshot, keys.len() as i32);
            (*scan).xs_want_itup = true;
            scan
        };
        IndexScan { partition: PhantomData, scan, keys }
    }

    /// Begins, or begins anew, with another value of one condition.
    pub fn begin(&mut self, condition: usize, value: i64) {
        self.keys[condition].sk_argument = pg_sys::Datum::from(value);
        // SAFETY: the scan is open, and has this many keys.
        unsafe {
            let (count, no_orders) = (self.keys.len() as i32, std::ptr::null_mut());
            pg_sys::index_rescan(self.scan, self.keys.as_mut_ptr(), count, no_orders, 0);
        }
    }

    /// Gives the next tuples' columns and their rows' places, until `each` says that it has enough; true
    /// where the index has no more. `each` must hold nothing that would have to be dropped.
    pub fn read(&mut self, direction: Direction, mut each: impl FnMut(*const u8, u64) -> bool) -> bool {
        let scan = self.scan;
        let direction = match direction {
            Direction::Forward => pg_sys::ScanDirection::ForwardScanDirection,
            Direction::Backward => pg_sys::ScanDirection::BackwardScanDirection,
        };
        // SAFETY: the scan is open, one guard for all calls; a tuple of the index lives until the next.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| loop {
                let place = past_pgrx::index_getnext_tid(scan, direction);
                if place.is_null() {
                    return true;
                }
                if !each(tuple_columns((*scan).xs_itup), place_number(*place)) {
                    return false;
                }
            })
        }
    }
}

impl Drop for IndexScan<'_> {
    fn drop(&mut self) {
        // After an error PostgreSQL's abort ends it.
        if !std::thread::panicking() {
            // SAFETY: the scan is this value's own.
            unsafe { pg_sys::index_endscan(self.scan) };
        }
    }
}

/// Where the columns of an index's tuple begin.
///
/// # Safety
/// `tuple` is a tuple of an index.
unsafe fn tuple_columns(tuple: pg_sys::IndexTuple) -> *const u8 {
    const HAS_NULLS: u16 = 0x8000;
    const HEADER: usize = size_of::<pg_sys::IndexTupleData>();
    // One bit a column of the most that an index has, and the columns aligned behind them.
    const WITH_NULLS: usize =
        (HEADER + pg_sys::INDEX_MAX_KEYS as usize / 8).next_multiple_of(align_of::<i64>());
    // SAFETY: by contract.
    unsafe {
        let header = if (*tuple).t_info & HAS_NULLS == 0 { HEADER } else { WITH_NULLS };
        tuple.cast::<u8>().add(header)
    }
}

/// A row's place as a number that orders as places do.
fn place_number(place: pg_sys::ItemPointerData) -> u64 {
    let block = (u64::from(place.ip_blkid.bi_hi) << 16) | u64::from(place.ip_blkid.bi_lo);
    (block << 16) | u64::from(place.ip_posid)
}

/// The place that a number says.
pub fn place(number: u64) -> pg_sys::ItemPointerData {
    let block = pg_sys::BlockIdData { bi_hi: (number >> 32) as u16, bi_lo: (number >> 16) as u16 };
    pg_sys::ItemPointerData { ip_blkid: block, ip_posid: number as u16 }
}
