//! Rows on their way from one partition to another: their delete waits for their insert.

use std::cell::RefCell;
use std::rc::Rc;

use super::plan::Plan;
use crate::glue::backend;
use crate::glue::trigger::KeptRow;
use crate::store::context::Current;
use crate::store::stamp::Stamp;

/// The first half of a cross-partition update.
pub struct Moved {
    pub plan: Rc<Plan>,
    pub row: KeptRow,
    /// Taken when the row left, so that what triggers did meanwhile comes after it.
    pub stamp: Stamp,
    pub context: Rc<Current>,
    pub command: u32,
    depth: i32,
    subtransaction: u32,
}

thread_local! {
    static WAITING: RefCell<Vec<Moved>> = const { RefCell::new(Vec::new()) };
}

pub fn wait(plan: Rc<Plan>, row: KeptRow, stamp: Stamp, context: Rc<Current>, command: u32) {
    let (depth, subtransaction) = (backend::trigger_depth(), backend::subtransaction());
    let moved = Moved { plan, row, stamp, context, command, depth, subtransaction };
    WAITING.with_borrow_mut(|waiting| waiting.push(moved));
}

/// The row that an insert at this depth of nesting brings to its new place, if one waits for it.
pub fn take_partner(
    plan: &Plan,
    depth: i32,
    command: Option<u32>,
    is_same_row: impl FnOnce(&Moved) -> bool,
) -> Option<Moved> {
    let fits = |left: &mut Moved| {
        left.depth == depth
            && left.plan.watch.root == plan.watch.root
            && command.is_none_or(|command| command == left.command)
    };
    let left = WAITING.with_borrow_mut(|waiting| waiting.pop_if(fits))?;
    // Not while it is borrowed: comparing calls functions of types.
    if is_same_row(&left) {
        return Some(left);
    }
    WAITING.with_borrow_mut(|waiting| waiting.push(left));
    None
}

/// What waits at this depth of nesting or deeper, the innermost first: its statement is over, or
/// has gone on to other rows. Triggers nested in an outer statement leave the outer one's row alone.
pub fn take_at(depth: i32) -> Option<Moved> {
    WAITING.with_borrow_mut(|waiting| waiting.pop_if(|moved| moved.depth >= depth))
}

pub fn is_empty() -> bool {
    WAITING.with_borrow(Vec::is_empty)
}

pub fn subtransaction_aborted(subtransaction: u32) {
    WAITING.with_borrow_mut(|waiting| waiting.retain(|moved| moved.subtransaction != subtransaction));
}

pub fn subtransaction_committed(subtransaction: u32, parent: u32) {
    WAITING.with_borrow_mut(|waiting| {
        for moved in waiting.iter_mut().filter(|m| m.subtransaction == subtransaction) {
            moved.subtransaction = parent;
        }
    });
}

pub fn forget() {
    WAITING.with_borrow_mut(Vec::clear);
}
