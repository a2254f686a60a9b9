//! Capture in every kind of session: whoever writes, under whatever settings, however it ends.

use std::sync::{Arc, Mutex};

use audit_log_tests::{cluster, fails, json, one, query, run, unique, Db};
use postgres::{Client, NoTls};

fn watched_job() -> Db {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE job (id int PRIMARY KEY, title text, org text);
         SELECT audit_log.watch('job', organization => 'org');
         GRANT ALL ON job TO PUBLIC",
    );
    db
}

/// Creates roles of these prefixes; they go with `drop_roles`, and their names are returned.
fn roles<const N: usize>(db: &mut Db, prefixes: [&str; N]) -> [String; N] {
    let names = prefixes.map(unique);
    for name in &names {
        db.run(&format!("CREATE ROLE {name} LOGIN"));
    }
    names
}

fn drop_roles(db: &mut Db, roles: &[&String]) {
    for role in roles {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename";
        db.run(&format!("{end} = '{role}'; DROP OWNED BY {role}; DROP ROLE {role}"));
    }
}

/// What the roles named read as in the newest entries, oldest first.
fn users(db: &mut Db) -> Vec<String> {
    db.all("SELECT database_user FROM audit_log.entry WHERE operation IS NOT NULL ORDER BY occurred_at, id")
}

fn count(db: &mut Db) -> String {
    db.one("SELECT count(*) FROM audit_log.entry WHERE operation IS NOT NULL")
}

/// A session, and what the server told it besides results.
pub fn session_with_notices(db: &Db, user: &str) -> (Client, Arc<Mutex<Vec<String>>>) {
    let notices = Arc::new(Mutex::new(Vec::new()));
    let seen = notices.clone();
    let mut config = cluster().config(&db.name);
    config.user(user).notice_callback(move |n| seen.lock().unwrap().push(n.to_string()));
    (config.connect(NoTls).expect("connects"), notices)
}

#[test]
fn a_writer_needs_no_privilege_on_the_log_nor_sees_it() {
    let mut db = watched_job();
    db.run("CREATE SCHEMA hidden; CREATE TABLE hidden.note (id int PRIMARY KEY); SELECT audit_log.watch('hidden.note')");
    db.run("CREATE VIEW job_note AS SELECT * FROM hidden.note");
    let [ann] = roles(&mut db, ["ann"]);
    db.run(&format!(
        "GRANT INSERT ON job_note TO {ann};
         REVOKE ALL ON SCHEMA audit_log FROM PUBLIC;
         REVOKE ALL ON ALL FUNCTIONS IN SCHEMA audit_log FROM PUBLIC;
         REVOKE ALL ON ALL TABLES IN SCHEMA audit_log FROM PUBLIC"
    ));
    let (mut writer, notices) = session_with_notices(&db, &ann);
    assert_eq!(one(&mut writer, "SELECT has_schema_privilege('audit_log', 'USAGE')"), "f");
    run(&mut writer, "INSERT INTO job VALUES (1, 'Cook', 'new'); UPDATE job SET title = 'Chef'; DELETE FROM job; TRUNCATE job");
    run(&mut writer, "INSERT INTO job_note VALUES (7)");
    assert_eq!(fails(&mut writer, "SELECT * FROM hidden.note").sqlstate, "42501");
    assert_eq!(
        db.events(),
        [
            "insert job_created 1",
            "update job_updated 1",
            "delete job_deleted 1",
            "truncate job_truncated -",
            "insert note_created 7"
        ]
    );
    assert_eq!(users(&mut db), vec![ann.clone(); 5]);
    assert_eq!(*notices.lock().unwrap(), Vec::<String>::new());
    drop_roles(&mut db, &[&ann]);
}

#[test]
fn the_login_and_the_role_in_force_are_recorded() {
    let mut db = watched_job();
    let [ann, staff, owner] = roles(&mut db, ["ann", "staff", "owner"]);
    db.run(&format!("GRANT {staff} TO {ann}; GRANT CREATE ON SCHEMA public TO {owner}"));
    db.run(&format!(
        "SET ROLE {owner};
         CREATE FUNCTION hire(i int) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO job VALUES (i, current_user)';
         RESET ROLE"
    ));
    let mut session = db.session_as(&ann);
    run(&mut session, &format!("INSERT INTO job VALUES (1); SET ROLE {staff}; INSERT INTO job VALUES (2)"));
    run(&mut session, "SELECT hire(3); RESET ROLE; SELECT hire(4)");
    db.run(&format!("SET ROLE {staff}; INSERT INTO job VALUES (5); RESET ROLE"));
    db.run(&format!("SET SESSION AUTHORIZATION {ann}; INSERT INTO job VALUES (6); SET ROLE {staff}; INSERT INTO job VALUES (7)"));
    db.run("RESET SESSION AUTHORIZATION");
    let both = format!("{ann}/{staff}");
    assert_eq!(users(&mut db), [&*ann, &both, &both, &ann, &format!("postgres/{staff}"), &ann, &both]);
    // The function did run as its owner.
    assert_eq!(db.one("SELECT title FROM job WHERE id = 3"), owner);
    drop_roles(&mut db, &[&ann, &staff, &owner]);
}

