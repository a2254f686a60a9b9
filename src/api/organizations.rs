//! What a caller may know of organizations.

use audit_log_model::{AuditError, Code};
use pgrx::pg_extern;
use pgrx::spi::{quote_identifier, quote_literal};

use crate::glue::current_rows::{Table, Written};
use crate::glue::error::{to_report, SqlResult};
use crate::glue::identity;
use crate::glue::spi::{self, text, texts, Arg};
use crate::glue::srf::Output;

/// Whether the caller reads every organization's entries.
pub fn caller_reads_all() -> bool {
    identity::caller_has_role(c"audit_log_reader")
}

/// The organizations the caller is bound to now, whatever snapshot its query has.
pub fn bound_to_caller() -> Result<Vec<String>, AuditError> {
    let caller = identity::current_user();
    let sql = include_str!("../../sql/queries/organizations_of.sql");
    let args = [text(Some(&caller))];
    spi::select_latest(sql, &args, |rows| Ok(rows.iter().filter_map(|r| r.get(1)).collect()))
}

/// Who is bound to which organization: role_oid, role_name, system_identifier, organization_id.
const BINDINGS: Table = Table::new(c"read_binding", Written::InPlace, None);

/// Gives the bindings there are now, whatever snapshot the query has.
pub fn bindings(output: &mut Output) -> Result<(), AuditError> {
    let mut outcome = Ok(());
    BINDINGS.each(|row| {
        if outcome.is_ok() {
            outcome = output.put_made(|made| {
                made.add(row.columns());
                Ok(())
            });
        }
    });
    outcome
}

/// The error of a caller who may not read, or not this organization.
pub fn refusal(organization: Option<&str>) -> AuditError {
    let caller = identity::current_user();
    let what = organization.map_or(String::new(), |named| format!(" of organization \"{named}\""));
    let which = organization.map_or("'<organization>'".into(), quote_literal);
    AuditError::new(
        Code::MissingEndpointPermission,
        format!("role \"{caller}\" may not read the audit log{what}"),
        format!(
            "GRANT audit_log_reader TO {}, or SELECT audit_log.grant_read({}, {which}).",
            quote_identifier(&caller),
            quote_literal(&caller)
        ),
    )
}

/// Refuses a caller who may read nothing at all.
pub fn require_any() -> Result<(), AuditError> {
    match caller_reads_all() || !bound_to_caller()?.is_empty() {
        true => Ok(()),
        false => Err(refusal(None)),
    }
}

#[pg_extern(sql = false)]
fn require_reader() -> SqlResult<bool> {
    require_any().map(|()| true).map_err(to_report)
}

#[pg_extern(sql = false)]
fn my_organizations() -> SqlResult<Vec<String>> {
    bound_to_caller().map_err(to_report)
}

/// The organizations the caller may read, with what is known of them.
pub fn readable(output: &mut Output) -> Result<(), AuditError> {
    let all = caller_reads_all();
    let bound = if all { Vec::new() } else { bound_to_caller()? };
    let sql = include_str!("../../sql/queries/readable_organizations.sql");
    let args = [Arg::of(Some(all)), texts(&bound)];
    spi::select_latest(sql, &args, |rows| rows.iter().try_for_each(|row| output.put(&row)))
}
