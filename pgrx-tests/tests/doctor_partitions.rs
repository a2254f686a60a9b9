//! doctor(), of the log's own tables: partitions, guards, indexes, what makes writing slow, and retention.

use audit_log_tests::{one, run, Db};

use crate::doctor::{all_found, cured, found, healthy};
use crate::retention_truth::move_all;

/// The partition of event, or of another table of the log, that has this moment.
fn present(db: &mut Db, parent: &str) -> String {
    db.one(&format!("SELECT partition FROM audit_log.partition_bounds('audit_log.{parent}') WHERE lower <= now() AND upper > now()"))
}

fn last(db: &mut Db, parent: &str) -> String {
    db.one(&format!(
        "SELECT partition FROM audit_log.partition_bounds('audit_log.{parent}') ORDER BY lower DESC LIMIT 1"
    ))
}

fn unguarded(db: &mut Db, sql: &str) {
    db.run(&format!("SET allow_system_table_mods = on; {sql}; RESET allow_system_table_mods"));
}

#[test]
fn this_moment_without_a_partition() {
    let mut db = healthy();
    for parent in ["event_target", "activity", "named"] {
        let partition = present(&mut db, parent);
        db.run(&format!("DROP TABLE {partition}"));
        cured(&mut db, "error", "no partition", &format!("audit_log.{parent}"));
        assert_eq!(all_found(&mut db), Vec::<String>::new());
    }
    // What was written meanwhile is moved.
    let partition = present(&mut db, "event");
    db.run(&format!("DROP TABLE {partition}; INSERT INTO job VALUES (2)"));
    assert_eq!(
        all_found(&mut db),
        [
            "error no partition audit_log.event",
            "warning entries without a partition audit_log.event_unplaced"
        ]
    );
    cured(&mut db, "error", "no partition", "audit_log.event");
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    move_all(&mut db.client);
    assert_eq!(db.one("SELECT tableoid::regclass FROM audit_log.event WHERE target_id = '2'"), partition);
}

#[test]
fn no_partition_ahead() {
    for unit in ["hour", "day", "week", "month"] {
        let mut db = Db::new();
        db.run(&format!(
            "SELECT audit_log.set_partition_interval('{unit}'); SELECT audit_log.ensure_partitions(1)"
        ));
        let beyond = |db: &mut Db| {
            db.all(&format!(
                "SELECT format('DROP TABLE %s', partition) FROM audit_log.partition_bounds('audit_log.event')
                 WHERE lower >= date_trunc('{unit}', now(), 'UTC') + interval '1 {unit}'"
            ))
        };
        let drops = beyond(&mut db);
        // The one that is next, and more than that.
        assert!(!drops.is_empty());
        assert_eq!(found(&mut db, "no partition ahead"), []);
        db.run(&drops.join(";"));
        cured(&mut db, "warning", "no partition ahead", "audit_log.event");
        assert_eq!(all_found(&mut db), Vec::<String>::new());
        // Where something of that time is there already.
        let drops = beyond(&mut db);
        db.run(&drops.join(";"));
        db.run(&format!("SELECT audit_log.record('offer_sent', '1', occurred_at => date_trunc('{unit}', now(), 'UTC') + interval '1 {unit} 1 minute')"));
        cured(&mut db, "warning", "no partition ahead", "audit_log.event");
        assert_eq!(all_found(&mut db), Vec::<String>::new());
    }
}

#[test]
fn entries_without_a_partition() {
    let mut db = healthy();
    db.run("SELECT audit_log.record('offer_sent', '1', occurred_at => now() - interval '20 days')");
    cured(&mut db, "warning", "entries without a partition", "audit_log.event_unplaced");
    // It is there now, but somebody began before. Nothing is wrong with that for an hour.
    let mut old = db.session();
    run(&mut old, "BEGIN");
    db.run("SELECT audit_log.run_retention()");
    let phrase = "entries not moved to their partition";
    assert_eq!(found(&mut db, phrase), []);
    // As if it had been a while ago; the one that is open began before that.
    db.run("UPDATE audit_log.partition_known SET since = since - interval '2 hours' WHERE since IS NOT NULL");
    assert_eq!(found(&mut db, phrase)[0].fix, "SELECT * FROM audit_log.run_retention()");
    db.run("DELETE FROM audit_log.partition_known; SELECT audit_log.run_retention()");
    let fix =
        db.one(&format!("SELECT fix FROM audit_log.doctor_partitions('0') WHERE finding LIKE '{phrase}%'"));
    let pid = one(&mut old, "SELECT pg_backend_pid()");
    assert_eq!(fix, format!("SELECT pg_catalog.pg_terminate_backend({pid})"));
    assert_eq!(db.one("SELECT count(*) FROM audit_log.event_unplaced"), "1");
    db.run(&fix);
    db.run(
        "UPDATE audit_log.partition_known SET since = now() - interval '61 minutes' WHERE since IS NOT NULL",
    );
    cured(&mut db, "warning", phrase, "audit_log.event_unplaced");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.event_unplaced"), "0");
}

