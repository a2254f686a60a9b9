//! How a partition's entries are found: by walking through them in the order of time, or by looking filters up.

/// Nanoseconds, about: a row that is looked at; a row of which only the instant is; a step in the index on time; a place
/// that a look-up gives, and one that it is compared with.
const ROW: f64 = 1200.0;
const INSTANT: f64 = 1600.0;
const STEP: f64 = 75.0;
const HIT: f64 = 12.0;
/// The pages of a tree of places that are read for a few of them.
const LOOK_UP: f64 = 120_000.0;

/// More places than this are not held at once: each takes some thirty bytes.
const MOST_HELD: f64 = 4_000_000.0;

/// After so many rows it is chosen anew, at the earliest.
const PATIENCE: f64 = 512.0;
/// So many times what was expected, and it is another way's turn.
const AT_MOST: f64 = 3.0;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Walk through so many entries, and look at each.
    Walk(u32),
    /// Look these filters up, the rarest first. Through so many entries it is walked by the index on time, and of those that
    /// are at a place that all have the rows are looked at; then, or at once, all places are put in the order of time.
    LookUp { filters: Vec<usize>, steps: u64 },
}

/// What is known of a partition.
#[derive(Debug)]
pub struct Chooser {
    /// By filter, how many rows it lets through, about; None where that cannot be looked up.
    found: Vec<Option<f64>>,
    rows: f64,
    /// How many of them are of the time that is wanted, about.
    within: f64,
    walked: f64,
    wanted: f64,
}

impl Chooser {
    pub fn new(found: Vec<Option<f64>>, rows: f64, within: f64) -> Self {
        let rows = rows.max(1.0);
        Chooser { found, rows, within: within.clamp(1.0, rows), walked: 0.0, wanted: 0.0 }
    }

    /// Takes in whether a row that was walked to is wanted.
    pub fn add(&mut self, is_wanted: bool) {
        self.walked += 1.0;
        self.wanted += f64::from(u8::from(is_wanted));
    }

