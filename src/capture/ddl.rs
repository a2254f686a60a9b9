//! DDL on watched tables: what their triggers carry follows it, and it is recorded.

use std::cell::Cell;

use audit_log_model::AuditError;
use pgrx::pg_sys;
use serde_json::json;

use crate::glue::alter_table::Alteration;
use crate::glue::event_trigger::{in_binary_upgrade, Event, EventTriggerCall};
use crate::glue::memory::with_current;
use crate::glue::spi::{self, Arg};
use crate::glue::{backend, identity, jsonb, watch_trigger};

thread_local! {
    /// How many of the extension's own commands are running, one in the other.
    static OWN: Cell<u32> = const { Cell::new(0) };
}

/// DDL that the extension does itself, and tells of itself, begins or is over.
pub fn own(is_running: bool) {
    OWN.set(if is_running { OWN.get() + 1 } else { OWN.get().saturating_sub(1) });
}

/// An error has ended whatever was running.
pub fn aborted() {
    OWN.set(0);
}

/// The event triggers. What they do is SQL; here is what SQL cannot see of a command, and what spares most
/// commands the SQL.
pub fn follow(call: &EventTriggerCall) -> Result<(), AuditError> {
    if in_binary_upgrade() {
        return Ok(());
    }
    match call.event() {
        Event::CommandStart => before(call),
        Event::CommandEnd if OWN.get() == 0 => after(call),
        Event::Drop => dropped(call),
        _ => Ok(()),
    }
}

fn before(call: &EventTriggerCall) -> Result<(), AuditError> {
    let Some(attach) = call.attach() else { return Ok(()) };
    let args = [Arg::of(Some(attach.parent)), Arg::of(Some(attach.partition))];
    spi::execute(include_str!("../../sql/queries/before_attach.sql"), &args).map(drop)
}

fn after(call: &EventTriggerCall) -> Result<(), AuditError> {
    if call.makes_plain_table() {
        return Ok(());
    }
    let objects = spi::select_latest(include_str!("../../sql/queries/commanded_objects.sql"), &[], |rows| {
        Ok(rows
            .iter()
            .filter_map(|r| Some((r.get(1)?, r.get(2)?)))
            .collect::<Vec<(pg_sys::Oid, pg_sys::Oid)>>())
    })?;
    let alteration = call.alteration();
    let of_class = |class| objects.iter().filter(move |(of, _)| *of == class).map(|(_, oid)| *oid);
    if of_class(pg_sys::TriggerRelationId).next().is_some() {
        let caller = identity::current_user();
        let args = [spi::text(Some(&caller))];
        spi::execute(include_str!("../../sql/queries/check_triggers.sql"), &args)?;
    }
    if alteration.adds_partition && of_class(pg_sys::RelationRelationId).any(is_of_log) {
        spi::execute(include_str!("../../sql/queries/guard_partitions.sql"), &[])?;
    }
    let others = objects.iter().any(|(class, _)| *class != pg_sys::RelationRelationId);
    if !others && !of_class(pg_sys::RelationRelationId).any(watch_trigger::is_watched) {
        return Ok(());
    }
    with_current(|memory| {
        let change = Arg::value(pg_sys::JSONBOID, Some(jsonb::from_value(&told(alteration), memory)?));
        spi::execute(include_str!("../../sql/queries/follow_commands.sql"), &[change]).map(drop)
    })
}

/// Whether a table is the log's, or a partition of one that is.
fn is_of_log(relation: pg_sys::Oid) -> bool {
    let parents = || watch_trigger::ancestors(relation).into_iter().any(backend::is_in_log_schema);
    backend::is_in_log_schema(relation) || parents()
}

/// An alteration as `audit_log.follow_commands()` takes it.
fn told(alteration: Alteration) -> serde_json::Value {
    let mut change = json!({
        "rewritten": alteration.rewritten,
        "attached": alteration.attaches,
        "ours": alteration.switches_ours,
    });
    if alteration.adds_partition || alteration.removes_partition {
        change["partition"] = json!(if alteration.adds_partition { "added" } else { "removed" });
    }
    if !alteration.actions.is_empty() {
        change["actions"] = json!(alteration.actions);
    }
    change
}

fn dropped(call: &EventTriggerCall) -> Result<(), AuditError> {
    let concerned =
        spi::select_latest(include_str!("../../sql/queries/dropped_of_tables.sql"), &[], |rows| {
            Ok(rows.count > 0)
        })?;
    if !concerned {
        return Ok(());
    }
    let tag = call.tag();
    let args = [spi::text(Some(&tag)), Arg::of(Some(OWN.get() > 0))];
    spi::execute(include_str!("../../sql/queries/follow_drops.sql"), &args).map(drop)
}
