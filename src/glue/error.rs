//! `AuditError` as PostgreSQL's error: SQLSTATE, `code:` in DETAIL, what to do in HINT.

use std::panic::AssertUnwindSafe;

use audit_log_model::{AuditError, Code};
use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::{pg_sys, PgLogLevel, PgSqlErrorCode, PgTryBuilder};

/// What every call of SQL returns: PostgreSQL's error keeps its SQLSTATE on the way out.
pub type SqlResult<T> = Result<T, ErrorReport>;

pub fn sqlstate(code: Code) -> PgSqlErrorCode {
    match code {
        Code::InvalidInput => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        Code::CursorInvalid => PgSqlErrorCode::ERRCODE_INVALID_CURSOR_NAME,
        Code::AuditLogsNotEnabled | Code::NotInPrerequisiteState | Code::CursorExpired => {
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
        }
        Code::MissingEndpointPermission | Code::EntriesAreAppendOnly => {
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE
        }
        Code::RowImageTooLarge => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        Code::WrongObjectType => PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
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

/// Runs something; where it is cancelled while a statement_timeout is set, PostgreSQL's error goes on
/// with a hint.
pub fn with_timeout_hint<T>(hint: impl Fn() -> String, run: impl FnOnce() -> T) -> T {
    // SAFETY: a plain variable.
    if unsafe { pg_sys::StatementTimeout } == 0 {
        return run();
    }
    let hint = hint();
    let again = move |cause: CaughtError| match cause {
        CaughtError::PostgresError(error) => {
            let report = ErrorReport::new(error.sql_error_code(), error.message().to_string(), "audit_log");
            report.set_hint(hint.clone()).report(PgLogLevel::ERROR);
            unreachable!("a report at ERROR does not come back")
        }
        other => other.rethrow(),
    };
    let code = PgSqlErrorCode::ERRCODE_QUERY_CANCELED;
    PgTryBuilder::new(AssertUnwindSafe(run)).catch_when(code, again).execute()
}
