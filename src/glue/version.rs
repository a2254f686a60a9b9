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

/// Begins to read an index.
///
/// # Safety
/// Table and index are open, the snapshot is valid.
pub unsafe fn index_beginscan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    keys: i32,
) -> pg_sys::IndexScanDesc {
    #[cfg(feature = "pg18")]
    // SAFETY: by contract; nobody counts what is read.
    return unsafe { pg_sys::index_beginscan(table, index, snapshot, std::ptr::null_mut(), keys, 0) };
    #[cfg(not(feature = "pg18"))]
    // SAFETY: by contract.
    return unsafe { pg_sys::index_beginscan(table, index, snapshot, keys, 0) };
}

/// Has this background process end as a session does when it is told to.
pub fn end_by_sigterm() {
    // SAFETY: PostgreSQL's own handler.
    unsafe {
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(pg_sys::SIGTERM as i32, Some(super::past_pgrx::die));
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(pg_sys::SIGTERM as i32, Some(super::past_pgrx::die));
    }
}
