//! Callbacks of transactions and caches, as plain functions that may not fail.

use std::cell::Cell;

use pgrx::pg_sys;

/// What the rooms want to be told.
#[derive(Clone, Copy)]
pub struct Listeners {
    /// The transaction is about to commit or prepare; may still fail.
    pub before_commit: fn(),
    /// It ended; true where it committed for good.
    pub ended: fn(committed: bool),
    /// A savepoint was made, or an EXCEPTION block begun.
    pub subtransaction_began: fn(subtransaction: u32),
    /// It is about to be released; may still fail.
    pub before_subtransaction_commits: fn(subtransaction: u32, parent: u32),
    /// A savepoint was rolled back.
    pub subtransaction_aborted: fn(subtransaction: u32),
    /// A savepoint was released into its parent.
    pub subtransaction_committed: fn(subtransaction: u32, parent: u32),
    /// What is cached of a relation (None: of any) may be stale.
    pub relation_changed: fn(Option<pg_sys::Oid>),
}

thread_local! {
    static LISTENERS: Cell<Option<Listeners>> = const { Cell::new(None) };
}

/// Registers with PostgreSQL, once a process.
pub fn listen(listeners: Listeners) {
    if LISTENERS.replace(Some(listeners)).is_some() {
        return;
    }
    // SAFETY: the functions below live as long as the process and match the expected signatures.
    unsafe {
        pg_sys::RegisterXactCallback(Some(on_transaction), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(on_subtransaction), std::ptr::null_mut());
        pg_sys::CacheRegisterRelcacheCallback(Some(on_relation), pg_sys::Datum::from(0));
        // Renaming a schema or a role touches no relation's cache entry.
        for cache in [pg_sys::SysCacheIdentifier::NAMESPACEOID, pg_sys::SysCacheIdentifier::AUTHOID] {
            pg_sys::CacheRegisterSyscacheCallback(cache as i32, Some(on_catalog), pg_sys::Datum::from(0));
        }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_transaction(event: pg_sys::XactEvent::Type, _arg: *mut std::ffi::c_void) {
    use pg_sys::XactEvent::*;
    let Some(listeners) = LISTENERS.get() else { return };
    match event {
        XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE => (listeners.before_commit)(),
        XACT_EVENT_COMMIT => (listeners.ended)(true),
        // A prepared transaction may still roll back: what it wrote is not yet known for good.
        XACT_EVENT_ABORT | XACT_EVENT_PREPARE => (listeners.ended)(false),
        _ => {}
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_subtransaction(
    event: pg_sys::SubXactEvent::Type,
    mine: pg_sys::SubTransactionId,
    parent: pg_sys::SubTransactionId,
    _arg: *mut std::ffi::c_void,
) {
    let Some(listeners) = LISTENERS.get() else { return };
    match event {
        pg_sys::SubXactEvent::SUBXACT_EVENT_START_SUB => (listeners.subtransaction_began)(mine),
        pg_sys::SubXactEvent::SUBXACT_EVENT_PRE_COMMIT_SUB => {
            (listeners.before_subtransaction_commits)(mine, parent)
        }
        pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB => (listeners.subtransaction_aborted)(mine),
        pg_sys::SubXactEvent::SUBXACT_EVENT_COMMIT_SUB => (listeners.subtransaction_committed)(mine, parent),
        _ => {}
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_relation(_arg: pg_sys::Datum, relation: pg_sys::Oid) {
    if let Some(listeners) = LISTENERS.get() {
        (listeners.relation_changed)((relation != pg_sys::InvalidOid).then_some(relation));
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_catalog(_arg: pg_sys::Datum, _cache: i32, _hash: u32) {
    if let Some(listeners) = LISTENERS.get() {
        (listeners.relation_changed)(None);
    }
}
