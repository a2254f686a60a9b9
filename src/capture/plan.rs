//! What is known of a watched table: its options, resolved to the columns it has now.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use audit_log_model::watch_options::{Column, Operation, Rule, WatchOptions};
use audit_log_model::{jsonb_object, AuditError};
use pgrx::pg_sys;

use crate::glue::backend;
use crate::glue::render::Renderer;
use crate::glue::trigger::TriggerCall;
use crate::glue::tuple::{RowType, Values};
use crate::glue::value::Value;
use crate::glue::watch_trigger::{self, WatchTrigger};

/// How a column is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    Value,
    Redacted,
    Ignored,
}

/// A watch's options as they are in its trigger.
pub struct Watch {
    /// The watched table; the partition's topmost watched parent, where it is one.
    pub root: pg_sys::Oid,
    /// Its name, schema.table, as entries carry it.
    pub relation: String,
    pub options: WatchOptions,
    /// Whether the watched table is a partition itself: rows then come from, and go, elsewhere.
    pub root_is_partition: bool,
}

/// A table's or partition's columns under a watch. Column references are places in `row_type.columns`.
pub struct Plan {
    pub watch: Watch,
    pub row_type: RowType,
    pub renderers: Vec<Renderer>,
    pub recorded: Vec<Recorded>,
    /// The columns in the order jsonb keeps keys.
    pub key_order: Vec<usize>,
    /// Whether rendering calls functions of types, which read settings and may refuse a value.
    pub calls_types: bool,
    pub key: Vec<usize>,
    pub name: Option<usize>,
    pub organization: Option<usize>,
    pub parents: Vec<(String, usize)>,
    pub rules: Vec<(Rule, Option<usize>)>,
}

thread_local! {
    static PLANS: RefCell<HashMap<pg_sys::Oid, Rc<Plan>>> = RefCell::default();
    /// Counts invalidations: a plan that was made while one came may know what was before it.
    static INVALIDATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The plan of the table that a row trigger fired on, by the options it was fired with; None where it
/// has none.
pub fn of(call: &TriggerCall) -> Result<Option<Rc<Plan>>, AuditError> {
    let relation = call.relation();
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(&relation).cloned()) {
        return Ok(Some(plan));
    }
    let invalidations = INVALIDATIONS.get();
    let Some(trigger) = watch_trigger::of_call(call) else { return Ok(None) };
    let plan = Rc::new(Plan::new(Watch::of(trigger)?, call.row_type()));
    if invalidations == INVALIDATIONS.get() {
        PLANS.with_borrow_mut(|plans| plans.insert(relation, plan.clone()));
    }
    Ok(Some(plan))
}

/// The watch of a table, or of the watched table that it is a partition of.
pub fn watch_of(relation: pg_sys::Oid) -> Result<Option<Watch>, AuditError> {
    watch_trigger::of_relation(relation).map(Watch::of).transpose()
}

impl Watch {
    fn of(WatchTrigger { root, options, root_is_partition }: WatchTrigger) -> Result<Watch, AuditError> {
        let relation = backend::relation_label(root).unwrap_or_default();
        let options = serde_json::from_str(&options).map_err(|e| {
            AuditError::internal(format!(
                "the options in the audit trigger of {relation} cannot be read: {e}"
            ))
        })?;
        Ok(Watch { root, relation, options, root_is_partition })
    }
}

/// Forgets plans that depend on a relation, or all of them.
pub fn relation_changed(relation: Option<pg_sys::Oid>) {
    INVALIDATIONS.set(INVALIDATIONS.get().wrapping_add(1));
    PLANS.with_borrow_mut(|plans| match relation {
        None => plans.clear(),
        Some(changed) => plans.retain(|oid, plan| *oid != changed && plan.watch.root != changed),
    });
}

impl Plan {
    pub fn new(watch: Watch, row_type: RowType) -> Self {
        let place = |name: &str| row_type.columns.iter().position(|c| c.name == name);
        let by_number =
            |column: &Column| -> Option<usize> { place(&backend::column_name(watch.root, column.1)?) };
        // Renamed behind the event trigger's back: the number still says which it is.
        let resolve = |column: &Column| place(&column.0).or_else(|| by_number(column));
        let options = &watch.options;
        let mut recorded = vec![Recorded::Value; row_type.columns.len()];
        for column in &options.redact {
            // Where name and number disagree nobody followed a rename: either may be the secret.
            for at in place(&column.0).into_iter().chain(by_number(column)) {
                recorded[at] = Recorded::Redacted;
            }
        }
        for at in options.ignore.iter().filter_map(resolve) {
            recorded[at] = Recorded::Ignored;
        }
        let resolve_parent = |(kind, column): &(String, Column)| Some((kind.clone(), resolve(column)?));
        let resolve_rule = |rule: &Rule| match &rule.column {
            None => Some((rule.clone(), None)),
            Some(column) => resolve(column).map(|at| (rule.clone(), Some(at))),
        };
        let columns = &row_type.columns;
        let renderers: Vec<_> = columns.iter().map(|c| Renderer::for_type(c.type_oid)).collect();
        let mut key_order: Vec<usize> = (0..columns.len()).collect();
        key_order.sort_by(|a, b| {
            jsonb_object::key_order(columns[*a].name.as_bytes(), columns[*b].name.as_bytes())
        });
        Plan {
            calls_types: renderers.iter().any(Renderer::calls_types),
            renderers,
            key_order,
            recorded,
            key: options.target_id.iter().filter_map(resolve).collect(),
            name: options.target_name.as_ref().and_then(resolve),
            organization: options.organization.as_ref().and_then(resolve),
            parents: options.parents.iter().filter_map(resolve_parent).collect(),
            rules: options.rules.iter().filter_map(resolve_rule).collect(),
            row_type,
            watch,
        }
    }

    /// A column's value in a row.
    pub fn value<'a>(&self, row: &Values<'a>, at: usize) -> Option<Value<'a>> {
        row.get(self.row_type.columns[at].number)
    }

    /// The category of a change: the first rule that matches, else the operation's own.
    pub fn category(&self, operation: Operation, matches: impl Fn(&Rule, Option<usize>) -> bool) -> &str {
        let rule = self.rules.iter().find(|(rule, at)| rule.on == operation && matches(rule, *at));
        match rule {
            Some((rule, _)) => &rule.category,
            None => self.watch.options.default_category(operation),
        }
    }
}
