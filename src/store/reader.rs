//! Reads entries, newest first, partition by partition, at the cost of what is returned.

use audit_log_model::posting::{Intersection, Posting, Stream};
use audit_log_model::read_plan;
use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::criteria::{Criteria, Place, Postings, ID, OCCURRED_AT};
use super::partition_query;
use super::tables::{self, Table, EVENT_COLUMNS};
use crate::glue::partition::{Kept, Opened, Partition, View};

/// An entry that was read.
pub struct Found {
    /// PostgreSQL's microseconds.
    pub at: i64,
    pub id: [u8; 16],
    pub row: Kept,
}

impl Found {
    fn order(&self) -> (i64, [u8; 16]) {
        (self.at, self.id)
    }
}

/// What to read. Instants are PostgreSQL's microseconds.
pub struct Reading<'a> {
    pub criteria: &'a Criteria,
    pub start: i64,
    /// Excluded.
    pub end: i64,
    /// Only what comes behind this entry.
    pub after: Option<(i64, [u8; 16])>,
    /// How many at the most.
    pub count: usize,
}

/// After so many rows looked at in vain it is asked again which indexes to read.
const PATIENCE: u32 = 4096;
/// Entries of one instant kept beyond those wanted, before the surplus is dropped.
const SURPLUS: usize = 1000;

impl Reading<'_> {
    /// The entries, newest first.
    pub fn read(&self) -> Result<Vec<Found>, AuditError> {
        super::pending::write()?;
        let end = self.after.map_or(self.end, |(at, _)| self.end.min(at.saturating_add(1)));
        let mut found = Vec::new();
        for (range, oid) in tables::partitions(Table::Event, self.start, end) {
            let missing = self.count - found.len();
            match range {
                Some(_) if missing == 0 => {}
                Some(range) => {
                    let (start, end) = range.within(self.start, end);
                    found.extend(self.of_partition(oid, start, end, missing)?);
                }
                None => {
                    // Of the default partition only what is newer than the last one found elsewhere.
                    let start = match (missing, found.last()) {
                        (0, Some(last)) => last.at,
                        _ => self.start,
                    };
                    found.extend(self.of_partition(oid, start, end, self.count)?);
                    found.sort_unstable_by_key(|one| std::cmp::Reverse(one.order()));
                    found.truncate(self.count);
                }
            }
        }
        Ok(found)
    }

    fn of_partition(
        &self,
        oid: pg_sys::Oid,
        start: i64,
        end: i64,
        count: usize,
    ) -> Result<Vec<Found>, AuditError> {
        let by_index = match tables::open(Table::Event, oid) {
            Opened::Gone => return Ok(Vec::new()),
            Opened::Other => None,
            Opened::Known(partition) => self.by_index(&partition, start, end, count),
        };
        match by_index {
            Some(found) => Ok(found),
            None => partition_query::read(self, oid, start, end, count),
        }
    }

    /// None where an index is missing.
    fn by_index(&self, partition: &Partition, start: i64, end: i64, count: usize) -> Option<Vec<Found>> {
        let related = match self.criteria.asks_for_targets() {
            true => tables::partitions(Table::EventTarget, start, end)
                .into_iter()
                .filter_map(|(_, oid)| match tables::open(Table::EventTarget, oid) {
                    Opened::Gone => None,
                    Opened::Other => Some(None),
                    Opened::Known(partition) => Some(Some(partition)),
                })
                .collect::<Option<Vec<_>>>()?,
            false => Vec::new(),
        };
        let mut found = Newest { count, found: Vec::new(), instant: Vec::new() };
        let mut from = Posting::newest_at(end - 1);
        loop {
            let place = Place { partition, related: &related, start, end, from };
            let mut candidates = self.candidates(&place)?;
            let mut patience = PATIENCE;
            while let Some(posting) = candidates.current() {
                if found.is_full_before(posting.at) {
                    return Some(found.all());
                }
                match partition.look(posting, |row| self.keep(posting.at, row)) {
                    Some(Some(entry)) => found.add(entry),
                    _ => patience -= 1,
                }
                candidates.advance();
                if patience == 0 {
                    break;
                }
            }
            match candidates.current() {
                Some(next) => from = next,
                None => return Some(found.all()),
            }
        }
    }

    /// The row, if it is wanted.
    fn keep(&self, at: i64, row: &View) -> Option<Found> {
        let id = row.uuid(ID);
        let is_behind = self.after.is_none_or(|after| (at, id) < after);
        (is_behind && self.criteria.matches(row)).then(|| Found {
            at,
            id,
            row: row.keep(EVENT_COLUMNS.len()),
        })
    }

    /// The rows worth looking at.
    fn candidates<'a>(&self, place: &Place<'a>) -> Option<Postings<'a>> {
        let mut filters = self.criteria.streams(place)?;
        if filters.len() < 2 {
            return match filters.pop() {
                Some(only) => Some(only),
                None => Some(Box::new(place.all()?)),
            };
        }
        let rates: Vec<f64> = filters.iter().map(Stream::rate).collect();
        let chosen = read_plan::choose(&rates, place.all()?.rate());
        let mut filters: Vec<Option<Postings<'a>>> = filters.into_iter().map(Some).collect();
        let chosen: Vec<Postings<'a>> = chosen.iter().filter_map(|i| filters[*i].take()).collect();
        Some(Box::new(Intersection::of(chosen)))
    }
}

/// Entries found so far, in order.
struct Newest {
    count: usize,
    found: Vec<Found>,
    /// Those of the last instant: their order is by id, which is not that of their places.
    instant: Vec<Found>,
}

impl Newest {
    fn add(&mut self, entry: Found) {
        if self.instant.first().is_some_and(|one| one.at != entry.at) {
            self.settle();
        }
        self.instant.push(entry);
        if self.instant.len() >= self.count + SURPLUS {
            self.order_instant();
        }
    }

    /// Whether there is enough once the entries that are newer than an instant are counted.
    fn is_full_before(&mut self, at: i64) -> bool {
        self.found.len() + self.instant.len() >= self.count
            && self.instant.first().is_none_or(|one| one.at != at)
    }

    fn order_instant(&mut self) {
        self.instant.sort_unstable_by_key(|one| std::cmp::Reverse(one.id));
        self.instant.truncate(self.count - self.found.len());
    }

    fn settle(&mut self) {
        self.order_instant();
        self.found.append(&mut self.instant);
    }

    fn all(mut self) -> Vec<Found> {
        self.settle();
        self.found
    }
}

/// The instant and id of a row that came by a query.
pub fn found(row: Kept) -> Option<Found> {
    let at = row.values[OCCURRED_AT]?.value() as i64;
    Some(Found { at, id: row.uuid(ID)?, row })
}
