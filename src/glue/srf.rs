//! Set-returning functions that give their rows at once.

use std::marker::PhantomData;

use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::memory::{Arena, Chunk};
use super::spi;
use super::value::Value;

/// Where a set-returning function puts its rows, while it is called.
pub struct Output<'c> {
    call: PhantomData<&'c Arena>,
    store: *mut pg_sys::Tuplestorestate,
    desc: pg_sys::TupleDesc,
    /// For what a row is made of.
    row: Chunk,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

/// A row that is put together from values of its own memory, `'m`, and from what outlives it, `'r`.
pub struct NewRow<'m, 'r: 'm> {
    pub memory: &'m Arena,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
    others: PhantomData<&'m &'r ()>,
}

impl<'m> NewRow<'m, '_> {
    /// Adds columns behind those that it has.
    pub fn add(&mut self, columns: impl IntoIterator<Item = Option<Value<'m>>>) {
        for column in columns {
            self.values.push(column.map_or(pg_sys::Datum::from(0), Value::datum));
            self.nulls.push(column.is_none());
        }
    }
}

impl Output<'_> {
    /// # Safety
    /// `fcinfo` is the call PostgreSQL made of a function that returns a set of rows, which goes on as long as
    /// what is returned.
    pub(super) unsafe fn begin(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        // SAFETY: by contract; InitMaterializedSRF checks the caller and fills in the result.
        unsafe {
            pg_sys::InitMaterializedSRF(fcinfo, 0);
            let info: *mut pg_sys::ReturnSetInfo = (*fcinfo).resultinfo.cast();
            let row = Chunk::child_of(pg_sys::CurrentMemoryContext);
            Output {
                call: PhantomData,
                store: (*info).setResult,
                desc: (*info).setDesc,
                row,
                values: Vec::new(),
                nulls: Vec::new(),
            }
        }
    }

    /// Puts a query's row.
    pub fn put(&mut self, row: &spi::Row) -> Result<(), AuditError> {
        self.put_made(|made| {
            made.add(row.columns());
            Ok(())
        })
    }

    /// Puts a row together, in memory that is freed with the next.
    pub fn put_made<'r>(
        &mut self,
        make: impl for<'m> FnOnce(&mut NewRow<'m, 'r>) -> Result<(), AuditError>,
    ) -> Result<(), AuditError> {
        let (store, desc) = (self.store, self.desc);
        let (mut values, mut nulls) = (std::mem::take(&mut self.values), std::mem::take(&mut self.nulls));
        values.clear();
        nulls.clear();
        (self.values, self.nulls) = self.row.anew(|memory| {
            let mut row = NewRow { memory, values, nulls, others: PhantomData };
            make(&mut row)?;
            // SAFETY: the description is the function's declared result.
            if row.values.len() != unsafe { (*desc).natts } as usize {
                return Err(AuditError::internal(
                    "a function's query and its declared result have different columns",
                ));
            }
            let (values, nulls) = (row.values.as_mut_ptr(), row.nulls.as_mut_ptr());
            // SAFETY: as many values as columns; the store copies them.
            unsafe { pg_sys::tuplestore_putvalues(store, desc, values, nulls) };
            Ok((row.values, row.nulls))
        })?;
        Ok(())
    }
}
