//! run_retention(): what it says before and after, what it records, when it refuses, gives way or fails.

use std::collections::BTreeMap;
use std::thread;

use audit_log_tests::{all, fails, one, patient, query, run, unique, wait_for, Db};
use postgres::Client;

use crate::retention_truth::{count, is_sound, is_tidy, partitions, purge, step, there};

/// Twelve old days with partitions of their own, twelve without, and some entries of today.
fn twenty_four_days() -> Db {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SET TimeZone = 'UTC'; SELECT audit_log.set_partition_interval('day'); SELECT audit_log.ensure_partitions()");
    for day in 1..=12 {
        partitions(&mut db, &format!("2023-03-{day:02}"), &format!("2023-03-{:02}", day + 1));
    }
    db.run(
        "SELECT audit_log.record(c, n::text, organization => o, occurred_at => at, targets => '[{\"type\": \"user\", \"id\": 7}]')
         FROM unnest('{acme,globex,initech}'::text[]) o, unnest('{job_created,offer_sent}'::text[]) c,
              unnest(ARRAY['2023-03-01', '2023-02-01', now() - '2 days'::interval]::timestamptz[]) first,
              generate_series(0, 23) n, LATERAL (SELECT first + n * interval '12 hours' AS at) t WHERE at < now();
         SELECT audit_log.set_retention(NULL, 'globex', 'job_created');
         SELECT audit_log.set_retention('1 year 1 day', category => 'offer_sent');
         SELECT audit_log.hold('case', 'initech', 'job', '4')",
    );
    db
}

type Sums = BTreeMap<(String, String, String), i64>;

/// What rows of a removal add up to, by organization, category and rule.
fn sums(client: &mut Client, from: &str) -> Sums {
    let rows = query(
        client,
        &format!(
            "SELECT organization_id, category, keep::text, sum(entries)::bigint FROM {from} GROUP BY 1, 2, 3"
        ),
        &[],
    );
    rows.iter().map(|row| ((row.get(0), row.get(1), row.get(2)), row.get(3))).collect()
}

#[test]
fn a_dry_run_tells_what_then_goes_and_changes_nothing() {
    let mut db = twenty_four_days();
    let everything = [
        "SELECT to_jsonb(e)::text FROM audit_log.stored_event e ORDER BY 1",
        "SELECT to_jsonb(t)::text FROM audit_log.stored_event_target t ORDER BY 1",
        "SELECT to_jsonb(a)::text FROM audit_log.activity a ORDER BY 1",
        "SELECT to_jsonb(w)::text FROM audit_log.worker_status w ORDER BY 1",
        "SELECT relname FROM pg_class WHERE relnamespace = 'audit_log'::regnamespace ORDER BY 1",
    ];
    let before = everything.map(|sql| db.all(sql));
    let dry = "audit_log.run_retention(dry_run => true)";
    let mut said = Sums::new();
    for how in ["", "READ ONLY", "ISOLATION LEVEL REPEATABLE READ", "ISOLATION LEVEL SERIALIZABLE READ ONLY"]
    {
        db.run(&format!(
            "BEGIN {how}; SET LOCAL TimeZone = 'Pacific/Kiritimati'; SET LOCAL IntervalStyle = 'postgres'"
        ));
        said = sums(&mut db.client, dry);
        db.run("COMMIT");
        assert_eq!(said.values().sum::<i64>(), 24 * 2 * 5 - 2, "{how}: {said:?}");
    }
    assert_eq!(everything.map(|sql| db.all(sql)), before);
    assert_eq!(
        db.one(&format!("SELECT count(*) FROM {dry} WHERE oldest > newest OR oldest < '2023-02-01Z' OR newest >= '2023-03-13Z' OR keep IS NULL")),
        "0"
    );
    // In as many calls as it takes, each a transaction of its own.
    let mut went = Sums::new();
    let mut dropped = 0;
    for call in 0..40 {
        let there = count(&mut db.client);
        db.run("CREATE TEMP TABLE went AS SELECT * FROM audit_log.run_retention()");
        let of_call = sums(&mut db.client, "went");
        dropped += db
            .one("SELECT count(DISTINCT partition) FROM went WHERE dropped")
            .parse::<i32>()
            .expect("a number");
        db.run("DROP TABLE went");
        assert_eq!(there - of_call.values().sum::<i64>(), count(&mut db.client), "call {call}");
        of_call.into_iter().for_each(|(what, entries)| *went.entry(what).or_default() += entries);
        if call % 8 == 0 {
            is_sound(&mut db.client, &format!("call {call}"));
        }
    }
    assert_eq!((went, dropped), (said, 0));
    assert_eq!(sums(&mut db.client, dry), Sums::new());
    assert_eq!(db.all("SELECT concat(task, ' ', last_error) FROM audit_log.worker_status WHERE failures > 0 OR last_success IS NULL"), [""; 0]);
}

