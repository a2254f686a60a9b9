//! Documents whose blocks are run and whose generated parts are generated. Where a document is not what it should be
//! the test fails; with AUDIT_LOG_ACCEPT=1 in the environment the document is rewritten instead.
//!
//! Blocks in sql (as psql takes it) and sh run one after the other in one session of psql; a text block is what the block
//! above it gives. A block without one must not give an error. A word that ends in "…" stands for the rest of it.
//! A generated part is what stands between the lines `<!-- generated: NAME -->` and `<!-- end -->`, and so is a block in
//! mermaid.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use audit_log_tests::{cluster, Cluster, Db};

pub struct Document {
    path: PathBuf,
    pieces: Vec<Piece>,
    generated: Vec<String>,
    differences: Vec<String>,
}

/// A stretch of lines outside of fences (no language), or what is inside of one.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    language: Option<String>,
    text: String,
}

impl Document {
    /// Reads a document of the repository.
    pub fn read(name: &str) -> Document {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let pieces = pieces(&text);
        assert_eq!(joined(&pieces), text, "{name}: fences are at the line's beginning, and close");
        Document { path, pieces, generated: Vec::new(), differences: Vec::new() }
    }

    /// Checks that the generated part of this name holds what it should.
    pub fn generated(&mut self, name: &str, content: &str) {
        let (begin, end) = (begin_mark(name), "<!-- end -->\n");
        let prose = self.pieces.iter_mut().filter(|p| p.language.is_none());
        let part = prose.filter_map(|piece| {
            let from = piece.text.find(&begin)? + begin.len();
            let to = from + piece.text[from..].find(end)?;
            Some((piece, from..to))
        });
        let (piece, range) = part.last().unwrap_or_else(|| panic!("no generated part {name}"));
        let content = format!("\n{}\n\n", content.trim());
        if piece.text[range.clone()] != content {
            let line =
                piece.text[range.clone()].lines().zip(content.lines()).find(|(is, should)| is != should);
            self.differences.push(match line {
                Some((is, should)) => format!("the generated part {name} has\n{is}\ninstead of\n{should}"),
                None => format!("the generated part {name} is too short or too long"),
            });
            piece.text.replace_range(range, &content);
        }
        self.generated.push(name.to_string());
    }

    /// Checks that the block in mermaid is what it should be.
    pub fn diagram(&mut self, content: &str) {
        let is_diagram = |p: &&mut Piece| p.language.as_deref() == Some("mermaid");
        let piece = self.pieces.iter_mut().find(is_diagram).expect("a block in mermaid");
        if piece.text != content {
            self.differences.push(format!("the diagram should be\n{content}"));
            piece.text = content.to_string();
        }
        self.generated.push("mermaid".to_string());
    }

    /// Runs all blocks in a database, and checks what they give.
    pub fn run(&mut self, db: &Db) {
        self.run_in(cluster(), &db.name);
    }

    /// The same in a cluster of its own.
    pub fn run_in(&mut self, server: &Cluster, database: &str) {
        let runs: Vec<usize> = (0..self.pieces.len()).filter(|i| self.pieces[*i].is_run()).collect();
        let first_shown = self.pieces.iter().position(|p| p.language.as_deref() == Some("text"));
        assert!(first_shown.is_none() || first_shown > runs.first().copied(), "an output of nothing");
        let blocks: Vec<&Piece> = runs.iter().map(|i| &self.pieces[*i]).collect();
        for (n, output) in outputs(server, database, &blocks).into_iter().enumerate() {
            let until = runs.get(n + 1).copied().unwrap_or(self.pieces.len());
            let below: Vec<usize> =
                (runs[n]..until).filter(|i| self.pieces[*i].language.as_deref() == Some("text")).collect();
            let block = &self.pieces[runs[n]].text;
            match below.as_slice() {
                [] => assert!(!fails(&output), "fails:\n{block}{output}"),
                [shown] if same(&output, &self.pieces[*shown].text) => (),
                [shown] => {
                    self.differences.push(format!("below\n{block}should be\n{output}"));
                    self.pieces[*shown].text = format!("{}\n", output.trim_end_matches('\n'));
                }
                _ => panic!("two outputs below\n{block}"),
            }
        }
    }

    /// Checks that there is no block but those that are run, their outputs, and what was generated.
    pub fn is_all_run(&self) {
        let known = |p: &Piece| match p.language.as_deref() {
            None | Some("sql" | "sh" | "text") => true,
            Some(language) => self.generated.iter().any(|g| g == language),
        };
        let other = self.pieces.iter().find(|p| !known(p));
        assert_eq!(other, None, "a block that nobody runs");
    }

    /// How many outputs the document shows.
    pub fn shown(&self) -> usize {
        self.pieces.iter().filter(|p| p.language.as_deref() == Some("text")).count()
    }

    /// Fails, or rewrites, where anything differed.
    pub fn finish(self) {
        let text = joined(&self.pieces);
        for name in text.lines().filter_map(|l| l.strip_prefix("<!-- generated: ")?.strip_suffix(" -->")) {
            assert!(self.generated.iter().any(|g| g == name), "nothing generates {name}");
        }
        if self.differences.is_empty() {
            return;
        }
        if std::env::var("AUDIT_LOG_ACCEPT").is_ok_and(|v| v == "1") {
            std::fs::write(&self.path, text).expect("the document can be written");
            return audit_log_tests::skipped(
                &format!("what {} shows", self.path.display()),
                "it was written anew",
            );
        }
        panic!(
            "{} differs; AUDIT_LOG_ACCEPT=1 rewrites it\n{}",
            self.path.display(),
            self.differences.join("\n")
        );
    }
}

