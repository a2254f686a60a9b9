//! Who may do what: the three roles, roles bound to organizations, PUBLIC, and what the catalog says of it.

use audit_log_tests::{all, connect, fails, one, run, unique, wait_for, Db};
use postgres::Client;

/// Organizations acme and globex with an entry of each kind; everything of globex says so.
fn two_organizations() -> Db {
    let mut db = Db::new();
    db.run(
        r#"CREATE TABLE job (id text PRIMARY KEY, org text, title text); SELECT audit_log.watch('job', organization => 'org');
        SELECT audit_log.enable_organization('acme', 'Acme'); SELECT audit_log.enable_organization('globex', 'globex corp');
        INSERT INTO job VALUES ('a1', 'acme', 'Cook'), ('globex1', 'globex', 'globex cook');
        UPDATE job SET title = title || '!';
        SELECT audit_log.record('user.login', 'u1', 'Ann', '[{"type": "team", "id": "t1"}]', organization => 'acme', idempotency_key => 'k');
        SELECT audit_log.record('user.login', 'globex2', 'globex ann', '[{"type": "team", "id": "globex t"}]',
          organization => 'globex', idempotency_key => 'globex key');
        SELECT audit_log.import(ARRAY['{"category": "job_closed", "organizationId": "globex", "target": {"type": "job", "id": "globex3"}}']::jsonb[])"#,
    );
    db
}

/// A new role with what it is granted, and a session of it.
fn role(db: &mut Db, granted: &str) -> (String, Client) {
    let name = unique("role");
    let session = db.session_as(&name);
    if !granted.is_empty() {
        db.run(&format!("GRANT {granted} TO {name}"));
    }
    (name, session)
}

fn bound(db: &mut Db, organization: &str) -> (String, Client) {
    let (name, session) = role(db, "");
    db.run(&format!("SELECT audit_log.grant_read('{name}', '{organization}')"));
    (name, session)
}

const VIEWS: [&str; 6] =
    ["entry", "entry_target", "entry_change", "activity_daily", "bi_audit_log", "organization"];
const DICTIONARIES: [&str; 4] = ["vocabulary", "target_type", "actor_type", "watched"];
const READING: [&str; 5] = [
    "list()",
    "list(organization => 'acme')",
    "history('job', 'a1')",
    "row_at('job', 'a1', now())",
    "imported_record(gen_random_uuid())",
];
const ADMINISTRATION: [&str; 11] = [
    "define_target_type('crew', 'Crew')",
    "define_category('crew_fed', 'crew', 'Fed')",
    "define_actor_type('robot')",
    "deprecate_category('job_updated')",
    "enable_organization('new')",
    "disable_organization('new')",
    "watch('job')",
    "unwatch('job')",
    "ensure_partitions()",
    "import('{}')",
    "grant_read(current_user, 'new')",
];

/// Checks that a role may do all of some things or none.
#[track_caller]
fn may(session: &mut Client, yes: bool, things: &[&str]) {
    for thing in things {
        let sql = format!("SELECT * FROM audit_log.{thing}");
        run(session, "BEGIN");
        if yes {
            run(session, &sql);
        } else {
            assert_eq!(fails(session, &sql).sqlstate, "42501", "{sql}");
        }
        run(session, "ROLLBACK");
    }
}

#[test]
fn what_each_role_may() {
    let mut db = two_organizations();
    db.run("GRANT SELECT ON job TO PUBLIC");
    for (granted, reads, writes, administers) in [
        ("", false, false, false),
        ("audit_log_reader", true, false, false),
        ("audit_log_writer", false, true, false),
        ("audit_log_reader, audit_log_writer", true, true, false),
        ("audit_log_admin", true, true, true),
    ] {
        let (_, mut session) = role(&mut db, granted);
        may(&mut session, reads, &VIEWS);
        may(&mut session, reads || writes, &DICTIONARIES);
        may(&mut session, reads, &READING);
        may(&mut session, writes, &["record('job_created')"]);
        let administration = if administers { &ADMINISTRATION[1..] } else { &ADMINISTRATION };
        run(&mut db.client, "SELECT audit_log.define_target_type('crew', 'Crew')");
        may(&mut session, administers, administration);
        may(&mut session, true, &["set_context('{}')"]);
    }
}

