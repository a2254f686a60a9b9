//! Retention rules: what they take, who may set them, which one wins, what is recorded and shown of them.

use std::collections::BTreeMap;

use audit_log_tests::{all, cluster, connect, fails, one, psql, run, unique, Db};

use crate::dump::restore;
use crate::retention_truth::{count, drain, is_sound, is_tidy, partitions, purge, there};

/// What is recorded of rules and holds, oldest first.
fn recorded(db: &mut Db) -> Vec<String> {
    db.all(
        "SELECT concat_ws(' ', organization_id, category, target_type, target_id, metadata) FROM audit_log.entry
         WHERE category IN ('retention_changed', 'hold_placed', 'hold_released') ORDER BY occurred_at, id",
    )
}

fn rules(db: &mut Db) -> Vec<String> {
    db.all("SELECT concat_ws(' ', coalesce(organization_id, '*'), coalesce(category, '*'), coalesce(keep::text, 'ever')) FROM audit_log.retention ORDER BY 1")
}

/// An entry of each of two organizations and two categories, so old.
fn four(db: &mut Db, age: &str) {
    db.run(&format!(
        "SELECT audit_log.record(c, c, organization => o, occurred_at => now() - interval '{age}')
         FROM unnest('{{acme,globex}}'::text[]) o, unnest('{{job_created,offer_sent}}'::text[]) c"
    ));
}

#[test]
fn thirty_days_at_first() {
    let mut db = Db::new();
    assert_eq!(rules(&mut db), ["* * 30 days"]);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry"), "0");
    four(&mut db, "30 days 1 second");
    four(&mut db, "29 days 23 hours");
    db.run("SELECT audit_log.run_retention()");
    assert_eq!(
        there(&mut db.client),
        ["acme job_created 1", "acme offer_sent 1", "globex job_created 1", "globex offer_sent 1"]
    );
    assert_eq!(db.all("SELECT DISTINCT retention::text FROM audit_log.organization"), ["30 days"]);
}

#[test]
fn the_most_specific_rule_wins() {
    const OLD: i32 = 100;
    let keep = |days: i32| if days == 0 { "NULL".to_string() } else { format!("'{days} days'") };
    let mut db = Db::new();
    four(&mut db, "100 days");
    db.run("SELECT audit_log.ensure_partitions()");
    // Rules for acme's job_created, acme, job_created, everything: not set, too short, long enough, or for ever.
    for n in (0..256).filter(|n| n % 7 == 3) {
        db.run("BEGIN");
        let mut set = BTreeMap::new();
        for (place, arguments) in
            ["'acme', 'job_created'", "'acme'", "NULL, 'job_created'", "NULL, NULL"].iter().enumerate()
        {
            let days = match n >> (2 * place) & 3 {
                1 => 50,
                2 => 150,
                3 => 0,
                _ => continue,
            };
            db.run(&format!("SELECT audit_log.set_retention({}, {arguments})", keep(days)));
            set.insert(place, days);
        }
        let kept = |places: &[usize]| {
            let days = places.iter().find_map(|place| set.get(place)).copied().unwrap_or(30);
            days == 0 || days > OLD
        };
        let wanted = [
            ("acme job_created 1", kept(&[0, 1, 2, 3])),
            ("acme offer_sent 1", kept(&[1, 3])),
            ("globex job_created 1", kept(&[2, 3])),
            ("globex offer_sent 1", kept(&[3])),
        ];
        let wanted: Vec<&str> = wanted.iter().filter(|(_, kept)| *kept).map(|(what, _)| *what).collect();
        let would_go = db.one("SELECT coalesce(sum(entries), 0) FROM audit_log.run_retention(dry_run => true) WHERE category IN ('job_created', 'offer_sent')");
        assert_eq!(would_go, (4 - wanted.len()).to_string(), "{set:?}");
        db.run("SELECT audit_log.run_retention()");
        assert_eq!(there(&mut db.client), wanted, "{set:?}");
        // As a rule for one category does not count for what is shown.
        let shown =
            db.one("SELECT coalesce(retention::text, 'ever') FROM audit_log.organization WHERE id = 'acme'");
        let days = [1, 3].iter().find_map(|place| set.get(place)).copied().unwrap_or(30);
        assert_eq!(shown, if days == 0 { "ever".into() } else { format!("{days} days") }, "{set:?}");
        db.run("ROLLBACK");
    }
}

