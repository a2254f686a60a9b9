//! A page of entries, and the cursor of the next.

use audit_log_model::cursor::ListCursor;
use audit_log_model::list_request::{ListRequest, Page};
use audit_log_model::AuditError;
use uuid::Uuid;

use super::criteria::Criteria;
use super::newest::Entry;
use super::reader::Reading;
use crate::glue::backend;

/// Which organizations a page shows.
pub enum Scope {
    Only(Vec<String>),
    /// All but the disabled ones.
    AllBut(Vec<String>),
}

/// Reads a page: its entries, and the cursor of the next page, None on the last.
pub fn read(
    request: &ListRequest,
    page: &Page,
    scope: &Scope,
) -> Result<(Vec<Entry>, Option<String>), AuditError> {
    let limit = request.limit as usize;
    let (start, end) = (page.window.start.timestamp_micros(), page.window.end.timestamp_micros());
    let reading = Reading {
        criteria: &Criteria::of(request, scope),
        start: backend::pg_micros(start),
        end: backend::pg_micros(end),
        after: page.after.as_ref().map(|c| (backend::pg_micros(c.occurred_at), *c.id.as_bytes())),
    };
    // One more than the page tells whether there is a next one.
    let mut found = reading.read(0, limit + 1)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| {
        let cursor = ListCursor {
            start,
            end,
            occurred_at: backend::unix_micros(last.at),
            id: Uuid::from_bytes(last.id),
            filters: request.fingerprint(),
        };
        cursor.encode()
    });
    Ok((found, next))
}
