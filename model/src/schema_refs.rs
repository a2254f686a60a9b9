//! References inside a JSON Schema: only into itself, and never in a circle.
//!
//! A validator follows references without end where they lead back to where it stands.

use std::collections::HashSet;

use serde_json::Value;

/// What is wrong with the references of a schema, if anything.
pub fn fault(schema: &Value) -> Option<String> {
    visit(schema, "", &mut Vec::new(), &mut HashSet::new()).err()
}

fn visit(
    root: &Value,
    pointer: &str,
    path: &mut Vec<String>,
    done: &mut HashSet<String>,
) -> Result<(), String> {
    if path.iter().any(|p| p == pointer) {
        return Err(format!("the reference #{pointer} leads back to itself"));
    }
    if done.contains(pointer) {
        return Ok(());
    }
    let target = root.pointer(pointer).ok_or_else(|| format!("the reference #{pointer} leads nowhere"))?;
    path.push(pointer.to_string());
    let mut references = Vec::new();
    collect(target, &mut references)?;
    for reference in references {
        visit(root, &reference, path, done)?;
    }
    path.pop();
    done.insert(pointer.to_string());
    Ok(())
}

fn collect(value: &Value, references: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| collect(item, references)),
        Value::Object(map) => map.iter().try_for_each(|(key, value)| match (key.as_str(), value) {
            ("$ref", Value::String(to)) => {
                match to.strip_prefix('#').filter(|p| p.is_empty() || p.starts_with('/')) {
                    Some(pointer) if !pointer.contains('%') => {
                        references.push(pointer.to_string());
                        Ok(())
                    }
                    _ => Err(format!(
                        "the reference {to} is not a JSON pointer into the schema, like #/$defs/name"
                    )),
                }
            }
            (
                "$dynamicRef" | "$recursiveRef" | "$id" | "id" | "$anchor" | "$dynamicAnchor",
                Value::String(_),
            ) => Err(format!("{key} is not supported")),
            _ => collect(value, references),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::fault;
    use serde_json::json;

    #[test]
    fn circles_and_other_documents_are_refused() {
        for bad in [
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
            json!({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}),
            json!({"properties": {"x": {"$ref": "#/properties/x"}}}),
            json!({"$ref": "http://example.com/schema"}),
            json!({"$ref": "#nowhere"}),
            json!({"$ref": "#/$defs/none"}),
            json!({"$dynamicRef": "#meta"}),
        ] {
            assert!(fault(&bad).is_some(), "{bad}");
        }
        for good in [
            json!({"properties": {"x": {"$ref": "#/$defs/id"}, "y": {"$ref": "#/$defs/id"}}, "$defs": {"id": {"type": "string"}}}),
            json!({"enum": ["#"], "required": ["$ref"]}),
            json!(true),
        ] {
            assert_eq!(fault(&good), None, "{good}");
        }
    }
}