#[test]
fn what_is_no_rule_is_refused_and_leaves_nothing() {
    let mut db = Db::new();
    let long = "x".repeat(256);
    for (arguments, field) in [
        ("'-1 day'", "keep"),
        ("'1 month -29 days'", "keep"),
        ("'2 days -1 hour'", "keep"),
        ("'-1 microsecond', 'acme'", "keep"),
        ("'1 month -31 days'", "keep"),
        ("'1001 years'", "keep"),
        ("'178000000 years'", "keep"),
        ("'1 day', ''", "organization"),
        (&format!("'1 day', '{long}'"), "organization"),
        ("'1 day', category => ''", "category"),
        ("NULL, category => 'job_craeted'", "category"),
        ("'1 day', 'acme', 'Job created'", "category"),
    ] {
        let failure = db.fails(&format!("SELECT audit_log.set_retention({arguments})"));
        failure.is("22023", "invalid_input").says(&format!("field: {field}"));
        if arguments.contains("craeted") {
            failure.says("job_created");
        }
    }
    for unit in ["NULL", "''", "'year'", "'Day'", "'2 weeks'"] {
        let failure = db.fails(&format!("SELECT audit_log.set_partition_interval({unit})"));
        failure.is("22023", "invalid_input").says("field: unit");
    }
    for nothing in ["NULL", "'acme'", "'acme', 'job_created'", "'', 'nonsense'"] {
        assert_eq!(db.one(&format!("SELECT audit_log.unset_retention({nothing})")), "f", "{nothing}");
    }
    assert_eq!(rules(&mut db), ["* * 30 days"]);
    assert_eq!(db.one("SELECT audit_log.partition_interval()"), "week");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry"), "0");
}

#[test]
fn the_longest_and_the_shortest_time() {
    let mut db = Db::new();
    four(&mut db, "50 years");
    four(&mut db, "1 second");
    db.run("SELECT audit_log.set_retention('1000 years'); SELECT audit_log.set_retention('0', 'globex')");
    db.run("SELECT audit_log.run_retention(true)");
    assert_eq!(db.all("SELECT DISTINCT organization_id FROM audit_log.run_retention()"), ["globex"]);
    assert_eq!(db.all("SELECT task FROM audit_log.worker_status WHERE last_error IS NOT NULL"), [""; 0]);
    assert_eq!(there(&mut db.client), ["acme job_created 2", "acme offer_sent 2"]);
    is_sound(&mut db.client, "after the run");
}

#[test]
fn each_change_is_recorded_once() {
    let mut db = Db::new();
    db.run(
        "SET IntervalStyle = 'sql_standard'; SET TimeZone = 'Asia/Tokyo';
         SELECT audit_log.set_retention('90 days');
         SELECT audit_log.set_retention('90 days');
         SELECT audit_log.set_retention('1 year 2 months', category => 'job_created');
         SELECT audit_log.set_retention(NULL, 'acme');
         SELECT audit_log.set_retention(NULL, 'acme');
         SELECT audit_log.set_retention('24:00:00', 'acme');
         SELECT audit_log.set_retention('1 day', 'acme');
         SELECT audit_log.set_retention('7 days', 'acme', 'job_created');
         SELECT audit_log.unset_retention('acme', 'job_created');
         SELECT audit_log.unset_retention('acme', 'job_created');
         SELECT audit_log.unset_retention();
         SELECT audit_log.set_partition_interval('week');
         SELECT audit_log.set_partition_interval('day');
         SELECT audit_log.set_partition_interval('day')",
    );
    db.run("BEGIN; SELECT audit_log.set_retention('1 day', 'globex'); ROLLBACK");
    assert_eq!(
        recorded(&mut db),
        [
            r#"default retention_changed audit_log everything {"keep": "90 days", "category": null}"#,
            r#"default retention_changed audit_log job_created {"keep": "1 year 2 mons", "category": "job_created"}"#,
            r#"acme retention_changed audit_log acme {"keep": null, "category": null}"#,
            r#"acme retention_changed audit_log acme {"was": null, "keep": "24:00:00", "category": null}"#,
            r#"acme retention_changed audit_log acme {"was": "24:00:00", "keep": "1 day", "category": null}"#,
            r#"acme retention_changed audit_log job_created {"keep": "7 days", "category": "job_created"}"#,
            r#"acme retention_changed audit_log job_created {"was": "7 days", "removed": true, "category": "job_created"}"#,
            r#"default retention_changed audit_log everything {"was": "90 days", "removed": true, "category": null}"#,
            r#"default retention_changed audit_log partition_interval {"was": "week", "partition_interval": "day"}"#,
        ]
    );
    db.run("RESET IntervalStyle");
    assert_eq!(rules(&mut db), ["* * 30 days", "* job_created 1 year 2 mons", "acme * 1 day"]);
    // Of a disabled one nothing is.
    let many = recorded(&mut db).len();
    db.run("SELECT audit_log.disable_organization('acme'); SELECT audit_log.set_retention('2 days', 'acme')");
    assert_eq!(recorded(&mut db).len(), many);
    assert_eq!(rules(&mut db)[2], "acme * 2 days");
}

