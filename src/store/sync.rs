//! Incremental sync: what came since a cursor, every committed entry exactly once.

use audit_log_model::purged::Purged;
use audit_log_model::snapshot::{feed as feed_number, Snapshot};
use audit_log_model::sync_cursor::{Position, SyncCursor};
use audit_log_model::{AuditError, Code};

use super::criteria::Criteria;
use super::feed;
use super::feed_reader::{Delivered, Delta};
use super::page::Scope;
use crate::glue::backend;
use crate::glue::spi::{self, texts, Arg};

/// Before every entry of a feed.
const BEGINNING: Position = (i64::MIN, [0; 16]);

/// A page of a sync.
pub struct SyncPage {
    pub entries: Vec<Delivered>,
    /// What to go on with where there are no entries, or behind the last one.
    pub next: SyncCursor,
    /// Whether there is more at once.
    pub more: bool,
    /// The state that each entry's own cursor is made from: with its position.
    reached: SyncCursor,
}

impl SyncPage {
    /// The entries, each with the cursor to go on with behind it.
    pub fn with_cursors(mut self) -> impl Iterator<Item = (Delivered, String)> {
        let count = self.entries.len();
        self.entries.into_iter().enumerate().map(move |(i, entry)| {
            if let Some((_, position)) = &mut self.reached.target {
                *position = entry.position;
            }
            let cursor = if i + 1 == count { &self.next } else { &self.reached };
            (entry, cursor.encode())
        })
    }
}

/// What the running query's snapshot has seen of the feed.
pub fn now() -> Result<Snapshot, AuditError> {
    let (epoch, _) = feed::epoch_here();
    let (next, in_progress) = backend::active_snapshot();
    // After a crash the numbers of transactions that left nothing on disk are given out again.
    backend::flush_wal();
    Ok(Snapshot { epoch, next, in_progress })
}

/// A cursor from which nothing is past, or the entries from an instant on (Unix microseconds).
pub fn start(since: Option<i64>) -> Result<SyncCursor, AuditError> {
    let now = now()?;
    let (home, wal) = (feed::here(), backend::wal_position());
    let (base, target) = match since {
        Some(_) => (None, Some((now, BEGINNING))),
        None => (Some(now), None),
    };
    let log = feed::log_identity()?;
    Ok(SyncCursor { home, log, wal, scope: None, since: since.unwrap_or(i64::MIN), base, target })
}

/// Reads on from a cursor.
pub fn read(cursor: SyncCursor, criteria: &Criteria, limit: usize) -> Result<SyncPage, AuditError> {
    let now = now()?;
    check(&cursor, now.epoch)?;
    let wal = backend::wal_position();
    let mut reached = cursor;
    super::pending::write()?;
    // Of an older snapshot than the cursor's, as in REPEATABLE READ or on a standby behind its primary,
    // only what comes before the first entry that it may not see.
    let missing = reached.newest().and_then(|newest| now.first_missing(newest));
    loop {
        // What was begun is finished first: its order is by its own snapshot.
        let is_new = reached.target.is_none();
        if is_new && missing.is_some() {
            return Ok(SyncPage { entries: Vec::new(), next: reached.clone(), more: false, reached });
        }
        let (target, after) = reached.target.take().unwrap_or_else(|| {
            (reached.home, reached.wal) = (feed::here(), wal);
            (now.clone(), BEGINNING)
        });
        let delta = Delta {
            criteria,
            base: reached.base.as_ref(),
            since: backend::pg_micros(reached.since),
            target: &target,
            end: missing.map_or(target.end(), |missing| missing.min(target.end())),
            after,
        };
        let mut entries = delta.read(limit + 1)?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        let done = SyncCursor { base: Some(target.clone()), target: None, ..reached.clone() };
        if entries.is_empty() && !is_new && missing.is_none() {
            reached = done;
            continue;
        }
        let last = entries.last().map_or(after, |last| last.position);
        reached.target = Some((target, last));
        let next = if more || missing.is_some() { reached.clone() } else { done };
        // What was committed meanwhile is for the next call: its positions may be smaller.
        let more = more || !is_new && missing.is_none();
        return Ok(SyncPage { entries, next, more, reached });
    }
}

/// Refuses a cursor, and what was read on from it, where a purge took what it had not delivered. Asked after
/// reading, by what is committed then: what goes meanwhile is noticed, too.
pub fn refuse_purged(cursor: &SyncCursor, page: &SyncPage, scope: &Scope) -> Result<(), AuditError> {
    // What every snapshot of the cursor saw is delivered.
    let first = cursor.base.as_ref().map_or(i64::MIN, |base| base.next_unseen(feed_number(base.epoch, 0)));
    let (only, but) = match scope {
        Scope::Only(ids) => (ids.as_slice(), &[][..]),
        Scope::AllBut(ids) => (&[][..], ids.as_slice()),
    };
    let lacks = |purged: Purged| cursor.lacks(&purged) || page.reached.lacks(&purged);
    let sql = include_str!("../../sql/queries/purged_feed.sql");
    let lacks_any = spi::select_latest(sql, &[Arg::of(Some(first)), texts(only), texts(but)], |rows| {
        Ok(rows.iter().any(|row| {
            lacks(Purged {
                feed: row.get(1).unwrap_or(i64::MAX),
                and_below: row.get(2).unwrap_or(true),
                by: row.get(3).unwrap_or(i64::MAX),
                newest: row.column(4).map_or(i64::MAX, |at| backend::unix_micros(at.number())),
            })
        }))
    })?;
    match lacks_any {
        false => Ok(()),
        true => Err(AuditError::new(
            Code::CursorExpired,
            "entries were purged that the cursor has not delivered",
            "Read more often than entries are purged, and begin anew: SELECT audit_log.sync_start(backfill_start_time => …).",
        )),
    }
}

/// Refuses a cursor that would leave something out.
fn check(cursor: &SyncCursor, epoch: i16) -> Result<(), AuditError> {
    let Some(newest) = cursor.newest() else { return Ok(()) };
    let known = match cursor.home == feed::here() && newest.epoch == epoch {
        // A standby may be behind the primary that the cursor is from.
        true => {
            (backend::is_standby() || newest.next <= backend::next_transaction())
                && backend::is_in_wal_history(cursor.wal.0, cursor.wal.1)
        }
        false => newest.epoch < epoch && feed::was_epoch_of(newest.epoch, cursor.home),
    };
    let is_near = cursor.home.0 == feed::here().0;
    if (known || is_near) && cursor.log != feed::log_identity()? {
        return Err(AuditError::sync_cursor("the cursor comes from another database's log"));
    }
    if known {
        return Ok(());
    }
    Err(AuditError::new(
        Code::CursorExpired,
        "the cursor knows transactions that this database has never had",
        "It comes from another database, or from before this one was set back. Begin anew: SELECT audit_log.sync_start(backfill_start_time => …).",
    ))
}
