//! An id as it is stored: what an index cannot hold is kept by its beginning and a hash.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// The longest id in bytes that is stored as it is: an index entry must hold it beside an instant.
pub const MOST: usize = 2_500;
/// Bytes of a longer id's beginning.
const BEGINNING: usize = 2_400;

/// An id as it is stored and looked up: a longer one is its first 2,400 bytes, to the end of a
/// character, then `…#` and the SHA-256 of the whole in hexadecimal.
pub fn stored_id(id: &str) -> Cow<'_, str> {
    within(id, MOST, BEGINNING)
}

/// The longest idempotency key that is stored as it is: it shares an index with an organization.
const MOST_OF_KEY: usize = 1_000;

/// An idempotency key, likewise.
pub fn stored_key(key: &str) -> Cow<'_, str> {
    within(key, MOST_OF_KEY, MOST_OF_KEY - 100)
}

fn within(text: &str, most: usize, beginning: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let end = (0..=beginning).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let mut short = format!("{}…#", &text[..end]);
    for byte in Sha256::digest(text) {
        short += &format!("{byte:02x}");
    }
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_form_is_the_documented_one() {
        let id = "x".repeat(2_501);
        let hash = "b6c5f2c8bacaaf26e3de9eb4fdf932775018345f99847e8e84cf506af792bbba";
        assert_eq!(stored_id(&id), format!("{}…#{hash}", "x".repeat(2_400)));
        assert_eq!(stored_id(&id[1..]), id[1..]);
        // The 2,400th byte is inside the 1,200th ö.
        let odd = format!("a{}", "ö".repeat(1_300));
        assert!(stored_id(&odd).starts_with(&format!("a{}…#", "ö".repeat(1_199))));
    }

    proptest! {
        #[test]
        fn any_id_fits_and_is_told_from_others(a in ".{0,8}", times in 1..900_usize, b in ".{0,8}") {
            let (one, other) = (a.repeat(times) + &b, a.repeat(times) + &b + "!");
            let (short, long) = (stored_id(&one), stored_id(&other));
            prop_assert!(short.len() <= MOST && stored_key(&one).len() <= 1_000);
            prop_assert_ne!(&short, &long);
            prop_assert_eq!(stored_id(&short), &*short);
        }
    }
}