/// In months, not in so many days; and the clock's time of day counts, in UTC.
#[test]
fn months_end_where_the_calendar_says() {
    for (keep, clock, gone, kept) in [
        ("1 month", "2024-03-31 12:00", "2024-02-29 11:59:59.999999", "2024-02-29 12:00"),
        ("1 month", "2023-03-31 12:00", "2023-02-28 11:59:59.999999", "2023-02-28 12:00"),
        ("1 year", "2024-02-29 06:00", "2023-02-28 05:59:59.999999", "2023-02-28 06:00"),
        ("1 month 1 day 1 hour", "2024-05-31 12:00", "2024-04-29 10:59:59.999999", "2024-04-29 11:00"),
        // New York's clocks went forward on 10 March.
        ("3 days", "2024-03-12 03:30", "2024-03-09 03:29:59.999999", "2024-03-09 03:30"),
    ] {
        let mut db = Db::new();
        db.run("SET TimeZone = 'America/New_York'; SET client_min_messages = error");
        db.run(&format!("SELECT audit_log.set_retention('{keep}')"));
        for at in [gone, kept] {
            db.run(&format!("SELECT audit_log.record('job_created', '{at}', occurred_at => '{at}Z')"));
        }
        purge(&mut db.client, &format!("{clock}Z"));
        assert_eq!(
            db.all("SELECT target_id FROM audit_log.entry WHERE category = 'job_created'"),
            [kept],
            "{keep}"
        );
        // Whole partitions go by the same instant.
        let mut db = Db::new();
        db.run("SET TimeZone = 'America/New_York'; SET client_min_messages = error");
        db.run(&format!("SELECT audit_log.set_retention('{keep}')"));
        partitions(&mut db, "2023-01-01", &kept[..16]);
        db.run(&format!("SELECT audit_log.record('job_created', occurred_at => '{gone}Z')"));
        let earlier = format!("('{clock}Z'::timestamptz - interval '1 us')::text");
        let earlier = db.one(&format!("SELECT {earlier}"));
        assert!(drain(&mut db.client, "drop", &earlier).is_empty(), "{keep}");
        assert!(drain(&mut db.client, "drop", &format!("{clock}Z"))[0].dropped, "{keep}");
    }
}

