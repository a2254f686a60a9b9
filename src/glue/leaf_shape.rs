//! Whether a partition is as the install script makes it.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::log_table::Shape;
use super::version;

/// # Safety
/// `relation` is open.
pub unsafe fn no_triggers_on_insert(relation: pg_sys::Relation) -> bool {
    // SAFETY: by contract; the description is NULL where there are no triggers.
    unsafe {
        let triggers = (*relation).trigdesc;
        triggers.is_null()
            || !((*triggers).trig_insert_before_row
                || (*triggers).trig_insert_after_row
                || (*triggers).trig_insert_instead_row
                || (*triggers).trig_insert_before_statement
                || (*triggers).trig_insert_after_statement)
    }
}

/// # Safety
/// `relation` is open.
pub unsafe fn is_plain(relation: pg_sys::Relation, shape: &Shape) -> bool {
    // SAFETY: by contract.
    unsafe {
        (*(*relation).rd_rel).relkind as u8 == pg_sys::RELKIND_RELATION
            && (*relation).rd_tableam == pg_sys::GetHeapamTableAmRoutine()
            && no_triggers_on_insert(relation)
            && has_shape((*relation).rd_att, shape)
    }
}

/// Whether columns and constraints are those that what is written is made for.
///
/// # Safety
/// `desc` is a valid descriptor.
pub unsafe fn has_shape(desc: pg_sys::TupleDesc, shape: &Shape) -> bool {
    // SAFETY: by contract.
    unsafe {
        let constraints = (*desc).constr;
        let no_others =
            constraints.is_null() || ((*constraints).num_check == 0 && !(*constraints).has_generated_stored);
        no_others && has_columns(desc, shape)
    }
}

/// Whether the columns are those this library knows, in their order.
///
/// # Safety
/// `desc` is a valid descriptor.
pub unsafe fn has_columns(desc: pg_sys::TupleDesc, shape: &Shape) -> bool {
    // SAFETY: by contract; names are terminated.
    unsafe {
        (*desc).natts as usize == shape.columns.len()
            && shape.columns.iter().enumerate().all(|(i, column)| {
                let attribute = version::attribute(desc, i);
                !attribute.attisdropped
                    && attribute.atttypid == column.type_oid
                    && attribute.attnotnull == column.not_null
                    && CStr::from_ptr(attribute.attname.data.as_ptr()).to_bytes() == column.name.as_bytes()
            })
    }
}
