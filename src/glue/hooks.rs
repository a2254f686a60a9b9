//! Where statements begin and end: hooks around the executor and utility commands.
//!
//! An error of the statement must pass as it is, with its constraint's name and whatever code it
//! has: the hooks call PostgreSQL past pgrx, which would translate it, and hold nothing that would
//! have to be dropped on the way.

use std::cell::Cell;
use std::ffi::c_char;

use pg_sys::{
    DestReceiver, ParamListInfo, PlannedStmt, ProcessUtilityContext, QueryCompletion, QueryDesc,
    QueryEnvironment,
};
use pgrx::pg_sys;

use super::nesting::{self, Part};
use super::{past_pgrx, utility, version};

/// Who has something to write before a query can read it, and when its statement ends.
#[derive(Clone, Copy)]
pub struct Watchers {
    /// Asked at every query.
    pub is_waiting: fn() -> bool,
    /// Whether a relation is one that is written to; holds nothing across a call that may raise.
    pub is_written: fn(pg_sys::Oid) -> bool,
    /// May raise an error, which is then the statement's.
    pub write: fn(),
}

thread_local! {
    static WATCHERS: Cell<Option<Watchers>> = const { Cell::new(None) };
    static PREVIOUS_START: Cell<pg_sys::ExecutorStart_hook_type> = const { Cell::new(None) };
    static PREVIOUS_RUN: Cell<pg_sys::ExecutorRun_hook_type> = const { Cell::new(None) };
    static PREVIOUS_FINISH: Cell<pg_sys::ExecutorFinish_hook_type> = const { Cell::new(None) };
    static PREVIOUS_END: Cell<pg_sys::ExecutorEnd_hook_type> = const { Cell::new(None) };
    static PREVIOUS_UTILITY: Cell<pg_sys::ProcessUtility_hook_type> = const { Cell::new(None) };
}

/// Puts the hooks in, once a process; those that are there already are called from them.
pub fn install(watchers: Watchers) {
    if WATCHERS.replace(Some(watchers)).is_some() {
        return;
    }
    // SAFETY: the hooks live as long as the process, which has one thread.
    unsafe {
        PREVIOUS_START.set(pg_sys::ExecutorStart_hook);
        PREVIOUS_RUN.set(pg_sys::ExecutorRun_hook);
        PREVIOUS_FINISH.set(pg_sys::ExecutorFinish_hook);
        PREVIOUS_END.set(pg_sys::ExecutorEnd_hook);
        PREVIOUS_UTILITY.set(pg_sys::ProcessUtility_hook);
        pg_sys::ExecutorStart_hook = Some(executor_start);
        pg_sys::ExecutorRun_hook = Some(version::executor_run);
        pg_sys::ExecutorFinish_hook = Some(executor_finish);
        pg_sys::ExecutorEnd_hook = Some(executor_end);
        pg_sys::ProcessUtility_hook = Some(process_utility);
    }
}

/// Who was there before to run queries.
pub fn previous_run() -> pg_sys::ExecutorRun_hook_type {
    PREVIOUS_RUN.get()
}

fn is_waiting() -> bool {
    WATCHERS.get().is_some_and(|w| (w.is_waiting)())
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn tell() {
    if let Some(watchers) = WATCHERS.get() {
        (watchers.write)();
    }
}

fn tell_if_waiting() {
    if is_waiting() {
        // SAFETY: takes nothing.
        unsafe { tell() };
    }
}

/// Whether a query names a table of the log. What a function reads that it calls is a query of its
/// own.
///
/// # Safety
/// `query` is a query that is about to start.
unsafe fn reads_log(query: *mut QueryDesc) -> bool {
    let Some(watchers) = WATCHERS.get() else { return false };
    // SAFETY: by contract; the list is of oids and stays the plan's.
    unsafe {
        let relations = (*(*query).plannedstmt).relationOids;
        let count = if relations.is_null() { 0 } else { (*relations).length as usize };
        (0..count).any(|i| (watchers.is_written)((*(*relations).elements.add(i)).oid_value))
    }
}

unsafe extern "C-unwind" fn executor_start(query: *mut QueryDesc, flags: i32) {
    // SAFETY: the call is PostgreSQL's own, passed on.
    unsafe {
        if is_waiting() && reads_log(query) {
            tell();
        }
        PREVIOUS_START.get().unwrap_or(past_pgrx::standard_ExecutorStart)(query, flags);
    }
}

unsafe extern "C-unwind" fn executor_finish(query: *mut QueryDesc) {
    let outer = nesting::enter(Part::AfterTriggers);
    // SAFETY: the call is PostgreSQL's own, passed on.
    unsafe { PREVIOUS_FINISH.get().unwrap_or(past_pgrx::standard_ExecutorFinish)(query) };
    nesting::leave(outer);
    if !nesting::rows_may_wait() {
        tell_if_waiting();
    }
}

/// Only for a statement that has loaded this library by firing its first trigger.
unsafe extern "C-unwind" fn executor_end(query: *mut QueryDesc) {
    if !nesting::rows_may_wait() {
        tell_if_waiting();
    }
    // SAFETY: the call is PostgreSQL's own, passed on.
    unsafe { PREVIOUS_END.get().unwrap_or(past_pgrx::standard_ExecutorEnd)(query) };
}

#[allow(clippy::too_many_arguments)] // PostgreSQL's signature.
unsafe extern "C-unwind" fn process_utility(
    statement: *mut PlannedStmt,
    text: *const c_char,
    read_only: bool,
    context: ProcessUtilityContext::Type,
    params: ParamListInfo,
    environment: *mut QueryEnvironment,
    receiver: *mut DestReceiver,
    completion: *mut QueryCompletion,
) {
    // SAFETY: the command is about to run.
    unsafe {
        if utility::may_read(statement) {
            tell_if_waiting();
        }
        utility::before(statement);
    }
    let run = PREVIOUS_UTILITY.get().unwrap_or(past_pgrx::standard_ProcessUtility);
    let outer = nesting::enter(Part::Statement);
    // SAFETY: the call is PostgreSQL's own, passed on.
    unsafe { run(statement, text, read_only, context, params, environment, receiver, completion) };
    nesting::leave(outer);
    if !nesting::rows_may_wait() {
        tell_if_waiting();
    }
}
