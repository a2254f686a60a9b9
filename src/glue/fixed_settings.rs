//! The settings that output functions read, in a fixed state for a while.

use std::ffi::{c_char, c_void, CStr};

use pgrx::pg_sys;

use super::past_pgrx;

extern "C" {
    /// utils/bytea.h, which the bindings leave out.
    static mut bytea_output: i32;
    /// utils/pg_locale.h, likewise.
    static mut locale_monetary: *mut c_char;
    fn assign_locale_monetary(value: *const c_char, extra: *mut c_void);
}
const BYTEA_OUTPUT_HEX: i32 = 1;
/// Names in the catalog have their schema, but for those of PostgreSQL itself.
const SEARCH_PATH: &CStr = c"pg_catalog, pg_temp";

/// Puts the settings that output functions read into a fixed state, and back when dropped.
pub struct FixedSettings {
    date_style: i32,
    date_order: i32,
    interval_style: i32,
    float_digits: i32,
    bytea_output: i32,
    quote_all: bool,
    time_zone: *mut pg_sys::pg_tz,
    monetary: *mut c_char,
    search_path: *mut c_char,
}

impl FixedSettings {
    pub fn begin() -> Self {
        // SAFETY: these are this process's own variables; the zone "UTC" always loads.
        unsafe {
            let saved = FixedSettings {
                date_style: pg_sys::DateStyle,
                date_order: pg_sys::DateOrder,
                interval_style: pg_sys::IntervalStyle,
                float_digits: pg_sys::extra_float_digits,
                bytea_output,
                quote_all: pg_sys::quote_all_identifiers,
                time_zone: pg_sys::session_timezone,
                monetary: locale_monetary,
                search_path: pg_sys::namespace_search_path,
            };
            pg_sys::DateStyle = pg_sys::USE_ISO_DATES as i32;
            pg_sys::DateOrder = pg_sys::DATEORDER_YMD as i32;
            pg_sys::IntervalStyle = pg_sys::INTSTYLE_POSTGRES as i32;
            pg_sys::extra_float_digits = 1;
            bytea_output = BYTEA_OUTPUT_HEX;
            pg_sys::quote_all_identifiers = false;
            let utc = pg_sys::pg_tzset(c"UTC".as_ptr());
            if !utc.is_null() {
                pg_sys::session_timezone = utc;
            }
            set_monetary(c"C".as_ptr().cast_mut());
            set_search_path(SEARCH_PATH.as_ptr().cast_mut());
            saved
        }
    }
}

impl Drop for FixedSettings {
    fn drop(&mut self) {
        // SAFETY: as in `begin`; these values were in force then.
        unsafe {
            pg_sys::DateStyle = self.date_style;
            pg_sys::DateOrder = self.date_order;
            pg_sys::IntervalStyle = self.interval_style;
            pg_sys::extra_float_digits = self.float_digits;
            bytea_output = self.bytea_output;
            pg_sys::quote_all_identifiers = self.quote_all;
            pg_sys::session_timezone = self.time_zone;
            set_monetary(self.monetary);
            set_search_path(self.search_path);
        }
    }
}

/// # Safety
/// The name of a locale that was accepted, which lives until it is set back.
unsafe fn set_monetary(name: *mut c_char) {
    // SAFETY: by contract both are terminated; the function drops what is cached of the other locale.
    unsafe {
        if CStr::from_ptr(locale_monetary) != CStr::from_ptr(name) {
            assign_locale_monetary(name, std::ptr::null_mut());
        }
        locale_monetary = name;
    }
}

/// # Safety
/// A valid search path, which lives until it is set back.
unsafe fn set_search_path(path: *mut c_char) {
    // SAFETY: by contract; the function has the path looked up again when a name is next looked for.
    unsafe {
        pg_sys::namespace_search_path = path;
        past_pgrx::assign_search_path(path, std::ptr::null_mut());
    }
}
