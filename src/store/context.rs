//! The context in force, parsed once a distinct value.

use std::cell::RefCell;
use std::rc::Rc;

use audit_log_model::context::{unknown_actor_type, Context, ACTOR_TYPES};
use audit_log_model::AuditError;

use crate::glue::{backend, setting};

thread_local! {
    static PARSED: RefCell<Option<(String, Rc<Context>)>> = const { RefCell::new(None) };
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
pub fn current() -> Result<Rc<Context>, AuditError> {
    let Some(text) = setting::context() else { return Ok(Rc::default()) };
    let known = PARSED.with_borrow(|parsed| match parsed {
        Some((seen, context)) if *seen == text => Some(context.clone()),
        _ => None,
    });
    if let Some(context) = known {
        return Ok(context);
    }
    let context = Rc::new(Context::parse(&text)?);
    check_actor_types(&context)?;
    PARSED.set(Some((text, context.clone())));
    Ok(context)
}

fn check_actor_types(context: &Context) -> Result<(), AuditError> {
    context.actor_types().try_for_each(|(field, kind)| check_actor_type(field, kind))
}

/// Checks one actor type; the field is named in the error.
pub fn check_actor_type(field: &str, kind: &str) -> Result<(), AuditError> {
    if ACTOR_TYPES.contains(&kind) {
        return Ok(());
    }
    let known = backend::codes(c"actor_type");
    // In a database without the extension there is nothing to check against.
    if known.is_empty() || known.iter().any(|k| k == kind) {
        return Ok(());
    }
    Err(unknown_actor_type(field, kind, &known))
}
