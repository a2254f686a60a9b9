//! Reading a page of entries.

use audit_log_model::cursor::ListCursor;
use audit_log_model::list_request::{ListRequest, Page};
use audit_log_model::AuditError;
use pgrx::pg_sys;
use uuid::Uuid;

use crate::glue::backend;
use crate::glue::spi::{self, texts, Arg, Row, Rows};

/// Which organizations a page shows.
pub enum Scope {
    Only(Vec<String>),
    /// All but the disabled ones.
    AllBut(Vec<String>),
}

/// What a page's rows are: all columns of entry, or (id, occurred_at, JSON).
#[derive(Clone, Copy)]
pub enum Shape {
    Rows,
    Json,
}

/// Drops the lines of a query whose mark is not among those that apply.
fn keep_lines(sql: &str, marks: &[&str]) -> String {
    let keep = |line: &&str| match line.rsplit_once("--? ") {
        Some((_, mark)) => marks.contains(&mark.trim()),
        None => !line.starts_with("--"),
    };
    sql.lines().filter(keep).map(|l| l.split("--? ").next().unwrap_or(l)).collect::<Vec<_>>().join("\n")
}

/// Reads a page; `each` gets its rows with the cursor of the next page, None on the last.
pub fn read(
    request: &ListRequest,
    page: &Page,
    scope: &Scope,
    shape: Shape,
    mut each: impl FnMut(&Row, Option<&str>) -> Result<(), AuditError>,
) -> Result<Option<String>, AuditError> {
    let mut marks = vec![match shape {
        Shape::Rows => "rows",
        Shape::Json => "json",
    }];
    let mut given = |mark, is_given: bool| {
        if is_given {
            marks.push(mark);
        }
    };
    given("after", page.after.is_some());
    given("actor_ids", !request.actor_ids.is_empty());
    given("target_ids", !request.target_ids.is_empty());
    given("types_or_categories", !request.target_types.is_empty() || !request.categories.is_empty());
    let (only, disabled) = match scope {
        Scope::Only(ids) => (Some(ids.as_slice()), &[][..]),
        Scope::AllBut(ids) => (None, ids.as_slice()),
    };
    given("organizations", only.is_some());
    given("disabled", !disabled.is_empty());
    let sql = keep_lines(include_str!("../../sql/queries/list.sql"), &marks);

    let start = page.window.start.timestamp_micros();
    let end = page.window.end.timestamp_micros();
    let instant = |t: i64| Arg::datum(pg_sys::TIMESTAMPTZOID, Some(backend::timestamptz(t)));
    let (after, after_id) = page.after.map_or((0, Uuid::nil()), |c| (c.occurred_at, c.id));
    let args = [
        instant(start),
        instant(end),
        instant(after),
        Arg::of(Some(pgrx::Uuid::from_bytes(*after_id.as_bytes()))),
        texts(&request.actor_ids),
        texts(&request.target_ids),
        texts(&request.target_types),
        texts(&request.categories),
        Arg::of(only.map(<[String]>::to_vec)),
        texts(disabled),
        // One more than the page tells whether there is a next one.
        Arg::of(Some(request.limit + 1)),
    ];
    spi::select(&sql, &args, |rows| {
        let limit = request.limit as usize;
        let next = match rows.count > limit {
            true => Some(next_cursor(request, start, end, rows, limit)?),
            false => None,
        };
        for row in rows.iter().take(limit) {
            each(&row, next.as_deref())?;
        }
        Ok(next)
    })
}

fn next_cursor(
    request: &ListRequest,
    start: i64,
    end: i64,
    rows: &Rows,
    limit: usize,
) -> Result<String, AuditError> {
    let missing = || AuditError::internal("a listed row has no id or occurred_at");
    let last = rows.iter().nth(limit - 1).ok_or_else(missing)?;
    let id: pgrx::Uuid = last.get(1).ok_or_else(missing)?;
    let occurred_at: pgrx::datum::TimestampWithTimeZone = last.get(2).ok_or_else(missing)?;
    let cursor = ListCursor {
        start,
        end,
        occurred_at: backend::unix_micros(occurred_at.into()),
        id: Uuid::from_bytes(*id.as_bytes()),
        filters: request.fingerprint(),
    };
    Ok(cursor.encode())
}
