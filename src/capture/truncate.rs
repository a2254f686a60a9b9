//! TRUNCATE of a watched table, or of a partition of one alone.

use std::cell::RefCell;
use std::collections::HashSet;

use audit_log_model::event::{Relation, Target};
use audit_log_model::watch_options::Operation;
use audit_log_model::AuditError;
use pgrx::pg_sys;
use serde_json::{Map, Value};

use super::{plan, row};
use crate::glue::backend;
use crate::glue::spi::{self, Arg};
use crate::glue::trigger::TriggerCall;
use crate::store::{append, context, organization};

thread_local! {
    /// Partitions whose own trigger is about to fire for a TRUNCATE already recorded at a parent.
    static COVERED: RefCell<HashSet<pg_sys::Oid>> = RefCell::default();
}

pub fn capture(call: &TriggerCall) -> Result<(), AuditError> {
    row::flush_pending()?;
    let relation = call.relation();
    if COVERED.with_borrow_mut(|covered| covered.remove(&relation)) {
        return Ok(());
    }
    let Some(watch) = plan::watch_of(relation)? else { return Ok(()) };
    cover_partitions(relation)?;
    let context = context::current()?;
    let organization = context.organization.as_deref().unwrap_or("default");
    if !organization::enabled(organization)? {
        return Ok(());
    }
    let options = &watch.options;
    let rule = options.rules.iter().find(|r| r.on == Operation::Truncate);
    let category = rule.map_or(options.default_category(Operation::Truncate), |r| r.category.as_str());
    let mut metadata = row::context_metadata(&context);
    if relation != watch.root {
        let label = backend::relation_label(relation).unwrap_or_default();
        metadata.get_or_insert_with(Map::new).insert("partition".into(), Value::from(label));
    }
    let target = Target::new(options.target_type.as_str(), None, Relation::Primary);
    append::append(&append::NewEntry {
        relation_id: Some(options.relation_id),
        operation: Some(Operation::Truncate.letter()),
        organization,
        category,
        targets: &[target],
        metadata: metadata.as_ref(),
        ..row::with_context(&context)
    })?;
    Ok(())
}

/// TRUNCATE of a parent fires its trigger first, then each partition's, in the same command.
fn cover_partitions(relation: pg_sys::Oid) -> Result<(), AuditError> {
    let sql = include_str!("../../sql/queries/truncated_partitions.sql");
    let below = spi::select_latest(sql, &[Arg::of(Some(relation))], |rows| {
        Ok(rows.iter().filter_map(|r| r.get::<pg_sys::Oid>(1)).collect::<Vec<_>>())
    })?;
    COVERED.with_borrow_mut(|covered| covered.extend(below));
    Ok(())
}

pub fn forget() {
    COVERED.with_borrow_mut(HashSet::clear);
}
