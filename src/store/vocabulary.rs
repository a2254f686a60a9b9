//! Checks against the vocabulary, and of metadata against a category's JSON Schema.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use audit_log_model::needle::folded;
use audit_log_model::{nearest, schema_refs, AuditError};
use jsonschema::Validator;
use pgrx::pg_sys;
use serde_json::Value;

use super::signal::Signal;
use crate::glue::current_rows::{Table, Written};
use crate::glue::jsonb;

/// Category, target_type, label, description, color, tab, builtin, metadata_schema.
const CATEGORIES: Table =
    Table::new(c"category_definition", Written::InPlace, Some(c"category_definition_pkey"));
/// Code, label.
const TYPES: Table = Table::new(c"target_type", Written::InPlace, None);
const ACTOR_TYPES: Table = Table::new(c"actor_type", Written::InPlace, None);

/// What the vocabulary says of a category.
pub struct Category {
    pub target_type: String,
    metadata_schema: Option<String>,
}

/// Sessions that see very many schemas start over rather than grow.
const MOST_VALIDATORS: usize = 1_000;

thread_local! {
    /// Compiled schemas by their text, which says all of them.
    static VALIDATORS: RefCell<HashMap<String, Rc<Validator>>> = RefCell::default();
    /// The target type each category belongs to.
    static TARGET_TYPES: RefCell<Option<HashMap<String, String>>> = const { RefCell::new(None) };
    static SIGNAL: Signal = const { Signal::of(CATEGORIES.name) };
}

/// Looks a category up; 22023 with the nearest match where there is none.
pub fn category(code: &str) -> Result<Category, AuditError> {
    let mut found = None;
    CATEGORIES.with_text(code, |row| {
        let schema = row.value(7).map(jsonb::to_text).transpose();
        found = row.get(1).map(|target_type| schema.map(|schema| (target_type, schema)));
    });
    let (target_type, metadata_schema) = found.ok_or_else(|| unknown("category", code))??;
    Ok(Category { target_type, metadata_schema })
}

/// The first columns, which are text, of every row of a table.
fn texts<const COLUMNS: usize>(table: &Table) -> Vec<[String; COLUMNS]> {
    let mut rows = Vec::new();
    table.each(|row| rows.push(std::array::from_fn(|column| row.get(column).unwrap_or_default())));
    rows
}

/// Category, target type, label, description, color and tab of every category.
pub fn categories() -> Vec<[String; 6]> {
    texts(&CATEGORIES)
}

/// Code and label of every target type.
pub fn target_types() -> Vec<[String; 2]> {
    texts(&TYPES)
}

/// The codes of all actor types; none in a database without the extension.
pub fn actor_types() -> Vec<String> {
    texts(&ACTOR_TYPES).into_iter().map(|[code]| code).collect()
}

/// Checks that codes are in the vocabulary; `field` is named in the error.
pub fn check(field: &str, codes: &[String]) -> Result<(), AuditError> {
    if codes.is_empty() {
        return Ok(());
    }
    let known = known(field);
    match codes.iter().find(|c| !known.contains(c)) {
        None => Ok(()),
        Some(code) => Err(unknown(field, code)),
    }
}

fn known(field: &str) -> Vec<String> {
    let table = match field {
        "category" | "categories" | "action" => &CATEGORIES,
        "actor_type" => &ACTOR_TYPES,
        _ => &TYPES,
    };
    texts(table).into_iter().map(|[code]| code).collect()
}

/// Whether a target type is the one that a category belongs to.
pub fn belongs(category: &str, target_type: &str) -> bool {
    let is_own = |all: &HashMap<String, String>| all.get(category).is_some_and(|own| own == target_type);
    if let Some(known) = TARGET_TYPES.with_borrow(|all| all.as_ref().map(is_own)) {
        return known;
    }
    let moment = SIGNAL.with(Signal::now);
    let all: HashMap<_, _> = texts(&CATEGORIES).into_iter().map(|[category, own]| (category, own)).collect();
    let found = is_own(&all);
    if SIGNAL.with(|signal| signal.is_unchanged_since(moment)) {
        TARGET_TYPES.set(Some(all));
    }
    found
}

/// The categories that belong to any of several target types.
pub fn categories_of(target_types: &[String]) -> Vec<String> {
    if target_types.is_empty() {
        return Vec::new();
    }
    let all = texts(&CATEGORIES).into_iter();
    all.filter(|[_, own]| target_types.contains(own)).map(|[category, _]| category).collect()
}

