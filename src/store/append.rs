//! Appending an entry: the one place where entries are made.

use std::borrow::Cow;

use audit_log_model::context::MAX_ORGANIZATION;
use audit_log_model::event::{targets_to_store, Target};
use audit_log_model::stored_id::{self, stored_id};
use audit_log_model::watch_options::StoredOperation;
use audit_log_model::{AuditError, Code};
use uuid::Uuid;

use super::provenance::Provenance;
use super::stamp::{self, Stamp};
use super::tables::{Table, EVENT_COLUMNS};
use super::{feed, pending, session, vocabulary};
use crate::glue::memory::with_current;
use crate::glue::value::Value;
use crate::glue::varlena::Texts;
use crate::glue::{backend, jsonb};

/// An entry to be written. Row states and metadata are jsonb already.
pub struct NewEntry<'a> {
    /// Unix microseconds; None for now.
    pub occurred_at: Option<i64>,
    /// Whether it may be written together with the rest of its statement, instead of now.
    pub may_wait: bool,
    /// A stamp taken earlier, for an entry that had to wait.
    pub stamp: Option<Stamp>,
    /// Of a change of a row's key the command of the transaction that made it.
    pub command: Option<u32>,
    /// The watched table, schema.table.
    pub relation: Option<&'a str>,
    /// None for recorded events.
    pub operation: Option<StoredOperation>,
    pub organization: &'a str,
    pub category: &'a str,
    /// Primary first; never empty.
    pub targets: &'a [Target],
    pub provenance: &'a Provenance,
    pub before: Option<Value<'a>>,
    pub after: Option<Value<'a>>,
    pub metadata: Option<Value<'a>>,
    pub source: Option<&'a serde_json::Value>,
}

impl<'a> NewEntry<'a> {
    /// An entry of which nothing is known but who and where.
    pub fn from(provenance: &'a Provenance) -> Self {
        NewEntry {
            occurred_at: None,
            may_wait: false,
            stamp: None,
            command: None,
            relation: None,
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

/// Both row states together, so that jsonb can also hold what is derived from them.
const MAX_ROW_STATES: usize = 0x0FFF_FFFF - 1_048_576;

/// Refuses what could not be read again.
fn check_sizes(entry: &NewEntry) -> Result<(), AuditError> {
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

/// The targets by their stored ids: what an index cannot hold is shortened.
fn with_stored_ids<'a>(targets: &'a [Target]) -> Cow<'a, [Target]> {
    let is_stored = |target: &Target| target.id.as_ref().is_none_or(|id| id.len() <= stored_id::MOST);
    if targets.iter().all(is_stored) {
        return Cow::Borrowed(targets);
    }
    let stored = |target: &Target| Target {
        id: target.id.as_deref().map(|id| stored_id(id).into_owned()),
        ..target.clone()
    };
    targets.iter().map(stored).collect()
}

/// Room for all texts of an entry that its provenance does not hold.
fn texts_for(entry: &NewEntry) -> Texts {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let of_targets =
        entry.targets.iter().map(|t| t.kind.len() + length(&t.id) + length(&t.name)).sum::<usize>();
    Texts::with_room(
        3 + 3 * entry.targets.len(),
        entry.organization.len() + entry.category.len() + entry.relation.map_or(0, str::len) + of_targets,
    )
}

/// Appends an entry; returns its id and the instant it carries.
pub fn append(entry: &NewEntry) -> Result<(Uuid, i64), AuditError> {
    let targets = with_stored_ids(entry.targets);
    let entry = &NewEntry { targets: &targets, ..*entry };
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
    let texts = texts_for(entry);
    let text = |text: &str| texts.add(text);
    with_current(|memory| {
        let json = |value: &serde_json::Value| jsonb::from_value(value, memory);
        let event_id = Some(Value::of_uuid(id.as_bytes()));
        let at = Some(backend::timestamptz(occurred_at));
        let organization = text(entry.organization);
        let kind = text(&primary.kind);
        let mut row = [None; EVENT_COLUMNS.len()];
        row[..12].copy_from_slice(&[
            at,
            Some(Value::from(feed::number_of_entry()?)),
            (recorded_at != occurred_at).then(|| backend::timestamptz(recorded_at)),
            entry.command.map(|command| Value::from(command as i32)),
            entry.operation.map(|operation| Value::from(operation.letter() as i8)),
            event_id,
            organization,
            text(entry.category),
            entry.relation.and_then(text),
            kind,
            primary.id.as_deref().and_then(text),
            primary.name.as_deref().and_then(text),
        ]);
        let mut rest = row[12..].iter_mut();
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
            let row = [at, event_id, organization, text(&target.kind), target.id.as_deref().and_then(text)];
            pending::add(Table::EventTarget, &row)?;
        }
        Ok::<_, AuditError>(())
    })?;
    if !entry.may_wait {
        pending::write_own()?;
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
