//! One changed row becomes one entry.

use std::borrow::Cow;
use std::rc::Rc;

use audit_log_model::event::{Relation, Target};
use audit_log_model::key_text;
use audit_log_model::stored_id::stored_id;
use audit_log_model::watch_options::{value_matches, Capture, Operation, Rule, StoredOperation};
use audit_log_model::AuditError;
use pgrx::pg_sys;
use serde_json::{Map, Value};

use super::image::{self, Image};
use super::moved::{self, Moved};
use super::plan::{self, Plan, Recorded};
use crate::glue::backend;
use crate::glue::memory::with_current;
use crate::glue::render;
use crate::glue::trigger::TriggerCall;
use crate::glue::tuple::{RowType, Tuple, Values};
use crate::store::append::{self, NewEntry};
use crate::store::context::{self, Current};
use crate::store::organization;
use crate::store::stamp::{self, Stamp};

/// The row trigger.
pub fn capture(call: &TriggerCall) -> Result<(), AuditError> {
    if !call.is_after() || !call.is_row() || call.operation() == Operation::Truncate {
        return Err(AuditError::internal("audit_log.capture() is not an AFTER … FOR EACH ROW trigger"));
    }
    let Some(plan) = plan::of(call)? else { return Ok(()) };
    let first = call.first_row(&plan.row_type);
    if moved::is_empty() {
        return changed(call, &plan, first);
    }
    let depth = backend::trigger_depth();
    flush_at(depth + 1)?;
    if call.operation() == Operation::Insert {
        // Where rows of the same statement also cross the watched tree's border, the key tells.
        let is_same_row = |left: &Moved| {
            !plan.watch.root_is_partition
                || key(&left.plan, &left.row.values(&left.plan.row_type)) == key(&plan, &first)
        };
        if let Some(left) = moved::take_partner(&plan, depth, call.inserting_command(), is_same_row) {
            return arrived(left, &plan, &first);
        }
    }
    flush_at(depth)?;
    changed(call, &plan, first)
}

fn changed(call: &TriggerCall, plan: &Rc<Plan>, first: Values) -> Result<(), AuditError> {
    let context = context::current()?;
    match call.operation() {
        Operation::Insert => record(plan, None, Some(&first), &context, Moment::default()),
        Operation::Update => {
            let new = call.updated_row(&plan.row_type);
            let moment = Moment { stamp: None, command: call.updating_command() };
            record(plan, Some(&first), Some(&new), &context, moment)
        }
        // A table watched by itself has no partition of its own to move a row to.
        _ if call.moved_away() && plan.watch.root != call.relation() => {
            let left = call.keep_first_row();
            moved::wait(plan.clone(), left, stamp::now()?, context, call.deleting_command());
            Ok(())
        }
        _ => record(plan, Some(&first), None, &context, Moment::default()),
    }
}

/// The insert that ends a cross-partition update.
fn arrived(left: Moved, plan: &Plan, new: &Values) -> Result<(), AuditError> {
    let old = left.row.values(&left.plan.row_type).renumbered(&left.plan.row_type, &plan.row_type);
    record(plan, Some(&old), Some(new), &left.context, Moment::of(&left))
}

/// A row that left its partition and never arrived: something there refused it, or it went to
/// where nobody watches.
fn gone(left: Moved) -> Result<(), AuditError> {
    let old = left.row.values(&left.plan.row_type);
    record(&left.plan, Some(&old), None, &left.context, Moment::of(&left))
}

fn flush_at(depth: i32) -> Result<(), AuditError> {
    while let Some(left) = moved::take_at(depth) {
        gone(left)?;
    }
    Ok(())
}

/// The statement trigger of partitioned tables: what still waits has not arrived.
pub fn statement_ended() -> Result<(), AuditError> {
    flush_at(backend::trigger_depth())
}

/// Records the deletes whose insert never came.
pub fn flush_pending() -> Result<(), AuditError> {
    flush_at(i32::MIN)
}

