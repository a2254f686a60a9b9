//! Legal holds: what each holds, whatever purges, and that none comes too late.

use std::thread;

use audit_log_tests::{all, fails, json, one, patient, query, run, unique, until_it_waits, Db};
use postgres::Client;

use crate::retention_truth::{count, drain, is_sound, is_tidy, partitions, purge, step, there};

/// An entry: its organization, category with its target type, and targets.
struct Held {
    organization: &'static str,
    category: &'static str,
    targets: &'static [(&'static str, Option<&'static str>)],
}

const ENTRIES: [Held; 9] = [
    Held { organization: "acme", category: "job_created", targets: &[("job", Some("7"))] },
    Held { organization: "globex", category: "job_created", targets: &[("job", Some("8"))] },
    Held { organization: "acme", category: "user_created", targets: &[("user", Some("7"))] },
    Held { organization: "acme", category: "admin_action", targets: &[("admin_action", None)] },
    Held {
        organization: "globex",
        category: "offer_sent",
        targets: &[("offer", Some("1")), ("user", Some("7")), ("job", Some("8"))],
    },
    Held { organization: "acme", category: "offer_sent", targets: &[("offer", Some("7")), ("team", None)] },
    Held {
        organization: "acme",
        category: "job_updated",
        targets: &[("job", Some("")), ("user", Some("O'Neil"))],
    },
    // As import() may bring it: of another type than its category's.
    Held { organization: "globex", category: "user.login", targets: &[("report", Some("7"))] },
    Held { organization: "späße", category: "job_created", targets: &[("job", Some("O'Neil"))] },
];

type Hold = (Option<&'static str>, Option<&'static str>, Option<&'static str>);

fn holds((organization, kind, id): Hold, entry: &Held) -> bool {
    organization.is_none_or(|o| o == entry.organization)
        && entry
            .targets
            .iter()
            .any(|(k, i)| kind.is_none_or(|kind| kind == *k) && id.is_none_or(|id| Some(id) == *i))
}

/// Imports an entry, under its number.
fn write(client: &mut Client, number: usize, entry: &Held, at: &str) {
    let targets: Vec<_> = entry.targets.iter().map(|(kind, id)| json!({"type": kind, "id": id})).collect();
    let record = json!({"category": entry.category, "organizationId": entry.organization, "occurredAt": at,
                        "targets": targets, "requestId": number.to_string()});
    let failed = query(
        client,
        "SELECT error FROM audit_log.import(ARRAY[$1::jsonb]) WHERE error IS NOT NULL",
        &[&record],
    );
    assert!(failed.is_empty(), "{record}");
}

#[test]
fn each_holds_what_it_names_row_by_row_and_partition_by_partition() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions(); SELECT audit_log.define_target_type('empty', 'Empty')");
    let client = &mut db.session();
    run(client, "SET client_min_messages = error");
    for (n, entry) in ENTRIES.iter().enumerate() {
        let (day, next) = (format!("2023-03-{:02}", n + 1), format!("2023-03-{:02}", n + 2));
        partitions(&mut db, &day, &next);
        write(client, n, entry, &format!("{day}T12:00:00Z"));
        write(client, n, entry, &format!("2023-02-{:02}T12:00:00Z", n + 1));
    }
    run(client, "SELECT audit_log.count_entries()");
    let left = |client: &mut Client, month: &str| {
        all(client, &format!("SELECT request_id FROM audit_log.entry WHERE occurred_at >= '2023-{month}-01Z' AND occurred_at < '2023-{month}-20Z' ORDER BY 1"))
    };
    let mut specific = 0;
    for organization in [None, Some("acme"), Some("globex"), Some("späße"), Some("nobody")] {
        for kind in [None, Some("job"), Some("user"), Some("team"), Some("report"), Some("empty")] {
            for id in [None, Some("7"), Some("8"), Some(""), Some("O'Neil"), Some("9")] {
                let hold = (organization, kind, id);
                let wanted: Vec<String> =
                    (0..ENTRIES.len()).filter(|n| holds(hold, &ENTRIES[*n])).map(|n| n.to_string()).collect();
                // Of those that hold nothing some are enough.
                specific += 1;
                if wanted.is_empty() && specific % 5 > 0 {
                    continue;
                }
                run(client, "BEGIN");
                query(client, "SELECT audit_log.hold('case', $1, $2, $3)", &[&organization, &kind, &id]);
                drain(client, "drop", "2024-01-01Z");
                assert_eq!(left(client, "03"), wanted, "{hold:?}: each in a partition of its own");
                let said = one(client, "SELECT coalesce(sum(entries), 0) FROM audit_log.expired('2024-01-01Z') WHERE NOT dropped");
                drain(client, "clear", "2024-01-01Z");
                assert_eq!(left(client, "02"), wanted, "{hold:?}: together in one");
                assert_eq!(said, (ENTRIES.len() - wanted.len()).to_string(), "{hold:?}");
                if specific % 4 == 0 {
                    is_sound(client, &format!("{hold:?}"));
                }
                run(client, "ROLLBACK");
            }
        }
    }
    purge(client, "2024-01-01Z");
    assert_eq!(count(client), 0);
    is_tidy(client, "nothing was held");
}

