//! list() wherever a session may call it: among its own writes, in cursors, functions and prepared statements, by a
//! transaction's snapshot, and canceled.

use std::thread;

use audit_log_tests::{cluster, fails, one, patient, run, until_it_waits, Db};
use postgres::Client;

use crate::listing::{expected, ids, page, pages, requests, same, Month, Request};

/// How many entries of jobs there are, and whether list() shows the same at the same place.
const SEEN: &str = "(SELECT concat_ws(' ', coalesce(cardinality(e), 0), l IS NOT DISTINCT FROM e)
   FROM (SELECT (SELECT array_agg(l.id) FROM audit_log.list(target_types => '{job}') l) AS l,
                (SELECT array_agg(v.id ORDER BY v.occurred_at DESC, v.id DESC) FROM audit_log.entry v WHERE v.target_type = 'job') AS e) s)";

fn watched_job() -> Db {
    let mut db = Db::new();
    db.run("CREATE TABLE job (id int PRIMARY KEY, title text); SELECT audit_log.watch('job')");
    db
}

/// The arguments that make a page of the month.
const MARCH: &str = "start_date => '2025-03-01Z', end_date => '2025-09-01Z'";

/// What the server told this session's process to log as a warning or worse, errors aside.
fn warnings(pid: &str) -> Vec<String> {
    let log = std::fs::read_to_string(cluster().dir.join("log")).expect("the server's log");
    let of_it = |line: &&str| {
        line.contains(&format!("[{pid}]"))
            && ["WARNING:", "FATAL:", "PANIC:"].iter().any(|l| line.contains(l))
    };
    log.lines().filter(of_it).map(str::to_string).collect()
}

#[test]
fn what_the_transaction_wrote_shows_where_sql_shows_it() {
    let mut db = watched_job();
    let insert = |n: i32| format!("INSERT INTO job SELECT n FROM generate_series({n}, {n} + 2) n");
    db.run(&format!("BEGIN; {}", insert(1)));
    assert_eq!(db.one(&format!("SELECT {SEEN}")), "3 t");
    db.run(&format!("SAVEPOINT s; {}; UPDATE job SET title = 'x'", insert(11)));
    assert_eq!(db.one(&format!("SELECT {SEEN}")), "12 t");
    db.run("ROLLBACK TO s");
    assert_eq!(db.one(&format!("SELECT {SEEN}")), "3 t");
    db.run(&format!("SAVEPOINT r; {}; RELEASE r; COMMIT", insert(21)));
    assert_eq!(db.one(&format!("SELECT {SEEN}")), "6 t");
    db.run(&format!("BEGIN; {}; ROLLBACK", insert(31)));
    assert_eq!(db.one(&format!("SELECT {SEEN}")), "6 t");
    // A statement does not see its own writes, nor does what it calls that sees by its snapshot.
    let within = |n: i32| format!("WITH w AS ({} RETURNING id) SELECT {SEEN} || count(w) FROM w", insert(n));
    assert_eq!(db.one(&within(41)), "6 t3");
    assert_eq!(db.one(&within(51)), "9 t3");
    for (volatility, seen) in [("VOLATILE", "15 t"), ("STABLE", "15 t")] {
        db.run(&format!("CREATE OR REPLACE FUNCTION seen() RETURNS text LANGUAGE plpgsql {volatility} AS $$ BEGIN RETURN {SEEN}; END $$"));
        let n = 100 + db.one("SELECT count(*) FROM job").parse::<i32>().expect("a number");
        assert_eq!(db.one(&format!("BEGIN; {}; SELECT seen(); ROLLBACK", insert(n))), seen);
    }
}

