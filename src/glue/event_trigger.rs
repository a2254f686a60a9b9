//! A DDL event trigger's call.

use audit_log_model::AuditError;
use pgrx::pg_sys;

/// The call of an event trigger function, valid while it runs.
pub struct EventTriggerCall {
    data: *mut pg_sys::EventTriggerData,
}

impl EventTriggerCall {
    /// # Safety
    /// `fcinfo` is the call PostgreSQL made.
    pub unsafe fn from_call(fcinfo: pg_sys::FunctionCallInfo) -> Result<Self, AuditError> {
        // SAFETY: by contract; the context, where there is one, is a node.
        unsafe {
            let node = (*fcinfo).context;
            if node.is_null() || (*node).type_ != pg_sys::NodeTag::T_EventTriggerData {
                return Err(AuditError::internal(
                    "an event trigger function was not called by an event trigger",
                ));
            }
            Ok(EventTriggerCall { data: node.cast() })
        }
    }

    /// What the command does to partitioned tables, as far as the watch of one is concerned.
    pub fn partition_change(&self) -> PartitionChange {
        // SAFETY: the tree is the command's, and each node is of the type its tag says.
        unsafe {
            let tree = (*self.data).parsetree;
            if tree.is_null() {
                return PartitionChange::None;
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
                    return alter_table((*tree.cast::<pg_sys::AlterTableStmt>()).cmds);
                }
                _ => false,
            };
            if adds {
                PartitionChange::Added
            } else {
                PartitionChange::None
            }
        }
    }
}

/// # Safety
/// `commands` is a list of AlterTableCmd, or NULL.
unsafe fn alter_table(commands: *mut pg_sys::List) -> PartitionChange {
    use pg_sys::AlterTableType as kind;
    // SAFETY: by contract.
    unsafe {
        let count = if commands.is_null() { 0 } else { (*commands).length };
        for i in 0..count {
            let command: *mut pg_sys::AlterTableCmd = pg_sys::list_nth(commands, i).cast();
            match (*command).subtype {
                kind::AT_AttachPartition => return PartitionChange::Added,
                kind::AT_DetachPartition | kind::AT_DetachPartitionFinalize => {
                    return PartitionChange::Removed
                }
                _ => {}
            }
        }
        PartitionChange::None
    }
}

/// A restore attaches partitions before there are triggers, and brings their triggers itself: only
/// a command that says so adds or removes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionChange {
    None,
    Added,
    Removed,
}

/// Whether pg_upgrade is putting the schema together.
pub fn in_binary_upgrade() -> bool {
    // SAFETY: a plain variable.
    unsafe { pg_sys::IsBinaryUpgrade }
}
