//! Watches in copies of a database, and in what is restored in part: columns are followed as in the original, and no
//! table gets another one's past.

use std::process::Stdio;

use audit_log_tests::{all, cluster, connect, one, run, unique, Cluster, Db};
use postgres::{Client, NoTls};

/// A table with a column dropped and an option on each other one.
const JOB: &str = r#"
    CREATE TABLE job (gone int, id int PRIMARY KEY, team text, title text, noise text, api_token text, state text, boss text);
    ALTER TABLE job DROP COLUMN gone;
    SELECT audit_log.watch('job', organization => 'team', target_name => 'title', redact => '{api_token}', ignore => '{noise}',
      parents => '{"user": "boss"}', categories => '[{"on": "update", "column": "state", "to": "shut", "category": "job_closed"}]');
    INSERT INTO job VALUES (1, 'acme', 'Cook', 'n', 's3cret', 'open', '7')"#;

/// Renames every column, and what the log says of a write afterwards.
#[track_caller]
fn renamed_and_written(client: &mut Client) {
    for column in ["id", "team", "title", "noise", "api_token", "state", "boss"] {
        run(client, &format!("ALTER TABLE job RENAME COLUMN {column} TO new_{column}"));
    }
    run(client, "UPDATE job SET new_api_token = 'n3w-s3cret', new_title = 'Chef', new_noise = 'rumour', new_state = 'shut'");
    assert_eq!(
        all(
            client,
            "SELECT concat_ws(' ', category, organization_id, target_id, target_name, targets #>> '{1,id}', changes) FROM audit_log.entry
             WHERE relation = 'public.job' ORDER BY occurred_at DESC LIMIT 1"
        ),
        [r#"job_closed acme 1 Chef 7 {"new_state": ["open", "shut"], "new_title": ["Cook", "Chef"], "new_api_token": ["[redacted]", "[redacted]"]}"#]
    );
    assert_eq!(
        one(client, "SELECT count(*) FROM audit_log.stored_event e WHERE e::text ~ 's3cret|rumour'"),
        "0"
    );
    assert_eq!(one(client, "SELECT audit_log.row_at('job', '1', clock_timestamp()) ->> 'new_title'"), "Chef");
    assert_eq!(one(client, "SELECT count(*) FROM audit_log.history('job', '1')"), "2");
}

#[test]
fn columns_are_followed_where_the_watch_was_made() {
    let mut db = Db::new();
    db.run(JOB);
    renamed_and_written(&mut db.client);
}

#[test]
fn columns_are_followed_in_a_copy_by_template() {
    for strategy in ["wal_log", "file_copy"] {
        let mut db = Db::new();
        db.run(JOB);
        let copy = unique("copy");
        let mut admin = connect("postgres", "postgres");
        run(
            &mut admin,
            &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", db.name),
        );
        audit_log_tests::wait_for(
            &mut admin,
            &format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", db.name),
            "0",
        );
        run(&mut admin, &format!("CREATE DATABASE {copy} TEMPLATE {} STRATEGY {strategy}", db.name));
        renamed_and_written(&mut connect(&copy, "postgres"));
        run(&mut admin, &format!("DROP DATABASE {copy} WITH (FORCE)"));
    }
}

#[test]
fn columns_are_followed_after_a_dump_that_closes_gaps_in_their_numbers() {
    let mut db = Db::new();
    db.run(JOB);
    let copy = unique("copy");
    run(&mut connect("postgres", "postgres"), &format!("CREATE DATABASE {copy}"));
    crate::dump::restore(&db.name, cluster(), &copy);
    let mut client = connect(&copy, "postgres");
    let first =
        one(&mut client, "SELECT attname FROM pg_attribute WHERE attrelid = 'job'::regclass AND attnum = 1");
    assert_eq!(first, "id", "the premise: numbers differ");
    renamed_and_written(&mut client);
    run(&mut connect("postgres", "postgres"), &format!("DROP DATABASE {copy} WITH (FORCE)"));
}

#[test]
fn columns_are_followed_after_pg_upgrade() {
    let old = Cluster::start(&[], None);
    run(&mut old.connect("postgres"), "CREATE DATABASE app");
    run(&mut old.connect("app"), "CREATE EXTENSION audit_log");
    run(&mut old.connect("app"), JOB);
    let before = all(
        &mut old.connect("app"),
        "SELECT id || coalesce(after::text, '') FROM audit_log.entry ORDER BY occurred_at, id",
    );
    let system = one(&mut old.connect("app"), "SELECT system_identifier FROM pg_control_system()");
    old.down("fast");
    let new = old.upgrade();
    let mut client = new.config("app").connect(NoTls).expect("connects");
    assert_ne!(one(&mut client, "SELECT system_identifier FROM pg_control_system()"), system, "the premise");
    assert_eq!(
        all(
            &mut client,
            "SELECT id || coalesce(after::text, '') FROM audit_log.entry ORDER BY occurred_at, id"
        ),
        before
    );
    renamed_and_written(&mut client);
    drop(client);
    new.stop();
}

/// Dumps with options, and restores into a database by pg_restore with options.
fn restore(from: &str, dump: &[&str], into: &str, options: &[&str]) {
    let file = std::env::temp_dir().join(format!("audit_log_{into}"));
    let dumped = cluster()
        .program("pg_dump")
        .args(["-Fd", "-f"])
        .arg(&file)
        .args(dump)
        .args(["-d", from])
        .output()
        .expect("pg_dump runs");
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    let mut command = cluster().program("pg_restore");
    command.args(options).args(["-d", into]).arg(&file).stdout(Stdio::null());
    let restored = command.output().expect("pg_restore runs");
    std::fs::remove_dir_all(&file).expect("the dump was there");
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
}

/// Two tables whose first rows have the same key, and what each one's history says.
const TWO: &str = "
    CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text);
    SELECT audit_log.watch('b'), audit_log.watch('a'); INSERT INTO b VALUES (1, 'of b'); INSERT INTO a VALUES (1, 'of a')";

