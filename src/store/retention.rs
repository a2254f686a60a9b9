//! What removes entries, and what moves them: two fixed statements that the guard lets pass.

use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::feed;
use super::guard::Lifted;
use super::tables::{self, Table};
use crate::glue::backend;
use crate::glue::spi::{self, Arg};
use crate::glue::srf::Output;

fn name_of(relation: pg_sys::Oid) -> Result<String, AuditError> {
    backend::relation_label(relation).ok_or_else(|| AuditError::internal("a partition is gone"))
}

/// Removes what is expired by a clock within `since..until` of a partition, and gives what went, a row an
/// organization and category. Instants are PostgreSQL's microseconds.
pub fn remove_expired(
    partition: pg_sys::Oid,
    clock: i64,
    since: i64,
    until: i64,
    output: &mut Output,
) -> Result<(), AuditError> {
    super::pending::write()?;
    let sql =
        include_str!("../../sql/queries/remove_expired.sql").replace("{partition}", &name_of(partition)?);
    let args =
        [Arg::instant(clock), Arg::instant(since), Arg::instant(until), Arg::of(Some(feed::number()?))];
    let _lifted = Lifted::begin();
    spi::execute_reading(&sql, &args, |rows| rows.iter().try_for_each(|row| output.put(&row)))
}

/// Moves the rows of `lower..upper` that are beside the partitions to one of these; how many.
pub fn move_entries(target: pg_sys::Oid, lower: i64, upper: i64) -> Result<i64, AuditError> {
    let of_target =
        |table: &Table| tables::partitions(*table, lower, upper).iter().any(|(_, oid)| *oid == target);
    let source = Table::ALL.into_iter().find(of_target).and_then(Table::unplaced);
    let Some(source) = source.filter(|source| *source != target) else {
        return Err(AuditError::internal("entries are moved to partitions of the log only"));
    };
    super::pending::write()?;
    let sql = include_str!("../../sql/queries/move_entries.sql")
        .replace("{source}", &name_of(source)?)
        .replace("{target}", &name_of(target)?);
    let _lifted = Lifted::begin();
    spi::execute(&sql, &[Arg::instant(lower), Arg::instant(upper)]).map(|count| count as i64)
}