#[test]
fn each_purge_is_recorded_where_it_was() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SET TimeZone = 'UTC'; SELECT audit_log.ensure_partitions()");
    partitions(&mut db, "2023-03-03", "2023-03-10");
    partitions(&mut db, "2023-03-10", "2023-03-17");
    db.run(
        "SELECT audit_log.record(c, n::text, organization => o, occurred_at => '2023-03-03 06:00Z'::timestamptz + n * interval '1 day')
         FROM unnest('{acme,globex}'::text[]) o, unnest('{job_created,offer_sent}'::text[]) c, generate_series(0, 13) n;
         SELECT audit_log.set_retention('1 year 2 days', 'acme');
         SELECT audit_log.set_retention(NULL, 'globex', 'offer_sent');
         SELECT audit_log.disable_organization('globex')",
    );
    let recorded = |db: &mut Db| {
        db.all(
            "SELECT concat_ws(' ', organization_id, target_type, target_id, actor_type, metadata) FROM audit_log.entry
             WHERE category = 'retention_run' AND occurred_at > now() - interval '1 hour' ORDER BY occurred_at, id",
        )
    };
    db.run("SET IntervalStyle = 'iso_8601'; SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'");
    purge(&mut db.client, "2024-03-16 06:00Z");
    let of_globex = |partition: &str, oldest: &str, newest: &str| {
        format!(
            r#"default audit_log {partition} system {{"rules": [{{"keep": "30 days", "entries": 7, "category": "job_created"}}], "newest": "{newest}T06:00:00+00:00", "oldest": "{oldest}T06:00:00+00:00", "dropped": false, "entries": 7, "organization": "globex"}}"#
        )
    };
    let of_acme = |partition: &str, oldest: &str, newest: &str, each: i32| {
        format!(
            r#"acme audit_log {partition} system {{"rules": [{{"keep": "1 year 2 days", "entries": {each}, "category": "job_created"}}, {{"keep": "1 year 2 days", "entries": {each}, "category": "offer_sent"}}], "newest": "{newest}T06:00:00+00:00", "oldest": "{oldest}T06:00:00+00:00", "dropped": false, "entries": {}, "organization": "acme"}}"#,
            2 * each
        )
    };
    let mut first = recorded(&mut db);
    first.sort();
    let mut expected = vec![
        of_acme("event_p20230303", "2023-03-03", "2023-03-09", 7),
        of_acme("event_p20230310", "2023-03-10", "2023-03-13", 4),
        of_globex("event_p20230303", "2023-03-03", "2023-03-09"),
        of_globex("event_p20230310", "2023-03-10", "2023-03-16"),
    ];
    expected.sort();
    assert_eq!(first, expected);
    // What goes as a whole; and where default is disabled, too, nothing is recorded but all the same removed.
    db.run("SELECT audit_log.unset_retention('globex', 'offer_sent'); SELECT audit_log.enable_organization('globex')");
    purge(&mut db.client, "2024-03-19Z");
    let whole = "SELECT concat_ws(' ', organization_id, target_id, metadata ->> 'entries', metadata ->> 'dropped') FROM audit_log.entry
                 WHERE category = 'retention_run' AND metadata -> 'dropped' = 'true' ORDER BY 1";
    let dropped =
        ["acme event_p20230310 6 true", "globex event_p20230303 7 true", "globex event_p20230310 7 true"];
    assert_eq!(db.all(whole), dropped);
    assert_eq!(recorded(&mut db).len(), 4 + 3);
    assert_eq!(there(&mut db.client), [""; 0]);
    db.run(
        "SELECT audit_log.record('job_created', 'x', organization => 'globex', occurred_at => '2023-03-03')",
    );
    db.run(
        "SELECT audit_log.disable_organization('globex'); SELECT audit_log.disable_organization('default')",
    );
    purge(&mut db.client, "2024-03-19Z");
    assert_eq!((there(&mut db.client), recorded(&mut db).len()), (vec![], 4 + 3));
    is_tidy(&mut db.client, "all of it");
}

