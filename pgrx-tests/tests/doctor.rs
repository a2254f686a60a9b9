//! doctor(): each finding is provoked, and gone when what it says to do is done. Watched tables: doctor_watches.rs; the log's own: doctor_partitions.rs.

use audit_log_tests::{all, connect, fails, one, run, unique, wait_for, Cluster, Db};
use postgres::Client;

/// A row of doctor().
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: String,
    /// Up to the colon.
    pub phrase: String,
    pub words: String,
    pub object: String,
    pub fix: String,
}

pub fn findings(client: &mut Client) -> Vec<Finding> {
    let sql = "SELECT severity, split_part(finding, ':', 1), finding, object, fix FROM audit_log.doctor()";
    let rows = client.query(sql, &[]).unwrap_or_else(|e| panic!("doctor(): {e:?}"));
    let finding = |row: &postgres::Row| Finding {
        severity: row.get(0),
        phrase: row.get(1),
        words: row.get(2),
        object: row.get(3),
        fix: row.get(4),
    };
    rows.iter().map(finding).collect()
}

/// All findings but that no worker is there, as "severity phrase object".
#[track_caller]
pub fn all_found(db: &mut Db) -> Vec<String> {
    let found = findings(&mut db.client).into_iter().filter(|f| f.phrase != "worker not preloaded");
    found.map(|f| format!("{} {} {}", f.severity, f.phrase, f.object)).collect()
}

/// The findings that begin with a phrase.
pub fn found(db: &mut Db, phrase: &str) -> Vec<Finding> {
    findings(&mut db.client).into_iter().filter(|f| f.phrase == phrase).collect()
}

/// There is just this finding by its phrase; its fix is run as it stands, and it is gone.
#[track_caller]
pub fn cured(db: &mut Db, severity: &str, phrase: &str, object: &str) -> Finding {
    let before = found(db, phrase);
    let [finding] = before.as_slice() else { panic!("{phrase}: {:#?}", findings(&mut db.client)) };
    assert_eq!((finding.severity.as_str(), finding.object.as_str()), (severity, object), "{finding:#?}");
    db.run(&finding.fix);
    assert_eq!(found(db, phrase), [], "after {}", finding.fix);
    finding.clone()
}

/// A database with a watched table, and nothing wrong.
pub fn healthy() -> Db {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE job (id int PRIMARY KEY, title text, status text, org text, team_id int, secret text);
         SELECT audit_log.watch('job'); INSERT INTO job VALUES (1, 'Cook')",
    );
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    db
}

#[test]
fn nothing_is_wrong_with_a_fresh_log() {
    let mut db = Db::new();
    assert_eq!(all_found(&mut db), ["info no partition yet audit_log.event"]);
    cured(&mut db, "info", "no partition yet", "audit_log.event");
    db.run(
        "CREATE TABLE job (id int PRIMARY KEY, at date NOT NULL, UNIQUE (id, at)) ; CREATE TABLE visit (id int, k text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
         CREATE TABLE visit_a PARTITION OF visit FOR VALUES IN ('a') PARTITION BY LIST (k); CREATE TABLE visit_aa PARTITION OF visit_a DEFAULT;
         CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing; CREATE FOREIGN TABLE away (id int) SERVER nowhere;
         SELECT audit_log.watch('job'); SELECT audit_log.watch('visit'); SELECT audit_log.watch('away', target_id => '{id}');
         INSERT INTO job VALUES (1, '2025-01-01'); INSERT INTO visit VALUES (1, 'a'); DELETE FROM visit; TRUNCATE job, visit;
         SELECT audit_log.record('offer_sent', '1'); SELECT audit_log.hold('case'); SELECT audit_log.set_retention('1 day')",
    );
    assert_eq!(all_found(&mut db), Vec::<String>::new());
}

