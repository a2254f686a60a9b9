//! Which partition an instant belongs to.

use pgrx::pg_sys;

/// The instants of a partition, or of a gap that the default partition serves; PostgreSQL's
/// microseconds, `upper` excluded.
#[derive(Clone, Copy)]
pub struct Range {
    lower: i64,
    upper: i64,
}

impl Range {
    pub fn contains(&self, at: i64) -> bool {
        self.lower <= at && at < self.upper
    }
}

/// The partition for an instant and the range it serves.
///
/// # Safety
/// The description is of a table partitioned by ranges of one timestamptz.
pub unsafe fn partition_for(desc: pg_sys::PartitionDesc, at: i64) -> Option<(Range, pg_sys::Oid)> {
    // SAFETY: by contract; bounds are in ascending order, `indexes` has one more than there are.
    unsafe {
        let bounds = (*desc).boundinfo;
        if bounds.is_null() || (*bounds).strategy as u8 != b'r' {
            return None;
        }
        let count = (*bounds).ndatums as usize;
        let bound = |i: usize| match **(*bounds).kind.add(i) {
            pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_VALUE => {
                (**(*bounds).datums.add(i)).value() as i64
            }
            pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MINVALUE => i64::MIN,
            _ => i64::MAX,
        };
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = (low + high) / 2;
            match bound(middle) <= at {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let range = Range {
            lower: if low == 0 { i64::MIN } else { bound(low - 1) },
            upper: if low == count { i64::MAX } else { bound(low) },
        };
        let own = if (*bounds).nindexes as usize > low { *(*bounds).indexes.add(low) } else { -1 };
        let place = if own >= 0 { own } else { (*bounds).default_index };
        let place = usize::try_from(place).ok()?;
        (*(*desc).is_leaf.add(place)).then(|| (range, *(*desc).oids.add(place)))
    }
}
