//! Rows as columns of datums, and the comparison of two values.

use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::varlena::{
    varatt_is_1b, varatt_is_1b_e, varatt_is_4b_u, vardata_any, varsize_any_exhdr, varsize_external,
    vartag_external,
};

use super::version;

/// A copy of a table's row type that outlives the relation being open.
pub struct RowType {
    desc: pg_sys::TupleDesc,
    pub columns: Vec<Attribute>,
}

/// A column that is there: not dropped, and with a value in triggers.
pub struct Attribute {
    pub name: String,
    /// From 1; dropped columns count.
    pub number: i16,
    pub type_oid: pg_sys::Oid,
    length: i16,
    by_value: bool,
}

/// One row's values; they live as long as the tuple they were taken from.
pub struct Values {
    datums: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

impl Values {
    /// The value of a column by its number from 1.
    pub fn get(&self, number: i16) -> Option<pg_sys::Datum> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        (!*self.nulls.get(at)?).then(|| self.datums.get(at).copied()).flatten()
    }
}

impl Values {
    /// A row of one partition as if it were in another, whose columns may stand elsewhere.
    pub fn renumbered(&self, from: &RowType, to: &RowType) -> Values {
        let width = to.columns.iter().map(|c| c.number).max().unwrap_or(0).max(0) as usize;
        let mut datums = vec![pg_sys::Datum::from(0); width];
        let mut nulls = vec![true; width];
        for column in &to.columns {
            let value = from.column(&column.name).and_then(|c| self.get(c.number));
            if let (Some(value), Ok(number)) = (value, usize::try_from(column.number)) {
                datums[number - 1] = value;
                nulls[number - 1] = false;
            }
        }
        Values { datums, nulls }
    }
}

impl RowType {
    /// Copies a descriptor into memory of the session.
    ///
    /// # Safety
    /// `desc` is a valid tuple descriptor.
    pub unsafe fn copy(desc: pg_sys::TupleDesc) -> Self {
        // SAFETY: by contract; the copy keeps the values of columns added with a default.
        unsafe {
            let old = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
            let desc = pg_sys::CreateTupleDescCopyConstr(desc);
            pg_sys::MemoryContextSwitchTo(old);
            let columns = (0..(*desc).natts as usize).filter_map(|i| attribute(desc, i)).collect();
            RowType { desc, columns }
        }
    }

    /// The type of a composite value, and the value as a tuple of it.
    ///
    /// # Safety
    /// `value` is a composite, which outlives the tuple.
    pub unsafe fn of_composite(value: pg_sys::Datum) -> (Self, pg_sys::HeapTupleData) {
        // SAFETY: by contract; the header names the row type.
        unsafe {
            let header: pg_sys::HeapTupleHeader = pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast();
            let named = (*header).t_choice.t_datum;
            let desc = pg_sys::lookup_rowtype_tupdesc_copy(named.datum_typeid, named.datum_typmod);
            let row_type = RowType::copy(desc);
            pg_sys::FreeTupleDesc(desc);
            let t_len = pgrx::varlena::varsize_any(header.cast()) as u32;
            (row_type, pg_sys::HeapTupleData { t_len, t_data: header, ..Default::default() })
        }
    }

    /// Takes a row apart.
    ///
    /// # Safety
    /// `tuple` is a valid tuple of this type.
    pub unsafe fn deform(&self, tuple: pg_sys::HeapTuple) -> Values {
        // SAFETY: by contract; the vectors have room for all columns.
        unsafe {
            let width = (*self.desc).natts as usize;
            let mut datums = vec![pg_sys::Datum::from(0); width];
            let mut nulls = vec![true; width];
            pg_sys::heap_deform_tuple(tuple, self.desc, datums.as_mut_ptr(), nulls.as_mut_ptr());
            Values { datums, nulls }
        }
    }

    pub fn column(&self, name: &str) -> Option<&Attribute> {
        self.columns.iter().find(|c| c.name == name)
    }
}

