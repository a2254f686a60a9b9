//! How deep the running statement is nested in others, and which savepoints were made inside one.

use std::cell::{Cell, RefCell};

/// How many statements are running, and how many of them are running their AFTER triggers.
#[derive(Clone, Copy, Default)]
struct Depth {
    running: u32,
    finishing: u32,
}

thread_local! {
    static DEPTH: Cell<Depth> = const { Cell::new(Depth { running: 0, finishing: 0 }) };
    /// A statement that this library was not yet there to see the beginning of runs, or did in this transaction.
    static LOADED_INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The savepoints and EXCEPTION blocks that are open, with the depth each began at: an error does not end
    /// the statements that it leaves, so this is where it comes back to.
    static SAVEPOINTS: RefCell<Vec<(u32, Depth)>> = const { RefCell::new(Vec::new()) };
}

/// What runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A query, or a utility command.
    Statement,
    /// The AFTER triggers of one.
    AfterTriggers,
}

/// To be given back when the part has ended; after an error it is not.
#[derive(Clone, Copy)]
pub struct Outer(Depth);

/// The library is loaded, mostly by a trigger: in the midst of a statement, if there is a transaction.
pub fn loaded(in_transaction: bool) {
    LOADED_INSIDE.set(in_transaction);
    DEPTH.set(Depth { running: in_transaction.into(), finishing: 0 });
}

/// A part of a statement begins.
pub fn enter(part: Part) -> Outer {
    let outer = DEPTH.get();
    let finishing = outer.finishing + u32::from(part == Part::AfterTriggers);
    DEPTH.set(Depth { running: outer.running + 1, finishing });
    Outer(outer)
}

pub fn leave(outer: Outer) {
    DEPTH.set(outer.0);
}

/// Whether no statement is around.
pub fn is_outermost() -> bool {
    DEPTH.get().running == 0
}

/// Whether what a statement captured may wait beyond its end: what triggers did is part of the statement that
/// fired them, and what was done after a savepoint of the same statement may not stay.
pub fn rows_may_wait() -> bool {
    let has_savepoint = || SAVEPOINTS.with_borrow(|all| all.last().is_some_and(|(_, at)| at.running > 0));
    !is_outermost() && (DEPTH.get().finishing > 0 || has_savepoint())
}

pub fn subtransaction_began(subtransaction: u32) {
    SAVEPOINTS.with_borrow_mut(|all| all.push((subtransaction, DEPTH.get())));
}

pub fn subtransaction_committed(subtransaction: u32) {
    end(subtransaction);
}

/// The statements that an error left are over, those around the savepoint are not.
pub fn subtransaction_aborted(subtransaction: u32) {
    DEPTH.set(end(subtransaction).unwrap_or_default());
}

/// None of a savepoint that was made before this library was loaded.
fn end(subtransaction: u32) -> Option<Depth> {
    SAVEPOINTS.with_borrow_mut(|all| {
        let place = all.iter().rposition(|(one, _)| *one == subtransaction)?;
        let depth = all[place].1;
        all.truncate(place);
        Some(depth)
    })
}

/// A procedure may commit and go on; after an error none is counted on until another statement begins.
pub fn transaction_ended(committed: bool) {
    SAVEPOINTS.with_borrow_mut(Vec::clear);
    if LOADED_INSIDE.replace(false) || !committed {
        DEPTH.set(Depth::default());
    }
}