#[test]
fn a_refusal_says_what_to_do() {
    let mut db = two_organizations();
    db.run("GRANT SELECT ON job TO PUBLIC");
    let (name, mut nobody) = role(&mut db, "");
    for call in READING {
        let failure = fails(&mut nobody, &format!("SELECT * FROM audit_log.{call}"));
        failure.is("42501", "missing_endpoint_permission").says(&name);
    }
    let (name, mut session) = bound(&mut db, "acme");
    let failure = fails(&mut session, "SELECT * FROM audit_log.list(organization => 'globex')");
    failure.is("42501", "missing_endpoint_permission").says("globex").says(&name);
    let failure = fails(&mut session, "SELECT * FROM audit_log.list(organization => 'unheard of')");
    failure.is("42501", "missing_endpoint_permission");
}

#[test]
fn a_bound_role_finds_nothing_of_others_in_any_relation() {
    let mut db = two_organizations();
    db.run("SELECT audit_log.deprecate_category('offer_sent')");
    db.run("SELECT audit_log.disable_organization('globex'), audit_log.enable_organization('globex')");
    // Something that has no partition,
    for organization in ["acme", "globex"] {
        let targets = format!(r#"[{{"type": "team", "id": "{organization} team"}}]"#);
        db.run(&format!("SELECT audit_log.record('job_created', '{organization} 8', organization => '{organization}', occurred_at => '2020-02-02Z', targets => '{targets}')"));
    }
    // something counted, and something that is not yet.
    db.run("SELECT audit_log.count_entries(); SELECT audit_log.record('offer_sent', '9', organization => 'acme')");
    let (_, mut session) = bound(&mut db, "acme");
    let readable = all(
        &mut session,
        "SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'audit_log'::regnamespace
           AND relkind IN ('r', 'v', 'p', 'm', 'f', 'S') AND has_table_privilege(oid, 'SELECT')",
    );
    for view in VIEWS {
        assert!(readable.contains(&format!("audit_log.{view}")), "{view} is not readable: {readable:?}");
        assert_ne!(one(&mut session, &format!("SELECT count(*) FROM audit_log.{view}")), "0", "{view}");
    }
    for relation in &readable {
        // The feed shows nothing while a transaction of another test is older than what was written.
        wait_for(&mut db.client, &format!("SELECT count(*) > 0 FROM {relation}"), "t");
        let leaks = format!("SELECT t::text FROM {relation} t WHERE t::text LIKE '%globex%'");
        assert_eq!(all(&mut session, &leaks), Vec::<String>::new(), "{relation}");
    }
}

#[test]
fn a_bound_role_finds_nothing_of_others_by_any_function() {
    let mut db = two_organizations();
    let (_, mut session) = bound(&mut db, "acme");
    let (other, _) = bound(&mut db, "globex");
    let imported = db.one("SELECT id FROM audit_log.entry WHERE target_id = 'globex3'");
    for call in [
        "SELECT l FROM audit_log.list() l".to_string(),
        "SELECT l FROM audit_log.list(target_ids => ARRAY['globex1', 'globex2', 'globex t', 'u1']) l".into(),
        "SELECT audit_log.list_json('{}')".into(),
        "SELECT h FROM audit_log.history('job', 'globex1') h".into(),
        format!("SELECT audit_log.imported_record('{imported}')"),
        "SELECT audit_log.my_organizations()".into(),
    ] {
        let rows = all(&mut session, &call);
        assert!(rows.iter().all(|r| !r.contains("globex")), "{call}: {rows:?}");
    }
    // Whose organizations another role reads is not for everybody to know.
    let bindings = format!("SELECT organization_id FROM audit_log.live_binding WHERE role_name = '{other}'");
    let asked = session.simple_query(&bindings);
    assert!(!format!("{asked:?}").contains("globex"), "{asked:?}");
    assert_eq!(all(&mut session, "SELECT DISTINCT organization_id FROM audit_log.list()"), ["acme"]);
    assert_eq!(all(&mut session, "SELECT target_id FROM audit_log.list(target_ids => ARRAY['t1'])"), ["u1"]);
    assert_eq!(one(&mut session, "SELECT count(*) FROM audit_log.history('job', 'a1')"), "2");
}

#[test]
fn row_policies_hold_against_leaky_functions_and_direct_reads() {
    let mut db = two_organizations();
    let (name, mut session) = bound(&mut db, "acme");
    db.run(&format!("CREATE SCHEMA AUTHORIZATION {name}"));
    run(
        &mut session,
        "CREATE FUNCTION leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN
           IF $1 LIKE '%globex%' THEN RAISE EXCEPTION 'seen'; END IF; RETURN true; END $$",
    );
    run(&mut session, "SELECT * FROM audit_log.entry WHERE leak(target_id) AND leak(organization_id)");
    run(&mut session, "SELECT * FROM audit_log.stored_event WHERE leak(organization_id)");
    run(&mut session, "SELECT * FROM audit_log.organization WHERE leak(id) AND leak(name)");
    for partition in all(
        &mut session,
        "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'audit_log.event'::regclass",
    ) {
        assert_eq!(fails(&mut session, &format!("SELECT * FROM {partition}")).sqlstate, "42501");
    }
    let mut user = connect(&db.name, "postgres");
    run(&mut user, &format!("SET row_security = off; SET ROLE {name}"));
    assert_eq!(fails(&mut user, "SELECT * FROM audit_log.entry").sqlstate, "42501");
}

#[test]
fn bindings_are_inherited_through_groups_and_end_when_revoked() {
    let mut db = two_organizations();
    let (group, _) = bound(&mut db, "acme");
    let (member, mut session) = role(&mut db, &group);
    let listed = "SELECT DISTINCT organization_id FROM audit_log.list() ORDER BY 1";
    let viewed = "SELECT DISTINCT organization_id FROM audit_log.entry ORDER BY 1";
    assert_eq!(
        (all(&mut session, listed), all(&mut session, viewed)),
        (vec!["acme".into()], vec!["acme".into()])
    );
    db.run(&format!("SELECT audit_log.grant_read('{member}', 'globex'); SELECT audit_log.grant_read('{member}', 'globex')"));
    assert_eq!(
        (all(&mut session, listed), all(&mut session, viewed)),
        (vec!["acme".into(), "globex".into()], vec!["acme".into(), "globex".into()])
    );
    db.run(&format!("SELECT audit_log.revoke_read('{member}', 'globex')"));
    assert_eq!(
        (all(&mut session, listed), all(&mut session, viewed)),
        (vec!["acme".into()], vec!["acme".into()])
    );
    db.run(&format!("SELECT audit_log.revoke_read('{group}', 'acme')"));
    fails(&mut session, listed).is("42501", "missing_endpoint_permission");
    assert_eq!(fails(&mut session, viewed).sqlstate, "42501");
    let told = db.all("SELECT organization_id || ' ' || target_id FROM audit_log.entry WHERE category = 'read_access_changed' ORDER BY occurred_at, id");
    let on = |o: &str, r: &str| format!("{o} {r}");
    assert_eq!(told, [on("acme", &group), on("globex", &member), on("globex", &member), on("acme", &group)]);
    for call in [
        "grant_read('no such role', 'acme')",
        "revoke_read('no such role', 'acme')",
        "grant_read(NULL, 'acme')",
    ] {
        db.fails(&format!("SELECT audit_log.{call}")).is("22023", "invalid_input");
    }
    db.fails(&format!("SELECT audit_log.grant_read('{member}', NULL)")).is("22023", "invalid_input");
}

#[test]
fn a_binding_dies_with_its_role() {
    let mut db = two_organizations();
    let (name, session) = bound(&mut db, "acme");
    drop(session);
    db.run(&format!("DROP ROLE {name}"));
    let mut session = db.session_as(&name);
    fails(&mut session, "SELECT * FROM audit_log.list()").is("42501", "missing_endpoint_permission");
    assert_eq!(fails(&mut session, "SELECT * FROM audit_log.entry").sqlstate, "42501");
    db.run(&format!("SELECT audit_log.grant_read('{name}', 'globex')"));
    assert_eq!(all(&mut session, "SELECT DISTINCT organization_id FROM audit_log.entry"), ["globex"]);
    // A renamed role is still the same one; another that takes its old name is not.
    db.run(&format!("ALTER ROLE {name} RENAME TO {name}_renamed"));
    assert_eq!(all(&mut session, "SELECT DISTINCT organization_id FROM audit_log.list()"), ["globex"]);
    let mut taker = db.session_as(&name);
    fails(&mut taker, "SELECT * FROM audit_log.list()").is("42501", "missing_endpoint_permission");
}

#[test]
fn the_caller_is_the_current_user() {
    let mut db = two_organizations();
    let (name, _) = bound(&mut db, "acme");
    let (_, mut nobody) = role(&mut db, "");
    db.run(&format!(
        "CREATE FUNCTION mine() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS $$ SELECT DISTINCT organization_id FROM audit_log.list() $$;
         ALTER FUNCTION mine() OWNER TO {name}"
    ));
    assert_eq!(all(&mut nobody, "SELECT mine()"), ["acme"]);
    db.run(&format!("SET ROLE {name}"));
    assert_eq!(db.all("SELECT DISTINCT organization_id FROM audit_log.list()"), ["acme"]);
    db.fails("SELECT * FROM audit_log.list(organization => 'globex')")
        .is("42501", "missing_endpoint_permission");
    db.run("RESET ROLE");
    assert_eq!(
        db.all("SELECT DISTINCT organization_id FROM audit_log.list() ORDER BY 1"),
        ["acme", "default", "globex"]
    );
}

#[test]
fn public_has_the_schema_set_context_and_the_reading_functions() {
    let mut db = two_organizations();
    let functions = db.all(
        "SELECT DISTINCT p.proname FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         WHERE p.pronamespace = 'audit_log'::regnamespace AND a.grantee = 0 ORDER BY 1",
    );
    let allowed = [
        "begin_export",
        "export",
        "format",
        "history",
        "imported_record",
        "list",
        "list_json",
        "page",
        "people",
        "row_at",
        "set_context",
        "sync",
        "sync_json",
        "sync_start",
        "key_text",
        "stored_id",
        // Called by the others in the caller's name; these check the caller, or tell of the caller only.
        "history_of",
        "label_of",
        "my_organizations",
        "qualified_name",
        "relation_label",
        "require_reader",
        "row_at_of",
        // Whoever makes a partition of a watched table needs it; the event trigger refuses others.
        "capture",
    ];
    let beyond: Vec<_> = functions.iter().filter(|f| !allowed.contains(&f.as_str())).collect();
    assert_eq!(beyond, Vec::<&String>::new());
    assert!(allowed[..14].iter().all(|f| functions.iter().any(|g| g == f)), "{functions:?}");
    let relations = "SELECT c.relname FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'audit_log'::regnamespace AND a.grantee = 0
        UNION ALL SELECT attname FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid, aclexplode(t.attacl) a
        WHERE c.relnamespace = 'audit_log'::regnamespace AND a.grantee = 0";
    assert_eq!(db.all(relations), Vec::<String>::new());
    let schema = "SELECT a.privilege_type FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'audit_log' AND a.grantee = 0";
    assert_eq!(db.all(schema), ["USAGE"]);
}

#[test]
fn nobody_but_the_owner_has_more_than_select_on_any_relation() {
    let mut db = two_organizations();
    let more = "SELECT c.relname || ' ' || a.grantee::regrole || ' ' || a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.relnamespace = 'audit_log'::regnamespace AND a.grantee <> c.relowner AND (a.privilege_type <> 'SELECT' OR a.is_grantable)";
    assert_eq!(db.all(more), Vec::<String>::new());
    let owners = "SELECT DISTINCT r.rolsuper FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.relnamespace = 'audit_log'::regnamespace";
    assert_eq!(db.all(owners), ["t"]);
    let (_, mut admin) = role(&mut db, "audit_log_admin");
    for hidden in ["idempotency", "read_binding", "organization_setting", "feed_epoch"] {
        assert_eq!(
            fails(&mut admin, &format!("SELECT * FROM audit_log.{hidden}")).sqlstate,
            "42501",
            "{hidden}"
        );
    }
}

#[test]
fn every_security_definer_function_pins_its_search_path() {
    let mut db = Db::new();
    let loose = "SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'audit_log'::regnamespace AND prosecdef
        AND NOT coalesce(proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false)";
    assert_eq!(db.all(loose), Vec::<String>::new());
    let definers =
        "SELECT count(*) > 5 FROM pg_proc WHERE pronamespace = 'audit_log'::regnamespace AND prosecdef";
    assert_eq!(db.one(definers), "t");
}

#[test]
fn views_that_read_entries_run_as_the_caller() {
    let mut db = Db::new();
    let views = "SELECT relname || ' ' || coalesce(reloptions::text, '') FROM pg_class
        WHERE relnamespace = 'audit_log'::regnamespace AND relkind IN ('v', 'm') AND pg_get_viewdef(oid) ~ 'audit_log\\.(event|entry)'";
    let views = db.all(views);
    assert!(views.len() >= 6, "{views:?}");
    assert!(views.iter().all(|v| v.contains("security_invoker=true")), "{views:?}");
}

#[test]
fn everything_public_has_a_comment() {
    let mut db = Db::new();
    let bare = "SELECT 'relation ' || relname FROM pg_class c WHERE relnamespace = 'audit_log'::regnamespace
          AND relkind IN ('r', 'v', 'p', 'm') AND obj_description(oid, 'pg_class') IS NULL
        UNION ALL SELECT 'column ' || c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
          WHERE relnamespace = 'audit_log'::regnamespace AND relkind = 'v' AND attnum > 0 AND NOT attisdropped
          AND col_description(c.oid, attnum) IS NULL AND obj_description(c.oid, 'pg_class') NOT LIKE '%Internal.'
        UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE pronamespace = 'audit_log'::regnamespace
          AND obj_description(oid, 'pg_proc') IS NULL
        UNION ALL SELECT 'type ' || typname FROM pg_type t WHERE typnamespace = 'audit_log'::regnamespace AND typelem = 0
          AND (typrelid = 0 OR (SELECT relkind FROM pg_class WHERE oid = typrelid) = 'c') AND obj_description(oid, 'pg_type') IS NULL";
    assert_eq!(db.all(bare), Vec::<String>::new());
    assert_ne!(db.one("SELECT obj_description('audit_log'::regnamespace, 'pg_namespace')"), "∅");
    let roles = "SELECT rolname FROM pg_roles WHERE rolname IN ('audit_log_reader', 'audit_log_writer', 'audit_log_admin')
        AND NOT rolcanlogin AND NOT rolsuper AND shobj_description(oid, 'pg_authid') IS NOT NULL ORDER BY 1";
    assert_eq!(db.all(roles), ["audit_log_admin", "audit_log_reader", "audit_log_writer"]);
}