#[test]
fn only_administrators_ask_it() {
    let mut db = healthy();
    for granted in ["", "audit_log_reader", "audit_log_writer", "pg_monitor", "audit_log_admin"] {
        let role = unique("role");
        let mut session = db.session_as(&role);
        if !granted.is_empty() {
            db.run(&format!("GRANT {granted} TO {role}"));
        }
        let sql = "SELECT count(*) FROM audit_log.doctor() WHERE severity = 'error'";
        match granted {
            "audit_log_admin" => assert_eq!(one(&mut session, sql), "0"),
            _ => assert_eq!(fails(&mut session, sql).sqlstate, "42501", "{granted}"),
        }
        fails(&mut session, "SELECT audit_log.doctor_watches()");
        drop(session);
        db.run(&format!("DROP ROLE {role}"));
    }
}

#[test]
fn it_only_reads() {
    let mut db = healthy();
    db.run("CREATE TABLE other (id int); BEGIN READ ONLY");
    assert_eq!(all_found(&mut db), ["info table not watched public.other"]);
    db.run("COMMIT");
}

#[test]
fn the_worst_comes_first() {
    let mut db = healthy();
    db.run("CREATE TABLE other (id int); ALTER TABLE job DISABLE TRIGGER \"!audit_log\", ENABLE TRIGGER \"!audit_log_truncate\"");
    assert_eq!(
        all_found(&mut db),
        [
            "error capture trigger disabled public.job",
            "warning capture trigger not always public.job",
            "info table not watched public.other"
        ]
    );
}

#[test]
fn rights_that_nobody_should_have() {
    let mut db = healthy();
    let role = unique("Some one");
    db.run(&format!("CREATE ROLE \"{role}\"; GRANT SELECT, REFERENCES ON audit_log.event TO \"{role}\""));
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    db.run("GRANT INSERT, TRUNCATE ON audit_log.event TO PUBLIC");
    let finding = cured(&mut db, "error", "write granted", "audit_log.event");
    assert_eq!(finding.fix, "REVOKE INSERT, TRUNCATE ON audit_log.event FROM PUBLIC CASCADE");
    for right in ["INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "UPDATE (keep)"] {
        db.run(&format!("GRANT {right} ON audit_log.retention_rule TO \"{role}\" WITH GRANT OPTION"));
        cured(&mut db, "error", "write granted", "audit_log.retention_rule");
    }
    let partition = db.one("SELECT min(partition::text) FROM audit_log.partition_bounds('audit_log.event')");
    db.run(&format!("GRANT ALL ON {partition} TO audit_log_reader"));
    cured(&mut db, "error", "write granted", &partition);
    db.run(&format!("GRANT CREATE ON SCHEMA audit_log TO \"{role}\""));
    cured(&mut db, "error", "create granted", "audit_log");
    for (kind, object) in [
        ("SCHEMA", "audit_log"),
        ("TABLE", "audit_log.event"),
        ("VIEW", "audit_log.entry"),
        ("FUNCTION", "audit_log.disable_organization(text)"),
    ] {
        db.run(&format!("ALTER {kind} {object} OWNER TO \"{role}\""));
        cured(&mut db, "error", "owner not a superuser", object);
    }
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    db.run(&format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\""));
}

#[test]
fn a_context_that_everybody_begins_with() {
    let mut db = healthy();
    let (role, name) = (unique("Role"), db.name.clone());
    db.run(&format!("CREATE ROLE \"{role}\""));
    let context = r#"SET audit_log.context = '{"actor": {"type": "user", "id": "1"}}'"#;
    for object in [
        format!("ROLE \"{role}\""),
        format!("DATABASE {name}"),
        format!("ROLE \"{role}\" IN DATABASE {name}"),
    ] {
        db.run(&format!("ALTER {object} {context}"));
        cured(&mut db, "warning", "context preset", &object);
    }
    db.run(&format!("ALTER ROLE \"{role}\" IN DATABASE postgres {context}; ALTER DATABASE {name} SET audit_log.context = ''; ALTER DATABASE {name} SET work_mem = '8MB'"));
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    db.run(&format!("DROP ROLE \"{role}\""));
}

