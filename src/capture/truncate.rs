//! TRUNCATE of a watched table, or of a partition of one alone.
//!
//! One TRUNCATE of a partitioned table fires the triggers of each partition too, and may name
//! several tables. All its BEFORE triggers fire first, then all its AFTER triggers: so the first
//! BEFORE after an AFTER is another command's, and what the BEFORE triggers collected says which
//! tables this command empties.

use std::cell::RefCell;
use std::collections::HashSet;

use audit_log_model::event::{Relation, Target};
use audit_log_model::watch_options::{Operation, StoredOperation};
use audit_log_model::AuditError;
use pgrx::pg_sys;
use serde_json::Value;

use super::{plan, row};
use crate::glue::backend;
use crate::glue::memory::with_current;
use crate::glue::spi::{self, Arg};
use crate::glue::trigger::TriggerCall;
use crate::store::{append, context, organization};

/// A TRUNCATE of partitioned tables that is going on, at one depth of nesting.
struct Command {
    depth: i32,
    subtransaction: u32,
    tables: HashSet<pg_sys::Oid>,
    /// Its AFTER triggers have begun.
    after: bool,
}

thread_local! {
    static COMMANDS: RefCell<Vec<Command>> = const { RefCell::new(Vec::new()) };
}

pub fn capture(call: &TriggerCall) -> Result<(), AuditError> {
    match call.is_after() {
        true => truncated(call.relation()),
        false => {
            announce(call.relation());
            Ok(())
        }
    }
}

fn announce(relation: pg_sys::Oid) {
    let (depth, subtransaction) = (backend::trigger_depth(), backend::subtransaction());
    COMMANDS.with_borrow_mut(|commands| {
        // Deeper ones are over; one at this depth that has come to its AFTER triggers is another.
        commands.retain(|c| c.depth < depth || (c.depth == depth && !c.after));
        match commands.last_mut().filter(|c| c.depth == depth) {
            Some(command) => {
                command.tables.insert(relation);
            }
            None => commands.push(Command {
                depth,
                subtransaction,
                tables: HashSet::from([relation]),
                after: false,
            }),
        }
    });
}

/// Whether the command empties a parent of this table as well, whose entry then tells of both.
fn is_part_of_a_parents(relation: pg_sys::Oid) -> Result<bool, AuditError> {
    let depth = backend::trigger_depth();
    let tables = COMMANDS.with_borrow_mut(|commands| {
        commands.retain(|c| c.depth <= depth);
        let command = commands.last_mut().filter(|c| c.depth == depth)?;
        command.after = true;
        (command.tables.len() > 1).then(|| command.tables.clone())
    });
    let Some(tables) = tables else { return Ok(false) };
    let sql = include_str!("../../sql/queries/partition_ancestors.sql");
    let ancestors = spi::select_latest(sql, &[Arg::of(Some(relation))], |rows| {
        Ok(rows.iter().filter_map(|r| r.get::<pg_sys::Oid>(1)).collect::<Vec<_>>())
    })?;
    Ok(ancestors.iter().any(|a| tables.contains(a)))
}

fn truncated(relation: pg_sys::Oid) -> Result<(), AuditError> {
    row::statement_ended()?;
    if is_part_of_a_parents(relation)? {
        return Ok(());
    }
    let Some(watch) = plan::watch_of(relation)? else { return Ok(()) };
    let context = context::current()?;
    // Whatever the organization is: it empties everybody's rows.
    let organization = context.organization();
    // One first seen by that is known by it.
    organization::enabled(organization)?;
    let options = &watch.options;
    let rule = options.rules.iter().find(|r| r.on == Operation::Truncate);
    let category = rule.map_or(options.default_category(Operation::Truncate), |r| r.category.as_str());
    let mut metadata = row::origin();
    let mut operation = StoredOperation::Truncate;
    if relation != watch.root {
        operation = StoredOperation::TruncatePartition;
        let label = backend::relation_label(relation).unwrap_or_default();
        metadata.insert("partition".into(), Value::from(label));
    }
    let target = Target::new(options.target_type.as_str(), None, Relation::Primary);
    with_current(|memory| {
        append::append(&append::NewEntry {
            relation: Some(&watch.relation),
            operation: Some(operation),
            organization,
            category,
            targets: &[target],
            metadata: context.metadata(metadata, memory)?,
            ..append::NewEntry::from(&context.provenance)
        })
    })?;
    Ok(())
}

pub fn subtransaction_aborted(subtransaction: u32) {
    COMMANDS.with_borrow_mut(|commands| commands.retain(|c| c.subtransaction != subtransaction));
}

pub fn subtransaction_committed(subtransaction: u32, parent: u32) {
    COMMANDS.with_borrow_mut(|commands| {
        for command in commands.iter_mut().filter(|c| c.subtransaction == subtransaction) {
            command.subtransaction = parent;
        }
    });
}

pub fn forget() {
    COMMANDS.with_borrow_mut(Vec::clear);
}
