//! `import`: records of other systems, one at a time.

use audit_log_model::context::Context;
use audit_log_model::event::{Relation, Target};
use audit_log_model::watch_options::StoredOperation;
use audit_log_model::{import, AuditError};
use pgrx::pg_extern;
use serde_json::{json, Value};

use crate::glue::error::{to_report, SqlResult};
use crate::glue::jsonb;
use crate::glue::memory::with_current;
use crate::store::append::{self, NewEntry};
use crate::store::provenance::Provenance;
use crate::store::{context, organization, vocabulary};

#[pg_extern(sql = false)]
fn check_import_format(format: Option<&str>) -> SqlResult<()> {
    let format = format.unwrap_or_default();
    if import::FORMATS.contains(&format) {
        return Ok(());
    }
    // Parsing an empty record in an unknown format says what the formats are.
    import::parse(format, &json!({})).map(drop).map_err(to_report)
}

/// Imports one record; returns the new entry's id.
pub fn import_event(record: &Value, format: &str) -> Result<uuid::Uuid, AuditError> {
    let mut event = import::parse(format, record)?;
    let category = vocabulary::category(&event.category)?;
    match event.targets.first_mut() {
        None => event.targets.push(Target::new(category.target_type, None, Relation::Primary)),
        Some(primary) if primary.kind.is_empty() => primary.kind = category.target_type,
        Some(_) => {}
    }
    let kinds: Vec<String> = event.targets.iter().map(|t| t.kind.clone()).collect();
    vocabulary::check("targets", &kinds)?;
    context::check_actor_type("actor.type", &event.actor.kind)?;
    if let Some(effective) = &event.effective_actor {
        context::check_actor_type("effective_actor.type", &effective.kind)?;
    }
    let organization = event.organization.as_deref().unwrap_or("default");
    if !organization::enabled(organization)? {
        return Err(append::not_enabled(organization));
    }
    let source = json!({"format": format, "record": record});
    let context = Context {
        actor: Some(event.actor),
        effective_actor: event.effective_actor,
        remote_addr: event.remote_addr,
        access_route: event.access_route,
        user_agent: event.user_agent,
        request_id: event.request_id,
        ..Context::default()
    };
    let metadata = event.metadata.filter(|m| !m.is_empty()).map(Value::Object);
    let provenance = Provenance::of(&context)?;
    let (id, _) = with_current(|memory| {
        let json = |value: &Value| jsonb::from_value(value, memory);
        append::append(&NewEntry {
            occurred_at: event.occurred_at.map(|t| t.timestamp_micros()),
            operation: event.operation.as_deref().and_then(StoredOperation::named),
            organization,
            category: &event.category,
            targets: &event.targets,
            before: event.before.as_ref().map(json).transpose()?,
            after: event.after.as_ref().map(json).transpose()?,
            metadata: metadata.as_ref().map(json).transpose()?,
            source: Some(&source),
            ..NewEntry::from(&provenance)
        })
    })?;
    Ok(id)
}
