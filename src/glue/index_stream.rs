//! One B-tree of a partition read as a stream of postings, newest first.

use std::cmp::Reverse;

use audit_log_model::posting::{Posting, Stream};
use pgrx::pg_sys;

use super::index_scan::{Columns, Compared, Condition, Direction, IndexScan};
use super::partition::Partition;
use super::varlena::Kept;

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

/// The postings of one value, or of all, within `start..end`.
pub struct IndexStream<'a> {
    scan: IndexScan<'a>,
    has_value: bool,
    has_event_id: bool,
    /// Where the instant is among the columns of a tuple, once that is known; an event id may follow.
    offset: Option<usize>,
    start: i64,
    read: Vec<Found>,
    /// Read already, of an instant before those in `read`.
    next: Option<Found>,
    /// The current posting's place in `read`.
    at: usize,
    /// Whether the index has no more than what is read.
    exhausted: bool,
    rate: f64,
}

/// What is to be read of an index.
pub struct Wanted<'a> {
    /// A text; None for an index on the instant alone.
    pub value: Option<&'a str>,
    /// PostgreSQL's microseconds, `end` excluded.
    pub start: i64,
    pub end: i64,
    /// Postings behind this one only, itself included.
    pub from: Posting,
    pub has_event_id: bool,
}

impl<'a> IndexStream<'a> {
    /// # Safety
    /// The index is one that the partition has open, on (text, timestamptz) if there is a value, else on
    /// (timestamptz), and the next column is a uuid if an event id is wanted.
    pub unsafe fn open(partition: &'a Partition, index: pg_sys::Relation, wanted: &Wanted) -> Self {
        let has_value = wanted.value.is_some();
        let instant = |strategy, function, value: i64| Condition {
            column: if has_value { 2 } else { 1 },
            strategy,
            function,
            value: Compared::Number(value),
        };
        let within = [
            instant(pg_sys::BTLessEqualStrategyNumber, pg_sys::F_TIMESTAMPTZ_LE, wanted.end - 1),
            instant(pg_sys::BTGreaterEqualStrategyNumber, pg_sys::F_TIMESTAMPTZ_GE, wanted.start),
        ];
        let is = wanted.value.map(|value| Condition {
            column: 1,
            strategy: pg_sys::BTEqualStrategyNumber,
            function: pg_sys::F_TEXTEQ,
            value: Compared::Text(Kept::text(value)),
        });
        // In the order of the index's columns: B-trees want them so.
        let conditions: Vec<Condition> = is.into_iter().chain(within).collect();
        // SAFETY: by contract; the operators are those of the columns' types.
        let scan = unsafe { IndexScan::of(partition, index, conditions) };
        let mut stream = IndexStream {
            scan,
            has_value,
            has_event_id: wanted.has_event_id,
            offset: None,
            start: wanted.start,
            read: Vec::new(),
            next: None,
            at: 0,
            exhausted: false,
            rate: 0.0,
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
        // Behind the condition on the value, if there is one.
        self.scan.begin(usize::from(self.has_value), to.at);
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
            self.rate = self.read.len() as f64 / first.posting.at.saturating_sub(until).max(1) as f64;
        }
    }

    /// Reads on to `count`, or as many as there is room for.
    fn read_some(&mut self, count: usize) {
        // The room is there: nothing is allocated while the index is read.
        self.read.reserve(count);
        let room = self.read.capacity();
        let (has_value, has_event_id) = (self.has_value, self.has_event_id);
        let (read, next, offset) = (&mut self.read, &mut self.next, &mut self.offset);
        self.exhausted = self.scan.read(Direction::Backward, |columns, place| {
            // One value is stored in one way: the instant stands at the same place in all its tuples.
            // SAFETY: the columns are those that the stream was opened for.
            let (at, event_id) = unsafe {
                let offset = *offset.get_or_insert_with(|| instant_offset(columns, has_value));
                let event_id = if has_event_id { columns.read(offset + size_of::<i64>()) } else { [0; 16] };
                (columns.read::<i64>(offset), event_id)
            };
            let found = Found { posting: Posting { at, place }, event_id };
            if read.len() >= count && read.last().is_some_and(|last| last.posting.at != at) {
                *next = Some(found);
                return false;
            }
            read.push(found);
            read.len() < room
        });
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
            match self.exhausted || is_next || self.rate * (distance as f64) < WALK {
                true => self.read_on(LARGEST_READ),
                false => self.look_up(to),
            }
        }
    }

    fn rate(&self) -> f64 {
        if self.current().is_some() {
            self.rate
        } else {
            0.0
        }
    }
}

/// Where the instant is among a tuple's columns, in front of which a text may stand.
///
/// # Safety
/// The columns are (timestamptz …) or (text, timestamptz …), neither of them NULL.
unsafe fn instant_offset(columns: Columns, has_value: bool) -> usize {
    if !has_value {
        return 0;
    }
    // SAFETY: by contract.
    let text = unsafe { columns.text_length() };
    text.next_multiple_of(align_of::<i64>())
}
