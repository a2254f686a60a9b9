//! Values of variable length: made for a call, or kept for as long as the session likes.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::net::IpAddr;

use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::memory::{with_current, Arena};
use super::value::{Value, Varlena};

/// A value in memory of its own.
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
    /// The value is a varlena.
    unsafe fn copy(value: Value, memory: &Arena) -> Self {
        // SAFETY: by contract; one whose header has four bytes is as long as that says.
        unsafe {
            let plain = value.plain(memory).pointer();
            let bytes = std::slice::from_raw_parts(plain.cast::<u8>(), pgrx::varlena::varsize_any(plain));
            Self::with_length(bytes.len(), |copy| copy.copy_from_slice(bytes))
        }
    }

    pub fn jsonb(value: &serde_json::Value) -> Result<Self, AuditError> {
        // SAFETY: jsonb is a varlena.
        with_current(|memory| Ok(unsafe { Self::copy(super::jsonb::from_value(value, memory)?, memory) }))
    }

    /// An inet, from text that was checked to be an address.
    pub fn inet(address: &str) -> Result<Self, AuditError> {
        // SAFETY: inet is a varlena.
        with_current(|memory| Ok(unsafe { Self::copy(inet(address, memory)?, memory) }))
    }

    /// An inet[], likewise.
    pub fn inets(addresses: &[String]) -> Result<Self, AuditError> {
        with_current(|memory| {
            let items = addresses.iter().map(|a| inet(a, memory)).collect::<Result<Vec<_>, _>>()?;
            let mut items: Vec<pg_sys::Datum> = items.into_iter().map(Value::datum).collect();
            // SAFETY: as many items as said, of a varlena type aligned to four bytes.
            unsafe {
                let align = pg_sys::TYPALIGN_INT as std::ffi::c_char;
                let array = memory.run(|| {
                    let count = items.len() as i32;
                    pg_sys::construct_array(items.as_mut_ptr(), count, pg_sys::INETOID, -1, false, align)
                });
                Ok(Self::copy(Value::of(pg_sys::Datum::from(array)), memory))
            }
        })
    }

    /// What follows the varlena's header.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the value is a varlena of this value's own.
        unsafe { Varlena::of(self.0.as_ptr().cast_mut().cast()) }.bytes()
    }

    pub fn value(&self) -> Value<'_> {
        // SAFETY: it lives as long as this.
        unsafe { Value::of(pg_sys::Datum::from(self.0.as_ptr())) }
    }
}

fn inet<'a>(address: &str, memory: &'a Arena) -> Result<Value<'a>, AuditError> {
    // What was not meant as an address never comes here; NUL ends no address.
    let plain = address.split('/').next().unwrap_or_default();
    if plain.parse::<IpAddr>().is_err() {
        return Err(AuditError::internal(format!("\"{address}\" is not an IP address")));
    }
    // SAFETY: inet_in takes a terminated string, and what it makes is in the memory.
    let made = memory.run(|| unsafe {
        let text = super::text::terminate(address.as_bytes(), memory).datum();
        pgrx::direct_function_call_as_datum(pg_sys::inet_in, &[Some(text)]).map(|datum| Value::of(datum))
    });
    made.ok_or_else(|| AuditError::internal("inet_in returned NULL"))
}

/// Texts of one row, side by side.
pub struct Texts {
    words: Box<[UnsafeCell<MaybeUninit<u64>>]>,
    used: Cell<usize>,
}

impl Texts {
    /// Room for so many texts of so many bytes together; more than that are not taken.
    pub fn with_room(count: usize, bytes: usize) -> Self {
        let mut words = Vec::with_capacity(count * 2 + bytes / 8);
        // SAFETY: what may be uninitialized needs no initialization.
        unsafe { words.set_len(words.capacity()) };
        Texts { words: words.into_boxed_slice(), used: Cell::new(0) }
    }

    /// Adds a text; None where there is no room, so that what was given out stays where it is.
    pub fn add(&self, text: &str) -> Option<Value<'_>> {
        let length = text.len() + pg_sys::VARHDRSZ;
        let start = self.used.get();
        let own = self.words.get(start..start + length.div_ceil(8))?;
        self.used.set(start + own.len());
        // SAFETY: these words have at least `length` bytes, and nobody was given them before.
        unsafe {
            let place = own.as_ptr().cast_mut().cast::<u8>();
            std::ptr::copy_nonoverlapping(text.as_ptr(), place.add(pg_sys::VARHDRSZ), text.len());
            pgrx::set_varsize_4b(place.cast(), length as i32);
            Some(Value::of(pg_sys::Datum::from(place)))
        }
    }
}

/// A finished varlena of a memory, from its bytes.
pub fn copy_of_bytes<'a>(bytes: &[u8], memory: &'a Arena) -> Value<'a> {
    // SAFETY: the copy lives as long as the memory.
    unsafe { Value::of(pg_sys::Datum::from(memory.keep(bytes).as_ptr())) }
}

/// A finished varlena where its bytes are; copied where these stand at no multiple of four.
pub fn of_bytes<'a>(bytes: &'a [u8], memory: &'a Arena) -> Value<'a> {
    match bytes.as_ptr().align_offset(4) {
        // SAFETY: it lives as long as its bytes.
        0 => unsafe { Value::of(pg_sys::Datum::from(bytes.as_ptr())) },
        _ => copy_of_bytes(bytes, memory),
    }
}

/// A text of a memory.
pub fn text_of<'a>(text: &str, memory: &'a Arena) -> Value<'a> {
    // SAFETY: the bytes are read to their end, and copied into the memory.
    memory.run(|| unsafe {
        let made = pg_sys::cstring_to_text_with_len(text.as_ptr().cast(), text.len() as i32);
        Value::of(pg_sys::Datum::from(made))
    })
}

/// What a text says; the value must be a text.
pub fn to_string(text: Value) -> String {
    with_current(|memory| String::from_utf8_lossy(text.text(memory)).into_owned())
}