#[test]
fn a_hostile_search_path_catches_nothing() {
    let mut db = watched_job();
    let [eve] = roles(&mut db, ["eve"]);
    db.run(&format!("CREATE SCHEMA trap AUTHORIZATION {eve}; CREATE TABLE sale (id int, org text, PRIMARY KEY (id, org)) PARTITION BY LIST (org)"));
    db.run("CREATE TABLE sale_a PARTITION OF sale FOR VALUES IN ('a'); CREATE TABLE sale_b PARTITION OF sale FOR VALUES IN ('b')");
    db.run("SELECT audit_log.watch('sale', organization => 'org', parents => '{\"shop\": \"org\"}'); GRANT ALL ON sale, sale_a TO PUBLIC");
    let mut session = db.session_as(&eve);
    // Every function, operator, type and table of pg_catalog that can be shadowed, each raising.
    run(
        &mut session,
        r#"SET client_min_messages = error;
        DO $do$ DECLARE o record; BEGIN
          FOR o IN SELECT proname, proargtypes, prorettype, oid, proretset, provariadic, pronargs FROM pg_proc
                   WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND provariadic = 0 LOOP
            BEGIN
              EXECUTE format('CREATE FUNCTION trap.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', o.proname,
                (SELECT string_agg(format_type(t, NULL), ', ' ORDER BY n) FROM unnest(o.proargtypes) WITH ORDINALITY u(t, n)),
                CASE WHEN o.proretset THEN 'SETOF ' ELSE '' END || format_type(o.prorettype, NULL),
                format('BEGIN RAISE EXCEPTION %L; END', 'caught by ' || o.oid::regprocedure));
            EXCEPTION WHEN OTHERS THEN NULL; END;
          END LOOP;
          FOR o IN SELECT oprname, oprleft, oprright, oprresult, oid FROM pg_operator WHERE oprkind = 'b' LOOP
            BEGIN
              EXECUTE format('CREATE FUNCTION trap.op_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', o.oid,
                o.oprleft::regtype, o.oprright::regtype, o.oprresult::regtype,
                format('BEGIN RAISE EXCEPTION %L; END', 'caught by ' || o.oid::regoperator));
              EXECUTE format('CREATE OPERATOR trap.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap.op_%s)',
                o.oprname, o.oprleft::regtype, o.oprright::regtype, o.oid);
            EXCEPTION WHEN OTHERS THEN NULL; END;
          END LOOP;
          FOR o IN SELECT relname FROM pg_class WHERE relnamespace IN ('pg_catalog'::regnamespace, 'audit_log'::regnamespace) AND relkind IN ('r', 'v', 'p') LOOP
            EXECUTE format('CREATE TABLE trap.%I ()', o.relname);
            EXECUTE format('CREATE TEMP TABLE %I ()', o.relname);
          END LOOP;
        END $do$;
        CREATE DOMAIN trap.inet AS text CHECK (false); CREATE DOMAIN pg_temp.inet AS text CHECK (false);
        CREATE DOMAIN trap.regclass AS text CHECK (false); CREATE DOMAIN pg_temp.regclass AS text CHECK (false);
        CREATE DOMAIN trap.oid AS int CHECK (false); CREATE DOMAIN pg_temp.oid AS int CHECK (false);
        CREATE DOMAIN trap.jsonb AS text CHECK (false); CREATE DOMAIN pg_temp.jsonb AS text CHECK (false)"#,
    );
    let mut writer = db.session_as(&eve);
    let writes = |n: i32| {
        format!(
            "SET search_path = trap, pg_catalog, public;
             SET LOCAL audit_log.context = '{{\"organization\": \"new {n}\", \"access_route\": [\"10.0.0.1\"]}}';
             INSERT INTO public.job VALUES ({n}, 'Cook'); UPDATE public.job SET title = 'Chef', id = -id; DELETE FROM public.job;
             INSERT INTO public.sale VALUES ({n}, 'a'); UPDATE public.sale SET org = 'b'; TRUNCATE public.sale, public.job; TRUNCATE public.sale_a"
        )
    };
    // Caught where it looks: the trap works.
    let caught = fails(&mut session, "SET search_path = trap, pg_catalog; SELECT 1 + 1");
    caught.says("caught by");
    assert_eq!(db.one("SELECT count(*) > 2000 FROM pg_proc WHERE pronamespace = 'trap'::regnamespace"), "t");
    run(&mut session, &writes(1));
    // A session whose plans were made before the path was set.
    run(&mut writer, "INSERT INTO job VALUES (0); DELETE FROM job");
    run(&mut writer, &writes(2));
    assert_eq!(count(&mut db), "18");
    run(&mut db.client, "DROP SCHEMA trap CASCADE");
    drop(session);
    drop_roles(&mut db, &[&eve]);
}