impl Drop for RowType {
    fn drop(&mut self) {
        // SAFETY: the copy is this value's own and not reference-counted.
        unsafe { pg_sys::FreeTupleDesc(self.desc) };
    }
}

/// # Safety
/// `i` is below the descriptor's number of columns.
unsafe fn attribute(desc: pg_sys::TupleDesc, i: usize) -> Option<Attribute> {
    // SAFETY: by contract; attname is terminated.
    let (a, name) = unsafe {
        let a = version::attribute(desc, i);
        (a, CStr::from_ptr(a.attname.data.as_ptr()).to_string_lossy().into_owned())
    };
    // A virtual generated column has no value in a trigger.
    let hidden = a.attisdropped || a.attgenerated as u8 == b'v';
    (!hidden).then_some(Attribute {
        name,
        number: a.attnum,
        type_oid: a.atttypid,
        length: a.attlen,
        by_value: a.attbyval,
    })
}

impl Attribute {
    /// Whether two values are the same to the byte, however they are stored.
    pub fn same(&self, a: Option<pg_sys::Datum>, b: Option<pg_sys::Datum>) -> bool {
        let (a, b) = match (a, b) {
            (None, None) => return true,
            (Some(a), Some(b)) => (a, b),
            _ => return false,
        };
        // SAFETY: both are values of this column's type.
        unsafe {
            match self.length {
                _ if self.by_value => a.value() == b.value(),
                -1 => same_varlena(a, b),
                -2 => CStr::from_ptr(a.cast_mut_ptr()) == CStr::from_ptr(b.cast_mut_ptr()),
                fixed => {
                    let bytes = |d: pg_sys::Datum| {
                        std::slice::from_raw_parts(d.cast_mut_ptr::<u8>(), fixed.unsigned_abs().into())
                    };
                    bytes(a) == bytes(b)
                }
            }
        }
    }
}

/// # Safety
/// Both are varlena values.
unsafe fn same_varlena(a: pg_sys::Datum, b: pg_sys::Datum) -> bool {
    // SAFETY: by contract; detoasting returns plain varlenas.
    unsafe {
        let (pa, pb) = (a.cast_mut_ptr::<pg_sys::varlena>(), b.cast_mut_ptr::<pg_sys::varlena>());
        let in_place = |p| varatt_is_4b_u(p) || (varatt_is_1b(p) && !varatt_is_1b_e(p));
        if in_place(pa) && in_place(pb) {
            return varlena_bytes(pa) == varlena_bytes(pb);
        }
        let on_disk =
            |p| varatt_is_1b_e(p) && u32::from(vartag_external(p)) == pg_sys::vartag_external::VARTAG_ONDISK;
        // An update carries unchanged large values over by their address.
        if on_disk(pa) && on_disk(pb) {
            let bytes =
                |p: *mut pg_sys::varlena| std::slice::from_raw_parts(p.cast::<u8>(), varsize_external(p));
            if bytes(pa) == bytes(pb) {
                return true;
            }
        }
        if pg_sys::toast_raw_datum_size(a) != pg_sys::toast_raw_datum_size(b) {
            return false;
        }
        let (da, db) = (pg_sys::pg_detoast_datum_packed(pa), pg_sys::pg_detoast_datum_packed(pb));
        let same = varlena_bytes(da) == varlena_bytes(db);
        for (detoasted, original) in [(da, pa), (db, pb)] {
            if detoasted != original {
                pg_sys::pfree(detoasted.cast());
            }
        }
        same
    }
}

/// # Safety
/// `p` is a detoasted varlena that outlives the result.
pub unsafe fn varlena_bytes<'a>(p: *const pg_sys::varlena) -> &'a [u8] {
    // SAFETY: by contract.
    unsafe { std::slice::from_raw_parts(vardata_any(p).cast(), varsize_any_exhdr(p)) }
}
