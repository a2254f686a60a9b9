//! `sync`: what came since a cursor, as rows and as JSON.

use audit_log_model::sync_cursor::SyncCursor;
use audit_log_model::sync_request::SyncRequest;
use audit_log_model::AuditError;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::list::{finite, scope};
use super::list_json::{answered, success};
use super::organizations;
use crate::glue::memory::Arena;
use crate::glue::srf::Output;
use crate::glue::value;
use crate::glue::varlena::text_of;
use crate::store::criteria::Criteria;
use crate::store::entry;
use crate::store::sync::{self, SyncPage};

/// The most entries of one call.
const MAX_LIMIT: i64 = 10_000;
const DEFAULT_LIMIT: i64 = 1_000;

/// The arguments of `sync`.
pub struct Arguments {
    pub cursor: Option<String>,
    pub limit: Option<i64>,
    pub organization: Option<String>,
}

/// A cursor to begin with; the instant is PostgreSQL's microseconds.
pub fn start(since: Option<i64>) -> Result<String, AuditError> {
    organizations::require_any()?;
    let since = since.map(|since| finite("backfill_start_time", since)).transpose()?;
    Ok(sync::start(since.map(|since| since.timestamp_micros()))?.encode())
}

/// Rows of entry with the cursor behind each.
pub fn sync(arguments: &Arguments, output: &mut Output) -> Result<(), AuditError> {
    let Some(cursor) = &arguments.cursor else {
        return Err(AuditError::sync_cursor("the cursor is null"));
    };
    let page = read(SyncCursor::decode(cursor)?, arguments)?;
    page.with_cursors().try_for_each(|(one, cursor)| {
        output.put_made(|row| {
            row.add(entry::columns(&one.row, row.memory));
            row.add([Some(text_of(&cursor, row.memory))]);
            Ok(())
        })
    })
}

fn read(mut cursor: SyncCursor, arguments: &Arguments) -> Result<SyncPage, AuditError> {
    let limit = match arguments.limit {
        None => DEFAULT_LIMIT,
        Some(limit) if limit < 1 => {
            let message = format!("limit {limit} is below 1");
            let hint = format!("Ask for 1 to {MAX_LIMIT} entries a call.");
            return Err(AuditError::invalid("limit", message, hint));
        }
        Some(limit) => limit.min(MAX_LIMIT),
    };
    let limited_to = scope_hash(arguments.organization.as_deref());
    if cursor.scope.is_some_and(|scope| scope != limited_to) {
        return Err(AuditError::sync_cursor("the cursor was made for another organization than this call's"));
    }
    cursor.scope = Some(limited_to);
    let scope = scope(arguments.organization.as_deref())?;
    let page = sync::read(cursor.clone(), &Criteria::within(&scope), limit as usize)?;
    sync::refuse_purged(&cursor, &page, &scope)?;
    Ok(page)
}

fn scope_hash(organization: Option<&str>) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update([organization.is_some().into()]);
    hash.update(organization.unwrap_or_default());
    let mut short = [0; 8];
    short.copy_from_slice(&hash.finalize()[..8]);
    short
}

/// The answer to a request `{cursor, limit, organization}`, or `{backfillStartTime, …}` to begin.
pub fn sync_json(
    request: Result<Option<Value>, AuditError>,
    memory: &Arena,
) -> Result<value::Value<'_>, AuditError> {
    answered(request, answer, memory)
}

fn answer<'m>(request: &Value, memory: &'m Arena) -> Result<value::Value<'m>, AuditError> {
    let request = SyncRequest::from_json(request)?;
    let cursor = match &request.cursor {
        Some(cursor) => SyncCursor::decode(cursor)?,
        None => sync::start(request.backfill_start_time.map(|since| since.timestamp_micros()))?,
    };
    let arguments =
        Arguments { cursor: None, limit: request.limit, organization: request.organization.clone() };
    let page = read(cursor, &arguments)?;
    success(page.entries.iter().map(|one| &one.row), page.more, Some(page.next.encode()), memory)
}
