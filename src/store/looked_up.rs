//! The postings that look-ups of filters found in a partition: places, which are put in the order of time.

use audit_log_model::posting::{Posting, Stream};

use super::criteria::Place;
use crate::glue::backend;
use crate::glue::index_stream::IndexStream;
use crate::glue::places::Places;

/// So many postings are walked to at a time, at first and at most.
const FIRST_WALKED: usize = 128;
const MOST_WALKED: usize = 8192;

pub struct LookedUp<'a> {
    place: Place<'a>,
    /// By filter, the rarest first.
    places: Vec<&'a Places<'a>>,
    way: Way<'a>,
}

enum Way<'a> {
    /// All, in ascending order, as far as they are left.
    Ordered(Vec<Posting>),
    /// It is walked through the index on time, for so many steps more.
    Walked { all: Box<IndexStream<'a>>, passed: Vec<Posting>, at_once: usize, steps: u64 },
}

impl<'a> LookedUp<'a> {
    /// What has a place in all of some lists, of at least one; by walking for so many steps, 0 for not at all.
    /// None where there is no index on time.
    pub fn of(place: &Place<'a>, places: Vec<&'a Places<'a>>, steps: u64) -> Option<Self> {
        let mut looked_up = LookedUp { place: *place, places, way: Way::Ordered(Vec::new()) };
        match steps {
            0 => looked_up.order(place.from),
            _ => {
                let (all, passed) = (Box::new(place.all()?), Vec::new());
                looked_up.way = Way::Walked { all, passed, at_once: FIRST_WALKED, steps };
                looked_up.walk();
            }
        }
        Some(looked_up)
    }

    /// Puts all in the order of time, from a posting on.
    fn order(&mut self, from: Posting) {
        let Some((rarest, others)) = self.places.split_first() else { return };
        let mut places = rarest.all();
        others.iter().for_each(|other| other.retain(&mut places));
        let mut postings = Vec::new();
        let (start, end) = (self.place.start, self.place.end);
        self.place.partition.instants(&places, |at, place| {
            let posting = Posting { at, place };
            if start <= at && at < end && posting <= from {
                postings.push(posting);
            }
        });
        postings.sort_unstable();
        self.way = Way::Ordered(postings);
    }

    /// Walks on until there are postings that all have.
    fn walk(&mut self) {
        let Way::Walked { all, passed, at_once, steps } = &mut self.way else { return };
        while passed.is_empty() {
            backend::check_for_interrupts();
            let Some(next) = all.current() else { return };
            if *steps == 0 {
                return self.order(next);
            }
            while let Some(posting) = all.current().filter(|_| passed.len() < *at_once) {
                passed.push(posting);
                all.advance();
            }
            *steps = steps.saturating_sub(passed.len() as u64);
            *at_once = (*at_once * 2).min(MOST_WALKED);
            let mut places: Vec<u64> = passed.iter().map(|posting| posting.place).collect();
            places.sort_unstable();
            self.places.iter().for_each(|one| one.retain(&mut places));
            passed.retain(|posting| places.binary_search(&posting.place).is_ok());
            // The next one is taken from the end.
            passed.reverse();
        }
    }
}

impl Stream for LookedUp<'_> {
    fn current(&self) -> Option<Posting> {
        match &self.way {
            Way::Ordered(postings) => postings.last().copied(),
            Way::Walked { passed, .. } => passed.last().copied(),
        }
    }

    fn advance(&mut self) {
        match &mut self.way {
            Way::Ordered(postings) => _ = postings.pop(),
            Way::Walked { passed, .. } => {
                passed.pop();
                self.walk();
            }
        }
    }

    fn seek(&mut self, to: Posting) {
        match &mut self.way {
            Way::Ordered(postings) => postings.truncate(postings.partition_point(|one| *one <= to)),
            Way::Walked { all, passed, at_once, .. } => {
                passed.truncate(passed.partition_point(|one| *one <= to));
                if passed.is_empty() {
                    if all.current().is_some_and(|current| current > to) {
                        all.seek(to);
                        *at_once = FIRST_WALKED;
                    }
                    self.walk();
                }
            }
        }
    }

    fn rate(&self) -> f64 {
        let span = self.place.end.saturating_sub(self.place.start).max(1);
        let least = self.places.iter().map(|places| places.about()).fold(f64::INFINITY, f64::min);
        least / span as f64
    }
}