impl Piece {
    fn is_run(&self) -> bool {
        ["sql", "sh"].map(Some).contains(&self.language.as_deref())
    }
}

fn begin_mark(name: &str) -> String {
    format!("<!-- generated: {name} -->\n")
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut piece = Piece { language: None, text: String::new() };
    for line in text.lines() {
        let language = match (&piece.language, line) {
            (Some(_), "```") => None,
            (None, line) if line.starts_with("```") => Some(line[3..].to_string()),
            _ => {
                assert!(!line.trim_start().starts_with("```"), "a fence where none is known: {line}");
                piece.text.push_str(line);
                piece.text.push('\n');
                continue;
            }
        };
        pieces.push(std::mem::replace(&mut piece, Piece { language, text: String::new() }));
    }
    pieces.push(piece);
    pieces
}

fn joined(pieces: &[Piece]) -> String {
    let text = pieces.iter().map(|p| match &p.language {
        Some(language) => format!("```{language}\n{}```\n", p.text),
        None => p.text.clone(),
    });
    text.collect()
}

/// What each block gives, errors included, all in one session of psql.
fn outputs(server: &Cluster, database: &str, blocks: &[&Piece]) -> Vec<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut psql = server.program("psql");
    psql.args(["-X", "-q", "-d", database])
        .env("PATH", format!("{}:{path}", server.bindir.display()))
        .env("PGDATABASE", database)
        .env("LC_ALL", "C.UTF-8");
    // The functions' own line numbers are nobody's business.
    let mut script = "\\set SHOW_CONTEXT never\n".to_string();
    for (n, block) in blocks.iter().enumerate() {
        script.push_str(&format!("\\echo @@{n}\n"));
        match block.language.as_deref() {
            Some("sh") => {
                psql.env(format!("BLOCK_{n}"), &block.text);
                script.push_str(&format!("\\! sh -c \"$BLOCK_{n}\" < /dev/null\n"));
            }
            _ => script.push_str(&block.text),
        }
    }
    script.push_str("\\echo @@end\n");
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let errors = writer.try_clone().expect("a pipe");
    let mut child = psql.stdin(Stdio::piped()).stdout(writer).stderr(errors).spawn().expect("psql runs");
    // With it go our copies of the pipe's end: the reader must see psql close the last one.
    drop(psql);
    let mut stdin = child.stdin.take().expect("stdin");
    let mut output = String::new();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(script.as_bytes()).expect("psql reads"));
        reader.read_to_string(&mut output).expect("psql writes UTF-8");
    });
    child.wait().expect("psql ends");
    let mut rest = output.as_str();
    let mut results = Vec::new();
    for n in 0..blocks.len() {
        let next = if n + 1 < blocks.len() { format!("@@{}\n", n + 1) } else { "@@end\n".to_string() };
        let (before, after) = rest.split_once(&next).unwrap_or_else(|| panic!("psql ended in\n{rest}"));
        results.push(before.trim_start_matches("@@0\n").to_string());
        rest = after;
    }
    results
}

fn fails(output: &str) -> bool {
    output.lines().any(|l| ["ERROR:", "FATAL:", "invalid command"].iter().any(|e| l.contains(e)))
}

/// Compares outputs as people do: without empty lines, blanks at the end and the width of columns.
fn same(output: &str, shown: &str) -> bool {
    fn is_rule(line: &str) -> bool {
        line.chars().all(|c| "-+ ".contains(c))
    }
    fn normal(text: &str) -> Vec<Vec<&str>> {
        text.lines().filter(|l| !is_rule(l)).map(|l| l.split_whitespace().collect()).collect()
    }
    let word = |is: &str, shown: &str| match shown.strip_suffix('…') {
        Some(beginning) => is.starts_with(beginning),
        None => is == shown,
    };
    let line = |is: &[&str], shown: &[&str]| {
        is.len() == shown.len() && is.iter().zip(shown).all(|(i, s)| word(i, s))
    };
    let (output, shown) = (normal(output), normal(shown));
    output.len() == shown.len() && output.iter().zip(&shown).all(|(i, s)| line(i, s))
}

#[test]
fn outputs_are_compared_as_people_do() {
    assert!(same(" a  | b \n----+---\n 1 | 2\n", "a | b\n--+--\n1 | 2"));
    assert!(same(" TAEABk12 | 3\n", "TAEA… | 3"));
    for (output, shown) in [("a", "b"), ("a\nb", "a"), ("a b", "a"), ("TAEA", "TAEAB…"), ("", "a"), ("a", "")]
    {
        assert!(!same(output, shown), "{output} is not {shown}");
    }
}

#[test]
fn a_document_comes_apart_into_pieces() {
    let text = "a\n```sql\nSELECT 1;\n```\n```text\n 1\n```\n";
    let found = pieces(text);
    let of: Vec<_> = found.iter().map(|p| (p.language.as_deref(), p.text.as_str())).collect();
    assert_eq!(
        of,
        [(None, "a\n"), (Some("sql"), "SELECT 1;\n"), (None, ""), (Some("text"), " 1\n"), (None, "")]
    );
    assert_eq!(joined(&found), text);
}
