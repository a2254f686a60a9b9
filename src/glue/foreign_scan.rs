//! A foreign table whose rows come from this library, in ascending order of one text column of hexadecimal
//! digits; what a query asks to be behind is not read.

use std::cell::Cell;

use audit_log_model::AuditError;
use pgrx::{pg_sys, PgMemoryContexts};

use super::error::unwrap_or_raise;
use super::foreign_table::{nothing_to_import, Own};
use super::memory::Arena;
use super::value::Value;
use super::version;

/// Where a scan begins: behind a text, or with it.
#[derive(Clone, Debug)]
pub struct From {
    pub text: String,
    pub included: bool,
}

/// The rows of one scan.
pub trait Rows {
    /// Gives the next row's columns to be copied; false at the end. Whatever these rows keep until then is in
    /// memory of their own: after an error they are dropped when PostgreSQL's is gone.
    fn next(&mut self, give: &mut dyn FnMut(&[Option<Value>])) -> Result<bool, AuditError>;
}

/// A scan that was begun.
pub type Begun = Result<Box<dyn Rows>, AuditError>;

/// A foreign table: which it is, the number of its ordered column, from 1, and how to begin a scan. `from` are
/// lower bounds that all hold; what they let through is checked again.
pub struct Table {
    pub own: Own,
    pub column: i16,
    pub begin: fn(from: &[From]) -> Begun,
}

thread_local! {
    static TABLE: Cell<Option<&'static Table>> = const { Cell::new(None) };
}

/// The table whose handler was asked for; PostgreSQL asks before it plans or scans.
fn table() -> Result<&'static Table, AuditError> {
    TABLE
        .get()
        .ok_or_else(|| AuditError::internal("a foreign table is read whose handler was never asked for"))
}