#[test]
fn what_is_held_is_held_until_all_of_its_holds_are_released() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error");
    partitions(&mut db, "2023-03-03", "2023-03-10");
    partitions(&mut db, "2023-03-10", "2023-03-17");
    db.run(
        "SELECT audit_log.record('job_created', n::text, organization => o, occurred_at => '2023-03-03Z'::timestamptz + n * interval '7 hours')
         FROM generate_series(0, 47) n, unnest('{acme,globex}'::text[]) o;
         SELECT audit_log.hold('one job', target_type => 'job', target_id => '5');
         SELECT audit_log.hold('acme''s', 'acme', reason => 'a case');
         SELECT audit_log.hold('all of them')",
    );
    let dropped = "SELECT coalesce(string_agg(DISTINCT target_id, ' '), '') FROM audit_log.entry WHERE category = 'retention_run' AND (metadata ->> 'dropped')::boolean";
    for (release, left, whole) in [
        ("nobody", vec!["acme job_created 48", "globex job_created 48"], ""),
        ("all of them", vec!["acme job_created 48", "globex job_created 1"], ""),
        ("acme''s", vec!["acme job_created 1", "globex job_created 1"], "event_p20230310"),
        ("one job", vec![], "event_p20230303 event_p20230310"),
    ] {
        if release != "nobody" {
            db.run(&format!("SELECT audit_log.release_hold('{release}')"));
        }
        purge(&mut db.client, "2023-12-01Z");
        assert_eq!(there(&mut db.client), left, "{release}");
        assert_eq!(db.one(dropped), whole, "{release}");
        is_tidy(&mut db.client, release);
    }
    assert_eq!(
        db.one(
            "SELECT count(*) FROM audit_log.partition_bounds('audit_log.event') WHERE lower < '2023-11-01'"
        ),
        "0"
    );
}

#[test]
fn what_they_take_and_what_is_recorded_of_them() {
    let mut db = Db::new();
    let long = "x".repeat(256);
    for (arguments, field) in [
        ("NULL", "name"),
        ("''", "name"),
        (&format!("'{long}'"), "name"),
        ("'case', ''", "organization"),
        (&format!("'case', '{long}'"), "organization"),
        ("'case', NULL, 'jobb'", "target_type"),
        ("'case', target_type => ''", "target_type"),
    ] {
        let failure = db.fails(&format!("SELECT audit_log.hold({arguments})"));
        failure.is("22023", "invalid_input").says(&format!("field: {field}"));
    }
    for name in ["NULL", "''", "'case'"] {
        db.fails(&format!("SELECT audit_log.release_hold({name})"))
            .is("22023", "invalid_input")
            .says("field: name");
    }
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry"), "0");
    let role = unique("admin");
    let mut admin = db.session_as(&role);
    db.run(&format!("GRANT audit_log_admin TO {role}"));
    let began = db.one("SELECT clock_timestamp()");
    run(
        &mut admin,
        "SELECT audit_log.hold('case', 'acme', 'job', '7', 'a judge');
         SELECT audit_log.hold('Case', reason => '')",
    );
    for again in ["'case'", "'Case', 'globex'"] {
        fails(&mut admin, &format!("SELECT audit_log.hold({again})"))
            .is("22023", "invalid_input")
            .says("already");
    }
    let columns = format!("SELECT concat_ws(' ', name, organization_id, target_type, target_id, reason, placed_by, placed_at BETWEEN '{began}' AND now()) FROM audit_log.legal_hold ORDER BY name");
    assert_eq!(
        all(&mut admin, &columns),
        [format!("Case  {role} t"), format!("case acme job 7 a judge {role} t")]
    );
    run(&mut admin, "SELECT audit_log.release_hold('case'); SELECT audit_log.hold('case')");
    run(&mut admin, "BEGIN; SELECT audit_log.release_hold('case'); ROLLBACK");
    let recorded = db.all(
        "SELECT concat_ws(' ', organization_id, category, target_type, target_id, coalesce(metadata, '{}') - 'placed_at', coalesce(metadata, '{}') ? 'placed_at', database_user)
         FROM audit_log.entry WHERE category LIKE 'hold%' ORDER BY occurred_at, id",
    );
    let expected = [
        r#"acme hold_placed audit_log case {"reason": "a judge", "target_id": "7", "target_type": "job", "organization": "acme"} f"#,
        r#"default hold_placed audit_log Case {"reason": ""} f"#,
        r#"acme hold_released audit_log case {"reason": "a judge", "target_id": "7", "target_type": "job", "organization": "acme"} t"#,
        r#"default hold_placed audit_log case {} f"#,
    ];
    assert_eq!(recorded, expected.map(|told| format!("{told} {role}")));
}

