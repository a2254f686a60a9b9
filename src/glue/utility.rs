//! Utility commands that the background worker must know of.

use std::cell::Cell;
use std::ffi::{c_char, CStr};

use pgrx::pg_sys;

use super::{backend, board, past_pgrx, version};

/// So long nobody works in a database that is about to be dropped, renamed, copied or moved.
const PAUSE: i64 = 15_000_000;

thread_local! {
    /// At commit the extension will be there, or gone.
    static ASKS: Cell<bool> = const { Cell::new(false) };
    /// At commit there may be other databases to be served.
    static WAKES: Cell<bool> = const { Cell::new(false) };
    /// At commit there will be what a prepared transaction wrote.
    static COMMITS_PREPARED: Cell<bool> = const { Cell::new(false) };
}

/// Before a command runs. Called where no guard of pgrx is around; holds nothing that an error would skip.
///
/// # Safety
/// `statement` is a command that is about to run.
pub unsafe fn before(statement: *mut pg_sys::PlannedStmt) {
    if board::places().is_empty() {
        return;
    }
    // SAFETY: by contract; a node says what it is.
    unsafe {
        let node = (*statement).utilityStmt;
        if node.is_null() {
            return;
        }
        match (*node).type_ {
            pg_sys::NodeTag::T_DropdbStmt => keep_out((*node.cast::<pg_sys::DropdbStmt>()).dbname),
            pg_sys::NodeTag::T_RenameStmt => {
                let rename = &*node.cast::<pg_sys::RenameStmt>();
                if rename.renameType == pg_sys::ObjectType::OBJECT_DATABASE {
                    WAKES.set(true);
                    keep_out(rename.subname);
                }
            }
            pg_sys::NodeTag::T_AlterDatabaseStmt => {
                let alter = &*node.cast::<pg_sys::AlterDatabaseStmt>();
                WAKES.set(true);
                if !option(alter.options, c"tablespace").is_null() {
                    keep_out(alter.dbname);
                }
            }
            pg_sys::NodeTag::T_TransactionStmt => {
                let kind = (*node.cast::<pg_sys::TransactionStmt>()).kind;
                if kind == pg_sys::TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED {
                    COMMITS_PREPARED.set(true);
                }
            }
            pg_sys::NodeTag::T_CreatedbStmt => {
                WAKES.set(true);
                keep_out(option((*node.cast::<pg_sys::CreatedbStmt>()).options, c"template"));
            }
            pg_sys::NodeTag::T_CreateExtensionStmt => {
                let name = (*node.cast::<pg_sys::CreateExtensionStmt>()).extname;
                if !name.is_null() && CStr::from_ptr(name) == c"audit_log" {
                    ASKS.set(true);
                }
            }
            _ => {}
        }
    }
}

/// # Safety
/// The name is NULL or terminated.
unsafe fn keep_out(name: *const c_char) {
    if name.is_null() {
        return;
    }
    // SAFETY: by contract; with missing_ok it raises no error for want of one.
    let database = unsafe { past_pgrx::get_database_oid(name, true) };
    // Whoever may not do it is refused, and keeps nobody out.
    if database != pg_sys::InvalidOid && version::owns_database(database) {
        board::keep_out(u32::from(database), backend::now_unix_micros() + PAUSE);
    }
}

/// What a command's option says; NULL where it is not given.
///
/// # Safety
/// The options are a command's.
unsafe fn option(options: *mut pg_sys::List, name: &CStr) -> *const c_char {
    // SAFETY: by contract a list of DefElem, which has a name.
    unsafe {
        let count = if options.is_null() { 0 } else { (*options).length as usize };
        for i in 0..count {
            let option = &*(*(*options).elements.add(i)).ptr_value.cast::<pg_sys::DefElem>();
            if CStr::from_ptr(option.defname) == name && !option.arg.is_null() {
                return past_pgrx::defGetString(std::ptr::from_ref(option).cast_mut());
            }
        }
    }
    std::ptr::null()
}

/// At the end of a transaction.
pub fn transaction_ended(committed: bool) {
    if ASKS.replace(false) && committed {
        board::ask();
    }
    if WAKES.replace(false) && committed {
        board::wake_launcher();
    }
    if COMMITS_PREPARED.replace(false) && committed {
        board::entries_came();
    }
}