#[test]
fn a_table_that_was_a_partition() {
    let mut db = healthy();
    for parent in ["event", "event_target", "activity", "named"] {
        for partition in [present(&mut db, parent), last(&mut db, parent)] {
            let bounds = format!("SELECT lower || ' ' || upper FROM audit_log.partition_bounds('audit_log.{parent}') WHERE partition = '{partition}'::regclass");
            let before = db.one(&bounds);
            db.run(&format!("ALTER TABLE audit_log.{parent} DETACH PARTITION {partition}"));
            let finding = cured(&mut db, "error", "partition not attached", &partition);
            assert!(finding.fix.contains("ATTACH PARTITION"), "{finding:?}");
            assert_eq!(db.one(&bounds), before);
            assert_eq!(all_found(&mut db), Vec::<String>::new());
        }
    }
    // That entries came meanwhile is no reason against it.
    let partition = present(&mut db, "event");
    db.run(&format!("ALTER TABLE audit_log.event DETACH PARTITION {partition}; INSERT INTO job SELECT max(id) + 1 FROM job"));
    assert!(cured(&mut db, "error", "partition not attached", &partition).fix.contains("ATTACH PARTITION"));
    move_all(&mut db.client);
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    // Counts came meanwhile, or others than its name says: it makes room.
    let partition = present(&mut db, "activity");
    db.run(&format!("ALTER TABLE audit_log.activity DETACH PARTITION {partition}; INSERT INTO job SELECT max(id) + 1 FROM job"));
    db.run("SELECT audit_log.count_entries()");
    let finding = cured(&mut db, "error", "partition not attached", &partition);
    assert_eq!(
        finding.fix,
        format!("ALTER TABLE {partition} RENAME TO {}_detached", partition.trim_start_matches("audit_log."))
    );
    cured(&mut db, "error", "no partition", "audit_log.activity");
    assert_eq!(present(&mut db, "activity"), partition);
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    // What only looks like a partition, or is of another time than its name says.
    for (name, columns) in [
        ("event_p20200106", "LIKE audit_log.event"),
        ("event_p99999999", "LIKE audit_log.event"),
        ("activity_p20200106_05", "LIKE audit_log.activity"),
        ("named_p20200106_050000000000", "day text"),
        ("event_target_p20200106", ""),
    ] {
        db.run(&format!("CREATE TABLE audit_log.{name} ({columns})"));
        if name == "event_p20200106" {
            db.run("INSERT INTO audit_log.event_p20200106 SELECT (jsonb_populate_record(e, '{\"occurred_at\": \"2020-01-13Z\"}')).* FROM audit_log.stored_event e");
        }
        assert!(cured(&mut db, "error", "partition not attached", &format!("audit_log.{name}"))
            .fix
            .contains("RENAME"));
    }
    // Neither is one of a name of one's own.
    db.run("CREATE TABLE audit_log.event_p2020_archive (occurred_at timestamptz); CREATE VIEW audit_log.event_p20200106 AS SELECT 1");
    assert_eq!(found(&mut db, "partition not attached"), []);
}

