//! Rows as columns of values, and the comparison of two values.

use std::ffi::CStr;
use std::marker::PhantomData;

use pgrx::pg_sys;
use pgrx::varlena::{varatt_is_1b_e, varsize_external, vartag_external};

use super::memory::Arena;
use super::value::{is_in_place, Value, Varlena};
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

/// A row as it is stored, which lives as long as `'a`.
#[derive(Clone, Copy)]
pub struct Tuple<'a>(pg_sys::HeapTupleData, PhantomData<&'a [u8]>);

impl Tuple<'_> {
    /// # Safety
    /// The tuple lives as long as what is returned.
    pub(super) unsafe fn of(tuple: pg_sys::HeapTuple) -> Self {
        // SAFETY: by contract.
        Tuple(unsafe { *tuple }, PhantomData)
    }
}

/// A copy of a row, in memory of its own.
pub struct OwnTuple {
    bytes: Box<[u64]>,
    header: pg_sys::HeapTupleData,
}

impl OwnTuple {
    /// A copy with all columns of the row's type.
    ///
    /// # Safety
    /// The tuple is of the type.
    pub(super) unsafe fn whole(tuple: pg_sys::HeapTuple, desc: pg_sys::TupleDesc) -> Self {
        // SAFETY: by contract; what was expanded is copied once more, and freed.
        unsafe {
            if is_whole(&*tuple, desc) {
                return Self::copy(tuple);
            }
            let expanded = pg_sys::heap_expand_tuple(tuple, desc);
            let copy = Self::copy(expanded);
            pg_sys::heap_freetuple(expanded);
            copy
        }
    }

    /// # Safety
    /// The tuple is valid.
    pub(super) unsafe fn copy(tuple: pg_sys::HeapTuple) -> Self {
        // SAFETY: by contract; the copy has the row's length.
        unsafe {
            let header = *tuple;
            let length = header.t_len as usize;
            let mut bytes = own_words(length);
            std::ptr::copy_nonoverlapping(header.t_data.cast::<u8>(), bytes.as_mut_ptr().cast(), length);
            OwnTuple { bytes, header }
        }
    }

    pub fn tuple(&self) -> Tuple<'_> {
        Tuple(self.header(), PhantomData)
    }

    /// What PostgreSQL's functions take for the row; it points into this.
    pub(super) fn header(&self) -> pg_sys::HeapTupleData {
        pg_sys::HeapTupleData { t_data: self.bytes.as_ptr().cast_mut().cast(), ..self.header }
    }
}

/// Memory that is this library's own; PostgreSQL's error where there is none.
pub(super) fn own_words(bytes: usize) -> Box<[u64]> {
    let count = bytes.div_ceil(8);
    let mut words = Vec::new();
    if words.try_reserve_exact(count).is_err() {
        pgrx::ereport!(
            ERROR,
            pgrx::PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY,
            "there is no memory for a row of the audit log"
        );
    }
    words.resize(count, 0_u64);
    words.into_boxed_slice()
}

/// One row's values. They point into the row, and into its type where a column was added with a default later.
pub struct Values<'a> {
    datums: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
    row: PhantomData<&'a [u8]>,
}

impl<'a> Values<'a> {
    /// The value of a column by its number from 1.
    pub fn get(&self, number: i16) -> Option<Value<'a>> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        let datum = (!*self.nulls.get(at)?).then(|| self.datums.get(at).copied()).flatten()?;
        // SAFETY: by how these are made.
        Some(unsafe { Value::of(datum) })
    }

    /// A row of one partition as if it were in another, whose columns may stand elsewhere.
    pub fn renumbered(&self, from: &RowType, to: &RowType) -> Values<'a> {
        let width = to.columns.iter().map(|c| c.number).max().unwrap_or(0).max(0) as usize;
        let mut datums = vec![pg_sys::Datum::from(0); width];
        let mut nulls = vec![true; width];
        for column in &to.columns {
            let value = from.column(&column.name).and_then(|c| self.get(c.number));
            if let (Some(value), Ok(number)) = (value, usize::try_from(column.number)) {
                datums[number - 1] = value.datum();
                nulls[number - 1] = false;
            }
        }
        Values { datums, nulls, row: PhantomData }
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
    /// `value` is a composite.
    pub(super) unsafe fn of_composite<'a>(value: Value<'a>, memory: &'a Arena) -> (Self, Tuple<'a>) {
        // SAFETY: by contract; the header names the row type.
        unsafe {
            let plain = value.plain(memory).pointer();
            let header: pg_sys::HeapTupleHeader = plain.cast();
            let named = (*header).t_choice.t_datum;
            let desc = pg_sys::lookup_rowtype_tupdesc_copy(named.datum_typeid, named.datum_typmod);
            let row_type = RowType::copy(desc);
            pg_sys::FreeTupleDesc(desc);
            let t_len = pgrx::varlena::varsize_any(plain) as u32;
            let tuple = pg_sys::HeapTupleData { t_len, t_data: header, ..Default::default() };
            (row_type, Tuple(tuple, PhantomData))
        }
    }

    /// Takes a row apart.
    ///
    /// # Safety
    /// The tuple is of this type.
    pub unsafe fn deform<'a>(&'a self, tuple: Tuple<'a>) -> Values<'a> {
        // SAFETY: by contract; the vectors have room for all columns.
        unsafe {
            let width = (*self.desc).natts as usize;
            let mut datums = vec![pg_sys::Datum::from(0); width];
            let mut nulls = vec![true; width];
            let mut tuple = tuple.0;
            pg_sys::heap_deform_tuple(&mut tuple, self.desc, datums.as_mut_ptr(), nulls.as_mut_ptr());
            Values { datums, nulls, row: PhantomData }
        }
    }

    /// Takes a record apart that this is the type of: both come from the same call.
    pub fn of_record<'a>(&'a self, record: Tuple<'a>) -> Values<'a> {
        // SAFETY: `Call::relation_and_row` gives them together.
        unsafe { self.deform(record) }
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

/// Whether a row has all columns of its type: those that were added later may have values in the type.
///
/// # Safety
/// The tuple is of the type.
unsafe fn is_whole(tuple: &pg_sys::HeapTupleData, desc: pg_sys::TupleDesc) -> bool {
    // SAFETY: by contract.
    unsafe { u32::from((*tuple.t_data).t_infomask2) & pg_sys::HEAP_NATTS_MASK >= (*desc).natts as u32 }
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
    pub fn same(&self, a: Option<Value>, b: Option<Value>) -> bool {
        let (a, b) = match (a, b) {
            (None, None) => return true,
            (Some(a), Some(b)) => (a.datum(), b.datum()),
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
        if is_in_place(pa) && is_in_place(pb) {
            return Varlena::of(pa).bytes() == Varlena::of(pb).bytes();
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
        let same = Varlena::of(da).bytes() == Varlena::of(db).bytes();
        for (detoasted, original) in [(da, pa), (db, pb)] {
            if detoasted != original {
                pg_sys::pfree(detoasted.cast());
            }
        }
        same
    }
}
