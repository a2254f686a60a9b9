//! A B-tree whose first column is eight bytes long, read from a value on.

use pgrx::pg_sys;

use super::index_scan::{Compared, Condition, Direction, IndexScan};
use super::partition::Partition;

/// Rows are read this many at a time, at first and at most.
const FIRST_READ: usize = 32;
const LARGEST_READ: usize = 512;

/// The place of the condition that says where to begin.
const FROM: usize = 0;

/// Places by the value of the index's first column, an int8 or timestamptz, ascending.
pub struct OrderedScan<'a> {
    scan: IndexScan<'a>,
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

impl<'a> OrderedScan<'a> {
    /// Reads the values of `from..end`.
    ///
    /// # Safety
    /// The index is one that the partition has open, and begins with a column of the type.
    pub unsafe fn open(
        partition: &'a Partition,
        index: pg_sys::Relation,
        of: Of,
        from: i64,
        end: i64,
    ) -> Self {
        let (ge, lt) = match of {
            Of::Number => (pg_sys::F_INT8GE, pg_sys::F_INT8LT),
            Of::Instant => (pg_sys::F_TIMESTAMPTZ_GE, pg_sys::F_TIMESTAMPTZ_LT),
        };
        let bound = |strategy, function, value: i64| Condition {
            column: 1,
            strategy,
            function,
            value: Compared::Number(value),
        };
        let conditions = vec![
            bound(pg_sys::BTGreaterEqualStrategyNumber, ge, from),
            bound(pg_sys::BTLessStrategyNumber, lt, end),
        ];
        // SAFETY: by contract; the operators are those of the column's type.
        let scan = unsafe { IndexScan::of(partition, index, conditions) };
        let mut opened = OrderedScan { scan, read: Vec::new(), at: 0, exhausted: false };
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
        self.scan.begin(FROM, from);
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
        // The room is there: nothing is allocated while the index is read.
        self.read.reserve(count);
        let read = &mut self.read;
        self.exhausted = self.scan.read(Direction::Forward, |columns, place| {
            // SAFETY: the first column is eight bytes long, and not NULL.
            read.push((unsafe { columns.read(0) }, place));
            read.len() < count
        });
    }
}
