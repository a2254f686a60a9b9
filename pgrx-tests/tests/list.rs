//! list(): its windows, order, filters and pages, and what it refuses.

use audit_log_tests::{fails, one, run, unique, Db};

/// Records an event at an instant, given as an SQL expression.
fn at(db: &mut Db, target: &str, instant: &str) {
    db.run(&format!("SELECT audit_log.record('job_created', '{target}', occurred_at => {instant})"));
}

fn listed(db: &mut Db, arguments: &str) -> Vec<String> {
    db.all(&format!("SELECT target_id FROM audit_log.list({arguments})"))
}

#[track_caller]
fn refused(db: &mut Db, arguments: &str, field: &str) {
    let failure = db.fails(&format!("SELECT * FROM audit_log.list({arguments})"));
    failure.is("22023", "invalid_input").says(&format!("field: {field}"));
}

#[track_caller]
fn bad_cursor(db: &mut Db, arguments: &str) {
    db.fails(&format!("SELECT * FROM audit_log.list({arguments})")).is("34000", "cursor_invalid");
}

#[test]
fn without_dates_the_last_24_hours_with_the_callers_uncommitted_events() {
    let mut db = Db::new();
    // 24 hours before it is listed is later than this.
    at(&mut db, "old", "now() - interval '24 hours'");
    at(&mut db, "recent", "now() - interval '23 hours 30 minutes'");
    at(&mut db, "future", "now() + interval '1 hour'");
    db.run("BEGIN; SELECT audit_log.record('job_created', 'mine')");
    assert_eq!(listed(&mut db, ""), ["mine", "recent"]);
    assert_eq!(listed(&mut db, "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"), ["mine", "recent"]);
    let mut other = db.session();
    assert_eq!(one(&mut other, "SELECT count(*) FROM audit_log.list()"), "1");
    db.run("ROLLBACK");
    assert_eq!(listed(&mut db, ""), ["recent"]);
}

#[test]
fn one_bound_makes_a_half_open_day() {
    let mut db = Db::new();
    for hour in [-25, -24, -1, 0, 1, 23, 24] {
        at(&mut db, &hour.to_string(), &format!("'2025-03-10Z'::timestamptz + interval '{hour} hours'"));
    }
    assert_eq!(listed(&mut db, "start_date => '2025-03-10Z'"), ["23", "1", "0"]);
    assert_eq!(listed(&mut db, "end_date => '2025-03-10Z'"), ["-1", "-24"]);
}

#[test]
fn both_bounds_are_half_open_to_the_microsecond() {
    let mut db = Db::new();
    for micros in ["01.999999", "02.000000", "02.999999", "03.000000"] {
        at(&mut db, micros, &format!("'2025-03-10 10:00:{micros}Z'"));
    }
    let window = "start_date => '2025-03-10 10:00:02Z', end_date => '2025-03-10 10:00:03Z'";
    assert_eq!(listed(&mut db, window), ["02.999999", "02.000000"]);
    let empty = "start_date => '2025-03-10 10:00:02Z', end_date => '2025-03-10 10:00:02Z'";
    assert!(listed(&mut db, empty).is_empty());
}

#[test]
fn a_window_is_at_most_18_calendar_months() {
    let mut db = Db::new();
    db.run("SET TimeZone = 'America/New_York'");
    at(&mut db, "first", "'2024-08-31Z'");
    at(&mut db, "last", "'2026-02-27 23:59:59.999999Z'");
    let longest = "start_date => '2024-08-31Z', end_date => '2026-02-28Z'";
    assert_eq!(listed(&mut db, longest), ["last", "first"]);
    listed(&mut db, "start_date => '2024-01-01Z', end_date => '2025-07-01Z'");
    for longer in [
        "start_date => '2024-01-01Z', end_date => '2025-07-01 00:00:00.000001Z'",
        "start_date => '2024-08-31Z', end_date => '2026-03-01Z'",
        "start_date => '4000-01-01 BC', end_date => '2026-03-01Z'",
    ] {
        refused(&mut db, longer, "end_date");
    }
}

#[test]
fn reversed_and_infinite_bounds_are_refused() {
    let mut db = Db::new();
    refused(&mut db, "start_date => '2025-03-10Z', end_date => '2025-03-09 23:59:59.999999Z'", "end_date");
    for infinity in ["infinity", "-infinity"] {
        refused(&mut db, &format!("start_date => '{infinity}'"), "start_date");
        refused(&mut db, &format!("end_date => '{infinity}'"), "end_date");
        refused(&mut db, &format!("start_date => now(), end_date => '{infinity}'"), "end_date");
    }
}

