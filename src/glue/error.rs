//! `AuditError` as PostgreSQL's error: SQLSTATE, `code:` in DETAIL, what to do in HINT.

use audit_log_model::{AuditError, Code};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode};

/// What every call of SQL returns: PostgreSQL's error keeps its SQLSTATE on the way out.
pub type SqlResult<T> = Result<T, ErrorReport>;

pub fn sqlstate(code: Code) -> PgSqlErrorCode {
    match code {
        Code::InvalidInput => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        Code::CursorInvalid => PgSqlErrorCode::ERRCODE_INVALID_CURSOR_NAME,
        Code::AuditLogsNotEnabled | Code::NotInPrerequisiteState => {
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
        }
        Code::MissingEndpointPermission | Code::EntriesAreAppendOnly => {
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE
        }
        Code::RowImageTooLarge => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        Code::OutOfMemory => PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY,
        Code::Internal => PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
    }
}

/// The report PostgreSQL shows.
pub fn to_report(error: AuditError) -> ErrorReport {
    let detail = error.detail_text();
    ErrorReport::new(sqlstate(error.code), error.message, "audit_log").set_detail(detail).set_hint(error.hint)
}

/// The value, or the error raised; only entry points call this.
pub fn unwrap_or_raise<T>(result: Result<T, AuditError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            to_report(error).report(PgLogLevel::ERROR);
            unreachable!("a report at ERROR does not come back")
        }
    }
}
