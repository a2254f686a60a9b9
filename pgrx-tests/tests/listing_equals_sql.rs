//! list() against plain SQL over audit_log.event: random requests of everything an entry can be.

use audit_log_tests::{all, json, query, run, unique, Db, Value};
use chrono::{DateTime, Duration};
use postgres::Client;

use crate::listing::{
    by_id, expected, instant, page, partition, rest, same, sequential, unguarded, Random, Request,
};

const TYPES: [&str; 5] = ["job", "user", "offer", "report", "team"];
const CATEGORIES: [&str; 6] =
    ["job_created", "job_updated", "offer_sent", "user.login", "report_updated", "team_created"];
/// The types these belong to.
const OF_CATEGORY: [&str; 6] = ["job", "job", "offer", "user", "report", "team"];
const RELATIONS: [&str; 3] = ["related", "parent", "related"];
/// In none of the entries.
const ABSENT_TYPES: [&str; 3] = ["workflow", "booking", "session"];
const ABSENT_CATEGORIES: [&str; 3] = ["workflow_updated", "booking_created", "session_created"];

/// Instants that many entries share; weeks begin at the second and the third.
const TIES: [&str; 7] = [
    "2025-03-05T10:00:00.000001Z",
    "2025-03-10T00:00:00Z",
    "2025-03-17T00:00:00Z",
    "2025-03-19T12:00:00Z",
    "2025-03-26T23:59:59.999999Z",
    "1999-06-01T00:00:00Z",
    "2031-01-01T00:00:00Z",
];

fn micros(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).expect("an instant").timestamp_micros()
}

/// Ids: one that is everywhere, some that are in some entries, texts hard to compare.
fn some_ids() -> Vec<String> {
    let noise: String = (0..)
        .flat_map(|i: u64| format!("{:016x}", Random(i).next()).into_bytes())
        .map(char::from)
        .take(1500)
        .collect();
    let even = "é".repeat(750);
    let mut ids: Vec<String> = (1..12).map(|n| n.to_string()).collect();
    ids.extend(
        ["", " ", "1 ", "01", "ann", "Ann", "ANN", "ännÜ☃", "än", "%", "_", "{1,2}", "NULL", "\u{10ffff}"]
            .map(str::to_string),
    );
    for long in [noise, even] {
        ids.extend([format!("{long}x"), format!("{long}y"), long]);
    }
    ids
}

