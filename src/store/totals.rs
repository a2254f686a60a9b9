//! How many entries there are, from what is counted already.

use audit_log_model::AuditError;

use super::page::Scope;
use crate::glue::spi::{self, texts, Arg};

/// The entries of a scope within `start..end`, PostgreSQL's microseconds, of some categories or all.
pub fn by_day(
    scope: &Scope,
    start: i64,
    end: i64,
    categories: Option<Vec<String>>,
) -> Result<i64, AuditError> {
    let (only, disabled) = match scope {
        Scope::Only(ids) => (Some(ids.clone()), &[][..]),
        Scope::AllBut(ids) => (None, ids.as_slice()),
    };
    let args = [Arg::instant(start), Arg::instant(end), Arg::of(only), texts(disabled), Arg::of(categories)];
    let sql = include_str!("../../sql/queries/count_between.sql");
    spi::select(sql, &args, |rows| Ok(rows.iter().next().and_then(|row| row.get(1)).unwrap_or(0)))
}
