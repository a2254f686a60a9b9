//! Whether an organization is logged.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use audit_log_model::context::MAX_ORGANIZATION;
use audit_log_model::AuditError;
use pgrx::pg_sys;

use crate::glue::spi::{self, text};
use crate::glue::{backend, setting};

/// Sessions that see very many organizations start over rather than grow.
const MAX_CACHED: usize = 10_000;

thread_local! {
    static ENABLED: RefCell<HashMap<String, bool>> = RefCell::default();
    /// Counts how often everything was forgotten.
    static FORGOTTEN: Cell<u64> = const { Cell::new(0) };
    /// The table whose invalidation says that organizations changed.
    static SIGNAL: Cell<Option<pg_sys::Oid>> = const { Cell::new(None) };
}

/// Whether events of this organization are recorded; one first seen is enabled by that, unless
/// the setting says otherwise.
pub fn enabled(organization: &str) -> Result<bool, AuditError> {
    if let Some(known) = ENABLED.with_borrow(|map| map.get(organization).copied()) {
        return Ok(known);
    }
    let forgotten = FORGOTTEN.get();
    let enabled = match state(organization)? {
        Some(enabled) => enabled,
        // Not to be remembered; append says what is wrong with it.
        None if !(1..=MAX_ORGANIZATION).contains(&organization.chars().count()) => return Ok(true),
        None if setting::auto_enable_organizations() => {
            spi::execute(
                include_str!("../../sql/queries/organization_seen.sql"),
                &[text(Some(organization))],
            )?;
            true
        }
        // Not remembered: the setting may change.
        None => return Ok(false),
    };
    SIGNAL.set(SIGNAL.get().or_else(signal));
    // What changed while it was read may not be in what was read.
    if forgotten != FORGOTTEN.get() {
        return Ok(enabled);
    }
    ENABLED.with_borrow_mut(|map| {
        if map.len() >= MAX_CACHED {
            map.clear();
        }
        map.insert(organization.to_string(), enabled)
    });
    Ok(enabled)
}

/// What is known of an organization: enabled, disabled, or nothing yet.
pub fn state(organization: &str) -> Result<Option<bool>, AuditError> {
    let sql = include_str!("../../sql/queries/organization_enabled.sql");
    let args = [text(Some(organization))];
    spi::select_latest(sql, &args, |rows| Ok(rows.iter().next().and_then(|r| r.get(1))))
}

fn signal() -> Option<pg_sys::Oid> {
    backend::relation_oid(c"organization_setting")
}

/// Makes every session, this one included, look again.
pub fn changed() {
    if let Some(table) = signal() {
        backend::invalidate(table);
    }
    forget();
}

pub fn forget() {
    FORGOTTEN.set(FORGOTTEN.get() + 1);
    ENABLED.with_borrow_mut(HashMap::clear);
}

pub fn relation_changed(relation: Option<pg_sys::Oid>) {
    if relation.is_none() || relation == SIGNAL.get() {
        forget();
        SIGNAL.set(None);
    }
}
