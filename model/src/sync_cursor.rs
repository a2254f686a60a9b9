//! The sync cursor: what a reader has, told by the snapshots it was read under.
//!
//! Text form (`cursor_text`): `home | log | wal | scope | since | base | target`; optional parts begin with
//! a byte that says whether they are there. Numbers are big-endian, a snapshot's transactions distances
//! from its first.

use crate::cursor_text::{self, Fault};
use crate::snapshot::Snapshot;
use crate::AuditError;

const KIND_SYNC: u8 = b'S';
const VERSION: u8 = 1;

/// A place in the feed's order: feed number and event id.
pub type Position = (i64, [u8; 16]);

/// What a reader has: all that `base` saw, and of what `target` saw besides all up to a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncCursor {
    /// The cluster, and its database, whose transactions the snapshots know.
    pub home: (i64, u32),
    /// The log it is of.
    pub log: [u8; 16],
    /// Timeline and position of that cluster's log when the newest snapshot was taken.
    pub wal: (u32, u64),
    /// A hash of what the entries are limited to; None before the first call.
    pub scope: Option<[u8; 8]>,
    /// Without a `base`, only entries from this instant on are wanted, Unix microseconds.
    pub since: i64,
    pub base: Option<Snapshot>,
    pub target: Option<(Snapshot, Position)>,
}

impl SyncCursor {
    /// The snapshot that saw most.
    pub fn newest(&self) -> Option<&Snapshot> {
        self.target.as_ref().map(|(target, _)| target).or(self.base.as_ref())
    }

    pub fn encode(&self) -> String {
        let mut bytes = Vec::new();
        bytes.extend(self.home.0.to_be_bytes());
        bytes.extend(self.home.1.to_be_bytes());
        bytes.extend(self.log);
        bytes.extend(self.wal.0.to_be_bytes());
        bytes.extend(self.wal.1.to_be_bytes());
        bytes.push(self.scope.is_some().into());
        bytes.extend(self.scope.iter().flatten());
        bytes.extend(self.since.to_be_bytes());
        bytes.push(self.base.is_some().into());
        if let Some(base) = &self.base {
            put_snapshot(&mut bytes, base);
        }
        bytes.push(self.target.is_some().into());
        if let Some((target, (number, id))) = &self.target {
            put_snapshot(&mut bytes, target);
            bytes.extend(number.to_be_bytes());
            bytes.extend(id);
        }
        cursor_text::seal(KIND_SYNC, VERSION, &bytes)
    }

    /// Decodes what `encode` made; anything else is `cursor_invalid`.
    pub fn decode(text: &str) -> Result<Self, AuditError> {
        let refused = |fault: Fault| AuditError::sync_cursor(fault.text("sync_start or sync"));
        let body = cursor_text::open(KIND_SYNC, VERSION, text).map_err(refused)?;
        let mut rest = Rest(&body);
        rest.cursor().filter(|_| rest.0.is_empty()).ok_or_else(|| refused(Fault::Damaged))
    }
}

fn put_snapshot(bytes: &mut Vec<u8>, snapshot: &Snapshot) {
    let first = snapshot.in_progress.first().copied().unwrap_or(snapshot.next);
    let distance = |one: u64| ((one - first) as u32).to_be_bytes();
    bytes.extend(snapshot.epoch.to_be_bytes());
    bytes.extend(first.to_be_bytes());
    bytes.extend(distance(snapshot.next));
    bytes.extend((snapshot.in_progress.len() as u32).to_be_bytes());
    bytes.extend(snapshot.in_progress.iter().flat_map(|one| distance(*one)));
}

/// Bytes that are still to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn is_there(&mut self) -> Option<bool> {
        match self.take()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn snapshot(&mut self) -> Option<Snapshot> {
        let epoch = i16::from_be_bytes(self.take()?);
        let first = u64::from_be_bytes(self.take()?);
        let transaction = |rest: &mut Self| first.checked_add(u32::from_be_bytes(rest.take()?).into());
        let next = transaction(self)?;
        let count = u32::from_be_bytes(self.take()?);
        // Not more than there can be, whatever the number says.
        let in_progress = (0..count).map(|_| transaction(self)).collect::<Option<Vec<_>>>()?;
        let in_order = in_progress.windows(2).all(|two| two[0] < two[1]);
        (in_order && in_progress.last().is_none_or(|last| *last < next)).then_some(Snapshot {
            epoch,
            next,
            in_progress,
        })
    }

    fn cursor(&mut self) -> Option<SyncCursor> {
        Some(SyncCursor {
            home: (i64::from_be_bytes(self.take()?), u32::from_be_bytes(self.take()?)),
            log: self.take()?,
            wal: (u32::from_be_bytes(self.take()?), u64::from_be_bytes(self.take()?)),
            scope: if self.is_there()? { Some(self.take()?) } else { None },
            since: i64::from_be_bytes(self.take()?),
            base: if self.is_there()? { Some(self.snapshot()?) } else { None },
            target: match self.is_there()? {
                true => Some((self.snapshot()?, (i64::from_be_bytes(self.take()?), self.take()?))),
                false => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn any_snapshot()(
            epoch in 0..100_i16, first in 0..(1_u64 << 47),
            distances in proptest::collection::btree_set(0..1000_u64, 0..20), beyond in 0..1000_u64,
        ) -> Snapshot {
            let in_progress: Vec<u64> = distances.iter().map(|d| first + d).collect();
            let next = in_progress.last().map_or(first, |last| last + 1) + beyond;
            Snapshot { epoch, next, in_progress }
        }
    }

    prop_compose! {
        fn any_cursor()(
            home in any::<(i64, u32)>(), log in any::<[u8; 16]>(), wal in any::<(u32, u64)>(), scope in any::<Option<[u8; 8]>>(), since in any::<i64>(),
            base in proptest::option::of(any_snapshot()),
            target in proptest::option::of((any_snapshot(), (any::<i64>(), any::<[u8; 16]>()))),
        ) -> SyncCursor {
            SyncCursor { home, log, wal, scope, since, base, target }
        }
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back(cursor in any_cursor()) {
            prop_assert_eq!(SyncCursor::decode(&cursor.encode()), Ok(cursor));
        }

        #[test]
        fn any_change_is_noticed(cursor in any_cursor(), at in any::<usize>(), with in "[A-Za-z0-9_-]") {
            let text = cursor.encode();
            let at = at % text.len();
            let mut other = text.clone();
            other.replace_range(at..=at, &with);
            prop_assume!(other != text);
            prop_assert!(SyncCursor::decode(&other).is_err());
        }

        #[test]
        fn no_text_at_all_panics_or_passes(text in ".{0,200}") {
            prop_assert!(SyncCursor::decode(&text).is_err());
        }

        #[test]
        fn bytes_with_the_right_checksum_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = SyncCursor::decode(&cursor_text::seal(KIND_SYNC, VERSION, &bytes));
        }
    }
}
