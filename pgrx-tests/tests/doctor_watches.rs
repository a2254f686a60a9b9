//! doctor(), of watched tables and those that are not: triggers, keys, columns.

use audit_log_tests::Db;

use crate::doctor::{all_found, cured, findings, found, healthy};

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
        ["\"in\".\"a 'b' \\c\"", "public.\"1st\"", "public.bare", "public.half", "public.visit"]
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
            "\"in\".\"a 'b' \\c\" a__b___c {id}",
            "bare bare {a,b}",
            "half half {id}",
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
    db.run(&changed.replace("CREATE OR REPLACE TRIGGER \"!audit_log\"", "CREATE TRIGGER late"));
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
