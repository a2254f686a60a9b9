//! Which filters are read by index, and which are checked at the row.

/// Nanoseconds, about: a step in an index, a row looked at in the heap, which is rarely in a cache.
const STEP: f64 = 60.0;
const ROW: f64 = 1200.0;

/// Chooses, by how many postings a microsecond each filter's stream has and how many entries there
/// are, the streams to intersect: places in `rates`, the rarest first. The rarest one is always
/// among them; each other one only if walking it costs less than the rows that it saves.
pub fn choose(rates: &[f64], entries: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rates.len()).collect();
    order.sort_by(|a, b| rates[*a].total_cmp(&rates[*b]));
    let Some((rarest, others)) = order.split_first() else { return order };
    let mut chosen = vec![*rarest];
    let mut candidates = rates[*rarest];
    for other in others {
        let share = if entries > 0.0 { (rates[*other] / entries).clamp(0.0, 1.0) } else { 1.0 };
        let saved = candidates * (1.0 - share) * ROW;
        if rates[*other] * STEP < saved {
            chosen.push(*other);
            candidates *= share;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_chosen_of_nothing() {
        assert_eq!(choose(&[], 1.0), Vec::<usize>::new());
    }

    #[test]
    fn the_rarest_is_always_read() {
        assert_eq!(choose(&[0.5, 0.0], 1.0), [1]);
        assert_eq!(choose(&[0.5], 0.0), [0]);
    }

    #[test]
    fn two_alike_are_intersected() {
        assert_eq!(choose(&[0.011, 0.01], 1.0), [1, 0]);
    }

    #[test]
    fn a_common_one_is_checked_at_the_row() {
        assert_eq!(choose(&[0.0001, 0.5], 1.0), [0]);
    }

    #[test]
    fn a_third_that_saves_nothing_more_is_checked_at_the_row() {
        assert_eq!(choose(&[0.01, 0.012, 0.02], 1.0), [0, 1]);
    }
}
