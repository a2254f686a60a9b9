//! The view `feed`: behind any text, in any order, what the entries themselves give.

use audit_log_tests::{all, fails, run, wait_for, Db};

/// Entries of transactions of one to many rows, some rolled back, of two organizations.
fn written() -> Db {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE job (id int PRIMARY KEY, team text);
         SELECT audit_log.watch('job', organization => 'team')",
    );
    for i in 0..40 {
        let rows = [1, 3, 120][i % 3];
        let end = if i % 7 == 6 { "ROLLBACK" } else { "COMMIT" };
        db.run(&format!(
            "BEGIN; INSERT INTO job SELECT {i} * 1000 + g, 'team' || g % 2 FROM generate_series(1, {rows}) g; {end}"
        ));
    }
    // Other tests' transactions hold it back.
    let count = db.one("SELECT count(*) FROM audit_log.entry");
    wait_for(&mut db.client, "SELECT count(*) FROM audit_log.feed", &count);
    db
}

const NAIVE: &str = "(SELECT e.* FROM audit_log.entry e)";

#[test]
fn every_comparison_gives_what_the_entries_give() {
    let mut db = written();
    let positions = db.all("SELECT position FROM audit_log.entry ORDER BY position");
    assert!(positions.len() > 1000);
    let mut bounds: Vec<String> = [
        "",
        "0",
        "0001",
        "000100",
        "0001zz",
        "00010000000002G",
        "ffff",
        "FFFF",
        "g",
        "~",
        "00000000000000000",
    ]
    .map(String::from)
    .to_vec();
    for i in [0, 1, 400, positions.len() - 2, positions.len() - 1] {
        let one = &positions[i];
        bounds.extend([
            one.clone(),
            one[..16].to_string(),
            one[..40].to_string(),
            format!("{one}0"),
            format!("{}g", &one[..20]),
        ]);
        // The id of all zeros, and of all ones: the borders of a transaction.
        bounds.extend([
            format!("{}{}", &one[..16], "0".repeat(32)),
            format!("{}{}", &one[..16], "f".repeat(32)),
        ]);
    }
    for bound in bounds {
        for condition in [
            format!("position > '{bound}'"),
            format!("position >= '{bound}'"),
            format!("'{bound}' < position"),
            format!("position <= '{bound}'"),
            format!("position = '{bound}'"),
            format!("position > '{bound}' AND '{}' <= position", positions[300]),
            format!("position > '{bound}' AND organization_id = 'team1'"),
            format!("(position > '{bound}' OR organization_id = 'team1')"),
            format!("NOT position > '{bound}'"),
        ] {
            let rows = |from: &str| {
                format!(
                    "SELECT md5(string_agg(f::text, '|' ORDER BY n)) FROM (
                   SELECT r.*::text AS f, row_number() OVER () AS n FROM
                     (SELECT * FROM {from} x WHERE {condition} ORDER BY position LIMIT 500) r) s"
                )
            };
            assert_eq!(db.one(&rows("audit_log.feed")), db.one(&rows(NAIVE)), "{condition}");
        }
    }
}

