//! The README's first five minutes: every block is run, and gives the output that stands below it.

use audit_log_tests::{psql, Db};

/// Fenced blocks of the README: language and text.
fn blocks(readme: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```").filter(|l| !l.is_empty()) {
            let text: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
            blocks.push((language, text.join("\n")));
        } else if line == "```" {
            let _ = lines.by_ref().take_while(|l| *l != "```").count();
        }
    }
    blocks
}

/// Output as people compare it: without trailing blanks, empty lines, and the width of columns.
fn normal(output: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_rule = |line: &str| line.chars().all(|c| "-+ ".contains(c));
    output.lines().filter(|l| !is_rule(l)).map(words).collect()
}

#[test]
fn every_block_gives_what_it_says() {
    let db = Db::without_extension();
    let readme = include_str!("../../README.md");
    let blocks: Vec<_> = blocks(readme).into_iter().filter(|(l, _)| ["sql", "text"].contains(l)).collect();
    assert!(blocks.iter().filter(|(l, _)| *l == "text").count() >= 5, "the README has lost its outputs");
    let script: String = blocks
        .iter()
        .map(|(language, text)| match *language {
            "sql" => format!("\\echo @@sql\n{text}\n"),
            _ => "\\echo @@end\n".to_string(),
        })
        .collect();
    let output = psql(&db.name, &format!("\\pset tuples_only off\n\\pset format aligned\n{script}"));
    let results: Vec<&str> = output.split("@@sql\n").skip(1).collect();
    let sql_blocks = blocks.iter().filter(|(l, _)| *l == "sql").count();
    assert_eq!(results.len(), sql_blocks);
    let mut at = 0;
    for (i, (language, text)) in blocks.iter().enumerate() {
        if *language == "sql" {
            at += 1;
        } else {
            let got = results[at - 1].split("@@end").next().unwrap_or_default();
            assert_eq!(normal(got), normal(text), "below: {}", blocks[i - 1].1);
        }
    }
    psql("postgres", "DROP ROLE acme_bi");
}
