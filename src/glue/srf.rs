//! Set-returning functions that give their rows at once.

use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::spi::Row;

/// Where a set-returning function puts its rows.
pub struct Output {
    store: *mut pg_sys::Tuplestorestate,
    desc: pg_sys::TupleDesc,
}

impl Output {
    /// # Safety
    /// `fcinfo` is the call PostgreSQL made of a function that returns a set of rows.
    pub unsafe fn begin(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        // SAFETY: by contract; InitMaterializedSRF checks the caller and fills in the result.
        unsafe {
            pg_sys::InitMaterializedSRF(fcinfo, 0);
            let info: *mut pg_sys::ReturnSetInfo = (*fcinfo).resultinfo.cast();
            Output { store: (*info).setResult, desc: (*info).setDesc }
        }
    }

    /// Puts a query's row.
    pub fn put(&mut self, row: &Row) -> Result<(), AuditError> {
        let (values, nulls) = row.datums();
        self.put_values(values, nulls)
    }

    /// Puts a row of columns.
    pub fn put_columns(
        &mut self,
        columns: impl IntoIterator<Item = Option<pg_sys::Datum>>,
    ) -> Result<(), AuditError> {
        let zero = pg_sys::Datum::from(0);
        let (values, nulls) = columns.into_iter().map(|c| (c.unwrap_or(zero), c.is_none())).unzip();
        self.put_values(values, nulls)
    }

    fn put_values(&mut self, mut values: Vec<pg_sys::Datum>, mut nulls: Vec<bool>) -> Result<(), AuditError> {
        // SAFETY: the description is the function's declared result.
        if values.len() != unsafe { (*self.desc).natts } as usize {
            return Err(AuditError::internal(
                "a function's query and its declared result have different columns",
            ));
        }
        // SAFETY: as many values as columns; the store copies them.
        unsafe {
            pg_sys::tuplestore_putvalues(self.store, self.desc, values.as_mut_ptr(), nulls.as_mut_ptr())
        };
        Ok(())
    }
}
