//! Appending an entry: the one place where entries are made.

use audit_log_model::context::MAX_ORGANIZATION;
use audit_log_model::event::{targets_to_store, Target};
use audit_log_model::{AuditError, Code};
use pgrx::{pg_sys, IntoDatum};
use serde_json::Value;
use uuid::Uuid;

use super::provenance::Provenance;
use super::stamp::{self, Stamp};
use super::tables::{Table, EVENT_COLUMNS};
use super::{feed, pending, session, vocabulary};
use crate::glue::varlena::Texts;
use crate::glue::{backend, jsonb};

/// An entry to be written. Row states and metadata are jsonb datums already.
pub struct NewEntry<'a> {
    /// Unix microseconds; None for now.
    pub occurred_at: Option<i64>,
    /// Whether it may be written together with the rest of its statement, instead of now.
    pub may_wait: bool,
    /// A stamp taken earlier, for an entry that had to wait.
    pub stamp: Option<Stamp>,
    pub relation_id: Option<i32>,
    /// i, u, d or t; None for recorded events.
    pub operation: Option<u8>,
    pub organization: &'a str,
    pub category: &'a str,
    /// Primary first; never empty.
    pub targets: &'a [Target],
    pub provenance: &'a Provenance,
    pub before: Option<pg_sys::Datum>,
    pub after: Option<pg_sys::Datum>,
    pub metadata: Option<pg_sys::Datum>,
    pub source: Option<&'a Value>,
}

impl<'a> NewEntry<'a> {
    /// An entry of which nothing is known but who and where.
    pub fn from(provenance: &'a Provenance) -> Self {
        NewEntry {
            occurred_at: None,
            may_wait: false,
            stamp: None,
            relation_id: None,
            operation: None,
            organization: "default",
            category: "",
            targets: &[],
            provenance,
            before: None,
            after: None,
            metadata: None,
            source: None,
        }
    }
}

/// The longest id in bytes: an index entry must hold it.
const MAX_ID: usize = 2_500;
/// Both row states together, so that jsonb can also hold what is derived from them.
const MAX_ROW_STATES: usize = 0x0FFF_FFFF - 1_048_576;

/// Refuses what could be written but not indexed, or not read again.
fn check_sizes(entry: &NewEntry) -> Result<(), AuditError> {
    let target_ids = entry.targets.iter().map(|t| ("target_id", t.id.as_ref().map_or(0, String::len)));
    for (field, length) in target_ids.chain([("actor.id", entry.provenance.longest_id)]) {
        if length > MAX_ID {
            return Err(AuditError::invalid(
                field,
                format!("{field} has {length} bytes, more than {MAX_ID}"),
                "Identify it by something shorter; a table, by other columns: audit_log.watch(…, target_id => ARRAY['…']).",
            ));
        }
    }
    if !(1..=MAX_ORGANIZATION).contains(&entry.organization.chars().count()) {
        return Err(AuditError::invalid(
            "organization",
            format!("an organization's id has 1 to {MAX_ORGANIZATION} characters"),
            "Give the id the application uses for the organization.",
        ));
    }
    if jsonb::raw_size(entry.before) + jsonb::raw_size(entry.after) > MAX_ROW_STATES {
        return Err(AuditError::new(
            Code::RowImageTooLarge,
            "the row's states before and after are together too large for the audit log",
            "They hold at most 255 MB. Leave large columns out: audit_log.watch(…, ignore => ARRAY['<column>']).",
        ));
    }
    Ok(())
}

/// Room for all texts of an entry that its provenance does not hold.
fn texts_for(entry: &NewEntry) -> Texts {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let of_targets =
        entry.targets.iter().map(|t| t.kind.len() + length(&t.id) + length(&t.name)).sum::<usize>();
    Texts::with_room(
        2 + 3 * entry.targets.len(),
        entry.organization.len() + entry.category.len() + of_targets,
    )
}

/// Appends an entry; returns its id and the instant it carries.
pub fn append(entry: &NewEntry) -> Result<(Uuid, i64), AuditError> {
    let Some((primary, others)) = entry.targets.split_first() else {
        return Err(AuditError::internal("an entry without a target"));
    };
    check_sizes(entry)?;
    let Stamp { recorded_at, occurred_at, id } = match entry.stamp {
        Some(stamp) => stamp,
        None => stamp::at(entry.occurred_at)?,
    };
    // Held until the row is formed: an invalidation may replace the one that is known.
    let session = session::current();
    let json = |value: &Value| jsonb::from_value(value);
    let mut texts = texts_for(entry);
    let mut text = |text: &str| texts.add(text);
    let id_datum = Some(pg_sys::Datum::from(id.as_bytes().as_ptr()));
    let at = Some(backend::timestamptz(occurred_at));
    let organization = text(entry.organization);
    let kind = text(&primary.kind);
    let mut row = [None; EVENT_COLUMNS.len()];
    row[..11].copy_from_slice(&[
        at,
        feed::number_of_entry()?.into_datum(),
        (recorded_at != occurred_at).then(|| backend::timestamptz(recorded_at)),
        entry.relation_id.into_datum(),
        entry.operation.map(|letter| letter as i8).into_datum(),
        id_datum,
        organization,
        text(entry.category),
        kind,
        primary.id.as_deref().and_then(&mut text),
        primary.name.as_deref().and_then(&mut text),
    ]);
    let mut rest = row[11..].iter_mut();
    let mut put = |value| {
        if let Some(place) = rest.next() {
            *place = value;
        }
    };
    entry.provenance.actors().for_each(&mut put);
    put(targets_to_store(entry.targets).as_ref().map(json).transpose()?);
    put(entry.before);
    put(entry.after);
    put(entry.metadata);
    entry.provenance.request().for_each(&mut put);
    session.columns().for_each(&mut put);
    put(entry.source.map(json).transpose()?);
    put(kind.filter(|_| !vocabulary::belongs(entry.category, &primary.kind)));
    pending::add(Table::Event, &row)?;
    for target in others.iter().filter(|t| t.id.is_some()) {
        let row = [at, id_datum, organization, text(&target.kind), target.id.as_deref().and_then(&mut text)];
        pending::add(Table::EventTarget, &row)?;
    }
    if !entry.may_wait {
        pending::write()?;
    }
    Ok((id, occurred_at))
}

/// The error where events of an organization are asked for, or offered, that is disabled.
pub fn not_enabled(organization: &str) -> AuditError {
    AuditError::new(
        Code::AuditLogsNotEnabled,
        format!("audit logs are not enabled for organization \"{organization}\""),
        format!(
            "SELECT audit_log.enable_organization('{}') switches them on.",
            organization.replace('\'', "''")
        ),
    )
}
