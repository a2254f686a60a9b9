//! Values as the bytes of their text form, in a memory.

use std::ffi::{c_char, CStr};
use std::mem::MaybeUninit;

use pgrx::pg_sys;

use super::memory::Arena;
use super::value::Value;

/// The longest string a jsonb value holds, in bytes.
const MAX_STRING: usize = 0x0FFF_FFFF;

/// # Safety
/// The value is of the named date/time type.
pub unsafe fn date_time<'a>(type_oid: pg_sys::Oid, value: Value, memory: &'a Arena) -> &'a [u8] {
    let utc = 0;
    let buffer = memory.room((pg_sys::MAXDATELEN + 1) as usize).as_mut_ptr().cast();
    // SAFETY: by contract; the buffer has the length PostgreSQL prescribes.
    unsafe { terminated(pg_sys::JsonEncodeDateTime(buffer, value.datum(), type_oid, &utc), memory) }
}

/// # Safety
/// The value is of the named reg… type.
pub unsafe fn catalog_name<'a>(type_oid: pg_sys::Oid, value: Value, memory: &'a Arena) -> &'a [u8] {
    let oid = pg_sys::Oid::from(value.number() as u32);
    if oid == pg_sys::InvalidOid {
        return b"-";
    }
    if type_oid == pg_sys::REGCLASSOID {
        return match super::backend::relation_label(oid) {
            Some(label) => memory.keep(label.as_bytes()),
            None => memory.keep(u32::from(oid).to_string().as_bytes()),
        };
    }
    // SAFETY: by contract; each call returns a string of the memory.
    let made = memory.run(|| unsafe {
        let allow_invalid =
            pg_sys::FORMAT_TYPE_ALLOW_INVALID as u16 | pg_sys::FORMAT_TYPE_FORCE_QUALIFY as u16;
        match type_oid {
            pg_sys::REGTYPEOID => pg_sys::format_type_extended(oid, -1, allow_invalid),
            pg_sys::REGPROCEDUREOID => pg_sys::format_procedure_qualified(oid),
            _ => pg_sys::format_operator_qualified(oid),
        }
    });
    // SAFETY: as above.
    unsafe { terminated(made, memory) }
}

/// # Safety
/// The value is of the type.
pub unsafe fn output<'a>(type_oid: pg_sys::Oid, value: Value, memory: &'a Arena) -> &'a [u8] {
    let (mut function, mut varlena) = (pg_sys::InvalidOid, false);
    // SAFETY: by contract.
    unsafe {
        pg_sys::getTypeOutputInfo(type_oid, &mut function, &mut varlena);
        output_by(function, value, memory)
    }
}

/// # Safety
/// The function is the output function of the value's type.
pub unsafe fn output_by<'a>(function: pg_sys::Oid, value: Value, memory: &'a Arena) -> &'a [u8] {
    // SAFETY: by contract; it returns a string of the memory.
    unsafe { terminated(memory.run(|| pg_sys::OidOutputFunctionCall(function, value.datum())), memory) }
}

/// `\x` and hexadecimal digits; too long for jsonb, PostgreSQL's error for that.
pub fn hex<'a>(bytes: &[u8], memory: &'a Arena) -> &'a [u8] {
    if bytes.len() * 2 + 2 > MAX_STRING {
        too_large("a bytea value is too long for jsonb");
    }
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let length = bytes.len() * 2 + 2;
    let room = memory.room(length);
    room.fill(MaybeUninit::new(0));
    // SAFETY: all of it is written.
    let text = unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<u8>(), length) };
    text[..2].copy_from_slice(b"\\x");
    for (pair, byte) in text[2..].chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    text
}

/// An amount of money, in hundredths, as under lc_monetary C: `-$1,234.50`.
pub fn money(hundredths: i64, memory: &Arena) -> &[u8] {
    let amount = hundredths.unsigned_abs();
    let whole = (amount / 100).to_string();
    let mut text = String::from(if hundredths < 0 { "-$" } else { "$" });
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    memory.keep(format!("{text}.{:02}", amount % 100).as_bytes())
}

/// A uuid in its usual form.
///
/// # Safety
/// The value is a uuid.
pub unsafe fn uuid_text<'a>(value: Value, memory: &'a Arena) -> &'a [u8] {
    // SAFETY: by contract a uuid is 16 bytes.
    let bytes: [u8; 16] = unsafe { *value.datum().cast_mut_ptr() };
    let mut buffer = uuid::Uuid::encode_buffer();
    memory.keep(uuid::Uuid::from_bytes(bytes).hyphenated().encode_lower(&mut buffer).as_bytes())
}

/// PostgreSQL's own error for what jsonb cannot hold.
pub fn too_large(what: &'static str) {
    pgrx::ereport!(ERROR, pgrx::PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, what);
}

/// PostgreSQL's own error where there is no memory.
pub fn out_of_memory() {
    pgrx::ereport!(ERROR, pgrx::PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY, "out of memory");
}

/// A terminated copy in a memory, for PostgreSQL's functions to read.
pub(super) fn terminate<'a>(bytes: &[u8], memory: &'a Arena) -> Value<'a> {
    // SAFETY: the copy has room for the terminator, and is in the memory.
    memory.run(|| unsafe {
        let copy = pg_sys::pnstrdup(bytes.as_ptr().cast(), bytes.len());
        Value::of(pg_sys::Datum::from(copy))
    })
}

/// # Safety
/// `text` is terminated, and in the memory.
unsafe fn terminated(text: *const c_char, _memory: &Arena) -> &[u8] {
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(text).to_bytes() }
}
