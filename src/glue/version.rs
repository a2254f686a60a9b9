//! What differs between PostgreSQL 15 and 18.

use pgrx::pg_sys;

/// A column's description.
///
/// # Safety
/// `desc` is a valid descriptor and `i` below its `natts`.
pub unsafe fn attribute(desc: pg_sys::TupleDesc, i: usize) -> pg_sys::FormData_pg_attribute {
    #[cfg(feature = "pg18")]
    // SAFETY: by contract.
    return unsafe { *pg_sys::TupleDescAttr(desc, i as i32) };
    #[cfg(not(feature = "pg18"))]
    // SAFETY: by contract; before 18 the descriptions follow one another in the descriptor.
    return unsafe { *(*desc).attrs.as_ptr().add(i) };
}
