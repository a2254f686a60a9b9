//! Which databases' workers are to be started, and how long to wait then. Instants are Unix microseconds.

/// Nobody waits longer: entries that came are counted within a minute.
pub const LONGEST_WAIT: i64 = 60_000_000;
/// Where the server has no room for a worker, it is asked again so late.
pub const WITHOUT_ROOM: i64 = 10_000_000;
/// Indexes are merged no more often.
const MERGE_PACE: i64 = 1_000_000;
/// In place of its next run: a worker was started and has not said when it is to run again.
pub const STARTED: i64 = i64::MAX;
/// So many work at once, of all databases.
const MOST_AT_ONCE: usize = 3;
/// The first delay after a worker that failed; each further one doubles it.
const FIRST_DELAY: i64 = 5_000_000;
const LONGEST_DELAY: i64 = 3_600_000_000;

/// What is known of a database that nobody works in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub place: usize,
    pub next_run: i64,
    /// At once and before all others, but for a pause.
    pub asked: bool,
    /// Since its last worker began: they are to be counted.
    pub entries_came: bool,
    /// What entries added to its indexes is to be merged.
    pub merge: bool,
    pub last_start: i64,
    pub paused_until: i64,
    /// Its last worker failed: its next run is a delay that counts.
    pub has_failed: bool,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Places to start a worker for.
    pub start: Vec<usize>,
    /// Microseconds until there may be something to do again.
    pub wait: i64,
}

impl Due {
    /// From when on it is due.
    fn at(&self) -> i64 {
        let wanted = match (self.asked, self.entries_came && !self.has_failed) {
            (true, _) => 0,
            (false, true) => self.next_run.min(self.last_start.saturating_add(LONGEST_WAIT)),
            (false, false) => self.next_run,
        };
        let wanted = match self.merge && !self.has_failed {
            true => wanted.min(self.last_start.saturating_add(MERGE_PACE)),
            false => wanted,
        };
        wanted.max(self.paused_until)
    }
}

/// How long to leave a database alone whose worker has failed so often in a row.
pub fn delay(failures: u32) -> i64 {
    FIRST_DELAY.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LONGEST_DELAY)
}

/// Chooses from those in which nobody works, the longest due first.
pub fn plan(now: i64, all: &[Due], at_work: usize) -> Plan {
    let mut due: Vec<(i64, usize)> = all.iter().map(|one| (one.at(), one.place)).collect();
    due.sort_unstable();
    let room = MOST_AT_ONCE.saturating_sub(at_work);
    let (now_due, later): (Vec<_>, Vec<_>) = due.into_iter().partition(|(at, _)| *at <= now);
    // Where some must wait for others to end, that end wakes the launcher.
    let wait = later.first().map_or(LONGEST_WAIT, |(at, _)| (at - now).min(LONGEST_WAIT));
    Plan { start: now_due.into_iter().take(room).map(|(_, place)| place).collect(), wait }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn idle(place: usize, next_run: i64) -> Due {
        Due {
            place,
            next_run,
            asked: false,
            entries_came: false,
            merge: false,
            last_start: 0,
            paused_until: 0,
            has_failed: false,
        }
    }

    #[test]
    fn nothing_is_due_in_idle_databases() {
        let all = [idle(0, NOW + 5), idle(1, NOW + 3_000_000_000)];
        assert_eq!(plan(NOW, &all, 0), Plan { start: vec![], wait: 5 });
        assert_eq!(plan(NOW, &[], 0), Plan { start: vec![], wait: LONGEST_WAIT });
    }

    #[test]
    fn the_longest_due_go_first_and_three_at_once() {
        let all = [idle(0, NOW), idle(1, NOW - 9), idle(2, NOW - 5), idle(3, NOW - 7)];
        assert_eq!(plan(NOW, &all, 0).start, [1, 3, 2]);
        assert_eq!(plan(NOW, &all, 2).start, [1]);
        assert_eq!(plan(NOW, &all, 3).start, [0_usize; 0]);
        let asked = Due { asked: true, ..idle(4, NOW + 1) };
        assert_eq!(plan(NOW, &[&all[..], &[asked]].concat(), 2).start, [4]);
    }

    #[test]
    fn entries_are_counted_a_minute_after_the_last_start() {
        let later = i64::MAX - 1;
        let came = |last_start| Due { entries_came: true, last_start, ..idle(0, later) };
        assert_eq!(plan(NOW, &[came(NOW - LONGEST_WAIT)], 0).start, [0]);
        assert_eq!(plan(NOW, &[came(NOW - 10)], 0), Plan { start: vec![], wait: LONGEST_WAIT - 10 });
        // A fault's delay is not cut short by them.
        assert_eq!(plan(NOW, &[Due { has_failed: true, ..came(0) }], 0).start, [0_usize; 0]);
    }

    #[test]
    fn indexes_are_merged_once_a_second() {
        let merge = |last_start| Due { merge: true, last_start, ..idle(0, i64::MAX - 1) };
        assert_eq!(plan(NOW, &[merge(NOW - MERGE_PACE)], 0).start, [0]);
        assert_eq!(plan(NOW, &[merge(NOW - 10)], 0), Plan { start: vec![], wait: MERGE_PACE - 10 });
        assert_eq!(plan(NOW, &[Due { has_failed: true, ..merge(0) }], 0).start, [0_usize; 0]);
    }

    #[test]
    fn a_pause_holds_even_who_was_asked() {
        let asked = Due { asked: true, ..idle(0, i64::MAX) };
        assert_eq!(plan(NOW, &[asked], 0).start, [0]);
        assert_eq!(plan(NOW, &[Due { paused_until: NOW + 7, ..asked }], 0), Plan { start: vec![], wait: 7 });
    }

    #[test]
    fn delays_double_up_to_an_hour() {
        assert_eq!([1, 2, 3].map(delay), [5_000_000, 10_000_000, 20_000_000]);
        assert_eq!(delay(30), 3_600_000_000);
        assert_eq!(delay(u32::MAX), 3_600_000_000);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_negative_nor_long(
            all in proptest::collection::vec((any::<i64>(), any::<[bool; 3]>(), any::<i64>(), any::<i64>()), 0..9),
            at_work in 0..9_usize,
        ) {
            let all: Vec<Due> = all.into_iter().enumerate().map(|(place, (next_run, [asked, entries_came, merge], last_start, paused_until))| {
                Due { place, next_run, asked, entries_came, merge, last_start, paused_until, has_failed: false }
            }).collect();
            let plan = plan(NOW, &all, at_work);
            prop_assert!((0..=LONGEST_WAIT).contains(&plan.wait));
            prop_assert!(plan.start.len() + at_work.min(3) <= 3);
        }
    }
}
