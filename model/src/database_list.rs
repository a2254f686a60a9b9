//! The setting that names the databases to be served.

/// Whether a list names a database: `*` alone names all; else names, apart by commas, in double quotes where
/// they hold one (a quote itself doubled) or begin or end with a space.
pub fn names(list: &str, database: &str) -> bool {
    list.trim() == "*" || parts(list).iter().any(|one| one == database)
}

fn parts(list: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let (mut part, mut spaces) = (String::new(), String::new());
    let (mut is_quoted, mut was_quoted) = (false, false);
    let mut rest = list.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if is_quoted && rest.peek() == Some(&'"') => {
                rest.next();
                part.push('"');
            }
            '"' => {
                is_quoted = !is_quoted;
                was_quoted = true;
            }
            _ if is_quoted => part.push(c),
            ',' => {
                parts.push((std::mem::take(&mut part), std::mem::take(&mut was_quoted)));
                spaces.clear();
            }
            c if c.is_whitespace() => spaces.push(c),
            c => {
                if !part.is_empty() {
                    part.push_str(&spaces);
                }
                spaces.clear();
                part.push(c);
            }
        }
    }
    parts.push((part, was_quoted));
    parts.into_iter().filter(|(name, quoted)| *quoted || !name.is_empty()).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_names_all() {
        assert!(names("*", "hiring") && names(" * ", "a,b"));
        assert!(!names("", "hiring") && !names("**", "hiring"));
    }

    #[test]
    fn names_are_apart_by_commas() {
        let list = "hiring, \"Sales, EU\" ,my db,\" x\"";
        for name in ["hiring", "Sales, EU", "my db", " x"] {
            assert!(names(list, name), "{name}");
        }
        for name in ["Hiring", "Sales", "EU", "x", "db", ""] {
            assert!(!names(list, name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_name_is_found_whatever_it_holds(name in ".{1,20}", other in "[a-z]{1,5}") {
            let list = format!("{other}, \"{}\"", name.replace('"', "\"\""));
            prop_assert!(names(&list, &name) && names(&list, &other));
        }

        #[test]
        fn no_list_panics(list in ".{0,60}", name in ".{0,10}") {
            names(&list, &name);
        }
    }
}
