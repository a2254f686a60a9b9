//! Requests of page(), what plain SQL says of them, of the counts by day and of people, and a log to ask.

use audit_log_tests::{all, json, query, Db, Value};
use postgres::{Client, Row};

use crate::listing::{instant, partition, Random};

/// What page() is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub page: Option<i32>,
    pub page_size: Option<i32>,
    pub tab: Option<String>,
    pub search: Option<String>,
    pub action: Option<String>,
    pub actor: Option<String>,
    pub candidate: Option<String>,
    pub start: Option<String>,
    pub end: Option<String>,
    pub organization: Option<String>,
}

/// A row of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub id: String,
    /// All columns of entry.
    pub entry: String,
    /// label, color and target_label.
    pub labels: String,
    pub summary: String,
}

/// A page, and the numbers on all of its rows: total, first_row, last_row.
#[derive(Debug, Default)]
pub struct Page {
    pub rows: Vec<Shown>,
    pub numbers: Option<(i64, i64, i64)>,
}

impl Page {
    pub fn ids(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.id.clone()).collect()
    }

    pub fn total(&self) -> i64 {
        self.numbers.map_or(0, |(total, ..)| total)
    }
}

const PAGE: &str = r#"
    SELECT p.id::text, (to_jsonb(p) - '{label,color,target_label,summary,total,first_row,last_row}'::text[])::text,
           jsonb_build_array(p.label, p.color, p.target_label)::text, p.summary, p.total, p.first_row, p.last_row
    FROM audit_log.page($1, $2, $3, $4, $5, $6, $7, $8::text::timestamptz, $9::text::timestamptz, $10) p"#;

/// A page; fails where its rows are not of one mind about the numbers.
#[track_caller]
pub fn page(client: &mut Client, request: &Request) -> Page {
    let Request { page, page_size, tab, search, action, actor, candidate, start, end, organization } =
        request;
    let rows = query(
        client,
        PAGE,
        &[page, page_size, tab, search, action, actor, candidate, start, end, organization],
    );
    let numbers = |row: &Row| (row.get(4), row.get(5), row.get(6));
    let of_first = rows.first().map(numbers);
    assert!(rows.iter().all(|row| Some(numbers(row)) == of_first), "one page, one total: {request:?}");
    let shown =
        |row: &Row| Shown { id: row.get(0), entry: row.get(1), labels: row.get(2), summary: row.get(3) };
    Page { rows: rows.iter().map(shown).collect(), numbers: of_first }
}

const EXPECTED: &str = r#"
    SELECT e.id::text
    FROM audit_log.entry e
    LEFT JOIN audit_log.vocabulary v ON v.category = e.category
    WHERE (coalesce($1::text, '') = '' OR v.tab = $1)
      AND ($2::text IS NULL OR concat(strpos(lower(e.actor_name), lower($2)) > 0, strpos(lower(e.target_type COLLATE "default"), lower($2)) > 0,
                                      strpos(lower(e.target_id COLLATE "default"), lower($2)) > 0) LIKE '%t%')
      AND (coalesce($3::text, '') = '' OR $3 IN (e.category, v.label))
      AND (coalesce($4::text, '') = '' OR $4 IN (e.actor_id, e.actor_name, e.effective_actor_id, e.effective_actor_name))
      AND (coalesce($5::text, '') = '' OR EXISTS (
             SELECT FROM jsonb_array_elements(e.targets) t WHERE t ->> 'type' = 'candidate' AND $5 IN (t ->> 'id', t ->> 'name')))
      AND e.occurred_at >= coalesce($6::text::timestamptz, '-infinity') AND e.occurred_at < coalesce($7::text::timestamptz, 'infinity')
      AND ($8::text IS NULL OR e.organization_id = $8)
      AND ($9::text[] IS NULL OR e.organization_id = ANY ($9))
      AND NOT EXISTS (SELECT FROM audit_log.organization_setting s WHERE s.id = e.organization_id AND NOT s.enabled)
    ORDER BY e.occurred_at DESC, e.id DESC"#;

/// The ids of all that a request finds, newest first, for one who reads these organizations.
#[track_caller]
pub fn expected(client: &mut Client, request: &Request, organizations: Option<&[String]>) -> Vec<String> {
    let Request { tab, search, action, actor, candidate, start, end, organization, .. } = request;
    let search = search.as_ref().filter(|text| !text.is_empty());
    let rows = query(
        client,
        EXPECTED,
        &[tab, &search, action, actor, candidate, start, end, organization, &organizations],
    );
    rows.iter().map(|row| row.get(0)).collect()
}