#[test]
fn only_administrators_decide() {
    let mut db = Db::new();
    let mut session = |granted: &str| {
        let role = unique("role");
        let session = db.session_as(&role);
        db.run(&granted.replace("{}", &role));
        session
    };
    let mut others = [
        session(""),
        session("GRANT audit_log_reader TO {}"),
        session("GRANT audit_log_writer TO {}"),
        session("SELECT audit_log.grant_read('{}', 'acme')"),
    ];
    let mut admin = session("GRANT audit_log_admin TO {}");
    let calls = [
        "set_retention('1 day')",
        "unset_retention()",
        "hold('case')",
        "release_hold('case')",
        "run_retention()",
        "run_retention(dry_run => true)",
        "set_partition_interval('day')",
        "ensure_partitions()",
    ];
    for call in calls {
        for client in &mut others {
            assert_eq!(fails(client, &format!("SELECT audit_log.{call}")).sqlstate, "42501", "{call}");
        }
    }
    run(&mut admin, "SET search_path = pg_temp; SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'iso_8601'");
    four(&mut db, "2 days");
    for call in calls {
        run(&mut admin, &format!("SELECT audit_log.{call}"));
    }
    run(&mut admin, "SELECT audit_log.set_retention('1 day'); SELECT audit_log.run_retention()");
    assert_eq!(count(&mut db.client), 0);
    assert_eq!(
        all(&mut admin, "SELECT count(*) FROM audit_log.worker_status WHERE last_error IS NULL"),
        ["7"]
    );
    // Nobody goes past these calls.
    for statement in [
        "INSERT INTO audit_log.retention_rule (keep) VALUES ('1 day')",
        "DELETE FROM audit_log.legal_hold",
        "UPDATE audit_log.retention_rule SET keep = NULL",
        "DELETE FROM audit_log.examined",
        "SELECT audit_log.run_task('drop', now())",
        "SELECT audit_log.clear_next(now(), 10)",
        "SELECT audit_log.drop_expired(now(), 10)",
        "SELECT audit_log.remove_expired('audit_log.event_unplaced', now(), '-infinity', 'infinity')",
        "SELECT audit_log.move_entries('audit_log.event_unplaced', '-infinity', 'infinity')",
        "SELECT audit_log.move_unplaced()",
        "SELECT audit_log.uncount('{}')",
        "SELECT audit_log.record_removal('default', 'x', '{}')",
        "SELECT audit_log.tidy_next()",
    ] {
        assert_eq!(fails(&mut admin, statement).sqlstate, "42501", "{statement}");
    }
    // A reader sees how long what it reads is kept; the rules and holds are the administrators'.
    let rules = "SELECT count(*) FROM audit_log.retention, audit_log.worker_status";
    run(&mut admin, &format!("{rules}; SELECT * FROM audit_log.legal_hold"));
    let shown = "SELECT DISTINCT retention::text FROM audit_log.organization";
    for client in &mut others[1..] {
        assert_eq!(fails(client, rules).sqlstate, "42501");
    }
    assert_eq!(all(&mut others[1], shown), ["1 day"]);
    assert_eq!(all(&mut others[3], shown), ["1 day"]);
}

#[test]
fn since_when_an_organization_has_everything() {
    let mut db = Db::new();
    db.run("SET TimeZone = 'UTC'; SET client_min_messages = error; SELECT audit_log.set_retention(NULL)");
    let role = unique("bound");
    let mut bound = db.session_as(&role);
    run(&mut bound, "SET TimeZone = 'UTC'");
    db.run(&format!("SELECT audit_log.grant_read('{role}', 'acme')"));
    partitions(&mut db, "2023-03-03", "2023-03-10");
    partitions(&mut db, "2023-03-10", "2023-03-17");
    let record = |db: &mut Db, organization: &str, category: &str, at: &str| {
        db.run(&format!("SELECT audit_log.record('{category}', 'x', organization => '{organization}', occurred_at => '{at}Z')"));
    };
    for day in ["03-04 12:00", "03-05 12:00", "03-12 12:00", "03-20 12:00"] {
        record(&mut db, "acme", "job_created", &format!("2023-{day}"));
        record(&mut db, "globex", "job_created", &format!("2023-{day}"));
    }
    record(&mut db, "acme", "offer_sent", "2023-03-13 08:00");
    let mut shown = |db: &mut Db, acme: &str, globex: &str, when: &str| {
        let of = "SELECT concat_ws(' ', id, earliest_available_at) FROM audit_log.organization WHERE id IN ('acme', 'globex') ORDER BY id";
        assert_eq!(db.all(of), [format!("acme {acme}+00"), format!("globex {globex}+00")], "{when}");
        assert_eq!(all(&mut bound, of), [format!("acme {acme}+00")], "{when}");
    };
    shown(&mut db, "2023-03-04 12:00:00", "2023-03-04 12:00:00", "before any purge");
    purge(&mut db.client, "2023-06-01Z");
    shown(&mut db, "2023-03-04 12:00:00", "2023-03-04 12:00:00", "a purge of nothing");
    // The oldest entries are there still; but of what is younger something is gone.
    db.run("SELECT audit_log.set_retention('1 day', 'acme', 'offer_sent')");
    purge(&mut db.client, "2023-06-01Z");
    shown(&mut db, "2023-03-13 08:00:00.000001", "2023-03-04 12:00:00", "one entry in the midst");
    db.run("SELECT audit_log.set_retention('88 days')");
    purge(&mut db.client, "2023-06-01Z");
    shown(&mut db, "2023-03-13 08:00:00.000001", "2023-03-04 12:00:00.000001", "the first ones");
    let whole = "SELECT count(*) FROM audit_log.entry WHERE category = 'retention_run' AND (metadata ->> 'dropped')::boolean";
    assert_eq!(db.one(whole), "0", "the premise of this test");
    purge(&mut db.client, "2023-06-14Z");
    assert_eq!(db.one(whole), "4", "the premise of this test");
    shown(&mut db, "2023-03-13 08:00:00.000001", "2023-03-12 12:00:00.000001", "two weeks that went whole");
    purge(&mut db.client, "2024-01-01Z");
    shown(&mut db, "2023-03-20 12:00:00.000001", "2023-03-20 12:00:00.000001", "all of them");
    // What comes late is older, and shown; but before it something may be missing, and after it.
    db.run("SELECT audit_log.set_retention(NULL)");
    record(&mut db, "acme", "job_created", "2023-01-01 00:00");
    purge(&mut db.client, "2024-01-01Z");
    shown(&mut db, "2023-03-20 12:00:00.000001", "2023-03-20 12:00:00.000001", "something came late");
}

