//! C functions with PostgreSQL's own calling convention, for calls that pgrx's types do not fit.

use audit_log_model::AuditError;
use pgrx::{pg_sys, IntoDatum};

use super::args::Args;
use super::error::unwrap_or_raise;
use super::event_trigger::EventTriggerCall;
use super::memory::{with_current, Arena};
use super::srf::Output;
use super::trigger::TriggerCall;
use super::tuple::{RowType, Tuple};
use super::value::Value;

/// One call of a function, while it runs.
pub struct Call<'a> {
    info: pg_sys::FunctionCallInfo,
    /// Where its caller wants what it gives back.
    pub memory: &'a Arena,
}

/// What a function gives back, which the call's memory or arguments hold; None is NULL.
pub type Outcome<'a> = Result<Option<Value<'a>>, AuditError>;

impl<'a> Call<'a> {
    /// Runs a function's body on a call and raises its error.
    ///
    /// # Safety
    /// `fcinfo` is the call PostgreSQL made of a function whose declared types are those the body
    /// asks for.
    pub unsafe fn answer(
        fcinfo: pg_sys::FunctionCallInfo,
        body: for<'c> fn(&Call<'c>) -> Outcome<'c>,
    ) -> pg_sys::Datum {
        with_current(|memory| {
            let outcome = unwrap_or_raise(body(&Call { info: fcinfo, memory }));
            outcome.map(Value::datum).unwrap_or_else(|| {
                // SAFETY: by contract.
                unsafe { (*fcinfo).isnull = true };
                pg_sys::Datum::from(0)
            })
        })
    }

    pub fn args(&self) -> Args<'a> {
        // SAFETY: by the contract of `answer`.
        unsafe { Args::of(self.info, self.memory) }
    }

    pub fn trigger(&self) -> Result<TriggerCall<'a>, AuditError> {
        // SAFETY: by the contract of `answer`.
        unsafe { TriggerCall::from_call(self.info) }
    }

    pub fn event_trigger(&self) -> Result<EventTriggerCall<'a>, AuditError> {
        // SAFETY: by the contract of `answer`.
        unsafe { EventTriggerCall::from_call(self.info) }
    }

    /// Where a function that returns a set puts its rows.
    pub fn output(&self) -> Output<'a> {
        // SAFETY: by the contract of `answer`.
        unsafe { Output::begin(self.info) }
    }

    /// Arguments (regclass, record): the relation, and the row.
    pub fn relation_and_row(&self) -> Option<(pg_sys::Oid, RowType, Tuple<'a>)> {
        let args = self.args();
        let (relation, record) = args.get(0).zip(args.value(1))?;
        // SAFETY: a record is a composite, whose header names its type.
        let (row_type, row) = unsafe { RowType::of_composite(record, self.memory) };
        Some((relation, row_type, row))
    }

    /// What a function gives back that is made of a value of Rust's.
    pub fn give<T: IntoDatum>(&self, value: T) -> Option<Value<'a>> {
        // SAFETY: it is made in the call's memory.
        self.memory.run(|| value.into_datum()).map(|datum| unsafe { Value::of(datum) })
    }

    pub fn give_uuid(&self, id: uuid::Uuid) -> Option<Value<'a>> {
        self.give(pgrx::Uuid::from_bytes(*id.as_bytes()))
    }
}

/// The outcome of a trigger, or of a function that returns void: a null pointer that is not NULL.
pub fn nothing<T>(_: T) -> Option<Value<'static>> {
    Some(Value::from(0_i64))
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
