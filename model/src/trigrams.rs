//! Three letters in a row, by which parts of names are looked up.

use crate::needle::folded;

/// Stands for a text that is too long to be taken apart: it may contain anything.
pub const LONG: i32 = 0;
/// The longest text that is taken apart, in bytes.
const LONGEST: usize = 4096;

/// The trigrams of a text that is looked up, each once: whatever text contains it has them all. None where it has fewer
/// than three letters.
pub fn sought(text: &str) -> Vec<i32> {
    let mut letters = folded(text).chars().collect::<Vec<_>>();
    letters.truncate(LONGEST);
    distinct(&letters)
}

/// The trigrams of a text that is looked for, each once; only `LONG` where it is too long.
pub fn stored(text: &str) -> Vec<i32> {
    match text.len() > LONGEST {
        true => vec![LONG],
        false => distinct(&folded(text).chars().collect::<Vec<_>>()),
    }
}

fn distinct(letters: &[char]) -> Vec<i32> {
    let mut all: Vec<i32> = letters.windows(3).map(hash).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// FNV-1a of three letters. Two that share a number only cost a look at a row.
fn hash(letters: &[char]) -> i32 {
    let hash = letters.iter().fold(0x811c_9dc5_u32, |hash, letter| {
        u32::from(*letter)
            .to_le_bytes()
            .iter()
            .fold(hash, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
    });
    match hash as i32 {
        LONG => 1,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::needle::Needle;

    #[test]
    fn fewer_than_three_letters_have_none() {
        assert!(sought("ab").is_empty() && stored("").is_empty());
        assert_eq!(sought("aBc"), stored("AbC"));
        assert_eq!(stored(&"a".repeat(5000)), [LONG]);
        assert!(!sought(&"a".repeat(5000)).contains(&LONG));
    }

    proptest! {
        #[test]
        fn what_contains_a_text_has_its_trigrams(
            before in "[a-bA-BäÄςΣİ]{0,5}", part in "[a-bA-BäÄςΣİ]{0,6}", after in "[a-bA-BäÄςΣİ]{0,5}",
        ) {
            let text = format!("{before}{part}{after}");
            prop_assert!(Needle::new(&part).is_in(&text));
            let stored = stored(&text);
            prop_assert!(sought(&part).iter().all(|one| stored.contains(one)));
        }
    }
}
