//! How a partition's entries are found: by walking through them in the order of time, or by looking filters up.

/// Nanoseconds, about: a row that is looked at, in the order in which rows were written; a step in an index; a place
/// that a look-up gives; one that it passes over; a look-up by itself.
const ROW: f64 = 250.0;
const STEP: f64 = 60.0;
const HIT: f64 = 30.0;
const PASSED: f64 = 5.0;
const LOOK_UP: f64 = 20_000.0;

/// So many rows are looked at before it is known how common what is wanted is.
const SAMPLE: u32 = 512;
/// After so many rows it is chosen anew.
const PATIENCE: u32 = 4096;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Walk through so many entries.
    Walk(u32),
    /// Look these filters up, the rarest first.
    LookUp(Vec<usize>),
}

/// What looking at rows told so far, of the newest ones first.
#[derive(Debug, Default)]
pub struct Sample {
    sampled: u32,
    /// Of the rows sampled, by filter: how many it let through.
    let_through: Vec<u32>,
    /// Rows looked at since it was last chosen, and those of them that are wanted.
    looked_at: u32,
    wanted: u32,
}

impl Sample {
    /// Whether it is to be told of each filter by itself.
    pub fn is_sampling(&self) -> bool {
        self.sampled < SAMPLE
    }

    /// Takes in which filters let a row through.
    pub fn add_each(&mut self, let_through: impl Iterator<Item = bool>) {
        self.sampled += 1;
        for (i, through) in let_through.enumerate() {
            if self.let_through.len() <= i {
                self.let_through.push(0);
            }
            self.let_through[i] += u32::from(through);
        }
    }

    /// Takes in whether a row is wanted.
    pub fn add(&mut self, is_wanted: bool) {
        self.looked_at += 1;
        self.wanted += u32::from(is_wanted);
    }

    /// Chooses how to go on in a partition of so many rows, of which so many more are wanted; by which of the filters
    /// can be looked up.
    pub fn choose(&mut self, can_be_looked_up: &[bool], more: usize, rows: f64) -> Plan {
        let share = |count: u32, of: u32| (f64::from(count) + 0.5) / (f64::from(of) + 1.0);
        let rate = |i: usize| share(self.let_through.get(i).copied().unwrap_or(0), self.sampled);
        let mut filters: Vec<usize> = (0..can_be_looked_up.len()).filter(|i| can_be_looked_up[*i]).collect();
        filters.sort_by(|a, b| rate(*a).total_cmp(&rate(*b)));
        let Some((rarest, others)) = filters.split_first() else { return Plan::Walk(u32::MAX) };
        if self.is_sampling() {
            return Plan::Walk(SAMPLE - self.sampled);
        }
        let mut chosen = vec![*rarest];
        let mut found = rate(*rarest);
        for other in others {
            if rate(*other) * PASSED < found * (1.0 - rate(*other)) * (HIT + ROW) {
                chosen.push(*other);
                found *= rate(*other);
            }
        }
        let more = more as f64;
        let to_walk = (more / share(self.wanted, self.looked_at)).min(rows);
        let hits = rows * found;
        let look_up = LOOK_UP + hits * HIT + (to_walk * STEP + more.min(hits) * ROW).min(hits * ROW);
        (self.looked_at, self.wanted) = (0, 0);
        match to_walk * ROW <= look_up {
            true => Plan::Walk(PATIENCE),
            false => Plan::LookUp(chosen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample in which filters let through so many rows of a thousand, those of one among those of the next.
    fn sampled(filters: &[u32]) -> Sample {
        let mut sample = Sample::default();
        for row in 0..1000 {
            let through = || filters.iter().map(|count| row % 1000 < *count);
            if sample.is_sampling() {
                sample.add_each(through());
            }
            sample.add(through().all(|one| one));
        }
        sample
    }

    const ROWS: f64 = 800_000.0;

    #[test]
    fn at_first_it_walks() {
        assert_eq!(Sample::default().choose(&[true], 100, ROWS), Plan::Walk(SAMPLE));
    }

    #[test]
    fn without_an_index_it_walks_to_the_end() {
        assert_eq!(sampled(&[0]).choose(&[false], 100, ROWS), Plan::Walk(u32::MAX));
        assert_eq!(Sample::default().choose(&[], 100, ROWS), Plan::Walk(u32::MAX));
    }

    #[test]
    fn what_is_common_is_walked_to() {
        let mut sample = Sample::default();
        (0..1000).for_each(|row| {
            sample.add_each(std::iter::once(row % 2 == 0));
            sample.add(row % 2 == 0);
        });
        assert_eq!(sample.choose(&[true], 100, ROWS), Plan::Walk(PATIENCE));
    }

    #[test]
    fn what_is_rare_is_looked_up() {
        assert_eq!(sampled(&[0]).choose(&[true], 100, ROWS), Plan::LookUp(vec![0]));
    }

    #[test]
    fn few_rows_are_walked_through() {
        assert_eq!(sampled(&[0]).choose(&[true], 100, 50.0), Plan::Walk(PATIENCE));
    }

    #[test]
    fn two_alike_are_looked_up_together() {
        assert_eq!(sampled(&[1, 0]).choose(&[true, true], 100, ROWS), Plan::LookUp(vec![1, 0]));
    }

    #[test]
    fn a_common_one_beside_a_rare_one_is_checked_at_the_row() {
        let mut sample = Sample::default();
        (0..1000).for_each(|row| {
            sample.add_each([false, row % 10 != 0].into_iter());
            sample.add(false);
        });
        assert_eq!(sample.choose(&[true, true], 100, ROWS), Plan::LookUp(vec![0]));
    }

    #[test]
    fn what_was_common_and_ends_is_looked_up() {
        let mut sample = Sample::default();
        (0..SAMPLE).for_each(|_| {
            sample.add_each(std::iter::once(true));
            sample.add(true);
        });
        assert_eq!(sample.choose(&[true], 1000, ROWS), Plan::Walk(PATIENCE));
        (0..PATIENCE).for_each(|_| sample.add(false));
        assert_eq!(sample.choose(&[true], 900, ROWS), Plan::LookUp(vec![0]));
    }
}
