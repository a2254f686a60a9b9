//! The postings that look-ups of filters found in a partition: places, which are put in the order of time.

use audit_log_model::posting::{Posting, Stream};

use super::criteria::Place;
use super::filter::{ID, OCCURRED_AT};
use crate::glue::backend;
use crate::glue::index_stream::IndexStream;
use crate::glue::partition::View;
use crate::glue::places::Places;
use crate::glue::row::Fields;

/// So many places are looked at to put them in order; with more it is walked through the index on time.
const MOST_LOOKED_AT: usize = 4096;
/// A place that is looked at takes as long as so many steps through the index.
const STEPS_A_PLACE: u64 = 5;

/// Whether the row of an instant and id is wanted.
pub type Wants<'a> = &'a dyn Fn(i64, [u8; 16], &View) -> bool;

pub struct LookedUp<'a> {
    place: Place<'a>,
    places: Places,
    wants: Wants<'a>,
    way: Way<'a>,
}

enum Way<'a> {
    /// The rows were looked at: of those that are wanted the postings in ascending order, as far as they are left.
    Ordered(Vec<Posting>),
    /// All postings, of which those are passed over that are at none of the places, for so many steps more.
    Walked { all: Box<IndexStream<'a>>, steps: u64 },
}

impl<'a> LookedUp<'a> {
    /// None where there is no index on time.
    pub fn of(place: &Place<'a>, places: Places, wants: Wants<'a>) -> Option<Self> {
        let way = match places.len() > MOST_LOOKED_AT {
            false => Way::Ordered(Vec::new()),
            true => Way::Walked { all: Box::new(place.all()?), steps: places.len() as u64 * STEPS_A_PLACE },
        };
        let mut looked_up = LookedUp { place: *place, places, wants, way };
        match &looked_up.way {
            Way::Ordered(_) => looked_up.look_at_all(place.from),
            Way::Walked { .. } => looked_up.pass_over(),
        }
        Some(looked_up)
    }

    /// Looks at the rows of all places for their instants, from a posting on.
    fn look_at_all(&mut self, from: Posting) {
        let mut postings = Vec::new();
        let partition = self.place.partition;
        for place in self.places.descending() {
            let at = partition.look(Posting { at: 0, place }, |row| {
                let at = row.value(OCCURRED_AT)?.number();
                let is_within = self.place.start <= at && at < self.place.end;
                let id = row.uuid(ID)?;
                (is_within && Posting { at, place } <= from && (self.wants)(at, id, row)).then_some(at)
            });
            postings.extend(at.flatten().map(|at| Posting { at, place }));
        }
        postings.sort_unstable();
        self.way = Way::Ordered(postings);
    }

    /// Goes on to the next posting that is at one of the places.
    fn pass_over(&mut self) {
        let Way::Walked { all, steps } = &mut self.way else { return };
        while let Some(posting) = all.current() {
            if self.places.has(posting.place) {
                return;
            }
            if *steps == 0 {
                return self.look_at_all(posting);
            }
            *steps -= 1;
            if steps.is_multiple_of(1024) {
                backend::check_for_interrupts();
            }
            all.advance();
        }
    }
}

impl Stream for LookedUp<'_> {
    fn current(&self) -> Option<Posting> {
        match &self.way {
            Way::Ordered(postings) => postings.last().copied(),
            Way::Walked { all, .. } => all.current(),
        }
    }

    fn advance(&mut self) {
        match &mut self.way {
            Way::Ordered(postings) => _ = postings.pop(),
            Way::Walked { all, .. } => {
                all.advance();
                self.pass_over();
            }
        }
    }

    fn seek(&mut self, to: Posting) {
        match &mut self.way {
            Way::Ordered(postings) => postings.truncate(postings.partition_point(|one| *one <= to)),
            Way::Walked { all, .. } => {
                all.seek(to);
                self.pass_over();
            }
        }
    }

    fn rate(&self) -> f64 {
        let span = self.place.end.saturating_sub(self.place.start).max(1);
        self.places.len() as f64 / span as f64
    }
}