/// When a row was changed, where that is not now, and by which command of the transaction.
#[derive(Clone, Copy, Default)]
struct Moment {
    stamp: Option<Stamp>,
    command: Option<u32>,
}

impl Moment {
    fn of(left: &Moved) -> Self {
        Moment { stamp: Some(left.stamp), command: Some(left.command) }
    }
}

/// A change as rules, targets and images see it.
struct Change<'a> {
    plan: &'a Plan,
    old: Option<&'a Values<'a>>,
    new: Option<&'a Values<'a>>,
    operation: Operation,
    /// Of an update, which columns differ; else all.
    changed: Vec<bool>,
}

fn record(
    plan: &Plan,
    old: Option<&Values>,
    new: Option<&Values>,
    context: &Current,
    moment: Moment,
) -> Result<(), AuditError> {
    let operation = match (old, new) {
        (None, _) => Operation::Insert,
        (_, None) => Operation::Delete,
        _ => Operation::Update,
    };
    let changed = changed_columns(plan, old, new);
    // An update of nothing that is recorded is nothing.
    if !(0..changed.len()).any(|at| changed[at] && plan.recorded[at] != Recorded::Ignored)
        && operation == Operation::Update
    {
        return Ok(());
    }
    Change { plan, old, new, operation, changed }.record(context, moment)
}

fn changed_columns(plan: &Plan, old: Option<&Values>, new: Option<&Values>) -> Vec<bool> {
    let columns = plan.row_type.columns.iter();
    match (old, new) {
        (Some(old), Some(new)) => columns.map(|c| !c.same(old.get(c.number), new.get(c.number))).collect(),
        _ => columns.map(|_| true).collect(),
    }
}

fn text(plan: &Plan, row: &Values, at: usize) -> Option<String> {
    render::column_text(&plan.renderers[at], plan.row_type.columns[at].type_oid, plan.value(row, at))
}

/// A row's key as text (`key_text`).
fn key(plan: &Plan, row: &Values) -> Option<String> {
    let parts: Vec<_> = plan.key.iter().map(|at| text(plan, row, *at)).collect();
    key_text::join(parts.iter().map(Option::as_deref))
}

/// The id of a row of a watched table, as entries have it.
pub fn id_of(relation: pg_sys::Oid, row_type: RowType, row: Tuple) -> Result<Option<String>, AuditError> {
    let plan = image::plan_of(relation, row_type)?;
    Ok(key(&plan, &plan.row_type.of_record(row)).map(|id| stored_id(&id).into_owned()))
}

