//! The postings of entries by a target that is not their primary one.

use std::collections::VecDeque;

use audit_log_model::posting::{Posting, Stream};

use super::criteria::{Place, Postings};
use super::filter::ID;
use super::tables::Table;
use crate::glue::index_stream::IndexStream;
use crate::glue::partition::{Partition, View};
use crate::glue::row::Fields;

/// `event_target` names entries by instant and id: which rows these are is looked up by the instant,
/// and only where all other filters have an entry of that instant too.
pub struct Related<'a> {
    targets: &'a Partition,
    of_target: IndexStream<'a>,
    partition: &'a Partition,
    /// All postings of the partition.
    all: IndexStream<'a>,
    /// The organizations wanted, where not all are.
    organizations: Option<&'a [String]>,
    /// Of one instant, looked up already, in descending order.
    found: VecDeque<Posting>,
}

impl<'a> Related<'a> {
    /// A stream for each target and partition that has any posting; None where an index is missing.
    pub fn streams(
        place: &Place<'a>,
        ids: &[String],
        organizations: Option<&'a [String]>,
    ) -> Option<Vec<Postings<'a>>> {
        let mut streams: Vec<Postings<'a>> = Vec::new();
        for targets in place.related {
            for id in ids {
                let of_target = place.of_target(targets, id)?;
                if of_target.current().is_none() {
                    continue;
                }
                let (partition, all) = (place.partition, place.all()?);
                let mut stream =
                    Related { targets, of_target, partition, all, organizations, found: VecDeque::new() };
                stream.seek(place.from);
                streams.push(Box::new(stream));
            }
        }
        Some(streams)
    }

    /// How many entries have one of the targets as another one, about; None where an index is missing.
    pub fn about(place: &Place, ids: &[String]) -> Option<f64> {
        let span = place.end.saturating_sub(place.start) as f64;
        let mut all = 0.0;
        for targets in place.related {
            for id in ids {
                all += place.of_target(targets, id)?.rate() * span;
            }
        }
        Some(all)
    }

    /// Looks the current instant's rows up.
    fn look_up(&mut self) {
        let Some(Posting { at, .. }) = self.of_target.current() else { return };
        let mut ids = Vec::new();
        while let Some(next) = self.of_target.found().filter(|next| next.posting.at == at) {
            let is_wanted = |row: &View| match self.organizations {
                None => true,
                Some(only) => row.text(Table::RELATED_ORGANIZATION).is_some_and(|organization| {
                    only.binary_search_by(|one| one.as_bytes().cmp(organization)).is_ok()
                }),
            };
            if self.organizations.is_none() || self.targets.look(next.posting, is_wanted) == Some(true) {
                ids.push(next.event_id);
            }
            self.of_target.advance();
        }
        if ids.is_empty() {
            return;
        }
        self.all.seek(Posting::newest_at(at));
        while let Some(posting) = self.all.current().filter(|posting| posting.at == at) {
            let is_one = |row: &View| row.uuid(ID).is_some_and(|id| ids.contains(&id));
            if self.partition.look(posting, is_one) == Some(true) {
                self.found.push_back(posting);
            }
            self.all.advance();
        }
    }
}

impl Stream for Related<'_> {
    fn current(&self) -> Option<Posting> {
        let next = || self.of_target.current().map(|next| Posting::newest_at(next.at));
        self.found.front().copied().or_else(next)
    }

    fn advance(&mut self) {
        if self.found.pop_front().is_none() {
            self.look_up();
        }
    }

    fn seek(&mut self, to: Posting) {
        while let Some(current) = self.current().filter(|current| *current > to) {
            if !current.is_instant() {
                self.found.pop_front();
            } else if current.at > to.at {
                self.of_target.seek(Posting::newest_at(to.at));
            } else {
                self.look_up();
            }
        }
    }

    /// Each is looked up: it weighs as much as several that are only read.
    fn rate(&self) -> f64 {
        const WEIGHT: f64 = 5.0;
        self.of_target.rate() * WEIGHT
    }
}
