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

    /// Whether the command puts a table into a partitioned one. A restore does that before there
    /// are triggers, and brings the partitions' triggers itself.
    pub fn adds_partition(&self) -> bool {
        // SAFETY: the tree is the command's, and each node is of the type its tag says.
        unsafe {
            let tree = (*self.data).parsetree;
            if tree.is_null() {
                return false;
            }
            match (*tree).type_ {
                pg_sys::NodeTag::T_CreateStmt => !(*tree.cast::<pg_sys::CreateStmt>()).partbound.is_null(),
                pg_sys::NodeTag::T_CreateForeignTableStmt => {
                    !(*tree.cast::<pg_sys::CreateForeignTableStmt>()).base.partbound.is_null()
                }
                pg_sys::NodeTag::T_AlterTableStmt => {
                    let commands = (*tree.cast::<pg_sys::AlterTableStmt>()).cmds;
                    let count = if commands.is_null() { 0 } else { (*commands).length };
                    (0..count).any(|i| {
                        let command: *mut pg_sys::AlterTableCmd = pg_sys::list_nth(commands, i).cast();
                        (*command).subtype == pg_sys::AlterTableType::AT_AttachPartition
                    })
                }
                _ => false,
            }
        }
    }
}

/// Whether pg_upgrade is putting the schema together.
pub fn in_binary_upgrade() -> bool {
    // SAFETY: a plain variable.
    unsafe { pg_sys::IsBinaryUpgrade }
}
