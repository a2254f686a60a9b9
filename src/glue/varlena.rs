//! Values of variable length: made for a call, or kept for as long as the session likes.

use std::net::IpAddr;

use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::tuple::varlena_bytes;

/// A value in memory of its own; what it points to lives as long as this.
pub struct Kept(Box<[u64]>);

impl Kept {
    pub fn text(text: &str) -> Self {
        Self::with_length(text.len() + pg_sys::VARHDRSZ, |bytes| {
            bytes[pg_sys::VARHDRSZ..].copy_from_slice(text.as_bytes());
        })
    }

    fn with_length(length: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut words = vec![0_u64; length.div_ceil(8)].into_boxed_slice();
        // SAFETY: the words have at least `length` bytes; a varlena header fits into the first.
        unsafe {
            fill(std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), length));
            pgrx::set_varsize_4b(words.as_mut_ptr().cast(), length as i32);
        }
        Kept(words)
    }

    /// A copy of a varlena value.
    ///
    /// # Safety
    /// The datum is a varlena.
    unsafe fn copy(datum: pg_sys::Datum) -> Self {
        // SAFETY: by contract; detoasting gives a plain varlena with a header of four bytes.
        unsafe {
            let plain = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
            let bytes = std::slice::from_raw_parts(plain.cast::<u8>(), pgrx::varlena::varsize_any(plain));
            Self::with_length(bytes.len(), |copy| copy.copy_from_slice(bytes))
        }
    }

    pub fn jsonb(value: &serde_json::Value) -> Result<Self, AuditError> {
        // SAFETY: jsonb is a varlena.
        Ok(unsafe { Self::copy(super::jsonb::from_value(value)?) })
    }

    /// An inet, from text that was checked to be an address.
    pub fn inet(address: &str) -> Result<Self, AuditError> {
        // SAFETY: inet is a varlena.
        Ok(unsafe { Self::copy(inet(address)?) })
    }

    /// An inet[], likewise.
    pub fn inets(addresses: &[String]) -> Result<Self, AuditError> {
        let mut items = addresses.iter().map(|a| inet(a)).collect::<Result<Vec<_>, _>>()?;
        // SAFETY: as many items as said, of a varlena type aligned to four bytes.
        unsafe {
            let align = pg_sys::TYPALIGN_INT as std::ffi::c_char;
            let array = pg_sys::construct_array(
                items.as_mut_ptr(),
                items.len() as i32,
                pg_sys::INETOID,
                -1,
                false,
                align,
            );
            Ok(Self::copy(pg_sys::Datum::from(array)))
        }
    }

    /// What follows the varlena's header.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the value is a varlena of this value's own.
        unsafe { super::tuple::varlena_bytes(self.0.as_ptr().cast()) }
    }

    /// The value, valid as long as this is.
    pub fn datum(&self) -> pg_sys::Datum {
        pg_sys::Datum::from(self.0.as_ptr())
    }
}

fn inet(address: &str) -> Result<pg_sys::Datum, AuditError> {
    // What was not meant as an address never comes here; NUL ends no address.
    let plain = address.split('/').next().unwrap_or_default();
    if plain.parse::<IpAddr>().is_err() {
        return Err(AuditError::internal(format!("\"{address}\" is not an IP address")));
    }
    let text = super::text::terminate(address.as_bytes());
    // SAFETY: inet_in takes a terminated string.
    unsafe { pgrx::direct_function_call_as_datum(pg_sys::inet_in, &[Some(pg_sys::Datum::from(text))]) }
        .ok_or_else(|| AuditError::internal("inet_in returned NULL"))
}

/// Texts of one row, side by side; the datums live as long as this.
pub struct Texts(Vec<u64>);

impl Texts {
    /// Room for so many texts of so many bytes together; more than that are not taken.
    pub fn with_room(count: usize, bytes: usize) -> Self {
        Texts(Vec::with_capacity(count * 2 + bytes / 8))
    }

    /// Adds a text; None where there is no room, so that what was given out stays where it is.
    pub fn add(&mut self, text: &str) -> Option<pg_sys::Datum> {
        let length = text.len() + pg_sys::VARHDRSZ;
        let start = self.0.len();
        let words = length.div_ceil(8);
        if start + words > self.0.capacity() {
            return None;
        }
        self.0.resize(start + words, 0);
        // SAFETY: the words from `start` on have at least `length` bytes.
        unsafe {
            let place = self.0.as_mut_ptr().add(start).cast::<u8>();
            std::ptr::copy_nonoverlapping(text.as_ptr(), place.add(pg_sys::VARHDRSZ), text.len());
            pgrx::set_varsize_4b(place.cast(), length as i32);
            Some(pg_sys::Datum::from(place))
        }
    }
}

/// A copy of a finished varlena in the current memory context.
pub fn copy_of_bytes(bytes: &[u8]) -> pg_sys::Datum {
    pg_sys::Datum::from(super::text::keep(bytes).as_ptr())
}

/// A finished varlena, valid as long as its bytes are; copied where they stand at no multiple of four.
pub fn of_bytes(bytes: &[u8]) -> pg_sys::Datum {
    match bytes.as_ptr().align_offset(4) {
        0 => pg_sys::Datum::from(bytes.as_ptr()),
        _ => copy_of_bytes(bytes),
    }
}

/// A text in the current memory context.
pub fn text_of(text: &str) -> pg_sys::Datum {
    // SAFETY: the bytes are read to their end, and copied.
    unsafe { pg_sys::Datum::from(pg_sys::cstring_to_text_with_len(text.as_ptr().cast(), text.len() as i32)) }
}

/// A text's bytes as they stand, or expanded in the current memory where it was compressed; the datum
/// must be a text.
pub fn text_bytes<'a>(text: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: a text, in memory that outlives the result's use.
    unsafe { varlena_bytes(pg_sys::pg_detoast_datum_packed(text.cast_mut_ptr())) }
}

/// What a text says; the datum must be a text.
pub fn to_string(text: pg_sys::Datum) -> String {
    String::from_utf8_lossy(text_bytes(text)).into_owned()
}