#[test]
fn functions_and_triggers_see_what_was_captured_before_them() {
    let mut db = watched_job();
    db.run(&format!(
        "CREATE TABLE told (told text);
         CREATE FUNCTION work(n int) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO job VALUES (n), (n + 1); RETURN NEXT {SEEN};
           BEGIN DELETE FROM job; RETURN NEXT {SEEN}; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END;
           RETURN NEXT {SEEN}; UPDATE job SET title = 'x' WHERE id = n; RETURN NEXT {SEEN}; END $$;
         CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told SELECT {SEEN}; RETURN NULL; END $$"
    ));
    assert_eq!(db.all("SELECT work(1)"), ["2 t", "4 t", "2 t", "3 t"]);
    assert_eq!(db.all("SELECT work(11)"), ["5 t", "9 t", "5 t", "6 t"]);
    for level in ["ROW", "STATEMENT"] {
        db.run(&format!("TRUNCATE told; CREATE OR REPLACE TRIGGER zz AFTER INSERT ON job FOR EACH {level} EXECUTE FUNCTION tell(); INSERT INTO job SELECT 100 + count(*) + n FROM job, generate_series(1, 3) n GROUP BY n"));
        let told = db.all("SELECT told FROM told");
        assert!(!told.is_empty() && told.iter().all(|t| t.ends_with(" t")), "{level}: {told:?}");
    }
    assert_eq!(db.one(&format!("SELECT {SEEN}")), "12 t");
}

#[test]
fn cursors_read_in_part() {
    let mut month = Month::new();
    let pid = one(&mut month.db.client, "SELECT pg_backend_pid()");
    let there = month.db.all(
        "SELECT id FROM audit_log.entry WHERE occurred_at >= '2025-03-01Z' AND occurred_at < '2025-09-01Z'
         ORDER BY occurred_at DESC, id DESC LIMIT 100",
    );
    let mut other = month.db.session();
    for (how, select) in [
        ("CURSOR", format!("SELECT id FROM audit_log.list({MARCH})")),
        ("CURSOR WITH HOLD", format!("SELECT id FROM audit_log.list({MARCH})")),
        ("SCROLL CURSOR", format!("SELECT (audit_log.list({MARCH})).id")),
        ("CURSOR", format!("SELECT l.id FROM generate_series(1, 2), LATERAL audit_log.list({MARCH}) l")),
    ] {
        month.db.run(&format!("BEGIN; DECLARE a {how} FOR {select}; DECLARE b {how} FOR {select}"));
        assert_eq!(month.db.all("FETCH 5 FROM a"), there[..5], "{how} {select}");
        run(&mut other, "BEGIN; SELECT audit_log.record('job_created', occurred_at => '2025-03-31Z')");
        assert_eq!(month.db.all("FETCH 20 FROM b"), there[..20], "{how} {select}");
        assert_eq!(month.db.all("FETCH 20 FROM a"), there[5..25], "{how} {select}");
        // Neither is closed: the end of the transaction does that, or that of the session.
        month.db.run("COMMIT");
        run(&mut other, "ROLLBACK");
        run(&mut other, "VACUUM audit_log.event_unplaced");
        match how.contains("HOLD") {
            true => assert_eq!(month.db.all("FETCH ALL FROM a; CLOSE ALL")[..75], there[25..]),
            false => assert_eq!(month.db.fails("FETCH 1 FROM a").sqlstate, "34000"),
        }
    }
    // By the protocol's own means, too.
    let mut transaction = month.db.client.transaction().expect("BEGIN");
    let portal =
        transaction.bind(&format!("SELECT id::text FROM audit_log.list({MARCH})"), &[]).expect("a portal");
    let rows = transaction.query_portal(&portal, 7).expect("some rows");
    assert_eq!(rows.iter().map(|r| r.get(0)).collect::<Vec<String>>(), there[..7]);
    drop(portal);
    transaction.commit().expect("COMMIT");
    assert_eq!(warnings(&pid), Vec::<String>::new());
}

