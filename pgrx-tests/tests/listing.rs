//! Requests of list(), what plain SQL says they give, and what their pages give.

use std::collections::HashMap;
use std::fmt::Debug;

use audit_log_tests::{query, run, Db};
use chrono::{DateTime, SecondsFormat};
use postgres::Client;

/// The same numbers for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to one less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn of<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

/// An instant in Unix microseconds, as SQL takes it.
pub fn instant(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).expect("in range").to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// What list() is asked for, but for cursor and limit.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub start: Option<String>,
    pub end: Option<String>,
    pub actor_ids: Option<Vec<String>>,
    pub target_ids: Option<Vec<String>>,
    pub target_types: Option<Vec<String>>,
    pub categories: Option<Vec<String>>,
    pub organization: Option<String>,
}

/// A row of a page, or of what SQL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub occurred_at: String,
    /// All columns of entry.
    pub row: String,
}

pub struct Page {
    pub entries: Vec<Entry>,
    pub next: Option<String>,
}

/// A page; fails where its rows are too many, too few, or not of one mind about the next page.
#[track_caller]
pub fn page(client: &mut Client, request: &Request, cursor: Option<&str>, limit: usize) -> Page {
    page_of(client, request, cursor, limit, "(to_jsonb(l) - 'next_cursor')::text")
}

#[track_caller]
fn page_of(client: &mut Client, request: &Request, cursor: Option<&str>, limit: usize, row: &str) -> Page {
    let Request { start, end, actor_ids, target_ids, target_types, categories, organization } = request;
    let limit = limit as i32;
    let rows = query(
        client,
        &format!(
            "SELECT id::text, occurred_at::text, {row}, next_cursor
             FROM audit_log.list($1, $2, $3::text::timestamptz, $4::text::timestamptz, $5, $6, $7, $8, $9) l"
        ),
        &[&cursor, &limit, start, end, actor_ids, target_ids, target_types, categories, organization],
    );
    let next: Option<String> = rows.first().and_then(|r| r.get(3));
    assert!(rows.iter().all(|r| r.get::<_, Option<String>>(3) == next), "one page, one cursor: {request:?}");
    assert!(rows.len() <= limit as usize, "{} rows for limit {limit}: {request:?}", rows.len());
    assert!(next.is_none() || rows.len() == limit as usize, "a short page is the last: {request:?}");
    let entry = |r: &postgres::Row| Entry { id: r.get(0), occurred_at: r.get(1), row: r.get(2) };
    Page { entries: rows.iter().map(entry).collect(), next }
}

/// A page and all that follow.
#[track_caller]
pub fn rest(
    client: &mut Client,
    request: &Request,
    from: Page,
    mut limit: impl FnMut() -> usize,
) -> Vec<Entry> {
    let Page { mut entries, mut next } = from;
    while let Some(cursor) = next {
        let page = page(client, request, Some(&cursor), limit());
        assert!(!page.entries.is_empty(), "a cursor to nothing: {request:?}");
        entries.extend(page.entries);
        next = page.next;
    }
    entries
}

/// The ids of all pages.
#[track_caller]
pub fn pages(client: &mut Client, request: &Request, limit: usize) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = page_of(client, request, cursor.as_deref(), limit, "''");
        found.extend(ids(page.entries));
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

/// Something of each entry by its id, as text.
pub fn by_id(client: &mut Client, shown: &str) -> HashMap<String, String> {
    let rows = query(client, &format!("SELECT e.id::text, {shown}::text FROM audit_log.entry e"), &[]);
    rows.iter().map(|r| (r.get(0), r.get(1))).collect()
}

