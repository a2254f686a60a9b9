//! Queries by SPI: prepared once a session, run as the extension, results read as Rust values.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;

use audit_log_model::AuditError;
use pgrx::{pg_sys, IntoDatum};

use super::backend;
use super::identity::AsExtension;
use super::memory::{with_current, Arena};
use super::row::{Fields, Kept};
use super::value::{Own, Value};

/// A parameter: its type and its value, NULL where there is none.
pub struct Arg<'a> {
    oid: pg_sys::Oid,
    value: Given<'a>,
}

enum Given<'a> {
    Value(Option<Value<'a>>),
    /// Made in the query's memory.
    Make(Box<dyn Fn() -> Option<pg_sys::Datum> + 'a>),
}

impl<'a> Arg<'a> {
    pub fn of<T: IntoDatum + Clone + 'a>(value: Option<T>) -> Arg<'a> {
        let make = move || value.clone().and_then(IntoDatum::into_datum);
        Arg { oid: T::type_oid(), value: Given::Make(Box::new(make)) }
    }

    pub fn value(oid: pg_sys::Oid, value: Option<Value<'a>>) -> Arg<'a> {
        Arg { oid, value: Given::Value(value) }
    }

    /// A timestamptz, PostgreSQL's microseconds.
    pub fn instant(pg_micros: i64) -> Arg<'static> {
        Arg::value(pg_sys::TIMESTAMPTZOID, Some(Value::from(pg_micros)))
    }

    fn datum(&self) -> Option<pg_sys::Datum> {
        match &self.value {
            Given::Value(value) => value.map(Value::datum),
            Given::Make(make) => make(),
        }
    }
}

/// A text parameter.
pub fn text(value: Option<&str>) -> Arg<'_> {
    Arg::of(value)
}

/// A text[] parameter; an empty list is NULL.
pub fn texts(values: &[String]) -> Arg<'_> {
    Arg::of((!values.is_empty()).then(|| values.to_vec()))
}

/// A result, valid during the callback it is given to.
pub struct Rows<'a> {
    table: *mut pg_sys::SPITupleTable,
    memory: &'a Arena,
    pub count: usize,
}

impl<'a> Rows<'a> {
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> + use<'_, 'a> {
        (0..self.count).map(|i| {
            // SAFETY: the table has `count` tuples.
            unsafe {
                Row { tuple: *(*self.table).vals.add(i), desc: (*self.table).tupdesc, memory: self.memory }
            }
        })
    }
}

/// One row of a result, which lives until the callback ends that it was given to.
pub struct Row<'a> {
    tuple: pg_sys::HeapTuple,
    desc: pg_sys::TupleDesc,
    memory: &'a Arena,
}

impl<'a> Row<'a> {
    /// The value of a column, counted from 1.
    pub fn get<T: Own>(&self, column: i32) -> Option<T> {
        let mut null = false;
        // SAFETY: tuple and descriptor live until SPI_finish; T is the type the fixed query gives.
        unsafe {
            let datum = pg_sys::SPI_getbinval(self.tuple, self.desc, column, &mut null);
            T::from_datum(datum, null)
        }
    }

    /// A column, counted from 1, as PostgreSQL holds it.
    pub fn column(&self, column: i32) -> Option<Value<'a>> {
        let mut null = false;
        // SAFETY: as in `get`.
        unsafe {
            let datum = pg_sys::SPI_getbinval(self.tuple, self.desc, column, &mut null);
            (!null).then(|| Value::of(datum))
        }
    }

    /// A copy.
    pub fn keep(&self) -> Kept {
        // SAFETY: as in `get`.
        unsafe { Kept::of(self.tuple, self.desc) }
    }

    /// All columns.
    pub fn columns(&self) -> Vec<Option<Value<'a>>> {
        // SAFETY: as in `get`; the vectors have room for all columns.
        unsafe {
            let width = (*self.desc).natts as usize;
            let mut values = vec![pg_sys::Datum::from(0); width];
            let mut nulls = vec![true; width];
            pg_sys::heap_deform_tuple(self.tuple, self.desc, values.as_mut_ptr(), nulls.as_mut_ptr());
            values.into_iter().zip(nulls).map(|(value, null)| (!null).then(|| Value::of(value))).collect()
        }
    }
}

