//! The subcommands of an ALTER TABLE.

use pgrx::pg_sys;
use pgrx::pg_sys::AlterTableType as kind;

use super::event_trigger::text;

/// What a command says it does to a table, as far as a watch is concerned.
///
/// A restore attaches partitions before there are triggers, and brings their triggers itself: only a command
/// that says so adds or removes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alteration {
    /// A partition comes to it, made or attached.
    pub adds_partition: bool,
    /// That partition may have rows.
    pub attaches: bool,
    pub removes_partition: bool,
    /// Columns whose values it may change.
    pub rewritten: Vec<String>,
    /// Its subcommands, in PostgreSQL's words.
    pub actions: Vec<String>,
    /// It switches triggers of ours on or off.
    pub switches_ours: bool,
}

/// # Safety
/// `commands` is a list of AlterTableCmd, or NULL.
unsafe fn all<'a>(commands: *mut pg_sys::List) -> impl Iterator<Item = &'a pg_sys::AlterTableCmd> {
    // SAFETY: by contract; the list is the command's, which outlives the event trigger.
    unsafe {
        let count = if commands.is_null() { 0 } else { (*commands).length as usize };
        (0..count).map(move |i| &*(*(*commands).elements.add(i)).ptr_value.cast::<pg_sys::AlterTableCmd>())
    }
}

/// The table that is attached as a partition.
///
/// # Safety
/// `commands` is a list of AlterTableCmd, or NULL.
pub(super) unsafe fn attached(commands: *mut pg_sys::List) -> Option<*const pg_sys::RangeVar> {
    // SAFETY: by contract; this subcommand has a PartitionCmd.
    unsafe {
        let command = all(commands).find(|command| command.subtype == kind::AT_AttachPartition)?;
        Some((*command.def.cast::<pg_sys::PartitionCmd>()).name)
    }
}

/// # Safety
/// `commands` is a list of AlterTableCmd, or NULL.
pub(super) unsafe fn of_commands(commands: *mut pg_sys::List) -> Alteration {
    let mut found = Alteration::default();
    // SAFETY: by contract; names are terminated.
    for command in unsafe { all(commands) } {
        // SAFETY: as above; the definition is what the subcommand has.
        let name = unsafe {
            match command.subtype {
                kind::AT_AddColumn => text((*command.def.cast::<pg_sys::ColumnDef>()).colname),
                kind::AT_AttachPartition | kind::AT_DetachPartition => {
                    text((*(*command.def.cast::<pg_sys::PartitionCmd>()).name).relname)
                }
                _ => text(command.name),
            }
        };
        match command.subtype {
            kind::AT_AttachPartition => (found.adds_partition, found.attaches) = (true, true),
            kind::AT_DetachPartition | kind::AT_DetachPartitionFinalize => found.removes_partition = true,
            kind::AT_AlterColumnType => found.rewritten.push(name.clone()),
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            kind::AT_SetExpression => found.rewritten.push(name.clone()),
            kind::AT_EnableTrigAll
            | kind::AT_DisableTrigAll
            | kind::AT_EnableTrigUser
            | kind::AT_DisableTrigUser => found.switches_ours = true,
            kind::AT_EnableTrig
            | kind::AT_EnableAlwaysTrig
            | kind::AT_EnableReplicaTrig
            | kind::AT_DisableTrig => found.switches_ours |= name.starts_with("!audit_log"),
            _ => {}
        }
        if let Some(words) = words(command.subtype) {
            found.actions.push(format!("{words} {name}").trim_end().to_string());
        }
    }
    found
}

/// How a subcommand is written; None for what says nothing of rows or their recording.
fn words(subtype: kind::Type) -> Option<&'static str> {
    Some(match subtype {
        kind::AT_AddColumn => "ADD COLUMN",
        kind::AT_DropColumn => "DROP COLUMN",
        kind::AT_AlterColumnType => "ALTER COLUMN TYPE",
        kind::AT_ColumnDefault => "ALTER COLUMN DEFAULT",
        kind::AT_SetNotNull => "SET NOT NULL",
        kind::AT_DropNotNull => "DROP NOT NULL",
        kind::AT_DropExpression => "DROP EXPRESSION",
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        kind::AT_SetExpression => "SET EXPRESSION",
        kind::AT_AddIdentity => "ADD IDENTITY",
        kind::AT_SetIdentity => "SET IDENTITY",
        kind::AT_DropIdentity => "DROP IDENTITY",
        kind::AT_AddConstraint | kind::AT_AddIndexConstraint => "ADD CONSTRAINT",
        kind::AT_DropConstraint => "DROP CONSTRAINT",
        kind::AT_ChangeOwner => "OWNER TO",
        kind::AT_SetLogged => "SET LOGGED",
        kind::AT_SetUnLogged => "SET UNLOGGED",
        kind::AT_EnableTrig => "ENABLE TRIGGER",
        kind::AT_EnableAlwaysTrig => "ENABLE ALWAYS TRIGGER",
        kind::AT_EnableReplicaTrig => "ENABLE REPLICA TRIGGER",
        kind::AT_DisableTrig => "DISABLE TRIGGER",
        kind::AT_EnableTrigAll => "ENABLE TRIGGER ALL",
        kind::AT_DisableTrigAll => "DISABLE TRIGGER ALL",
        kind::AT_EnableTrigUser => "ENABLE TRIGGER USER",
        kind::AT_DisableTrigUser => "DISABLE TRIGGER USER",
        kind::AT_EnableRule => "ENABLE RULE",
        kind::AT_EnableAlwaysRule => "ENABLE ALWAYS RULE",
        kind::AT_EnableReplicaRule => "ENABLE REPLICA RULE",
        kind::AT_DisableRule => "DISABLE RULE",
        kind::AT_EnableRowSecurity => "ENABLE ROW LEVEL SECURITY",
        kind::AT_DisableRowSecurity => "DISABLE ROW LEVEL SECURITY",
        kind::AT_ForceRowSecurity => "FORCE ROW LEVEL SECURITY",
        kind::AT_NoForceRowSecurity => "NO FORCE ROW LEVEL SECURITY",
        kind::AT_AddInherit => "INHERIT",
        kind::AT_DropInherit => "NO INHERIT",
        kind::AT_AttachPartition => "ATTACH PARTITION",
        kind::AT_DetachPartition => "DETACH PARTITION",
        kind::AT_DetachPartitionFinalize => "DETACH PARTITION FINALIZE",
        _ => return None,
    })
}
