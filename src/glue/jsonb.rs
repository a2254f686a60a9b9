//! Builds jsonb values piece by piece, without going through text.

use std::ffi::CStr;

use audit_log_model::AuditError;
use pgrx::pg_sys;
use pgrx::pg_sys::{jbvType, JsonbIteratorToken as token};

use super::memory::Arena;
use super::value::Value;

/// A jsonb object under construction in a memory; what it is made of lives as long as `'a`.
pub struct Builder<'a> {
    memory: &'a Arena,
    state: *mut pg_sys::JsonbParseState,
    /// One flag an open container: true for an object.
    open: Vec<bool>,
    done: *mut pg_sys::JsonbValue,
}

impl<'a> Builder<'a> {
    pub fn new(memory: &'a Arena) -> Self {
        Builder { memory, state: std::ptr::null_mut(), open: Vec::new(), done: std::ptr::null_mut() }
    }

    fn push(&mut self, what: token::Type, value: *mut pg_sys::JsonbValue) {
        // SAFETY: the state is this builder's; value is NULL or a valid JsonbValue.
        self.done = self.memory.run(|| unsafe { pg_sys::pushJsonbValue(&mut self.state, what, value) });
    }

    pub fn begin_object(&mut self) {
        self.push(token::WJB_BEGIN_OBJECT, std::ptr::null_mut());
        self.open.push(true);
    }

    pub fn end_object(&mut self) {
        self.open.pop();
        self.push(token::WJB_END_OBJECT, std::ptr::null_mut());
    }

    pub fn begin_array(&mut self) {
        self.push(token::WJB_BEGIN_ARRAY, std::ptr::null_mut());
        self.open.push(false);
    }

    pub fn end_array(&mut self) {
        self.open.pop();
        self.push(token::WJB_END_ARRAY, std::ptr::null_mut());
    }

    fn string_value(bytes: &'a [u8]) -> pg_sys::JsonbValue {
        let mut value = pg_sys::JsonbValue { type_: jbvType::jbvString, ..Default::default() };
        value.val.string.val = bytes.as_ptr().cast_mut().cast();
        value.val.string.len = bytes.len() as i32;
        value
    }

    /// A key, in the database's encoding.
    pub fn key(&mut self, name: &'a [u8]) {
        let mut value = Self::string_value(name);
        self.push(token::WJB_KEY, &mut value);
    }

    /// # Safety
    /// What the value points to lives as long as `'a`.
    pub(super) unsafe fn value(&mut self, value: pg_sys::JsonbValue) {
        self.scalar(value);
    }

    fn scalar(&mut self, mut value: pg_sys::JsonbValue) {
        let what = match self.open.last() {
            Some(false) => token::WJB_ELEM,
            _ => token::WJB_VALUE,
        };
        self.push(what, &mut value);
    }

    /// A string, in the database's encoding.
    pub fn string(&mut self, bytes: &'a [u8]) {
        self.scalar(Self::string_value(bytes));
    }

    pub fn null(&mut self) {
        self.scalar(pg_sys::JsonbValue { type_: jbvType::jbvNull, ..Default::default() });
    }

    /// The finished value, in the builder's memory. 54000 from PostgreSQL where it is too large.
    pub fn finish(self) -> Value<'a> {
        // SAFETY: all containers are closed, so `done` is the root value.
        self.memory.run(|| unsafe { Value::of(pg_sys::Datum::from(pg_sys::JsonbValueToJsonb(self.done))) })
    }
}

/// Text as jsonb of a memory, by jsonb's own input function.
pub fn from_text<'a>(json: &str, memory: &'a Arena) -> Result<Value<'a>, AuditError> {
    let text = std::ffi::CString::new(json).map_err(|_| AuditError::internal("a JSON text holds a NUL"))?;
    // SAFETY: jsonb_in takes a terminated string, and what it makes is in the memory.
    let made = memory.run(|| unsafe {
        let text = Some(pg_sys::Datum::from(text.as_ptr()));
        pgrx::direct_function_call_as_datum(pg_sys::jsonb_in, &[text]).map(|datum| Value::of(datum))
    });
    made.ok_or_else(|| AuditError::internal("jsonb_in returned NULL"))
}

/// A JSON value as jsonb of a memory.
pub fn from_value<'a>(value: &serde_json::Value, memory: &'a Arena) -> Result<Value<'a>, AuditError> {
    from_text(&value.to_string(), memory)
}

/// A jsonb as text.
pub fn to_text(jsonb: Value) -> Result<String, AuditError> {
    // SAFETY: jsonb_out returns a terminated string, which is copied.
    unsafe {
        let out = pgrx::direct_function_call_as_datum(pg_sys::jsonb_out, &[Some(jsonb.datum())])
            .ok_or_else(|| AuditError::internal("jsonb_out returned NULL"))?;
        Ok(CStr::from_ptr(out.cast_mut_ptr()).to_string_lossy().into_owned())
    }
}

/// A jsonb's size in bytes when nothing is compressed; 0 for NULL.
pub fn raw_size(jsonb: Option<Value>) -> usize {
    // SAFETY: the value is a jsonb, toasted or not.
    jsonb.map_or(0, |value| unsafe { pg_sys::toast_raw_datum_size(value.datum()) })
}
