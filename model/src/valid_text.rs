//! Bytes that should be UTF-8 text, and may not be: what a cast without a function made, or the name
//! of a role that was created in a database of another encoding.

use std::borrow::Cow;

/// The bytes as text that PostgreSQL takes in again: one that is not UTF-8, and NUL, is written `\xff`.
pub fn clean(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(bytes)),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\0' => text += "\\x00",
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn valid_text_is_left_alone_and_bytes_are_shown() {
        for (bytes, text) in [
            (&b""[..], ""),
            ("Ünï 😀 \\x00".as_bytes(), "Ünï 😀 \\x00"),
            (b"a\xffb", "a\\xffb"),
            (b"\xc3", "\\xc3"),
            (b"a\0\xe2\x82b", "a\\x00\\xe2\\x82b"),
            // A surrogate, and a character in too many bytes.
            (b"\xed\xa0\x80\xc0\x80", "\\xed\\xa0\\x80\\xc0\\x80"),
        ] {
            assert_eq!(clean(bytes), text);
        }
    }
}