#[test]
fn replica_role_and_odd_settings_still_capture() {
    let mut db = watched_job();
    db.run("SET session_replication_role = replica; INSERT INTO job VALUES (1); TRUNCATE job; RESET session_replication_role");
    let parallel = match db.one("SELECT current_setting('server_version_num')::int >= 160000").as_str() {
        "t" => "debug_parallel_query",
        _ => "force_parallel_mode",
    };
    let settings = "row_security = off; standard_conforming_strings = off; transform_null_equals = on; parallel = on;
        default_transaction_isolation = serializable; default_transaction_isolation = 'repeatable read'; search_path = '';
        plan_cache_mode = force_generic_plan; default_transaction_deferrable = on; client_min_messages = debug5";
    let settings = settings.replace("parallel", parallel);
    for (i, setting) in settings.split(';').enumerate() {
        let mut session = db.session();
        run(&mut session, &format!("SET {setting}; INSERT INTO public.job VALUES ({}, E'\\\\ \\'')", i + 2));
    }
    assert_eq!(count(&mut db), "12");
}

#[test]
fn names_do_not_vary_with_quoting() {
    let mut db = watched_job();
    db.run("SET quote_all_identifiers = on; CREATE TABLE note (id int PRIMARY KEY); SELECT audit_log.watch('note'); INSERT INTO note VALUES (1)");
    db.run("RESET quote_all_identifiers; ALTER TABLE note ADD x int; SELECT audit_log.watch('note'); INSERT INTO note VALUES (2)");
    let names = db.all("SELECT DISTINCT relation FROM audit_log.entry WHERE operation IS NOT NULL");
    assert_eq!(names, ["public.note"]);
}

#[test]
fn row_level_security_neither_hides_nor_blocks() {
    let mut db = watched_job();
    let [ann] = roles(&mut db, ["ann"]);
    db.run(&format!(
        "ALTER TABLE job OWNER TO {ann}; ALTER TABLE job ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         CREATE POLICY p ON job USING (title = 'mine') WITH CHECK (title = 'mine')"
    ));
    db.run("INSERT INTO job VALUES (1, 'theirs')");
    let mut session = db.session_as(&ann);
    run(&mut session, "INSERT INTO job VALUES (2, 'mine'); UPDATE job SET org = 'x'; DELETE FROM job");
    assert_eq!(fails(&mut session, "INSERT INTO job VALUES (3, 'theirs')").sqlstate, "42501");
    assert_eq!(
        db.events(),
        ["insert job_created 1", "insert job_created 2", "update job_updated 2", "delete job_deleted 2"]
    );
    drop_roles(&mut db, &[&ann]);
}

#[test]
fn application_name_is_the_one_at_the_write() {
    let mut db = watched_job();
    db.run("SET application_name = 'payroll'; INSERT INTO job VALUES (1); SET application_name = ''; INSERT INTO job VALUES (2)");
    let names =
        "SELECT application_name FROM audit_log.entry WHERE operation IS NOT NULL ORDER BY occurred_at, id";
    assert_eq!(db.all(names), ["payroll", "∅"]);
}

#[test]
fn two_phase_commit_keeps_or_drops_the_entries() {
    let mut db = watched_job();
    let [kept, dropped] = ["kept", "dropped"].map(unique);
    db.run(&format!("BEGIN; INSERT INTO job VALUES (1, 'a', 'org k'); UPDATE job SET title = 'b'; PREPARE TRANSACTION '{kept}'"));
    db.run(&format!("BEGIN; INSERT INTO job VALUES (2, 'a', 'org d'); PREPARE TRANSACTION '{dropped}'"));
    assert_eq!(count(&mut db), "0");
    let mut other = db.session();
    run(&mut other, &format!("COMMIT PREPARED '{kept}'"));
    run(&mut other, &format!("ROLLBACK PREPARED '{dropped}'"));
    assert_eq!(db.events(), ["insert job_created 1", "update job_updated 1"]);
    // The session that had seen the organization first knows that this came to nothing.
    db.run("INSERT INTO job VALUES (3, 'a', 'org d')");
    let known = "SELECT id FROM audit_log.organization WHERE enabled ORDER BY id";
    assert_eq!(db.all(known), ["default", "org d", "org k"]);
}