/// Thirty old entries in a partition of their own, and ten without one.
fn forty() -> Db {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.ensure_partitions()");
    partitions(&mut db, "2023-03-03", "2023-03-10");
    db.run(
        "SELECT audit_log.record('job_created', n::text, occurred_at => '2023-03-04Z'::timestamptz + n * interval '1 hour') FROM generate_series(1, 30) n;
         SELECT audit_log.record('job_created', n::text, occurred_at => '2023-01-04Z'::timestamptz + n * interval '1 hour') FROM generate_series(1, 10) n",
    );
    db
}

#[test]
fn whoever_decides_beside_a_purge_waits_for_it_and_is_heeded_by_the_next() {
    let of_default = "SELECT audit_log.clear_next('2024-01-01Z', 4)";
    let dropping = "SELECT audit_log.run_task('drop', '2024-01-01Z')";
    for (purging, end, left) in [
        (of_default, "COMMIT", 36),
        (of_default, "ROLLBACK", 40),
        (dropping, "COMMIT", 10),
        (dropping, "ROLLBACK", 40),
    ] {
        for decision in ["hold('case')", "set_retention(NULL)"] {
            let mut db = forty();
            let (mut purger, mut decider) = (db.session(), db.session());
            patient(&mut decider);
            let pid = one(&mut decider, "SELECT pg_backend_pid()");
            run(&mut purger, &format!("BEGIN; {purging}"));
            thread::scope(|scope| {
                let decided = scope.spawn(|| run(&mut decider, &format!("SELECT audit_log.{decision}")));
                until_it_waits(&mut db.client, &pid);
                // The purge goes on meanwhile, as far as it likes.
                run(&mut purger, &format!("SAVEPOINT s; {of_default}; ROLLBACK TO s"));
                assert!(!decided.is_finished(), "{decision} beside {purging}");
                run(&mut purger, end);
            });
            let when = format!("{decision} beside {purging}, {end}");
            assert_eq!(count(&mut db.client), left, "{when}");
            purge(&mut purger, "2024-01-01Z");
            assert_eq!(count(&mut db.client), left, "{when}");
            is_sound(&mut db.client, &when);
        }
    }
}

fn gives_way(decision: &str, end: &str, left: i64) {
    let mut db = forty();
    if decision.starts_with("release") {
        db.run("SELECT audit_log.hold('other', target_id => '25')");
    }
    let (mut decider, mut purger) = (db.session(), db.session());
    run(&mut purger, "SET client_min_messages = error");
    run(&mut decider, &format!("BEGIN; SELECT audit_log.{decision}"));
    assert_eq!(all(&mut purger, "SELECT * FROM audit_log.run_retention()"), [""; 0], "{decision}");
    assert_eq!(count(&mut db.client), 40, "{decision}");
    let status = "SELECT string_agg(task, ' ') FROM audit_log.worker_status WHERE failures = 1 AND last_error LIKE '%lock timeout%'";
    assert_eq!(db.one(status), "clear drop", "{decision}");
    // What removes nothing was done, and nobody who writes waits.
    assert_eq!(db.one("SELECT count(*) FROM audit_log.uncounted WHERE target_type <> 'audit_log'"), "0");
    patient(&mut db.client);
    db.run("SELECT audit_log.record('offer_sent')");
    run(&mut decider, end);
    purge(&mut purger, "2024-01-01Z");
    assert_eq!(count(&mut db.client), left + 1, "{decision}, {end}");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.worker_status WHERE failures > 0"), "0", "{decision}");
    is_sound(&mut db.client, decision);
}

#[test]
fn a_purge_gives_way_to_a_decision_that_is_not_committed() {
    // Each waits, most of the time.
    thread::scope(|scope| {
        for (decision, end, left) in [
            ("hold('case', target_id => '5')", "COMMIT", 2),
            ("hold('case', target_id => '5')", "ROLLBACK", 0),
            ("set_retention(NULL)", "COMMIT", 40),
            ("set_retention('1 day')", "ROLLBACK", 0),
            ("release_hold('other')", "ROLLBACK", 1),
        ] {
            scope.spawn(move || gives_way(decision, end, left));
        }
    });
}

#[test]
fn between_the_batches_of_a_purge() {
    let mut db = forty();
    db.run("SELECT audit_log.hold('not these', 'acme')");
    let clear = "SELECT more FROM audit_log.clear_next('2023-03-19Z', 7)";
    db.run("SELECT audit_log.set_retention('14 days')");
    // Those without a partition, up to their end; then seven of the 23 that are expired of the week.
    for _ in 0..3 {
        assert_eq!(db.one(clear), "t");
    }
    assert_eq!(count(&mut db.client), 23, "the premise of this test");
    db.run("SELECT audit_log.hold('case', target_id => '20'); SELECT audit_log.hold('gone already', target_id => '2')");
    for _ in 0..20 {
        db.run(clear);
    }
    assert_eq!(db.one(clear), "f");
    let left = "SELECT string_agg(target_id, ' ' ORDER BY occurred_at) FROM audit_log.entry WHERE category = 'job_created'";
    assert_eq!(db.one(left), "20 24 25 26 27 28 29 30");
    assert_eq!(step(&mut db.client, "clear", "2023-03-19Z").0, []);
}
