//! The trigger that watches a table, as the relation cache has it: what is committed now and what this
//! transaction did, whatever snapshot the transaction reads by.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::trigger::TriggerCall;
use super::{backend, past_pgrx};

/// A watched table, found from it or from a partition of it.
pub struct WatchTrigger {
    /// The watched table; of a partition its topmost watched parent.
    pub root: pg_sys::Oid,
    /// The trigger's argument.
    pub options: String,
    /// Whether the watched table is a partition itself: rows then come from, and go, elsewhere.
    pub root_is_partition: bool,
}

/// The watch that a row trigger is: its options are those it was fired with.
pub fn of_call(call: &TriggerCall) -> Option<WatchTrigger> {
    let relation = call.relation();
    let tree = [vec![relation], ancestors(relation)].concat();
    // The topmost of the tables above that have the trigger: a partition's is a copy.
    let root = tree.iter().copied().take_while(|one| *one == relation || options_of(*one).is_some()).last();
    let root = root.unwrap_or(relation);
    Some(WatchTrigger { root, options: call.argument()?, root_is_partition: backend::is_partition(root) })
}

/// The watch of a table, or of the watched table that it is a partition of.
pub fn of_relation(relation: pg_sys::Oid) -> Option<WatchTrigger> {
    let tree = [vec![relation], ancestors(relation)].concat();
    let mut watched = tree.into_iter().filter_map(|one| Some((one, options_of(one)?)));
    let (root, options) = watched.next_back()?;
    Some(WatchTrigger { root, options, root_is_partition: backend::is_partition(root) })
}

/// Whether a table is watched, by itself or as a partition.
pub fn is_watched(relation: pg_sys::Oid) -> bool {
    of_relation(relation).is_some()
}

/// The tables a partition belongs to, the nearest first.
pub fn ancestors(relation: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    if !backend::is_partition(relation) {
        return Vec::new();
    }
    // SAFETY: a look-up in the catalog, under a guard; the list is of oids.
    unsafe {
        let list = pg_sys::ffi::pg_guard_ffi_boundary(|| past_pgrx::get_partition_ancestors(relation));
        pgrx::PgList::<pg_sys::Oid>::from_pg(list).iter_oid().collect()
    }
}

/// The argument of a table's capture trigger, where it has one.
fn options_of(relation: pg_sys::Oid) -> Option<String> {
    let capture = capture_function()?;
    // No lock is taken: who writes to a partition has none on its parents, and whoever alters these waits for it.
    // SAFETY: the relation's cache entry is pinned while it is looked at; nothing is changed.
    unsafe {
        let relation = pg_sys::RelationIdGetRelation(relation);
        if relation.is_null() {
            return None;
        }
        let triggers = (*relation).trigdesc;
        let found = (!triggers.is_null()).then(|| {
            let all = std::slice::from_raw_parts((*triggers).triggers, (*triggers).numtriggers as usize);
            all.iter().find(|one| one.tgfoid == capture && one.tgnargs == 1).map(|one| argument(one))
        });
        pg_sys::RelationClose(relation);
        found.flatten()
    }
}

/// # Safety
/// The trigger has an argument.
pub(super) unsafe fn argument(trigger: &pg_sys::Trigger) -> String {
    // SAFETY: by contract; arguments are terminated.
    unsafe { CStr::from_ptr(*trigger.tgargs).to_string_lossy().into_owned() }
}

/// The oid of `audit_log.capture()`.
fn capture_function() -> Option<pg_sys::Oid> {
    // SAFETY: look-ups by terminated names and an empty list of types.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"audit_log".as_ptr(), true);
        let found = pg_sys::GetSysCacheOid(
            pg_sys::SysCacheIdentifier::PROCNAMEARGSNSP as i32,
            pg_sys::Anum_pg_proc_oid as i16,
            pg_sys::Datum::from(c"capture".as_ptr()),
            pg_sys::Datum::from(pg_sys::buildoidvector(std::ptr::null(), 0)),
            pg_sys::Datum::from(schema),
            pg_sys::Datum::from(0),
        );
        (found != pg_sys::InvalidOid).then_some(found)
    }
}