#[test]
fn organizations_and_holds_that_one_may_forget() {
    let mut db = healthy();
    db.run("SELECT audit_log.disable_organization('it''s')");
    cured(&mut db, "info", "organization disabled", "it's");
    db.run("SELECT audit_log.hold('new'), audit_log.hold('case ''9'''); UPDATE audit_log.legal_hold SET placed_at = now() - interval '366 days' WHERE name <> 'new'");
    cured(&mut db, "info", "hold in force", "case '9'");
    assert_eq!(db.all("SELECT name FROM audit_log.legal_hold"), ["new"]);
}

#[test]
fn a_worker_that_is_not_preloaded_or_replaced_by_a_scheduler() {
    let mut db = healthy();
    let [finding] = &found(&mut db, "worker not preloaded")[..] else { panic!("one") };
    assert_eq!(finding.severity, "info");
    assert!(
        finding.fix.starts_with("ALTER SYSTEM SET shared_preload_libraries = 'audit_log' -- "),
        "{finding:?}"
    );
    db.run("SELECT audit_log.run_retention()");
    assert_eq!(findings(&mut db.client), []);
    db.run("UPDATE audit_log.worker_task SET last_run_at = now() - interval '4 hours'");
    assert_eq!(found(&mut db, "worker not preloaded").len(), 1);
}

#[test]
fn tasks_that_fail_or_are_late() {
    let mut db = healthy();
    let age = |db: &mut Db, age: &str| {
        db.run(&format!("UPDATE audit_log.worker_task SET last_success_at = now() - interval '{age}'"));
        found(db, "task late").iter().map(|f| f.object.clone()).collect::<Vec<_>>().join(" ")
    };
    // Never done: late once the log itself is old enough.
    assert_eq!(found(&mut db, "task late"), []);
    db.run("UPDATE audit_log.log_identity SET created_at = now() - interval '4 hours'");
    assert_eq!(found(&mut db, "task late").len(), 4);
    db.run("SELECT audit_log.run_retention()");
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    assert_eq!(age(&mut db, "2 hours 50 minutes"), "");
    assert_eq!(age(&mut db, "3 hours 10 minutes"), "clear drop partitions tidy");
    let fix = found(&mut db, "task late").swap_remove(0).fix;
    db.run(&fix);
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    // Failing: by what cause.
    db.run("CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no counting today'; END $$;
            CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON audit_log.counted_until FOR EACH ROW EXECUTE FUNCTION fail(); INSERT INTO job VALUES (7);
            SELECT audit_log.run_retention(); SELECT audit_log.run_retention()");
    let [finding] = &found(&mut db, "task failing")[..] else { panic!("one") };
    assert_eq!(finding.words, "task failing: 2 times in a row: no counting today");
    db.run("DROP TRIGGER fail ON audit_log.counted_until");
    cured(&mut db, "warning", "task failing", "counts");
    assert_eq!(all_found(&mut db), Vec::<String>::new());
}

#[test]
fn a_log_without_entries_has_no_late_tasks() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions(); UPDATE audit_log.log_identity SET created_at = now() - interval '4 years'");
    assert_eq!(all_found(&mut db), Vec::<String>::new());
}

#[test]
fn counts_that_are_behind() {
    let mut db = healthy();
    db.run("SELECT audit_log.count_entries(); INSERT INTO job SELECT i FROM generate_series(2, 100001) i");
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    db.run("INSERT INTO job VALUES (0)");
    cured(&mut db, "warning", "counts behind", "counts");
}