#[test]
fn tables_that_are_not_append_only() {
    let mut db = healthy();
    let partitions = [present(&mut db, "event"), last(&mut db, "event_target")];
    let tables = [
        "audit_log.event",
        "audit_log.event_unplaced",
        "audit_log.event_target",
        "audit_log.relation_change",
        &partitions[0],
        &partitions[1],
    ];
    for table in tables {
        for change in [
            format!("DROP TRIGGER append_only ON {table}"),
            format!("ALTER TABLE ONLY {table} DISABLE TRIGGER append_only"),
            format!("ALTER TABLE ONLY {table} ENABLE TRIGGER append_only"),
            format!("DROP TRIGGER append_only ON {table}; CREATE TRIGGER append_only BEFORE UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION audit_log.refuse_change(); ALTER TABLE ONLY {table} ENABLE ALWAYS TRIGGER append_only"),
            format!("DROP TRIGGER append_only ON {table}; CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION suppress_redundant_updates_trigger(); ALTER TABLE ONLY {table} ENABLE ALWAYS TRIGGER append_only"),
        ] {
            db.run(&change);
            cured(&mut db, "error", "not append-only", table);
            db.fails(&format!("TRUNCATE {table}")).is("42501", "entries_are_append_only");
        }
    }
    for parent in ["audit_log.event", "audit_log.event_target"] {
        for change in [
            "DISABLE TRIGGER append_only_row",
            "ENABLE TRIGGER append_only_row",
            "ENABLE REPLICA TRIGGER append_only_row",
        ] {
            db.run(&format!("ALTER TABLE {parent} {change}"));
            cured(&mut db, "error", "not append-only", parent);
        }
        db.run(&format!("DROP TRIGGER append_only_row ON {parent}"));
        cured(&mut db, "error", "not append-only", parent);
    }
    for partition in &partitions {
        db.run(&format!("ALTER TABLE {partition} DISABLE TRIGGER append_only_row"));
        cured(&mut db, "error", "not append-only", partition);
    }
    assert_eq!(
        db.one("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'append%' AND tgenabled <> 'A'"),
        "0"
    );
    assert_eq!(all_found(&mut db), Vec::<String>::new());
}

#[test]
fn indexes_that_are_missing_or_invalid() {
    let mut db = healthy();
    let partition = present(&mut db, "event");
    db.run("SET quote_all_identifiers = on");
    let shape = |db: &mut Db, table: &str| {
        db.all(&format!("SELECT regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '') FROM pg_index WHERE indrelid = '{table}'::regclass ORDER BY 1"))
    };
    for table in [partition.as_str(), "audit_log.event_unplaced", "audit_log.event_target_unplaced"] {
        let before = shape(&mut db, table);
        assert_eq!(before.len(), if table.contains("target") { 1 } else { 4 });
        for index in
            db.all(&format!("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = '{table}'::regclass"))
        {
            unguarded(
                &mut db,
                &format!("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{index}'::regclass"),
            );
            assert!(cured(&mut db, "warning", "index invalid", &index.replace('"', ""))
                .fix
                .starts_with("REINDEX"));
            db.run(&format!("DROP INDEX {index}"));
            cured(&mut db, "warning", "index missing", table);
        }
        assert_eq!(shape(&mut db, table), before);
    }
    // What REINDEX CONCURRENTLY left behind.
    db.run(&format!("CREATE INDEX left_over ON {partition} (feed)"));
    unguarded(
        &mut db,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'audit_log.left_over'::regclass",
    );
    assert!(cured(&mut db, "warning", "index invalid", "audit_log.left_over").fix.starts_with("DROP"));
    assert_eq!(all_found(&mut db), Vec::<String>::new());
}

