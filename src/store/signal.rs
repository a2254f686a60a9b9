//! How long what was read may be used: until its table changes, or until what wrote it is rolled back.

use std::cell::Cell;
use std::ffi::CStr;

use pgrx::pg_sys;

use crate::glue::backend;

/// Tells when what is known of a table is to be forgotten: whatever changes such a table announces that at
/// commit to every session, as a change of its relation.
pub struct Signal {
    table: &'static CStr,
    relation: Cell<Option<pg_sys::Oid>>,
    changes: Cell<u64>,
}

/// A moment at which reading began; None where there was nothing to read.
#[derive(Clone, Copy)]
pub struct Moment(Option<u64>);

impl Signal {
    pub const fn of(table: &'static CStr) -> Self {
        Signal { table, relation: Cell::new(None), changes: Cell::new(0) }
    }

    /// To be asked before the table is read: a change that arrives meanwhile is then noticed.
    pub fn now(&self) -> Moment {
        if self.relation.get().is_none() {
            self.relation.set(backend::relation_oid(self.table));
        }
        Moment(self.relation.get().map(|_| self.changes.get()))
    }

    /// Whether what was read since a moment may be kept.
    pub fn is_unchanged_since(&self, moment: Moment) -> bool {
        moment.0 == Some(self.changes.get())
    }

    /// Whether the change of a relation, or of whatever, means that all is to be forgotten.
    pub fn relation_changed(&self, relation: Option<pg_sys::Oid>) -> bool {
        let concerns = relation.is_none() || relation == self.relation.get();
        if concerns {
            self.changes.set(self.changes.get() + 1);
            // The table may be gone, and another one in its place.
            self.relation.set(None);
        }
        concerns
    }
}

/// Whose word it is that something was read from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It is committed.
    Everybodys,
    /// This transaction wrote it; with this subtransaction it may be rolled back.
    Own(u32),
}

/// What became of a transaction or a part of it.
#[derive(Clone, Copy)]
pub enum Fate {
    /// Committed for good, or rolled back; a prepared transaction may still roll back.
    Ended {
        committed: bool,
    },
    SubtransactionAborted(u32),
    SubtransactionCommitted {
        subtransaction: u32,
        parent: u32,
    },
}

impl Word {
    /// Of what was just read: the running subtransaction, or one that outlives it, wrote it.
    pub fn just_read(is_own: bool) -> Self {
        match is_own {
            true => Word::Own(backend::subtransaction()),
            false => Word::Everybodys,
        }
    }

    /// Whether it still holds.
    pub fn outlives(&mut self, fate: Fate) -> bool {
        let Word::Own(owner) = *self else { return true };
        match fate {
            Fate::Ended { committed } => {
                *self = Word::Everybodys;
                committed
            }
            Fate::SubtransactionAborted(aborted) => owner != aborted,
            Fate::SubtransactionCommitted { subtransaction, parent } => {
                if owner == subtransaction {
                    *self = Word::Own(parent);
                }
                true
            }
        }
    }
}
