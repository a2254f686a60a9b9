//! The C symbols that PostgreSQL calls with its own calling convention, and the library's start.

use audit_log_model::AuditError;
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::pg_sys;

use super::error::unwrap_or_raise;
use super::event_trigger::EventTriggerCall;
use super::srf::Output;
use super::trigger::TriggerCall;
use super::{callbacks, setting};

/// Declares a symbol with its call information; the body gets the call.
macro_rules! pg_function {
    ($symbol:ident, $info:ident, $body:expr) => {
        #[no_mangle]
        pub extern "C" fn $info() -> &'static pg_sys::Pg_finfo_record {
            const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &V1
        }

        #[no_mangle]
        #[pgrx::pg_guard]
        pub unsafe extern "C-unwind" fn $symbol(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            let body: fn(pg_sys::FunctionCallInfo) -> Result<Option<pg_sys::Datum>, AuditError> = $body;
            match unwrap_or_raise(body(fcinfo)) {
                Some(datum) => datum,
                None => {
                    // SAFETY: PostgreSQL's own call.
                    unsafe { (*fcinfo).isnull = true };
                    pg_sys::Datum::from(0)
                }
            }
        }
    };
}

/// A trigger's result where it changes nothing: a null pointer that is not NULL.
fn nothing<T>(_: T) -> Option<pg_sys::Datum> {
    Some(pg_sys::Datum::from(0))
}

pg_function!(audit_log_capture, pg_finfo_audit_log_capture, |fcinfo| {
    // SAFETY: PostgreSQL's own call.
    let call = unsafe { TriggerCall::from_call(fcinfo)? };
    crate::capture::row::capture(&call).map(nothing)
});

pg_function!(audit_log_capture_truncate, pg_finfo_audit_log_capture_truncate, |fcinfo| {
    // SAFETY: PostgreSQL's own call.
    let call = unsafe { TriggerCall::from_call(fcinfo)? };
    crate::capture::truncate::capture(&call).map(nothing)
});

pg_function!(audit_log_refuse_change, pg_finfo_audit_log_refuse_change, |fcinfo| {
    // SAFETY: PostgreSQL's own call.
    let call = unsafe { TriggerCall::from_call(fcinfo)? };
    crate::store::guard::refuse(call.operation()).map(nothing)
});

pg_function!(audit_log_follow_ddl, pg_finfo_audit_log_follow_ddl, |fcinfo| {
    // SAFETY: PostgreSQL's own call.
    let call = unsafe { EventTriggerCall::from_call(fcinfo)? };
    crate::capture::ddl::follow(&call).map(nothing)
});

pg_function!(audit_log_list, pg_finfo_audit_log_list, |fcinfo| {
    // SAFETY: the function is declared with these argument types, and returns a set.
    let (args, mut output) = unsafe {
        let texts = |i| pg_getarg::<Vec<Option<String>>>(fcinfo, i).unwrap_or_default();
        let args = crate::api::list::Arguments {
            cursor: pg_getarg::<String>(fcinfo, 0),
            limit: pg_getarg::<i32>(fcinfo, 1),
            start: pg_getarg_datum(fcinfo, 2).map(|d| d.value() as i64),
            end: pg_getarg_datum(fcinfo, 3).map(|d| d.value() as i64),
            actor_ids: texts(4),
            target_ids: texts(5),
            target_types: texts(6),
            categories: texts(7),
            organization: pg_getarg::<String>(fcinfo, 8),
        };
        (args, Output::begin(fcinfo))
    };
    crate::api::list::list(args, &mut output)?;
    Ok(None)
});

pg_function!(audit_log_row_json, pg_finfo_audit_log_row_json, |fcinfo| {
    // SAFETY: declared as (regclass, record); the record, where there is one, is a composite value.
    unsafe {
        let Some(relation) = pg_getarg::<pg_sys::Oid>(fcinfo, 0) else { return Ok(None) };
        let Some(row) = pg_getarg_datum(fcinfo, 1) else { return Ok(None) };
        let header: pg_sys::HeapTupleHeader = pg_sys::pg_detoast_datum(row.cast_mut_ptr()).cast();
        let choice = (*header).t_choice.t_datum;
        let desc = pg_sys::lookup_rowtype_tupdesc_copy(choice.datum_typeid, choice.datum_typmod);
        let row_type = super::tuple::RowType::copy(desc);
        let mut tuple = pg_sys::HeapTupleData {
            t_len: pgrx::varlena::varsize_any(header.cast()) as u32,
            t_data: header,
            ..Default::default()
        };
        let values = row_type.deform(&mut tuple);
        crate::capture::image::of_row(relation, row_type, &values).map(Some)
    }
});

#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    setting::define(crate::store::context::check);
    callbacks::listen(callbacks::Listeners {
        before_commit: crate::capture::before_commit,
        ended: |committed| {
            crate::capture::transaction_ended();
            crate::store::transaction_ended(committed);
        },
        subtransaction_aborted: |subtransaction| {
            crate::capture::subtransaction_aborted(subtransaction);
            crate::store::transaction_ended(false);
        },
        subtransaction_committed: crate::capture::subtransaction_committed,
        relation_changed: |relation| {
            crate::capture::relation_changed(relation);
            crate::store::relation_changed(relation);
        },
    });
}
