//! Builds jsonb values piece by piece, without going through text.

use audit_log_model::AuditError;
use pgrx::pg_sys;
use pgrx::pg_sys::{jbvType, JsonbIteratorToken as token};
use serde_json::Value;

/// A jsonb object under construction; what it points to must live until `finish`.
pub struct Builder {
    state: *mut pg_sys::JsonbParseState,
    /// One flag an open container: true for an object.
    open: Vec<bool>,
    done: *mut pg_sys::JsonbValue,
}

impl Builder {
    pub fn new() -> Self {
        Builder { state: std::ptr::null_mut(), open: Vec::new(), done: std::ptr::null_mut() }
    }

    fn push(&mut self, what: token::Type, value: *mut pg_sys::JsonbValue) {
        // SAFETY: the state is this builder's; value is NULL or a valid JsonbValue.
        self.done = unsafe { pg_sys::pushJsonbValue(&mut self.state, what, value) };
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

    /// # Safety
    /// The bytes live until `finish` and are valid in the database's encoding.
    unsafe fn string_value(bytes: &[u8]) -> pg_sys::JsonbValue {
        let mut value = pg_sys::JsonbValue { type_: jbvType::jbvString, ..Default::default() };
        value.val.string.val = bytes.as_ptr().cast_mut().cast();
        value.val.string.len = bytes.len() as i32;
        value
    }

    /// # Safety
    /// As `string`.
    pub unsafe fn key(&mut self, name: &[u8]) {
        // SAFETY: by contract.
        let mut value = unsafe { Self::string_value(name) };
        self.push(token::WJB_KEY, &mut value);
    }

    /// # Safety
    /// The value, and what it points to, lives until `finish`.
    pub unsafe fn value(&mut self, value: pg_sys::JsonbValue) {
        self.scalar(value);
    }

    fn scalar(&mut self, mut value: pg_sys::JsonbValue) {
        let what = match self.open.last() {
            Some(false) => token::WJB_ELEM,
            _ => token::WJB_VALUE,
        };
        self.push(what, &mut value);
    }

    /// # Safety
    /// The bytes live until `finish` and are valid in the database's encoding.
    pub unsafe fn string(&mut self, bytes: &[u8]) {
        // SAFETY: by contract.
        let value = unsafe { Self::string_value(bytes) };
        self.scalar(value);
    }

    pub fn null(&mut self) {
        self.scalar(pg_sys::JsonbValue { type_: jbvType::jbvNull, ..Default::default() });
    }

    pub fn boolean(&mut self, truth: bool) {
        let mut value = pg_sys::JsonbValue { type_: jbvType::jbvBool, ..Default::default() };
        value.val.boolean = truth;
        self.scalar(value);
    }

    /// # Safety
    /// `numeric` is a detoasted, finite numeric that lives until `finish`.
    pub unsafe fn numeric(&mut self, numeric: pg_sys::Numeric) {
        let mut value = pg_sys::JsonbValue { type_: jbvType::jbvNumeric, ..Default::default() };
        value.val.numeric = numeric;
        self.scalar(value);
    }

    /// # Safety
    /// `jsonb` is a detoasted jsonb that lives until `finish`.
    pub unsafe fn embed(&mut self, jsonb: *mut pg_sys::Jsonb) {
        let mut value = pg_sys::JsonbValue { type_: jbvType::jbvBinary, ..Default::default() };
        // SAFETY: by contract.
        unsafe {
            value.val.binary.data = &raw mut (*jsonb).root;
            value.val.binary.len = (pgrx::varlena::varsize_any(jsonb.cast()) - pg_sys::VARHDRSZ) as i32;
        }
        self.scalar(value);
    }

    /// The finished value, in the current memory context. 54000 from PostgreSQL where it is too large.
    pub fn finish(self) -> pg_sys::Datum {
        // SAFETY: all containers are closed, so `done` is the root value.
        unsafe { pg_sys::Datum::from(pg_sys::JsonbValueToJsonb(self.done)) }
    }
}

/// Text as jsonb, by jsonb's own input function.
pub fn from_text(json: &str) -> Result<pg_sys::Datum, AuditError> {
    let text = std::ffi::CString::new(json).map_err(|_| AuditError::internal("a JSON text holds a NUL"))?;
    // SAFETY: jsonb_in takes a terminated string.
    unsafe {
        pgrx::direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(pg_sys::Datum::from(text.as_ptr()))])
            .ok_or_else(|| AuditError::internal("jsonb_in returned NULL"))
    }
}

/// A JSON value as jsonb.
pub fn from_value(value: &Value) -> Result<pg_sys::Datum, AuditError> {
    from_text(&value.to_string())
}

/// A jsonb's size in bytes when nothing is compressed; 0 for NULL.
pub fn raw_size(jsonb: Option<pg_sys::Datum>) -> usize {
    // SAFETY: the datum is a jsonb, toasted or not.
    jsonb.map_or(0, |datum| unsafe { pg_sys::toast_raw_datum_size(datum) })
}
