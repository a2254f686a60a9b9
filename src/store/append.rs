//! Appending an entry: the one place where entries are written.

use std::cell::RefCell;

use audit_log_model::context::{Actor, Context, MAX_ORGANIZATION};
use audit_log_model::event::{targets_to_store, Target};
use audit_log_model::event_id::EventIds;
use audit_log_model::{AuditError, Code};
use pgrx::pg_sys;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::feed;
use crate::glue::spi::{self, text, Arg};
use crate::glue::{backend, identity, jsonb};

/// An entry to be written. Row states are jsonb datums already.
#[derive(Default)]
pub struct NewEntry<'a> {
    /// Unix microseconds; None for now.
    pub occurred_at: Option<i64>,
    /// A stamp taken earlier, for an entry that had to wait.
    pub stamp: Option<Stamp>,
    pub relation_id: Option<i32>,
    /// i, u, d or t; None for recorded events.
    pub operation: Option<u8>,
    pub organization: &'a str,
    pub category: &'a str,
    /// Primary first; never empty.
    pub targets: &'a [Target],
    pub actor: Option<&'a Actor>,
    pub effective_actor: Option<&'a Actor>,
    pub before: Option<pg_sys::Datum>,
    pub after: Option<pg_sys::Datum>,
    pub metadata: Option<&'a Map<String, Value>>,
    pub remote_addr: Option<&'a str>,
    pub access_route: Option<&'a [String]>,
    pub user_agent: Option<&'a str>,
    pub request_id: Option<&'a str>,
    pub source: Option<&'a Value>,
}

impl<'a> NewEntry<'a> {
    /// All that the context says of an entry, but organization and metadata.
    pub fn in_context(context: &'a Context) -> Self {
        NewEntry {
            actor: context.actor.as_ref(),
            effective_actor: context.effective_actor.as_ref(),
            remote_addr: context.remote_addr.as_deref(),
            access_route: context.access_route.as_deref(),
            user_agent: context.user_agent.as_deref(),
            request_id: context.request_id.as_deref(),
            ..NewEntry::default()
        }
    }
}

struct Clock {
    ids: EventIds,
    last: i64,
    /// For events whose instant was given: many may share one, at different times.
    given: EventIds,
}

thread_local! {
    static CLOCK: RefCell<Clock> = RefCell::new(Clock { ids: EventIds::default(), last: 0, given: EventIds::default() });
}

/// A step back of the clock up to this long is bridged, so that a transaction's events keep order.
const MAX_BRIDGED_MICROS: i64 = 1_000_000;

/// An entry's instants, Unix microseconds, and its id.
#[derive(Clone, Copy)]
pub struct Stamp {
    recorded_at: i64,
    occurred_at: i64,
    id: Uuid,
}

/// The clock and the next id; later events of a session have later instants or higher ids.
pub fn stamp() -> Result<Stamp, AuditError> {
    stamp_at(None)
}

fn stamp_at(given: Option<i64>) -> Result<Stamp, AuditError> {
    CLOCK.with_borrow_mut(|clock| {
        let now = bridged_now(clock.last);
        if now != clock.last {
            clock.last = now;
            clock.ids.restart();
        }
        let (occurred_at, id) = match given {
            Some(given) => (given, clock.given.next(given, backend::random())?),
            None => (now, clock.ids.next(now, backend::random())?),
        };
        Ok(Stamp { recorded_at: now, occurred_at, id })
    })
}

/// The latest instant this session has given to an event, or the clock's if that is later.
pub fn latest_instant() -> i64 {
    CLOCK.with_borrow(|clock| bridged_now(clock.last))
}

/// The clock, or the last instant given where the clock has stepped back behind it a little.
fn bridged_now(last: i64) -> i64 {
    let now = backend::now_unix_micros();
    match (0..=MAX_BRIDGED_MICROS).contains(&(last - now)) {
        true => last,
        false => now,
    }
}

