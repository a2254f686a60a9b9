//! A B-tree of a partition, read without its table.

use std::marker::PhantomData;

use pgrx::pg_sys;

use super::partition::Partition;
use super::past_pgrx;
use super::varlena;
use super::version;

/// What a column of the index is to be: a strategy of B-trees and the function that decides it.
pub struct Condition {
    /// From 1.
    pub column: i16,
    pub strategy: u32,
    pub function: u32,
    pub value: Compared,
}

/// What a column is compared with.
pub enum Compared {
    Number(i64),
    Text(varlena::Kept),
}

/// A scan that lives as long as its partition is open.
pub struct IndexScan<'a> {
    partition: PhantomData<&'a Partition>,
    scan: pg_sys::IndexScanDesc,
    keys: Vec<pg_sys::ScanKeyData>,
    /// What the keys point to.
    _conditions: Vec<Condition>,
}

#[derive(Clone, Copy)]
pub enum Direction {
    Forward,
    Backward,
}

impl<'a> IndexScan<'a> {
    /// A scan that is to be begun by `begin`.
    ///
    /// # Safety
    /// The index is one that the partition has open; the conditions fit its columns.
    pub unsafe fn of(partition: &'a Partition, index: pg_sys::Relation, conditions: Vec<Condition>) -> Self {
        let mut keys = vec![pg_sys::ScanKeyData::default(); conditions.len()];
        // SAFETY: by contract.
        let scan = unsafe {
            for (key, Condition { column, strategy, function, value }) in keys.iter_mut().zip(&conditions) {
                let value = match value {
                    Compared::Number(number) => pg_sys::Datum::from(*number),
                    Compared::Text(text) => text.value().datum(),
                };
                let collation = *(*index).rd_indcollation.add(*column as usize - 1);
                let (flags, subtype) = (0, pg_sys::InvalidOid);
                let (strategy, function) = (*strategy as u16, (*function).into());
                pg_sys::ScanKeyEntryInitialize(
                    key, flags, *column, strategy, subtype, collation, function, value,
                );
            }
            let (table, snapshot) = (partition.relation, partition.snapshot);
            let scan = version::index_beginscan(table, index, snapshot, keys.len() as i32);
            (*scan).xs_want_itup = true;
            scan
        };
        IndexScan { partition: PhantomData, scan, keys, _conditions: conditions }
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
    pub fn read(&mut self, direction: Direction, mut each: impl FnMut(Columns, u64) -> bool) -> bool {
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
                if !each(tuple_columns((*scan).xs_itup), number_of(*place)) {
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

/// The columns of an index's tuple, while it is read.
#[derive(Clone, Copy)]
pub struct Columns<'a>(*const u8, PhantomData<&'a [u8]>);

impl Columns<'_> {
    /// What stands so many bytes behind their beginning.
    ///
    /// # Safety
    /// A value of this type does.
    pub unsafe fn read<T: Copy>(self, offset: usize) -> T {
        // SAFETY: by contract.
        unsafe { self.0.add(offset).cast::<T>().read_unaligned() }
    }

    /// How long the text is that is first.
    ///
    /// # Safety
    /// The first column is a text; in an index it is never moved out of line.
    pub unsafe fn text_length(self) -> usize {
        // SAFETY: by contract.
        unsafe { pgrx::varlena::varsize_any(self.0.cast()) }
    }
}

/// Where the columns of an index's tuple begin.
///
/// # Safety
/// `tuple` is a tuple of an index, which lives as long as the result.
unsafe fn tuple_columns<'a>(tuple: pg_sys::IndexTuple) -> Columns<'a> {
    const HAS_NULLS: u16 = 0x8000;
    const HEADER: usize = size_of::<pg_sys::IndexTupleData>();
    // One bit a column of the most that an index has, and the columns aligned behind them.
    const WITH_NULLS: usize =
        (HEADER + pg_sys::INDEX_MAX_KEYS as usize / 8).next_multiple_of(align_of::<i64>());
    // SAFETY: by contract.
    unsafe {
        let header = if (*tuple).t_info & HAS_NULLS == 0 { HEADER } else { WITH_NULLS };
        Columns(tuple.cast::<u8>().add(header), PhantomData)
    }
}

/// A row's place as a number that orders as places do.
pub fn place_number(block: u32, offset: u16) -> u64 {
    (u64::from(block) << 16) | u64::from(offset)
}

fn number_of(place: pg_sys::ItemPointerData) -> u64 {
    let block = (u32::from(place.ip_blkid.bi_hi) << 16) | u32::from(place.ip_blkid.bi_lo);
    place_number(block, place.ip_posid)
}

/// The place that a number says.
pub fn place(number: u64) -> pg_sys::ItemPointerData {
    let block = pg_sys::BlockIdData { bi_hi: (number >> 32) as u16, bi_lo: (number >> 16) as u16 };
    pg_sys::ItemPointerData { ip_blkid: block, ip_posid: number as u16 }
}
