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

use super::past_pgrx;

/// What the rooms want to be told.
#[derive(Clone, Copy)]
pub struct Watchers {
    /// A query is about to start.
    pub query_starts: fn(),
    /// A statement has ended, its AFTER triggers included.
    pub statement_ended: fn(),
    /// Whether there is anything to tell; asked at every query.
    pub is_waiting: fn() -> bool,
}

thread_local! {
    static WATCHERS: Cell<Option<Watchers>> = const { Cell::new(None) };
    static PREVIOUS_START: Cell<pg_sys::ExecutorStart_hook_type> = const { Cell::new(None) };
    static PREVIOUS_FINISH: Cell<pg_sys::ExecutorFinish_hook_type> = const { Cell::new(None) };
    static PREVIOUS_UTILITY: Cell<pg_sys::ProcessUtility_hook_type> = const { Cell::new(None) };
    /// How many statements are running whose end these hooks will see; too few after an error.
    static RUNNING: Cell<u32> = const { Cell::new(0) };
}

/// Puts the hooks in, once a process; those that are there already are called from them.
pub fn install(watchers: Watchers) {
    if WATCHERS.replace(Some(watchers)).is_some() {
        return;
    }
    // SAFETY: the hooks live as long as the process, which has one thread.
    unsafe {
        PREVIOUS_START.set(pg_sys::ExecutorStart_hook);
        PREVIOUS_FINISH.set(pg_sys::ExecutorFinish_hook);
        PREVIOUS_UTILITY.set(pg_sys::ProcessUtility_hook);
        pg_sys::ExecutorStart_hook = Some(executor_start);
        pg_sys::ExecutorFinish_hook = Some(executor_finish);
        pg_sys::ProcessUtility_hook = Some(process_utility);
    }
}

/// Whether a statement is running whose end the hooks will see: what waits for it may wait.
pub fn end_will_be_seen() -> bool {
    RUNNING.get() > 0
}

/// An error skipped the ends of statements: none is counted on until another begins.
pub fn aborted() {
    RUNNING.set(0);
}

fn begin() -> u32 {
    let outer = RUNNING.get();
    RUNNING.set(outer + 1);
    outer
}

fn end(outer: u32) {
    RUNNING.set(outer);
    if is_waiting() {
        // SAFETY: takes nothing.
        unsafe { tell_statement_ended() };
    }
}

fn is_waiting() -> bool {
    WATCHERS.get().is_some_and(|w| (w.is_waiting)())
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn tell_query_starts() {
    if let Some(watchers) = WATCHERS.get() {
        (watchers.query_starts)();
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn tell_statement_ended() {
    if let Some(watchers) = WATCHERS.get() {
        (watchers.statement_ended)();
    }
}

unsafe extern "C-unwind" fn executor_start(query: *mut QueryDesc, flags: i32) {
    // SAFETY: the call is PostgreSQL's own, passed on.
    unsafe {
        if is_waiting() {
            tell_query_starts();
        }
        match PREVIOUS_START.get() {
            Some(hook) => hook(query, flags),
            None => past_pgrx::standard_ExecutorStart(query, flags),
        }
    }
}

unsafe extern "C-unwind" fn executor_finish(query: *mut QueryDesc) {
    let outer = begin();
    // SAFETY: the call is PostgreSQL's own, passed on.
    unsafe {
        match PREVIOUS_FINISH.get() {
            Some(hook) => hook(query),
            None => past_pgrx::standard_ExecutorFinish(query),
        }
    }
    end(outer);
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
    let outer = begin();
    // SAFETY: the call is PostgreSQL's own, passed on.
    unsafe {
        match PREVIOUS_UTILITY.get() {
            Some(hook) => {
                hook(statement, text, read_only, context, params, environment, receiver, completion)
            }
            None => past_pgrx::standard_ProcessUtility(
                statement,
                text,
                read_only,
                context,
                params,
                environment,
                receiver,
                completion,
            ),
        }
    }
    end(outer);
}