impl Change<'_> {
    fn record(&self, context: &Current, moment: Moment) -> Result<(), AuditError> {
        let Some((organization, operation)) = self.organization(context)? else { return Ok(()) };
        let targets = self.targets();
        let category = self.plan.category(self.operation, |rule, at| self.matches(rule, at));
        let before = self.old.map(|row| self.image(row)).transpose()?.flatten();
        let after = self.new.map(|row| self.image(row)).transpose()?.flatten();
        with_current(|memory| {
            append::append(&NewEntry {
                may_wait: true,
                stamp: moment.stamp,
                // Keys can be exchanged within a statement: only there does it matter which rows moved together.
                command: moment.command.filter(|_| self.changes_key()),
                relation: Some(&self.plan.watch.relation),
                operation: Some(operation),
                organization: &organization,
                category,
                targets: &targets,
                before: before.as_ref().map(|image| image.jsonb(memory)),
                after: after.as_ref().map(|image| image.jsonb(memory)),
                metadata: context.metadata(origin(), memory)?,
                ..NewEntry::from(&context.provenance)
            })
        })?;
        Ok(())
    }

    /// The row as it stands: what is there of it after the change, else before.
    fn row(&self) -> Option<&Values<'_>> {
        self.new.or(self.old)
    }

    fn text(&self, row: &Values, at: usize) -> Option<String> {
        text(self.plan, row, at)
    }

    /// The organization to record under, and the operation; None where it is disabled. A row that goes
    /// over to a disabled organization is recorded under the one it leaves; that it left, or came from
    /// one, is part of the operation: what happened to it there is not in the log.
    fn organization<'a>(
        &self,
        context: &'a Current,
    ) -> Result<Option<(Cow<'a, str>, StoredOperation)>, AuditError> {
        let of = |row| self.organization_of(row, context);
        let operation = StoredOperation::from(self.operation);
        // What it is called by is not rendered twice where it is the same.
        let may_differ = self.plan.organization.is_some_and(|at| self.changed[at]);
        let old = self.old.filter(|_| may_differ || self.new.is_none());
        let (new, old) = (self.new.map(of), old.map(of));
        match (new, old) {
            (Some(new), Some(old)) if new != old => {
                Ok(match (organization::enabled(&new)?, organization::enabled(&old)?) {
                    (true, true) => Some((new, operation)),
                    (true, false) => Some((new, StoredOperation::Entered)),
                    (false, true) => Some((old, StoredOperation::Left)),
                    (false, false) => None,
                })
            }
            (Some(only), _) | (None, Some(only)) => {
                Ok(organization::enabled(&only)?.then_some((only, operation)))
            }
            (None, None) => Ok(None),
        }
    }

    fn organization_of<'a>(&self, row: &Values, context: &'a Current) -> Cow<'a, str> {
        let own = self.plan.organization.and_then(|at| self.text(row, at)).filter(|o| !o.is_empty());
        own.map_or(Cow::Borrowed(context.organization()), Cow::Owned)
    }

    fn changes_key(&self) -> bool {
        self.operation == Operation::Update && self.plan.key.iter().any(|at| self.changed[*at])
    }

    fn targets(&self) -> Vec<Target> {
        let Some(row) = self.row() else { return Vec::new() };
        let kind = self.plan.watch.options.target_type.as_str();
        let mut primary = Target::new(kind, key(self.plan, row), Relation::Primary);
        primary.name = self.plan.name.and_then(|at| self.text(row, at));
        let mut targets = vec![primary];
        if self.changes_key() {
            let old_key = self.old.and_then(|old| key(self.plan, old));
            targets.push(Target::new(kind, old_key, Relation::Related));
        }
        for (kind, at) in &self.plan.parents {
            if let Some(id) = self.text(row, *at) {
                targets.push(Target::new(kind.as_str(), Some(id), Relation::Parent));
            }
        }
        targets
    }

    fn matches(&self, rule: &Rule, at: Option<usize>) -> bool {
        let Some(at) = at else { return true };
        let value = |row: Option<&Values>| row.and_then(|row| self.text(row, at));
        let wanted = |wanted: &Option<Value>, row: Option<&Values>| match wanted {
            Some(wanted) => {
                let value = value(row);
                // A value of char(n) that is given with the blanks that fill it up is the same.
                value_matches(wanted, value.as_deref())
                    || wanted.as_str().zip(value).is_some_and(|(wanted, value)| {
                        self.plan.renderers[at].is_blank_padded() && wanted.trim_end_matches(' ') == value
                    })
            }
            None => true,
        };
        let happened = match self.operation {
            Operation::Update => self.changed[at],
            // Without a wanted value a column matters to an insert or delete where it has one.
            _ => rule.from.is_some() || rule.to.is_some() || value(self.row()).is_some(),
        };
        happened && wanted(&rule.from, self.old) && wanted(&rule.to, self.new)
    }

    fn image(&self, row: &Values) -> Result<Option<Image>, AuditError> {
        let full = match self.plan.watch.options.capture {
            Capture::Keys => return Ok(None),
            Capture::Full => true,
            Capture::Changes => false,
        };
        // A redacted column is in an update's image only where it changed: that is all it tells.
        let include = |at: usize| self.changed[at] || (full && self.plan.recorded[at] == Recorded::Value);
        image::of(self.plan, row, include).map(Some)
    }
}

/// Metadata that names the origin where a subscription applies the change.
pub fn origin() -> Map<String, Value> {
    backend::replication_origin()
        .map(|origin| ("origin".to_string(), Value::from(origin)))
        .into_iter()
        .collect()
}