/// Fails where two lists are not the same, and shows where they begin to differ.
#[track_caller]
pub fn same<T: PartialEq + Debug>(found: &[T], wanted: &[T], what: &str) {
    let differs = found.iter().zip(wanted).position(|(f, w)| f != w);
    let at = differs.unwrap_or(found.len().min(wanted.len()));
    if found != wanted {
        let (many, of) = (found.len(), wanted.len());
        let shown =
            format!("{what}\n{many} instead of {of}, at {at}:\n{:?}\n{:?}", found.get(at), wanted.get(at));
        // Some ids are as long as a page.
        let brief: Vec<String> = shown
            .split('"')
            .map(|part| part.chars().take(if part.contains(' ') { 2000 } else { 80 }).collect())
            .collect();
        panic!("{}", brief.join("\""));
    }
}

pub fn ids(entries: Vec<Entry>) -> Vec<String> {
    entries.into_iter().map(|e| e.id).collect()
}

const EXPECTED: &str = "
    SELECT e.id::text FROM audit_log.stored_event e
    WHERE e.occurred_at >= coalesce($1::text::timestamptz, coalesce($2::text::timestamptz, clock_timestamp()) - interval '24 hours')
      AND e.occurred_at < coalesce($2::text::timestamptz, $1::text::timestamptz + interval '24 hours', clock_timestamp())
      AND ($3::text[] IS NULL OR $3 = '{}' OR e.actor_id = ANY ($3)
           OR CASE WHEN e.effective_actor_type IS NULL THEN e.actor_id ELSE e.effective_actor_id END = ANY ($3))
      AND ($4::text[] IS NULL OR $4 = '{}' OR e.target_id = ANY ($4) OR (e.occurred_at, e.id) IN (
             SELECT t.occurred_at, t.event_id FROM audit_log.stored_event_target t WHERE t.target_id = ANY ($4)))
      AND (coalesce($5::text[], '{}') || coalesce($6::text[], '{}') = '{}'
           OR e.target_type = ANY ($5) OR e.category = ANY ($6))
      AND ($7::text IS NULL OR e.organization_id = $7)
      AND ($8::text[] IS NULL OR e.organization_id = ANY ($8))
      AND NOT EXISTS (SELECT FROM audit_log.organization_setting s WHERE s.id = e.organization_id AND NOT s.enabled)
      AND ($9::text IS NULL OR (e.occurred_at, e.id) < ($9::text::timestamptz, $10::text::uuid))
    ORDER BY e.occurred_at DESC, e.id DESC";

/// What SQL says a request gives, behind an entry where one is given, to one who reads these organizations.
#[track_caller]
pub fn expected(
    client: &mut Client,
    request: &Request,
    after: Option<&Entry>,
    organizations: Option<&[String]>,
) -> Vec<String> {
    let Request { start, end, actor_ids, target_ids, target_types, categories, organization } = request;
    let (at, id) = after.map(|e| (e.occurred_at.as_str(), e.id.as_str())).unzip();
    let rows = query(
        client,
        EXPECTED,
        &[
            start,
            end,
            actor_ids,
            target_ids,
            target_types,
            categories,
            organization,
            &organizations,
            &at,
            &id,
        ],
    );
    rows.iter().map(|r| r.get(0)).collect()
}

/// A superuser's session whose queries read tables from end to end, whatever is wrong with an index.
pub fn sequential(db: &Db) -> Client {
    let mut client = db.session();
    run(
        &mut client,
        "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SET jit = off",
    );
    client
}

/// Creates the partitions of a week, by its Monday.
pub fn partition(db: &mut Db, parent: &str, monday: &str) {
    let create = format!(
        "SELECT audit_log.create_partition('audit_log.{parent}', '{monday}Z', '{monday}Z'::timestamptz + interval '7 days')"
    );
    assert_eq!(db.one(&create), "t", "{parent} {monday}");
}

/// Lets entries be changed and removed, as somebody who owns the server can, or no longer.
#[track_caller]
pub fn guard(db: &mut Db, on: bool) {
    let how = if on { "ENABLE ALWAYS" } else { "DISABLE" };
    db.run(&format!(
        "DO $$ BEGIN EXECUTE (
           SELECT string_agg(format('ALTER TABLE %s {how} TRIGGER %I', t.tgrelid::regclass, t.tgname), ';')
           FROM pg_trigger t WHERE t.tgfoid = 'audit_log.refuse_change'::regproc); END $$"
    ));
}

