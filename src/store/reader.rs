//! Reads entries, newest first, partition by partition, at the cost of what is returned.

use audit_log_model::posting::{Posting, Stream};
use audit_log_model::read_plan::{Chooser, Plan};
use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::criteria::{Criteria, Place, Postings};
use super::filter::{ID, TARGETS};
use super::newest::{Entry, Newest};
use super::partition_query;
use super::tables::{self, Table};
use crate::glue::bounds::Range;
use crate::glue::partition::{Opened, Partition, View};
use crate::glue::row::{Fields, Kept};

/// What to read. Instants are PostgreSQL's microseconds.
pub struct Reading<'a> {
    pub criteria: &'a Criteria,
    pub start: i64,
    /// Excluded.
    pub end: i64,
    /// Only what comes behind this entry.
    pub after: Option<(i64, [u8; 16])>,
}

/// Who takes what was read of a partition, newest instants first.
pub trait Sink {
    /// Whether there is enough once all that is newer than an instant was taken.
    fn is_enough(&mut self, at: i64) -> bool;

    /// How many more are wanted, about.
    fn more(&self) -> usize;

    /// Takes a row that matches, where it is.
    fn take_place(&mut self, partition: &Partition, posting: Posting, id: [u8; 16], row: &View);

    /// Takes a row that matches, from a query.
    fn take_row(&mut self, at: i64, id: [u8; 16], row: Kept);
}

impl Reading<'_> {
    /// The entries behind so many that are skipped, newest first, `count` at the most.
    pub fn read(&self, skipped: usize, count: usize) -> Result<Vec<Entry>, AuditError> {
        super::pending::write()?;
        let all = skipped.saturating_add(count);
        // Rows are only kept where none will be thrown away.
        let keeps_rows = skipped == 0;
        let mut found = Newest::new(all, keeps_rows);
        for (range, oid) in tables::partitions(Table::Event, self.start, self.end()) {
            match range {
                Some(_) if found.is_full() => {}
                Some(range) => {
                    let (start, end) = range.within(self.start, self.end());
                    self.visit(oid, Some(range), (start, end), &mut found)?;
                    found.settle();
                }
                None => {
                    // Of what is beside the partitions only what is newer than the last one found elsewhere.
                    let start = found.oldest().filter(|_| found.is_full()).unwrap_or(self.start);
                    let mut others = Newest::new(all, keeps_rows);
                    self.visit(oid, None, (start, self.end()), &mut others)?;
                    found.merge(others);
                }
            }
        }
        Ok(found.entries(skipped))
    }

    /// How many entries there are.
    pub fn count(&self) -> Result<u64, AuditError> {
        super::pending::write()?;
        let mut counted = Counted(0);
        for (range, oid) in tables::partitions(Table::Event, self.start, self.end()) {
            let (start, end) =
                range.map_or((self.start, self.end()), |range| range.within(self.start, self.end()));
            self.visit(oid, range, (start, end), &mut counted)?;
        }
        Ok(counted.0)
    }

    fn end(&self) -> i64 {
        self.after.map_or(self.end, |(at, _)| self.end.min(at.saturating_add(1)))
    }

    /// Gives what a partition has to a sink.
    fn visit(
        &self,
        oid: pg_sys::Oid,
        range: Option<Range>,
        (start, end): (i64, i64),
        sink: &mut impl Sink,
    ) -> Result<(), AuditError> {
        let part = range.map_or(1.0, |range| range.part(start, end));
        let by_index = match tables::open(Table::Event, oid) {
            Opened::Gone => return Ok(()),
            Opened::Other => None,
            Opened::Known(partition) => self.by_index(&partition, (start, end), part, sink),
        };
        if by_index.is_some() {
            return Ok(());
        }
        partition_query::read(oid, start, end, |at, id, row| {
            if sink.is_enough(at) {
                return false;
            }
            if self.wants(at, id, row) {
                sink.take_row(at, id, row.keep());
            }
            true
        })
    }

    fn wants(&self, at: i64, id: [u8; 16], row: &impl Fields) -> bool {
        self.after.is_none_or(|after| (at, id) < after) && self.criteria.matches(row)
    }

    /// None, and nothing given, where there is no index on time.
    fn by_index(
        &self,
        partition: &Partition,
        (start, end): (i64, i64),
        part: f64,
        sink: &mut impl Sink,
    ) -> Option<()> {
        let rows = partition.rows();
        // Where an index has the other targets of entries they need not be looked up by themselves.
        let related = match self.criteria.asks_for_related() && !partition.finds(TARGETS) {
            true => related(start, end)?,
            false => Vec::new(),
        };
        let mut place = Place {
            partition,
            related: &related,
            start,
            end,
            from: Posting::newest_at(end.saturating_sub(1)),
            density: rows * part / end.saturating_sub(start).max(1) as f64,
        };
        let found = self.criteria.places(&place);
        let mut chooser = Chooser::new(self.criteria.about(&found, &place), rows, rows * part);
        loop {
            let plan = chooser.choose(sink.more());
            let (mut candidates, mut patience): (Postings, u32) = match &plan {
                Plan::Walk(patience) => (Box::new(place.all()?), *patience),
                Plan::LookUp { filters, steps } => {
                    (self.criteria.look_up(filters, &found, &place, *steps)?, u32::MAX)
                }
            };
            while let Some(posting) = candidates.current().filter(|_| patience > 0) {
                if sink.is_enough(posting.at) {
                    return Some(());
                }
                if posting.is_instant() {
                    candidates.seek(posting.looked_up());
                    continue;
                }
                let is_walk = patience < u32::MAX;
                let taken = partition.look(posting, |row| {
                    let id = row.uuid(ID).filter(|id| self.wants(posting.at, *id, row));
                    id.map(|id| sink.take_place(partition, posting, id, row))
                });
                candidates.advance();
                if is_walk {
                    chooser.add(taken.flatten().is_some());
                    patience -= 1;
                }
            }
            match candidates.current() {
                Some(next) => place.from = next,
                None => return Some(()),
            }
        }
    }
}

/// The partitions of the other targets in a window; None where one is not as the install script makes it.
fn related(start: i64, end: i64) -> Option<Vec<Partition>> {
    let mut opened = Vec::new();
    for (_, oid) in tables::partitions(Table::EventTarget, start, end) {
        match tables::open(Table::EventTarget, oid) {
            Opened::Gone => {}
            Opened::Other => return None,
            Opened::Known(partition) => opened.push(partition),
        }
    }
    Some(opened)
}

/// Only counts.
struct Counted(u64);

impl Sink for Counted {
    fn is_enough(&mut self, _: i64) -> bool {
        false
    }

    fn more(&self) -> usize {
        usize::MAX
    }

    fn take_place(&mut self, _: &Partition, _: Posting, _: [u8; 16], _: &View) {
        self.0 += 1;
    }

    fn take_row(&mut self, _: i64, _: [u8; 16], _: Kept) {
        self.0 += 1;
    }
}
