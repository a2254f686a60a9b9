//! A DDL event trigger's call.

use std::ffi::{c_char, CStr};

use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::alter_table::{self, Alteration};
use super::version;

/// The call of an event trigger function, while it runs.
pub struct EventTriggerCall<'a>(&'a pg_sys::EventTriggerData);

/// When an event trigger fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    CommandStart,
    CommandEnd,
    Drop,
    Other,
}

/// A table that a command is about to make a partition of another.
pub struct Attach {
    pub parent: pg_sys::Oid,
    pub partition: pg_sys::Oid,
}

impl EventTriggerCall<'_> {
    /// # Safety
    /// `fcinfo` is the call PostgreSQL made, which goes on as long as what is returned.
    pub unsafe fn from_call(fcinfo: pg_sys::FunctionCallInfo) -> Result<Self, AuditError> {
        // SAFETY: by contract; the context, where there is one, is a node.
        unsafe {
            let node = (*fcinfo).context;
            if node.is_null() || (*node).type_ != pg_sys::NodeTag::T_EventTriggerData {
                return Err(AuditError::internal(
                    "an event trigger function was not called by an event trigger",
                ));
            }
            Ok(EventTriggerCall(&*node.cast()))
        }
    }

    pub fn event(&self) -> Event {
        // SAFETY: the event's name is terminated.
        match unsafe { CStr::from_ptr(self.0.event) }.to_bytes() {
            b"ddl_command_start" => Event::CommandStart,
            b"ddl_command_end" => Event::CommandEnd,
            b"sql_drop" => Event::Drop,
            _ => Event::Other,
        }
    }

    /// The command's tag, like `ALTER TABLE`.
    pub fn tag(&self) -> String {
        // SAFETY: PostgreSQL's own names, which are terminated.
        unsafe { text(pg_sys::GetCommandTagName(self.0.tag)) }
    }

    /// What the command says it does to a table, as far as a watch is concerned.
    pub fn alteration(&self) -> Alteration {
        // SAFETY: the tree is the command's, and each node is of the type its tag says.
        unsafe {
            let tree = self.0.parsetree;
            if tree.is_null() {
                return Alteration::default();
            }
            let adds = match (*tree).type_ {
                pg_sys::NodeTag::T_CreateStmt => !(*tree.cast::<pg_sys::CreateStmt>()).partbound.is_null(),
                pg_sys::NodeTag::T_CreateForeignTableStmt => {
                    !(*tree.cast::<pg_sys::CreateForeignTableStmt>()).base.partbound.is_null()
                }
                pg_sys::NodeTag::T_CreateSchemaStmt => {
                    !(*tree.cast::<pg_sys::CreateSchemaStmt>()).schemaElts.is_null()
                }
                pg_sys::NodeTag::T_AlterTableStmt => {
                    return alter_table::of_commands((*tree.cast::<pg_sys::AlterTableStmt>()).cmds);
                }
                _ => false,
            };
            Alteration { adds_partition: adds, ..Alteration::default() }
        }
    }

    /// Whether the command makes a table that is no partition: no watch can be about it.
    pub fn makes_plain_table(&self) -> bool {
        // SAFETY: as in `alteration`.
        unsafe {
            let tree = self.0.parsetree;
            !tree.is_null()
                && (*tree).type_ == pg_sys::NodeTag::T_CreateStmt
                && (*tree.cast::<pg_sys::CreateStmt>()).partbound.is_null()
        }
    }

    /// The tables of an ALTER TABLE … ATTACH PARTITION, where the caller owns both; the command itself
    /// refuses others.
    pub fn attach(&self) -> Option<Attach> {
        // SAFETY: as in `alteration`; names that are not there give no oid.
        unsafe {
            let tree = self.0.parsetree;
            if tree.is_null() || (*tree).type_ != pg_sys::NodeTag::T_AlterTableStmt {
                return None;
            }
            let statement = &*tree.cast::<pg_sys::AlterTableStmt>();
            let partition = alter_table::attached(statement.cmds)?;
            let oid = |name: *const pg_sys::RangeVar| {
                let flags = pg_sys::RVROption::RVR_MISSING_OK;
                let no_lock = pg_sys::NoLock as i32;
                let oid = pg_sys::RangeVarGetRelidExtended(name, no_lock, flags, None, std::ptr::null_mut());
                (oid != pg_sys::InvalidOid && version::owns_relation(oid)).then_some(oid)
            };
            Some(Attach { parent: oid(statement.relation)?, partition: oid(partition)? })
        }
    }
}

/// # Safety
/// NULL or terminated.
pub(super) unsafe fn text(name: *const c_char) -> String {
    if name.is_null() {
        return String::new();
    }
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(name).to_string_lossy().into_owned() }
}

/// Whether pg_upgrade is putting the schema together.
pub fn in_binary_upgrade() -> bool {
    // SAFETY: a plain variable.
    unsafe { pg_sys::IsBinaryUpgrade }
}
