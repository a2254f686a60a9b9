//! A page's total: exact whatever is counted of the days, whatever window is asked for, whoever writes or removes meanwhile.

use audit_log_tests::{all, one, run, Db};
use postgres::Client;

use crate::listing::{sequential, Random};
use crate::page_truth::{
    expected, import, is_exact, page, remove_week, some_event, week, with_weeks, Request,
};

/// Beginnings and ends: of days, of weeks, inside of days, where there is nothing, and none.
const EDGES: [Option<&str>; 12] = [
    None,
    Some("1970-01-01Z"),
    Some("2025-03-03Z"),
    Some("2025-03-04 00:00:00.000001Z"),
    Some("2025-03-09 23:59:59.999999Z"),
    Some("2025-03-10Z"),
    Some("2025-03-12 12:00Z"),
    Some("2025-03-12 12:00:00.000001Z"),
    Some("2025-03-16 23:00Z"),
    Some("2025-03-19 12:00+05:45"),
    Some("2025-03-30Z"),
    Some("9999-12-31Z"),
];

fn windows() -> impl Iterator<Item = (Option<String>, Option<String>)> {
    let text = |edge: &Option<&str>| edge.map(str::to_string);
    let starts = EDGES.iter().enumerate();
    starts.flat_map(move |(n, start)| {
        let ends = EDGES[n + 1..].iter().chain([&None]);
        ends.map(move |end| (text(start), text(end)))
    })
}

/// Fails where any window's total is not how many entries SQL finds, for a few filters that are counted by day.
#[track_caller]
fn totals_are_exact(client: &mut Client, truth: &mut Client, when: &str) {
    let text = |text: &str| Some(text.to_string());
    let some = Request::default();
    let filters = [
        Request { organization: text("acme"), action: text("Created"), ..some.clone() },
        Request { tab: text("interviews"), ..some.clone() },
        some,
    ];
    for (n, (start, end)) in windows().enumerate() {
        let filter = &filters[n % filters.len()];
        let request = Request { page_size: Some(10), start, end, ..filter.clone() };
        let wanted = expected(truth, &request, None).len() as i64;
        assert_eq!(page(client, &request).total(), wanted, "{when}: {request:?}");
    }
    is_exact(client, when);
}

fn some_events(db: &mut Db, random: &mut Random, n: usize) {
    let events: Vec<_> =
        (0..n).map(|_| some_event(random)).filter(|event| event["organizationId"] != "off").collect();
    import(&mut db.client, &events);
}

fn filled(random: &mut Random) -> (Db, Client) {
    let mut db = with_weeks();
    some_events(&mut db, random, 500);
    let truth = sequential(&db);
    (db, truth)
}

#[test]
fn before_after_and_between_counts_in_any_time_zone() {
    let mut random = Random(21);
    let (mut db, mut truth) = filled(&mut random);
    let mut client = db.session();
    totals_are_exact(&mut client, &mut truth, "nothing is counted");
    db.run("SELECT audit_log.count_entries()");
    totals_are_exact(&mut client, &mut truth, "everything is");
    some_events(&mut db, &mut random, 40);
    db.run("SELECT audit_log.record('booking_created', 'x', organization => 'acme', occurred_at => '2025-03-12 12:00Z'); SELECT audit_log.disable_organization('off')");
    for zone in ["America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"] {
        run(&mut client, &format!("SET TimeZone = '{zone}'"));
        totals_are_exact(&mut client, &mut truth, zone);
    }
    db.run("SELECT audit_log.count_entries(); SELECT audit_log.count_entries()");
    totals_are_exact(&mut client, &mut truth, "all over again");
}

#[test]
fn windows_that_reach_to_the_ends_of_time() {
    let mut db = Db::new();
    db.run("SELECT audit_log.record('job_created', '1')");
    for counted in [false, true] {
        for (window, total) in [
            ("start_date => '4713-01-01 BC'", "1"),
            ("end_date => '294276-12-31 12:00Z'", "1"),
            ("start_date => '4713-01-01 12:00 BC', end_date => '294276-12-31 12:00Z'", "1"),
            ("start_date => '294276-12-31 12:00Z'", "0"),
            ("end_date => '4713-01-01 12:00 BC'", "0"),
        ] {
            let found = format!("SELECT coalesce(max(total), 0) FROM audit_log.page({window})");
            assert_eq!(db.one(&found), total, "{window}, counted: {counted}");
        }
        db.run("SELECT audit_log.count_entries()");
    }
}

#[test]
fn a_week_that_is_removed_with_its_counts_and_written_to_again() {
    let mut random = Random(22);
    let (mut db, mut truth) = filled(&mut random);
    let mut client = db.session();
    let of_week = "SELECT audit_log.record('job_created', 'only ' || n, occurred_at => '2025-03-12'::timestamptz + n * interval '1 hour') FROM generate_series(1, 30) n";
    db.run(&format!("SELECT audit_log.set_context('{{\"actor\": {{\"type\": \"user\", \"id\": \"9\", \"name\": \"Only There\"}}}}', false); {of_week}; SELECT audit_log.set_context(NULL, false)"));
    let found = |client: &mut Client| {
        ["page(search => 'only')", "page(actor => 'Only There')", "people('only')"]
            .map(|call| one(client, &format!("SELECT count(*) FROM audit_log.{call}")))
    };
    db.run("SELECT audit_log.count_entries()");
    assert_eq!(found(&mut client), ["30", "30", "1"]);
    // Some that is not counted yet goes as well; and one that was counted in part.
    some_events(&mut db, &mut random, 40);
    for monday in ["2025-03-10", "2025-03-24"] {
        remove_week(&mut db, monday);
        totals_are_exact(&mut client, &mut truth, &format!("{monday} is removed"));
    }
    assert_eq!(found(&mut client), ["0", "0", "0"]);
    db.run(of_week);
    totals_are_exact(&mut client, &mut truth, "something came late, without a partition");
    db.run("SELECT audit_log.count_entries()");
    totals_are_exact(&mut client, &mut truth, "that is counted, too");
    assert_eq!(found(&mut client), ["30", "0", "0"]);
    week(&mut db, "2025-04-07");
    db.run("SELECT audit_log.record('job_created', 'x', occurred_at => '2025-04-09')");
    remove_week(&mut db, "2025-03-03");
    some_events(&mut db, &mut random, 40);
    totals_are_exact(&mut client, &mut truth, "another week came and the first one went");
    db.run("SELECT audit_log.count_entries()");
    totals_are_exact(&mut client, &mut truth, "at last");
}

