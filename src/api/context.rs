//! `set_context`.

use audit_log_model::AuditError;
use serde_json::Value;

use crate::glue::setting;
use crate::store::context;

/// Sets the context, or clears it; the setting's own check refuses a malformed one.
pub fn set_context(context: Option<Value>, is_local: bool) -> Result<(), AuditError> {
    let text = context.filter(|c| !c.is_null()).map(|c| c.to_string());
    // Checked here first, so that the error is ours alone; the setting checks once more.
    context::check(text.as_deref().unwrap_or_default(), true)?;
    setting::set_context(text.as_deref(), is_local)
}