#[test]
fn a_purge_of_nothing_but_records_of_purges_leaves_none() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.ensure_partitions(); SELECT audit_log.record('job_created'); SELECT audit_log.set_retention('0')");
    partitions(&mut db, "2023-03-03", "2023-03-10");
    db.run(
        "SELECT audit_log.record('retention_run', occurred_at => '2023-03-04') FROM generate_series(1, 3)",
    );
    let run = "SELECT concat_ws(' ', category, entries, dropped) FROM audit_log.run_retention() ORDER BY 1";
    assert_eq!(db.all(run), ["job_created 1 f", "retention_changed 1 f", "retention_run 3 t"]);
    assert_eq!(
        db.all("SELECT category || (metadata ->> 'entries') FROM audit_log.entry"),
        ["retention_run2"]
    );
    assert_eq!(db.all(run), ["retention_run 1 f"]);
    for _ in 0..2 {
        assert_eq!(db.one("SELECT count(*) FROM audit_log.entry"), "0");
        assert_eq!(db.all(run), [""; 0]);
    }
    // With something else they are counted in what is recorded.
    db.run("SELECT audit_log.record('retention_run', occurred_at => '2023-03-04'); SELECT audit_log.record('job_created', occurred_at => '2023-03-04')");
    db.run(run);
    assert_eq!(
        db.all("SELECT metadata ->> 'rules' FROM audit_log.entry"),
        [
            r#"[{"keep": "00:00:00", "entries": 1, "category": "job_created"}, {"keep": "00:00:00", "entries": 1, "category": "retention_run"}]"#
        ]
    );
}

#[test]
fn where_it_cannot_see_what_was_decided_it_refuses() {
    let mut db = Db::new();
    db.run("SELECT audit_log.record('job_created', occurred_at => '2023-03-04')");
    let call = "SELECT * FROM audit_log.run_retention()";
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let failure = db.fails(&format!("BEGIN ISOLATION LEVEL {level}; {call}"));
        failure.is("55000", "not_in_prerequisite_state").says(&level.to_lowercase());
        db.run("ROLLBACK");
    }
    assert_eq!(db.fails(&format!("BEGIN READ ONLY; {call}")).sqlstate, "25006");
    db.run("ROLLBACK");
    let role = unique("selects");
    let mut selects = db.session_as(&role);
    db.run(&format!("GRANT USAGE ON SCHEMA audit_log TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA audit_log TO {role}; GRANT audit_log_reader TO {role}"));
    for call in [call, "SELECT * FROM audit_log.run_retention(true)"] {
        assert_eq!(fails(&mut selects, call).sqlstate, "42501");
    }
    assert_eq!(count(&mut db.client), 1);
    db.run(&format!("BEGIN ISOLATION LEVEL READ COMMITTED; {call}; COMMIT"));
    assert_eq!(count(&mut db.client), 0);
}

#[test]
fn who_reads_for_long_is_not_waited_for_and_who_writes_does_not_wait() {
    let mut db = twenty_four_days();
    db.run("SELECT audit_log.set_retention('1 day'); SELECT audit_log.unset_retention('globex', 'job_created'); SELECT audit_log.unset_retention(NULL, 'offer_sent'); SELECT audit_log.release_hold('case')");
    let (mut reader, mut writer) = (db.session(), db.session());
    run(&mut reader, "BEGIN; SELECT count(*) FROM audit_log.entry");
    patient(&mut writer);
    run(&mut writer, "SET client_min_messages = error");
    thread::scope(|scope| {
        let purging = scope.spawn(|| (0..4).for_each(|_| db.run("SELECT audit_log.run_retention()")));
        while !purging.is_finished() {
            run(&mut writer, "SELECT audit_log.record('report_created'); SELECT audit_log.record('report_created', occurred_at => '2023-01-04')");
        }
    });
    // What shared a partition with others, and what had none, went row by row; nothing is dropped.
    assert_eq!(db.one("SELECT count(*) FROM audit_log.stored_event WHERE occurred_at >= '2023-03-01Z' AND occurred_at < '2023-04-01Z'"), (24 * 6).to_string());
    assert_eq!(db.one("SELECT count(*) FROM audit_log.stored_event WHERE occurred_at >= '2023-02-01Z' AND occurred_at < '2023-03-01Z'"), "0");
    let status = "SELECT concat_ws(' ', failures > 0, last_error ~ 'in use') FROM audit_log.worker_status WHERE task = 'drop'";
    assert_eq!(db.one(status), "t t");
    is_sound(&mut db.client, "somebody reads");
    run(&mut reader, "COMMIT");
    let now = one(&mut writer, "SELECT now()::text");
    purge(&mut db.client, &now);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.stored_event WHERE occurred_at < '2023-04-01Z'"), "0");
    assert_eq!(db.one(status), "f");
    is_tidy(&mut db.client, "nobody reads");
}

