//! `set_context`.

use pgrx::{pg_extern, JsonB};

use crate::glue::error::{to_report, SqlResult};
use crate::glue::setting;

#[pg_extern(sql = false)]
fn set_context(context: Option<JsonB>, is_local: Option<bool>) -> SqlResult<()> {
    let text = context.filter(|c| !c.0.is_null()).map(|c| c.0.to_string());
    setting::set_context(text.as_deref(), is_local.unwrap_or(true)).map_err(to_report)
}