#[test]
fn what_the_transaction_wrote_is_in_it() {
    let mut db = Db::new();
    db.run("CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job')");
    let mut other = db.session();
    let insert = |from: i32| format!("INSERT INTO job SELECT n FROM generate_series({from}, {from} + 2) n");
    let seen = "SELECT concat_ws(' ', coalesce(max(total), 0), count(*), (SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'))
                FROM audit_log.page(action => 'job_created')";
    for from in [0, 100] {
        let before = db.one("SELECT count(*) FROM job").parse::<i32>().expect("a number");
        let of = |more: i32| [before + more; 3].map(|n| n.to_string()).join(" ");
        db.run(&format!("BEGIN; {}", insert(from)));
        assert_eq!(db.one(seen), of(3));
        db.run(&format!("SAVEPOINT s; {}", insert(from + 10)));
        assert_eq!(db.one(seen), of(6));
        is_exact(&mut db.client, "in a savepoint");
        db.run("ROLLBACK TO s");
        assert_eq!((db.one(seen), one(&mut other, seen)), (of(3), of(0)));
        db.run(&format!("SAVEPOINT r; {}; RELEASE r", insert(from + 20)));
        assert_eq!(db.one(seen), of(6));
        // Counted by somebody else in between, with this transaction open.
        run(&mut other, "SELECT audit_log.count_entries()");
        assert_eq!((db.one(seen), one(&mut other, seen)), (of(6), of(0)));
        run(&mut other, &format!("BEGIN; {}; ROLLBACK", insert(from + 50)));
        db.run("COMMIT");
        assert_eq!((db.one(seen), one(&mut other, seen)), (of(6), of(6)));
        is_exact(&mut other, "both are over");
    }
    // In a function, after what the function itself wrote.
    db.run(&format!(
        "CREATE FUNCTION write() RETURNS text LANGUAGE plpgsql AS $$ BEGIN {}; RETURN ({seen}); END $$",
        insert(1000)
    ));
    assert_eq!(db.one("SELECT write()"), "15 15 15");
}

#[test]
fn an_older_snapshot_has_its_own_total() {
    let mut db = with_weeks();
    let record = "SELECT audit_log.record('job_created', n::text, occurred_at => '2025-03-11'::timestamptz + n * interval '1 hour') FROM generate_series(1, 30) n";
    db.run(record);
    let there = |client: &mut Client| {
        one(client, "SELECT max(total) || ' ' || (SELECT count(*) FROM audit_log.page(search => '1')) FROM audit_log.page(action => 'job_created')")
    };
    let mut old = db.session();
    for (level, counts) in [("REPEATABLE READ", 1), ("SERIALIZABLE", 2)] {
        run(&mut old, &format!("BEGIN ISOLATION LEVEL {level} READ ONLY"));
        let before = there(&mut old);
        for _ in 0..counts {
            db.run(&format!("{record}; SELECT audit_log.count_entries()"));
            assert_eq!(there(&mut old), before, "{level}");
            is_exact(&mut old, level);
        }
        run(&mut old, "COMMIT");
        assert_ne!(there(&mut old), before);
        is_exact(&mut old, "a new snapshot");
    }
}

#[test]
fn total_and_rows_of_one_page_are_of_one_snapshot() {
    let mut db = with_weeks();
    db.run("SELECT audit_log.record('job_created', n::text, occurred_at => '2025-03-11') FROM generate_series(1, 20) n");
    // Each call is a statement of its own in READ COMMITTED; the writers never pause.
    let mut writers: Vec<_> = (0..2).map(|_| db.session()).collect();
    let mut reader = db.session();
    std::thread::scope(|scope| {
        for (n, writer) in writers.iter_mut().enumerate() {
            scope.spawn(move || {
                for _ in 0..60 {
                    run(writer, "SELECT audit_log.record('job_created', 'x', occurred_at => '2025-03-11')");
                    if n == 0 {
                        run(writer, "SELECT audit_log.count_entries()");
                    }
                }
            });
        }
        for _ in 0..60 {
            let differs = "SELECT format('%s in all, %s shown, %s there', max(p.total), count(*), max(t.n))
                FROM (SELECT count(*) AS n FROM audit_log.stored_event WHERE occurred_at = '2025-03-11') t,
                     (SELECT * FROM audit_log.page(page_size => 100, action => 'job_created')
                      UNION ALL SELECT * FROM audit_log.page(2, 100, action => 'job_created')) p
                HAVING max(p.total) <> count(*) OR max(t.n) <> count(*)";
            assert_eq!(all(&mut reader, differs), Vec::<String>::new());
        }
    });
}