#[test]
fn rules_and_holds_come_back_from_a_dump() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.set_partition_interval('day')");
    partitions(&mut db, "2023-03-03", "2023-03-10");
    for (name, at) in [("Ann", "2023-03-04"), ("Bob", "2023-03-06"), ("Eve", "2023-03-20")] {
        db.run(&format!(
            "SELECT audit_log.set_context('{{\"actor\": {{\"type\": \"user\", \"id\": \"1\", \"name\": \"{name}\"}}}}', false);
             SELECT audit_log.record(c, '{name}', organization => o, occurred_at => '{at}Z'::timestamptz + n * interval '1 hour', targets => '[{{\"type\": \"user\", \"id\": 9}}]')
             FROM unnest('{{acme,globex}}'::text[]) o, unnest('{{job_created,offer_sent}}'::text[]) c, generate_series(1, 20) n"
        ));
    }
    db.run(
        "SELECT audit_log.set_context(NULL, false);
         SELECT audit_log.set_retention(NULL);
         SELECT audit_log.set_retention('90 days', 'acme');
         SELECT audit_log.set_retention('1 year 3 days', NULL, 'offer_sent');
         SELECT audit_log.set_retention('80 days', 'globex', 'job_created');
         SELECT audit_log.hold('Case \"1\"', 'acme', 'job', 'Eve', 'a judge''s order');
         SELECT audit_log.hold('everything', reason => NULL)",
    );
    purge(&mut db.client, "2023-06-05Z");
    db.run("SELECT audit_log.release_hold('everything')");
    // Some of the first partition is gone, and its names are not tidied yet.
    purge(&mut db.client, "2023-06-03Z");
    let state = |client: &mut postgres::Client| {
        [
            "SELECT to_jsonb(r)::text FROM audit_log.retention r ORDER BY 1",
            "SELECT to_jsonb(h)::text FROM audit_log.legal_hold h ORDER BY 1",
            "SELECT to_jsonb(o)::text FROM audit_log.organization o ORDER BY 1",
            "SELECT audit_log.partition_interval()",
            "SELECT to_jsonb(e)::text FROM audit_log.entry e ORDER BY occurred_at, id",
        ]
        .map(|sql| all(client, sql))
    };
    let copy = unique("copy");
    db.run(&format!("CREATE DATABASE {copy}"));
    restore(&db.name, cluster(), &copy);
    let mut client = connect(&copy, "postgres");
    let (before, restored) = (state(&mut db.client), state(&mut client));
    assert_eq!(before, restored);
    assert!(before[1][0].contains(r#""name": "Case \"1\"""#), "{before:?}");
    is_tidy(&mut client, "restored");
    // Both go on alike.
    let mut left = Vec::new();
    for clock in ["2023-06-05Z", "2023-07-01Z", "2024-04-01Z"] {
        for client in [&mut db.client, &mut client] {
            purge(client, clock);
            is_tidy(client, clock);
            left.push(there(client));
        }
    }
    assert_eq!((&left[0], &left[2], &left[4]), (&left[1], &left[3], &left[5]));
    assert_eq!(left[4], ["acme job_created 20"]);
    fails(&mut client, "SELECT audit_log.hold('Case \"1\"')").is("22023", "invalid_input");
    run(&mut client, "SELECT audit_log.release_hold('Case \"1\"'); SELECT audit_log.set_retention('1 day')");
    purge(&mut client, "2024-04-01Z");
    assert_eq!(count(&mut client), 0);
    assert_eq!(one(&mut client, "SELECT count(*) FROM audit_log.retention"), "4");
    drop(client);
    psql("postgres", &format!("DROP DATABASE {copy} WITH (FORCE)"));
}
