//! Row states as jsonb.

use audit_log_model::jsonb_object::{ContainerWriter, Fault};
use audit_log_model::{AuditError, Code};
use pgrx::pg_sys;
use pgrx::{PgSqlErrorCode, PgTryBuilder};

use super::plan::{self, Plan, Recorded};
use crate::glue::fixed_settings::FixedSettings;
use crate::glue::memory::{with_current, Arena};
use crate::glue::tuple::{RowType, Tuple, Values};
use crate::glue::value::Value;
use crate::glue::{backend, identity, render, varlena};

/// A row state.
pub struct Image(Vec<u8>);

impl Image {
    /// It as jsonb, where it is.
    pub fn jsonb<'a>(&'a self, memory: &'a Arena) -> Value<'a> {
        varlena::of_bytes(&self.0, memory)
    }
}

/// The row as a JSON object of the columns that `include` names.
pub fn of(plan: &Plan, row: &Values, include: impl Fn(usize) -> bool) -> Result<Image, AuditError> {
    let recorded = |at: &usize| plan.recorded[*at] != Recorded::Ignored && include(*at);
    let columns: Vec<usize> = plan.key_order.iter().copied().filter(recorded).collect();
    let write = |memory: &Arena| {
        let mut object =
            ContainerWriter::object(columns.iter().map(|at| plan.row_type.columns[*at].name.as_bytes()));
        for at in &columns {
            match plan.recorded[*at] {
                Recorded::Redacted => object.string(b"[redacted]"),
                _ => render::put(&plan.renderers[*at], &mut object, plan.value(row, *at), memory),
            }
        }
        object.finish().map(Image).map_err(|fault| refused(plan, fault))
    };
    if !plan.calls_types {
        return with_current(write);
    }
    let _settings = FixedSettings::begin();
    // What PostgreSQL cannot render in jsonb's limits it says itself.
    PgTryBuilder::new(std::panic::AssertUnwindSafe(|| with_current(write)))
        .catch_when(PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, |_| Err(refused(plan, Fault::TooLarge)))
        .execute()
}

fn refused(plan: &Plan, fault: Fault) -> AuditError {
    let label = backend::relation_label(plan.watch.root).unwrap_or_default();
    let ignore = format!("Leave large columns out: audit_log.watch('{label}', ignore => ARRAY['<column>']).");
    match fault {
        Fault::TooLarge => AuditError::new(
            Code::RowImageTooLarge,
            format!("a row of {label} is too large for the audit log"),
            format!("A row state holds at most 256 MB. {ignore}"),
        ),
        Fault::OutOfMemory => AuditError::new(
            Code::OutOfMemory,
            format!("there is no memory for the audit log's copy of a row of {label}"),
            ignore,
        ),
    }
}

/// A row of a table as capture would record it; all columns where the table is not watched.
pub fn of_row<'a>(
    relation: pg_sys::Oid,
    row_type: RowType,
    row: Tuple,
    memory: &'a Arena,
) -> Result<Value<'a>, AuditError> {
    let plan = plan_of(relation, row_type)?;
    let image = of(&plan, &plan.row_type.of_record(row), |_| true)?;
    Ok(varlena::copy_of_bytes(&image.0, memory))
}

/// The plan of a watched table for rows of a type.
pub fn plan_of(relation: pg_sys::Oid, row_type: RowType) -> Result<Plan, AuditError> {
    let watch = plan::watch_of(relation)?.ok_or_else(|| {
        let label = backend::relation_label(relation).unwrap_or_default();
        let caller = identity::current_user();
        AuditError::new(
            Code::NotInPrerequisiteState,
            format!("{label} is not watched"),
            format!("An audit_log_admin (you are {caller}) can watch it with audit_log.watch()."),
        )
    })?;
    Ok(Plan::new(watch, row_type))
}