/// What is written down of a dropped partition differs where its transactions are long over.
#[test]
fn what_was_written_long_ago() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.ensure_partitions()");
    partitions(&mut db, "2023-03-03", "2023-03-10");
    partitions(&mut db, "2023-03-10", "2023-03-17");
    let write = |db: &mut Db| {
        db.run("SELECT audit_log.record('job_created', organization => o, occurred_at => '2023-03-04Z'::timestamptz + n * interval '7 days') FROM unnest('{acme,globex}'::text[]) o, generate_series(-1, 1) n")
    };
    write(&mut db);
    db.run("DO $$ BEGIN FOR i IN 1 .. 10100 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$");
    // In one of them there is something of late, too.
    db.run("SELECT audit_log.record('job_created', occurred_at => '2023-03-11Z')");
    purge(&mut db.client, "2024-06-01Z");
    assert_eq!(count(&mut db.client), 0);
    let dropped = "SELECT count(*) FROM audit_log.entry WHERE category = 'retention_run' AND metadata -> 'dropped' = 'true'";
    assert_eq!(db.one(dropped), "5");
    is_tidy(&mut db.client, "long after");
    write(&mut db);
    db.run("DO $$ BEGIN FOR i IN 1 .. 10100 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$");
    purge(&mut db.client, "2024-06-01Z");
    assert_eq!(count(&mut db.client), 0);
}

/// Retention alone removes, and only while it does: not after it, not where it broke off.
#[test]
fn entries_are_guarded_again_however_a_purge_ends() {
    let mut db = twenty_four_days();
    let guarded = |client: &mut Client, when: &str| {
        for statement in [
            "DELETE FROM audit_log.event",
            "DELETE FROM audit_log.event_unplaced",
            "DELETE FROM audit_log.event_target_unplaced",
            "UPDATE audit_log.event SET category = 'job_created'",
        ] {
            run(client, "SAVEPOINT s");
            assert_eq!(fails(client, statement).sqlstate, "42501", "{when}: {statement}");
            run(client, "ROLLBACK TO s");
        }
    };
    db.run("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$; CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON audit_log.purged_until EXECUTE FUNCTION refuse()");
    db.run("BEGIN; SELECT audit_log.count_entries()");
    let (removed, _, error) = step(&mut db.client, "clear", "2024-06-01Z");
    assert_eq!((removed.len(), error.as_deref()), (0, Some("not now")));
    guarded(&mut db.client, "it broke off");
    db.fails("SELECT audit_log.remove_expired('audit_log.event_unplaced', now(), '-infinity', 'infinity')")
        .says("not now");
    db.run("ROLLBACK; BEGIN");
    guarded(&mut db.client, "it was rolled back");
    db.run("COMMIT; DROP TRIGGER refuse ON audit_log.purged_until; BEGIN; SELECT audit_log.run_retention()");
    guarded(&mut db.client, "in its transaction");
    db.run("COMMIT; BEGIN");
    guarded(&mut db.client, "after it");
    db.run("COMMIT");
    // While somebody waits in it, others are guarded, and so is what it would remove.
    let mut other = db.session();
    let mut blocks = db.session();
    let pid = db.one("SELECT pg_backend_pid()");
    run(&mut blocks, "BEGIN; LOCK TABLE audit_log.purged_until IN EXCLUSIVE MODE");
    db.run("SELECT audit_log.record('job_created', occurred_at => '2022-02-04', organization => 'late')");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| step(&mut db.client, "clear", "2024-06-01Z"));
        wait_for(
            &mut other,
            &format!("SELECT count(*) > 0 FROM pg_locks WHERE pid = {pid} AND NOT granted"),
            "t",
        );
        run(&mut other, "BEGIN");
        guarded(&mut other, "somebody is at work");
        run(&mut other, "COMMIT");
        run(&mut blocks, "COMMIT");
        assert_eq!(waiting.join().expect("ends").2, None);
    });
    assert_eq!(
        all(
            &mut other,
            "SELECT 1 FROM audit_log.entry WHERE organization_id = 'late' AND category = 'job_created'"
        ),
        [""; 0]
    );
}
