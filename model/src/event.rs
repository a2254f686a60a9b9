//! An event before it is stored: targets and their shape.

use serde_json::{Map, Value};

use crate::{AuditError, Code};

/// How a target stands to its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Primary,
    Related,
    Parent,
}

impl Relation {
    pub fn as_str(self) -> &'static str {
        match self {
            Relation::Primary => "primary",
            Relation::Related => "related",
            Relation::Parent => "parent",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Relation::Primary, Relation::Related, Relation::Parent].into_iter().find(|r| r.as_str() == text)
    }
}

/// Something an event was done to.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    pub kind: String,
    pub id: Option<String>,
    pub name: Option<String>,
    pub relation: Relation,
    pub metadata: Option<Value>,
}

impl Target {
    pub fn new(kind: impl Into<String>, id: Option<String>, relation: Relation) -> Self {
        Target { kind: kind.into(), id, name: None, relation, metadata: None }
    }

    /// The stored JSON: `{"type","id","name"?,"relation","metadata"?}`.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("type".into(), Value::from(self.kind.as_str()));
        map.insert("id".into(), Value::from(self.id.as_deref()));
        if let Some(name) = &self.name {
            map.insert("name".into(), Value::from(name.as_str()));
        }
        map.insert("relation".into(), Value::from(self.relation.as_str()));
        if let Some(metadata) = &self.metadata {
            map.insert("metadata".into(), metadata.clone());
        }
        Value::Object(map)
    }
}

/// All targets of an event as stored, or None where the primary's own columns say everything.
pub fn targets_to_store(targets: &[Target]) -> Option<Value> {
    match targets {
        [] => None,
        [only] if only.metadata.is_none() => None,
        all => Some(Value::Array(all.iter().map(Target::to_json).collect())),
    }
}

/// The targets of a recorded event: `target_id` and `target_name` name the primary one, `targets`
/// the others; without a `target_id` the first of `targets` is the primary one.
pub fn recorded_targets(
    category_type: &str,
    target_id: Option<String>,
    target_name: Option<String>,
    targets: Option<&Value>,
) -> Result<Vec<Target>, AuditError> {
    let mut listed = match targets {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(i, item)| parse_target(&format!("targets[{i}]"), item))
            .collect::<Result<Vec<_>, _>>()?,
        Some(_) => return Err(malformed("targets", "targets is not a JSON array")),
    };
    let primary = match (target_id, take_primary(&mut listed)?) {
        (None, Some(mut primary)) => {
            primary.name = target_name.or(primary.name);
            primary
        }
        (None, None) if listed.is_empty() => {
            Target { name: target_name, ..Target::new(category_type, None, Relation::Primary) }
        }
        (None, None) => Target { relation: Relation::Primary, ..listed.remove(0) },
        (Some(id), None) => {
            Target { name: target_name, ..Target::new(category_type, Some(id), Relation::Primary) }
        }
        (Some(id), Some(mut primary)) => {
            if primary.id.as_deref() != Some(id.as_str()) {
                return Err(malformed(
                    "targets",
                    "target_id and the primary one of targets are not the same",
                ));
            }
            primary.name = target_name.or(primary.name);
            primary
        }
    };
    for target in &mut listed {
        if target.relation == Relation::Primary {
            target.relation = Relation::Related;
        }
    }
    listed.insert(0, primary);
    Ok(listed)
}

/// Removes the target that calls itself primary; two of them are an error.
fn take_primary(listed: &mut Vec<Target>) -> Result<Option<Target>, AuditError> {
    let is_primary = |t: &Target| t.relation == Relation::Primary;
    if listed.iter().filter(|t| is_primary(t)).count() > 1 {
        return Err(malformed("targets", "more than one of targets is primary"));
    }
    Ok(listed.iter().position(is_primary).map(|at| listed.remove(at)))
}