#[track_caller]
fn have_their_own_pasts(client: &mut Client, expected: [&str; 2]) {
    for (table, expected) in ["a", "b"].into_iter().zip(expected) {
        let past = format!("SELECT coalesce(string_agg(coalesce(after ->> 'v', operation), ',' ORDER BY occurred_at), '') FROM audit_log.history('{table}', '1')");
        assert_eq!(one(client, &past), expected, "{table}");
    }
}

#[test]
fn restored_in_part_no_table_has_anothers_past() {
    let mut db = Db::new();
    db.run(TWO);
    have_their_own_pasts(&mut db.client, ["of a", "of b"]);
    let log = ["--exclude-table-data=audit_log.*"];
    for (dump, options, expected) in [
        (&[][..], &["-j4"][..], ["of a", "of b"]),
        (&[], &[], ["of a", "of b"]),
        (&log, &["-j4"], ["", ""]),
        (&["-s"], &[], ["", ""]),
    ] {
        let copy = unique("copy");
        run(&mut connect("postgres", "postgres"), &format!("CREATE DATABASE {copy}"));
        restore(&db.name, dump, &copy, options);
        let mut client = connect(&copy, "postgres");
        have_their_own_pasts(&mut client, expected);
        run(&mut client, "INSERT INTO a VALUES (1, 'new a') ON CONFLICT (id) DO UPDATE SET v = 'new a'; ALTER TABLE b RENAME TO c; ALTER TABLE a RENAME TO b; ALTER TABLE c RENAME TO a");
        run(&mut client, "INSERT INTO a VALUES (1, 'new b') ON CONFLICT (id) DO UPDATE SET v = 'new b'");
        let with =
            |past: &str, new: &str| if past.is_empty() { new.to_string() } else { format!("{past},{new}") };
        // They have exchanged their names.
        have_their_own_pasts(&mut client, [&with(expected[1], "new b"), &with(expected[0], "new a")]);
        run(&mut connect("postgres", "postgres"), &format!("DROP DATABASE {copy} WITH (FORCE)"));
    }
}

#[test]
fn a_schema_restored_beside_a_log_of_its_own_has_no_past_there() {
    let mut db = Db::new();
    db.run(TWO);
    let mut other = Db::new();
    other.run("CREATE SCHEMA hr; CREATE TABLE hr.person (id int PRIMARY KEY, v text); CREATE TABLE hr.pet (id int PRIMARY KEY, v text);
               SELECT audit_log.watch('hr.person'), audit_log.watch('hr.pet'); INSERT INTO hr.person VALUES (1, 'Ann'); INSERT INTO hr.pet VALUES (1, 'Rex')");
    other.run("DROP SCHEMA public");
    restore(&db.name, &["-n", "public"], &other.name, &[]);
    have_their_own_pasts(&mut other.client, ["", ""]);
    other.run("UPDATE a SET v = 'new a'; UPDATE hr.person SET v = 'Anna'");
    have_their_own_pasts(&mut other.client, ["new a", ""]);
    let past =
        "SELECT string_agg(after ->> 'v', ',' ORDER BY occurred_at) FROM audit_log.history('hr.person', '1')";
    assert_eq!(other.one(past), "Ann,Anna");
    assert_eq!(other.one(&past.replace("person", "pet")), "Rex");
    assert_eq!(
        other.all("SELECT relation FROM audit_log.watched ORDER BY relation::text"),
        ["a", "b", "hr.person", "hr.pet"]
    );
}

#[test]
fn two_databases_with_the_same_watches_have_the_same_schema_dump() {
    let schema = |db: &Db| {
        let dumped = cluster()
            .program("pg_dump")
            .args(["-s", "-n", "public", "-d", &db.name])
            .output()
            .expect("pg_dump runs");
        let text = String::from_utf8_lossy(&dumped.stdout).into_owned();
        // Newer versions guard a script by a random word.
        text.lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let (mut first, mut second) = (Db::new(), Db::new());
    second.run(
        "CREATE TABLE another (id int PRIMARY KEY); SELECT audit_log.watch('another'); DROP TABLE another",
    );
    first.run(TWO);
    second.run(TWO);
    assert_eq!(schema(&first), schema(&second));
    assert!(schema(&first).contains("!audit_log"), "the premise: watches are in it");
}
