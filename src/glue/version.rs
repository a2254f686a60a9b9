//! What differs between PostgreSQL 15 and 18.

use pgrx::pg_sys;

use super::gin_value::{GinBtree, GinBtreeStack};
use super::nesting::{self, Part};
use super::{hooks, past_pgrx};

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

/// Begins to ask an index for all places at once.
///
/// # Safety
/// The index is open, the snapshot is valid.
pub unsafe fn index_beginscan_bitmap(
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    keys: i32,
) -> pg_sys::IndexScanDesc {
    #[cfg(feature = "pg18")]
    // SAFETY: by contract; nobody counts what is read.
    return unsafe { pg_sys::index_beginscan_bitmap(index, snapshot, std::ptr::null_mut(), keys) };
    #[cfg(not(feature = "pg18"))]
    // SAFETY: by contract.
    return unsafe { pg_sys::index_beginscan_bitmap(index, snapshot, keys) };
}

/// The leaf page of a GIN index's tree where something belongs, locked for reading.
///
/// # Safety
/// Under a guard; the tree is one of an open index.
pub unsafe fn find_gin_leaf(tree: *mut GinBtree, snapshot: pg_sys::Snapshot) -> *mut GinBtreeStack {
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    // SAFETY: by contract.
    return unsafe { past_pgrx::ginFindLeafPage(tree, true, false, snapshot) };
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    // SAFETY: by contract; the snapshot's age is of no interest any more.
    return unsafe {
        let _ = snapshot;
        past_pgrx::ginFindLeafPage(tree, true, false)
    };
}

/// The first leaf page of a value's tree of places, locked for reading; the tree can be searched from then on.
///
/// # Safety
/// Under a guard; the index is open, and the block is the root of such a tree.
pub unsafe fn begin_gin_posting_tree(
    tree: *mut GinBtree,
    index: pg_sys::Relation,
    root: pg_sys::BlockNumber,
    snapshot: pg_sys::Snapshot,
) -> *mut GinBtreeStack {
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    // SAFETY: by contract.
    return unsafe { past_pgrx::ginScanBeginPostingTree(tree, index, root, snapshot) };
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    // SAFETY: by contract; the snapshot's age is of no interest any more.
    return unsafe {
        let _ = snapshot;
        past_pgrx::ginScanBeginPostingTree(tree, index, root)
    };
}

/// Gives block and offset of each place of a set, ascending; offset 0 for a page that stands for all its rows.
///
/// # Safety
/// The set is valid; it is not added to any more.
pub unsafe fn each_place(set: *mut pg_sys::TIDBitmap, mut each: impl FnMut(u32, u16)) {
    // SAFETY: by contract; a result is valid until the next one, and its offsets are ascending.
    unsafe {
        #[cfg(feature = "pg18")]
        {
            let iterator = pg_sys::tbm_begin_private_iterate(set);
            let mut page = pg_sys::TBMIterateResult::default();
            let mut offsets = [0_u16; 512];
            while pg_sys::tbm_private_iterate(iterator, &mut page) {
                if page.lossy {
                    each(page.blockno, 0);
                    continue;
                }
                let room = offsets.len() as u32;
                let count = pg_sys::tbm_extract_page_tuple(&mut page, offsets.as_mut_ptr(), room);
                offsets[..count as usize].iter().for_each(|offset| each(page.blockno, *offset));
            }
            pg_sys::tbm_end_private_iterate(iterator);
        }
        #[cfg(not(feature = "pg18"))]
        {
            let iterator = pg_sys::tbm_begin_iterate(set);
            while let Some(page) = pg_sys::tbm_iterate(iterator).as_ref() {
                match usize::try_from(page.ntuples) {
                    Err(_) => each(page.blockno, 0),
                    Ok(count) => {
                        page.offsets.as_slice(count).iter().for_each(|offset| each(page.blockno, *offset));
                    }
                }
            }
            pg_sys::tbm_end_iterate(iterator);
        }
    }
}

/// Whether the current role owns a database, or may do what its owner may. Called where no guard of pgrx is around.
pub fn owns_database(database: pg_sys::Oid) -> bool {
    // SAFETY: plain look-ups; the database was just found, and nothing is held that an error would skip.
    unsafe {
        let role = past_pgrx::GetUserId();
        #[cfg(feature = "pg15")]
        return past_pgrx::pg_database_ownercheck(database, role);
        #[cfg(not(feature = "pg15"))]
        return past_pgrx::object_ownercheck(pg_sys::DatabaseRelationId, database, role);
    }
}

/// Whether the current role owns a relation, or may do what its owner may.
pub fn owns_relation(relation: pg_sys::Oid) -> bool {
    // SAFETY: plain look-ups; the relation was just found.
    unsafe {
        let role = pg_sys::GetUserId();
        #[cfg(feature = "pg15")]
        return pg_sys::pg_class_ownercheck(relation, role);
        #[cfg(not(feature = "pg15"))]
        return pg_sys::object_ownercheck(pg_sys::RelationRelationId, relation, role);
    }
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

/// The path of a scan of a foreign table.
///
/// # Safety
/// While planning; the relation is a foreign table's.
pub unsafe fn foreign_path(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    rows: f64,
    startup: f64,
    total: f64,
    order: *mut pg_sys::List,
) -> *mut pg_sys::ForeignPath {
    let none = std::ptr::null_mut::<pg_sys::List>();
    // SAFETY: by contract; what is left out may be NULL.
    let lateral = unsafe { (*rel).lateral_relids };
    macro_rules! path {
        ([$($disabled:tt)?], [$($restrictions:tt)?]) => {
            // SAFETY: as above.
            unsafe {
                pg_sys::create_foreignscan_path(
                    root, rel, none.cast(), rows, $($disabled,)? startup, total, order, lateral, none.cast(),
                    $($restrictions,)? none,
                )
            }
        };
    }
    #[cfg(feature = "pg18")]
    return path!([0], [none]);
    #[cfg(feature = "pg17")]
    return path!([], [none]);
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    return path!([], []);
}

/// Whether a wanted order is an ascending one.
pub fn is_ascending(key: &pg_sys::PathKey) -> bool {
    #[cfg(feature = "pg18")]
    return key.pk_cmptype == pg_sys::CompareType::COMPARE_LT;
    #[cfg(not(feature = "pg18"))]
    return key.pk_strategy == pg_sys::BTLessStrategyNumber as i32;
}

/// The hook around running a query: whoever was there before, and how deep it is nested.
#[cfg(feature = "pg18")]
pub unsafe extern "C-unwind" fn executor_run(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
) {
    let outer = nesting::enter(Part::Statement);
    // SAFETY: the call is PostgreSQL's own, passed on.
    unsafe { hooks::previous_run().unwrap_or(past_pgrx::standard_ExecutorRun)(query, direction, count) };
    nesting::leave(outer);
}

/// The hook around running a query: whoever was there before, and how deep it is nested.
#[cfg(not(feature = "pg18"))]
pub unsafe extern "C-unwind" fn executor_run(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
    once: bool,
) {
    let outer = nesting::enter(Part::Statement);
    let run = hooks::previous_run().unwrap_or(past_pgrx::standard_ExecutorRun);
    // SAFETY: the call is PostgreSQL's own, passed on.
    unsafe { run(query, direction, count, once) };
    nesting::leave(outer);
}