/// Reads one target; `relation` is `related` where it is not given.
pub fn parse_target(path: &str, value: &Value) -> Result<Target, AuditError> {
    let Value::Object(map) = value else {
        return Err(malformed(path, format!("{path} is not a JSON object")));
    };
    let mut target = Target::new("", None, Relation::Related);
    for (key, value) in map {
        let at = format!("{path}.{key}");
        match key.as_str() {
            _ if value.is_null() => {}
            "type" => target.kind = scalar(&at, value)?,
            "id" => target.id = Some(scalar(&at, value)?),
            "name" => target.name = Some(scalar(&at, value)?),
            "relation" => {
                target.relation = value
                    .as_str()
                    .and_then(Relation::parse)
                    .ok_or_else(|| malformed(&at, format!("{at} is none of primary, related, parent")))?;
            }
            "metadata" => target.metadata = Some(value.clone()),
            _ => return Err(malformed(&at, format!("unknown key \"{key}\" in {path}"))),
        }
    }
    if target.kind.is_empty() {
        return Err(malformed(&format!("{path}.type"), format!("{path} has no type")));
    }
    Ok(target)
}

/// A string, or a number as its text.
pub(crate) fn scalar(path: &str, value: &Value) -> Result<String, AuditError> {
    match value {
        Value::String(s) if !s.contains('\0') => Ok(s.clone()),
        Value::Number(n) => Ok(n.to_string()),
        _ => Err(malformed(path, format!("{path} is neither a string nor a number"))),
    }
}

pub(crate) fn malformed(field: &str, message: impl Into<String>) -> AuditError {
    AuditError {
        field: Some(field.to_string()),
        ..AuditError::new(
            Code::InvalidInput,
            message,
            "A target is {\"type\", \"id\", \"name\"?, \"relation\"?: primary|related|parent, \"metadata\"?}.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn summary(targets: &[Target]) -> Vec<String> {
        let id = |t: &Target| t.id.clone().unwrap_or_default();
        targets.iter().map(|t| format!("{}:{}:{}", t.relation.as_str(), t.kind, id(t))).collect()
    }

    #[test]
    fn the_primary_is_named_by_argument_by_relation_or_by_place() {
        let list = json!([{"type": "job", "id": 1}, {"type": "user", "id": "2", "relation": "parent"}]);
        let by_argument = recorded_targets("offer", Some("9".into()), None, Some(&list)).unwrap();
        assert_eq!(summary(&by_argument), ["primary:offer:9", "related:job:1", "parent:user:2"]);
        let by_place = recorded_targets("offer", None, None, Some(&list)).unwrap();
        assert_eq!(summary(&by_place), ["primary:job:1", "parent:user:2"]);
        let list = json!([{"type": "job", "id": 1}, {"type": "user", "id": 2, "relation": "primary"}]);
        let by_relation = recorded_targets("offer", None, Some("Ann".into()), Some(&list)).unwrap();
        assert_eq!(summary(&by_relation), ["primary:user:2", "related:job:1"]);
        assert_eq!(by_relation[0].name.as_deref(), Some("Ann"));
        let nothing = recorded_targets("offer", None, None, None).unwrap();
        assert_eq!(summary(&nothing), ["primary:offer:"]);
    }

    #[test]
    fn faults_name_their_place() {
        for (targets, field) in [
            (json!({}), "targets"),
            (json!([1]), "targets[0]"),
            (json!([{"id": 1}]), "targets[0].type"),
            (json!([{"type": "job"}, {"type": "job", "kind": 1}]), "targets[1].kind"),
            (json!([{"type": "job", "relation": "aunt"}]), "targets[0].relation"),
            (json!([{"type": "a", "relation": "primary"}, {"type": "b", "relation": "primary"}]), "targets"),
        ] {
            let error = recorded_targets("offer", None, None, Some(&targets)).unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field), "{targets}");
        }
        let other = json!([{"type": "job", "id": 1, "relation": "primary"}]);
        assert!(recorded_targets("job", Some("2".into()), None, Some(&other)).is_err());
    }
}
