//! Where the rows are that an index says may have a value: the index is asked for all of them at once.

use pgrx::pg_sys;

use super::index_scan::place_number;
use super::partition::Partition;
use super::varlena::Kept;
use super::version;

/// A column of the index, from 1, and the text that it is to have.
pub struct Wanted<'v> {
    pub column: i16,
    pub value: &'v str,
}

/// How many bytes a set of places may take before pages stand for their rows.
const MOST_BYTES: usize = 32 << 20;

/// A set of places while it is collected.
pub struct Bitmap(*mut pg_sys::TIDBitmap);

impl Bitmap {
    pub fn new() -> Self {
        // SAFETY: a plain call; the set is this value's own.
        Bitmap(unsafe { pg_sys::tbm_create(MOST_BYTES as _, std::ptr::null_mut()) })
    }

    /// Adds the places of rows that have all of some values, by one index.
    ///
    /// # Safety
    /// The index is one that the partition has open, for equality of texts by this strategy, and has the columns; all
    /// columns in front of the last one that is wanted are wanted, too, where the index is a B-tree.
    pub unsafe fn add(
        &mut self,
        partition: &Partition,
        index: pg_sys::Relation,
        strategy: u32,
        wanted: &[Wanted],
    ) {
        let texts: Vec<Kept> = wanted.iter().map(|one| Kept::text(one.value)).collect();
        let mut keys = vec![pg_sys::ScanKeyData::default(); wanted.len()];
        // SAFETY: by contract; keys and texts live until the scan has ended. After an error PostgreSQL's abort ends it.
        unsafe {
            for ((key, Wanted { column, .. }), text) in keys.iter_mut().zip(wanted).zip(&texts) {
                let collation = *(*index).rd_indcollation.add(*column as usize - 1);
                pg_sys::ScanKeyEntryInitialize(
                    key,
                    0,
                    *column,
                    strategy as u16,
                    pg_sys::InvalidOid,
                    collation,
                    pg_sys::F_TEXTEQ.into(),
                    text.value().datum(),
                );
            }
            let count = keys.len() as i32;
            let scan = version::index_beginscan_bitmap(index, partition.snapshot, count);
            pg_sys::index_rescan(scan, keys.as_mut_ptr(), count, std::ptr::null_mut(), 0);
            pg_sys::index_getbitmap(scan, self.0);
            pg_sys::index_endscan(scan);
        }
    }

    /// Leaves what another set has as well.
    pub fn intersect(&mut self, other: &Bitmap) {
        // SAFETY: both are sets that nobody iterates over.
        unsafe { pg_sys::tbm_intersect(self.0, other.0) };
    }

    pub fn places(self) -> Places {
        let mut places = Vec::new();
        // SAFETY: the set is whole; nobody else has it.
        unsafe { version::each_place(self.0, |block, offset| places.push(place_number(block, offset))) };
        Places(places)
    }
}

impl Drop for Bitmap {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: the set is this value's own.
            unsafe { pg_sys::tbm_free(self.0) };
        }
    }
}

/// Places in ascending order; one without an offset stands for its whole page.
pub struct Places(Vec<u64>);

impl Places {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn has(&self, place: u64) -> bool {
        const OFFSET: u64 = 0xffff;
        self.0.binary_search(&place).is_ok() || self.0.binary_search(&(place & !OFFSET)).is_ok()
    }

    /// All places, the last ones first.
    pub fn descending(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().rev().flat_map(|place| {
            const OFFSET: u64 = 0xffff;
            let whole = place & OFFSET == 0;
            let last = if whole { u64::from(MOST_ROWS_OF_A_PAGE) } else { 0 };
            let first = u64::from(whole);
            (first..=last).rev().map(move |offset| place + offset)
        })
    }
}

/// More line pointers than this a heap page does not have.
const MOST_ROWS_OF_A_PAGE: u16 = 291;
