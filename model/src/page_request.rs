//! The people's page: its numbers and filters, and the line that sums an entry up.

use crate::stored_id::stored_id;
use crate::AuditError;

/// The sizes a page may have.
pub const SIZES: [i64; 4] = [10, 20, 50, 100];

/// What a caller asked of `page`; texts are not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// From 1.
    pub page: i64,
    pub size: i64,
    pub tab: Option<String>,
    pub search: Option<String>,
    /// A category or its label.
    pub action: Option<String>,
    /// An id or a name.
    pub actor: Option<String>,
    /// An id or a name.
    pub candidate: Option<String>,
    pub organization: Option<String>,
}

impl PageRequest {
    /// Checks numbers and combinations; an empty text filters nothing.
    pub fn checked(self) -> Result<Self, AuditError> {
        if self.page < 1 {
            return Err(AuditError::invalid(
                "page",
                format!("page {} is below 1", self.page),
                "Pages are counted from 1.",
            ));
        }
        if !SIZES.contains(&self.size) {
            return Err(AuditError::invalid(
                "page_size",
                format!("page_size {} is none of 10, 20, 50 and 100", self.size),
                "Ask for 10, 20, 50 or 100 entries a page.",
            ));
        }
        if let Some(tab) = self.tab.as_deref().filter(|tab| !["", "interviews", "team"].contains(tab)) {
            return Err(AuditError::invalid(
                "tab",
                format!("unknown tab \"{tab}\""),
                "The tabs are interviews and team.",
            ));
        }
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let checked = PageRequest {
            tab: given(self.tab),
            // Only a whole id is that long.
            search: given(self.search).map(|text| stored_id(&text).into_owned()),
            action: given(self.action),
            actor: given(self.actor),
            candidate: given(self.candidate),
            ..self
        };
        if checked.actor.is_some() && checked.candidate.is_some() {
            return Err(AuditError::invalid(
                "candidate",
                "actor and candidate are both given",
                "Filter by one of them: by who did it, or by the candidate it was done to.",
            ));
        }
        Ok(checked)
    }

    /// How many entries come before the page.
    pub fn skipped(&self) -> i64 {
        (self.page - 1).saturating_mul(self.size)
    }
}

/// What an entry's summary is made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary<'a> {
    pub actor: &'a str,
    pub on_behalf_of: Option<&'a str>,
    pub label: &'a str,
    pub target_type: &'a str,
    pub target: Option<&'a str>,
    /// Changed columns with their values before and after, as JSON.
    pub changes: &'a [(String, String, String)],
}

/// Changes named in a summary, and characters of a value.
const MOST_CHANGES: usize = 3;
const LONGEST_VALUE: usize = 40;

impl Summary<'_> {
    /// One line for people: `Ann (for Bob): Job Updated, Job Cook; status: open → closed`.
    pub fn line(&self) -> String {
        let mut line = self.actor.to_string();
        if let Some(other) = self.on_behalf_of {
            line += &format!(" (for {other})");
        }
        line += &format!(": {}, {}", self.label, self.target_type);
        if let Some(target) = self.target {
            line += &format!(" {target}");
        }
        let named: Vec<String> = self
            .changes
            .iter()
            .take(MOST_CHANGES)
            .map(|(column, old, new)| format!("{column}: {} → {}", shown(old), shown(new)))
            .collect();
        if !named.is_empty() {
            line += &format!("; {}", named.join(", "));
        }
        match self.changes.len().saturating_sub(MOST_CHANGES) {
            0 => {}
            more => line += &format!(" and {more} more"),
        }
        // One line, whatever is in it.
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

/// A value as people read it: a string without its quotes, anything long cut.
fn shown(json: &str) -> String {
    let text = match serde_json::from_str::<serde_json::Value>(json) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(serde_json::Value::Null) => "nothing".to_string(),
        _ => without_blanks(json),
    };
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A JSON text without the blanks between its tokens.
fn without_blanks(json: &str) -> String {
    let (mut in_string, mut escape) = (false, false);
    let is_kept = |c: &char| {
        match c {
            _ if escape => escape = false,
            '\\' => escape = true,
            '"' => in_string = !in_string,
            _ => {}
        }
        in_string || !c.is_ascii_whitespace()
    };
    json.chars().filter(is_kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_without_the_blanks_of_json() {
        for (json, text) in [
            (r#"{"a b": ["\" c \\", 1, "d e"]}"#, r#"{"a b":["\" c \\",1,"d e"]}"#),
            (r#""a  b""#, "a  b"),
            ("null", "nothing"),
            ("1.50", "1.50"),
        ] {
            assert_eq!(shown(json), text);
        }
        let deep = "[".repeat(5_000) + &"]".repeat(5_000);
        assert_eq!(shown(&deep), "[".repeat(LONGEST_VALUE) + "…");
    }

    fn request() -> PageRequest {
        PageRequest {
            page: 1,
            size: 50,
            tab: None,
            search: None,
            action: None,
            actor: None,
            candidate: None,
            organization: None,
        }
    }

    #[test]
    fn numbers_and_tabs_are_checked() {
        assert!(request().checked().is_ok());
        for wrong in [
            PageRequest { page: 0, ..request() },
            PageRequest { size: 25, ..request() },
            PageRequest { tab: Some("all".into()), ..request() },
            PageRequest { actor: Some("a".into()), candidate: Some("b".into()), ..request() },
        ] {
            assert!(wrong.clone().checked().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_empty_text_filters_nothing() {
        let checked =
            PageRequest { actor: Some(String::new()), candidate: Some("b".into()), ..request() }.checked();
        assert_eq!(checked.map(|c| c.actor), Ok(None));
    }

    #[test]
    fn the_line_has_who_what_and_the_first_changes() {
        let changes: Vec<_> = ["status", "title", "salary", "notes"]
            .map(|c| (c.to_string(), "\"open\"".to_string(), "null".to_string()))
            .to_vec();
        let summary = Summary {
            actor: "Ann",
            on_behalf_of: Some("Bob"),
            label: "Job Updated",
            target_type: "Job",
            target: Some("Cook\nand more"),
            changes: &changes,
        };
        assert_eq!(
            summary.line(),
            "Ann (for Bob): Job Updated, Job Cook and more; status: open → nothing, title: open → nothing, salary: open → nothing and 1 more"
        );
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(shown(&format!("\"{}\"", "ä".repeat(41))), format!("{}…", "ä".repeat(40)));
        assert_eq!(shown("{\"a\": 1}"), "{\"a\":1}");
    }
}
