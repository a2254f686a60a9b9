//! Which transactions a reader has seen, across the clusters a log has lived in.
//!
//! A feed number is an epoch (one a cluster, high 16 bits) and a top-level transaction (low 48).

const TRANSACTION_BITS: u32 = 48;

/// The feed number of an epoch's transaction.
pub fn feed(epoch: i16, transaction: u64) -> i64 {
    (i64::from(epoch) << TRANSACTION_BITS) | transaction as i64
}

/// Transactions that were over when it was taken, and all of earlier epochs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub epoch: i16,
    /// The first transaction that had not begun.
    pub next: u64,
    /// Those in progress, in ascending order, all before `next`.
    pub in_progress: Vec<u64>,
}

impl Snapshot {
    /// Whether it saw a transaction, by its feed number.
    pub fn sees(&self, number: i64) -> bool {
        let epoch = number >> TRANSACTION_BITS;
        let transaction = (number & ((1 << TRANSACTION_BITS) - 1)) as u64;
        match epoch.cmp(&i64::from(self.epoch)) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => {
                transaction < self.next && self.in_progress.binary_search(&transaction).is_err()
            }
        }
    }

    /// The first feed number from `number` on that it did not see.
    pub fn next_unseen(&self, number: i64) -> i64 {
        if !self.sees(number) {
            return number;
        }
        let first = self.in_progress.iter().map(|one| feed(self.epoch, *one)).find(|one| *one > number);
        first.unwrap_or(feed(self.epoch, self.next))
    }

    /// The first feed number that another snapshot of the same feed saw, and it did not.
    pub fn first_missing(&self, other: &Snapshot) -> Option<i64> {
        if other.epoch != self.epoch {
            // Of an earlier epoch it saw all; a later one has not begun for it.
            return (other.epoch > self.epoch).then_some(self.next_unseen(feed(self.epoch, 0)));
        }
        let running = self.in_progress.iter().copied().find(|one| other.sees(feed(self.epoch, *one)));
        let begun_since = (self.next..other.next).find(|one| other.sees(feed(self.epoch, *one)));
        running.or(begun_since).map(|one| feed(self.epoch, one))
    }

    /// Above every feed number it saw.
    pub fn end(&self) -> i64 {
        feed(self.epoch, self.next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        pub fn any_snapshot()(
            epoch in 0..4_i16, next in 0..60_u64, in_progress in proptest::collection::btree_set(0..60_u64, 0..8),
        ) -> Snapshot {
            let in_progress = in_progress.into_iter().filter(|one| *one < next).collect();
            Snapshot { epoch, next, in_progress }
        }
    }

    proptest! {
        #[test]
        fn the_next_unseen_is_the_first(snapshot in any_snapshot(), epoch in 0..5_i16, from in 0..70_u64) {
            let start = feed(epoch, from);
            let found = snapshot.next_unseen(start);
            prop_assert!(!snapshot.sees(found));
            // Nothing in between, as far as this epoch goes.
            for transaction in from..70 {
                let one = feed(epoch, transaction);
                prop_assert!(one >= found || snapshot.sees(one));
            }
        }

        #[test]
        fn what_is_missing_is_found(mine in any_snapshot(), mut other in any_snapshot()) {
            other.epoch = mine.epoch;
            let missing = (0..70).map(|one| feed(mine.epoch, one)).find(|one| other.sees(*one) && !mine.sees(*one));
            prop_assert_eq!(mine.first_missing(&other), missing);
        }

        #[test]
        fn nothing_is_seen_from_the_end_on(snapshot in any_snapshot(), more in 0..100_u64) {
            prop_assert!(!snapshot.sees(feed(snapshot.epoch, snapshot.next + more)));
            prop_assert!(!snapshot.sees(feed(snapshot.epoch + 1, more)));
        }
    }

    #[test]
    fn what_was_in_progress_was_not_seen() {
        let snapshot = Snapshot { epoch: 2, next: 10, in_progress: vec![4, 7] };
        let seen: Vec<u64> = (0..12).filter(|one| snapshot.sees(feed(2, *one))).collect();
        assert_eq!(seen, [0, 1, 2, 3, 5, 6, 8, 9]);
        assert!(snapshot.sees(feed(1, 900)) && !snapshot.sees(feed(3, 0)));
    }
}
