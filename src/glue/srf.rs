//! Set-returning functions that give their rows at once.

use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::memory::Chunk;
use super::spi::Row;

/// Where a set-returning function puts its rows.
pub struct Output {
    store: *mut pg_sys::Tuplestorestate,
    desc: pg_sys::TupleDesc,
    /// For what a row is made of.
    row: Chunk,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

impl Output {
    /// # Safety
    /// `fcinfo` is the call PostgreSQL made of a function that returns a set of rows.
    pub unsafe fn begin(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        // SAFETY: by contract; InitMaterializedSRF checks the caller and fills in the result. This value ends with the call.
        unsafe {
            pg_sys::InitMaterializedSRF(fcinfo, 0);
            let info: *mut pg_sys::ReturnSetInfo = (*fcinfo).resultinfo.cast();
            let row = Chunk::child_of(pg_sys::CurrentMemoryContext);
            Output {
                store: (*info).setResult,
                desc: (*info).setDesc,
                row,
                values: Vec::new(),
                nulls: Vec::new(),
            }
        }
    }

    /// Puts a query's row.
    pub fn put(&mut self, row: &Row) -> Result<(), AuditError> {
        (self.values, self.nulls) = row.datums();
        self.put_values()
    }

    /// Puts a row of columns, which may be made in memory that is freed then.
    pub fn put_columns<C: IntoIterator<Item = Option<pg_sys::Datum>>>(
        &mut self,
        make: impl FnOnce() -> Result<C, AuditError>,
    ) -> Result<(), AuditError> {
        let columns = self.row.anew(make)?;
        self.values.clear();
        self.nulls.clear();
        for column in columns {
            self.values.push(column.unwrap_or(pg_sys::Datum::from(0)));
            self.nulls.push(column.is_none());
        }
        self.put_values()
    }

    fn put_values(&mut self) -> Result<(), AuditError> {
        // SAFETY: the description is the function's declared result.
        if self.values.len() != unsafe { (*self.desc).natts } as usize {
            return Err(AuditError::internal(
                "a function's query and its declared result have different columns",
            ));
        }
        let (values, nulls) = (self.values.as_mut_ptr(), self.nulls.as_mut_ptr());
        // SAFETY: as many values as columns; the store copies them.
        unsafe { pg_sys::tuplestore_putvalues(self.store, self.desc, values, nulls) };
        Ok(())
    }
}
