//! JSON of any depth, and with any keys, through a parser that has limits.
//!
//! What is nested deeper than the parser may go is taken out and left as a string that stands for it;
//! likewise the keys that the parser takes for its own. What is built of the rest is given its parts
//! back as text, so that nothing here is recursive.

use std::collections::HashMap;

/// Containers below this depth are taken out; serde_json reads 127, and answers add a few of their own.
const MOST: usize = 100;
/// What serde_json's own keys begin with.
const PRIVATE: &str = "$serde_json::private::";

/// The parts that were taken out of some texts, and what stands for them.
pub struct Folder {
    mark: String,
    parts: Vec<String>,
    places: HashMap<String, usize>,
}

impl Folder {
    /// For these texts: what stands for a part is in none of them.
    pub fn new(texts: &[&str]) -> Self {
        let is_free = |mark: &String| !texts.iter().any(|text| text.contains(mark.as_str()));
        let mark = (0..).map(|n| format!("<part{n}:")).find(is_free).unwrap_or_default();
        Folder { mark, parts: Vec::new(), places: HashMap::new() }
    }

    /// A valid JSON text without what is too deep.
    pub fn fold(&mut self, text: &str) -> String {
        let mut folded = String::with_capacity(text.len().min(1 << 20));
        let (mut depth, mut copied) = (0_usize, 0);
        for (at, token) in tokens(text) {
            match token {
                b'[' | b'{' => {
                    if depth == MOST {
                        folded += &text[copied..at];
                        copied = at;
                    }
                    depth += 1;
                }
                _ => {
                    depth = depth.saturating_sub(1);
                    if depth == MOST {
                        let place = self.place(&text[copied..=at]);
                        folded += &format!("\"{}{place};\"", self.mark);
                        copied = at + 1;
                    }
                }
            }
        }
        folded += &text[copied..];
        folded.replace(PRIVATE, &format!("{}$;", self.mark))
    }

    /// Equal parts are one.
    fn place(&mut self, part: &str) -> usize {
        if let Some(place) = self.places.get(part) {
            return *place;
        }
        self.parts.push(part.to_string());
        self.places.insert(part.to_string(), self.parts.len() - 1);
        self.parts.len() - 1
    }

    /// A JSON text with the parts in their places, also in a string that is itself JSON.
    pub fn unfold(&self, text: &str) -> String {
        let mut whole = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once(self.mark.as_str()) {
            let Some((name, behind)) = behind.split_once(';') else { break };
            whole += before;
            rest = behind;
            let Some(part) = name.parse().ok().and_then(|place: usize| self.parts.get(place)) else {
                whole += PRIVATE;
                continue;
            };
            // Of a string within strings its quotes are escaped as often as it is deep, and so is what it holds.
            let escapes = whole.strip_suffix('"').map_or(0, |w| w.len() - w.trim_end_matches('\\').len());
            whole.truncate(whole.len() - escapes - 1);
            rest = rest.get(escapes + 1..).unwrap_or_default();
            let levels = (escapes + 1).ilog2();
            whole += &(0..levels).fold(part.clone(), |text, _| escaped(&text));
        }
        whole + rest
    }
}

/// A text as it stands in a JSON string.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_string()
}

/// The brackets of a JSON text that are in no string, with their places.
fn tokens(text: &str) -> impl Iterator<Item = (usize, u8)> + '_ {
    let (mut in_string, mut escape) = (false, false);
    text.bytes().enumerate().filter(move |(_, byte)| {
        match byte {
            _ if escape => escape = false,
            b'\\' => escape = true,
            b'"' => in_string = !in_string,
            b'[' | b']' | b'{' | b'}' => return !in_string,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{json, Value};

    fn parsed(text: &str) -> (Folder, Value) {
        let mut folder = Folder::new(&[text]);
        let folded = folder.fold(text);
        let value = serde_json::from_str(&folded).unwrap_or_else(|e| panic!("{e}: {folded}"));
        (folder, value)
    }

    #[test]
    fn any_depth_comes_back() {
        for depth in [1, 99, 100, 101, 127, 128, 200, 50_000] {
            let arrays = format!("{}\"]}}\"{}", "[".repeat(depth), "]".repeat(depth));
            let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
            let both = format!("{{\"<part0:0;\":{arrays},\"b\":[{objects},{arrays},{arrays},7]}}");
            let (folder, value) = parsed(&both);
            assert_eq!(folder.unfold(&value.to_string()), both, "{depth}");
            assert_eq!(value["b"][1], value["b"][2], "{depth}: equal parts stay equal");
        }
    }

    #[test]
    fn parts_in_a_string_of_json_are_escaped() {
        let deep = format!("{}\"\\\\x\"{}", "[".repeat(130), "]".repeat(130));
        let (folder, value) = parsed(&deep);
        let within = json!({"raw": value.to_string()}).to_string();
        let expected = format!("{{\"raw\":{}}}", Value::from(deep.as_str()));
        assert_eq!(folder.unfold(&within), expected);
        let twice = json!([within]).to_string();
        assert_eq!(folder.unfold(&twice), json!([expected]).to_string());
    }

    #[test]
    fn the_parsers_own_keys_are_keys_like_any_other() {
        for key in ["$serde_json::private::Number", "$serde_json::private::RawValue", "__proto__", ""] {
            for value in ["\"1\"", "[]", "\"$serde_json::private::Number\""] {
                let text = format!("{{\"{key}\":{value}}}");
                let (folder, value) = parsed(&text);
                assert!(value.is_object(), "{text}");
                assert_eq!(folder.unfold(&value.to_string()), text);
            }
        }
    }

    proptest! {
        #[test]
        fn any_strings_come_back(texts in prop::collection::vec("[<part0:;$\"\\\\\\[{]{0,8}", 0..4), depth in 98..103_usize) {
            let inner = texts.iter().map(|t| Value::from(t.as_str()).to_string()).collect::<Vec<_>>().join(",");
            let text = format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
            let (folder, value) = parsed(&text);
            prop_assert_eq!(folder.unfold(&value.to_string()), text);
        }
    }
}