#[test]
fn what_makes_writing_slow() {
    let mut db = healthy();
    let partition = present(&mut db, "event");
    db.run("CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; CREATE TABLE known (id uuid PRIMARY KEY)");
    assert_eq!(found(&mut db, "table not watched").len(), 1);
    for table in ["audit_log.event", partition.as_str(), "audit_log.event_target_unplaced"] {
        let id = if table.contains("target") { "event_id" } else { "id" };
        for change in [
            format!("CREATE TRIGGER \"my own\" AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION pass()"),
            format!("ALTER TABLE {table} ADD CONSTRAINT \"my own\" CHECK (occurred_at > '1990-01-01Z')"),
            format!("ALTER TABLE {table} ADD CONSTRAINT known FOREIGN KEY ({id}) REFERENCES known NOT VALID"),
            format!("CREATE RULE \"my own\" AS ON INSERT TO {table} DO ALSO SELECT 1"),
            format!("CREATE INDEX ON {table} USING brin (occurred_at)"),
            format!("CREATE INDEX ON {table} (lower(target_id))"),
            format!("CREATE INDEX ON {table} (target_id) WHERE target_type = 'job'"),
        ] {
            // Not every constraint can be on a partitioned table without looking at its rows.
            if table == "audit_log.event" && change.contains("NOT VALID") {
                continue;
            }
            db.run(&change);
            let finding = cured(&mut db, "info", "slow writing", table);
            assert!(finding.words.contains('"'), "{finding:?}");
        }
    }
    // These do not.
    db.run(&format!(
        "CREATE TRIGGER before_update BEFORE UPDATE ON {partition} FOR EACH ROW EXECUTE FUNCTION pass();
         CREATE INDEX ON {partition} (request_id, occurred_at) WHERE request_id IS NOT NULL; CREATE UNIQUE INDEX ON {partition} (id)"
    ));
    assert_eq!(found(&mut db, "slow writing"), []);
}

/// A log with partitions of the last ten weeks, and an entry so old in each of two organizations.
fn old(ages: &[&str]) -> Db {
    let mut db = healthy();
    db.run("SELECT audit_log.make_partitions(now() - interval '70 days', 10)");
    for age in ages {
        db.run(&format!(
            "SELECT audit_log.record('job_created', o || '{age}', organization => o, occurred_at => now() - interval '{age}') FROM unnest('{{acme,globex}}'::text[]) o"
        ));
    }
    db
}

#[test]
fn retention_that_is_behind() {
    for counted in [true, false] {
        let mut db = old(&["29 days", "30 days 12 hours"]);
        if counted {
            db.run("SELECT audit_log.count_entries()");
        }
        assert_eq!(all_found(&mut db), Vec::<String>::new(), "within a day");
        db.run("SELECT audit_log.record('job_created', 'late', occurred_at => now() - interval '33 days')");
        if counted {
            db.run("SELECT audit_log.count_entries()");
        }
        let finding = cured(&mut db, "warning", "retention behind", "audit_log.event");
        let day = db.one("SELECT (now() - interval '33 days')::date");
        assert!(!counted || finding.words.contains(&day), "{finding:?}");
        assert_eq!(all_found(&mut db), Vec::<String>::new());
    }
}

#[test]
fn retention_is_by_the_most_specific_rule() {
    for counted in [true, false] {
        let mut db = old(&["40 days", "50 days"]);
        db.run("SELECT audit_log.set_retention(NULL, 'acme'), audit_log.set_retention('60 days', 'globex', 'job_created'), audit_log.set_retention('1 day', 'globex'), audit_log.set_retention('1 day', NULL, 'job_created')");
        if counted {
            db.run("SELECT audit_log.count_entries()");
        }
        assert_eq!(found(&mut db, "retention behind"), []);
        db.run("SELECT audit_log.set_retention('45 days', 'globex', 'job_created')");
        cured(&mut db, "warning", "retention behind", "audit_log.event");
        assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'"), "4");
        db.run("SELECT audit_log.unset_retention('globex', 'job_created')");
        cured(&mut db, "warning", "retention behind", "audit_log.event");
        db.run("SELECT audit_log.unset_retention('acme')");
        cured(&mut db, "warning", "retention behind", "audit_log.event");
    }
}

#[test]
fn what_is_held_is_not_behind() {
    for counted in [true, false] {
        let mut db = old(&["40 days"]);
        if counted {
            db.run("SELECT audit_log.count_entries()");
        }
        db.run("SELECT audit_log.hold('acme', 'acme'), audit_log.hold('one', target_type => 'job', target_id => 'globex40 days')");
        assert_eq!(found(&mut db, "retention behind"), []);
        // Whether it was looked at or not.
        db.run("SELECT audit_log.run_retention()");
        assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE target_id LIKE '%40 days'"), "2");
        assert_eq!(all_found(&mut db), Vec::<String>::new());
        db.run("SELECT audit_log.release_hold('one')");
        cured(&mut db, "warning", "retention behind", "audit_log.event");
        assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE target_id LIKE '%40 days'"), "1");
    }
}
