//! Which partitions a table has, and which one an instant belongs to.

use pgrx::pg_sys;

/// The instants of a partition, or of a gap that has none; PostgreSQL's microseconds, `upper` excluded.
#[derive(Clone, Copy)]
pub struct Range {
    lower: i64,
    upper: i64,
}

impl Range {
    pub fn contains(&self, at: i64) -> bool {
        self.lower <= at && at < self.upper
    }

    pub fn lower(&self) -> i64 {
        self.lower
    }

    /// The part of `start..end` that is in it.
    pub fn within(&self, start: i64, end: i64) -> (i64, i64) {
        (start.max(self.lower), end.min(self.upper))
    }

    /// Which part of it `start..end` is, from 0 to 1.
    pub fn part(&self, start: i64, end: i64) -> f64 {
        let (start, end) = self.within(start, end);
        let length = |from: i64, to: i64| to.saturating_sub(from).max(0) as f64;
        length(start, end) / length(self.lower, self.upper).max(1.0)
    }

    /// Whether any instant of `start..end` is in it.
    pub fn overlaps(&self, start: i64, end: i64) -> bool {
        self.lower < end && start < self.upper
    }
}

/// The bounds of a table partitioned by ranges of one timestamptz.
struct Bounds<'a>(&'a pg_sys::PartitionBoundInfoData);

impl<'a> Bounds<'a> {
    /// # Safety
    /// The description is one of PostgreSQL's.
    unsafe fn of(desc: &'a pg_sys::PartitionDescData) -> Option<Bounds<'a>> {
        // SAFETY: by contract; the bounds are the description's.
        let bounds = unsafe { desc.boundinfo.as_ref() };
        bounds.filter(|bounds| bounds.strategy as u8 == b'r').map(Bounds)
    }

    fn count(&self) -> usize {
        self.0.ndatums as usize
    }

    /// The `i`th bound, in ascending order.
    fn at(&self, i: usize) -> i64 {
        // SAFETY: by the contract of `of`; there are `count` of them, of one column each.
        unsafe {
            match **self.0.kind.add(i) {
                pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_VALUE => {
                    (**self.0.datums.add(i)).value() as i64
                }
                pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MINVALUE => i64::MIN,
                _ => i64::MAX,
            }
        }
    }

    /// What is below the `i`th bound and not below the one before it.
    fn range(&self, i: usize) -> Range {
        Range {
            lower: if i == 0 { i64::MIN } else { self.at(i - 1) },
            upper: if i == self.count() { i64::MAX } else { self.at(i) },
        }
    }

    /// The place, in the description, of the partition that serves the `i`th range; None for a gap.
    fn partition(&self, i: usize) -> Option<usize> {
        // SAFETY: by the contract of `of`; there is one more index than bounds.
        let own = unsafe {
            if self.0.nindexes as usize > i {
                *self.0.indexes.add(i)
            } else {
                -1
            }
        };
        usize::try_from(own).ok()
    }

    fn default(&self) -> Option<usize> {
        usize::try_from(self.0.default_index).ok()
    }
}

/// A table's partitions in the window `start..end`, the newest first, then the default one, which has
/// the rest.
///
/// # Safety
/// The description is of a table partitioned by ranges of one timestamptz.
pub unsafe fn partitions(
    desc: pg_sys::PartitionDesc,
    start: i64,
    end: i64,
) -> Vec<(Option<Range>, pg_sys::Oid)> {
    // SAFETY: by contract.
    unsafe {
        let Some(bounds) = Bounds::of(&*desc) else { return Vec::new() };
        let ranges = (0..=bounds.count()).rev().map(|i| (bounds.range(i), bounds.partition(i)));
        let within = ranges.filter(|(range, _)| range.overlaps(start, end));
        let own = within.filter_map(|(range, place)| Some((Some(range), place?)));
        let all = own.chain(bounds.default().map(|place| (None, place)));
        all.map(|(range, place)| (range, *(*desc).oids.add(place))).collect()
    }
}

/// The range around an instant, and its partition where it has one.
///
/// # Safety
/// The description is of a table partitioned by ranges of one timestamptz.
pub unsafe fn partition_for(desc: pg_sys::PartitionDesc, at: i64) -> (Range, Option<pg_sys::Oid>) {
    // SAFETY: by contract.
    unsafe {
        let Some(bounds) = Bounds::of(&*desc) else {
            return (Range { lower: i64::MIN, upper: i64::MAX }, None);
        };
        let (mut low, mut high) = (0, bounds.count());
        while low < high {
            let middle = (low + high) / 2;
            match bounds.at(middle) <= at {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let place = bounds.partition(low).or_else(|| bounds.default());
        (bounds.range(low), place.map(|place| *(*desc).oids.add(place)))
    }
}