/// The longest id in bytes: an index entry must hold it.
const MAX_ID: usize = 2_500;
/// Both row states together, so that jsonb can also hold what is derived from them.
const MAX_ROW_STATES: usize = 0x0FFF_FFFF - 1_048_576;

/// Refuses what could be written but not indexed, or not read again.
fn check_sizes(entry: &NewEntry, actors: [Option<&Actor>; 2]) -> Result<(), AuditError> {
    let target_ids = entry.targets.iter().map(|t| ("target_id", t.id.as_deref()));
    let actor_ids = actors.into_iter().flatten().map(|a| ("actor.id", a.id.as_deref()));
    for (field, id) in target_ids.chain(actor_ids) {
        if let Some(id) = id.filter(|id| id.len() > MAX_ID) {
            return Err(AuditError::invalid(
                field,
                format!("{field} has {} bytes, more than {MAX_ID}", id.len()),
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

/// Writes an entry; returns its id and the instant it carries.
pub fn append(entry: &NewEntry) -> Result<(Uuid, i64), AuditError> {
    let Some((primary, others)) = entry.targets.split_first() else {
        return Err(AuditError::internal("an entry without a target"));
    };
    let system = Actor::system();
    let actor = entry.actor.unwrap_or(&system);
    let effective = entry.effective_actor.filter(|e| *e != actor);
    check_sizes(entry, [Some(actor), effective])?;
    let Stamp { recorded_at, occurred_at, id } = match entry.stamp {
        Some(stamp) => stamp,
        None => stamp_at(entry.occurred_at)?,
    };
    let timestamp = |t: i64| Arg::datum(pg_sys::TIMESTAMPTZOID, Some(backend::timestamptz(t)));
    let json = |value: Option<&Value>| -> Result<Arg, AuditError> {
        Ok(Arg::datum(pg_sys::JSONBOID, value.map(jsonb::from_value).transpose()?))
    };
    let metadata = entry.metadata.filter(|m| !m.is_empty()).map(|m| Value::Object(m.clone()));
    let targets = targets_to_store(entry.targets);
    let database_user = identity::database_user();
    let application_name = backend::application_name();
    let id_arg = Arg::of(Some(pgrx::Uuid::from_bytes(*id.as_bytes())));
    spi::execute(
        include_str!("../../sql/queries/append_event.sql"),
        &[
            timestamp(occurred_at),
            Arg::of(Some(feed::number()?)),
            match recorded_at == occurred_at {
                true => Arg::datum(pg_sys::TIMESTAMPTZOID, None),
                false => timestamp(recorded_at),
            },
            Arg::of(entry.relation_id),
            Arg::of(entry.operation.map(|letter| letter as i8)),
            id_arg,
            text(Some(entry.organization)),
            text(Some(entry.category)),
            text(Some(&primary.kind)),
            text(primary.id.as_deref()),
            text(primary.name.as_deref()),
            text(Some(&actor.kind)),
            text(actor.id.as_deref()),
            text(actor.name.as_deref()),
            text(actor.email.as_deref()),
            text(effective.map(|e| e.kind.as_str())),
            text(effective.and_then(|e| e.id.as_deref())),
            text(effective.and_then(|e| e.name.as_deref())),
            text(effective.and_then(|e| e.email.as_deref())),
            json(targets.as_ref())?,
            Arg::datum(pg_sys::JSONBOID, entry.before),
            Arg::datum(pg_sys::JSONBOID, entry.after),
            json(metadata.as_ref())?,
            text(entry.remote_addr),
            Arg::of(entry.access_route.map(<[String]>::to_vec)),
            text(entry.user_agent),
            text(entry.request_id),
            text(Some(&database_user)),
            text(application_name.as_deref()),
            json(entry.source)?,
        ],
    )?;
    for target in others.iter().filter(|t| t.id.is_some()) {
        spi::execute(
            include_str!("../../sql/queries/append_event_target.sql"),
            &[
                timestamp(occurred_at),
                id_arg,
                text(Some(entry.organization)),
                text(Some(&target.kind)),
                text(target.id.as_deref()),
            ],
        )?;
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