/// An event before it is written, in whatever way.
struct Made {
    at: String,
    organization: &'static str,
    /// Its place in CATEGORIES.
    category: usize,
    /// Primary one first.
    targets: Vec<(&'static str, Option<String>, &'static str)>,
    actor: (&'static str, Option<String>),
    effective: Option<(&'static str, Option<String>)>,
    /// Of what else is in its row.
    seed: u64,
}

fn some_id(random: &mut Random, ids: &[String]) -> Option<String> {
    match random.below(10) {
        0 => None,
        1..4 => Some(ids[0].clone()),
        _ => Some(ids[random.below(ids.len())].clone()),
    }
}

fn made(random: &mut Random, ids: &[String]) -> Made {
    let seconds = micros("2025-03-03T00:00:00Z") + random.below(42 * 86_400) as i64 * 1_000_000;
    let at = match random.below(10) {
        0 => micros(random.of(&TIES)),
        // Hundreds at one instant, in a partition of its time and beside the partitions.
        1..4 => micros(TIES[3 * random.below(2)]),
        4..7 => seconds,
        _ => seconds + random.below(1_000_000) as i64,
    };
    let category = random.below(CATEGORIES.len());
    let kind = if random.percent(70) { OF_CATEGORY[category] } else { random.of(&TYPES) };
    let mut targets = vec![(kind, some_id(random, ids), "primary")];
    for _ in 0..[0, 0, 0, 1, 2, 5][random.below(6)] {
        let id = if random.percent(20) { targets[0].1.clone() } else { some_id(random, ids) };
        targets.push((random.of(&TYPES), id, random.of(&RELATIONS)));
    }
    let actor = (random.of(&["user", "support", "system"]), some_id(random, ids));
    let effective = random.percent(30).then(|| {
        let id = if random.percent(30) { actor.1.clone() } else { some_id(random, ids) };
        (random.of(&["user", "candidate"]), id)
    });
    let organization = random.of(&["default", "default", "acme", "acme", "globex", "off", "späße"]);
    Made { at: instant(at), organization, category, targets, actor, effective, seed: random.next() }
}

impl Made {
    fn all_targets(&self) -> Value {
        self.targets.iter().map(|(kind, id, how)| json!({"type": kind, "id": id, "relation": how})).collect()
    }

    fn context(&self) -> Value {
        let person = |p: &(&str, Option<String>)| json!({"type": p.0, "id": p.1, "name": "somebody"});
        json!({"actor": person(&self.actor), "effective_actor": self.effective.as_ref().map(person), "organization": self.organization,
               "remote_addr": "::1", "user_agent": "test"})
    }

    fn imported(&self) -> Value {
        let person = |p: &(&str, Option<String>)| json!({"type": p.0, "id": p.1});
        json!({"category": CATEGORIES[self.category], "occurredAt": self.at, "organizationId": self.organization, "targets": self.all_targets(),
               "actor": person(&self.actor), "effectiveActor": self.effective.as_ref().map(person),
               "before": {"a": 1, "b": 2.50}, "after": {"a": 2, "b": 2.50}, "operation": "update"})
    }

    /// The rows of event and event_target.
    fn direct(&self) -> (Value, Vec<Value>) {
        let mut random = Random(self.seed);
        let id = uuid::Uuid::from_u64_pair(random.next(), random.next());
        let (kind, target, _) = &self.targets[0];
        // The highest feed is of a later epoch.
        let feed = (random.next() >> 40) | (random.next() % 3) << 48;
        let event = json!({
            "occurred_at": self.at, "feed": feed, "id": id, "organization_id": self.organization, "category": CATEGORIES[self.category],
            "recorded_at": random.percent(50).then_some("2025-06-01T00:00:00Z"), "relation": random.percent(60).then(|| random.of(&["public.job", "hr.\"Wörk\""])), "command": random.percent(10).then_some(3),
            "operation": random.percent(50).then(|| random.of(&["i", "u", "l", "e", "d", "t", "p"])), "target_type": kind, "target_id": target,
            "other_type": (*kind != OF_CATEGORY[self.category]).then_some(kind),
            "target_name": random.percent(30).then_some("☃"), "actor_type": self.actor.0, "actor_id": self.actor.1,
            "effective_actor_type": self.effective.as_ref().map(|e| e.0), "effective_actor_id": self.effective.as_ref().and_then(|e| e.1.as_ref()), "database_user": "direct",
            "targets": (self.targets.len() > 1).then(|| self.all_targets()), "access_route": ["10.0.0.1", "::1"],
            "before": random.percent(30).then(|| json!({"a": [1, "x"], "b": null})), "after": random.percent(30).then(|| json!({"a": "y"})),
            "metadata": random.percent(10).then(|| json!({"noise": random.next()}))
        });
        let others = self.targets[1..].iter().filter(|t| t.1.is_some());
        let row = |t: &(&str, Option<String>, &str)| json!({"occurred_at": self.at, "event_id": id, "organization_id": self.organization, "target_type": t.0, "target_id": t.1});
        (event, others.map(row).collect())
    }
}

fn record(db: &mut Db, events: &[Made]) {
    for event in events {
        let targets = event.all_targets();
        query(&mut db.client, "SELECT audit_log.set_context($1, false)", &[&event.context()]);
        let record = "SELECT audit_log.record($1, targets => $2, occurred_at => $3::text::timestamptz)";
        query(&mut db.client, record, &[&CATEGORIES[event.category], &targets, &event.at]);
    }
    db.run("SELECT audit_log.set_context(NULL, false)");
}

fn insert(client: &mut Client, events: &[Made]) {
    let (events, targets): (Vec<_>, Vec<_>) = events.iter().map(Made::direct).unzip();
    for (table, rows) in [("event", json!(events)), ("event_target", json!(targets.concat()))] {
        let sql = format!(
            "WITH r AS (SELECT * FROM jsonb_populate_recordset(NULL::audit_log.{table}, $1)),
                  b AS (SELECT * FROM audit_log.partition_bounds('audit_log.{table}')),
                  placed AS (INSERT INTO audit_log.{table} SELECT r.* FROM r WHERE EXISTS (SELECT FROM b WHERE lower <= occurred_at AND upper > occurred_at))
             INSERT INTO audit_log.{table}_unplaced SELECT r.* FROM r WHERE NOT EXISTS (SELECT FROM b WHERE lower <= occurred_at AND upper > occurred_at)"
        );
        query(client, &sql, &[&rows]);
    }
}

/// Entries of every kind in partitions of every kind; a transaction that stays open has some more.
fn filled(random: &mut Random, ids: &[String]) -> (Db, Client) {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SET TimeZone = 'UTC'");
    // Of the weeks from 3 March on: both tables, both, neither, one, the other, both.
    for (table, mondays) in [
        ("event", ["03-03", "03-10", "03-24", "04-07"]),
        ("event_target", ["03-03", "03-10", "03-31", "04-07"]),
    ] {
        mondays.iter().for_each(|monday| partition(&mut db, table, &format!("2025-{monday}")));
    }
    let some = |random: &mut Random, n: usize| (0..n).map(|_| made(random, ids)).collect::<Vec<_>>();
    record(&mut db, &some(random, 500));
    let imported = some(random, 700).iter().map(Made::imported).collect::<Vec<_>>();
    let failed = query(
        &mut db.client,
        "SELECT error FROM audit_log.import($1::jsonb[]) WHERE error IS NOT NULL",
        &[&imported],
    );
    assert!(failed.is_empty(), "{:?}", failed.iter().map(|r| r.get(0)).collect::<Vec<String>>());
    insert(&mut db.client, &some(random, 900));
    // Transactions that abort, whole and in part.
    for (begin, end) in [("BEGIN", "ROLLBACK"), ("BEGIN; SAVEPOINT s", "ROLLBACK TO s; COMMIT")] {
        db.run(begin);
        record(&mut db, &some(random, 60));
        insert(&mut db.client, &some(random, 150));
        db.run(end);
    }
    // Removed and changed, the dead rows left there, half cleaned up, and cleaned up with others in their place.
    let one_of_12 = |column: &str, n: i32| {
        format!("occurred_at < '2025-04-01' AND get_byte(uuid_send({column}), 15) % 12 = {n}")
    };
    unguarded(
        &mut db,
        &format!(
            "DELETE FROM audit_log.event WHERE {0}; DELETE FROM audit_log.event_unplaced WHERE {0};
             DELETE FROM audit_log.event WHERE {1}; DELETE FROM audit_log.event_target WHERE {2};
             DELETE FROM audit_log.event_unplaced WHERE {1}; DELETE FROM audit_log.event_target_unplaced WHERE {2};
             DELETE FROM audit_log.event_p20250407 WHERE get_byte(uuid_send(id), 15) % 3 = 0;
             DELETE FROM audit_log.event_target_p20250407 WHERE get_byte(uuid_send(event_id), 15) % 3 = 0;
             UPDATE audit_log.event SET actor_name = 'forgotten' WHERE {3}; UPDATE audit_log.event_unplaced SET actor_name = 'forgotten' WHERE {3};
             UPDATE audit_log.event SET target_id = '1', occurred_at = occurred_at + interval '1 second' WHERE targets IS NULL AND {4}
               AND date_trunc('day', occurred_at, 'UTC') = date_trunc('day', occurred_at + interval '1 second', 'UTC');
             UPDATE audit_log.event_unplaced SET target_id = '1', occurred_at = occurred_at + interval '1 second' WHERE targets IS NULL AND {4};
             VACUUM (INDEX_CLEANUP OFF, TRUNCATE OFF) audit_log.event_unplaced, audit_log.event_p20250310;
             VACUUM (FREEZE, INDEX_CLEANUP ON) audit_log.event_p20250407, audit_log.event_target_p20250407, audit_log.event_p20250324",
            one_of_12("id", 0), one_of_12("id", 1), one_of_12("event_id", 1), one_of_12("id", 2), one_of_12("id", 3)
        ),
    );
    insert(&mut db.client, &some(random, 400));
    // Two of other entries' targets that are nobody's, and entries at the ends of time.
    db.run(
        "INSERT INTO audit_log.event_target_unplaced SELECT occurred_at + interval '1 us', event_id, organization_id, target_type, '11' FROM audit_log.event_target;
         INSERT INTO audit_log.event_unplaced (occurred_at, feed, id, organization_id, category, target_type, target_id, actor_type, actor_id, database_user)
           SELECT t, 1, gen_random_uuid(), 'default', 'job_created', 'job', '1', 'user', '1', 'direct' FROM unnest('{-infinity,infinity,4713-01-01 BC,294276-12-31}'::timestamptz[]) t",
    );
    now(&mut db);
    for organization in ["off", "unused"] {
        db.run(&format!("SELECT audit_log.disable_organization('{organization}')"));
    }
    let mut open = db.session();
    run(&mut open, "BEGIN");
    insert(&mut open, &some(random, 300));
    (db, open)
}

/// Row changes captured now, and what happened about a day ago and will in an hour.
fn now(db: &mut Db) {
    db.run(
        r#"CREATE TABLE job (id text PRIMARY KEY, org text, user_id text);
        SELECT audit_log.watch('job', organization => 'org', parents => '{"user": "user_id"}');
        SELECT audit_log.set_context('{"actor": {"type": "support", "id": "ann"}, "effective_actor": {"type": "user"}}', false);
        INSERT INTO job SELECT n, CASE n % 3 WHEN 0 THEN 'acme' END, n % 5 FROM generate_series(1, 40) n;
        SELECT audit_log.set_context('{"actor": {"type": "user", "id": "1"}, "effective_actor": {"type": "user", "id": "ann"}}', false);
        UPDATE job SET user_id = '1' WHERE id::int < 20; DELETE FROM job WHERE id::int > 30; TRUNCATE job;
        SELECT audit_log.set_context(NULL, false);
        SELECT audit_log.record('job_updated', n::text, occurred_at => now() + h * interval '1 hour') FROM unnest('{-25,-23,1}'::int[]) h, generate_series(1, 10) n"#,
    );
}

fn window(random: &mut Random, instants: &[i64]) -> (Option<String>, Option<String>) {
    let mut edge = || match random.below(4) {
        0 => micros(random.of(&TIES)) + [-1, 0, 1][random.below(3)],
        1 => micros("2025-03-03T00:00:00Z") + random.below(7) as i64 * 7 * 86_400_000_000,
        _ => instants[random.below(instants.len())] + [0, 0, 0, 1, -1][random.below(5)],
    };
    let (one, other) = (edge(), edge());
    let (start, end) = (one.min(other), one.max(other));
    let at = |micros| Some(instant(micros));
    match random.below(12) {
        0 => (None, None),
        1 => (at(start), None),
        2 => (None, at(end)),
        3 => (at(end), at(end + [0, 1, 2][random.below(3)])),
        4 => (Some("1998-12-01T00:00:00Z".into()), Some("2000-06-01T00:00:00Z".into())),
        5 => (Some("2030-12-01T00:00:00Z".into()), Some("2032-06-01T00:00:00Z".into())),
        6..8 if end - start < Duration::days(540).num_microseconds().unwrap_or(0) => (at(start), at(end)),
        _ => (Some("2024-10-01T00:00:00Z".into()), Some("2026-04-01T00:00:00Z".into())),
    }
}

/// Up to 100 values, from what there is and what there is not; repeated ones count, too.
fn values(random: &mut Random, there: &[&str], absent: &[&str]) -> Option<Vec<String>> {
    let many = match random.below(20) {
        0..12 => return random.percent(20).then(Vec::new),
        12..15 => 1,
        15..18 => 1 + random.below(5),
        18 => 100,
        _ => random.below(100),
    };
    let mut value = |from: &[&str]| random.of(from).to_string();
    Some((0..many).map(|i| value(if i % 4 == 3 { absent } else { there })).collect())
}

fn some_request(random: &mut Random, ids: &[String], instants: &[i64], organizations: &[&str]) -> Request {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let absent = ["nobody", "2 ", "é"];
    let (start, end) = window(random, instants);
    Request {
        start,
        end,
        actor_ids: values(random, &ids, &absent),
        target_ids: values(random, &ids, &absent),
        target_types: values(random, &TYPES, &ABSENT_TYPES),
        categories: values(random, &CATEGORIES, &ABSENT_CATEGORIES),
        organization: random.percent(25).then(|| random.of(organizations).to_string()),
    }
}

/// Who lists: a session, the organizations it is bound to if it is, those it may name.
struct Caller {
    client: Client,
    bound: Option<Vec<String>>,
    may_name: Vec<&'static str>,
}

fn callers(db: &mut Db) -> Vec<Caller> {
    let every = vec!["default", "acme", "globex", "späße"];
    let mut callers = vec![Caller { client: db.session(), bound: None, may_name: every.clone() }];
    for bound in [None, Some(vec!["acme"]), Some(vec!["globex", "späße", "off"])] {
        let role = unique("caller");
        let client = db.session_as(&role);
        match &bound {
            None => db.run(&format!("GRANT audit_log_reader TO {role}")),
            Some(to) => {
                to.iter().for_each(|o| db.run(&format!("SELECT audit_log.grant_read('{role}', '{o}')")))
            }
        }
        let may_name =
            bound.as_ref().map_or(every.clone(), |b| b.iter().filter(|o| **o != "off").copied().collect());
        let bound = bound.map(|b| b.into_iter().map(str::to_string).collect());
        callers.push(Caller { client, bound, may_name });
    }
    callers.iter_mut().for_each(|c| run(&mut c.client, "SET TimeZone = 'UTC'"));
    callers
}

/// list_json's first page.
fn results(client: &mut Client, request: &Request, limit: usize) -> Vec<String> {
    let Request { start, end, actor_ids, target_ids, target_types, categories, organization } = request;
    let asked = json!({"limit": limit, "startDate": start, "endDate": end, "actorIds": actor_ids, "targetIds": target_ids,
                       "targetTypes": target_types, "categories": categories, "organization": organization});
    let rows =
        query(client, "SELECT jsonb_array_elements(audit_log.list_json($1) -> 'results')::text", &[&asked]);
    rows.iter().map(|r| r.get(0)).collect()
}

#[test]
fn whatever_is_asked_of_whatever_there_is() {
    let mut random = Random(20_250_303);
    let ids_there = some_ids();
    let (mut db, open) = filled(&mut random, &ids_there);
    let mut callers = callers(&mut db);
    let mut truth = sequential(&db);
    run(&mut truth, "SET TimeZone = 'UTC'");
    let entries = by_id(&mut truth, "to_jsonb(e)");
    let in_json = by_id(&mut truth, "audit_log.entry_json(e)");
    let instants: Vec<i64> = all(&mut truth, "SELECT (extract(epoch FROM occurred_at) * 1000000)::bigint FROM audit_log.stored_event WHERE occurred_at BETWEEN '1990-01-01' AND '2040-01-01'")
        .iter()
        .map(|text| text.parse().expect("a number"))
        .collect();
    let (mut listed, mut most) = (0, 0);
    for round in 0..400 {
        let at = random.below(callers.len());
        let Caller { client, bound, may_name } = &mut callers[at];
        let request = some_request(&mut random, &ids_there, &instants, may_name);
        let wanted = expected(&mut truth, &request, None, bound.as_deref());
        let least = 1 + wanted.len() / 40;
        let mut limit =
            || [1, 2, 3, 10, 50, 99, 100, 1 + random.below(100)][random.below(8)].max(least).min(100);
        let shown = format!("round {round} by caller {at}: {request:?}");
        let first = page(client, &request, None, limit());
        let found = rest(client, &request, first, &mut limit);
        let first_in_json: Vec<_> =
            wanted.iter().take(limit()).filter_map(|id| in_json.get(id)).cloned().collect();
        let (rows, found): (Vec<_>, Vec<_>) = found.into_iter().map(|e| (e.row, e.id)).unzip();
        same(&found, &wanted, &shown);
        for (row, id) in rows.iter().zip(&found) {
            assert_eq!(Some(row), entries.get(id), "{shown}");
        }
        if round % 4 == 0 {
            same(&results(client, &request, first_in_json.len().max(1)), &first_in_json, &shown);
        }
        listed += found.len();
        most = most.max(found.len());
    }
    drop(open);
    assert!(listed > 20_000 && most > 1_000, "too little was there to list: {listed}, {most}");
}
