//! A jsonb object or array as the bytes PostgreSQL stores, written in one pass.
//!
//! A nested container is copied as the bytes it is: nothing is recursive, whatever its depth.
//!
//! Layout: varlena header, container header (number of items or pairs, flag), one entry a key and a value
//! (kind and length; every 32nd the end's offset instead), the keys' bytes, the values' bytes. An array
//! has no keys.
//! Numbers and nested containers start at a multiple of four.

use std::collections::TryReserveError;

use crate::numeric_bytes;

pub(crate) const HEADER: usize = 4;
const ALIGNMENT: usize = 4;
pub(crate) const OBJECT: u32 = 0x2000_0000;
pub(crate) const ARRAY: u32 = 0x4000_0000;
const SCALAR: u32 = 0x1000_0000;
pub(crate) const COUNT: u32 = 0x0fff_ffff;
const STRIDE: usize = 32;
pub(crate) const HAS_OFFSET: u32 = 0x8000_0000;
pub(crate) const KIND: u32 = 0x7000_0000;
/// The most bytes that all keys and values may have.
const MAX_BYTES: usize = 0x0fff_ffff;

pub(crate) const STRING: u32 = 0;
const NUMERIC: u32 = 0x1000_0000;
const FALSE: u32 = 0x2000_0000;
const TRUE: u32 = 0x3000_0000;
const NULL: u32 = 0x4000_0000;
pub(crate) const CONTAINER: u32 = 0x5000_0000;

/// Why there is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It would be larger than jsonb can hold.
    TooLarge,
    /// There is no memory for it.
    OutOfMemory,
}

/// The order in which jsonb keeps keys: shorter ones first, then by their bytes.
pub fn key_order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// An object under construction, all its keys first and then one value each; or an array, value by value.
pub struct ContainerWriter {
    bytes: Vec<u8>,
    /// Where keys and values begin.
    data: usize,
    next: usize,
    fault: Option<Fault>,
}

impl ContainerWriter {
    /// Begins an object of these keys: distinct, and in `key_order`.
    pub fn object<'a>(keys: impl ExactSizeIterator<Item = &'a [u8]>) -> Self {
        let mut writer = ContainerWriter::begin(keys.len(), keys.len() * 2, OBJECT);
        for key in keys {
            writer.string(key);
        }
        writer
    }

    /// Begins an array of so many values.
    pub fn array(items: usize) -> Self {
        ContainerWriter::begin(items, items, ARRAY)
    }

    fn begin(count: usize, entries: usize, flag: u32) -> Self {
        let data = 2 * HEADER + entries * HEADER;
        let mut writer = ContainerWriter { bytes: Vec::new(), data, next: 0, fault: None };
        // Most values are small; of many, none is expected to be large.
        if count > COUNT as usize || writer.reserve(data + (entries * 20).min(1 << 16)).is_err() {
            writer.fault = Some(Fault::OutOfMemory);
            writer.data = 0;
            return writer;
        }
        writer.bytes.resize(data, 0);
        writer.set(HEADER, count as u32 | flag);
        writer
    }

    fn set(&mut self, at: usize, word: u32) {
        if let Some(place) = self.bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
    }

    /// Notes that a value could not be made.
    pub fn fail(&mut self, fault: Fault) {
        self.fault = self.fault.or(Some(fault));
    }

    /// A container that was written by itself.
    pub fn container(&mut self, nested: Result<Vec<u8>, Fault>) {
        match nested {
            Ok(varlena) => self.jsonb(varlena.get(HEADER..).unwrap_or_default()),
            Err(fault) => {
                self.fail(fault);
                self.null();
            }
        }
    }

    /// Notes that what was written since `start` is the next key or value.
    fn entry(&mut self, kind: u32, start: usize) {
        let end = self.bytes.len() - self.data;
        if end > MAX_BYTES {
            self.fault = self.fault.or(Some(Fault::TooLarge));
        }
        let word = match self.next % STRIDE {
            0 => end as u32 & COUNT | HAS_OFFSET,
            _ => (self.bytes.len() - start) as u32 & COUNT,
        };
        self.set(2 * HEADER + self.next * HEADER, kind | word);
        self.next += 1;
    }

    /// Makes room for so many bytes more; false, and the fault noted, where there is none.
    fn has_room(&mut self, bytes: usize) -> bool {
        let fault = match self.bytes.len() - self.data + bytes > MAX_BYTES {
            true => Some(Fault::TooLarge),
            false => self.reserve(bytes + ALIGNMENT).err().map(|_| Fault::OutOfMemory),
        };
        self.fault = self.fault.or(fault);
        fault.is_none()
    }

    /// With room to grow where there is memory for that.
    fn reserve(&mut self, bytes: usize) -> Result<(), TryReserveError> {
        self.bytes.try_reserve(bytes).or_else(|_| self.bytes.try_reserve_exact(bytes))
    }

    fn append(&mut self, kind: u32, bytes: &[u8]) {
        let start = self.bytes.len();
        if self.has_room(bytes.len()) {
            self.bytes.extend_from_slice(bytes);
        }
        self.entry(kind, start);
    }

    /// Appends at a multiple of four what has so many bytes at the most.
    fn aligned(&mut self, kind: u32, most: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        if self.has_room(most) {
            self.bytes.resize(start.next_multiple_of(ALIGNMENT), 0);
            write(&mut self.bytes);
        }
        self.entry(kind, start);
    }

    pub fn null(&mut self) {
        self.append(NULL, &[]);
    }

    pub fn boolean(&mut self, truth: bool) {
        self.append(if truth { TRUE } else { FALSE }, &[]);
    }

    /// Text; the bytes are stored as they are.
    pub fn string(&mut self, bytes: &[u8]) {
        self.append(STRING, bytes);
    }

    pub fn integer(&mut self, number: i64) {
        self.aligned(NUMERIC, HEADER + numeric_bytes::MOST_OF_INTEGER, |out| {
            let start = out.len();
            out.extend_from_slice(&[0; HEADER]);
            numeric_bytes::from_integer(out, number);
            set_varlena_length(&mut out[start..]);
        });
    }

    /// A finite numeric, given as what follows its varlena header.
    pub fn numeric(&mut self, payload: &[u8]) {
        self.aligned(NUMERIC, HEADER + payload.len(), |out| {
            let start = out.len();
            out.extend_from_slice(&[0; HEADER]);
            out.extend_from_slice(payload);
            set_varlena_length(&mut out[start..]);
        });
    }

    /// A jsonb value, given as what follows its varlena header.
    pub fn jsonb(&mut self, root: &[u8]) {
        let word =
            |at: usize| root.get(at..at + 4).and_then(|w| w.try_into().ok()).map_or(0, u32::from_ne_bytes);
        if word(0) & SCALAR == 0 {
            return self.aligned(CONTAINER, root.len(), |out| out.extend_from_slice(root));
        }
        // A lone scalar is kept as an array of one: take it out.
        let (kind, value) = (word(HEADER) & KIND, root.get(2 * HEADER..).unwrap_or_default());
        match kind {
            NUMERIC => self.aligned(kind, value.len(), |out| out.extend_from_slice(value)),
            _ => self.append(kind, value),
        }
    }

    /// Text of so many bytes at the most, written straight into place; where `write` says false,
    /// nothing was.
    pub fn string_by(&mut self, most: usize, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let start = self.bytes.len();
        let written = !self.has_room(most) || write(&mut self.bytes);
        if written {
            self.entry(STRING, start);
        }
        written
    }

    /// The finished varlena.
    pub fn finish(mut self) -> Result<Vec<u8>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        set_varlena_length(&mut self.bytes);
        Ok(self.bytes)
    }
}

