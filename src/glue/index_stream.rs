//! One B-tree of a partition read as a stream of postings, newest first.

use std::cell::Cell;
use std::cmp::Reverse;
use std::marker::PhantomData;

use audit_log_model::posting::{Posting, Stream};
use pgrx::pg_sys;

use super::partition::Partition;
use super::past_pgrx;
use super::version;

/// A posting, and of an index that has it the event's id behind the instant.
#[derive(Clone, Copy)]
pub struct Found {
    pub posting: Posting,
    pub event_id: [u8; 16],
}

/// Postings are read this many at a time, at first and at most.
const FIRST_READ: usize = 16;
const LARGEST_READ: usize = 256;
/// Walking over this many postings costs as much as looking a place up anew.
const WALK: f64 = 150.0;

/// The postings of one value, or of all, within `start..end`; lives as long as its partition is open.
pub struct IndexStream<'a> {
    partition: PhantomData<&'a Partition>,
    scan: pg_sys::IndexScanDesc,
    keys: [pg_sys::ScanKeyData; 3],
    key_count: usize,
    /// Where the instant is among the columns of a tuple, once that is known; an event id may follow.
    offset: Option<usize>,
    has_event_id: bool,
    start: i64,
    read: Vec<Found>,
    /// Read already, of an instant before those in `read`.
    next: Option<Found>,
    /// The current posting's place in `read`.
    at: usize,
    /// Whether the index has no more than what is read.
    exhausted: bool,
    rate: Cell<f64>,
}

/// What is to be read of an index.
pub struct Wanted {
    /// A text datum; None for an index on the instant alone.
    pub value: Option<pg_sys::Datum>,
    /// PostgreSQL's microseconds, `end` excluded.
    pub start: i64,
    pub end: i64,
    /// Postings behind this one only, itself included.
    pub from: Posting,
    pub has_event_id: bool,
}

impl IndexStream<'_> {
    /// # Safety
    /// Table and index are open until the stream is dropped; the index is on (text, timestamptz) if
    /// there is a value, else on (timestamptz), and the next column is a uuid if an event id is wanted.
    pub unsafe fn open(
        table: pg_sys::Relation,
        index: pg_sys::Relation,
        snapshot: pg_sys::Snapshot,
        wanted: &Wanted,
    ) -> Self {
        let mut keys = [pg_sys::ScanKeyData::default(); 3];
        let instant = if wanted.value.is_some() { 2 } else { 1 };
        let key_count = if wanted.value.is_some() { 3 } else { 2 };
        // SAFETY: by contract; the operators are those of the columns' types.
        let scan = unsafe {
            let mut key = |i: usize, attribute, strategy: u32, function: u32, value| {
                let collation = *(*index).rd_indcollation.add(attribute as usize - 1);
                let (flags, subtype) = (0, pg_sys::InvalidOid);
                let procedure = function.into();
                pg_sys::ScanKeyEntryInitialize(
                    &mut keys[i],
                    flags,
                    attribute,
                    strategy as u16,
                    subtype,
                    collation,
                    procedure,
                    value,
                );
            };
            let (le, ge) = (pg_sys::BTLessEqualStrategyNumber, pg_sys::BTGreaterEqualStrategyNumber);
            key(0, instant as i16, le, pg_sys::F_TIMESTAMPTZ_LE, pg_sys::Datum::from(wanted.end - 1));
            key(1, instant as i16, ge, pg_sys::F_TIMESTAMPTZ_GE, pg_sys::Datum::from(wanted.start));
            if let Some(value) = wanted.value {
                key(2, 1, pg_sys::BTEqualStrategyNumber, pg_sys::F_TEXTEQ, value);
                keys.rotate_right(1);
            }
            let scan = version::index_beginscan(table, index, snapshot, key_count as i32);
            (*scan).xs_want_itup = true;
            scan
        };
        let mut stream = IndexStream {
            partition: PhantomData,
            scan,
            keys,
            key_count,
            offset: None,
            has_event_id: wanted.has_event_id,
            start: wanted.start,
            read: Vec::new(),
            next: None,
            at: 0,
            exhausted: false,
            rate: Cell::new(0.0),
        };
        stream.look_up(Posting { at: wanted.from.at.min(wanted.end - 1), ..wanted.from });
        stream.skip_above(wanted.from);
        stream
    }

    /// The posting the stream stands at, with its event id.
    pub fn found(&self) -> Option<Found> {
        self.read.get(self.at).copied()
    }

    /// Begins anew at an instant.
    fn look_up(&mut self, to: Posting) {
        let upper = if self.key_count == 3 { 1 } else { 0 };
        self.keys[upper].sk_argument = pg_sys::Datum::from(to.at);
        // SAFETY: the scan is open, and has this many keys.
        unsafe {
            let (none, no_orders) = (std::ptr::null_mut(), 0);
            pg_sys::index_rescan(self.scan, self.keys.as_mut_ptr(), self.key_count as i32, none, no_orders);
        }
        self.exhausted = false;
        self.next = None;
        self.read_on(FIRST_READ);
    }

    /// Reads the next postings in place of those read before: `count`, and the rest of the last instant.
    fn read_on(&mut self, count: usize) {
        self.at = 0;
        self.read.clear();
        self.read.extend(self.next.take());
        while !self.exhausted && self.next.is_none() {
            self.read_some(count);
        }
        // Of one instant an index may have another order: by further columns, or within a list of places.
        let ascending = |two: &[Found]| two[0].posting < two[1].posting;
        if self.read.windows(2).any(ascending) {
            self.read.sort_unstable_by_key(|found| Reverse(found.posting));
        }
        if let (Some(first), Some(last)) = (self.read.first(), self.read.last()) {
            let until = if self.exhausted { self.start } else { last.posting.at };
            self.rate.set(self.read.len() as f64 / first.posting.at.saturating_sub(until).max(1) as f64);
        }
    }

    /// Reads on to `count`, or as many as there is room for.
    fn read_some(&mut self, count: usize) {
        self.read.reserve(count);
        let room = self.read.capacity();
        let (scan, has_value, has_event_id) = (self.scan, self.key_count == 3, self.has_event_id);
        // One value is stored in one way: the instant stands at the same place in all its tuples.
        let mut offset = self.offset;
        let (read, next) = (&mut self.read, &mut self.next);
        // One guard for all calls: the vector has the room, so there is nothing to be dropped.
        // SAFETY: the scan is open, and a tuple of the index lives until the next call.
        self.exhausted = unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                while read.len() < room {
                    let place =
                        past_pgrx::index_getnext_tid(scan, pg_sys::ScanDirection::BackwardScanDirection);
                    if place.is_null() {
                        return true;
                    }
                    let columns = tuple_columns((*scan).xs_itup);
                    let offset = *offset.get_or_insert_with(|| instant_offset(columns, has_value));
                    let at = columns.add(offset).cast::<i64>().read();
                    let mut event_id = [0; 16];
                    if has_event_id {
                        event_id = columns.add(offset + size_of::<i64>()).cast::<[u8; 16]>().read();
                    }
                    let found = Found { posting: Posting { at, place: place_number(*place) }, event_id };
                    if read.len() >= count && read.last().is_some_and(|last| last.posting.at != at) {
                        *next = Some(found);
                        return false;
                    }
                    read.push(found);
                }
                false
            })
        };
        self.offset = offset;
    }

    /// Skips what is read and above a posting.
    fn skip_above(&mut self, to: Posting) {
        self.at += self.read[self.at..].partition_point(|found| found.posting > to);
    }
}