/// Where the counts by day, or the total of a page, are not what the entries say; all by one snapshot.
const DIFFERENCES: &str = "
    WITH e AS MATERIALIZED (SELECT (occurred_at AT TIME ZONE 'UTC')::date AS day, organization_id, category, actor_type, actor_id FROM audit_log.entry),
         a AS (SELECT day, organization_id, category, actor_type, actor_id, count(*) FROM e GROUP BY 1, 2, 3, 4, 5),
         c AS (SELECT day, organization_id, category, count(*) FROM e GROUP BY 1, 2, 3)
    SELECT 'activity_daily has ' || x FROM (TABLE audit_log.activity_daily EXCEPT ALL TABLE a) x
    UNION ALL SELECT 'activity_daily lacks ' || x FROM (TABLE a EXCEPT ALL TABLE audit_log.activity_daily) x
    UNION ALL SELECT 'category_daily has ' || x FROM (TABLE audit_log.category_daily EXCEPT ALL TABLE c) x
    UNION ALL SELECT 'category_daily lacks ' || x FROM (TABLE c EXCEPT ALL TABLE audit_log.category_daily) x
    UNION ALL SELECT format('page() counts %s of %s', counted, there)
    FROM (SELECT (SELECT count(*) FROM e WHERE organization_id NOT IN (SELECT id FROM audit_log.organization WHERE NOT enabled)) AS there,
                 coalesce((SELECT max(total) FROM audit_log.page(page_size => 10)), 0) AS counted) t
    WHERE counted <> there";

/// Fails where the counts by day, or a page's total, are not what the session's own snapshot of the entries says.
#[track_caller]
pub fn is_exact(client: &mut Client, when: &str) {
    assert_eq!(all(client, DIFFERENCES), Vec::<String>::new(), "{when}");
}

const PEOPLE: &str = r#"
    SELECT DISTINCT p.type, p.id, p.name
    FROM (SELECT actor_type, actor_id, actor_name, organization_id FROM audit_log.entry
          UNION ALL SELECT effective_actor_type, effective_actor_id, effective_actor_name, organization_id FROM audit_log.entry
          UNION ALL SELECT target_type, target_id, target_name, organization_id FROM audit_log.entry_target
                    WHERE target_type = 'candidate') p(type, id, name, organization_id)
    WHERE (strpos(lower(p.name), lower($1)) > 0 OR strpos(lower(p.id COLLATE "default"), lower($1)) > 0)
      AND ($2::text[] IS NULL OR p.organization_id = ANY ($2))
      AND NOT EXISTS (SELECT FROM audit_log.organization_setting s WHERE s.id = p.organization_id AND NOT s.enabled)
    ORDER BY p.name, p.type, p.id"#;

/// Somebody: type, id, name.
pub type Person = (String, Option<String>, Option<String>);

fn person(row: &Row) -> Person {
    (row.get(0), row.get(1), row.get(2))
}

/// Everybody with this text in the name or the id, for one who reads these organizations.
#[track_caller]
pub fn expected_people(client: &mut Client, search: &str, organizations: Option<&[String]>) -> Vec<Person> {
    query(client, PEOPLE, &[&search, &organizations]).iter().map(person).collect()
}

#[track_caller]
pub fn people(client: &mut Client, search: &str, limit: i32) -> Vec<Person> {
    query(client, "SELECT type, id, name FROM audit_log.people($1, $2)", &[&search, &limit])
        .iter()
        .map(person)
        .collect()
}

/// The partitions of a week, by its Monday: of entries and of what counts them.
#[track_caller]
pub fn week(db: &mut Db, monday: &str) {
    ["event", "event_target", "activity", "named"].iter().for_each(|parent| partition(db, parent, monday));
}

/// Removes a week as retention will: its partitions of entries with those of what counts them.
#[track_caller]
pub fn remove_week(db: &mut Db, monday: &str) {
    let day = monday.replace('-', "");
    db.run(&format!(
        "BEGIN; LOCK TABLE audit_log.counted_until IN SHARE ROW EXCLUSIVE MODE;
         DROP TABLE audit_log.event_p{day}, audit_log.event_target_p{day}, audit_log.activity_p{day}, audit_log.named_p{day}; COMMIT"
    ));
}

