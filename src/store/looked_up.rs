//! The postings that look-ups of filters found in a partition: places, which are put in the order of time.

use audit_log_model::posting::{Posting, Stream};

use super::criteria::Place;
use super::filter::OCCURRED_AT;
use crate::glue::places::Places;

/// So many entries are taken in at a time, at first and at most, about.
const FIRST_AT_ONCE: f64 = 512.0;
const MOST_AT_ONCE: f64 = 16_384.0;

pub struct LookedUp<'a> {
    place: Place<'a>,
    /// By filter, the rarest first.
    places: Vec<&'a Places<'a>>,
    way: Way,
}

enum Way {
    /// All, in ascending order, as far as they are left.
    Ordered(Vec<Posting>),
    /// Those of a span of time after the other, the newest first.
    InSpans(Spans),
}

struct Spans {
    /// Of the last span, in ascending order, as far as they are left.
    passed: Vec<Posting>,
    /// The last instant of the next span, and how long that is, in microseconds.
    last: i64,
    length: f64,
    /// How many entries a span should have.
    at_once: f64,
    /// For so many entries more.
    steps: u64,
}

impl<'a> LookedUp<'a> {
    /// What has a place in all of some lists, of at least one; by spans of time for so many entries, 0 for not at all.
    /// None where there is no index on time.
    pub fn of(place: &Place<'a>, places: Vec<&'a Places<'a>>, steps: u64) -> Option<Self> {
        let mut looked_up = LookedUp { place: *place, places, way: Way::Ordered(Vec::new()) };
        match steps {
            0 => looked_up.order(place.from),
            _ => {
                looked_up.way = Way::InSpans(Spans {
                    passed: Vec::new(),
                    last: place.from.at.min(place.end.saturating_sub(1)),
                    length: FIRST_AT_ONCE / place.density.max(f64::MIN_POSITIVE),
                    at_once: FIRST_AT_ONCE,
                    steps,
                });
                looked_up.go_on()?;
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

    /// Takes in one span after the other until there are postings that all have. None where there is no index on time.
    fn go_on(&mut self) -> Option<()> {
        let Way::InSpans(spans) = &mut self.way else { return Some(()) };
        let (start, from) = (self.place.start, self.place.from);
        while spans.passed.is_empty() && spans.last >= start {
            if spans.steps == 0 {
                let last = Posting::newest_at(spans.last);
                self.order(last.min(from));
                return Some(());
            }
            let length = spans.length.clamp(1.0, i64::MAX as f64) as i64;
            let first = spans.last.saturating_sub(length - 1).max(start);
            let mut places = self.place.partition.within(OCCURRED_AT, first, spans.last)?;
            let count = places.len();
            self.places.iter().for_each(|one| one.retain(&mut places));
            let passed = &mut spans.passed;
            self.place.partition.instants(&places, |at, place| {
                let posting = Posting { at, place };
                // What a page stands for can be of another time.
                if first <= at && at <= spans.last && posting <= from {
                    passed.push(posting);
                }
            });
            passed.sort_unstable();
            spans.next(first, count);
        }
        Some(())
    }
}

impl Spans {
    /// Goes on behind a span that began with an instant and had so many entries.
    fn next(&mut self, first: i64, count: usize) {
        self.last = first.saturating_sub(1);
        self.steps = self.steps.saturating_sub(count.max(64) as u64);
        self.at_once = (self.at_once * 2.0).min(MOST_AT_ONCE);
        // Entries are dense and sparse by turns: never much longer at once, shorter at once.
        let wanted = self.at_once / (count as f64).max(1.0);
        self.length *= wanted.min(8.0);
    }
}

impl Stream for LookedUp<'_> {
    fn current(&self) -> Option<Posting> {
        match &self.way {
            Way::Ordered(postings) => postings.last().copied(),
            Way::InSpans(spans) => spans.passed.last().copied(),
        }
    }

    fn advance(&mut self) {
        match &mut self.way {
            Way::Ordered(postings) => _ = postings.pop(),
            Way::InSpans(spans) => {
                spans.passed.pop();
                // The index was there for the first span, and is open as long as the partition.
                let _ = self.go_on();
            }
        }
    }

    fn seek(&mut self, to: Posting) {
        match &mut self.way {
            Way::Ordered(postings) => postings.truncate(postings.partition_point(|one| *one <= to)),
            Way::InSpans(spans) => {
                spans.passed.truncate(spans.passed.partition_point(|one| *one <= to));
                if spans.passed.is_empty() && spans.last > to.at {
                    (spans.last, spans.at_once) = (to.at, FIRST_AT_ONCE);
                    spans.length = FIRST_AT_ONCE / self.place.density.max(f64::MIN_POSITIVE);
                }
                self.place.from = self.place.from.min(to);
                let _ = self.go_on();
            }
        }
    }

    fn rate(&self) -> f64 {
        let span = self.place.end.saturating_sub(self.place.start).max(1);
        let least = self.places.iter().map(|places| places.about()).fold(f64::INFINITY, f64::min);
        least / span as f64
    }
}
