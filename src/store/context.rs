//! The context in force, parsed once a distinct value.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::rc::Rc;

use audit_log_model::context::{unknown_actor_type, Context, ACTOR_TYPES};
use audit_log_model::AuditError;
use pgrx::pg_sys;
use serde_json::{Map, Value};

use super::provenance::Provenance;
use super::signal::Signal;
use super::vocabulary;
use crate::glue::memory::Arena;
use crate::glue::value;
use crate::glue::varlena::Kept;
use crate::glue::{backend, jsonb, setting};

/// A context with what entries take from it ready to be stored.
pub struct Current {
    pub context: Context,
    pub provenance: Provenance,
    metadata: Option<Kept>,
}

impl Current {
    fn new(context: Context) -> Result<Self, AuditError> {
        let metadata = (!context.metadata.is_empty()).then(|| Value::Object(context.metadata.clone()));
        Ok(Current {
            provenance: Provenance::of(&context)?,
            metadata: metadata.as_ref().map(Kept::jsonb).transpose()?,
            context,
        })
    }

    /// The organization of what names none itself.
    pub fn organization(&self) -> &str {
        self.context.organization.as_deref().unwrap_or("default")
    }

    /// The metadata as jsonb, with entries of one's own over it, key by key.
    pub fn metadata<'a>(
        &'a self,
        own: Map<String, Value>,
        memory: &'a Arena,
    ) -> Result<Option<value::Value<'a>>, AuditError> {
        if own.is_empty() {
            return Ok(self.metadata.as_ref().map(Kept::value));
        }
        let mut all = self.context.metadata.clone();
        all.extend(own);
        jsonb::from_value(&Value::Object(all), memory).map(Some)
    }
}

thread_local! {
    /// The last context that was in force, and its text; of no context, no text.
    static PARSED: RefCell<Option<(CString, Rc<Current>)>> = const { RefCell::new(None) };
    /// Its actor types were checked.
    static SIGNAL: Signal = const { Signal::of(c"actor_type") };
}

/// Checks a context's shape and, where tables can be read, its actor types.
pub fn check(text: &str, with_catalog: bool) -> Result<(), AuditError> {
    let context = Context::parse(text)?;
    if with_catalog {
        check_actor_types(&context)?;
    }
    Ok(())
}

/// The session's context; 22023 where it was set unchecked and is malformed.
pub fn current() -> Result<Rc<Current>, AuditError> {
    backend::hear_of_changes();
    let known = setting::with_context(|text| {
        PARSED.with_borrow(|parsed| {
            parsed.as_ref().filter(|(seen, _)| seen.as_c_str() == text).map(|(_, current)| current.clone())
        })
    });
    if let Some(current) = known {
        return Ok(current);
    }
    let moment = SIGNAL.with(Signal::now);
    let text = setting::with_context(CStr::to_owned);
    let context = Context::parse(&text.to_string_lossy())?;
    check_actor_types(&context)?;
    let current = Rc::new(Current::new(context)?);
    if SIGNAL.with(|signal| signal.is_unchanged_since(moment)) {
        PARSED.set(Some((text, current.clone())));
    }
    Ok(current)
}

fn check_actor_types(context: &Context) -> Result<(), AuditError> {
    context.actor_types().try_for_each(|(field, kind)| check_actor_type(field, kind))
}

/// Checks one actor type; the field is named in the error.
pub fn check_actor_type(field: &str, kind: &str) -> Result<(), AuditError> {
    if ACTOR_TYPES.contains(&kind) {
        return Ok(());
    }
    let known: Vec<String> = vocabulary::actor_types();
    // In a database without the extension there is nothing to check against.
    if known.is_empty() || known.iter().any(|k| k == kind) {
        return Ok(());
    }
    Err(unknown_actor_type(field, kind, &known))
}

/// Forgets a context whose actor types may be others now.
pub fn relation_changed(relation: Option<pg_sys::Oid>) {
    if SIGNAL.with(|signal| signal.relation_changed(relation)) {
        PARSED.set(None);
    }
}