/// What a transaction that holds the feed back is found as, however short it is open.
fn holding(db: &mut Db, what: &str) -> Vec<(String, String)> {
    let sql = format!("SELECT object, fix FROM audit_log.doctor_feed('0') WHERE object LIKE '%{what}%'");
    db.client.query(&sql, &[]).expect("doctor_feed").iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[test]
fn transactions_that_hold_the_feed_back() {
    let mut db = healthy();
    let mut elsewhere = Db::without_extension();
    let name = elsewhere.name.clone();
    // Reading alone holds nothing back.
    elsewhere.run("BEGIN; SELECT count(*) FROM pg_class");
    assert_eq!(holding(&mut db, &name), []);
    elsewhere.run("CREATE TABLE t ()");
    let [(object, fix)] = &holding(&mut db, &name)[..] else { panic!("one session") };
    let pid = elsewhere.one("SELECT pg_backend_pid()");
    assert!(
        object.starts_with(&format!("pid {pid}: user postgres, database {name}, open for 00:00:0")),
        "{object}"
    );
    assert!(object.contains("idle in transaction"), "{object}");
    assert_eq!(found(&mut db, "feed held back"), [], "not for over five minutes");
    let position = "SELECT count(*) FROM audit_log.feed";
    db.run("INSERT INTO job VALUES (2)");
    let all = db.one("SELECT count(*) FROM audit_log.entry");
    assert_ne!(db.one(position), all);
    db.run(fix);
    wait_for(
        &mut db.client,
        &format!("SELECT count(*) FROM audit_log.doctor_feed('0') WHERE object LIKE '%{name}%'"),
        "0",
    );
    elsewhere.client = connect(&name, "postgres");

    let gid = unique("it's");
    let prepare = format!("BEGIN; CREATE TABLE u (); PREPARE TRANSACTION '{}'", gid.replace('\'', "''"));
    db.run(&prepare);
    let [(object, fix)] = &holding(&mut db, &gid.replace('\'', "''"))[..] else { panic!("one gid") };
    assert!(
        object.starts_with(&format!("gid {gid}: user postgres, database {}, prepared 00:00:0", db.name)),
        "{object}"
    );
    db.run(fix);
    elsewhere.run(&prepare);
    let [(_, fix)] = &holding(&mut db, &gid.replace('\'', "''"))[..] else { panic!("one gid") };
    assert!(fix.ends_with(&format!(" -- connected to {name}")), "{fix}");
    elsewhere.run(fix);
    assert_eq!(holding(&mut db, &gid.replace('\'', "''")), []);

    db.run("BEGIN; INSERT INTO job VALUES (3)");
    let own = db.one("SELECT 'pid ' || pg_backend_pid() || ':'");
    let [(_, fix)] = &holding(&mut db, &own)[..] else { panic!("one") };
    db.run(fix);
    assert_eq!(holding(&mut db, &own), []);
}

#[test]
fn a_check_that_fails_does_not_keep_the_others_from_being_made() {
    let mut db = healthy();
    db.run("CREATE TABLE other (id int); ALTER TABLE audit_log.legal_hold RENAME placed_at TO placed");
    assert_eq!(
        all_found(&mut db),
        ["warning check failed audit_log.doctor_settings()", "info table not watched public.other"]
    );
    // Nor does somebody who has locked a watched table, or the log.
    db.run("ALTER TABLE audit_log.legal_hold RENAME placed TO placed_at");
    let mut other = db.session();
    run(&mut other, "BEGIN; LOCK TABLE job, other");
    assert_eq!(all_found(&mut db), ["info table not watched public.other"]);
    run(&mut other, "LOCK TABLE audit_log.event");
    let found = all_found(&mut db);
    assert!(
        found.iter().any(|f| f.starts_with("warning check failed"))
            && found.iter().any(|f| f.starts_with("info")),
        "{found:?}"
    );
}

#[test]
fn on_a_standby_it_leaves_the_worker_to_the_primary() {
    let primary = Cluster::start(&["wal_level=replica", "autovacuum=off"], None);
    let mut client = primary.connect("postgres");
    run(&mut client, "CREATE EXTENSION audit_log; CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job'); INSERT INTO job VALUES (1)");
    let standby = primary.copy(&["-R"]);
    standby.up();
    let mut reader = standby.connect("postgres");
    assert_eq!(one(&mut reader, "SELECT pg_is_in_recovery()"), "t");
    wait_for(&mut reader, "SELECT count(*) FROM audit_log.entry WHERE target_id = '1'", "1");
    assert_eq!(all(&mut reader, "SELECT finding FROM audit_log.doctor()"), Vec::<String>::new());
    assert_eq!(one(&mut client, "SELECT finding ~ '^worker not preloaded' FROM audit_log.doctor()"), "t");
    standby.stop();
    primary.stop();
}