/// Who acts: names of other spellings, that changed, that are others' ids; without an id, without a name.
const ACTORS: [(&str, Option<&str>, Option<&str>); 10] = [
    ("user", Some("7"), Some("Ann Samuelson")),
    ("user", Some("7"), Some("Ann Miller")),
    ("user", Some("8"), Some("ANN SAMUELSON")),
    ("user", Some("Ann Miller"), None),
    ("support", Some("s_1"), Some("100% Änne_Groß")),
    ("api_key", Some("KEY\\1"), Some("Яна O'Neil\nof two lines")),
    ("automation", None, Some("Nightly Run")),
    ("system", None, None),
    ("candidate", Some("c1"), Some("Zoë Qin")),
    ("user", Some(""), Some("")),
];
const CANDIDATES: [(&str, Option<&str>); 5] = [
    ("c1", Some("Zoë Qin")),
    ("c1", Some("Zoe Qin-Bell")),
    ("c2", Some("Zoë Qin")),
    ("c3", None),
    ("7", Some("Ann Samuelson")),
];
const IDS: [Option<&str>; 9] = [
    Some("ABC123"),
    Some("abc123"),
    Some("100%"),
    Some("a_b"),
    Some("b\\c"),
    Some("ÄÖ%"),
    Some("c1"),
    Some(""),
    None,
];
/// With the target type of each; several have the same label.
pub const CATEGORIES: [(&str, &str); 8] = [
    ("booking_created", "booking"),
    ("video_session_created", "video_session"),
    ("booking_cancelled", "booking"),
    ("participant_joined", "video_session"),
    ("job_created", "job"),
    ("job_updated", "job"),
    ("offer_sent", "offer"),
    ("candidate_moved", "candidate"),
];
const ORGANIZATIONS: [&str; 4] = ["default", "acme", "späße", "off"];

/// An instant of the five weeks from 3 March 2025 on; many share one, and some are at an end of a day.
pub fn some_instant(random: &mut Random) -> i64 {
    const FIRST: i64 = 1_740_960_000_000_000;
    const DAY: i64 = 86_400_000_000;
    let day = FIRST + random.below(35) as i64 * DAY;
    match random.below(6) {
        0 => day,
        1 => day - 1,
        2 => FIRST + [9, 16][random.below(2)] * DAY + DAY / 2,
        3 => day + random.below(DAY as usize) as i64,
        _ => day + random.below(24) as i64 * DAY / 24,
    }
}

/// An event as import() takes it.
pub fn some_event(random: &mut Random) -> Value {
    let actor = |random: &mut Random| {
        let (kind, id, name) = ACTORS[random.below(ACTORS.len())];
        json!({"type": kind, "id": id, "name": name})
    };
    let numbered = |n: usize| json!({"type": "user", "id": format!("n{n}"), "name": format!("Number {n}")});
    let by = if random.percent(25) { numbered(random.below(600)) } else { actor(random) };
    let (category, own) = CATEGORIES[random.below(CATEGORIES.len())];
    let candidate = |random: &mut Random| {
        let (id, name) = CANDIDATES[random.below(CANDIDATES.len())];
        json!({"type": "candidate", "id": id, "name": name})
    };
    let other = |random: &mut Random, kind: &str| json!({"type": kind, "id": IDS[random.below(IDS.len())], "name": random.percent(30).then_some("Some\tname")});
    let kind = if random.percent(20) { random.of(&["job", "user", "report"]) } else { own };
    let primary = if kind == "candidate" { candidate(random) } else { other(random, kind) };
    let mut targets = vec![primary];
    for _ in 0..[0, 0, 1, 3][random.below(4)] {
        targets.push(if random.percent(50) { candidate(random) } else { other(random, "user") });
    }
    let state = |random: &mut Random| json!({"a": random.below(3), "b": "x", "c": null, "d": random.below(2), "e": random.below(2)});
    let is_update = random.percent(20);
    json!({"category": category, "occurredAt": instant(some_instant(random)), "actor": by, "targets": targets,
           "organizationId": random.of(&ORGANIZATIONS), "effectiveActor": random.percent(20).then(|| actor(random)),
           "operation": is_update.then_some("update"), "before": is_update.then(|| state(random)), "after": is_update.then(|| state(random))})
}

#[track_caller]
pub fn import(client: &mut Client, events: &[Value]) {
    let failed =
        query(client, "SELECT error FROM audit_log.import($1::jsonb[]) WHERE error IS NOT NULL", &[&events]);
    let errors: Vec<String> = failed.iter().map(|row| row.get(0)).collect();
    assert_eq!(errors, Vec::<String>::new());
}

/// A database with candidates among the target types, and partitions of three of five weeks.
pub fn with_weeks() -> Db {
    let mut db = Db::new();
    db.run(
        "SET client_min_messages = error; SET TimeZone = 'UTC';
         SELECT audit_log.define_target_type('candidate', 'Candidate');
         SELECT audit_log.define_category('candidate_moved', 'candidate', 'Moved', tab => 'interviews')",
    );
    ["2025-03-03", "2025-03-10", "2025-03-24"].iter().for_each(|monday| week(&mut db, monday));
    db
}
