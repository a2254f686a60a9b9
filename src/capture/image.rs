//! Row states as jsonb.

use audit_log_model::{AuditError, Code};
use pgrx::pg_sys;
use pgrx::{PgSqlErrorCode, PgTryBuilder};

use super::plan::{self, Plan, Recorded};
use crate::glue::fixed_settings::FixedSettings;
use crate::glue::render;
use crate::glue::tuple::{RowType, Values};
use crate::glue::{backend, identity};

/// The row as a JSON object of the columns that `include` names.
pub fn of(plan: &Plan, row: &Values, include: impl Fn(usize) -> bool) -> Result<pg_sys::Datum, AuditError> {
    let _settings = FixedSettings::begin();
    let columns = (0..plan.row_type.columns.len())
        .filter(|at| plan.recorded[*at] != Recorded::Ignored && include(*at))
        .map(|at| render::ColumnValue {
            name: &plan.row_type.columns[at].name,
            renderer: &plan.renderers[at],
            value: plan.value(row, at),
            redacted: plan.recorded[at] == Recorded::Redacted,
        });
    let columns: Vec<_> = columns.collect();
    PgTryBuilder::new(std::panic::AssertUnwindSafe(|| Ok(render::object(&columns))))
        .catch_when(PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, |_| Err(too_large(plan)))
        .execute()
}

fn too_large(plan: &Plan) -> AuditError {
    let label = backend::relation_label(plan.watch.root).unwrap_or_default();
    AuditError::new(
        Code::RowImageTooLarge,
        format!("a row of {label} is too large for the audit log"),
        format!("A row state holds at most 256 MB. Leave large columns out: audit_log.watch('{label}', ignore => ARRAY['<column>'])."),
    )
}

/// A row of a table as capture would record it; all columns where the table is not watched.
pub fn of_row(relation: pg_sys::Oid, row_type: RowType, row: &Values) -> Result<pg_sys::Datum, AuditError> {
    let watch = plan::watch_of(relation)?.ok_or_else(|| {
        let label = backend::relation_label(relation).unwrap_or_default();
        let caller = identity::current_user();
        AuditError::new(
            Code::NotInPrerequisiteState,
            format!("{label} is not watched"),
            format!("An audit_log_admin (you are {caller}) can watch it with audit_log.watch()."),
        )
    })?;
    of(&Plan::new(watch, row_type), row, |_| true)
}