/// Writes a varlena's own length into its first four bytes.
fn set_varlena_length(varlena: &mut [u8]) {
    let length = varlena.len() as u32;
    let header = if cfg!(target_endian = "little") { length << 2 } else { length };
    varlena[..HEADER].copy_from_slice(&header.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: &[u8]) -> Vec<u32> {
        bytes.chunks_exact(4).map(|w| u32::from_ne_bytes([w[0], w[1], w[2], w[3]])).collect()
    }

    #[test]
    fn the_bytes_are_those_of_postgresql() {
        let mut object = ContainerWriter::object([b"a".as_slice(), b"bb"].into_iter());
        object.integer(1);
        object.string(b"x");
        // What '{"a": 1, "bb": "x"}'::jsonb has on a little-endian machine: keys "abb", padding to
        // a multiple of four, numeric 1 of eight bytes, then "x".
        let bytes = object.finish().unwrap_or_default();
        assert_eq!(bytes.len(), 37);
        assert_eq!(words(&bytes[4..24]), [OBJECT | 2, HAS_OFFSET | 1, 2, NUMERIC | 9, 1]);
        assert_eq!(&bytes[24..28], b"abb\0");
        assert_eq!(bytes[36], b'x');
    }

    #[test]
    fn every_32nd_entry_holds_an_offset() {
        let names: Vec<String> = (0..40).map(|i| format!("k{i:02}")).collect();
        let mut object = ContainerWriter::object(names.iter().map(|n| n.as_bytes()));
        (0..40).for_each(|_| object.string(b"four"));
        let bytes = object.finish().unwrap_or_default();
        let entries = &words(&bytes)[2..82];
        for (i, entry) in entries.iter().enumerate() {
            let expected = match (i % 32, i) {
                (0, _) => HAS_OFFSET | if i < 40 { 3 * (i as u32 + 1) } else { 120 + 4 * (i as u32 - 39) },
                (_, 0..40) => 3,
                _ => 4,
            };
            assert_eq!(*entry, expected, "entry {i}");
        }
    }

    #[test]
    fn an_array_has_no_keys() {
        let inner = ContainerWriter::array(0);
        let mut array = ContainerWriter::array(3);
        array.string(b"abc");
        array.container(inner.finish());
        array.boolean(true);
        // '["abc", [], true]'::jsonb: one byte of padding before the empty array's header.
        let bytes = array.finish().unwrap_or_default();
        assert_eq!(words(&bytes[4..20]), [ARRAY | 3, HAS_OFFSET | 3, CONTAINER | 5, TRUE]);
        assert_eq!(bytes[20..24], *b"abc\0");
        assert_eq!(words(&bytes[24..]), [ARRAY]);
    }

    #[test]
    fn what_cannot_be_nested_fails_the_whole() {
        let mut array = ContainerWriter::array(2);
        array.container(Err(Fault::TooLarge));
        array.null();
        assert_eq!(array.finish(), Err(Fault::TooLarge));
    }

    #[test]
    fn too_large_is_said() {
        let huge = vec![b'x'; MAX_BYTES / 2 + 1];
        let mut object = ContainerWriter::object([b"a".as_slice(), b"b"].into_iter());
        object.string(&huge);
        object.string(&huge);
        assert_eq!(object.finish(), Err(Fault::TooLarge));
    }
}