#[test]
fn in_other_queries() {
    let mut month = Month::new();
    let there = pages(&mut month.db.client, &requests()[0], 100);
    let listed = |arguments: &str| format!("SELECT l.id FROM audit_log.list({MARCH}, {arguments}) l");
    assert_eq!(month.db.all(&format!("{} LIMIT 3", listed("\"limit\" => 50"))), there[..3]);
    assert_eq!(month.db.all(&format!("{} OFFSET 4 LIMIT 3", listed("\"limit\" => 50"))), there[4..7]);
    assert_eq!(
        month.db.one(&format!(
            "SELECT EXISTS ({}) AND NOT EXISTS ({})",
            listed("target_ids => '{t1}'"),
            listed("target_ids => '{t99}'")
        )),
        "t"
    );
    let each = format!("SELECT count(*) = (SELECT count(*) FROM audit_log.list({MARCH}, \"limit\" => 100, target_ids => '{{t1}}')) + (SELECT count(*) FROM audit_log.list({MARCH}, target_ids => '{{t3}}'))
                        FROM unnest('{{t1,t3}}'::text[]) t, LATERAL audit_log.list({MARCH}, target_ids => ARRAY[t]) l");
    assert_eq!(month.db.one(&each), "t");
    let joined = format!("SELECT count(*) FROM audit_log.list({MARCH}) a JOIN audit_log.list({MARCH}, target_ids => '{{t1}}') b USING (id)");
    let t1 = requests().swap_remove(2);
    let first = &there[..100];
    let both = pages(&mut month.db.client, &t1, 100).iter().filter(|id| first.contains(id)).count();
    assert_eq!(month.db.one(&joined), both.to_string());
    month.db.run(&format!(
        "CREATE FUNCTION all_pages() RETURNS SETOF uuid LANGUAGE plpgsql STABLE AS $$
         DECLARE r record; next text; BEGIN LOOP
           FOR r IN SELECT id, next_cursor FROM audit_log.list(next, 30, {MARCH}) LOOP RETURN NEXT r.id; next := r.next_cursor; END LOOP;
           EXIT WHEN next IS NULL; END LOOP; END $$;
         CREATE FUNCTION four() RETURNS SETOF uuid LANGUAGE plpgsql AS $$
         DECLARE r record; n int := 0; BEGIN
           FOR r IN SELECT id FROM audit_log.list({MARCH}) LOOP RETURN NEXT r.id; n := n + 1; EXIT WHEN n = 4; END LOOP; END $$;
         CREATE FUNCTION in_sql(what text) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$ SELECT id FROM audit_log.list({MARCH}, target_ids => ARRAY[what]) $$"
    ));
    assert_eq!(month.db.all("SELECT all_pages()"), there);
    assert_eq!(month.db.all("SELECT four()"), there[..4]);
    assert_eq!(
        month.db.all("SELECT i FROM in_sql('t1') i LIMIT 2"),
        pages(&mut month.db.client, &t1, 100)[..2]
    );
}

#[test]
fn prepared_with_other_filters_each_time() {
    let mut month = Month::new();
    let statement = month.db.client
        .prepare("SELECT id::text FROM audit_log.list(NULL, $1, $2::text::timestamptz, $3::text::timestamptz, $4, $5, $6, $7, $8)")
        .expect("prepares");
    for mode in ["auto", "force_generic_plan", "force_custom_plan"] {
        month.db.run(&format!("SET plan_cache_mode = {mode}"));
        for round in 0..8 {
            for r in requests() {
                let limit = 10 + round;
                let rows = month
                    .db
                    .client
                    .query(
                        &statement,
                        &[
                            &limit,
                            &r.start,
                            &r.end,
                            &r.actor_ids,
                            &r.target_ids,
                            &r.target_types,
                            &r.categories,
                            &r.organization,
                        ],
                    )
                    .expect("lists");
                let mut wanted = expected(&mut month.truth, &r, None, None);
                wanted.truncate(limit as usize);
                assert_eq!(rows.iter().map(|r| r.get(0)).collect::<Vec<String>>(), wanted, "{r:?}");
            }
        }
    }
}

#[test]
fn a_transaction_lists_by_its_snapshot() {
    let mut month = Month::new();
    let request = &requests()[0];
    let mut dba = month.db.session();
    for isolation in
        ["REPEATABLE READ", "REPEATABLE READ READ ONLY", "SERIALIZABLE", "SERIALIZABLE READ ONLY"]
    {
        month.db.run(&format!("BEGIN ISOLATION LEVEL {isolation}"));
        let before = expected(&mut month.db.client, request, None, None);
        let first = page(&mut month.db.client, request, None, 10);
        let cursor = first.next.expect("more follows");
        run(&mut dba, "SELECT audit_log.record('job_created', 't1', occurred_at => '2025-03-03Z'::timestamptz + n * interval '7 hours') FROM generate_series(1, 90) n");
        run(&mut dba, "VACUUM (INDEX_CLEANUP ON) audit_log.event_p20250303, audit_log.event_unplaced");
        let second = page(&mut month.db.client, request, Some(&cursor), 20);
        same(&ids(second.entries), &before[10..30], isolation);
        same(&pages(&mut month.db.client, request, 60), &before, isolation);
        if !isolation.contains("ONLY") {
            month.db.run("SELECT audit_log.record('job_created', 't1', occurred_at => '2025-03-15Z')");
            assert_eq!(pages(&mut month.db.client, request, 60).len(), before.len() + 1, "{isolation}");
        }
        month.db.run("COMMIT");
        assert!(pages(&mut month.db.client, request, 60).len() >= before.len() + 90, "{isolation}");
    }
    // One statement has one snapshot, however long it takes and however often it lists.
    let mut reader = month.db.session();
    let pid = one(&mut reader, "SELECT pg_backend_pid()");
    run(&mut dba, "SELECT pg_advisory_lock(1)");
    let reading = thread::spawn(move || {
        one(&mut reader, "SELECT concat_ws(' ', (SELECT count(*) FROM audit_log.list()), pg_advisory_lock(1), (SELECT count(*) FROM audit_log.list()))")
    });
    until_it_waits(&mut month.db.client, &pid);
    let before =
        month.db.one("SELECT count(*) FROM audit_log.entry WHERE occurred_at > now() - interval '1 day'");
    run(&mut dba, "SELECT audit_log.record('job_created'); SELECT pg_advisory_unlock(1)");
    assert_eq!(reading.join().expect("lists"), format!("{before}  {before}"));
}

/// Whether one of two fails that each list what the other one then writes.
fn one_fails(month: &mut Month, arguments: [&str; 2], writes: [&str; 2]) -> bool {
    let mut sessions = [month.db.session(), month.db.session()];
    for (session, arguments) in sessions.iter_mut().zip(arguments) {
        run(session, "BEGIN ISOLATION LEVEL SERIALIZABLE");
        run(session, &format!("SELECT count(*) FROM audit_log.list({MARCH}, {arguments})"));
    }
    let end = |session: &mut Client, sql: &str| {
        session.batch_execute(sql).err().and_then(|e| e.code().map(|c| c.code().to_string()))
    };
    let mut ends = Vec::new();
    for (session, write) in sessions.iter_mut().zip(writes) {
        ends.extend(end(session, write));
    }
    sessions.iter_mut().for_each(|session| ends.extend(end(session, "COMMIT")));
    assert!(ends.iter().all(|e| e == "40001" || e == "25P02"), "{ends:?}");
    !ends.is_empty()
}

#[test]
fn serializable_transactions_depend_on_what_they_listed() {
    let mut month = Month::new();
    let write = |target: &str| {
        format!("SELECT audit_log.record('job_created', '{target}', occurred_at => '2025-03-20Z')")
    };
    let (x, y) = (write("x"), write("y"));
    // Each would have listed the other's entry, had it come later.
    assert!(one_fails(&mut month, ["target_ids => '{x}'"; 2], [&x, &x]));
    assert!(one_fails(&mut month, ["target_ids => '{y}'", "target_ids => '{x}'"], [&x, &y]));
    assert!(one_fails(&mut month, ["\"limit\" => 100"; 2], [&x, &y]));
}

/// Checks that a session that failed holds nothing and lists as before.
#[track_caller]
fn is_sound(db: &mut Db, session: &mut Client, request: &Request, wanted: &[String]) {
    let pid = one(session, "SELECT pg_backend_pid()");
    same(&pages(session, request, 33), wanted, "what it lists next");
    assert_eq!(
        db.all(&format!("SELECT relation::regclass FROM pg_locks WHERE pid = {pid}")),
        Vec::<String>::new()
    );
    let pinned = "SELECT count(*) FROM pg_buffercache WHERE pinning_backends > 0 AND reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relfilenode IN (
                    SELECT pg_relation_filenode(oid) FROM pg_class WHERE relnamespace = 'audit_log'::regnamespace)";
    assert_eq!(db.one(pinned), "0");
    assert_eq!(warnings(&pid), Vec::<String>::new());
}

