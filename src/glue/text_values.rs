//! The operator classes `audit_log.text_values`, texts by equality in a GIN index, and `audit_log.other_targets`, the ids of
//! an entry's targets behind the first in such an index.
//!
//! PostgreSQL has none for scalars but in the contrib module btree_gin. Three functions of a line each spare
//! whoever installs the extension to install another one first.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::jsonb_read;
use super::memory::with_current;
use super::value::Value;

/// The names of the operator classes and of their families: of both the keys are texts.
const NAMES: [&CStr; 2] = [c"text_values", c"other_targets"];

/// Whether an operator family is one of these.
///
/// # Safety
/// Called where PostgreSQL's caches can be read.
pub unsafe fn is_its_family(family: pg_sys::Oid) -> bool {
    // SAFETY: by contract; the row is released after it was looked at.
    unsafe {
        let key = pg_sys::Datum::from(family);
        let row = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::OPFAMILYOID as i32, key);
        if row.is_null() {
            return false;
        }
        let form = &*pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_opfamily>();
        let is_named = NAMES.contains(&CStr::from_ptr(form.opfname.data.as_ptr()));
        let schema = form.opfnamespace;
        pg_sys::ReleaseSysCache(row);
        is_named && super::backend::is_log_schema(schema)
    }
}

/// Declares a support function, which gets the call's arguments as they are.
macro_rules! support_function {
    ($symbol:ident, $info:ident, $body:expr) => {
        #[no_mangle]
        pub extern "C" fn $info() -> &'static pgrx::pg_sys::Pg_finfo_record {
            const V1: pgrx::pg_sys::Pg_finfo_record = pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &V1
        }

        /// # Safety
        /// Called by GIN, whose arguments have the declared types; SQL cannot, as some are `internal`.
        #[no_mangle]
        #[pgrx::pg_guard]
        pub unsafe extern "C-unwind" fn $symbol(call: pgrx::pg_sys::FunctionCallInfo) -> pgrx::pg_sys::Datum {
            let body: fn(&[pgrx::pg_sys::NullableDatum]) -> pgrx::pg_sys::Datum = $body;
            // SAFETY: by contract.
            unsafe { body((*call).args.as_slice((*call).nargs as usize)) }
        }
    };
}
pub(super) use support_function;

// extractValue(value, number of keys), extractQuery(value, number of keys, …): the value itself is the one key.
support_function!(audit_log_text_values_extract, pg_finfo_audit_log_text_values_extract, |args| {
    // SAFETY: by the contract of the symbol; a text, and where to put a number.
    unsafe {
        let keys = pg_sys::palloc(size_of::<pg_sys::Datum>()).cast::<pg_sys::Datum>();
        *keys = pg_sys::Datum::from(pg_sys::pg_detoast_datum_packed(args[0].value.cast_mut_ptr()));
        *args[1].value.cast_mut_ptr::<i32>() = 1;
        pg_sys::Datum::from(keys)
    }
});

// consistent(which keys are there, …, recheck): equality has one key, and an index that has it is right.
support_function!(audit_log_text_values_consistent, pg_finfo_audit_log_text_values_consistent, |args| {
    // SAFETY: by the contract of the symbol; an array with an element a key, and where to put a boolean.
    unsafe {
        *args[5].value.cast_mut_ptr::<bool>() = false;
        pg_sys::Datum::from(*args[0].value.cast_mut_ptr::<bool>())
    }
});

// extractValue(value, number of keys): the ids of the targets behind the first.
support_function!(audit_log_other_targets_extract, pg_finfo_audit_log_other_targets_extract, |args| {
    // SAFETY: by the contract of the symbol; a jsonb, and where to put a number. Keys are copies in the current memory.
    unsafe {
        with_current(|memory| {
            let mut keys = Vec::new();
            let targets = Value::of(args[0].value);
            jsonb_read::each_other_target_id(targets, memory, |id| {
                let key = pg_sys::cstring_to_text_with_len(id.as_ptr().cast(), id.len() as i32);
                keys.push(pg_sys::Datum::from(key));
            });
            *args[1].value.cast_mut_ptr::<i32>() = keys.len() as i32;
            let room = pg_sys::palloc(size_of::<pg_sys::Datum>() * keys.len().max(1)).cast::<pg_sys::Datum>();
            std::ptr::copy_nonoverlapping(keys.as_ptr(), room, keys.len());
            pg_sys::Datum::from(room)
        })
    }
});
