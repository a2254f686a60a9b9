//! Looks at the strings within a jsonb value's bytes (their layout: `jsonb_object`).

use crate::jsonb_object::{ARRAY, CONTAINER, COUNT, HAS_OFFSET, HEADER, KIND, OBJECT, STRING};

/// Whether all keys and strings are text that PostgreSQL takes in again: UTF-8, without NUL. `root` is
/// what follows the varlena header. Not recursive: jsonb may be nested deeper than the stack allows.
pub fn are_valid(root: &[u8]) -> bool {
    let mut open = vec![0];
    while let Some(at) = open.pop() {
        let Some(header) = word(root, at) else { continue };
        let count = (header & COUNT) as usize;
        let children = match header & (OBJECT | ARRAY) {
            OBJECT => count * 2,
            _ => count,
        };
        let data = at + HEADER + children * HEADER;
        let mut start = data;
        for child in 0..children {
            let Some(entry) = word(root, at + HEADER + child * HEADER) else { break };
            let length = (entry & COUNT) as usize;
            let end = if entry & HAS_OFFSET == 0 { start + length } else { data + length };
            match entry & KIND {
                STRING if !root.get(start..end).is_some_and(is_valid) => return false,
                CONTAINER => open.push(start.next_multiple_of(HEADER)),
                _ => {}
            }
            start = end;
        }
    }
    true
}

fn is_valid(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonb_object::ContainerWriter;

    /// 40 strings, the `at`th as given, in an array within an object within arrays.
    fn nested(at: usize, text: &[u8], key: &[u8], depth: usize) -> Vec<u8> {
        let mut list = ContainerWriter::array(80);
        for i in 0..40 {
            list.integer(i);
            list.string(if i == at as i64 { text } else { b"fine" });
        }
        let mut object = ContainerWriter::object([key].into_iter());
        object.jsonb(&list.finish().unwrap_or_default()[4..]);
        (0..depth).fold(object.finish().unwrap_or_default(), |inner, _| {
            let mut outer = ContainerWriter::array(2);
            outer.boolean(true);
            outer.jsonb(&inner[4..]);
            outer.finish().unwrap_or_default()
        })
    }

    #[test]
    fn a_bad_string_is_found_wherever_it_is() {
        for at in [0, 15, 16, 31, 39] {
            for (text, valid) in [("ö".as_bytes(), true), (b"\xff", false), (b"a\0", false), (b"", true)] {
                assert_eq!(are_valid(&nested(at, text, b"key", 3)[4..]), valid, "{at} {text:?}");
            }
        }
        assert!(!are_valid(&nested(0, b"x", b"k\xe2", 0)[4..]));
        assert!(are_valid(&nested(0, b"x", b"k", 2_000)[4..]));
        assert!(!are_valid(&nested(0, b"\x80", b"k", 2_000)[4..]));
    }
}
