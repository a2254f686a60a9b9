//! The settings that output functions read, in a fixed state for a while.

use pgrx::pg_sys;

extern "C" {
    /// utils/bytea.h, which the bindings leave out.
    static mut bytea_output: i32;
}
const BYTEA_OUTPUT_HEX: i32 = 1;

/// Puts the settings that output functions read into a fixed state, and back when dropped.
pub struct FixedSettings {
    date_style: i32,
    date_order: i32,
    interval_style: i32,
    float_digits: i32,
    bytea_output: i32,
    quote_all: bool,
    time_zone: *mut pg_sys::pg_tz,
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
        }
    }
}
