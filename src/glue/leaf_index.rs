//! An index of a partition that rows are written to directly.

use std::marker::PhantomData;

use pgrx::pg_sys;

use super::log_table::Row;
use super::past_pgrx;
use super::pending_list::PendingList;
use super::text_values;

/// An index over columns.
pub struct Index {
    pub oid: pg_sys::Oid,
    /// Places in the row, from 0.
    columns: Vec<usize>,
    /// The index has only rows where this one is NULL, or is not.
    only_where: Option<NullTest>,
    kind: Kind,
}

/// A condition on a column, counted from 0.
#[derive(Clone, Copy)]
pub struct NullTest {
    column: usize,
    is_null: bool,
}

enum Kind {
    BTree { unique: bool, info: *mut pg_sys::IndexInfo },
    Gin(PendingList),
}

impl Index {
    /// None for what takes more than columns of the row: expressions, other access methods and operator classes, a
    /// predicate other than `column IS [NOT] NULL`, exclusion or deferred uniqueness.
    ///
    /// # Safety
    /// `index` is open; the current memory lives as long as the result.
    pub unsafe fn of(index: pg_sys::Relation) -> Option<Index> {
        // SAFETY: by contract; lists and nodes are PostgreSQL's own.
        unsafe {
            let form = &*(*index).rd_index;
            let info = pg_sys::BuildIndexInfo(index);
            let plain = (*info).ii_Expressions.is_null()
                && !form.indisexclusion
                && (form.indimmediate || !form.indisunique);
            let only_where = match plain && !(*info).ii_Predicate.is_null() {
                true => Some(null_test((*info).ii_Predicate)?),
                false => None,
            };
            let numbers = &(&(*info).ii_IndexAttrNumbers)[..(*info).ii_NumIndexAttrs as usize];
            let columns =
                numbers.iter().map(|n| usize::try_from(*n).ok()?.checked_sub(1)).collect::<Option<_>>()?;
            let kind = match (*(*index).rd_rel).relam {
                _ if !plain => None,
                pg_sys::BTREE_AM_OID => Some(Kind::BTree { unique: form.indisunique, info }),
                // PostgreSQL reads a whole one with a predicate, and then expects what is NULL to be in it.
                pg_sys::GIN_AM_OID if only_where.is_none() && is_of_text_values(index) => {
                    PendingList::of(index).map(Kind::Gin)
                }
                _ => None,
            };
            Some(Index { oid: (*index).rd_id, columns, only_where, kind: kind? })
        }
    }

    /// Whether any of so many rows is in the index.
    pub fn takes_any(&self, rows: usize, keys: &Keys) -> bool {
        (0..rows).any(|i| self.takes(keys.of(i).1))
    }

    /// Whether a row with these columns NULL is in the index.
    fn takes(&self, nulls: &[bool]) -> bool {
        self.only_where.is_none_or(|test| nulls[test.column] == test.is_null)
    }

    /// Inserts what belongs into the index of rows that are in the table, in their order.
    ///
    /// # Safety
    /// Under a guard; index and table are open; `keys` are the rows'.
    pub unsafe fn insert<'a>(
        &self,
        index: pg_sys::Relation,
        table: pg_sys::Relation,
        rows: &'a [Row],
        keys: &Keys<'a>,
    ) {
        match &self.kind {
            // SAFETY: by contract.
            Kind::Gin(list) => unsafe { list.insert(index, &self.columns, rows, keys) },
            // SAFETY: by contract.
            Kind::BTree { unique, info } => unsafe {
                self.insert_each(index, table, rows, keys, *unique, *info);
            },
        }
    }

    /// # Safety
    /// As `insert`, of a B-tree.
    unsafe fn insert_each<'a>(
        &self,
        index: pg_sys::Relation,
        table: pg_sys::Relation,
        rows: &'a [Row],
        keys: &Keys<'a>,
        unique: bool,
        info: *mut pg_sys::IndexInfo,
    ) {
        const MOST: usize = pg_sys::INDEX_MAX_KEYS as usize;
        let mut values = [pg_sys::Datum::from(0); MOST];
        let mut nulls = [true; MOST];
        let check = match unique {
            true => pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES,
            false => pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO,
        };
        // SAFETY: by contract; the values are of the index's columns.
        unsafe {
            for (i, row) in rows.iter().enumerate() {
                let (datums, is_null) = keys.of(i);
                if !self.takes(is_null) {
                    continue;
                }
                for (place, at) in self.columns.iter().enumerate() {
                    values[place] = datums[*at];
                    nulls[place] = is_null[*at];
                }
                let place = &raw mut (*row.tuple).t_self;
                past_pgrx::index_insert(
                    index,
                    values.as_mut_ptr(),
                    nulls.as_mut_ptr(),
                    place,
                    table,
                    check,
                    false,
                    info,
                );
            }
        }
    }
}

