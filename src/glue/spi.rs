//! Queries by SPI: prepared once a session, run as the extension, results read as Rust values.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;

use audit_log_model::AuditError;
use pgrx::{pg_sys, FromDatum, IntoDatum};

use super::identity::AsExtension;
use super::memory::Current;
use super::partition::Kept;

/// A parameter: its type and its value, NULL where there is none.
#[derive(Clone, Copy)]
pub struct Arg {
    oid: pg_sys::Oid,
    datum: Option<pg_sys::Datum>,
}

impl Arg {
    pub fn of<T: IntoDatum>(value: Option<T>) -> Arg {
        Arg { oid: T::type_oid(), datum: value.and_then(IntoDatum::into_datum) }
    }

    pub fn datum(oid: pg_sys::Oid, datum: Option<pg_sys::Datum>) -> Arg {
        Arg { oid, datum }
    }
}

/// A text parameter.
pub fn text(value: Option<&str>) -> Arg {
    Arg::of(value)
}

/// A text[] parameter; an empty list is NULL.
pub fn texts(values: &[String]) -> Arg {
    Arg::of((!values.is_empty()).then(|| values.to_vec()))
}

/// A result, valid during the callback it is given to.
pub struct Rows {
    table: *mut pg_sys::SPITupleTable,
    pub count: usize,
}

impl Rows {
    pub fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        (0..self.count).map(|i| {
            // SAFETY: the table has `count` tuples.
            unsafe { Row { tuple: *(*self.table).vals.add(i), desc: (*self.table).tupdesc } }
        })
    }
}

/// One row of a result.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    desc: pg_sys::TupleDesc,
}

impl Row {
    /// The value of a column, counted from 1.
    pub fn get<T: FromDatum>(&self, column: i32) -> Option<T> {
        let mut null = false;
        // SAFETY: tuple and descriptor live until SPI_finish; T is the type the fixed query gives.
        unsafe {
            let datum = pg_sys::SPI_getbinval(self.tuple, self.desc, column, &mut null);
            T::from_datum(datum, null)
        }
    }

    /// A column, counted from 1, as PostgreSQL holds it; valid as long as the row.
    pub fn datum(&self, column: i32) -> Option<pg_sys::Datum> {
        let mut null = false;
        // SAFETY: as in `get`.
        let datum = unsafe { pg_sys::SPI_getbinval(self.tuple, self.desc, column, &mut null) };
        (!null).then_some(datum)
    }

    /// A copy that stays as long as a memory does.
    pub fn keep(&self, memory: &Current) -> Kept {
        // SAFETY: tuple and descriptor are as in `get`; the memory outlives the query.
        unsafe {
            let old = pg_sys::MemoryContextSwitchTo(memory.0);
            let copy = pg_sys::heap_copytuple(self.tuple);
            pg_sys::MemoryContextSwitchTo(old);
            Kept::of(copy, self.desc)
        }
    }

    /// All columns, as PostgreSQL holds them.
    pub fn datums(&self) -> (Vec<pg_sys::Datum>, Vec<bool>) {
        // SAFETY: as in `get`; the vectors have room for all columns.
        unsafe {
            let width = (*self.desc).natts as usize;
            let mut values = vec![pg_sys::Datum::from(0); width];
            let mut nulls = vec![true; width];
            pg_sys::heap_deform_tuple(self.tuple, self.desc, values.as_mut_ptr(), nulls.as_mut_ptr());
            (values, nulls)
        }
    }
}

thread_local! {
    static PLANS: RefCell<HashMap<String, pg_sys::SPIPlanPtr>> = RefCell::default();
}

/// Disconnects SPI however the scope is left.
struct Connection;

impl Connection {
    fn open() -> Result<Self, AuditError> {
        // SAFETY: plain call; paired with SPI_finish in drop.
        match unsafe { pg_sys::SPI_connect() } {
            status if status == pg_sys::SPI_OK_CONNECT as i32 => Ok(Connection),
            status => Err(AuditError::internal(format!("SPI_connect returned {status}"))),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // After an error PostgreSQL's abort disconnects by itself.
        if !std::thread::panicking() {
            // SAFETY: this connection is the innermost one.
            unsafe { pg_sys::SPI_finish() };
        }
    }
}

fn plan(sql: &str, args: &[Arg]) -> Result<pg_sys::SPIPlanPtr, AuditError> {
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(sql).copied()) {
        return Ok(plan);
    }
    let text = CString::new(sql).map_err(|_| AuditError::internal("a query holds a NUL"))?;
    let mut types: Vec<pg_sys::Oid> = args.iter().map(|a| a.oid).collect();
    // SAFETY: SPI is connected; text and types outlive the call; the plan is kept for the session.
    let plan = unsafe {
        let plan = pg_sys::SPI_prepare(text.as_ptr(), types.len() as i32, types.as_mut_ptr());
        if plan.is_null() || pg_sys::SPI_keepplan(plan) != 0 {
            return Err(AuditError::internal(format!("could not prepare: {sql}")));
        }
        plan
    };
    PLANS.with_borrow_mut(|plans| plans.insert(sql.to_string(), plan));
    Ok(plan)
}

fn run<T>(
    sql: &str,
    args: &[Arg],
    read_only: bool,
    read: impl FnOnce(&Rows) -> Result<T, AuditError>,
) -> Result<T, AuditError> {
    let _as_extension = AsExtension::begin();
    let _connection = Connection::open()?;
    let plan = plan(sql, args)?;
    let null = pg_sys::Datum::from(0);
    let mut values: Vec<pg_sys::Datum> = args.iter().map(|a| a.datum.unwrap_or(null)).collect();
    let nulls: Vec<std::ffi::c_char> =
        args.iter().map(|a| if a.datum.is_some() { b' ' } else { b'n' } as _).collect();
    // SAFETY: the plan takes these parameters; the result table is read before SPI_finish.
    let rows = unsafe {
        let status = pg_sys::SPI_execute_plan(plan, values.as_mut_ptr(), nulls.as_ptr(), read_only, 0);
        if status < 0 {
            return Err(AuditError::internal(format!("SPI_execute_plan returned {status}: {sql}")));
        }
        let table = pg_sys::SPI_tuptable;
        Rows { table, count: if table.is_null() { 0 } else { pg_sys::SPI_processed as usize } }
    };
    read(&rows)
}

/// Reads as the extension, by the calling query's snapshot; works on a standby.
pub fn select<T>(
    sql: &str,
    args: &[Arg],
    read: impl FnOnce(&Rows) -> Result<T, AuditError>,
) -> Result<T, AuditError> {
    run(sql, args, true, read)
}

/// Reads as the extension what is committed by now or was written by this transaction so far.
pub fn select_latest<T>(
    sql: &str,
    args: &[Arg],
    read: impl FnOnce(&Rows) -> Result<T, AuditError>,
) -> Result<T, AuditError> {
    run(sql, args, false, read)
}

/// Writes as the extension; returns the number of rows in its RETURNING, if it has one.
pub fn execute(sql: &str, args: &[Arg]) -> Result<usize, AuditError> {
    run(sql, args, false, |rows| Ok(rows.count))
}
