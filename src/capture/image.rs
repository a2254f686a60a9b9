//! Row states as jsonb.

use audit_log_model::jsonb_object::{Fault, ObjectWriter};
use audit_log_model::{AuditError, Code};
use pgrx::pg_sys;
use pgrx::{PgSqlErrorCode, PgTryBuilder};

use super::plan::{self, Plan, Recorded};
use crate::glue::fixed_settings::FixedSettings;
use crate::glue::tuple::{RowType, Values};
use crate::glue::{backend, identity, render, varlena};

/// A row state; its datum is valid as long as this is.
pub struct Image(Vec<u8>);

impl Image {
    pub fn datum(&self) -> pg_sys::Datum {
        varlena::of_bytes(&self.0)
    }
}

/// The row as a JSON object of the columns that `include` names.
pub fn of(plan: &Plan, row: &Values, include: impl Fn(usize) -> bool) -> Result<Image, AuditError> {
    let recorded = |at: &usize| plan.recorded[*at] != Recorded::Ignored && include(*at);
    let columns: Vec<usize> = plan.key_order.iter().copied().filter(recorded).collect();
    let write = || {
        let mut object =
            ObjectWriter::new(columns.iter().map(|at| plan.row_type.columns[*at].name.as_bytes()));
        for at in &columns {
            match plan.recorded[*at] {
                Recorded::Redacted => object.string(b"[redacted]"),
                _ => render::put(&plan.renderers[*at], &mut object, plan.value(row, *at)),
            }
        }
        object.finish().map(Image).map_err(|fault| refused(plan, fault))
    };
    if !plan.calls_types {
        return write();
    }
    let _settings = FixedSettings::begin();
    // What PostgreSQL cannot render in jsonb's limits it says itself.
    PgTryBuilder::new(std::panic::AssertUnwindSafe(write))
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
    let image = of(&Plan::new(watch, row_type), row, |_| true)?;
    Ok(varlena::copy_of_bytes(&image.0))
}
