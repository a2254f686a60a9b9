//! Whether an organization is logged.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use audit_log_model::context::MAX_ORGANIZATION;
use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::signal::{Fate, Signal, Word};
use crate::glue::current_rows::{Table, Written};
use crate::glue::spi::{self, text};
use crate::glue::{backend, setting};

/// Sessions that see very many organizations start over rather than grow.
const MAX_CACHED: usize = 10_000;

/// What administrators decided: id, name, enabled.
const SETTING: Table =
    Table::new(c"organization_setting", Written::InPlace, Some(c"organization_setting_pkey"));
/// What was first seen in a write: id.
const SEEN: Table = Table::new(c"organization_seen", Written::AppendOnly, Some(c"organization_seen_id"));

#[derive(Clone, Copy)]
struct Known {
    enabled: bool,
    word: Word,
}

thread_local! {
    static KNOWN: RefCell<HashMap<String, Known>> = RefCell::default();
    /// How many of these are this transaction's own word.
    static OWN: Cell<usize> = const { Cell::new(0) };
    static SIGNAL: Signal = const { Signal::of(SETTING.name) };
}

/// Whether events of this organization are recorded; one first seen is enabled by that, unless
/// the setting says otherwise.
pub fn enabled(organization: &str) -> Result<bool, AuditError> {
    // A transaction that holds all its locks already would not hear of what others committed.
    backend::hear_of_changes();
    if let Some(known) = KNOWN.with_borrow(|map| map.get(organization).copied()) {
        return Ok(known.enabled);
    }
    let moment = SIGNAL.with(Signal::now);
    let known = match look_up(organization) {
        Some(known) => known,
        // Not to be remembered; append says what is wrong with it.
        None if !(1..=MAX_ORGANIZATION).contains(&organization.chars().count()) => return Ok(true),
        None if setting::auto_enable_organizations() => {
            spi::execute(
                include_str!("../../sql/queries/organization_seen.sql"),
                &[text(Some(organization))],
            )?;
            Known { enabled: true, word: Word::just_read(true) }
        }
        // Not remembered: the setting may change.
        None => return Ok(false),
    };
    // What changed while it was read may not be in what was read.
    if SIGNAL.with(|signal| signal.is_unchanged_since(moment)) {
        remember(organization, known);
    }
    Ok(known.enabled)
}

fn remember(organization: &str, known: Known) {
    KNOWN.with_borrow_mut(|map| {
        if map.len() >= MAX_CACHED {
            map.clear();
            OWN.set(0);
        }
        if map.insert(organization.to_string(), known).is_none() && known.word != Word::Everybodys {
            OWN.set(OWN.get() + 1);
        }
    });
}

/// What is known of an organization now: enabled, disabled, or nothing yet.
pub fn state(organization: &str) -> Option<bool> {
    look_up(organization).map(|known| known.enabled)
}

fn look_up(organization: &str) -> Option<Known> {
    let mut decided = None;
    SETTING.with_text(organization, |row| {
        decided = Some(Known { enabled: row.get(2).unwrap_or(true), word: Word::just_read(row.is_own()) });
    });
    if decided.is_some() {
        return decided;
    }
    let mut seen = None;
    SEEN.with_text(organization, |row| {
        // One that is committed is enough.
        if seen != Some(Word::Everybodys) {
            seen = Some(Word::just_read(row.is_own()));
        }
    });
    seen.map(|word| Known { enabled: true, word })
}

/// The organizations that are disabled now.
pub fn disabled() -> Vec<String> {
    let mut disabled = Vec::new();
    SETTING.each(|row| {
        if row.get(2) == Some(false) {
            disabled.extend(row.get::<String>(0));
        }
    });
    disabled
}

fn forget() {
    KNOWN.with_borrow_mut(HashMap::clear);
    OWN.set(0);
}

pub fn relation_changed(relation: Option<pg_sys::Oid>) {
    if SIGNAL.with(|signal| signal.relation_changed(relation)) {
        forget();
    }
}

/// Forgets what was only this transaction's word, where it is taken back.
pub fn transaction_went_on(fate: Fate) {
    if OWN.get() == 0 {
        return;
    }
    KNOWN.with_borrow_mut(|map| {
        map.retain(|_, known| known.word.outlives(fate));
        OWN.set(map.values().filter(|known| known.word != Word::Everybodys).count());
    });
}
