//! Whether something was purged that a sync cursor has not delivered.

use crate::snapshot::{feed, Snapshot};
use crate::sync_cursor::SyncCursor;

/// Entries of a transaction that were purged, or of several of which the highest is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    pub feed: i64,
    /// Lower ones may have been purged as well.
    pub and_below: bool,
    /// The feed number of the transaction that purged last.
    pub by: i64,
    /// The latest instant that what was purged may have had, Unix microseconds.
    pub newest: i64,
}

impl Purged {
    /// Whether a snapshot saw all that was purged, or could have.
    fn is_seen_by(&self, snapshot: &Snapshot) -> bool {
        sees(snapshot, self.feed, self.and_below)
    }
}

/// Whether a snapshot saw a transaction, and where asked for all below it.
fn sees(snapshot: &Snapshot, number: i64, and_below: bool) -> bool {
    match and_below {
        true => number < snapshot.next_unseen(feed(snapshot.epoch, 0)),
        false => snapshot.sees(number),
    }
}

impl SyncCursor {
    /// Whether a purge took what this cursor has not delivered; in doubt it did.
    pub fn lacks(&self, purged: &Purged) -> bool {
        let delivered = self.base.as_ref().is_some_and(|base| purged.is_seen_by(base));
        if delivered || self.base.is_none() && purged.newest < self.since {
            return false;
        }
        let Some((target, (reached, _))) = &self.target else { return self.base.is_some() };
        // Gone before the delta was taken: it is not of it, and the base saw all that came before.
        if self.base.is_none() && sees(target, purged.by, purged.and_below) {
            return false;
        }
        // Of a later delta, or of this one and not yet reached.
        !purged.is_seen_by(target) || purged.feed >= *reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(next: u64, in_progress: &[u64]) -> Snapshot {
        Snapshot { epoch: 1, next, in_progress: in_progress.to_vec() }
    }

    fn cursor(base: Option<Snapshot>, target: Option<(Snapshot, u64)>) -> SyncCursor {
        let target = target.map(|(snapshot, reached)| (snapshot, (feed(1, reached), [0; 16])));
        SyncCursor { home: (1, 1), log: [0; 16], wal: (1, 1), scope: None, since: i64::MIN, base, target }
    }

    fn purged(transaction: u64, by: u64) -> Purged {
        Purged { feed: feed(1, transaction), and_below: false, by: feed(1, by), newest: 0 }
    }

    #[test]
    fn what_was_delivered_may_go() {
        let up_to_date = cursor(Some(snapshot(100, &[40])), None);
        assert!(!up_to_date.lacks(&purged(50, 120)));
        assert!(up_to_date.lacks(&purged(40, 120)), "it was in progress");
        assert!(up_to_date.lacks(&purged(100, 120)), "it had not begun");
        // Of what is folded, something may have been in progress.
        assert!(up_to_date.lacks(&Purged { and_below: true, ..purged(50, 120) }));
        assert!(!up_to_date.lacks(&Purged { and_below: true, ..purged(39, 120) }));
    }

    #[test]
    fn a_backfill_lacks_what_goes_before_it_is_reached() {
        let backfill = cursor(None, Some((snapshot(100, &[]), 60)));
        assert!(!backfill.lacks(&purged(70, 90)), "gone before it began");
        assert!(backfill.lacks(&purged(70, 120)));
        assert!(backfill.lacks(&purged(60, 120)), "perhaps reached in part");
        assert!(!backfill.lacks(&purged(59, 120)), "delivered");
        assert!(backfill.lacks(&purged(110, 120)), "of the next delta");
        let since = SyncCursor { since: 1, ..backfill };
        assert!(!since.lacks(&purged(70, 120)), "not asked for");
    }

    #[test]
    fn a_delta_lacks_what_goes_before_it_is_reached() {
        let delta = cursor(Some(snapshot(50, &[])), Some((snapshot(100, &[]), 60)));
        assert!(!delta.lacks(&purged(49, 120)), "delivered before");
        assert!(!delta.lacks(&purged(55, 120)), "delivered of this one");
        assert!(
            delta.lacks(&purged(60, 120)) && delta.lacks(&purged(70, 120)) && delta.lacks(&purged(110, 120))
        );
        // The base was taken before that purge: nobody delivered it.
        assert!(delta.lacks(&purged(70, 90)));
    }

    #[test]
    fn a_cursor_without_anything_lacks_nothing() {
        assert!(!cursor(None, None).lacks(&purged(1, 2)));
    }
}