#[test]
fn orders_and_shapes_of_queries() {
    let mut db = written();
    for query in [
        "SELECT position FROM {} x ORDER BY position DESC LIMIT 7",
        "SELECT position FROM {} x ORDER BY occurred_at DESC, id LIMIT 7",
        "SELECT min(position) || max(position) FROM {} x",
        "SELECT position FROM {} x ORDER BY position OFFSET 700 LIMIT 3",
        "SELECT position FROM {} x ORDER BY position, id LIMIT 3",
        "SELECT position FROM {} x ORDER BY position COLLATE \"default\" LIMIT 3",
        "SELECT count(*)::text FROM {} x WHERE position > (SELECT min(position) FROM {} y)",
        "SELECT b.position FROM (SELECT * FROM {} x ORDER BY position LIMIT 30) a
           CROSS JOIN LATERAL (SELECT position FROM {} z WHERE z.position > a.position ORDER BY position LIMIT 1) b ORDER BY 1",
        "SELECT count(*)::text FROM {} a JOIN {} b ON b.position > a.position WHERE a.target_id = '1' AND b.organization_id = 'team0'",
        "SELECT (SELECT count(*) FROM {} y WHERE y.position >= x.position)::text FROM {} x ORDER BY position DESC LIMIT 3",
    ] {
        let of = |from: &str| query.replace("{}", from);
        assert_eq!(db.all(&of("audit_log.feed")), db.all(&of(NAIVE)), "{query}");
    }
    // Prepared, often enough for a plan without the value.
    db.run("PREPARE poll(text) AS SELECT position FROM audit_log.feed WHERE position > $1 ORDER BY position LIMIT 10");
    let positions = db.all("SELECT position FROM audit_log.entry ORDER BY position");
    for i in (0..positions.len() - 1).step_by(100) {
        let page = db.all(&format!("EXECUTE poll('{}')", positions[i]));
        let end = positions.len().min(i + 11);
        assert_eq!(page, positions[i + 1..end], "{i}");
    }
    assert!(db.all("EXECUTE poll(NULL)").is_empty());
    // Step by step, beside other queries, and left in the middle.
    db.run("BEGIN; DECLARE c CURSOR FOR SELECT position FROM audit_log.feed ORDER BY position");
    assert_eq!(db.all("FETCH 150 FROM c"), positions[..150]);
    assert_eq!(db.all("EXECUTE poll('')"), positions[..10]);
    db.run("SAVEPOINT s");
    assert_eq!(db.fails("SELECT 1 / (CASE WHEN position = (SELECT max(position) FROM audit_log.entry) THEN 0 ELSE 1 END) FROM audit_log.feed").sqlstate, "22012");
    db.run("ROLLBACK TO s");
    assert_eq!(db.all("FETCH 20 FROM c"), positions[150..170]);
    db.run("COMMIT");
}

/// However long the log is: neither a sort, nor a row in front of what is asked for.
#[test]
fn a_poll_reads_what_is_behind_only() {
    let mut db = written();
    let last = db.one("SELECT position FROM audit_log.entry ORDER BY position DESC OFFSET 5 LIMIT 1");
    for (from, rows) in [(last.as_str(), "rows=5 "), ("", "rows=10 ")] {
        let plan = db
            .all(&format!("EXPLAIN (ANALYZE, COSTS off, TIMING off) SELECT * FROM audit_log.feed WHERE position > '{from}' ORDER BY position LIMIT 10"))
            .join("\n");
        assert!(!plan.contains("Sort") && !plan.contains("Removed"), "{plan}");
        assert!(plan.contains(rows) || plan.contains(&rows.replace(' ', ".00 ")), "{plan}");
    }
    let plan =
        db.all("EXPLAIN SELECT * FROM audit_log.feed WHERE position > 'x' ORDER BY position DESC").join("\n");
    assert!(plan.contains("Sort"), "the other way round it is sorted: {plan}");
}

#[test]
fn nobody_changes_it_or_reads_what_is_not_theirs() {
    let mut db = written();
    let mut stranger = db.session_as("feed_stranger");
    for table in ["feed", "feed_rows"] {
        assert_eq!(fails(&mut stranger, &format!("SELECT 1 FROM audit_log.{table}")).sqlstate, "42501");
    }
    db.run("SELECT audit_log.grant_read('feed_stranger', 'team1')");
    for table in ["feed", "feed_rows"] {
        let mine = all(&mut stranger, &format!("SELECT DISTINCT organization_id FROM audit_log.{table}"));
        assert_eq!(mine, ["team1"], "{table}");
    }
    let wanted = db.one("SELECT count(*) FROM audit_log.entry WHERE organization_id = 'team1'");
    wait_for(&mut stranger, "SELECT count(*) FROM audit_log.feed WHERE position > ''", &wanted);
    for change in ["DELETE FROM", "TRUNCATE", "UPDATE"] {
        for table in ["feed", "feed_rows"] {
            let set = if change == "UPDATE" { " SET id = id" } else { "" };
            db.fails(&format!("{change} audit_log.{table}{set}"));
        }
    }
    run(&mut db.client, "ANALYZE");
}
