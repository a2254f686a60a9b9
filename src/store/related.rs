//! The postings of entries by a target that is not their primary one.

use std::collections::VecDeque;

use audit_log_model::posting::{Posting, Stream};

use super::criteria::{Place, Postings};
use super::filter::ID;
use crate::glue::index_stream::IndexStream;
use crate::glue::partition::{Fields, Partition};

/// `event_target` names entries by instant and id: which rows these are is looked up by the instant.
pub struct Related<'a> {
    of_target: IndexStream<'a>,
    partition: &'a Partition,
    /// All postings of the partition.
    all: IndexStream<'a>,
    /// Of one instant, found already, in descending order.
    found: VecDeque<Posting>,
}

impl<'a> Related<'a> {
    /// A stream for each target and partition that has any posting; None where an index is missing.
    pub fn streams(place: &Place<'a>, ids: &[String]) -> Option<Vec<Postings<'a>>> {
        let mut streams: Vec<Postings<'a>> = Vec::new();
        for targets in place.related {
            for id in ids {
                let of_target = place.of_target(targets, id)?;
                if of_target.current().is_none() {
                    continue;
                }
                let (partition, all) = (place.partition, place.all()?);
                let mut stream = Related { of_target, partition, all, found: VecDeque::new() };
                stream.skip_above(place.from);
                streams.push(Box::new(stream));
            }
        }
        Some(streams)
    }

    /// Looks up the next instant that has any rows here.
    fn settle(&mut self) {
        while self.found.is_empty() {
            let Some(Posting { at, .. }) = self.of_target.current() else { return };
            let mut ids = Vec::new();
            while let Some(next) = self.of_target.found().filter(|next| next.posting.at == at) {
                ids.push(next.event_id);
                self.of_target.advance();
            }
            self.all.seek(Posting::newest_at(at));
            while let Some(posting) = self.all.current().filter(|posting| posting.at == at) {
                if self.partition.look(posting, |row| row.uuid(ID).is_some_and(|id| ids.contains(&id)))
                    == Some(true)
                {
                    self.found.push_back(posting);
                }
                self.all.advance();
            }
        }
    }

    fn skip_above(&mut self, to: Posting) {
        self.settle();
        while self.current().is_some_and(|current| current > to) {
            self.found.pop_front();
            self.settle();
        }
    }
}

impl Stream for Related<'_> {
    fn current(&self) -> Option<Posting> {
        self.found.front().copied()
    }

    fn advance(&mut self) {
        self.found.pop_front();
        self.settle();
    }

    fn seek(&mut self, to: Posting) {
        let beyond = |posting: &Posting| posting.at > to.at;
        if self.found.front().is_some_and(beyond) {
            self.found.clear();
            self.of_target.seek(Posting::newest_at(to.at));
        }
        self.skip_above(to);
    }

    /// Each is looked up: it weighs as much as several that are only read.
    fn rate(&self) -> f64 {
        const WEIGHT: f64 = 20.0;
        self.of_target.rate() * WEIGHT
    }
}
