//! The newest entries of those that are given, in the order of a listing.

use std::cmp::Reverse;

use audit_log_model::posting::Posting;
use pgrx::pg_sys;

use super::reader::Sink;
use super::tables::{self, Table};
use crate::glue::partition::{Opened, Partition, View};
use crate::glue::row::Kept;

/// An entry that was read.
pub struct Entry {
    /// PostgreSQL's microseconds.
    pub at: i64,
    pub id: [u8; 16],
    pub row: Kept,
}

/// An entry, and its row or where that is.
struct Found {
    at: i64,
    id: [u8; 16],
    row: Row,
}

enum Row {
    At(pg_sys::Oid, Posting),
    Kept(Kept),
}

/// Entries of one instant beyond those wanted, before the surplus is dropped.
const SURPLUS: usize = 1000;

pub struct Newest {
    count: usize,
    /// Whether rows are kept as they come, not only where they are.
    keeps_rows: bool,
    found: Vec<Found>,
    /// Those of the last instant: their order is by id, which is not that of their places.
    instant: Vec<Found>,
}

impl Newest {
    pub fn new(count: usize, keeps_rows: bool) -> Self {
        Newest { count, keeps_rows, found: Vec::new(), instant: Vec::new() }
    }

    /// Whether there are as many as are wanted, all in order.
    pub fn is_full(&self) -> bool {
        self.found.len() >= self.count
    }

    /// The instant of the last one in order.
    pub fn oldest(&self) -> Option<i64> {
        self.found.last().map(|one| one.at)
    }

    /// Puts the last instant's entries in order: nothing more comes of it.
    pub fn settle(&mut self) {
        self.order_instant();
        self.found.append(&mut self.instant);
    }

    /// Adds those of another partition, which may be from the same time.
    pub fn merge(&mut self, mut others: Newest) {
        others.settle();
        self.found.append(&mut others.found);
        self.found.sort_unstable_by_key(|one| Reverse((one.at, one.id)));
        self.found.truncate(self.count);
    }

    /// The entries behind so many that are skipped.
    pub fn entries(mut self, skipped: usize) -> Vec<Entry> {
        self.found.drain(..skipped.min(self.found.len()));
        let mut opened: Option<(pg_sys::Oid, Opened)> = None;
        let mut entries = Vec::with_capacity(self.found.len());
        for Found { at, id, row } in self.found {
            let row = match row {
                Row::Kept(row) => Some(row),
                Row::At(oid, posting) => {
                    if opened.as_ref().is_none_or(|(known, _)| *known != oid) {
                        opened = Some((oid, tables::open(Table::Event, oid)));
                    }
                    match &opened {
                        Some((_, Opened::Known(partition))) => partition.look(posting, |row| row.keep()),
                        _ => None,
                    }
                }
            };
            entries.extend(row.map(|row| Entry { at, id, row }));
        }
        entries
    }

    fn add(&mut self, one: Found) {
        if self.instant.first().is_some_and(|last| last.at != one.at) {
            self.settle();
        }
        self.instant.push(one);
        if self.instant.len() >= self.count.saturating_add(SURPLUS) {
            self.order_instant();
        }
    }

    fn order_instant(&mut self) {
        self.instant.sort_unstable_by_key(|one| Reverse(one.id));
        self.instant.truncate(self.count.saturating_sub(self.found.len()));
    }
}

impl Sink for Newest {
    fn more(&self) -> usize {
        self.count.saturating_sub(self.found.len() + self.instant.len())
    }

    fn is_enough(&mut self, at: i64) -> bool {
        self.found.len() + self.instant.len() >= self.count
            && self.instant.first().is_none_or(|last| last.at != at)
    }

    fn take_place(&mut self, partition: &Partition, posting: Posting, id: [u8; 16], row: &View) {
        let row = match self.keeps_rows {
            true => Row::Kept(row.keep()),
            false => Row::At(partition.oid(), posting),
        };
        self.add(Found { at: posting.at, id, row });
    }

    fn take_row(&mut self, at: i64, id: [u8; 16], row: Kept) {
        self.add(Found { at, id, row: Row::Kept(row) });
    }
}