#[test]
fn an_organization_first_seen_in_vain_is_seen_again() {
    let mut db = watched_job();
    let known = "SELECT string_agg(id, ' ' ORDER BY id) FROM audit_log.organization WHERE enabled AND id <> 'default'";
    db.run("BEGIN; INSERT INTO job VALUES (1, 'a', 'one'); ROLLBACK");
    assert_eq!(db.one(known), "∅");
    db.run("INSERT INTO job VALUES (1, 'a', 'one')");
    assert_eq!(db.one(known), "one");
    db.run("BEGIN; SAVEPOINT s; INSERT INTO job VALUES (2, 'a', 'two'); ROLLBACK TO s; INSERT INTO job VALUES (2, 'a', 'two'); COMMIT");
    assert_eq!(db.one(known), "one two");
    db.run("DO $$ BEGIN INSERT INTO job VALUES (3, 'a', 'three'); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END $$");
    db.run("INSERT INTO job VALUES (3, 'a', 'three')");
    assert_eq!(db.one(known), "one three two");
    db.fails("INSERT INTO job VALUES (4, 'a', 'four'), (4, 'a', 'four')");
    db.run("INSERT INTO job VALUES (4, 'a', 'four')");
    assert_eq!(db.one(known), "four one three two");
}

#[test]
fn deferred_work_is_recorded_at_commit_or_not_at_all() {
    let mut db = watched_job();
    db.run(
        "ALTER TABLE job ADD UNIQUE (title) DEFERRABLE INITIALLY DEFERRED;
         CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE job SET org = 'late' WHERE id = NEW.id; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER later AFTER INSERT ON job DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION later()",
    );
    let failure = db.fails("BEGIN; INSERT INTO job VALUES (1, 'a'), (2, 'a'); COMMIT");
    assert_eq!(failure.sqlstate, "23505");
    assert_eq!(count(&mut db), "0");
    db.run(
        "BEGIN; INSERT INTO job VALUES (1, 'a'), (2, 'a'); UPDATE job SET title = 'b' WHERE id = 2; COMMIT",
    );
    let mut events = db.events();
    events[3..].sort();
    assert_eq!(
        events,
        [
            "insert job_created 1",
            "insert job_created 2",
            "update job_updated 2",
            "update job_updated 1",
            "update job_updated 2"
        ]
    );
}

#[test]
fn what_fails_leaves_nothing_and_what_is_caught_leaves_the_rest() {
    let mut db = watched_job();
    db.fails("INSERT INTO job SELECT i, (10 / (5 - i))::text FROM generate_series(1, 9) i");
    db.run(
        "CREATE FUNCTION hire(i int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO job VALUES (i, 'before');
           BEGIN
             INSERT INTO job VALUES (i + 1, 'lost');
             UPDATE job SET title = 'lost';
             PERFORM 1 / 0;
           EXCEPTION WHEN division_by_zero THEN NULL; END;
           INSERT INTO job VALUES (i + 2, 'after');
         END $$;
         SELECT hire(1)",
    );
    assert_eq!(db.events(), ["insert job_created 1", "insert job_created 3"]);
}

#[test]
fn cursors_and_prepared_statements() {
    let mut db = watched_job();
    db.run("INSERT INTO job VALUES (1), (2); BEGIN; DECLARE c CURSOR FOR SELECT * FROM job ORDER BY id FOR UPDATE; MOVE c");
    db.run("UPDATE job SET title = 'Cook' WHERE CURRENT OF c; FETCH c; DELETE FROM job WHERE CURRENT OF c; COMMIT");
    let change = db.client.prepare("UPDATE job SET title = $1 WHERE id = $2").expect("prepares");
    for title in ["a", "b", "c", "d", "e", "f", "g"] {
        db.client.execute(&change, &[&title, &1]).expect("executes");
    }
    // What a kept plan met is not what it meets later.
    db.run("ALTER TABLE job ADD level int; SELECT audit_log.watch('job', ignore => '{title}')");
    db.client.execute(&change, &[&"h", &1]).expect("executes");
    let mut events = db.events();
    assert_eq!(events.split_off(4), vec!["update job_updated 1"; 7]);
    assert_eq!(events.split_off(2), ["update job_updated 1", "delete job_deleted 2"]);
    let titles = db.json("SELECT jsonb_agg(changes -> 'title' -> 1 ORDER BY occurred_at, id) FROM audit_log.entry WHERE operation = 'update'");
    assert_eq!(titles, json!(["Cook", "a", "b", "c", "d", "e", "f", "g"]));
}

