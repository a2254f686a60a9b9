//! Readers of sync(), sync_json() and feed, who remember what came and how far they are, and what must have come.

use std::collections::HashMap;

use audit_log_tests::{all, json, one, query, Db, Failure, Value};
use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, Row};

/// An entry as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub id: String,
    pub position: String,
    pub target: String,
}

/// What a reader calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Rows,
    Json,
}

/// Who always passes back the last cursor.
#[derive(Debug, Clone)]
pub struct Reader {
    pub by: By,
    pub limit: i32,
    pub organization: Option<&'static str>,
    pub cursor: String,
    pub found: Vec<Found>,
}

/// A cursor with nothing before it.
#[track_caller]
pub fn start(client: &mut Client) -> String {
    one(client, "SELECT audit_log.sync_start()")
}

/// A cursor with the entries from an instant on before it.
#[track_caller]
pub fn start_at(client: &mut Client, since: &str) -> String {
    one(client, &format!("SELECT audit_log.sync_start('{since}')"))
}

const SYNC: &str =
    r#"SELECT id::text, position, coalesce(target_id, ''), "cursor" FROM audit_log.sync($1, $2, $3)"#;

fn found(row: &Row) -> Found {
    Found { id: row.get(0), position: row.get(1), target: row.get(2) }
}

/// The answer to a request that must succeed.
#[track_caller]
pub fn sync_json(client: &mut Client, request: &Value) -> Value {
    let rows = query(client, "SELECT audit_log.sync_json($1)", &[request]);
    let answer: Value = rows[0].get(0);
    assert_eq!(answer["success"], true, "{request} gave {answer}");
    answer
}

impl Reader {
    pub fn new(cursor: String, limit: i32) -> Reader {
        Reader { by: By::Rows, limit, organization: None, cursor, found: Vec::new() }
    }

    /// Takes a page, or only the first rows of one; how many it took, and whether there is more at once.
    #[track_caller]
    pub fn take(&mut self, client: &mut Client, most: usize) -> usize {
        let (page, cursor) = match self.by {
            By::Rows => self.rows(client, most),
            By::Json => self.results(client, most),
        };
        assert!(page.len() <= self.limit as usize, "{} for limit {}", page.len(), self.limit);
        let disordered = page.windows(2).find(|two| two[0].position >= two[1].position);
        assert_eq!(disordered, None, "positions ascend within a call");
        self.cursor = cursor.unwrap_or(std::mem::take(&mut self.cursor));
        let count = page.len();
        self.found.extend(page);
        count
    }

    #[track_caller]
    fn rows(&self, client: &mut Client, most: usize) -> (Vec<Found>, Option<String>) {
        let rows = client.query_raw(
            SYNC,
            [&self.cursor as &(dyn postgres::types::ToSql + Sync), &self.limit, &self.organization],
        );
        let rows: Result<Vec<Row>, _> = rows.and_then(|rows| rows.take(most).collect());
        let rows = rows.unwrap_or_else(|e| panic!("{}", Failure::of(e)));
        (rows.iter().map(found).collect(), rows.last().map(|row| row.get(3)))
    }

    /// All of a page or nothing of it: there is one cursor.
    #[track_caller]
    fn results(&self, client: &mut Client, most: usize) -> (Vec<Found>, Option<String>) {
        let answer = sync_json(
            client,
            &json!({"cursor": self.cursor, "limit": self.limit, "organization": self.organization}),
        );
        let results = answer["results"].as_array().expect("results");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let next = text(&answer["nextCursor"]);
        assert_ne!(next, "", "a cursor with every page");
        assert!(answer["moreDataAvailable"].is_boolean(), "{}", answer["moreDataAvailable"]);
        if most < results.len() {
            return (Vec::new(), None);
        }
        let page = results.iter().map(|entry| Found {
            id: text(&entry["id"]),
            position: text(&entry["position"]),
            target: text(&entry["target"]["id"]),
        });
        (page.collect(), Some(next))
    }

    /// Reads until nothing more comes; the targets of what came.
    #[track_caller]
    pub fn catch_up(&mut self, client: &mut Client) -> Vec<String> {
        let before = self.found.len();
        while self.take(client, usize::MAX) > 0 {}
        self.found[before..].iter().map(|found| found.target.clone()).collect()
    }

    /// Checks that every entry came once, and nothing else.
    #[track_caller]
    pub fn has_exactly(&self, wanted: &[String], who: &str) {
        let found: Vec<String> = self.found.iter().map(|found| found.id.clone()).collect();
        assert_eq!(Differences::between(&found, wanted), Differences::default(), "{who}");
    }
}

/// Where what came is not what must have come.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    pub lost: Vec<String>,
    pub twice: Vec<String>,
    pub never_there: Vec<String>,
}

impl Differences {
    pub fn between(found: &[String], wanted: &[String]) -> Differences {
        let mut times: HashMap<&String, (usize, bool)> = HashMap::new();
        wanted.iter().for_each(|id| times.entry(id).or_default().1 = true);
        found.iter().for_each(|id| times.entry(id).or_default().0 += 1);
        let those = |is: fn(usize, bool) -> bool| {
            let mut ids: Vec<String> =
                times.iter().filter(|(_, (n, there))| is(*n, *there)).map(|(id, _)| id.to_string()).collect();
            ids.sort();
            ids
        };
        Differences {
            lost: those(|n, _| n == 0),
            twice: those(|n, there| there && n > 1),
            never_there: those(|_, there| !there),
        }
    }
}

/// The ids of the entries of which something is true.
#[track_caller]
pub fn ids(client: &mut Client, which: &str) -> Vec<String> {
    all(client, &format!("SELECT id FROM audit_log.entry WHERE {which}"))
}

/// The next of feed behind a position.
#[track_caller]
pub fn of_feed(client: &mut Client, relation: &str, after: &str, limit: i64) -> Vec<Found> {
    let sql = format!(
        "SELECT id::text, position, coalesce(target_id, '') FROM audit_log.{relation}
         WHERE position > $1 ORDER BY position LIMIT $2"
    );
    query(client, &sql, &[&after, &limit]).iter().map(found).collect()
}

/// Writes an entry each, by transactions of their own.
#[track_caller]
pub fn record(client: &mut Client, targets: &[&str]) {
    for target in targets {
        audit_log_tests::run(client, &format!("SELECT audit_log.record('job_created', '{target}')"));
    }
}

/// A database with a watched table, and an organization acme.
pub fn watched() -> Db {
    let mut db = Db::new();
    db.run(WATCHED);
    db
}

pub const WATCHED: &str = "CREATE TABLE job (id text PRIMARY KEY, org text, n int DEFAULT 0);
    SELECT audit_log.watch('job', organization => 'org'); SELECT audit_log.enable_organization('acme')";
