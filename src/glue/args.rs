//! Arguments of SQL functions as Rust values.

use std::ffi::CStr;

use audit_log_model::AuditError;
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::{pg_sys, FromDatum};
use serde_json::Value;

use super::varlena::text_bytes;

/// A row state as it came: stored untouched, and as text to tell payloads apart.
pub struct RowState {
    pub jsonb: pg_sys::Datum,
    pub text: String,
}

/// The arguments of one call, counted from 0.
pub struct Args(pg_sys::FunctionCallInfo);

impl Args {
    /// # Safety
    /// `fcinfo` is the call PostgreSQL made, and the types asked for are the declared ones.
    pub unsafe fn of(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        Args(fcinfo)
    }

    pub fn get<T: FromDatum>(&self, i: usize) -> Option<T> {
        // SAFETY: by the contract of `of`.
        unsafe { pg_getarg(self.0, i) }
    }

    pub fn text(&self, i: usize) -> Option<String> {
        self.get(i)
    }

    /// A text's bytes as they stand, or expanded where it was compressed; it must be a text.
    pub fn bytes(&self, i: usize) -> Option<&[u8]> {
        self.datum(i).map(text_bytes)
    }

    /// A text[]; NULL is the same as empty.
    pub fn texts(&self, i: usize) -> Vec<Option<String>> {
        self.get(i).unwrap_or_default()
    }

    pub fn uuid(&self, i: usize) -> Option<uuid::Uuid> {
        self.get::<pgrx::Uuid>(i).map(|id| uuid::Uuid::from_bytes(*id.as_bytes()))
    }

    /// A value as PostgreSQL holds it.
    pub fn datum(&self, i: usize) -> Option<pg_sys::Datum> {
        // SAFETY: by the contract of `of`.
        unsafe { pg_getarg_datum(self.0, i) }
    }

    /// A timestamptz, in PostgreSQL's microseconds.
    pub fn instant(&self, i: usize) -> Option<i64> {
        self.datum(i).map(|d| d.value() as i64)
    }

    /// A jsonb as a value; 22023, naming the argument, where it cannot be taken in unaltered.
    pub fn json(&self, i: usize, name: &str) -> Result<Option<Value>, AuditError> {
        self.datum(i).map(|datum| value(name, &jsonb_text(datum)?)).transpose()
    }

    /// The bytes of a jsonb when nothing is compressed; 0 for NULL.
    pub fn jsonb_size(&self, i: usize) -> usize {
        super::jsonb::raw_size(self.datum(i))
    }

    /// A jsonb as it is.
    pub fn row_state(&self, i: usize) -> Result<Option<RowState>, AuditError> {
        // SAFETY: by the contract of `of` a varlena.
        let datum = self.datum(i).map(|jsonb| unsafe { in_place(jsonb) });
        datum.map(|jsonb| Ok(RowState { jsonb, text: jsonb_text(jsonb)? })).transpose()
    }
}

/// A varlena itself where it was a pointer to a toast table: what it points to may be gone before
/// the entry is written.
///
/// # Safety
/// The datum is a varlena.
unsafe fn in_place(datum: pg_sys::Datum) -> pg_sys::Datum {
    // SAFETY: by contract.
    unsafe {
        match pgrx::varlena::varatt_is_1b_e(datum.cast_mut_ptr()) {
            true => pg_sys::Datum::from(pg_sys::detoast_external_attr(datum.cast_mut_ptr())),
            false => datum,
        }
    }
}

/// A jsonb as text.
pub fn jsonb_text(jsonb: pg_sys::Datum) -> Result<String, AuditError> {
    // SAFETY: jsonb_out returns a terminated string.
    unsafe {
        let out = pgrx::direct_function_call_as_datum(pg_sys::jsonb_out, &[Some(jsonb)])
            .ok_or_else(|| AuditError::internal("jsonb_out returned NULL"))?;
        Ok(CStr::from_ptr(out.cast_mut_ptr()).to_string_lossy().into_owned())
    }
}

fn value(name: &str, text: &str) -> Result<Value, AuditError> {
    // The parser keeps numbers under this key; data that has it would come out altered.
    const RESERVED: &str = "$serde_json::private::Number";
    if text.contains(RESERVED) {
        return Err(AuditError::invalid(
            name,
            format!("{name} holds the reserved key {RESERVED}"),
            "Use another key.",
        ));
    }
    serde_json::from_str(text).map_err(|e| {
        AuditError::invalid(
            name,
            format!("{name} cannot be read: {e}"),
            "JSON may be nested 127 levels deep.",
        )
    })
}
