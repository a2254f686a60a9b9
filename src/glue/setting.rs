//! The extension's settings.

use std::cell::Cell;
use std::ffi::{c_char, c_void, CStr, CString};

use audit_log_model::{database_list, AuditError};
use pgrx::{pg_sys, GucContext, GucFlags, GucRegistry, GucSetting};

use super::error::sqlstate;

static CONTEXT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static DATABASES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"*"));
static RETENTION_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(3_600);
static AUTO_ENABLE: GucSetting<bool> = GucSetting::<bool>::new(true);

/// Checks a context's text; `with_catalog` says whether tables can be read now.
pub type ContextCheck = fn(text: &str, with_catalog: bool) -> Result<(), AuditError>;

thread_local! {
    static CHECK: Cell<Option<ContextCheck>> = const { Cell::new(None) };
}

/// Defines the settings. A value that was set before the library was loaded is taken over as it
/// is, and checked at the first capture.
pub fn define(check: ContextCheck) {
    // SAFETY: the hook is guarded and lives as long as the process.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"audit_log.context",
            c"Who acts, for whom, from where, in which request; JSON as audit_log.set_context takes it.",
            c"Set it with SET LOCAL, or with audit_log.set_context(), so that it ends with the transaction.",
            &CONTEXT,
            GucContext::Userset,
            GucFlags::default(),
            Some(check_context),
            None,
            None,
        );
    }
    GucRegistry::define_bool_guc(
        c"audit_log.auto_enable_organizations",
        c"Whether an organization first seen in a write is logged from then on.",
        c"Where it is off, organizations are logged only after audit_log.enable_organization().",
        &AUTO_ENABLE,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"audit_log.databases",
        c"Databases that the background worker serves: *, or names apart by commas.",
        c"Those without the extension it leaves alone.",
        &DATABASES,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"audit_log.retention_interval",
        c"How often the background worker removes what is expired; 0 for never.",
        c"Without the worker, call audit_log.run_retention() from a scheduler.",
        &RETENTION_INTERVAL,
        0,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    // SAFETY: a terminated string.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"audit_log".as_ptr()) };
    CHECK.set(Some(check));
}

/// The databases to be served.
pub struct Databases(String);

impl Databases {
    pub fn contains(&self, name: &str) -> bool {
        database_list::names(&self.0, name)
    }
}

pub fn databases() -> Databases {
    Databases(DATABASES.get().map_or_else(String::new, |list| list.to_string_lossy().into_owned()))
}

pub fn auto_enable_organizations() -> bool {
    AUTO_ENABLE.get()
}

/// Gives the context's text; empty where none is set. What reads it sets no other.
pub fn with_context<T>(read: impl FnOnce(&CStr) -> T) -> T {
    // SAFETY: the setting is NULL or a terminated string, which lasts as long as nobody sets another.
    let text = unsafe {
        let text = *CONTEXT.as_ptr();
        if text.is_null() {
            c""
        } else {
            CStr::from_ptr(text)
        }
    };
    read(text)
}

/// Sets the context as SET or SET LOCAL would; the check runs and may fail.
pub fn set_context(text: Option<&str>, local: bool) -> Result<(), AuditError> {
    let value =
        CString::new(text.unwrap_or_default()).map_err(|_| AuditError::internal("a context holds a NUL"))?;
    let action = if local { pg_sys::GucAction::GUC_ACTION_LOCAL } else { pg_sys::GucAction::GUC_ACTION_SET };
    // SAFETY: terminated strings; a refused value raises.
    unsafe {
        pg_sys::set_config_option(
            c"audit_log.context".as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        );
    }
    Ok(())
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn check_context(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: PostgreSQL passes the address of a terminated string or of NULL.
    let text = unsafe {
        if (*value).is_null() || pg_sys::InitializingParallelWorker {
            return true;
        }
        CStr::from_ptr(*value).to_string_lossy().into_owned()
    };
    let Some(check) = CHECK.get() else { return true };
    let interactive = source == pg_sys::GucSource::PGC_S_SESSION;
    match check(&text, interactive && super::backend::in_transaction()) {
        Ok(()) => true,
        Err(error) => {
            // SAFETY: PostgreSQL reads these right after the hook and frees them with the context.
            unsafe {
                pg_sys::GUC_check_errcode(sqlstate(error.code) as i32);
                pg_sys::GUC_check_errmsg_string = palloc_text(&error.message);
                pg_sys::GUC_check_errdetail_string = palloc_text(&error.detail_text());
                pg_sys::GUC_check_errhint_string = palloc_text(&error.hint);
            }
            false
        }
    }
}

/// # Safety
/// Call with a current memory context.
unsafe fn palloc_text(text: &str) -> *mut c_char {
    // SAFETY: pnstrdup copies and terminates.
    unsafe { pg_sys::pnstrdup(text.as_ptr().cast(), text.len()) }
}
