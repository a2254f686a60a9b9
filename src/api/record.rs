//! `record`: an event the application tells of.

use audit_log_model::event::{self, Target};
use audit_log_model::{AuditError, Code};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::{pg_extern, JsonB};
use serde_json::{json, Map, Value};
use sha2::{Digest, Sha256};

use crate::capture::row::with_context;
use crate::glue::error::{to_report, SqlResult};
use crate::glue::spi::{self, text, Arg};
use crate::glue::{backend, jsonb};
use crate::store::append::{self, NewEntry};
use crate::store::{context, organization, vocabulary};

/// What `record` was given.
struct Recorded {
    category: String,
    targets: Vec<Target>,
    metadata: Map<String, Value>,
    before: Option<Value>,
    after: Option<Value>,
    occurred_at: Option<i64>,
    organization: String,
}

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)] // as many as the SQL function has
fn record(
    category: Option<String>,
    target_id: Option<String>,
    target_name: Option<String>,
    targets: Option<JsonB>,
    metadata: Option<JsonB>,
    before: Option<JsonB>,
    after: Option<JsonB>,
    occurred_at: Option<TimestampWithTimeZone>,
    organization: Option<String>,
    idempotency_key: Option<&str>,
) -> SqlResult<pgrx::Uuid> {
    let json = |value: Option<JsonB>| value.map(|v| v.0).filter(|v| !v.is_null());
    let run = || -> Result<uuid::Uuid, AuditError> {
        let category = category.ok_or_else(|| {
            AuditError::invalid("category", "category is null", "Name a category of audit_log.vocabulary.")
        })?;
        let known = vocabulary::category(&category)?;
        let own = match json(metadata) {
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
        let own = Value::Object(own);
        known.check_metadata(&category, &own)?;
        let targets = json(targets);
        let targets = event::recorded_targets(&known.target_type, target_id, target_name, targets.as_ref())?;
        let kinds: Vec<String> = targets.iter().map(|t| t.kind.clone()).collect();
        vocabulary::check("targets", &kinds)?;
        let context = context::current()?;
        let Value::Object(metadata) = own else { return Err(AuditError::internal("metadata")) };
        let recorded = Recorded {
            category,
            targets,
            metadata,
            before: json(before),
            after: json(after),
            occurred_at: occurred_at.map(|t| backend::unix_micros(t.into())),
            organization: organization
                .or_else(|| context.organization.clone())
                .filter(|o| !o.is_empty())
                .unwrap_or_else(|| "default".into()),
        };
        recorded.store(idempotency_key)
    };
    run().map(|id| pgrx::Uuid::from_bytes(*id.as_bytes())).map_err(to_report)
}

impl Recorded {
    fn store(&self, idempotency_key: Option<&str>) -> Result<uuid::Uuid, AuditError> {
        if !organization::enabled(&self.organization)? {
            return Err(append::not_enabled(&self.organization));
        }
        let Some(key) = idempotency_key else { return Ok(self.append()?.0) };
        let payload = self.payload();
        if let Some(first) = self.first(key, &payload)? {
            return Ok(first);
        }
        let (id, occurred_at) = self.append()?;
        let args = [
            text(Some(&self.organization)),
            text(Some(key)),
            Arg::of(Some(pgrx::Uuid::from_bytes(*id.as_bytes()))),
            Arg::datum(pgrx::pg_sys::TIMESTAMPTZOID, Some(backend::timestamptz(occurred_at))),
            Arg::of(Some(payload)),
        ];
        spi::execute(include_str!("../../sql/queries/idempotency_fill.sql"), &args)?;
        Ok(id)
    }

    fn append(&self) -> Result<(uuid::Uuid, i64), AuditError> {
        let context = context::current()?;
        let mut metadata = context.metadata.clone();
        metadata.extend(self.metadata.clone());
        append::append(&NewEntry {
            occurred_at: self.occurred_at,
            organization: &self.organization,
            category: &self.category,
            targets: &self.targets,
            before: self.before.as_ref().map(jsonb::from_value).transpose()?,
            after: self.after.as_ref().map(jsonb::from_value).transpose()?,
            metadata: Some(&metadata),
            ..with_context(&context)
        })
    }

    /// SHA-256 of everything the caller gave; the context may differ between two tries.
    fn payload(&self) -> Vec<u8> {
        let targets: Vec<Value> = self.targets.iter().map(Target::to_json).collect();
        let payload = json!([
            self.category,
            targets,
            self.metadata,
            self.before,
            self.after,
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
        let taken = spi::select_latest(sql, &args, |rows| {
            let row = rows.iter().next();
            Ok(row.and_then(|r| Some((r.get::<pgrx::Uuid>(1), r.get::<Vec<u8>>(2)?))))
        })?;
        match taken {
            None | Some((None, _)) => Ok(None),
            Some((Some(id), seen)) if seen == payload => Ok(Some(uuid::Uuid::from_bytes(*id.as_bytes()))),
            Some(_) => Err(AuditError::new(
                Code::InvalidInput,
                format!("idempotency key \"{key}\" was used for another event"),
                "Use a key for one event only; repeat a call with the very same arguments.",
            )),
        }
    }
}