/// The values of rows that are being written.
pub struct Keys<'a> {
    rows: PhantomData<&'a [Row]>,
    width: usize,
    datums: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

impl<'a> Keys<'a> {
    pub fn new(rows: usize, width: usize) -> Self {
        let (datums, nulls) = (vec![pg_sys::Datum::from(0); width * rows], vec![true; width * rows]);
        Keys { rows: PhantomData, width, datums, nulls }
    }

    /// # Safety
    /// The row was formed by `desc`.
    pub unsafe fn deform(&mut self, i: usize, row: &'a Row, desc: pg_sys::TupleDesc) {
        let at = i * self.width;
        // SAFETY: by contract; the vectors have room for all columns of all rows.
        unsafe { past_pgrx::heap_deform_tuple(row.tuple, desc, &mut self.datums[at], &mut self.nulls[at]) };
    }

    pub fn of(&self, i: usize) -> (&[pg_sys::Datum], &[bool]) {
        let range = i * self.width..(i + 1) * self.width;
        (&self.datums[range.clone()], &self.nulls[range])
    }
}

/// Whether all columns of a GIN index have the log's own operator class.
///
/// # Safety
/// `index` is open.
pub unsafe fn is_of_text_values(index: pg_sys::Relation) -> bool {
    // SAFETY: by contract; there is a family a key column.
    unsafe {
        let columns = (*(*index).rd_index).indnkeyatts as usize;
        (0..columns).all(|i| text_values::is_its_family(*(*index).rd_opfamily.add(i)))
    }
}

/// The key columns of an index, numbers from 1, and the column of its predicate `column IS NOT NULL`;
/// None for what is more than that.
///
/// # Safety
/// `index` is open.
pub unsafe fn key_columns(index: pg_sys::Relation) -> Option<(Vec<i16>, Option<i16>)> {
    // SAFETY: by contract; the vector has an element a column.
    unsafe {
        let form = &*(*index).rd_index;
        let predicate = pg_sys::RelationGetIndexPredicate(index);
        let only_where = match predicate.is_null() {
            true => None,
            false => Some(null_test(predicate).filter(|test| !test.is_null)?.column as i16 + 1),
        };
        let columns = form.indkey.values.as_slice(form.indnkeyatts as usize).to_vec();
        columns.iter().all(|c| *c > 0).then_some((columns, only_where))
    }
}

/// The condition where a predicate is just `column IS NULL` or `column IS NOT NULL`.
///
/// # Safety
/// `predicate` is a list of expression nodes.
unsafe fn null_test(predicate: *mut pg_sys::List) -> Option<NullTest> {
    // SAFETY: by contract; a node's tag says what it is.
    unsafe {
        let nodes = pgrx::PgList::<pg_sys::Node>::from_pg(predicate);
        let node =
            nodes.get_ptr(0).filter(|n| nodes.len() == 1 && (**n).type_ == pg_sys::NodeTag::T_NullTest)?;
        let test = node.cast::<pg_sys::NullTest>();
        let argument = (*test).arg.cast::<pg_sys::Var>();
        let plain = (*argument).xpr.type_ == pg_sys::NodeTag::T_Var && (*argument).varattno > 0;
        plain.then(|| NullTest {
            column: (*argument).varattno as usize - 1,
            is_null: (*test).nulltesttype == pg_sys::NullTestType::IS_NULL,
        })
    }
}
