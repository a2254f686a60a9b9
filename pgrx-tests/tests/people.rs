//! people(): whom it names, by which part of a name or an id, and to whom.

use audit_log_tests::{all, fails, run, unique, Db};

use crate::page_truth::with_weeks;

/// Records something by an actor, given as JSON.
fn by(db: &mut Db, actor: &str, organization: &str) {
    db.run(&format!(
        r#"SELECT audit_log.set_context($c${{"actor": {actor}}}$c$, false);
           SELECT audit_log.record('job_created', 'job 1', 'Job of Nobody', organization => '{organization}');
           SELECT audit_log.set_context(NULL, false)"#
    ));
}

/// Who comes for these arguments, and that it is the same once everything is counted.
#[track_caller]
fn named(db: &mut Db, arguments: &str) -> Vec<String> {
    let query = format!("SELECT concat_ws(' ', type, coalesce(id, '-'), coalesce(name, '-')) FROM audit_log.people({arguments})");
    let before = db.all(&query);
    db.run("SELECT audit_log.count_entries()");
    assert_eq!(db.all(&query), before, "counting changed people({arguments})");
    before
}

#[test]
fn actors_those_they_act_for_and_candidates() {
    let mut db = with_weeks();
    db.run(
        r#"SELECT audit_log.set_context('{"actor": {"type": "support", "id": "s1", "name": "Sue X"}, "effective_actor": {"type": "user", "id": "7", "name": "Ann X"}}', false);
           SELECT audit_log.record('candidate_moved', 'c1', 'Cat X');
           SELECT audit_log.record('job_created', 'j1', 'Job X', '[{"type": "candidate", "id": "c2", "name": "Cid X"}, {"type": "user", "id": "8", "name": "Bob X"},
             {"type": "candidate", "id": "c2", "name": "Cid X"}, {"type": "candidate", "id": "x3"}]');
           SELECT audit_log.set_context(NULL, false)"#,
    );
    by(&mut db, r#"{"type": "api_key", "id": "x9"}"#, "default");
    by(&mut db, r#"{"type": "automation", "name": "Run X"}"#, "default");
    by(&mut db, r#"{"type": "candidate", "id": "c1", "name": "Cat X"}"#, "default");
    assert_eq!(
        named(&mut db, "'x'"),
        [
            "user 7 Ann X",
            "candidate c1 Cat X",
            "candidate c2 Cid X",
            "automation - Run X",
            "support s1 Sue X",
            "api_key x9 -",
            "candidate x3 -",
        ]
    );
    let columns = "SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name = 'p'";
    db.run("CREATE VIEW p AS SELECT * FROM audit_log.people('x')");
    assert_eq!(db.one(columns), "type text, id text, name text");
}

#[test]
fn a_candidate_with_a_name_alone_is_named() {
    let mut db = with_weeks();
    db.run("SELECT audit_log.record('candidate_moved', NULL, 'Zoe')");
    assert_eq!(named(&mut db, "'zo'"), ["candidate - Zoe"]);
}

#[test]
fn by_any_part_of_name_or_id_in_any_case() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    for (id, name) in
        [("AB-1", "Jörg Weiß"), ("100%", "per_cent"), ("100x", "percent"), ("b\\\\c", "Яна"), ("", "")]
    {
        by(&mut db, &format!(r#"{{"type": "user", "id": "{id}", "name": "{name}"}}"#), "default");
    }
    let (joerg, cent, percent, yana) =
        ("user AB-1 Jörg Weiß", "user 100% per_cent", "user 100x percent", "user b\\c Яна");
    for (part, wanted) in [
        ("JÖRG", vec![joerg]),
        ("rg w", vec![joerg]),
        ("eiß", vec![joerg]),
        ("ab-", vec![joerg]),
        ("jorg", vec![]),
        ("0%", vec![cent]),
        ("r_c", vec![cent]),
        ("PER", vec![cent, percent]),
        ("b\\", vec![yana]),
        ("\\\\", vec![]),
        ("%", vec![cent]),
        ("ЯНА", vec![yana]),
        ("'' OR true --", vec![]),
        (".*", vec![]),
        ("", vec!["user  ", joerg, cent, percent, yana]),
    ] {
        assert_eq!(named(&mut db, &format!("E'{}'", part.replace('\\', "\\\\"))), wanted, "{part}");
    }
}

#[test]
fn names_that_changed_come_once_each_however_often_they_are_there() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    for name in ["Ann Samuelson", "Ann Miller", "Ann Samuelson"] {
        for organization in ["acme", "default"] {
            by(&mut db, &format!(r#"{{"type": "user", "id": "7", "name": "{name}"}}"#), organization);
            let known = named(&mut db, "'ann'");
            assert!(known.contains(&format!("user 7 {name}")), "{known:?}");
        }
    }
    assert_eq!(named(&mut db, "'7'"), ["user 7 Ann Miller", "user 7 Ann Samuelson"]);
}

#[test]
fn as_many_as_are_wanted_in_order() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    for n in 0..120 {
        by(
            &mut db,
            &format!(r#"{{"type": "user", "id": "{n}", "name": "Person {:03}"}}"#, 119 - n),
            "default",
        );
    }
    let wanted: Vec<String> = (0..120).map(|n| format!("user {} Person {n:03}", 119 - n)).collect();
    for (arguments, many) in [("'person'", 20), ("'person', 1", 1), ("'person', \"limit\" => 100", 100)] {
        assert_eq!(named(&mut db, arguments), wanted[..many], "{arguments}");
    }
    for (arguments, field) in [
        ("NULL", "search"),
        ("'a', 0", "limit"),
        ("'a', -1", "limit"),
        ("'a', 101", "limit"),
        ("'a', NULL", "limit"),
    ] {
        let failure = db.fails(&format!("SELECT * FROM audit_log.people({arguments})"));
        failure.is("22023", "invalid_input").says(&format!("field: {field}"));
    }
}

#[test]
fn of_the_organizations_one_reads_that_are_enabled() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    for organization in ["acme", "globex", "shut"] {
        by(
            &mut db,
            &format!(r#"{{"type": "user", "id": "{organization}", "name": "of {organization}"}}"#),
            organization,
        );
    }
    by(&mut db, r#"{"type": "user", "id": "both"}"#, "acme");
    by(&mut db, r#"{"type": "user", "id": "both"}"#, "shut");
    db.run("SELECT audit_log.disable_organization('shut')");
    let mut session = |grants: &[&str]| {
        let role = unique("role");
        let session = db.session_as(&role);
        grants.iter().for_each(|grant| db.run(&grant.replace("{}", &role)));
        (role, session)
    };
    let (role, mut nobody) = session(&["GRANT audit_log_writer TO {}"]);
    let (_, mut reader) = session(&["GRANT audit_log_reader TO {}"]);
    let (_, mut bound) =
        session(&["SELECT audit_log.grant_read('{}', 'acme')", "SELECT audit_log.grant_read('{}', 'shut')"]);
    run(&mut reader, "SET default_transaction_read_only = on; SET search_path = pg_temp");
    for _ in 0..2 {
        let people = "SELECT id FROM audit_log.people('o')";
        fails(&mut nobody, people).is("42501", "missing_endpoint_permission").says(&role);
        assert_eq!(all(&mut reader, people), ["acme", "globex", "both"]);
        assert_eq!(all(&mut bound, people), ["acme", "both"]);
        assert_eq!(all(&mut bound, "SELECT id FROM audit_log.people('globex')"), Vec::<String>::new());
        db.run("SELECT audit_log.count_entries()");
    }
}
