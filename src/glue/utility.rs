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

/// Whether a command may itself read tables; what DO and CALL run are queries and commands of their own. Called where no
/// guard of pgrx is around.
///
/// # Safety
/// `statement` is a command that is about to run.
pub unsafe fn may_read(statement: *mut pg_sys::PlannedStmt) -> bool {
    // SAFETY: by contract; a node says what it is.
    let node = unsafe { (*statement).utilityStmt };
    // SAFETY: as above.
    let kind = (!node.is_null()).then(|| unsafe { (*node).type_ });
    !matches!(
        kind,
        Some(
            pg_sys::NodeTag::T_DoStmt
                | pg_sys::NodeTag::T_CallStmt
                | pg_sys::NodeTag::T_VariableSetStmt
                | pg_sys::NodeTag::T_VariableShowStmt
                | pg_sys::NodeTag::T_NotifyStmt
        )
    )
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
            pg_sys::NodeTag::T_DropdbStmt => keep_out(name(&(*node.cast::<pg_sys::DropdbStmt>()).dbname)),
            pg_sys::NodeTag::T_RenameStmt => {
                let rename = &*node.cast::<pg_sys::RenameStmt>();
                if rename.renameType == pg_sys::ObjectType::OBJECT_DATABASE {
                    WAKES.set(true);
                    keep_out(name(&rename.subname));
                }
            }
            pg_sys::NodeTag::T_AlterDatabaseStmt => {
                let alter = &*node.cast::<pg_sys::AlterDatabaseStmt>();
                WAKES.set(true);
                if option(&alter.options, c"tablespace").is_some() {
                    keep_out(name(&alter.dbname));
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
                keep_out(option(&(*node.cast::<pg_sys::CreatedbStmt>()).options, c"template"));
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

/// What a node has as a name.
///
/// # Safety
/// The pointer is NULL or to a terminated string of the node's.
unsafe fn name(of_node: &*mut c_char) -> Option<&CStr> {
    // SAFETY: by contract.
    (!of_node.is_null()).then(|| unsafe { CStr::from_ptr(*of_node) })
}

fn keep_out(name: Option<&CStr>) {
    let Some(name) = name else { return };
    // SAFETY: a terminated string; with missing_ok it raises no error for want of one.
    let database = unsafe { past_pgrx::get_database_oid(name.as_ptr(), true) };
    // Whoever may not do it is refused, and keeps nobody out.
    if database != pg_sys::InvalidOid && version::owns_database(database) {
        board::keep_out(u32::from(database), backend::now_unix_micros() + PAUSE);
    }
}

/// What a command's option says, where it is given.
///
/// # Safety
/// The options are a command's, which lives as long as the memory that is current.
unsafe fn option<'a>(options: &'a *mut pg_sys::List, name: &CStr) -> Option<&'a CStr> {
    // SAFETY: by contract a list of DefElem, which has a name.
    unsafe {
        let count = if options.is_null() { 0 } else { (**options).length as usize };
        for i in 0..count {
            let option = &*(*(**options).elements.add(i)).ptr_value.cast::<pg_sys::DefElem>();
            if CStr::from_ptr(option.defname) == name && !option.arg.is_null() {
                let text = past_pgrx::defGetString(std::ptr::from_ref(option).cast_mut());
                return Some(CStr::from_ptr(text));
            }
        }
    }
    None
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
