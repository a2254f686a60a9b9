//! Where the rows are that have a value, by an index: an index only says where to look.

use pgrx::pg_sys;

use super::gin_value::{Found, Tree};
use super::index_scan::place_number;
use super::partition::Partition;
use super::varlena::Kept;
use super::version;

/// How many bytes a set of places may take before pages stand for their rows.
const MOST_BYTES: usize = 32 << 20;

/// A set of places while it is collected.
pub struct Bitmap(*mut pg_sys::TIDBitmap);

impl Bitmap {
    pub fn new() -> Self {
        // SAFETY: a plain call; the set is this value's own.
        Bitmap(unsafe { pg_sys::tbm_create(MOST_BYTES as _, std::ptr::null_mut()) })
    }

    /// Adds the places of rows that have a text in the first column of a B-tree.
    ///
    /// # Safety
    /// The index is one that the partition has open, a B-tree that begins with a text.
    pub unsafe fn add(&mut self, partition: &Partition, index: pg_sys::Relation, value: &str) {
        let text = Kept::text(value);
        let is = (pg_sys::BTEqualStrategyNumber, pg_sys::F_TEXTEQ, text.value().datum());
        // SAFETY: by contract; the text lives until the scan has ended.
        unsafe { self.scan(partition, index, &[is]) };
    }

    /// Adds the places of rows whose first column is between two instants, both included.
    ///
    /// # Safety
    /// The index is one that the partition has open, a B-tree that begins with a timestamptz.
    pub unsafe fn add_between(
        &mut self,
        partition: &Partition,
        index: pg_sys::Relation,
        first: i64,
        last: i64,
    ) {
        let conditions = [
            (pg_sys::BTGreaterEqualStrategyNumber, pg_sys::F_TIMESTAMPTZ_GE, pg_sys::Datum::from(first)),
            (pg_sys::BTLessEqualStrategyNumber, pg_sys::F_TIMESTAMPTZ_LE, pg_sys::Datum::from(last)),
        ];
        // SAFETY: by contract.
        unsafe { self.scan(partition, index, &conditions) };
    }

    /// Adds what meets conditions on the first column: strategy, function, and what it is compared with.
    ///
    /// # Safety
    /// The index is a B-tree that the partition has open, the functions are of the column's type.
    unsafe fn scan(
        &mut self,
        partition: &Partition,
        index: pg_sys::Relation,
        conditions: &[(u32, u32, pg_sys::Datum)],
    ) {
        let mut keys = vec![pg_sys::ScanKeyData::default(); conditions.len()];
        // SAFETY: by contract; the keys live until the scan has ended. After an error PostgreSQL's abort ends it.
        unsafe {
            let collation = *(*index).rd_indcollation;
            for (key, (strategy, function, value)) in keys.iter_mut().zip(conditions) {
                let (strategy, function) = (*strategy as u16, (*function).into());
                let subtype = pg_sys::InvalidOid;
                pg_sys::ScanKeyEntryInitialize(key, 0, 1, strategy, subtype, collation, function, *value);
            }
            let count = keys.len() as i32;
            let scan = version::index_beginscan_bitmap(index, partition.snapshot, count);
            pg_sys::index_rescan(scan, keys.as_mut_ptr(), count, std::ptr::null_mut(), 0);
            pg_sys::index_getbitmap(scan, self.0);
            pg_sys::index_endscan(scan);
        }
    }

    /// Adds all to a list, ascending; one without an offset stands for its whole page.
    pub fn list(self, places: &mut Vec<u64>) {
        // SAFETY: the set is whole; nobody else has it.
        unsafe { version::each_place(self.0, |block, offset| places.push(place_number(block, offset))) };
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

/// A run of places is asked for at once; with a gap of so many pages another one begins.
const GAP: u64 = 256 << 16;
const OFFSET: u64 = 0xffff;

/// The places of rows that have any of some values.
#[derive(Default)]
pub struct Places<'a> {
    /// Ascending, each once; one without an offset stands for its whole page.
    listed: Vec<u64>,
    trees: Vec<Tree<'a>>,
}

impl<'a> Places<'a> {
    pub(super) fn add(&mut self, found: Found<'a>) {
        self.listed.extend(found.places);
        self.trees.extend(found.tree);
    }

    pub(super) fn settle(&mut self) {
        self.listed.sort_unstable();
        self.listed.dedup();
    }

    /// How many there are, about.
    pub fn about(&self) -> f64 {
        self.listed.len() as f64 + self.trees.iter().map(Tree::about).sum::<f64>()
    }

    /// All, in ascending order.
    pub fn all(&self) -> Vec<u64> {
        let mut places = Vec::new();
        self.between(0, u64::MAX, &mut places);
        places
    }

    /// Those from one to another, both included, in ascending order, in place of what is there.
    fn between(&self, from: u64, to: u64, places: &mut Vec<u64>) {
        places.clear();
        let from_page = from & !OFFSET;
        let begin = self.listed.partition_point(|one| *one < from_page);
        let listed = self.listed[begin..].iter().take_while(|one| **one <= to);
        let mut has_pages = false;
        listed.for_each(|place| {
            has_pages |= place & OFFSET == 0;
            each_place_of(*place, |one| places.push(one));
        });
        let parts = usize::from(!places.is_empty()) + self.trees.len();
        self.trees.iter().for_each(|tree| tree.between(from, to, places));
        // A row may be listed by itself and with its page.
        if parts > 1 || has_pages {
            places.sort_unstable();
            places.dedup();
        }
    }

    /// Leaves of some places, in ascending order, those that it has.
    pub fn retain(&self, places: &mut Vec<u64>) {
        let (mut kept, mut begin) = (0, 0);
        let mut own = Vec::new();
        while begin < places.len() {
            let gap = places[begin..].windows(2).position(|two| two[1] - two[0] > GAP);
            let end = gap.map_or(places.len(), |gap| begin + gap + 1);
            self.between(places[begin], places[end - 1], &mut own);
            let mut theirs = own.iter().copied().peekable();
            for i in begin..end {
                while theirs.next_if(|one| *one < places[i]).is_some() {}
                if theirs.peek() == Some(&places[i]) {
                    places[kept] = places[i];
                    kept += 1;
                }
            }
            begin = end;
        }
        places.truncate(kept);
    }
}

/// Gives a place, or all that a page can have where it stands for that.
pub(super) fn each_place_of(place: u64, mut each: impl FnMut(u64)) {
    match place & OFFSET {
        0 => (1..=u64::from(MOST_ROWS_OF_A_PAGE)).for_each(|offset| each(place + offset)),
        _ => each(place),
    }
}

/// More line pointers than this a heap page does not have.
const MOST_ROWS_OF_A_PAGE: u16 = 291;