#[test]
fn concurrent_sessions_lose_nothing() {
    let mut db = watched_job();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let mut session = db.session();
            scope.spawn(move || {
                for i in 0..200 {
                    let (id, org) = (n * 1000 + i, format!("new {}", i % 10));
                    query(&mut session, "INSERT INTO job VALUES ($1, 'x', $2)", &[&id, &org]);
                }
            });
        }
    });
    let counts = "SELECT concat_ws(' ', count(*), count(DISTINCT e.id), count(DISTINCT target_id), count(DISTINCT transaction_id), bool_and(organization_id = org))
                  FROM audit_log.entry e JOIN job ON job.id::text = target_id WHERE operation = 'insert'";
    assert_eq!(db.one(counts), "1600 1600 1600 1600 t");
    assert_eq!(db.one("SELECT count(*) || ' ' || count(DISTINCT id) FROM audit_log.organization"), "11 11");
    // Each session's own are in order.
    let order = "SELECT bool_and(id > before) FROM (
                   SELECT target_id::int AS id, lag(target_id::int) OVER (PARTITION BY target_id::int / 1000 ORDER BY occurred_at, e.id) AS before
                   FROM audit_log.entry e WHERE operation = 'insert') o WHERE before IS NOT NULL";
    assert_eq!(db.one(order), "t");
}

#[test]
fn a_write_that_cannot_be_recorded_fails() {
    let mut db = watched_job();
    db.run("INSERT INTO job VALUES (1)");
    db.run("ALTER TABLE audit_log.event ADD CONSTRAINT no CHECK (operation <> 'u') NOT VALID");
    assert_eq!(db.fails("UPDATE job SET title = 'x'").sqlstate, "23514");
    assert_eq!(db.one("SELECT count(title) FROM job"), "0");
    db.run("INSERT INTO job VALUES (2); ALTER TABLE audit_log.event DROP CONSTRAINT no; ALTER TABLE audit_log.event RENAME TO moved");
    for statement in ["INSERT INTO job VALUES (3)", "DELETE FROM job", "TRUNCATE job"] {
        db.fails(statement);
        // A function that swallows the error has undone the write with it.
        db.run(&format!("DO $$ BEGIN {statement}; EXCEPTION WHEN OTHERS THEN NULL; END $$"));
    }
    db.run("ALTER TABLE audit_log.moved RENAME TO event");
    assert_eq!(db.all("SELECT id FROM job ORDER BY id"), ["1", "2"]);
    db.run("INSERT INTO job VALUES (3)");
    assert_eq!(db.events(), ["insert job_created 1", "insert job_created 2", "insert job_created 3"]);
}

#[test]
fn a_context_set_before_the_library_is_loaded_is_checked_at_the_capture() {
    let mut db = watched_job();
    let (mut session, notices) = session_with_notices(&db, "postgres");
    run(&mut session, "SET audit_log.context = 'nonsense'");
    fails(&mut session, "INSERT INTO job VALUES (1)").is("22023", "invalid_input").says("context");
    run(
        &mut session,
        r#"SET audit_log.context = '{"actor": {"type": "user", "id": "ann"}}'; INSERT INTO job VALUES (2)"#,
    );
    let (mut other, more) = session_with_notices(&db, "postgres");
    run(
        &mut other,
        r#"BEGIN; SET LOCAL audit_log.context = '{"actor": {"type": "user", "id": "bob"}}'; INSERT INTO job VALUES (3); COMMIT"#,
    );
    run(&mut other, "INSERT INTO job VALUES (4)");
    let (mut third, yet_more) = session_with_notices(&db, "postgres");
    run(
        &mut third,
        r#"BEGIN; SAVEPOINT a; SET audit_log.context = '{"actor": {"type": "user", "id": "eve"}}'; ROLLBACK TO a; INSERT INTO job VALUES (5); COMMIT"#,
    );
    let actors = "SELECT coalesce(actor_id, actor_type) FROM audit_log.entry WHERE operation IS NOT NULL ORDER BY occurred_at, id";
    assert_eq!(db.all(actors), ["ann", "bob", "system", "system"]);
    for seen in [notices, more, yet_more] {
        assert_eq!(*seen.lock().unwrap(), Vec::<String>::new());
    }
}