#[test]
fn newest_first_and_by_id_within_one_instant() {
    let mut db = Db::new();
    let mut ids = Vec::new();
    for i in 0..30 {
        let minute = [5, 7, 5, 6][i % 4];
        let id = db.one(&format!(
            "SELECT audit_log.record('job_created', occurred_at => '2025-03-10 10:0{minute}Z')"
        ));
        ids.push((minute, id));
    }
    ids.sort_by(|a, b| b.cmp(a));
    let expected: Vec<String> = ids.into_iter().map(|(_, id)| id).collect();
    assert_eq!(db.all("SELECT id FROM audit_log.list(start_date => '2025-03-10Z')"), expected);
}

#[test]
fn a_page_has_up_to_100_rows() {
    let mut db = Db::new();
    db.run("SELECT audit_log.record('job_created', n::text) FROM generate_series(1, 103) n");
    for (limit, rows) in
        [("1", 1), ("99", 99), ("100", 100), ("101", 100), ("2147483647", 100), ("NULL", 100)]
    {
        assert_eq!(listed(&mut db, &format!("\"limit\" => {limit}")).len(), rows, "{limit}");
    }
    assert_eq!(listed(&mut db, "").len(), 100);
    for limit in [0, -1, i32::MIN] {
        refused(&mut db, &format!("\"limit\" => {limit}"), "limit");
    }
}

/// Events that differ in actor, targets, category and organization.
fn various() -> Db {
    let mut db = Db::new();
    db.run(
        r#"BEGIN; SET LOCAL audit_log.context = '{"actor": {"type": "user", "id": "ann"}}';
        SELECT audit_log.record('job_created', 'j1');
        SELECT audit_log.record('job_user_access_changed', 'a1', targets =>
          '[{"type": "job", "id": "j1"}, {"type": "user", "id": "u1", "relation": "parent"}]'); COMMIT;
        BEGIN; SET LOCAL audit_log.context =
          '{"actor": {"type": "support", "id": "sue"}, "effective_actor": {"type": "user", "id": "ann"}}';
        SELECT audit_log.record('job_updated', 'j2'); COMMIT;
        BEGIN; SET LOCAL audit_log.context = '{"actor": {"type": "user", "id": "bob"}, "organization": "acme"}';
        SELECT audit_log.record('offer_sent', 'o1');
        SELECT audit_log.record('user.login', targets => '[{"type": "report", "id": "r1"}]'); COMMIT;"#,
    );
    db
}

#[test]
fn each_filter_and_how_they_combine() {
    let mut db = various();
    for (arguments, expected) in [
        ("", vec!["r1", "o1", "j2", "a1", "j1"]),
        ("actor_ids => ARRAY['ann']", vec!["j2", "a1", "j1"]),
        ("actor_ids => ARRAY['sue']", vec!["j2"]),
        ("actor_ids => ARRAY['sue', 'bob', 'nobody']", vec!["r1", "o1", "j2"]),
        ("target_ids => ARRAY['j1']", vec!["a1", "j1"]),
        ("target_ids => ARRAY['u1', 'o1']", vec!["o1", "a1"]),
        ("target_types => ARRAY['job']", vec!["j2", "j1"]),
        ("target_types => ARRAY['report']", vec!["r1"]),
        ("target_types => ARRAY['user']", vec![]),
        ("categories => ARRAY['user.login', 'job_updated']", vec!["r1", "j2"]),
        ("target_types => ARRAY['job'], categories => ARRAY['offer_sent']", vec!["o1", "j2", "j1"]),
        (
            "actor_ids => ARRAY['ann'], target_types => ARRAY['job'], categories => ARRAY['offer_sent']",
            vec!["j2", "j1"],
        ),
        (
            "actor_ids => ARRAY['ann'], target_ids => ARRAY['j1'], categories => ARRAY['job_created']",
            vec!["j1"],
        ),
        ("actor_ids => ARRAY['bob'], target_ids => ARRAY['j1']", vec![]),
        ("organization => 'acme'", vec!["r1", "o1"]),
        ("organization => 'default', target_ids => ARRAY['j1', 'o1']", vec!["a1", "j1"]),
        (
            "actor_ids => '{}', target_ids => '{}', target_types => '{}', categories => '{}'",
            vec!["r1", "o1", "j2", "a1", "j1"],
        ),
        ("target_types => '{}', categories => ARRAY['offer_sent']", vec!["o1"]),
    ] {
        assert_eq!(listed(&mut db, arguments), expected, "{arguments}");
    }
    db.run("SELECT audit_log.deprecate_category('offer_sent')");
    assert_eq!(listed(&mut db, "categories => ARRAY['offer_sent']"), ["o1"]);
}