#[test]
fn stopped_while_it_waits_for_a_partition() {
    let mut month = Month::new();
    month.db.run("CREATE EXTENSION pg_buffercache");
    let request = &requests()[3];
    let wanted = expected(&mut month.truth, request, None, None);
    let list = format!("SELECT count(*) FROM audit_log.list({MARCH}, target_ids => '{{t1,t2}}')");
    let mut reader = month.db.session();
    let pid = one(&mut reader, "SELECT pg_backend_pid()");
    run(&mut reader, &list);
    for table in ["event_p20250303", "event_unplaced", "event_target_p20250303"] {
        if table.starts_with("event_target") {
            // It is read only where the entries' own index lacks other targets.
            let index = month.db.one("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'audit_log.event_p20250303'::regclass AND pg_get_indexdef(indexrelid) ~ 'other_targets'");
            month.db.run(&format!("DROP INDEX {index}"));
        }
        let mut dba = month.db.session();
        run(&mut dba, &format!("BEGIN; LOCK TABLE audit_log.{table} IN ACCESS EXCLUSIVE MODE"));
        for (limit, sqlstate) in [("statement_timeout", "57014"), ("lock_timeout", "55P03")] {
            assert_eq!(
                fails(&mut reader, &format!("SET {limit} = 100; {list}")).sqlstate,
                sqlstate,
                "{table}"
            );
            run(&mut reader, &format!("RESET {limit}"));
        }
        // Caught, the transaction goes on, and commits.
        run(&mut reader, &format!("BEGIN; SET LOCAL lock_timeout = 100; DO $$ BEGIN PERFORM id FROM audit_log.list({MARCH}); EXCEPTION WHEN lock_not_available THEN NULL; END $$; SAVEPOINT s"));
        assert_eq!(fails(&mut reader, &list).sqlstate, "55P03", "{table}");
        run(&mut reader, "ROLLBACK TO s; SELECT 1; COMMIT");
        let mut canceled = month.db.session();
        let its_pid = one(&mut canceled, "SELECT pg_backend_pid()");
        let waiting = thread::spawn({
            let list = list.clone();
            move || (fails(&mut canceled, &list).sqlstate, canceled)
        });
        until_it_waits(&mut month.db.client, &its_pid);
        month.db.run(&format!("SELECT pg_cancel_backend({its_pid})"));
        let (sqlstate, mut canceled) = waiting.join().expect("fails");
        assert_eq!(sqlstate, "57014");
        run(&mut dba, "COMMIT");
        is_sound(&mut month.db, &mut canceled, request, &wanted);
        is_sound(&mut month.db, &mut reader, request, &wanted);
    }
    assert_eq!(warnings(&pid), Vec::<String>::new());
}

