//! Arguments of SQL functions as Rust values.

use audit_log_model::{jsonb_strings, valid_text, AuditError};
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::pg_sys;

use super::memory::Arena;
use super::value::{Own, Value};
use super::{jsonb, jsonb_read};

/// A row state as it came: stored untouched, and as text to tell payloads apart.
pub struct RowState<'a> {
    pub jsonb: Value<'a>,
    pub text: String,
}

/// The arguments of one call, counted from 0.
pub struct Args<'a> {
    info: pg_sys::FunctionCallInfo,
    memory: &'a Arena,
}

impl<'a> Args<'a> {
    /// # Safety
    /// `fcinfo` is the call PostgreSQL made, which goes on as long as what is returned, and the types asked for
    /// are the declared ones.
    pub(super) unsafe fn of(info: pg_sys::FunctionCallInfo, memory: &'a Arena) -> Self {
        Args { info, memory }
    }

    pub fn get<T: Own>(&self, i: usize) -> Option<T> {
        // SAFETY: by the contract of `of`.
        unsafe { pg_getarg(self.info, i) }
    }

    /// A text; bytes that are none are shown (`valid_text`).
    pub fn text(&self, i: usize) -> Option<String> {
        self.bytes(i).map(|bytes| valid_text::clean(bytes).into_owned())
    }

    /// A text's bytes as they stand, or expanded where it was compressed; it must be a text.
    pub fn bytes(&self, i: usize) -> Option<&'a [u8]> {
        self.value(i).map(|text| text.text(self.memory))
    }

    /// A text[]; NULL is the same as empty.
    pub fn texts(&self, i: usize) -> Vec<Option<String>> {
        let valid = |text: String| valid_text::clean(text.as_bytes()).into_owned();
        self.get::<Vec<Option<String>>>(i).unwrap_or_default().into_iter().map(|t| t.map(valid)).collect()
    }

    pub fn uuid(&self, i: usize) -> Option<uuid::Uuid> {
        self.get::<pgrx::Uuid>(i).map(|id| uuid::Uuid::from_bytes(*id.as_bytes()))
    }

    /// A value as PostgreSQL holds it.
    pub fn value(&self, i: usize) -> Option<Value<'a>> {
        // SAFETY: by the contract of `of`.
        unsafe { pg_getarg_datum(self.info, i).map(|datum| Value::of(datum)) }
    }

    /// A timestamptz, in PostgreSQL's microseconds.
    pub fn instant(&self, i: usize) -> Option<i64> {
        self.value(i).map(Value::number)
    }

    /// A jsonb as a value; 22023, naming the argument, where it cannot be taken in unaltered.
    pub fn json(&self, i: usize, name: &str) -> Result<Option<serde_json::Value>, AuditError> {
        let text = |value| jsonb::to_text(valid(value, self.memory));
        self.value(i).map(|value| parsed(name, &text(value)?)).transpose()
    }

    /// A jsonb as text.
    pub fn json_text(&self, i: usize) -> Result<Option<String>, AuditError> {
        self.value(i).map(jsonb::to_text).transpose()
    }

    /// The bytes of a jsonb when nothing is compressed; 0 for NULL.
    pub fn jsonb_size(&self, i: usize) -> usize {
        jsonb::raw_size(self.value(i))
    }

    /// A jsonb as it is.
    pub fn row_state(&self, i: usize) -> Result<Option<RowState<'a>>, AuditError> {
        // SAFETY: by the contract of `of` a varlena.
        let value = self.value(i).map(|jsonb| valid(unsafe { in_place(jsonb, self.memory) }, self.memory));
        value.map(|jsonb| Ok(RowState { jsonb, text: jsonb::to_text(jsonb)? })).transpose()
    }
}

/// A varlena itself where it was a pointer to a toast table: what it points to may be gone before
/// the entry is written.
///
/// # Safety
/// The value is a varlena.
unsafe fn in_place<'a>(value: Value<'a>, memory: &'a Arena) -> Value<'a> {
    let there = value.datum().cast_mut_ptr();
    // SAFETY: by contract; what is fetched is in the memory.
    unsafe {
        match pgrx::varlena::varatt_is_1b_e(there) {
            true => {
                let fetched = memory.run(|| pg_sys::detoast_external_attr(there));
                Value::of(pg_sys::Datum::from(fetched))
            }
            false => value,
        }
    }
}

/// A jsonb with no strings but text.
fn valid<'a>(jsonb: Value<'a>, memory: &'a Arena) -> Value<'a> {
    // SAFETY: a jsonb is a varlena.
    let bytes = unsafe { jsonb.plain(memory) }.bytes();
    match jsonb_strings::are_valid(bytes) {
        true => jsonb,
        false => jsonb_read::clean(jsonb, memory),
    }
}

fn parsed(name: &str, text: &str) -> Result<serde_json::Value, AuditError> {
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