impl Fields for Row<'_> {
    fn value(&self, column: usize) -> Option<Value<'_>> {
        self.column(column as i32 + 1)
    }

    fn memory(&self) -> &Arena {
        self.memory
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

/// How a query is planned.
#[derive(Clone, Copy)]
enum Plan {
    /// As PostgreSQL chooses: once for all values, or anew.
    Kept,
    /// For the values of each call.
    OfValues,
}

fn plan(sql: &str, args: &[Arg], how: Plan) -> Result<pg_sys::SPIPlanPtr, AuditError> {
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(sql).copied()) {
        return Ok(plan);
    }
    let text = CString::new(sql).map_err(|_| AuditError::internal("a query holds a NUL"))?;
    let mut types: Vec<pg_sys::Oid> = args.iter().map(|a| a.oid).collect();
    let options = match how {
        Plan::Kept => 0,
        Plan::OfValues => pg_sys::CURSOR_OPT_CUSTOM_PLAN as i32,
    };
    // SAFETY: SPI is connected; text and types outlive the call; the plan is kept for the session.
    let plan = unsafe {
        let plan = pg_sys::SPI_prepare_cursor(text.as_ptr(), types.len() as i32, types.as_mut_ptr(), options);
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
    how: Plan,
    read_only: bool,
    read: impl FnOnce(&Rows) -> Result<T, AuditError>,
) -> Result<T, AuditError> {
    let _as_extension = AsExtension::begin();
    let _connection = Connection::open()?;
    let plan = plan(sql, args, how)?;
    let null = pg_sys::Datum::from(0);
    let given: Vec<Option<pg_sys::Datum>> = args.iter().map(Arg::datum).collect();
    let mut values: Vec<pg_sys::Datum> = given.iter().map(|datum| datum.unwrap_or(null)).collect();
    let nulls: Vec<std::ffi::c_char> =
        given.iter().map(|datum| if datum.is_some() { b' ' } else { b'n' } as _).collect();
    // SAFETY: the plan takes these parameters; the result table is read before SPI_finish.
    let (table, count) = unsafe {
        let status = pg_sys::SPI_execute_plan(plan, values.as_mut_ptr(), nulls.as_ptr(), read_only, 0);
        if status < 0 {
            return Err(AuditError::internal(format!("SPI_execute_plan returned {status}: {sql}")));
        }
        let table = pg_sys::SPI_tuptable;
        (table, if table.is_null() { 0 } else { pg_sys::SPI_processed as usize })
    };
    // The memory that is current is the query's, which goes with the connection.
    with_current(|memory| read(&Rows { table, memory, count }))
}

/// Reads as the extension, by the calling query's snapshot; works on a standby.
pub fn select<T>(
    sql: &str,
    args: &[Arg],
    read: impl FnOnce(&Rows) -> Result<T, AuditError>,
) -> Result<T, AuditError> {
    run(sql, args, Plan::Kept, true, read)
}

/// The same, where the best way depends on the values.
pub fn select_planned_by_values<T>(
    sql: &str,
    args: &[Arg],
    read: impl FnOnce(&Rows) -> Result<T, AuditError>,
) -> Result<T, AuditError> {
    run(sql, args, Plan::OfValues, true, read)
}

/// Reads as the extension what is committed by now or was written by this transaction's earlier commands,
/// whatever its isolation.
pub fn select_latest<T>(
    sql: &str,
    args: &[Arg],
    read: impl FnOnce(&Rows) -> Result<T, AuditError>,
) -> Result<T, AuditError> {
    backend::with_latest_snapshot(|| run(sql, args, Plan::Kept, true, read))
}

/// Writes as the extension, and reads what that gives back.
pub fn execute_reading<T>(
    sql: &str,
    args: &[Arg],
    read: impl FnOnce(&Rows) -> Result<T, AuditError>,
) -> Result<T, AuditError> {
    run(sql, args, Plan::Kept, false, read)
}

/// Writes as the extension; returns the number of rows in its RETURNING, if it has one.
pub fn execute(sql: &str, args: &[Arg]) -> Result<usize, AuditError> {
    execute_reading(sql, args, |rows| Ok(rows.count))
}
