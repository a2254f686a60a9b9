//! The way to read partitions that are not as the install script makes them.

use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::reader::{found, Found, Reading};
use crate::glue::backend;
use crate::glue::memory::Current;
use crate::glue::spi::{self, Arg};

/// Drops the lines of a query whose mark is not among those that apply.
fn keep_lines(sql: &str, marks: &[&str]) -> String {
    let keep = |line: &&str| match line.rsplit_once("--? ") {
        Some((_, mark)) => marks.contains(&mark.trim()),
        None => !line.starts_with("--"),
    };
    sql.lines().filter(keep).map(|l| l.split("--? ").next().unwrap_or(l)).collect::<Vec<_>>().join("\n")
}

/// Reads a partition by a query of its own, whatever columns, indexes and access method it has.
pub fn read(
    reading: &Reading,
    partition: pg_sys::Oid,
    start: i64,
    end: i64,
    count: usize,
) -> Result<Vec<Found>, AuditError> {
    let Some(name) = backend::relation_label(partition) else { return Ok(Vec::new()) };
    let instant = |t: i64| Arg::datum(pg_sys::TIMESTAMPTZOID, Some(pg_sys::Datum::from(t)));
    let (after, after_id) = reading.after.unwrap_or((0, [0; 16]));
    let filters = reading.criteria.filters();
    let mut marks: Vec<&str> =
        filters.iter().filter(|(_, values)| values.is_some()).map(|(mark, _)| *mark).collect();
    if reading.after.is_some() {
        marks.push("after");
    }
    let sql = keep_lines(include_str!("../../sql/queries/list_partition.sql"), &marks)
        .replace("{partition}", &name);
    let mut args = vec![
        instant(start),
        instant(end),
        instant(after),
        Arg::of(Some(pgrx::Uuid::from_bytes(after_id))),
        Arg::of(Some(count as i64)),
    ];
    args.extend(filters.into_iter().map(|(_, values)| Arg::of(values)));
    let memory = Current::memory();
    spi::select(&sql, &args, |rows| Ok(rows.iter().filter_map(|row| found(row.keep(&memory))).collect()))
}