#[test]
fn a_listing_waits_for_the_partitions_of_its_window_only() {
    let mut month = Month::new();
    let mut reader = month.db.session();
    patient(&mut reader);
    let march = "start_date => '2025-03-10Z', end_date => '2025-03-31Z'";
    for table in ["event_p20250303", "event_target_p20250303"] {
        month.db.run(&format!("BEGIN; LOCK TABLE audit_log.{table} IN ACCESS EXCLUSIVE MODE"));
        // Often enough for whatever is kept of a query that comes again.
        for _ in 0..10 {
            for filter in ["", ", actor_ids => '{ann}'", ", target_ids => '{t1,t2}'"] {
                one(&mut reader, &format!("SELECT count(*) FROM audit_log.list({march}{filter})"));
            }
        }
        month.db.run("COMMIT");
    }
}

#[test]
fn stopped_anywhere() {
    let mut month = Month::new();
    month.db.run("CREATE EXTENSION pg_buffercache");
    month.write(3000);
    let request = &requests()[7];
    let wanted = expected(&mut month.truth, request, None, None);
    let mut reader = month.db.session();
    let lists = format!(
        "DO $$ BEGIN LOOP PERFORM id FROM audit_log.list({MARCH}, actor_ids => '{{ann}}', target_ids => '{{t1,t2}}', categories => '{{job_created}}');
           PERFORM id FROM audit_log.list({MARCH}, \"limit\" => 7); END LOOP; END $$"
    );
    for n in 0..100 {
        run(&mut reader, "BEGIN; SAVEPOINT s");
        let stopped = format!("SET LOCAL statement_timeout = {}; {lists}", 1 + n % 30);
        assert_eq!(fails(&mut reader, &stopped).sqlstate, "57014");
        run(&mut reader, "ROLLBACK TO s; COMMIT");
        if n % 20 == 0 {
            is_sound(&mut month.db, &mut reader, request, &wanted);
        }
    }
}
