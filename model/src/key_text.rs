//! A row's key as the text of a target's id.
//!
//! One column's text is taken as it is. Several are joined by commas, like a line of CSV: a part that
//! is empty, or holds a comma or a double quote, is put in double quotes with its own doubled; of
//! NULL nothing is written. So no two keys of a table share a text.

/// The id of a key; None where it has no column, or its only one is NULL.
pub fn join<'a>(parts: impl ExactSizeIterator<Item = Option<&'a str>>) -> Option<String> {
    let mut joined = String::new();
    let several = parts.len() > 1;
    for (at, part) in parts.enumerate() {
        if !several {
            return part.map(str::to_string);
        }
        if at > 0 {
            joined.push(',');
        }
        match part {
            None => {}
            Some(part) if part.is_empty() || part.contains([',', '"']) => {
                joined.push('"');
                joined += &part.replace('"', "\"\"");
                joined.push('"');
            }
            Some(part) => joined += part,
        }
    }
    several.then_some(joined)
}

/// The parts of an id of a key of so many columns; None where no key is written like this.
pub fn parse(id: &str, columns: usize) -> Option<Vec<Option<String>>> {
    if columns < 2 {
        return (columns == 1).then(|| vec![Some(id.to_string())]);
    }
    let (mut parts, mut rest) = (Vec::new(), id);
    loop {
        let (part, behind) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (part, behind) = quoted_part(quoted)?;
                (Some(part), behind)
            }
            None => {
                let (part, behind) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                if part.contains('"') {
                    return None;
                }
                ((!part.is_empty()).then(|| part.to_string()), behind)
            }
        };
        // What needs no quotes has none.
        if rest.starts_with('"') && part.as_ref().is_some_and(|p| !p.is_empty() && !p.contains([',', '"'])) {
            return None;
        }
        parts.push(part);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.is_empty() => break,
            None => return None,
        }
    }
    (parts.len() == columns).then_some(parts)
}

/// What is behind an opening quote: the part, and what follows the closing one.
fn quoted_part(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once('"')?;
        part += before;
        match behind.strip_prefix('"') {
            Some(next) => {
                part.push('"');
                rest = next;
            }
            None => return Some((part, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(parts: &[Option<&str>]) -> Option<String> {
        join(parts.iter().copied())
    }

    #[test]
    fn keys_as_they_are_written() {
        for (parts, expected) in [
            (&[Some("7"), Some("1")][..], Some("7,1")),
            (&[Some("a,b"), Some("c")], Some("\"a,b\",c")),
            (&[Some("a"), Some("b,c")], Some("a,\"b,c\"")),
            (&[Some("say \"hi\""), Some(" x ")], Some("\"say \"\"hi\"\"\", x ")),
            (&[None, Some("")], Some(",\"\"")),
            (&[None, None, None], Some(",,")),
            (&[Some("a,\"b\"")], Some("a,\"b\"")),
            (&[Some("")], Some("")),
            (&[None], None),
            (&[], None),
        ] {
            assert_eq!(id(parts).as_deref(), expected, "{parts:?}");
        }
    }

    #[test]
    fn what_is_no_key() {
        for (text, columns) in
            [("a", 2), ("a,b,c", 2), ("\"a,b", 2), ("\"a\",b", 2), ("a\"b,c", 2), ("\"a,\"b,c", 2), ("", 0)]
        {
            assert_eq!(parse(text, columns), None, "{text}");
        }
    }

    fn part() -> impl Strategy<Value = Option<String>> {
        prop_oneof![Just(None), "[,\"a \n\\\\ö]{0,5}".prop_map(Some), ".{0,9}".prop_map(Some)]
    }

    proptest! {
        #[test]
        fn a_key_is_read_back(parts in prop::collection::vec(part(), 2..5)) {
            let text = join(parts.iter().map(Option::as_deref)).unwrap_or_default();
            prop_assert_eq!(parse(&text, parts.len()), Some(parts));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "[,\"a]{0,9}", columns in 2..5_usize) {
            if let Some(parts) = parse(&text, columns) {
                prop_assert_eq!(join(parts.iter().map(Option::as_deref)), Some(text));
            }
        }

        #[test]
        fn different_keys_have_different_ids(
            a in prop::collection::vec(part(), 2..4), b in prop::collection::vec(part(), 2..4),
        ) {
            prop_assume!(a.len() == b.len() && a != b);
            let text = |parts: &[Option<String>]| join(parts.iter().map(Option::as_deref));
            prop_assert_ne!(text(&a), text(&b));
        }
    }
}