    /// Chooses how to go on; so many more are wanted.
    pub fn choose(&self, more: usize) -> Plan {
        let share = |filter: usize| (self.found[filter].unwrap_or(self.rows) / self.rows).min(1.0);
        let mut filters: Vec<usize> = (0..self.found.len()).filter(|i| self.found[*i].is_some()).collect();
        filters.sort_by(|a, b| share(*a).total_cmp(&share(*b)));
        let Some((rarest, others)) = filters.split_first() else { return Plan::Walk(u32::MAX) };
        // What walking told is of all filters together, and of those that stand behind one another.
        let expected = match self.walked > 0.0 {
            true => (self.wanted + 0.5) / (self.walked + 1.0),
            false => filters.iter().map(|filter| share(*filter)).product::<f64>(),
        };
        let more = more as f64;
        let to_pass = (more / expected.max(f64::MIN_POSITIVE)).min(self.within);
        // Each other one is looked up, too, where that saves more looks at rows than it costs.
        let mut chosen = vec![*rarest];
        let mut all = vec![*rarest];
        let (mut passed, mut hits) = (share(*rarest), share(*rarest));
        let (mut sieve, mut gather) = (HIT * share(*rarest), HIT * share(*rarest) * self.rows + LOOK_UP);
        for other in others {
            if share(*other) * HIT < passed * (1.0 - share(*other)) * ROW {
                passed *= share(*other);
                sieve += share(*other) * HIT;
                chosen.push(*other);
            }
            let cost = share(*other) * self.rows * HIT + LOOK_UP;
            if cost < hits * self.rows * (1.0 - share(*other)) * (HIT + INSTANT) {
                hits *= share(*other);
                gather += cost;
                all.push(*other);
            }
        }
        let by_rows = to_pass * ROW;
        let by_places = chosen.len() as f64 * LOOK_UP + to_pass * (STEP + sieve) + (to_pass * passed) * ROW;
        let can_be_held = |filters: &[usize]| {
            filters.iter().map(|filter| share(*filter)).sum::<f64>() * self.rows <= MOST_HELD
        };
        let in_order = if can_be_held(&all) { 0.0 } else { f64::INFINITY }
            + gather
            + hits * self.rows * INSTANT
            + more.min(hits * self.rows) * ROW;
        let patience = (to_pass * AT_MOST).max(PATIENCE);
        match by_rows.min(by_places).min(in_order) {
            least if least == by_rows => Plan::Walk(patience.min(f64::from(u32::MAX - 1)) as u32),
            least if least == by_places => {
                let steps = if can_be_held(&chosen) { patience as u64 } else { u64::MAX };
                Plan::LookUp { filters: chosen, steps }
            }
            _ => Plan::LookUp { filters: all, steps: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROWS: f64 = 2_000_000.0;

    fn choose(found: &[f64], more: usize) -> Plan {
        Chooser::new(found.iter().map(|found| Some(*found)).collect(), ROWS, ROWS).choose(more)
    }

    fn is_walk(plan: &Plan) -> bool {
        matches!(plan, Plan::Walk(_))
    }

    fn steps(plan: Plan) -> (Vec<usize>, u64) {
        match plan {
            Plan::LookUp { filters, steps } => (filters, steps),
            Plan::Walk(_) => panic!("it walks"),
        }
    }

    #[test]
    fn without_an_index_it_walks_to_the_end() {
        assert_eq!(Chooser::new(vec![None], ROWS, ROWS).choose(100), Plan::Walk(u32::MAX));
        assert_eq!(Chooser::new(vec![], ROWS, ROWS).choose(100), Plan::Walk(u32::MAX));
    }

    #[test]
    fn what_is_common_is_walked_to() {
        assert!(is_walk(&choose(&[ROWS / 2.0], 100)));
        assert!(is_walk(&choose(&[ROWS / 2.0, ROWS], 100)));
    }

    #[test]
    fn what_is_less_common_is_walked_to_by_its_places() {
        let (filters, walked) = steps(choose(&[ROWS / 50.0], 100));
        assert_eq!(filters, [0]);
        assert!(walked > 5_000);
    }

    #[test]
    fn what_is_rare_or_absent_is_put_in_order() {
        assert_eq!(steps(choose(&[700.0], 100)), (vec![0], 0));
        assert_eq!(steps(choose(&[0.0], 100)), (vec![0], 0));
        // All of a filter by itself that is not common are put in order where all are wanted.
        assert_eq!(steps(choose(&[7_000.0], usize::MAX)), (vec![0], 0));
    }

    #[test]
    fn what_is_too_much_to_be_held_is_not() {
        let many = Chooser::new(vec![Some(4e7)], 1e9, 1e9);
        let (filters, walked) = steps(many.choose(usize::MAX));
        assert_eq!((filters, walked), (vec![0], u64::MAX));
    }

    #[test]
    fn two_of_which_little_is_left_together_are_looked_up_together() {
        assert_eq!(steps(choose(&[20_000.0, 10_000.0], 100)), (vec![1, 0], 0));
    }

    #[test]
    fn a_common_one_beside_a_rare_one_is_checked_at_the_row() {
        assert_eq!(steps(choose(&[100.0, ROWS / 2.0], 100)), (vec![0], 0));
    }

    #[test]
    fn what_does_not_come_is_looked_up_in_the_end() {
        let mut chooser = Chooser::new(vec![Some(ROWS * 0.8), Some(ROWS * 0.9)], ROWS, ROWS);
        let Plan::Walk(patience) = chooser.choose(100) else { panic!("it does not walk") };
        (0..patience).for_each(|_| chooser.add(false));
        assert_eq!(steps(chooser.choose(100)).0, [0, 1]);
    }

    proptest! {
        #[test]
        fn whatever_is_found_something_is_chosen(
            found in proptest::collection::vec(proptest::option::of(0.0..1e12), 0..6),
            rows in 0.0..1e9, within in -1.0..1e12, more in any::<usize>(), walked in 0..100, wanted in 0..100,
        ) {
            let can: Vec<usize> = (0..found.len()).filter(|i| found[*i].is_some()).collect();
            let mut chooser = Chooser::new(found, rows, within);
            (0..walked).for_each(|i| chooser.add(i < wanted));
            match chooser.choose(more) {
                Plan::Walk(patience) => prop_assert!(patience >= PATIENCE as u32),
                Plan::LookUp { filters, .. } => {
                    prop_assert!(!filters.is_empty() && filters.iter().all(|filter| can.contains(filter)));
                }
            }
        }
    }
}
