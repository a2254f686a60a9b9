//! Import of entries in the shape `list_json` returns (camelCase), or as rows of `entry`.

use serde_json::Value;

use crate::context::Actor;
use crate::event::{self, Relation, Target};
use crate::import::{fault, Fields, ImportedEvent};
use crate::AuditError;

/// Reads an entry; ids, positions and the like of the source stay with the kept record.
pub(crate) fn entry(record: Fields) -> Result<ImportedEvent, AuditError> {
    let actor = person(&record, "actor", ["actor_type", "actor_id", "actor_name", "actor_email"])?;
    let effective_columns =
        ["effective_actor_type", "effective_actor_id", "effective_actor_name", "effective_actor_email"];
    let effective = match person(&record, "effectiveActor", effective_columns)? {
        None => person(&record, "effective_actor", effective_columns)?,
        some => some,
    };
    let actor = actor.unwrap_or_else(Actor::system);
    let value = |key| record.any(&[key]).map(|(_, v)| v.clone());
    let operation = record.text(&["operation"])?;
    if let Some(op) = operation.as_deref() {
        if !["insert", "update", "delete", "truncate"].contains(&op) {
            return Err(fault("operation", format!("unknown operation \"{op}\"")));
        }
    }
    Ok(ImportedEvent {
        category: record.required(&["category"])?,
        occurred_at: record.instant(&["occurredAt", "occurred_at"])?,
        organization: record.text(&["organizationId", "organization_id", "organization"])?,
        operation,
        effective_actor: effective.filter(|e| *e != actor),
        actor,
        targets: targets(&record)?,
        before: value("before"),
        after: value("after"),
        metadata: record.object(&["metadata"])?.cloned(),
        remote_addr: record.address(&["remoteAddr", "remote_addr"])?,
        access_route: record.route(&["accessRoute", "access_route"])?,
        user_agent: record.text(&["userAgent", "user_agent"])?,
        request_id: record.text(&["requestId", "request_id"])?,
    })
}

/// A person as an object under `key`, or as flat columns.
fn person(
    record: &Fields,
    key: &'static str,
    columns: [&'static str; 4],
) -> Result<Option<Actor>, AuditError> {
    let nested = record.object(&[key])?.map(Fields);
    let read = |nested_key: &'static str, column: &'static str| match &nested {
        Some(fields) => fields.text(&[nested_key]),
        None => record.text(&[column]),
    };
    let [kind, id, name, email] = columns;
    let Some(kind) = read("type", kind)? else {
        return match nested {
            Some(_) => Err(fault(key, format!("{key} has no type"))),
            None => Ok(None),
        };
    };
    Ok(Some(Actor { kind, id: read("id", id)?, name: read("name", name)?, email: read("email", email)? }))
}

/// `targets` where it is there, else the primary one from `target` or the flat columns.
fn targets(record: &Fields) -> Result<Vec<Target>, AuditError> {
    let listed = record.list(&["targets"])?;
    if !listed.is_empty() {
        let parse = |(i, v): (usize, &Value)| event::parse_target(&format!("targets[{i}]"), v);
        let mut targets = listed.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
        let primary = targets.iter().position(|t| t.relation == Relation::Primary).unwrap_or(0);
        let mut first = targets.remove(primary);
        first.relation = Relation::Primary;
        targets.insert(0, first);
        return Ok(targets);
    }
    let columns = ["target_type", "target_id", "target_name", "target_email"];
    let Some(target) = person(record, "target", columns)? else {
        let (id, name) = (record.text(&["target_id"])?, record.text(&["target_name"])?);
        // Its type is its category's, which the vocabulary knows.
        return Ok(match id.is_some() || name.is_some() {
            true => vec![Target { name, ..Target::new(String::new(), id, Relation::Primary) }],
            false => Vec::new(),
        });
    };
    let mut primary = Target::new(target.kind, target.id, Relation::Primary);
    primary.name = target.name;
    Ok(vec![primary])
}
