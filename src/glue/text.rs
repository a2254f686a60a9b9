//! Values as the bytes of their text form, palloc'd in the current context.

use std::ffi::CStr;

use pgrx::pg_sys;

/// The longest string a jsonb value holds, in bytes.
const MAX_STRING: usize = 0x0FFF_FFFF;

/// # Safety
/// The value is of the named date/time type.
pub unsafe fn date_time<'a>(type_oid: pg_sys::Oid, value: pg_sys::Datum) -> &'a [u8] {
    let utc = 0;
    // SAFETY: by contract; the buffer has the length PostgreSQL prescribes.
    unsafe {
        let buffer = pg_sys::palloc((pg_sys::MAXDATELEN + 1) as usize).cast();
        terminated(pg_sys::JsonEncodeDateTime(buffer, value, type_oid, &utc))
    }
}

/// # Safety
/// The value is of the named reg… type.
pub unsafe fn catalog_name<'a>(type_oid: pg_sys::Oid, value: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: by contract; each call returns a palloc'd string, or NULL for an oid of nothing.
    unsafe {
        let oid = pg_sys::Oid::from(value.value() as u32);
        if oid == pg_sys::InvalidOid {
            return b"-";
        }
        if type_oid == pg_sys::REGCLASSOID {
            return match super::backend::relation_label(oid) {
                Some(label) => keep(label.as_bytes()),
                None => keep(u32::from(oid).to_string().as_bytes()),
            };
        }
        let allow_invalid =
            pg_sys::FORMAT_TYPE_ALLOW_INVALID as u16 | pg_sys::FORMAT_TYPE_FORCE_QUALIFY as u16;
        terminated(match type_oid {
            pg_sys::REGTYPEOID => pg_sys::format_type_extended(oid, -1, allow_invalid),
            pg_sys::REGPROCEDUREOID => pg_sys::format_procedure_qualified(oid),
            _ => pg_sys::format_operator_qualified(oid),
        })
    }
}

/// # Safety
/// The value is of the type.
pub unsafe fn output<'a>(type_oid: pg_sys::Oid, value: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: by contract.
    unsafe {
        let (mut function, mut varlena) = (pg_sys::InvalidOid, false);
        pg_sys::getTypeOutputInfo(type_oid, &mut function, &mut varlena);
        terminated(pg_sys::OidOutputFunctionCall(function, value))
    }
}

/// `\x` and hexadecimal digits; too long for jsonb, PostgreSQL's error for that.
pub fn hex<'a>(bytes: &[u8]) -> &'a [u8] {
    if bytes.len() * 2 + 2 > MAX_STRING {
        too_large("a bytea value is too long for jsonb");
    }
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // SAFETY: the memory has the length that was asked for, and is written from end to end.
    let text = unsafe {
        let length = bytes.len() * 2 + 2;
        let memory = pg_sys::palloc(length).cast::<u8>();
        std::ptr::write_bytes(memory, 0, length);
        std::slice::from_raw_parts_mut(memory, length)
    };
    text[..2].copy_from_slice(b"\\x");
    for (pair, byte) in text[2..].chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    text
}

/// A uuid in its usual form.
///
/// # Safety
/// The value is a uuid.
pub unsafe fn uuid_text<'a>(value: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: by contract a uuid is 16 bytes.
    let bytes: [u8; 16] = unsafe { *value.cast_mut_ptr() };
    let mut buffer = uuid::Uuid::encode_buffer();
    keep(uuid::Uuid::from_bytes(bytes).hyphenated().encode_lower(&mut buffer).as_bytes())
}

/// PostgreSQL's own error for what jsonb cannot hold.
pub fn too_large(what: &'static str) {
    pgrx::ereport!(ERROR, pgrx::PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, what);
}

/// A palloc'd copy, which lives as long as the current context.
pub fn keep<'a>(bytes: &[u8]) -> &'a [u8] {
    // SAFETY: the copy has the length that was asked for.
    unsafe {
        let copy = pg_sys::palloc(bytes.len().max(1)).cast::<u8>();
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
        std::slice::from_raw_parts(copy, bytes.len())
    }
}

/// A palloc'd, NUL-terminated copy.
pub fn terminate(bytes: &[u8]) -> *mut std::ffi::c_char {
    // SAFETY: the copy has room for the terminator.
    unsafe { pg_sys::pnstrdup(bytes.as_ptr().cast(), bytes.len()) }
}

/// # Safety
/// `text` is NUL-terminated and outlives the result.
pub unsafe fn terminated<'a>(text: *const std::ffi::c_char) -> &'a [u8] {
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(text).to_bytes() }
}
