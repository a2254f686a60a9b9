//! A value as PostgreSQL holds it, which cannot outlive what it points into.

use std::marker::PhantomData;

use pgrx::varlena::{varatt_is_1b, varatt_is_1b_e, varatt_is_4b_u, vardata_any, varsize_any_exhdr};
use pgrx::{pg_sys, FromDatum};

use super::memory::Arena;

/// A value that is a number itself, or points into something that lives as long as `'a`: a row, the arguments
/// of a call, memory that is emptied later.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Value<'a>(pg_sys::Datum, PhantomData<&'a [u8]>);

impl<'a> Value<'a> {
    /// # Safety
    /// What the datum points to, if it points anywhere, lives as long as `'a`.
    pub(super) unsafe fn of(datum: pg_sys::Datum) -> Self {
        Value(datum, PhantomData)
    }

    /// The bytes of a uuid where they are.
    pub fn of_uuid(bytes: &'a [u8; 16]) -> Self {
        Value(pg_sys::Datum::from(bytes.as_ptr()), PhantomData)
    }

    pub(super) fn datum(self) -> pg_sys::Datum {
        self.0
    }

    /// A number; its type says how many of the bytes count.
    pub fn number(self) -> i64 {
        self.0.value() as i64
    }

    /// A text's bytes as they stand, or expanded in a memory where it was compressed; it must be a text.
    pub fn text(self, memory: &'a Arena) -> &'a [u8] {
        // SAFETY: a text, which lives as long as the result; what is expanded is in the memory.
        unsafe { self.bytes(memory) }
    }

    /// What a varlena holds behind its header: where it stands, or expanded in a memory.
    ///
    /// # Safety
    /// The value is a varlena.
    pub(super) unsafe fn bytes(self, memory: &'a Arena) -> &'a [u8] {
        // SAFETY: by contract.
        unsafe { self.packed(memory) }.bytes()
    }

    /// A varlena in place: itself, or expanded in a memory; its header may be a short one.
    ///
    /// # Safety
    /// The value is a varlena.
    pub(super) unsafe fn packed(self, memory: &'a Arena) -> Varlena<'a> {
        let there: *mut pg_sys::varlena = self.0.cast_mut_ptr();
        // SAFETY: by contract; what is not in place is expanded to a varlena of the memory.
        unsafe {
            match is_in_place(there) {
                true => Varlena::of(there),
                false => Varlena::of(memory.run(|| pg_sys::pg_detoast_datum_packed(there))),
            }
        }
    }

    /// A varlena in place whose header has four bytes.
    ///
    /// # Safety
    /// The value is a varlena.
    pub(super) unsafe fn plain(self, memory: &'a Arena) -> Varlena<'a> {
        let there: *mut pg_sys::varlena = self.0.cast_mut_ptr();
        // SAFETY: by contract; what has another header is expanded to a varlena of the memory.
        unsafe {
            match varatt_is_4b_u(there) {
                true => Varlena::of(there),
                false => Varlena::of(memory.run(|| pg_sys::pg_detoast_datum(there))),
            }
        }
    }
}

/// A varlena that is neither compressed nor in a toast table, and lives as long as `'a`.
#[derive(Clone, Copy)]
pub(super) struct Varlena<'a>(*mut pg_sys::varlena, PhantomData<&'a [u8]>);

impl<'a> Varlena<'a> {
    /// # Safety
    /// The pointer is to one in place, which lives as long as `'a`.
    pub(super) unsafe fn of(varlena: *mut pg_sys::varlena) -> Self {
        Varlena(varlena, PhantomData)
    }

    pub(super) fn pointer(self) -> *mut pg_sys::varlena {
        self.0
    }

    /// What it holds behind its header.
    pub(super) fn bytes(self) -> &'a [u8] {
        // SAFETY: by the contract of `of`.
        unsafe { std::slice::from_raw_parts(vardata_any(self.0).cast(), varsize_any_exhdr(self.0)) }
    }
}

/// Whether a varlena stands where the pointer says, neither compressed nor in a toast table.
///
/// # Safety
/// The pointer is to a varlena.
pub(super) unsafe fn is_in_place(p: *mut pg_sys::varlena) -> bool {
    // SAFETY: by contract.
    unsafe { varatt_is_4b_u(p) || (varatt_is_1b(p) && !varatt_is_1b_e(p)) }
}

macro_rules! by_value {
    ($($number:ty),*) => {$(
        impl From<$number> for Value<'static> {
            fn from(number: $number) -> Self {
                Value(pg_sys::Datum::from(number), PhantomData)
            }
        }
    )*};
}
by_value!(bool, i8, i16, i32, i64, u32, pg_sys::Oid);

/// What is read as a copy of its own, that points nowhere.
pub trait Own: FromDatum {}
impl Own for bool {}
impl Own for i16 {}
impl Own for i32 {}
impl Own for i64 {}
impl Own for String {}
impl Own for Vec<u8> {}
impl Own for Vec<Option<String>> {}
impl Own for pg_sys::Oid {}
impl Own for pgrx::Uuid {}
impl Own for pgrx::datum::Date {}
