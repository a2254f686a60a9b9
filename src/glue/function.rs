//! C functions with PostgreSQL's own calling convention, for calls that pgrx's types do not fit.

use audit_log_model::AuditError;
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::{pg_sys, IntoDatum};

use super::args::Args;
use super::error::unwrap_or_raise;
use super::event_trigger::EventTriggerCall;
use super::srf::Output;
use super::trigger::TriggerCall;
use super::tuple::{RowType, Values};

/// One call of a function, valid while it runs.
pub struct Call(pg_sys::FunctionCallInfo);

/// What a function gives back; None is NULL.
pub type Outcome = Result<Option<pg_sys::Datum>, AuditError>;

impl Call {
    /// Runs a function's body on a call and raises its error.
    ///
    /// # Safety
    /// `fcinfo` is the call PostgreSQL made of a function whose declared types are those the body
    /// asks for.
    pub unsafe fn answer(fcinfo: pg_sys::FunctionCallInfo, body: fn(&Call) -> Outcome) -> pg_sys::Datum {
        unwrap_or_raise(body(&Call(fcinfo))).unwrap_or_else(|| {
            // SAFETY: by contract.
            unsafe { (*fcinfo).isnull = true };
            pg_sys::Datum::from(0)
        })
    }

    pub fn args(&self) -> Args {
        // SAFETY: by the contract of `answer`.
        unsafe { Args::of(self.0) }
    }

    pub fn trigger(&self) -> Result<TriggerCall, AuditError> {
        // SAFETY: by the contract of `answer`.
        unsafe { TriggerCall::from_call(self.0) }
    }

    pub fn event_trigger(&self) -> Result<EventTriggerCall, AuditError> {
        // SAFETY: by the contract of `answer`.
        unsafe { EventTriggerCall::from_call(self.0) }
    }

    /// Where a function that returns a set puts its rows.
    pub fn output(&self) -> Output {
        // SAFETY: by the contract of `answer`.
        unsafe { Output::begin(self.0) }
    }

    /// Arguments (regclass, record): the relation, and the row taken apart.
    pub fn relation_and_row(&self) -> Option<(pg_sys::Oid, RowType, Values)> {
        // SAFETY: by the contract of `answer`; a record is a composite, whose header names its type.
        unsafe {
            let relation = pg_getarg::<pg_sys::Oid>(self.0, 0)?;
            let (row_type, mut tuple) = RowType::of_composite(pg_getarg_datum(self.0, 1)?);
            let row = row_type.deform(&mut tuple);
            Some((relation, row_type, row))
        }
    }
}

/// The outcome of a trigger, or of a function that returns void: a null pointer that is not NULL.
pub fn nothing<T>(_: T) -> Option<pg_sys::Datum> {
    Some(pg_sys::Datum::from(0))
}

pub fn uuid(id: uuid::Uuid) -> Option<pg_sys::Datum> {
    pgrx::Uuid::from_bytes(*id.as_bytes()).into_datum()
}

/// Declares a C symbol with its call information; the body gets the `Call`.
macro_rules! pg_function {
    ($symbol:ident, $info:ident, $body:expr) => {
        #[allow(unsafe_code)]
        #[no_mangle]
        pub extern "C" fn $info() -> &'static pgrx::pg_sys::Pg_finfo_record {
            const V1: pgrx::pg_sys::Pg_finfo_record = pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &V1
        }

        #[allow(unsafe_code)]
        #[no_mangle]
        #[pgrx::pg_guard]
        pub unsafe extern "C-unwind" fn $symbol(
            fcinfo: pgrx::pg_sys::FunctionCallInfo,
        ) -> pgrx::pg_sys::Datum {
            // SAFETY: PostgreSQL's own call; the install script declares the types.
            unsafe { $crate::glue::function::Call::answer(fcinfo, $body) }
        }
    };
}
pub(crate) use pg_function;

/// Declares the C symbol that a background process begins with; the body gets the place it was started for.
macro_rules! background_main {
    ($symbol:ident, $body:expr) => {
        #[allow(unsafe_code)]
        #[no_mangle]
        #[pgrx::pg_guard]
        pub extern "C-unwind" fn $symbol(place: pgrx::pg_sys::Datum) {
            let body: fn(usize) = $body;
            body(place.value());
        }
    };
}
pub(crate) use background_main;
