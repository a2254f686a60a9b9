//! Rows of the extension's own small tables as they are now, whatever snapshot the transaction has.
//!
//! What is decided by them must go by what is committed at this moment, and by what this transaction did
//! itself. And reading them must not tie serializable transactions to each other that have nothing else
//! in common: so the scans are by snapshots that take no predicate locks, and where a row can have
//! several versions, each is then asked whether a snapshot of this moment sees it.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::backend;
use super::value::{Own, Value};
use super::varlena::Kept;

/// How a table is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Rows are only ever added: a row is there or not, whenever the scan comes by.
    AppendOnly,
    /// Rows change too: a scan that is overtaken by a change must not see both of its versions, or none.
    InPlace,
}

/// A small table of the extension.
pub struct Table {
    pub name: &'static CStr,
    pub written: Written,
    /// An index that begins with the first column.
    pub index: Option<&'static CStr>,
}

/// A row while it is looked at; columns are counted from 0.
pub struct CurrentRow<'a> {
    tuple: &'a pg_sys::HeapTupleData,
    desc: &'a pg_sys::TupleDescData,
}

impl<'a> CurrentRow<'a> {
    /// A column as PostgreSQL holds it.
    pub fn value(&self, column: usize) -> Option<Value<'a>> {
        let mut null = false;
        let (tuple, desc) = (std::ptr::from_ref(self.tuple), std::ptr::from_ref(self.desc));
        // SAFETY: the row is looked at, and lives as long as it is; a column that is not there is NULL.
        unsafe {
            let datum = pg_sys::heap_getattr(tuple.cast_mut(), column as i32 + 1, desc.cast_mut(), &mut null);
            (!null).then(|| Value::of(datum))
        }
    }

    /// A column, which must be of the type.
    pub fn get<T: Own>(&self, column: usize) -> Option<T> {
        // SAFETY: the type is the column's, as the install script declares it.
        self.value(column).and_then(|value| unsafe { T::from_datum(value.datum(), false) })
    }

    /// All columns.
    pub fn columns(&self) -> Vec<Option<Value<'a>>> {
        (0..self.desc.natts as usize).map(|column| self.value(column)).collect()
    }

    /// Whether this transaction wrote it, and may still take it back.
    pub fn is_own(&self) -> bool {
        const FROZEN: u16 = (pg_sys::HEAP_XMIN_COMMITTED | pg_sys::HEAP_XMIN_INVALID) as u16;
        // SAFETY: a row of a table has a header.
        unsafe {
            let header = self.tuple.t_data;
            (*header).t_infomask & FROZEN != FROZEN
                && pg_sys::TransactionIdIsCurrentTransactionId((*header).t_choice.t_heap.t_xmin)
        }
    }
}

impl Table {
    pub const fn new(name: &'static CStr, written: Written, index: Option<&'static CStr>) -> Self {
        Table { name, written, index }
    }

    /// Looks at every row; false where the table is not there.
    pub fn each(&self, look: impl FnMut(&CurrentRow)) -> bool {
        self.scan(None, look)
    }

    /// Looks at the rows whose first column, a text, has a value.
    pub fn with_text(&self, value: &str, look: impl FnMut(&CurrentRow)) -> bool {
        let text = Kept::text(value);
        self.scan(Some((pg_sys::Oid::from(TEXTEQ), text.value())), look)
    }

    fn scan(&self, wanted: Option<(pg_sys::Oid, Value)>, look: impl FnMut(&CurrentRow)) -> bool {
        let Some(oid) = backend::relation_oid(self.name) else { return false };
        let index = self.index.filter(|_| wanted.is_some()).and_then(backend::relation_oid);
        // SAFETY: the table was just found; its columns are as the install script declares them.
        unsafe { scan(oid, index, wanted, self.written, look) }
        true
    }
}

/// An operator's function that the bindings leave out.
const TEXTEQ: u32 = 67;

/// # Safety
/// The table exists; the function decides equality of its first column, which the index begins with.
unsafe fn scan(
    table: pg_sys::Oid,
    index: Option<pg_sys::Oid>,
    wanted: Option<(pg_sys::Oid, Value)>,
    written: Written,
    mut look: impl FnMut(&CurrentRow),
) {
    // SAFETY: by contract; what is opened is closed again, or by PostgreSQL's abort.
    unsafe {
        // Its lock brings what other sessions announced; the snapshot is taken after that.
        let relation = pg_sys::table_open(table, ACCESS_SHARE);
        let now = pg_sys::RegisterSnapshot(pg_sys::GetCatalogSnapshot(table));
        let by = match written {
            Written::AppendOnly => &raw mut pg_sys::SnapshotSelfData,
            Written::InPlace => &raw mut pg_sys::SnapshotAnyData,
        };
        let mut key = pg_sys::ScanKeyData::default();
        if let Some((equal, value)) = wanted {
            pg_sys::ScanKeyInit(&mut key, 1, pg_sys::BTEqualStrategyNumber as u16, equal, value.datum());
        }
        let (by_index, index) = (index.is_some(), index.unwrap_or(pg_sys::InvalidOid));
        let scan =
            pg_sys::systable_beginscan(relation, index, by_index, by, wanted.is_some().into(), &mut key);
        let sees = (*(*relation).rd_tableam).tuple_satisfies_snapshot;
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let seen =
                written == Written::AppendOnly || sees.is_some_and(|sees| sees(relation, (*scan).slot, now));
            if seen {
                look(&CurrentRow { tuple: &*tuple, desc: &*(*relation).rd_att });
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::UnregisterSnapshot(now);
        pg_sys::table_close(relation, ACCESS_SHARE);
    }
}

const ACCESS_SHARE: i32 = pg_sys::AccessShareLock as i32;