/// The categories of a page's tab, and those that are called by a category or a label, in any case.
pub fn of_page(tab: Option<&str>, action: Option<&str>) -> Result<Vec<String>, AuditError> {
    let action = action.map(|action| (action, folded(action)));
    let is_called = |category: &str, label: &str| {
        action.as_ref().is_none_or(|(action, called)| category == *action || folded(label) == *called)
    };
    let all = categories().into_iter();
    let mut called: Vec<_> = all.filter(|[category, _, label, ..]| is_called(category, label)).collect();
    if let Some((action, _)) = action.filter(|_| called.is_empty()) {
        return Err(unknown("action", action));
    }
    called.retain(|[.., in_tab]: &[String; 6]| tab.is_none_or(|tab| in_tab == tab));
    let mut categories: Vec<String> = called.into_iter().map(|[category, ..]| category).collect();
    categories.sort_unstable();
    Ok(categories)
}

/// Forgets what may have changed.
pub fn relation_changed(relation: Option<pg_sys::Oid>) {
    if SIGNAL.with(|signal| signal.relation_changed(relation)) {
        TARGET_TYPES.set(None);
    }
}

fn unknown(field: &str, code: &str) -> AuditError {
    let (noun, listed) = match field {
        "category" | "categories" | "action" => (
            "category",
            "SELECT category FROM audit_log.vocabulary lists the categories; define_category adds one.",
        ),
        "actor_type" => (
            "actor type",
            "SELECT code FROM audit_log.actor_type lists the types; define_actor_type adds one.",
        ),
        _ => (
            "target type",
            "SELECT code FROM audit_log.target_type lists the types; define_target_type adds one.",
        ),
    };
    let mut known = known(field);
    if field == "action" {
        known.extend(texts(&CATEGORIES).into_iter().map(|[_, _, label]| label));
    }
    let message = match nearest::nearest(code, known.iter().map(String::as_str)) {
        Some(best) => format!("unknown {noun} \"{code}\"; did you mean \"{best}\"?"),
        None => format!("unknown {noun} \"{code}\""),
    };
    AuditError::invalid(field, message, listed)
}

/// Compiles a JSON Schema; 22023 where it is none.
pub fn compile(schema: &Value) -> Result<Validator, AuditError> {
    let refuse = |fault: String| {
        AuditError::invalid(
            "metadata_schema",
            format!("metadata_schema is not a JSON Schema that can be used: {fault}"),
            "Give a JSON Schema, like {\"type\": \"object\", \"required\": [\"reason\"]}; references go into the schema itself and in no circle.",
        )
    };
    // Before the validator sees it: it would follow a circle until the stack ends.
    match schema_refs::fault(schema) {
        Some(fault) => Err(refuse(fault)),
        None => jsonschema::validator_for(schema).map_err(|e| refuse(e.to_string())),
    }
}

impl Category {
    /// Checks metadata against the category's schema, if it has one.
    pub fn check_metadata(&self, category: &str, metadata: &Value) -> Result<(), AuditError> {
        let Some(schema) = &self.metadata_schema else { return Ok(()) };
        let validator = validator(schema)?;
        let Some(fault) = validator.iter_errors(metadata).next() else { return Ok(()) };
        let place = format!("metadata{}", fault.instance_path.to_string().replace('/', "."));
        Err(AuditError::invalid(
            place.clone(),
            format!("{place} does not match the schema of category \"{category}\": {fault}"),
            format!("SELECT metadata_schema FROM audit_log.vocabulary WHERE category = '{category}' shows what it takes."),
        ))
    }
}

fn validator(schema: &str) -> Result<Rc<Validator>, AuditError> {
    if let Some(known) = VALIDATORS.with_borrow(|all| all.get(schema).cloned()) {
        return Ok(known);
    }
    let value: Value = serde_json::from_str(schema)
        .map_err(|e| AuditError::internal(format!("a stored metadata_schema is not JSON: {e}")))?;
    let compiled = Rc::new(compile(&value)?);
    VALIDATORS.with_borrow_mut(|all| {
        if all.len() >= MOST_VALIDATORS {
            all.clear();
        }
        all.insert(schema.to_string(), compiled.clone())
    });
    Ok(compiled)
}
