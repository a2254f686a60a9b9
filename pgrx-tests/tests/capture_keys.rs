//! Ids: keys of several columns, of blank-padded text, and of any length.

use std::cell::RefCell;

use audit_log_tests::{query, Db};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// The documented form, written anew.
fn model(parts: &[Option<String>]) -> String {
    let quoted = |part: &Option<String>| match part {
        None => String::new(),
        Some(part) if part.is_empty() || part.contains(',') || part.contains('"') => {
            format!("\"{}\"", part.split('"').collect::<Vec<_>>().join("\"\""))
        }
        Some(part) => part.clone(),
    };
    parts.iter().map(quoted).collect::<Vec<_>>().join(",")
}

fn part() -> impl Strategy<Value = Option<String>> {
    prop_oneof![1 => Just(None), 4 => "[,\"' ab\\\\ö]{0,4}".prop_map(Some), 1 => "[^\\x00]{0,9}".prop_map(Some)]
}

#[test]
fn capture_sql_and_the_documented_form_agree_on_any_key() {
    let mut db = Db::new();
    db.run("CREATE TABLE k (a text, b text, c varchar, n int); SELECT audit_log.watch('k', target_id => '{a, b, c}')");
    let client = RefCell::new(&mut db.client);
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&(part(), part(), part()), |(a, b, c)| {
        let client = &mut **client.borrow_mut();
        let expected = model(&[a.clone(), b.clone(), c.clone()]);
        query(client, "INSERT INTO k VALUES ($1, $2, $3)", &[&a, &b, &c]);
        let row = query(
            client,
            "SELECT e.target_id, audit_log.key_text(ARRAY[$1, $2, $3]), audit_log.key_text(ARRAY[$1]),
                    (SELECT count(*) FROM audit_log.history('k', e.target_id)) > 0
             FROM audit_log.entry e WHERE operation IS NOT NULL ORDER BY e.occurred_at DESC, e.id DESC LIMIT 1",
            &[&a, &b, &c],
        );
        prop_assert_eq!(row[0].get::<_, String>(0), expected.clone());
        prop_assert_eq!(row[0].get::<_, String>(1), expected);
        prop_assert_eq!(row[0].get::<_, Option<String>>(2), a);
        prop_assert!(row[0].get::<_, bool>(3));
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_live_row_has_the_id_that_capture_gave_it() {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE all_kinds (c char(4), m money, z timestamptz, f float8, t text, n int);
         SELECT audit_log.watch('all_kinds', target_id => '{c, m, z, f, t, n}');
         INSERT INTO all_kinds VALUES ('ab', '1234.5', '2024-02-01 12:00+05:45', 0.1, 'x,\"y\"', NULL), (NULL, NULL, NULL, NULL, '', 1)",
    );
    for wild in ["TimeZone = 'Asia/Kathmandu'", "extra_float_digits = -15", "search_path = ''"] {
        let ids = "SELECT audit_log.row_id('public.all_kinds', r) FROM public.all_kinds r ORDER BY n";
        let ids = db.all(&format!("SET {wild}; {ids}"));
        assert_eq!(
            ids,
            [",,,,\"\",1", r#"ab,"$1,234.50",2024-02-01T06:15:00+00:00,0.1,"x,""y""","#],
            "{wild}"
        );
        let captured = "SELECT target_id FROM audit_log.entry WHERE operation IS NOT NULL ORDER BY occurred_at DESC, id DESC";
        assert_eq!(db.all(captured), ids, "{wild}");
    }
}

#[test]
fn two_rows_whose_keys_hold_commas_have_histories_of_their_own() {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE price (vendor text, part text, amount numeric, PRIMARY KEY (vendor, part)); SELECT audit_log.watch('price');
         INSERT INTO price VALUES ('Smith, Ltd', 'bolt', 1), ('Smith', ' Ltd,bolt', 999); DELETE FROM price WHERE vendor = 'Smith'",
    );
    let history = |id: &str| format!("SELECT operation FROM audit_log.history('price', '{id}')");
    assert_eq!(db.all(&history("\"Smith, Ltd\",bolt")), ["insert"]);
    assert_eq!(db.all(&history("Smith,\" Ltd,bolt\"")), ["delete", "insert"]);
    assert_eq!(db.all(&history("Smith, Ltd,bolt")), Vec::<String>::new());
    assert_eq!(
        db.one(r#"SELECT count(*) FROM audit_log.list(target_ids => ARRAY['"Smith, Ltd",bolt'])"#),
        "1"
    );
}

#[test]
fn blanks_that_fill_up_a_key_are_no_part_of_it() {
    for (kind, plain) in
        [("char(5)", "de"), ("code", "de"), ("char(5)", " d "), ("char(3)", "ü"), ("char(2)", "")]
    {
        let mut db = Db::new();
        db.run(&format!(
            "CREATE DOMAIN code AS char(5);
             CREATE TABLE one (k {kind} PRIMARY KEY, name {kind}, org {kind}, up {kind}, state {kind});
             CREATE TABLE two (k {kind}, n int, PRIMARY KEY (k, n));
             SELECT audit_log.define_target_type('one', 'One'); SELECT audit_log.define_category('hit', 'one', 'Hit');
             SELECT audit_log.watch('one', target_name => 'name', organization => 'org', parents => '{{\"parent\": \"up\"}}',
               categories => '[{{\"on\": \"update\", \"column\": \"state\", \"to\": \"{plain}\", \"category\": \"hit\"}}]');
             SELECT audit_log.watch('two');
             INSERT INTO one VALUES ('{plain}', '{plain}', nullif('{plain}', ''), '{plain}', NULL);
             UPDATE one SET state = '{plain}'; INSERT INTO two VALUES ('{plain}', 7)"
        ));
        let trimmed = plain.trim_end_matches(' ');
        let of_one = format!(
            "SELECT count(*) FROM audit_log.entry WHERE target_type = 'one' AND target_id = '{trimmed}' AND target_name = '{trimmed}'
               AND organization_id = coalesce(nullif('{trimmed}', ''), 'default') AND targets -> 1 ->> 'id' = '{trimmed}'"
        );
        assert_eq!(db.one(&of_one), "2", "{kind} {plain:?}");
        assert_eq!(
            db.one("SELECT count(*) FROM audit_log.entry WHERE category = 'hit'"),
            "1",
            "{kind} {plain:?}"
        );
        let composite = if trimmed.is_empty() { "\"\",7".to_string() } else { format!("{trimmed},7") };
        let found = format!("SELECT concat((SELECT count(*) FROM audit_log.history('two', '{composite}')),
                                           (SELECT count(*) FROM audit_log.list(target_ids => ARRAY['{trimmed}'], organization => NULL)))");
        assert_eq!(db.one(&found), "12", "{kind} {plain:?}");
        // The row's state is what to_jsonb gives.
        assert_eq!(db.one("SELECT bool_and(e.after = to_jsonb(t)) FROM audit_log.entry e, two t WHERE target_type = 'two'"), "t");
    }
}

/// An id of so many bytes that the test itself shortens as documented.
const SHORTENED: &str = "left(l, 2400) || '…#' || encode(sha256(convert_to(l, 'UTF8')), 'hex')";

#[test]
fn a_long_id_is_found_by_the_whole_and_by_what_is_stored() {
    let mut db = Db::new();
    db.run("CREATE TABLE long AS SELECT string_agg(md5(i::text), '') AS l FROM generate_series(1, 200) i");
    db.run(
        "CREATE TABLE t (k text, v int); SELECT audit_log.watch('t', target_id => '{k}');
         CREATE TABLE u (k text, n int, up text); SELECT audit_log.watch('u', target_id => '{k, n}', parents => '{\"candidate\": \"up\"}');
         SELECT audit_log.set_context(jsonb_build_object('actor', jsonb_build_object('type', 'user', 'id', 'a' || l),
           'effective_actor', jsonb_build_object('type', 'user', 'id', 'e' || l)), false) FROM long;
         INSERT INTO t SELECT l, 1 FROM long; UPDATE t SET v = 2; INSERT INTO t SELECT l || '!', 1 FROM long;
         INSERT INTO u SELECT l, 1, 'p' || l FROM long;
         SELECT audit_log.define_target_type('candidate', 'Candidate');
         SELECT audit_log.record('user_login_complete', 'r' || l, targets => jsonb_build_array(jsonb_build_object('type', 'user', 'id', 's' || l)),
           idempotency_key => 'i' || l) FROM long;
         SELECT audit_log.record('user_login_complete', 'r' || l, targets => jsonb_build_array(jsonb_build_object('type', 'user', 'id', 's' || l)),
           idempotency_key => 'i' || l) FROM long",
    );
    db.run(&format!("CREATE VIEW short AS SELECT l, p, p || l AS whole, audit_log.stored_id(p || l) AS given, p || left(l, 2399) AS begins,
                     (SELECT {SHORTENED} FROM (SELECT p || long.l AS l) w) AS stored FROM long, unnest('{{a,e,p,r,s,\"\"}}'::text[]) p"));
    assert_eq!(db.one("SELECT bool_and(given = stored AND octet_length(stored) <= 2500) FROM short"), "t");
    let count = |db: &mut Db, what: &str| db.one(&format!("SELECT concat_ws(' ', {what})"));
    for by in ["whole", "stored"] {
        let id = |p: &str| format!("(SELECT {by} FROM short WHERE p = '{p}')");
        let lists = format!(
            "(SELECT count(*) FROM audit_log.list(target_ids => ARRAY[{t}])), (SELECT count(*) FROM audit_log.list(target_ids => ARRAY[{p}])),
             (SELECT count(*) FROM audit_log.list(target_ids => ARRAY[{r}])), (SELECT count(*) FROM audit_log.list(target_ids => ARRAY[{s}])),
             (SELECT count(*) FROM audit_log.list(actor_ids => ARRAY[{a}]) WHERE category <> 'data_export'), (SELECT count(*) FROM audit_log.list(actor_ids => ARRAY[{e}]) WHERE category <> 'data_export'),
             (SELECT count(*) FROM audit_log.export(target_ids => ARRAY[{t}, {s}])), (SELECT count(*) FROM audit_log.export(actor_ids => ARRAY[{e}]) WHERE action !~* 'export'),
             (SELECT count(*) FROM audit_log.page(actor => {a}) WHERE operation IS NOT NULL), (SELECT count(*) FROM audit_log.page(candidate => {p})),
             (SELECT count(*) FROM audit_log.page(search => {t})),
             jsonb_array_length(audit_log.list_json(jsonb_build_object('targetIds', jsonb_build_array({t}))) -> 'results'),
             jsonb_array_length(audit_log.list_json(jsonb_build_object('actorIds', jsonb_build_array({a}), 'targetIds', jsonb_build_array({r}))) -> 'results')",
            t = id(""), p = id("p"), r = id("r"), s = id("s"), a = id("a"), e = id("e")
        );
        // Not to stay: an export is itself an entry.
        db.run("BEGIN");
        assert_eq!(count(&mut db, &lists), "2 1 1 1 5 5 3 5 4 1 2 2 1", "by {by}");
        db.run("ROLLBACK");
    }
    // Whole in the row's state; a key of several columns is shortened as a whole.
    assert_eq!(
        db.one("SELECT count(*) FROM audit_log.entry e, long WHERE after ->> 'k' = l AND target_type = 't'"),
        "1"
    );
    let several = "SELECT target_id = audit_log.stored_id(audit_log.key_text(ARRAY[l, '1'])) FROM audit_log.entry e, long WHERE target_type = 'u'";
    assert_eq!(db.one(several), "t");
    // A hold by the whole id holds.
    db.run("SELECT audit_log.hold('h', target_id => l) FROM long");
    assert_eq!(
        db.one("SELECT count(*) FROM audit_log.entry e WHERE audit_log.is_held(e.organization_id, e.target_type, e.target_id, e.targets)"),
        "2"
    );
}

#[test]
fn a_table_whose_columns_are_all_dropped_goes_on_recording() {
    let mut db = Db::new();
    db.run("CREATE TABLE t (id int, org text, v int); SELECT audit_log.watch('t', target_id => '{id}', organization => 'org', target_name => 'v')");
    db.run("INSERT INTO t VALUES (1, 'acme', 2)");
    for column in ["v", "org", "id"] {
        db.run(&format!("ALTER TABLE t DROP COLUMN {column}; INSERT INTO t DEFAULT VALUES"));
    }
    db.run("DELETE FROM t; ALTER TABLE t ADD COLUMN back int; INSERT INTO t VALUES (5); TRUNCATE t");
    let seen = "SELECT concat_ws(' ', operation, target_id, before::text, after::text) FROM audit_log.entry WHERE relation IS NOT NULL AND operation IS NOT NULL ORDER BY occurred_at, id";
    assert_eq!(
        db.all(seen),
        [
            r#"insert 1 {"v": 2, "id": 1, "org": "acme"}"#,
            r#"insert {"id": null, "org": null}"#,
            r#"insert {"id": null}"#,
            "insert {}",
            "delete {}",
            "delete {}",
            "delete {}",
            "delete {}",
            r#"insert {"back": 5}"#,
            "truncate",
        ]
    );
    // Nothing to identify a row by: refused, with what to do.
    db.run("CREATE TABLE bare ()");
    db.fails("SELECT audit_log.watch('bare')").is("55000", "not_in_prerequisite_state");
    db.fails("SELECT audit_log.watch('bare', target_id => '{}')").is("55000", "not_in_prerequisite_state");
}
