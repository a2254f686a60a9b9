//! The operator class `audit_log.text_trigrams`: texts by a part of them in a GIN index.
//!
//! As pg_trgm's, without that module: it must find what `audit_log.contains()` finds, by Unicode, and nothing that row
//! security hides may be told by it.

use audit_log_model::trigrams::{self, LONG};
use pgrx::pg_sys;

use super::text_values::support_function;

/// A text argument.
///
/// # Safety
/// `value` is a text.
unsafe fn text(value: pg_sys::Datum) -> String {
    // SAFETY: by contract; the copy is made before anything else runs.
    unsafe {
        let plain = pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr());
        String::from_utf8_lossy(pgrx::varlena::varlena_to_byte_slice(plain)).into_owned()
    }
}

/// An array of keys for GIN, and their number.
///
/// # Safety
/// `count` is where a number is to be put.
unsafe fn keys(all: &[i32], count: pg_sys::Datum) -> pg_sys::Datum {
    // SAFETY: by contract; the room is for as many as there are.
    unsafe {
        *count.cast_mut_ptr::<i32>() = all.len() as i32;
        let room = pg_sys::palloc(size_of::<pg_sys::Datum>() * all.len().max(1)).cast::<pg_sys::Datum>();
        for (i, key) in all.iter().enumerate() {
            *room.add(i) = pg_sys::Datum::from(*key);
        }
        pg_sys::Datum::from(room)
    }
}

// extractValue(value, number of keys)
support_function!(audit_log_text_trigrams_extract, pg_finfo_audit_log_text_trigrams_extract, |args| {
    // SAFETY: by the contract of the symbol.
    unsafe { keys(&trigrams::stored(&text(args[0].value)), args[1].value) }
});

// extractQuery(query, number of keys, strategy, …, search mode): a query has `LONG` behind its own keys.
support_function!(audit_log_text_trigrams_query, pg_finfo_audit_log_text_trigrams_query, |args| {
    // SAFETY: by the contract of the symbol.
    unsafe {
        let mut all = trigrams::sought(&text(args[0].value));
        match all.is_empty() {
            true => *args[6].value.cast_mut_ptr::<i32>() = pg_sys::GIN_SEARCH_MODE_ALL as i32,
            false => all.push(LONG),
        }
        keys(&all, args[1].value)
    }
});

/// Whether a row can be one, where each key is 0: not there, 1: there, 2: not known. Rows are looked at in any case.
fn can_be(keys: &[u8]) -> u8 {
    match keys.split_last() {
        Some((0, others)) if others.contains(&0) => 0,
        _ => MAYBE,
    }
}

const MAYBE: u8 = 2;

// consistent(which keys are there, strategy, query, number of keys, extra, recheck)
support_function!(audit_log_text_trigrams_consistent, pg_finfo_audit_log_text_trigrams_consistent, |args| {
    // SAFETY: by the contract of the symbol; a byte a key.
    unsafe {
        let there = std::slice::from_raw_parts(args[0].value.cast_mut_ptr::<u8>(), args[3].value.value());
        *args[5].value.cast_mut_ptr::<bool>() = true;
        pg_sys::Datum::from(can_be(there) != 0)
    }
});

// triConsistent(which keys are there or may be, strategy, query, number of keys)
support_function!(audit_log_text_trigrams_may, pg_finfo_audit_log_text_trigrams_may, |args| {
    // SAFETY: by the contract of the symbol; a byte a key.
    unsafe {
        let may = std::slice::from_raw_parts(args[0].value.cast_mut_ptr::<u8>(), args[3].value.value());
        pg_sys::Datum::from(can_be(may))
    }
});