/// Runs statements, one by one, while nothing is guarded.
#[track_caller]
pub fn unguarded(db: &mut Db, sql: &str) {
    guard(db, false);
    sql.split(';').for_each(|statement| db.run(statement));
    guard(db, true);
}

/// Four weeks of entries from 3 March 2025 on, ten of each instant; the last week has no partition.
pub struct Month {
    pub db: Db,
    pub truth: Client,
}

impl Month {
    pub fn new() -> Month {
        let mut db = Db::new();
        db.run("SET client_min_messages = error");
        for monday in ["2025-03-03", "2025-03-10", "2025-03-17"] {
            partition(&mut db, "event", monday);
            partition(&mut db, "event_target", monday);
        }
        let truth = sequential(&db);
        let mut month = Month { db, truth };
        month.write(140);
        month
    }

    /// Some more of the same.
    #[track_caller]
    pub fn write(&mut self, n: usize) {
        self.db.run(&format!(
            r#"SELECT CASE n % 10 WHEN 0 THEN audit_log.set_context(c[1 + n / 10 % 3]::jsonb, false) END,
                 audit_log.record((ARRAY['job_created', 'job_updated', 'offer_sent'])[1 + n % 3], 't' || n % 7,
                   targets => CASE WHEN n % 4 = 0 THEN '[{{"type": "user", "id": "t1"}}, {{"type": "job", "id": "t2"}}]'::jsonb END,
                   organization => (ARRAY['default', 'acme'])[1 + n % 2],
                   occurred_at => '2025-03-03Z'::timestamptz + n * 14 / {n} * interval '2 days')
               FROM generate_series(0, {n} - 1) n,
                 (VALUES (ARRAY['{{"actor": {{"type": "user", "id": "ann"}}}}', NULL,
                    '{{"actor": {{"type": "support", "id": "sue"}}, "effective_actor": {{"type": "user", "id": "ann"}}}}'])) v(c)"#
        ));
        self.db.run("SELECT audit_log.set_context(NULL, false)");
    }

    /// Checks that everybody's pages are what SQL says, here, where much is known of the tables, and in a new session.
    #[track_caller]
    pub fn is_listed(&mut self, after: &str) {
        let mut new = self.db.session();
        for (which, request) in requests().iter().enumerate() {
            let wanted = expected(&mut self.truth, request, None, None);
            assert!(wanted.len() > 9, "request {which} shows little: {}", wanted.len());
            for (session, limit) in [(&mut self.db.client, 33), (&mut new, 47)] {
                same(&pages(session, request, limit), &wanted, &format!("request {which} after {after}"));
            }
        }
        let entries = by_id(&mut self.truth, "to_jsonb(e)");
        for entry in page(&mut new, &requests()[0], None, 100).entries {
            assert_eq!(Some(&entry.row), entries.get(&entry.id), "after {after}");
        }
    }
}

/// Requests that take each index, and several.
pub fn requests() -> Vec<Request> {
    let these = |values: &[&str]| Some(values.iter().map(|v| v.to_string()).collect());
    let spring =
        Request { start: Some("2025-03-01Z".into()), end: Some("2025-09-01Z".into()), ..Request::default() };
    vec![
        spring.clone(),
        Request { actor_ids: these(&["ann"]), ..spring.clone() },
        Request { target_ids: these(&["t1"]), ..spring.clone() },
        Request {
            target_ids: these(&["t2", "t3", "t9"]),
            organization: Some("acme".into()),
            ..spring.clone()
        },
        Request { target_types: these(&["offer"]), ..spring.clone() },
        Request { categories: these(&["job_updated"]), ..spring.clone() },
        Request { organization: Some("default".into()), ..spring.clone() },
        Request {
            actor_ids: these(&["ann", "sue"]),
            target_ids: these(&["t0", "t1", "t2"]),
            categories: these(&["job_created", "offer_sent"]),
            ..spring
        },
    ]
}