impl Stream for IndexStream<'_> {
    fn current(&self) -> Option<Posting> {
        self.found().map(|found| found.posting)
    }

    fn advance(&mut self) {
        self.at += 1;
        if self.at >= self.read.len() {
            self.read_on((self.read.len() * 2).clamp(FIRST_READ, LARGEST_READ));
        }
    }

    fn seek(&mut self, to: Posting) {
        while self.current().is_some_and(|current| current > to) {
            self.skip_above(to);
            if self.at < self.read.len() {
                return;
            }
            let distance = self.read.last().map_or(0, |last| last.posting.at.saturating_sub(to.at));
            let is_next = self.next.is_some_and(|next| next.posting <= to);
            match self.exhausted || is_next || self.rate.get() * (distance as f64) < WALK {
                true => self.read_on(LARGEST_READ),
                false => self.look_up(to),
            }
        }
    }

    fn rate(&self) -> f64 {
        if self.current().is_some() {
            self.rate.get()
        } else {
            0.0
        }
    }
}

impl Drop for IndexStream<'_> {
    fn drop(&mut self) {
        // After an error PostgreSQL's abort ends it.
        if !std::thread::panicking() {
            // SAFETY: the scan is this stream's own.
            unsafe { pg_sys::index_endscan(self.scan) };
        }
    }
}

/// Where the columns of an index's tuple begin.
///
/// # Safety
/// `tuple` is a tuple of an index.
pub unsafe fn tuple_columns(tuple: pg_sys::IndexTuple) -> *const u8 {
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

/// Where the instant is among a tuple's columns, in front of which a text may stand.
///
/// # Safety
/// The columns are (timestamptz …) or (text, timestamptz …), neither of them NULL.
unsafe fn instant_offset(columns: *const u8, has_value: bool) -> usize {
    if !has_value {
        return 0;
    }
    // SAFETY: by contract; a text in an index is never moved out of line.
    let text = unsafe { pgrx::varlena::varsize_any(columns.cast()) };
    text.next_multiple_of(align_of::<i64>())
}

/// A row's place as a number that orders as places do.
pub fn place_number(place: pg_sys::ItemPointerData) -> u64 {
    let block = (u64::from(place.ip_blkid.bi_hi) << 16) | u64::from(place.ip_blkid.bi_lo);
    (block << 16) | u64::from(place.ip_posid)
}

/// The place that a number says.
pub fn place(number: u64) -> pg_sys::ItemPointerData {
    let block = pg_sys::BlockIdData { bi_hi: (number >> 32) as u16, bi_lo: (number >> 16) as u16 };
    pg_sys::ItemPointerData { ip_blkid: block, ip_posid: number as u16 }
}
