//! doctor(): each finding is provoked, and gone when what it says to do is done. The log's own tables: doctor_partitions.rs.

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
    let [finding] = before.as_slice() else { panic!("{phrase}: {before:#?}") };
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
fn tables_that_are_not_watched() {
    let mut db = Db::new();
    db.run(
        "CREATE SCHEMA \"in\"; CREATE TABLE \"in\".\"a 'b' \\c\" (id int PRIMARY KEY, x int);
         CREATE TABLE \"1st\" (k int NOT NULL, l int NOT NULL, m int UNIQUE, UNIQUE (k, l));
         CREATE TABLE visit (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE visit_1 PARTITION OF visit DEFAULT;
         CREATE TABLE half (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE half_1 PARTITION OF half DEFAULT;
         CREATE TEMP TABLE brief (id int); CREATE VIEW seen AS SELECT 1; CREATE MATERIALIZED VIEW kept AS SELECT 1;
         CREATE TABLE member (id int); ALTER EXTENSION plpgsql ADD TABLE member;
         CREATE TABLE bare (a int, b int)",
    );
    // Nobody watches anything: so be it.
    assert_eq!(found(&mut db, "table not watched"), []);
    db.run("SELECT audit_log.watch('half_1')");
    let before = found(&mut db, "table not watched");
    let objects: Vec<&str> = before.iter().map(|f| f.object.as_str()).collect();
    assert_eq!(
        objects,
        ["public.half", "\"in\".\"a 'b' \\c\"", "public.\"1st\"", "public.bare", "public.visit"]
    );
    for finding in before.iter().filter(|f| f.object != "public.bare") {
        db.run(&finding.fix);
    }
    let [bare] = &found(&mut db, "table not watched")[..] else { panic!("only one is left") };
    assert_eq!(
        bare.fix,
        "SELECT audit_log.watch('public.bare', target_id => '{…}') -- name the columns that identify a row"
    );
    assert_eq!(bare.severity, "info");
    db.run(&bare.fix.replace('…', "a,b"));
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    assert_eq!(
        db.all("SELECT concat_ws(' ', relation, target_type, target_id) FROM audit_log.watched ORDER BY 1"),
        [
            "\"1st\" t_1st {k,l}",
            "bare bare {a,b}",
            "half half {id}",
            "\"in\".\"a 'b' \\c\" a__b___c {id}",
            "visit visit {id}"
        ]
    );
    db.run("ALTER EXTENSION plpgsql DROP TABLE member");
}

#[test]
fn capture_triggers_that_do_not_fire() {
    let mut db = healthy();
    for (state, severity, phrase) in [
        ("DISABLE", "error", "capture trigger disabled"),
        ("ENABLE REPLICA", "error", "capture trigger disabled"),
        ("ENABLE", "warning", "capture trigger not always"),
    ] {
        for trigger in ["!audit_log", "!audit_log_truncate"] {
            db.run(&format!("ALTER TABLE job {state} TRIGGER \"{trigger}\""));
            assert!(cured(&mut db, severity, phrase, "public.job").words.contains(trigger));
            // watch() again does as well.
            db.run(&format!("ALTER TABLE job {state} TRIGGER \"{trigger}\"; SELECT audit_log.watch('job')"));
            assert_eq!(all_found(&mut db), Vec::<String>::new());
        }
    }
    db.run("SET session_replication_role = replica; TRUNCATE job; INSERT INTO job VALUES (2)");
    assert_eq!(db.events().last().map(String::as_str), Some("insert job_created 2"));
}

#[test]
fn capture_triggers_of_partitions_that_do_not_fire() {
    let mut db = healthy();
    db.run(
        "CREATE TABLE visit (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM (1) TO (10) PARTITION BY RANGE (id);
         CREATE TABLE visit_2 PARTITION OF visit_1 DEFAULT; CREATE TABLE visit_3 PARTITION OF visit DEFAULT;
         SELECT audit_log.watch('visit')",
    );
    for (table, trigger) in [
        ("visit", "!audit_log_moved"),
        ("visit_1", "!audit_log_moved"),
        ("visit_1", "!audit_log_truncating"),
        ("visit_2", "!audit_log"),
        ("visit_2", "!audit_log_truncate"),
    ] {
        let disable = format!("ALTER TABLE ONLY {table} DISABLE TRIGGER \"{trigger}\"");
        db.run(&disable);
        cured(&mut db, "error", "capture trigger disabled", &format!("public.{table}"));
        db.run(&disable);
        db.run("SELECT audit_log.watch('visit')");
        assert_eq!(all_found(&mut db), Vec::<String>::new(), "{table} {trigger}");
    }
    // Of a whole tree its root tells.
    db.run("ALTER TABLE visit DISABLE TRIGGER \"!audit_log\"");
    cured(&mut db, "error", "capture trigger disabled", "public.visit");
    assert_eq!(
        db.one("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '!audit%' AND tgenabled <> 'A'"),
        "0"
    );
}

#[test]
fn capture_triggers_that_are_missing() {
    let mut db = healthy();
    db.run(
        "CREATE TABLE visit (id int PRIMARY KEY, l text, org text, s text, n text) PARTITION BY RANGE (id); CREATE TABLE visit_1 PARTITION OF visit DEFAULT;
         SELECT audit_log.watch('visit', target_type => 'call', target_name => 'l', organization => 'org', redact => '{s}', ignore => '{n}', capture => 'full',
           parents => '{\"job\": \"id\"}', categories => '[{\"on\": \"update\", \"column\": \"l\", \"to\": \"x''\\\\\", \"category\": \"job_closed\"}, {\"on\": \"delete\", \"category\": \"job_deleted\"}]');
         DROP TRIGGER \"!audit_log_truncate\" ON job",
    );
    cured(&mut db, "error", "capture trigger missing", "public.job");
    let options = "SELECT string_agg(w::text, ';' ORDER BY relation) FROM audit_log.watched w";
    let before = db.one(options);
    db.run("DROP TRIGGER \"!audit_log_truncating\" ON visit_1; DROP TRIGGER \"!audit_log_moved\" ON visit");
    assert!(cured(&mut db, "error", "capture trigger missing", "public.visit").words.contains("and 1 more"));
    assert_eq!(db.one(options), before);
    // What came while DDL was not followed.
    db.run("ALTER EVENT TRIGGER audit_log_follow_ddl DISABLE; CREATE TABLE visit_2 PARTITION OF visit FOR VALUES FROM (1) TO (2)");
    cured(&mut db, "error", "event trigger disabled", "audit_log_follow_ddl");
    cured(&mut db, "error", "capture trigger missing", "public.visit");
    assert_eq!(db.one(options), before);
    assert_eq!(all_found(&mut db), Vec::<String>::new());
}

#[test]
fn capture_triggers_that_somebody_changed() {
    let mut db = healthy();
    let options = "encode(substr(tgargs, 1, length(tgargs) - 1), 'escape')";
    let changed = format!(
        "DO $$ BEGIN EXECUTE (SELECT format('CREATE OR REPLACE TRIGGER \"!audit_log\" AFTER INSERT ON job FOR EACH ROW WHEN (NEW.id > 5) EXECUTE FUNCTION audit_log.capture(%L)', {options})
         FROM pg_trigger WHERE tgname = '!audit_log'); END $$; ALTER TABLE job ENABLE ALWAYS TRIGGER \"!audit_log\""
    );
    db.run(&changed);
    cured(&mut db, "error", "capture trigger altered", "public.job");
    db.run("ALTER TRIGGER \"!audit_log\" ON job RENAME TO late");
    cured(&mut db, "error", "capture trigger renamed", "public.job");
    db.run("ALTER TRIGGER \"!audit_log\" ON job RENAME TO late; SELECT audit_log.watch('job')");
    cured(&mut db, "error", "capture trigger renamed", "public.job");
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    // One that nobody can read does not keep the others from being looked at.
    db.run("CREATE TABLE other (id int PRIMARY KEY); SELECT audit_log.watch('other'); ALTER TABLE other DISABLE TRIGGER \"!audit_log\"");
    for odd in ["{", "[]", "{\"target_id\": 1}", "{}"] {
        db.run(&format!("UPDATE pg_trigger SET tgargs = '{odd}\\000'::bytea WHERE tgrelid = 'job'::regclass AND tgname = '!audit_log'"));
        let found: Vec<String> = findings(&mut db.client)
            .into_iter()
            .filter(|f| f.severity == "error")
            .map(|f| f.phrase + " " + &f.object)
            .collect();
        assert_eq!(
            found,
            ["capture trigger disabled public.other", "capture trigger unreadable public.job"],
            "{odd}"
        );
    }
    cured(&mut db, "error", "capture trigger unreadable", "public.job");
    assert_eq!(found(&mut db, "table not watched").len(), 1);
}

#[test]
fn a_key_that_is_gone() {
    let mut db = healthy();
    // Another unique index over the same columns is as good a key.
    db.run("ALTER TABLE job ADD UNIQUE (id); ALTER TABLE job DROP CONSTRAINT job_pkey");
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    db.run("ALTER TABLE job DROP CONSTRAINT job_id_key");
    cured(&mut db, "error", "key gone", "public.job");
    assert_eq!(db.one("SELECT audit_log.primary_key('job')"), "{id}");
    // Another primary key takes its place when the table is watched again.
    db.run("UPDATE job SET org = 'o', status = 's'; ALTER TABLE job DROP CONSTRAINT job_pkey; ALTER TABLE job ADD PRIMARY KEY (org, status)");
    cured(&mut db, "error", "key gone", "public.job");
    assert_eq!(db.one("SELECT target_id FROM audit_log.watched"), "{org,status}");
    // Columns that were dropped, the one of the key and one of many.
    db.run("SELECT audit_log.watch('job', target_id => '{title,team_id}', redact => '{secret}'); ALTER TABLE job DROP title, DROP team_id");
    let finding = cured(&mut db, "error", "key gone", "public.job");
    assert!(finding.fix.contains("redact => '{secret}'"), "{finding:?}");
    assert_eq!(db.one("SELECT target_id FROM audit_log.watched"), "{org,status}");
    db.run("ALTER TABLE job DROP org");
    let [finding] = &found(&mut db, "key gone")[..] else { panic!("one") };
    assert_eq!(finding.fix, "ALTER TABLE public.job ADD PRIMARY KEY (status)");
    db.run("ALTER TABLE job DROP status");
    let [finding] = &found(&mut db, "key gone")[..] else { panic!("one") };
    assert!(
        finding.fix.starts_with(
            "SELECT audit_log.watch('public.job', target_type => 'job', target_id => '{…}', redact"
        ),
        "{finding:?}"
    );
    db.run(&finding.fix.replace('…', "id"));
    assert_eq!(all_found(&mut db), Vec::<String>::new());
}

#[test]
fn a_key_that_was_never_the_tables_is_nobodys_concern() {
    let mut db = healthy();
    db.run("CREATE TABLE other (a int, b int); SELECT audit_log.watch('other', target_id => '{a}')");
    db.run(
        "SELECT audit_log.watch('job', target_id => '{org,title}'); ALTER TABLE job DROP CONSTRAINT job_pkey",
    );
    assert_eq!(all_found(&mut db), Vec::<String>::new());
}

#[test]
fn options_that_name_columns_which_are_gone() {
    let mut db = healthy();
    db.run(
        "SELECT audit_log.watch('job', target_name => 'title', organization => 'org', redact => '{secret}', ignore => '{status}', parents => '{\"team\": \"team_id\"}',
           categories => '[{\"on\": \"update\", \"column\": \"status\", \"category\": \"job_closed\"}, {\"on\": \"insert\", \"category\": \"job_opened\"}]')",
    );
    // By DDL that is followed only the redacted name stays.
    db.run("BEGIN; ALTER TABLE job DROP title, DROP org, DROP secret, DROP status, DROP team_id");
    cured(&mut db, "info", "redacted column gone", "public.job");
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    db.run("ROLLBACK; ALTER EVENT TRIGGER audit_log_follow_ddl DISABLE");
    db.run("ALTER TABLE job RENAME team_id TO squad_id; ALTER TABLE job DROP title, DROP org, DROP secret, DROP status");
    db.run("ALTER EVENT TRIGGER audit_log_follow_ddl ENABLE ALWAYS");
    let warned: Vec<String> = found(&mut db, "column gone").into_iter().map(|f| f.words).collect();
    let names = [
        "\"org\", which its watch names in organization,",
        "\"status\", which its watch names in categories, ignore,",
        "\"title\", which its watch names in target_name,",
    ];
    assert_eq!(warned, names.map(|n| format!("column gone: {n} was dropped")));
    let fix = found(&mut db, "column gone")[0].fix.clone();
    assert_eq!(fix, "SELECT audit_log.watch('public.job', target_type => 'job', parents => '{\"team\": \"squad_id\"}', categories => '[{\"on\": \"insert\", \"category\": \"job_opened\"}]')");
    db.run(&fix);
    assert_eq!(all_found(&mut db), Vec::<String>::new());
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
    assert_eq!(found(&mut db, "task late").len(), 5);
    db.run("SELECT audit_log.run_retention()");
    assert_eq!(all_found(&mut db), Vec::<String>::new());
    assert_eq!(age(&mut db, "2 hours 50 minutes"), "");
    assert_eq!(age(&mut db, "3 hours 10 minutes"), "clear drop move partitions tidy");
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
    wait_for(&mut reader, "SELECT count(*) FROM audit_log.entry", "2");
    assert_eq!(all(&mut reader, "SELECT finding FROM audit_log.doctor()"), Vec::<String>::new());
    assert_eq!(one(&mut client, "SELECT finding ~ '^worker not preloaded' FROM audit_log.doctor()"), "t");
    standby.stop();
    primary.stop();
}
