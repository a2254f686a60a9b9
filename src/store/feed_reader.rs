//! Reads entries in the order of the feed: what one snapshot saw and another did not.

use std::collections::BinaryHeap;

use audit_log_model::event_id;
use audit_log_model::posting::Posting;
use audit_log_model::snapshot::Snapshot;
use audit_log_model::sync_cursor::Position;
use audit_log_model::AuditError;
use uuid::Uuid;

use super::criteria::Criteria;
use super::filter::{ID, OCCURRED_AT};
use super::partition_query;
use super::tables::{self, column, Table};
use crate::glue::backend;
use crate::glue::ordered_scan::{Of, OrderedScan};
use crate::glue::partition::{Opened, Partition, View};
use crate::glue::row::{Fields, Kept};

const FEED: usize = column("feed");

/// An entry that is delivered.
pub struct Delivered {
    pub position: Position,
    pub row: Kept,
}

/// What is to be delivered.
pub struct Delta<'a> {
    pub criteria: &'a Criteria,
    /// None: nothing was seen yet, and entries from `since` on are wanted.
    pub base: Option<&'a Snapshot>,
    /// PostgreSQL's microseconds.
    pub since: i64,
    pub target: &'a Snapshot,
    /// Only what is below this feed number.
    pub end: i64,
    /// Only what comes behind it.
    pub after: Position,
}

/// A transaction with more entries in a partition is not sorted as a whole for each call.
const LARGE: usize = 4096;
/// So many entries of others in a row, and a large transaction's are looked for by its number again.
const IN_VAIN: usize = 20_000;

impl Delta<'_> {
    /// The first `count` entries in the feed's order.
    pub fn read(&self, count: usize) -> Result<Vec<Delivered>, AuditError> {
        let start = if self.base.is_none() { self.since } else { i64::MIN };
        let mut partitions = Vec::new();
        let mut found = Vec::new();
        for (_, oid) in tables::partitions(Table::Event, start, i64::MAX) {
            match tables::open(Table::Event, oid) {
                Opened::Gone => {}
                Opened::Other => self.by_query(oid, count, &mut found)?,
                Opened::Known(partition) => partitions.push((oid, partition)),
            }
        }
        let mut scans = Vec::new();
        for (oid, partition) in &partitions {
            match partition.in_order(FEED, Of::Number, self.first_number(), self.end) {
                Some(scan) => scans.extend(scan.current().map(|(number, _)| (number, partition, scan))),
                None => self.by_query(*oid, count, &mut found)?,
            }
        }
        scans.sort_unstable_by_key(|(number, _, _)| *number);
        for (_, partition, mut scan) in scans {
            // What comes behind as many as are wanted is not looked at.
            found.sort_unstable_by_key(|one| one.position);
            found.truncate(count);
            let last = if found.len() < count { i64::MAX } else { found[count - 1].position.0 };
            let mut part = Part { delta: self, partition, count, found: Vec::new() };
            part.read(&mut scan, last);
            found.append(&mut part.found);
        }
        found.sort_unstable_by_key(|one| one.position);
        found.truncate(count);
        Ok(found)
    }

    /// The first feed number that can be wanted.
    fn first_number(&self) -> i64 {
        self.base.map_or(i64::MIN, |base| base.next_unseen(i64::MIN)).max(self.after.0)
    }

    fn wants(&self, position: Position, row: &impl Fields) -> bool {
        let recent = || row.value(OCCURRED_AT).is_some_and(|at| at.number() >= self.since);
        position > self.after && (self.base.is_some() || recent()) && self.criteria.matches(row)
    }

    /// The way for a partition that is not as the install script makes it.
    fn by_query(
        &self,
        oid: pgrx::pg_sys::Oid,
        count: usize,
        found: &mut Vec<Delivered>,
    ) -> Result<(), AuditError> {
        let mut wanted = 0;
        partition_query::read_feed(oid, (self.first_number(), [0; 16]), self.end, |position, row| {
            let unseen = self.base.is_none_or(|base| !base.sees(position.0)) && self.target.sees(position.0);
            if unseen && self.wants(position, row) {
                found.push(Delivered { position, row: row.keep() });
                wanted += 1;
            }
            wanted < count
        })
    }
}