/// What PostgreSQL calls for this table.
pub fn handler<'a>(table: &'static Table, memory: &'a Arena) -> Value<'a> {
    TABLE.set(Some(table));
    // SAFETY: a node of its own type and of the memory, zeroed but for its tag.
    memory.run(|| unsafe {
        let routine = pg_sys::palloc0(size_of::<pg_sys::FdwRoutine>()).cast::<pg_sys::FdwRoutine>();
        (*routine).type_ = pg_sys::NodeTag::T_FdwRoutine;
        (*routine).GetForeignRelSize = Some(rel_size);
        (*routine).GetForeignPaths = Some(paths);
        (*routine).GetForeignPlan = Some(plan);
        (*routine).BeginForeignScan = Some(begin);
        (*routine).IterateForeignScan = Some(iterate);
        (*routine).ReScanForeignScan = Some(rescan);
        (*routine).EndForeignScan = Some(end);
        (*routine).ImportForeignSchema = Some(import);
        Value::of(pg_sys::Datum::from(routine))
    })
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn import(
    _statement: *mut pg_sys::ImportForeignSchemaStmt,
    _server: pg_sys::Oid,
) -> *mut pg_sys::List {
    unwrap_or_raise(Err(nothing_to_import()))
}

/// So many rows it is taken to have; nobody counts them.
const GUESSED_ROWS: f64 = 1_000_000.0;
const COST_A_ROW: f64 = 0.05;

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn rel_size(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    relation: pg_sys::Oid,
) {
    // SAFETY: PostgreSQL's own call while planning; the relation is locked.
    unsafe {
        unwrap_or_raise(table().and_then(|table| table.own.check(relation)));
        let clauses = (*rel).baserestrictinfo;
        let part = pg_sys::clauselist_selectivity(
            root,
            clauses,
            0,
            pg_sys::JoinType::JOIN_INNER,
            std::ptr::null_mut(),
        );
        (*rel).rows = (GUESSED_ROWS * part).max(1.0);
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn paths(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    _table: pg_sys::Oid,
) {
    // SAFETY: PostgreSQL's own call while planning.
    unsafe {
        let wanted = (*root).query_pathkeys;
        let order = if is_own_order(rel, wanted) { wanted } else { std::ptr::null_mut() };
        let rows = (*rel).rows;
        let cost = 10.0 + rows * COST_A_ROW;
        let path = version::foreign_path(root, rel, rows, 10.0, cost, order);
        pg_sys::add_path(rel, path.cast());
    }
}

/// Whether an order is the one that rows come in.
///
/// # Safety
/// While planning.
unsafe fn is_own_order(rel: *mut pg_sys::RelOptInfo, order: *mut pg_sys::List) -> bool {
    // SAFETY: by contract; lists have as many elements as they say.
    unsafe {
        if order.is_null() || (*order).length != 1 {
            return false;
        }
        let key = &*(*(*order).elements).ptr_value.cast::<pg_sys::PathKey>();
        let class = &*key.pk_eclass;
        let is_text = key.pk_opfamily == pg_sys::TEXT_BTREE_FAM_OID && version::is_ascending(key);
        is_text
            && !key.pk_nulls_first
            && class.ec_collation == pg_sys::C_COLLATION_OID
            && elements(class.ec_members).any(|member| {
                let member = member.cast::<pg_sys::EquivalenceMember>();
                is_column((*member).em_expr.cast(), (*rel).relid)
            })
    }
}

/// # Safety
/// A list of pointers, or NULL.
unsafe fn elements(list: *mut pg_sys::List) -> impl Iterator<Item = *mut std::ffi::c_void> {
    // SAFETY: by contract.
    let count = if list.is_null() { 0 } else { unsafe { (*list).length as usize } };
    // SAFETY: by contract; as many elements as it says.
    (0..count).map(move |i| unsafe { (*(*list).elements.add(i)).ptr_value })
}

/// Whether an expression is the ordered column of a relation of the query.
///
/// # Safety
/// A node of an expression.
unsafe fn is_column(node: *mut pg_sys::Node, relation: u32) -> bool {
    // SAFETY: by contract; a node says what it is.
    unsafe {
        let mut node = node;
        while !node.is_null() && (*node).type_ == pg_sys::NodeTag::T_RelabelType {
            node = (*node.cast::<pg_sys::RelabelType>()).arg.cast();
        }
        if node.is_null() || (*node).type_ != pg_sys::NodeTag::T_Var {
            return false;
        }
        let var = &*node.cast::<pg_sys::Var>();
        let column = TABLE.get().map_or(0, |table| table.column);
        var.varno as u32 == relation && var.varattno == column && var.varlevelsup == 0
    }
}

/// The lower bound that a condition sets: an expression, and whether it is included.
///
/// # Safety
/// A condition of a query on the relation.
unsafe fn lower_bound(condition: *mut pg_sys::Node, relation: u32) -> Option<(*mut pg_sys::Node, bool)> {
    // Comparisons of text by PostgreSQL's own operators: <, <=, >, >=.
    const LESS: [u32; 2] = [664, 665];
    const GREATER: [u32; 2] = [666, 667];
    // SAFETY: by contract; a node says what it is.
    unsafe {
        if (*condition).type_ != pg_sys::NodeTag::T_OpExpr {
            return None;
        }
        let operation = &*condition.cast::<pg_sys::OpExpr>();
        if operation.inputcollid != pg_sys::C_COLLATION_OID || (*operation.args).length != 2 {
            return None;
        }
        let argument = |i: usize| (*(*operation.args).elements.add(i)).ptr_value.cast::<pg_sys::Node>();
        let (left, right) = (argument(0), argument(1));
        let operator = u32::from(operation.opno);
        let (bound, included) = match is_column(left, relation) {
            true => (right, GREATER.iter().position(|one| *one == operator)? == 1),
            false if is_column(right, relation) => (left, LESS.iter().position(|one| *one == operator)? == 1),
            false => return None,
        };
        let is_fixed = !pg_sys::contain_var_clause(bound) && !pg_sys::contain_volatile_functions(bound);
        is_fixed.then_some((bound, included))
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn plan(
    _root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    _table: pg_sys::Oid,
    _best: *mut pg_sys::ForeignPath,
    targets: *mut pg_sys::List,
    clauses: *mut pg_sys::List,
    outer: *mut pg_sys::Plan,
) -> *mut pg_sys::ForeignScan {
    let nothing: *mut pg_sys::List = std::ptr::null_mut();
    // SAFETY: PostgreSQL's own call while planning.
    unsafe {
        let conditions = pg_sys::extract_actual_clauses(clauses, false);
        let (mut bounds, mut included): (*mut pg_sys::List, *mut pg_sys::List) = (nothing, nothing);
        for condition in elements(conditions) {
            if let Some((bound, with)) = lower_bound(condition.cast(), (*rel).relid) {
                bounds = pg_sys::lappend(bounds, bound.cast());
                included = pg_sys::lappend_int(included, with.into());
            }
        }
        let none = nothing;
        pg_sys::make_foreignscan(targets, conditions, (*rel).relid, bounds, included, none, none, outer)
    }
}

/// A scan that is going on.
struct Scan {
    bounds: *mut pg_sys::List,
    rows: Option<Box<dyn Rows>>,
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn begin(node: *mut pg_sys::ForeignScanState, flags: i32) {
    if flags & pg_sys::EXEC_FLAG_EXPLAIN_ONLY as i32 != 0 {
        return;
    }
    // SAFETY: PostgreSQL's own call; the relation is open, and the state lives as long as the query's memory.
    unsafe {
        let relation = (*(*node).ss.ss_currentRelation).rd_id;
        unwrap_or_raise(table().and_then(|table| table.own.check(relation)));
        let plan = (*node).ss.ps.plan.cast::<pg_sys::ForeignScan>();
        let memory = (*(*node).ss.ps.state).es_query_cxt;
        let scan =
            Scan { bounds: pg_sys::ExecInitExprList((*plan).fdw_exprs, &raw mut (*node).ss.ps), rows: None };
        (*node).fdw_state = PgMemoryContexts::For(memory).leak_and_drop_on_delete(scan).cast();
    }
}

/// The lower bounds as the query has them now; None where one is NULL and nothing can be behind it.
///
/// # Safety
/// The scan is the node's.
unsafe fn bounds(node: *mut pg_sys::ForeignScanState, scan: &Scan) -> Option<Vec<From>> {
    use pgrx::FromDatum;
    // SAFETY: by contract; the expressions were prepared for this node.
    unsafe {
        let context = (*node).ss.ps.ps_ExprContext;
        let included = (*(*node).ss.ps.plan.cast::<pg_sys::ForeignScan>()).fdw_private;
        let mut found = Vec::new();
        for (i, state) in elements(scan.bounds).enumerate() {
            let state = state.cast::<pg_sys::ExprState>();
            let mut is_null = false;
            let run = (*state).evalfunc?;
            // The memory that is current is that of one row.
            let value = pg_sys::ffi::pg_guard_ffi_boundary(|| run(state, context, &mut is_null));
            let text = String::from_datum(value, is_null)?;
            found.push(From { text, included: (*(*included).elements.add(i)).int_value != 0 });
        }
        Some(found)
    }
}

/// The scan that `begin` put into a node; None where a query is only explained.
///
/// # Safety
/// The node is of a foreign table of this library.
#[allow(clippy::mut_from_ref)]
unsafe fn scan_of(node: &*mut pg_sys::ForeignScanState) -> Option<&mut Scan> {
    // SAFETY: by contract; the state lives as long as the query's memory, and so as the call that has the pointer.
    unsafe { (**node).fdw_state.cast::<Scan>().as_mut() }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn iterate(node: *mut pg_sys::ForeignScanState) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: PostgreSQL's own call; the state is what `begin` put there; the slot has the table's columns.
    unsafe {
        let slot = (*node).ss.ss_ScanTupleSlot;
        pg_sys::ExecClearTuple(slot);
        let Some(scan) = scan_of(&node) else { return slot };
        if scan.rows.is_none() {
            let Some(from) = bounds(node, scan) else { return slot };
            let begun = table().and_then(|table| (table.begin)(&from));
            scan.rows = Some(unwrap_or_raise(begun));
        }
        if let Some(rows) = &mut scan.rows {
            unwrap_or_raise(rows.next(&mut |columns| put(slot, columns)));
        }
        slot
    }
}

/// Puts a copy of a row into a slot.
///
/// # Safety
/// The slot is empty, and of a table that was checked.
unsafe fn put(slot: *mut pg_sys::TupleTableSlot, columns: &[Option<Value>]) {
    // SAFETY: by contract; columns beyond those given are dropped ones.
    unsafe {
        let width = (*(*slot).tts_tupleDescriptor).natts as usize;
        for i in 0..width {
            let value = columns.get(i).copied().flatten();
            *(*slot).tts_isnull.add(i) = value.is_none();
            *(*slot).tts_values.add(i) = value.map_or(pg_sys::Datum::from(0), Value::datum);
        }
        pg_sys::ExecStoreVirtualTuple(slot);
        // Now it is a row of the slot's own.
        if let Some(materialize) = (*(*slot).tts_ops).materialize {
            pg_sys::ffi::pg_guard_ffi_boundary(|| materialize(slot));
        }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn rescan(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: PostgreSQL's own call.
    if let Some(scan) = unsafe { scan_of(&node) } {
        scan.rows = None;
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn end(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: PostgreSQL's own call.
    if let Some(scan) = unsafe { scan_of(&node) } {
        scan.rows = None;
    }
}
