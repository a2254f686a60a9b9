//! Whom and what entries name: which ids a name or a part of one can only have.

use audit_log_model::needle::Needle;
use audit_log_model::stored_id::stored_id;
use audit_log_model::AuditError;

use super::filter::{Named, Values};
use super::vocabulary;
use crate::glue::spi::{self, text, Arg};

/// With more ids than this a filter is checked at the rows.
const MOST_LOOKED_UP: i64 = 400;
/// Of so many names some may be of more ids than these.
const MOST_NAMES: i64 = 20_000;

/// The ids an actor of this id or name can have; None where one has no id.
pub fn actors_named(is: &str) -> Result<Option<Values>, AuditError> {
    named(include_str!("../../sql/queries/actors_named.sql"), is)
}

/// The same for candidates.
pub fn candidates_named(is: &str) -> Result<Option<Values>, AuditError> {
    named(include_str!("../../sql/queries/candidates_named.sql"), is)
}

fn named(sql: &str, is: &str) -> Result<Option<Values>, AuditError> {
    spi::select(sql, &[text(Some(is))], |rows| {
        let mut ids = vec![stored_id(is).into_owned()];
        for row in rows.iter() {
            match row.get(1) {
                Some(id) => ids.push(id),
                None => return Ok(None),
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(Some(ids))
    })
}

/// Where a text can be that is in an actor's name, a target's type or its id; None where that is too
/// much to look up.
pub fn containing(part: &str) -> Result<Option<Named>, AuditError> {
    let sql = include_str!("../../sql/queries/names_containing.sql");
    let args = [text(Some(part)), Arg::of(Some(MOST_LOOKED_UP + 1)), Arg::of(Some(MOST_NAMES))];
    spi::select_planned_by_values(sql, &args, |rows| {
        let is_much = rows.iter().next().is_some_and(|row| row.get(3) == Some(true));
        if is_much || rows.count as i64 > MOST_LOOKED_UP {
            return Ok(None);
        }
        let (mut actor_ids, mut target_ids) = (Vec::new(), Vec::new());
        for row in rows.iter() {
            match (row.get(1), row.get(2)) {
                (Some(true), Some(id)) => actor_ids.push(id),
                (Some(false), Some(id)) => target_ids.push(id),
                _ => return Ok(None),
            }
        }
        let needle = Needle::new(part);
        let types = vocabulary::target_types().into_iter();
        let types: Values = types.map(|[code, _]| code).filter(|code| needle.is_in(code)).collect();
        let their_categories = vocabulary::categories_of(&types);
        Ok(Some(Named { actor_ids, target_ids, types, their_categories }))
    })
}