#[test]
fn null_items_long_lists_and_unknown_values_are_refused() {
    let mut db = Db::new();
    let list = |n: usize, value: &str| format!("array_fill('{value}'::text, ARRAY[{n}])");
    for (field, value) in
        [("actor_ids", "x"), ("target_ids", "x"), ("target_types", "job"), ("categories", "job_created")]
    {
        refused(&mut db, &format!("{field} => ARRAY[NULL]"), field);
        refused(&mut db, &format!("{field} => ARRAY['{value}', NULL]"), field);
        refused(&mut db, &format!("{field} => {}", list(101, value)), field);
        assert!(listed(&mut db, &format!("{field} => {}", list(100, value))).is_empty());
    }
    for (arguments, nearest) in [
        ("target_types => ARRAY['job', 'job_psot']", "job_post"),
        ("categories => ARRAY['job_udpated']", "job_updated"),
        ("categories => ARRAY['JOB_UPDATED']", "job_updated"),
        ("categories => ARRAY['']", "define_category"),
    ] {
        let failure = db.fails(&format!("SELECT * FROM audit_log.list({arguments})"));
        failure.is("22023", "invalid_input").says(nearest);
    }
}

#[test]
fn next_cursor_is_on_every_row_and_null_on_the_last_page() {
    let mut db = Db::new();
    db.run("SELECT audit_log.record('job_created', n::text) FROM generate_series(1, 6) n");
    let cursors = |db: &mut Db, arguments: &str| {
        db.all(&format!("SELECT next_cursor FROM audit_log.list({arguments})"))
    };
    for limit in ["6", "7"] {
        assert_eq!(
            cursors(&mut db, &format!("\"limit\" => {limit}")),
            ["∅"].repeat(limit.len() * 6),
            "{limit}"
        );
    }
    let first = cursors(&mut db, "\"limit\" => 4");
    assert_eq!(first, [first[0].as_str()].repeat(4));
    assert!(first[0].bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b)), "{}", first[0]);
    // The limit may change from page to page, the cursor stays good, and a page can be read twice.
    for limit in [2, 100] {
        assert_eq!(listed(&mut db, &format!("'{}', {limit}", first[0])), ["2", "1"]);
    }
    assert_eq!(cursors(&mut db, &format!("'{}', 2", first[0])), ["∅", "∅"]);
    assert_ne!(cursors(&mut db, &format!("'{}', 1", first[0])), ["∅"]);
}

#[test]
fn damaged_and_foreign_cursors_are_refused() {
    let mut db = various();
    let cursor = db.one("SELECT next_cursor FROM audit_log.list(\"limit\" => 1)");
    for bad in ["", " ", "x", "not a cursor", "☃", "AAAA", &"A".repeat(86), &"_".repeat(4000)] {
        bad_cursor(&mut db, &format!("'{bad}'"));
    }
    bad_cursor(&mut db, &format!("'{cursor}A'"));
    bad_cursor(&mut db, &format!("'{cursor}='"));
    bad_cursor(&mut db, &format!("' {cursor}'"));
    for place in 0..cursor.len() {
        let mut damaged = cursor.clone();
        damaged.replace_range(place..=place, if &cursor[place..=place] == "A" { "B" } else { "A" });
        bad_cursor(&mut db, &format!("'{damaged}'"));
        bad_cursor(&mut db, &format!("'{}'", &cursor[..place]));
    }
    listed(&mut db, &format!("'{cursor}'"));
}

#[test]
fn a_cursor_is_bound_to_window_and_filters() {
    let mut db = various();
    let day = "start_date => now()::date - 1, end_date => now()::date + 2";
    let mine = format!("{day}, actor_ids => ARRAY['ann', 'bob'], target_types => ARRAY['job', 'offer']");
    let cursor = db.one(&format!("SELECT next_cursor FROM audit_log.list(\"limit\" => 1, {mine})"));
    let same = format!(
        "'{cursor}', {day}, actor_ids => ARRAY['bob', 'ann', 'ann'], target_types => ARRAY['offer', 'job']"
    );
    assert_eq!(listed(&mut db, &same), ["j2", "j1"]);
    for other in [
        "".to_string(),
        day.to_string(),
        mine.replace("'ann', ", ""),
        mine.replace("'job', ", ""),
        mine.replace(
            "target_types => ARRAY['job', 'offer']",
            "target_types => ARRAY['job'], categories => ARRAY['offer_sent']",
        ),
        mine.replace("actor_ids", "target_ids"),
        mine.replace("- 1", "- 2"),
        mine.replace(", end_date => now()::date + 2", ""),
        format!("{mine}, target_ids => ARRAY['j1']"),
        format!("{mine}, organization => 'default'"),
    ] {
        let comma = if other.is_empty() { "" } else { ", " };
        bad_cursor(&mut db, &format!("\"cursor\" => '{cursor}'{comma}{other}"));
    }
}

