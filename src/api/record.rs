//! `record`: an event the application tells of.

use audit_log_model::event::{self, Target};
use audit_log_model::stored_id::stored_key;
use audit_log_model::{AuditError, Code};
use serde_json::{json, Map, Value};
use sha2::{Digest, Sha256};

use crate::glue::args::RowState;
use crate::glue::memory::with_current;
use crate::glue::spi::{self, text, Arg};
use crate::glue::{backend, identity};
use crate::store::append::{self, NewEntry};
use crate::store::{context, organization, vocabulary};

/// The arguments of `record` as SQL gives them.
pub struct Arguments<'a> {
    pub category: Option<String>,
    pub target_id: Option<String>,
    pub target_name: Option<String>,
    pub targets: Option<Value>,
    pub metadata: Option<Value>,
    pub before: Option<RowState<'a>>,
    pub after: Option<RowState<'a>>,
    /// PostgreSQL's microseconds.
    pub occurred_at: Option<i64>,
    pub organization: Option<String>,
    pub idempotency_key: Option<String>,
}

/// What `record` was given, checked.
struct Recorded<'a> {
    category: String,
    targets: Vec<Target>,
    metadata: Map<String, Value>,
    before: Option<RowState<'a>>,
    after: Option<RowState<'a>>,
    occurred_at: Option<i64>,
    organization: String,
}

/// Records an event; returns its id, or the one its idempotency key made before.
pub fn record(given: Arguments) -> Result<uuid::Uuid, AuditError> {
    let category = given.category.ok_or_else(|| {
        AuditError::invalid("category", "category is null", "Name a category of audit_log.vocabulary.")
    })?;
    let known = vocabulary::category(&category)?;
    // What administrators did to the log is theirs to tell.
    if known.target_type == "audit_log" && !identity::caller_has_role(c"audit_log_admin") {
        return Err(AuditError::new(
            Code::MissingEndpointPermission,
            format!("category \"{category}\" is the audit log's own"),
            "Record it under a category of yours; the log records its own changes by itself.",
        ));
    }
    let metadata = match given.metadata.filter(|m| !m.is_null()) {
        None => Map::new(),
        Some(Value::Object(map)) => map,
        Some(_) => {
            return Err(AuditError::invalid(
                "metadata",
                "metadata is not a JSON object",
                "Give metadata as {\"key\": value, …}.",
            ))
        }
    };
    // Only the event's own metadata is the category's matter; the context's is added later.
    known.check_metadata(&category, &Value::Object(metadata.clone()))?;
    let targets = event::recorded_targets(
        &known.target_type,
        given.target_id,
        given.target_name,
        given.targets.as_ref(),
    )?;
    let kinds: Vec<String> = targets.iter().map(|t| t.kind.clone()).collect();
    vocabulary::check("targets", &kinds)?;
    let context = context::current()?;
    let recorded = Recorded {
        category,
        targets,
        metadata,
        before: given.before.filter(|state| state.text != "null"),
        after: given.after.filter(|state| state.text != "null"),
        occurred_at: given.occurred_at.map(backend::unix_micros),
        organization: given
            .organization
            .or_else(|| context.context.organization.clone())
            .filter(|o| !o.is_empty())
            .unwrap_or_else(|| "default".into()),
    };
    recorded.store(given.idempotency_key.as_deref())
}

impl Recorded<'_> {
    fn store(&self, idempotency_key: Option<&str>) -> Result<uuid::Uuid, AuditError> {
        if !organization::enabled(&self.organization)? {
            return Err(append::not_enabled(&self.organization));
        }
        let Some(key) = idempotency_key else { return Ok(self.append()?.0) };
        let key = &*stored_key(key);
        let payload = self.payload();
        if let Some(first) = self.first(key, &payload)? {
            return Ok(first);
        }
        let (id, occurred_at) = self.append()?;
        let args = [
            text(Some(&self.organization)),
            text(Some(key)),
            Arg::of(Some(pgrx::Uuid::from_bytes(*id.as_bytes()))),
            Arg::instant(backend::pg_micros(occurred_at)),
            Arg::of(Some(payload)),
        ];
        spi::execute(include_str!("../../sql/queries/idempotency_fill.sql"), &args)?;
        Ok(id)
    }

    fn append(&self) -> Result<(uuid::Uuid, i64), AuditError> {
        let context = context::current()?;
        with_current(|memory| {
            append::append(&NewEntry {
                occurred_at: self.occurred_at,
                organization: &self.organization,
                category: &self.category,
                targets: &self.targets,
                before: self.before.as_ref().map(|state| state.jsonb),
                after: self.after.as_ref().map(|state| state.jsonb),
                metadata: context.metadata(self.metadata.clone(), memory)?,
                ..NewEntry::from(&context.provenance)
            })
        })
    }

    /// SHA-256 of everything the caller gave; the context may differ between two tries.
    fn payload(&self) -> Vec<u8> {
        let targets: Vec<Value> = self.targets.iter().map(Target::to_json).collect();
        let state = |state: &Option<RowState>| state.as_ref().map(|s| s.text.clone());
        let payload = json!([
            self.category,
            targets,
            self.metadata,
            state(&self.before),
            state(&self.after),
            self.occurred_at,
            self.organization
        ]);
        Sha256::digest(payload.to_string()).to_vec()
    }

    /// The id that the key made before; None after taking the key for this event. Waits for a
    /// session that is using the same key now.
    fn first(&self, key: &str, payload: &[u8]) -> Result<Option<uuid::Uuid>, AuditError> {
        let sql = include_str!("../../sql/queries/idempotency_take.sql");
        let args = [text(Some(&self.organization)), text(Some(key)), Arg::of(Some(payload.to_vec()))];
        let taken = spi::execute_reading(sql, &args, |rows| {
            let read =
                |r: spi::Row| Some((r.get::<pgrx::Uuid>(1)?, Arg::instant(r.column(2)?.number()), r.get(3)?));
            Ok(rows.iter().next().and_then(read))
        })?;
        let Some((id, occurred_at, seen)): Option<(_, _, Vec<u8>)> = taken else { return Ok(None) };
        // By a snapshot of its own: the session that was waited for may just have committed.
        let sql = include_str!("../../sql/queries/event_exists.sql");
        let exists = spi::select_latest(sql, &[occurred_at, Arg::of(Some(id))], |rows| Ok(rows.count > 0))?;
        match exists {
            // The key is new, or its entry is gone.
            false => Ok(None),
            true if seen == payload => Ok(Some(uuid::Uuid::from_bytes(*id.as_bytes()))),
            true => Err(AuditError::new(
                Code::InvalidInput,
                format!("idempotency key \"{key}\" was used for another event"),
                "Use a key for one event only; repeat a call with the very same arguments.",
            )),
        }
    }
}
