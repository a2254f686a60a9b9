//! `feed`: settled entries for whoever tracks their position.

use super::organizations;
use crate::glue::foreign_scan::{Begun, From, Table};
use crate::glue::foreign_table::Own;
use crate::store::entry;
use crate::store::feed_rows::FeedRows;
use crate::store::page::Scope;

/// The foreign table behind the view.
pub static TABLE: Table = Table {
    own: Own { name: c"feed_rows", columns: &entry::TYPES },
    column: entry::place("position") as i16 + 1,
    begin,
};

/// What the caller may read, as the views show it: row policies know nothing of disabled organizations.
fn begin(from: &[From]) -> Begun {
    let scope = match organizations::caller_reads_all() {
        true => Scope::AllBut(Vec::new()),
        false => Scope::Only(organizations::bound_to_caller()?),
    };
    Ok(Box::new(FeedRows::begin(from, &scope)?))
}