#[test]
fn the_columns_are_those_of_entry_and_next_cursor() {
    let mut db = Db::new();
    let entry = db.all(
        "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute
         WHERE attrelid = 'audit_log.entry'::regclass AND attnum > 0 ORDER BY attnum",
    );
    let list = db.all(
        "SELECT a.name || ' ' || format_type(a.type, NULL) FROM pg_proc p,
           unnest(p.proargnames, p.proallargtypes, p.proargmodes) WITH ORDINALITY AS a(name, type, mode, n)
         WHERE p.oid::regproc = 'audit_log.list'::regproc AND a.mode IN ('t', 'o') ORDER BY a.n",
    );
    assert_eq!(entry.len(), 31);
    assert_eq!(list[..list.len() - 1], entry);
    assert_eq!(list.last().map(String::as_str), Some("next_cursor text"));
    db.run(
        "SELECT audit_log.record('job_created', '1', metadata => '{\"a\": 1.50}', after => '{\"b\": null}')",
    );
    assert_eq!(
        db.all("SELECT to_jsonb(l) - 'next_cursor' FROM audit_log.list() l"),
        db.all("SELECT to_jsonb(e) FROM audit_log.entry e")
    );
}

#[test]
fn works_in_a_read_only_transaction_and_for_a_reader() {
    let mut db = various();
    let role = unique("reader");
    let mut reader = db.session_as(&role);
    db.run(&format!("GRANT audit_log_reader TO {role}"));
    run(&mut reader, "SET default_transaction_read_only = on; SET search_path = pg_temp");
    assert_eq!(one(&mut reader, "SELECT count(*) FROM audit_log.list()"), "5");
    run(&mut reader, "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE");
    assert_eq!(one(&mut reader, "SELECT count(*) FROM audit_log.list(\"limit\" => 3)"), "3");
    fails(&mut reader, "SELECT * FROM audit_log.list(\"limit\" => 0)").is("22023", "invalid_input");
}

/// The ids of a page, and its next cursor.
fn page(db: &mut Db, arguments: &str, cursor: &str) -> (Vec<String>, Option<String>) {
    let select = "SELECT id || ' ' || coalesce(next_cursor, '') FROM audit_log.list";
    let rows = db.all(&format!("{select}({cursor}, 7, {arguments})"));
    let (ids, cursors): (Vec<_>, Vec<_>) = rows.iter().filter_map(|r| r.split_once(' ')).unzip();
    let next = cursors.first().filter(|c| !c.is_empty()).map(|c| format!("'{c}'"));
    (ids.into_iter().map(str::to_string).collect(), next)
}

#[test]
fn what_was_visible_at_page_one_comes_exactly_once_whatever_is_written_meanwhile() {
    let mut db = Db::new();
    let mut other = db.session();
    let record = "SELECT audit_log.record('job_created', occurred_at => '2025-03-10Z'::timestamptz + interval '1 hour' *";
    db.run(&format!("{record} (n % 13)) FROM generate_series(1, 60) n"));
    let window = "start_date => '2025-03-10Z', end_date => '2025-03-12Z'";
    let before = db.all("SELECT id FROM audit_log.entry ORDER BY occurred_at DESC, id DESC");
    run(&mut other, &format!("BEGIN; {record} 5)"));
    let (mut seen, mut next) = page(&mut db, window, "NULL");
    while let Some(cursor) = next {
        run(&mut other, "COMMIT; BEGIN");
        run(&mut other, &format!("{record} n) FROM generate_series(0, 14, 3) n"));
        let (ids, following) = page(&mut db, window, &cursor);
        seen.extend(ids);
        next = following;
    }
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), seen.len());
    assert!(seen.len() > before.len(), "nothing written meanwhile was met: the test shows nothing");
    seen.retain(|id| before.contains(id));
    assert_eq!(seen, before);
}
