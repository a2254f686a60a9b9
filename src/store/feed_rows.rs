//! The rows of `audit_log.feed`: settled entries, in the order of their positions.

use audit_log_model::feed_position;
use audit_log_model::snapshot::Snapshot;
use audit_log_model::sync_cursor::Position;
use audit_log_model::AuditError;

use super::criteria::Criteria;
use super::entry;
use super::feed_reader::{Delivered, Delta};
use super::page::Scope;
use super::sync;
use crate::glue::foreign_scan::{From, Rows};
use crate::glue::memory::with_current;
use crate::glue::value::Value;

/// Entries are read so many at once; the first time fewer, as a poll wants few.
const FIRST_READ: usize = 100;
const LARGEST_READ: usize = 1_000;

/// A scan of the feed, behind a position.
pub struct FeedRows {
    criteria: Criteria,
    seen: Snapshot,
    /// The first number that is not settled.
    end: i64,
    after: Position,
    count: usize,
    read: std::vec::IntoIter<Delivered>,
    is_done: bool,
}

impl FeedRows {
    pub fn begin(from: &[From], scope: &Scope) -> Result<FeedRows, AuditError> {
        let seen = sync::now()?;
        let after = from.iter().map(|one| feed_position::before(&one.text, one.included)).max();
        super::pending::write()?;
        Ok(FeedRows {
            criteria: Criteria::within(scope),
            end: seen.next_unseen(0),
            seen,
            after: after.unwrap_or(feed_position::BEGINNING),
            count: FIRST_READ,
            read: Vec::new().into_iter(),
            is_done: false,
        })
    }

    fn read_on(&mut self) -> Result<(), AuditError> {
        let delta = Delta {
            criteria: &self.criteria,
            base: None,
            since: i64::MIN,
            target: &self.seen,
            end: self.end,
            after: self.after,
        };
        let entries = delta.read(self.count)?;
        self.is_done = entries.len() < self.count;
        if let Some(last) = entries.last() {
            self.after = last.position;
        }
        self.count = LARGEST_READ;
        self.read = entries.into_iter();
        Ok(())
    }
}

impl Rows for FeedRows {
    fn next(&mut self, give: &mut dyn FnMut(&[Option<Value>])) -> Result<bool, AuditError> {
        if self.read.len() == 0 && !self.is_done {
            self.read_on()?;
        }
        let Some(one) = self.read.next() else { return Ok(false) };
        with_current(|memory| give(&entry::columns(&one.row, memory)));
        Ok(true)
    }
}
