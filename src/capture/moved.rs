//! Rows on their way from one partition to another: their delete waits for their insert.

use std::cell::RefCell;
use std::rc::Rc;

use super::plan::Plan;
use crate::glue::backend;
use crate::glue::trigger::KeptRow;

/// The first half of a cross-partition update.
pub struct Moved {
    pub plan: Rc<Plan>,
    pub row: KeptRow,
    depth: i32,
    subtransaction: u32,
}

thread_local! {
    static WAITING: RefCell<Vec<Moved>> = const { RefCell::new(Vec::new()) };
}

pub fn wait(plan: Rc<Plan>, row: KeptRow) {
    let moved =
        Moved { plan, row, depth: backend::trigger_depth(), subtransaction: backend::subtransaction() };
    WAITING.with_borrow_mut(|waiting| waiting.push(moved));
}

/// What waits at this depth of nesting or deeper: the innermost first. Triggers nested in the
/// outer statement leave the outer one's row waiting.
pub fn take_at(depth: i32) -> Option<Moved> {
    WAITING.with_borrow_mut(|waiting| waiting.pop_if(|moved| moved.depth >= depth))
}

pub fn subtransaction_aborted(subtransaction: u32) {
    WAITING.with_borrow_mut(|waiting| waiting.retain(|m| m.subtransaction != subtransaction));
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
