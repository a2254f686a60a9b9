//! Substrings, whatever the case.

/// What is searched for.
#[derive(Debug, Clone)]
pub struct Needle {
    folded: String,
}

/// A text without upper case, letter by letter: whatever stands around them.
pub fn folded(text: &str) -> String {
    let at_the_end = |c| if c == 'ς' { 'σ' } else { c };
    text.chars().flat_map(char::to_lowercase).map(at_the_end).collect()
}

impl Needle {
    pub fn new(text: &str) -> Self {
        Needle { folded: folded(text) }
    }

    /// Whether a text contains it; upper and lower case are the same, by Unicode.
    pub fn is_in(&self, text: &str) -> bool {
        match (text.is_ascii(), self.folded.is_ascii()) {
            (true, true) => self.is_in_ascii(text.as_bytes()),
            // What is folded from ASCII is ASCII.
            (true, false) => false,
            (false, _) => folded(text).contains(&self.folded),
        }
    }

    fn is_in_ascii(&self, text: &[u8]) -> bool {
        let needle = self.folded.as_bytes();
        needle.is_empty() || text.windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_does_not_matter() {
        assert!(Needle::new("SMITH").is_in("John Smithson"));
        assert!(Needle::new("müller").is_in("Frau MÜLLER"));
        assert!(Needle::new("").is_in(""));
        assert!(!Needle::new("smith").is_in("smit"));
        assert!(!Needle::new("é").is_in("e"));
        assert!(Needle::new("οδυσσεας").is_in("ΟΔΥΣΣΕΑΣ ΝΙΚΟΣΙΟΣ") && Needle::new("νικος").is_in("ΝΙΚΟΣΙΟΣ"));
    }

    proptest! {
        #[test]
        fn ascii_and_unicode_agree(text in "[a-cA-C ]{0,12}", needle in "[a-cA-C ]{0,4}") {
            let expected = text.to_lowercase().contains(&needle.to_lowercase());
            prop_assert_eq!(Needle::new(&needle).is_in(&text), expected);
        }
    }
}