/// What one partition has of a delta.
struct Part<'a> {
    delta: &'a Delta<'a>,
    partition: &'a Partition,
    count: usize,
    found: Vec<Delivered>,
}

impl Part<'_> {
    /// Reads up to `count` entries whose feed number is not above `last`.
    fn read(&mut self, scan: &mut OrderedScan, last: i64) {
        while let Some((number, _)) = scan.current() {
            if number > last || self.found.len() >= self.count {
                return;
            }
            let delta = self.delta;
            let unseen = delta.base.map_or(number, |base| base.next_unseen(number));
            if unseen > number {
                scan.skip_to(unseen);
                continue;
            }
            if !delta.target.sees(number) {
                scan.skip_to(number + 1);
                continue;
            }
            self.of_transaction(scan, number);
        }
    }

    /// Takes a transaction's entries, in the order of their ids.
    fn of_transaction(&mut self, scan: &mut OrderedScan, number: i64) {
        let mut places = Vec::new();
        while let Some((_, place)) = scan.current().filter(|(one, _)| *one == number) {
            if places.len() == LARGE {
                // Its ids carry the instants that another index is in the order of.
                let begin = self.found.len();
                if number != self.delta.after.0 || !self.by_time(number) {
                    self.found.truncate(begin);
                    scan.begin(number);
                    self.smallest(scan, number);
                }
                scan.skip_to(number + 1);
                return;
            }
            places.push(place);
            scan.advance();
        }
        let begin = self.found.len();
        for place in places {
            self.take(number, Posting { at: 0, place });
        }
        self.found[begin..].sort_unstable_by_key(|one| one.position);
    }

    /// Takes the row at a place if it is wanted.
    fn take(&mut self, number: i64, posting: Posting) {
        let delta = self.delta;
        let taken = self.partition.look(posting, |row| {
            let position = (number, row.uuid(ID)?);
            delta.wants(position, row).then(|| Delivered { position, row: row.keep() })
        });
        self.found.extend(taken.flatten());
    }

    /// Takes the first of a large transaction's entries, after looking at all.
    fn smallest(&mut self, scan: &mut OrderedScan, number: i64) {
        let (delta, partition, room) = (self.delta, self.partition, self.count - self.found.len());
        let mut smallest = BinaryHeap::new();
        while let Some((_, place)) = scan.current().filter(|(one, _)| *one == number) {
            let id = partition.look(Posting { at: 0, place }, |row| {
                row.uuid(ID).filter(|id| delta.wants((number, *id), row))
            });
            smallest.extend(id.flatten().map(|id| (id, place)));
            if smallest.len() > room {
                smallest.pop();
            }
            scan.advance();
        }
        for (_, place) in smallest.into_sorted_vec() {
            self.take(number, Posting { at: 0, place });
        }
    }

    /// Takes the next of a large transaction's entries: those behind the last one's instant. False where
    /// too many others are in between.
    fn by_time(&mut self, number: i64) -> bool {
        let from = backend::pg_micros(event_id::unix_micros(Uuid::from_bytes(self.delta.after.1)));
        let Some(mut scan) = self.partition.in_order(OCCURRED_AT, Of::Instant, from, i64::MAX) else {
            return false;
        };
        let mut instant = from;
        let mut begin = self.found.len();
        let mut in_vain = 0;
        while let Some((at, place)) = scan.current() {
            if at != instant {
                self.found[begin..].sort_unstable_by_key(|one| one.position);
                if self.found.len() >= self.count {
                    return true;
                }
                (instant, begin) = (at, self.found.len());
            }
            let posting = Posting { at, place };
            let is_its = |row: &View| row.value(FEED).is_some_and(|feed| feed.number() == number);
            match self.partition.look(posting, is_its) {
                Some(true) => {
                    self.take(number, posting);
                    in_vain = 0;
                }
                _ => in_vain += 1,
            }
            if in_vain > IN_VAIN {
                return false;
            }
            scan.advance();
        }
        self.found[begin..].sort_unstable_by_key(|one| one.position);
        true
    }
}
