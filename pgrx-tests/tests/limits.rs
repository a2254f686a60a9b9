//! The largest of everything: it is recorded, or refused with an error that says what to do.

use audit_log_tests::{json, run, Db};

const MB: usize = 1 << 20;

fn watched(table: &str) -> Db {
    let mut db = Db::new();
    db.run(&format!("CREATE TABLE t ({table}); SELECT audit_log.watch('t')"));
    db
}

/// Incompressible text of about this many bytes, as an SQL expression.
fn noise(bytes: usize) -> String {
    format!("(SELECT left(string_agg(md5(i::text), ''), {bytes}) FROM generate_series(0, {bytes} / 32) i)")
}

#[test]
fn a_thousand_columns() {
    let columns: Vec<String> = (0..1000).map(|i| format!("column_{i} int DEFAULT {i}")).collect();
    let mut db = watched(&format!("id int PRIMARY KEY, {}", columns.join(", ")));
    db.run("INSERT INTO t VALUES (1); UPDATE t SET column_777 = -1; DELETE FROM t");
    let sums = "SELECT (SELECT sum(value::int) FROM jsonb_each(coalesce(after, before)) WHERE key <> 'id')
                FROM audit_log.entry WHERE operation IS NOT NULL ORDER BY occurred_at, id";
    assert_eq!(db.all(sums), ["499500", "-1", "498722"]);
    let update = db.json("SELECT changes FROM audit_log.entry WHERE operation = 'update'");
    assert_eq!(update, json!({"column_777": [777, -1]}));
}

#[test]
fn large_values_are_recorded_when_they_change_only() {
    let large = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 3000) i)";
    let even = "repeat('compresses ', 100000)";
    for (storage, value) in [
        ("EXTENDED", large),
        ("EXTENDED", even),
        ("EXTERNAL", even),
        ("MAIN", even),
        ("PLAIN", "repeat('x', 5000)"),
    ] {
        let mut db = Db::new();
        db.run("CREATE TABLE t (id int PRIMARY KEY, n int, v text, w bytea); SELECT audit_log.watch('t')");
        db.run(&format!("ALTER TABLE t ALTER v SET STORAGE {storage}, ALTER w SET STORAGE {storage}"));
        let halved = if storage == "PLAIN" { "'w'" } else { "v::bytea" };
        db.run(&format!("INSERT INTO t VALUES (1, 1, {value}); UPDATE t SET w = {halved}"));
        // The same value by the same address, and written anew.
        db.run("UPDATE t SET v = v, n = n; UPDATE t SET v = v || '', w = w || ''");
        db.run("ALTER TABLE t ALTER v SET STORAGE EXTERNAL; UPDATE t SET v = '' || v, w = '' || w");
        assert_eq!(db.events().len(), 2, "{storage} {value}");
        db.run("UPDATE t SET n = 2");
        db.run("UPDATE t SET v = overlay(v PLACING '!' FROM 4000)");
        let last = "SELECT changes - 'v' FROM audit_log.entry WHERE operation = 'update' ORDER BY occurred_at DESC, id DESC LIMIT 2";
        assert_eq!(db.all(last), ["{}", r#"{"n": [1, 2]}"#], "{storage} {value}");
        let exact = "SELECT bool_and((e.after ->> 'v') = t.v AND overlay(e.before ->> 'v' PLACING '!' FROM 4000) = t.v AND e.before <> e.after)
                     FROM audit_log.entry e, t WHERE operation = 'update' AND after ? 'v'";
        assert_eq!(db.one(exact), "t", "{storage} {value}");
    }
}

#[test]
fn a_hundred_megabytes_of_text() {
    let mut db = watched("id int PRIMARY KEY, v text, n int");
    db.run(&format!("INSERT INTO t VALUES (1, repeat('x', {}))", 100 * MB));
    db.run("UPDATE t SET n = 1");
    db.run("UPDATE t SET v = overlay(v PLACING 'y' FROM 5000000)");
    db.run("DELETE FROM t");
    let lengths = "SELECT concat_ws(' ', operation, length(before ->> 'v'), strpos(before ->> 'v', 'y'), length(after ->> 'v'), strpos(after ->> 'v', 'y'))
                   FROM audit_log.entry WHERE operation IS NOT NULL ORDER BY occurred_at, id";
    assert_eq!(
        db.all(lengths),
        ["insert 104857600 0", "update", "update 104857600 0 104857600 5000000", "delete 104857600 5000000"]
    );
}

#[test]
fn a_hundred_megabytes_of_bytea() {
    let mut db = watched("id int PRIMARY KEY, v bytea");
    db.run(&format!("INSERT INTO t SELECT 1, decode(repeat('00ff', {}), 'hex')", 50 * MB));
    let image = "SELECT concat_ws(' ', length(v), left(v, 6), right(v, 4)) FROM (SELECT after ->> 'v' AS v FROM audit_log.entry WHERE operation = 'insert') i";
    assert_eq!(db.one(image), r"209715202 \x00ff 00ff");
}

/// Refused with what to do about it, the row not there; accepted once that is done.
#[track_caller]
fn check_too_large(kind: &str, value: &str) {
    let mut db = watched(&format!("id int PRIMARY KEY, v {kind}, n int"));
    let own = "SELECT concat_ws('|', '2024-03-01 12:00+00'::timestamptz, 0.1::float8 + 0.2)";
    run(&mut db.client, "SET TimeZone = 'Asia/Kathmandu'; SET extra_float_digits = -15");
    let before = db.one(own);
    let failure = db.fails(&format!("INSERT INTO t VALUES (1, {value}, 1)"));
    failure.is("54000", "row_image_too_large").says("ignore").says("public.t");
    assert_eq!(db.one(own), before);
    assert_eq!(db.one("SELECT count(*) FROM t"), "0");
    assert_eq!(db.events(), Vec::<String>::new());
    db.run(&format!("SELECT audit_log.watch('t', ignore => '{{v}}'); INSERT INTO t VALUES (1, {value}, 1); UPDATE t SET n = 2; DELETE FROM t"));
    assert_eq!(db.events(), ["insert t_created 1", "update t_updated 1", "delete t_deleted 1"]);
}

#[test]
fn a_row_too_large_for_jsonb_is_refused_by_name() {
    for (kind, value) in [
        ("text", format!("repeat('x', {})", 300 * MB)),
        ("bytea", format!("decode(repeat('00ff', {}), 'hex')", 70 * MB)),
        ("text[]", format!("ARRAY[repeat('x', {0}), repeat('y', {0})]", 140 * MB)),
        ("json", format!("to_json(repeat('x', {}))", 300 * MB)),
        ("xml", format!("('<a>' || repeat('x', {}) || '</a>')::xml", 300 * MB)),
    ] {
        check_too_large(kind, &value);
    }
}

#[test]
fn an_array_of_too_many_elements_is_refused_by_name() {
    check_too_large("int[]", "array_fill(1, ARRAY[17000000])");
    check_too_large("bool[]", "array_fill(true, ARRAY[17000000])");
}

#[test]
fn a_row_too_large_together_is_refused_by_name() {
    let mut db = watched("id int PRIMARY KEY, a text, b text");
    let (a, b) = (format!("repeat('a', {})", 140 * MB), format!("repeat('b', {})", 140 * MB));
    db.fails(&format!("INSERT INTO t VALUES (1, {a}, {b})"))
        .is("54000", "row_image_too_large")
        .says("ignore");
    // One by one they pass; deleted at once they do not.
    db.run(&format!("INSERT INTO t VALUES (1, {a})"));
    db.run(&format!("UPDATE t SET b = {b}"));
    db.fails("DELETE FROM t").is("54000", "row_image_too_large").says("ignore");
    assert_eq!(db.one("SELECT count(*) FROM t"), "1");
}

#[test]
fn a_change_larger_than_its_halves_does_not_spoil_the_log() {
    let mut db = watched("id int PRIMARY KEY, v text");
    db.run(&format!("INSERT INTO t VALUES (1, repeat('x', {})), (2, 'small')", 140 * MB));
    // Old and new fit each, but not one jsonb: recorded or refused, the log stays readable.
    let update = format!("UPDATE t SET v = repeat('y', {}) WHERE id = 1", 140 * MB);
    if let Err(e) = db.client.batch_execute(&update) {
        assert_eq!(e.code().map(|c| c.code()), Some("54000"), "{e}");
    }
    for read in [
        "count(changes) FROM audit_log.entry",
        "count(*) FROM audit_log.list()",
        "count(new_value) FROM audit_log.entry_change",
    ] {
        db.one(&format!("SELECT {read}"));
    }
}

#[test]
fn fifty_thousand_rows_of_one_statement_keep_their_order() {
    let mut db = watched("id int PRIMARY KEY, v text");
    for (statement, operation) in [
        ("INSERT INTO t SELECT 50001 - i, 'row ' || i FROM generate_series(1, 50000) i", "insert"),
        ("UPDATE t SET v = v || '!'", "update"),
        ("DELETE FROM t", "delete"),
    ] {
        db.run(statement);
        let order = format!(
            "SELECT concat_ws(' ', count(*), count(DISTINCT e.id), count(DISTINCT transaction_id),
                              array_agg(target_id::int ORDER BY e.occurred_at, e.id) = (SELECT array_agg(50001 - i ORDER BY i) FROM generate_series(1, 50000) i))
             FROM audit_log.entry e WHERE operation = '{operation}'"
        );
        assert_eq!(db.one(&order), "50000 50000 1 t", "{operation}");
    }
}

#[test]
fn deep_documents() {
    let mut db = watched("id int PRIMARY KEY, j json, b jsonb");
    for depth in [100, 1000, 6000] {
        let arrays = format!("repeat('[', {depth}) || repeat(']', {depth})");
        let objects = format!("repeat('{{\"a\": ', {depth}) || '1' || repeat('}}', {depth})");
        for (i, text) in [arrays, objects].iter().enumerate() {
            let id = depth * 2 + i;
            db.run(&format!("INSERT INTO t SELECT {id}, d::json, d::jsonb FROM (SELECT {text} AS d) s"));
            let kept = format!("SELECT after ->> 'j' = d AND after -> 'b' = d::jsonb FROM audit_log.entry, (SELECT {text} AS d) s WHERE target_id = '{id}'");
            assert_eq!(db.one(&kept), "t", "{id}");
        }
    }
    db.run("UPDATE t SET j = NULL, b = NULL; DELETE FROM t");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE operation IS NOT NULL"), "18");
}

#[test]
fn json_numbers_beyond_numeric_do_not_fail_the_statement() {
    let mut db = watched("id int PRIMARY KEY, j json");
    let long = format!("0.{}", "0".repeat(9000));
    for (id, number) in [
        format!("{long}1e-9000"),
        format!("1{}", "0".repeat(140_000)),
        format!("{long}{}1", "0".repeat(9000)),
    ]
    .iter()
    .enumerate()
    {
        db.run(&format!("INSERT INTO t VALUES ({id}, '{number}')"));
        assert_eq!(
            db.one(&format!("SELECT after ->> 'j' FROM audit_log.entry WHERE target_id = '{id}'")),
            *number
        );
    }
}

#[test]
fn long_ids_and_names_are_recorded_and_only_organizations_refused() {
    let mut db = Db::new();
    db.run("CREATE TABLE t (n int, key text, name text, org text, parent text)");
    db.run("SELECT audit_log.watch('t', target_id => '{key}', target_name => 'name', organization => 'org', parents => '{\"thing\": \"parent\"}')");
    let shown = [
        ("name", "target_name"),
        ("key", "target_id"),
        ("parent", "targets -> -1 ->> 'id'"),
        ("org", "organization_id"),
        ("actor", "actor_id"),
        ("effective_actor", "effective_actor_id"),
    ];
    let mut faults = Vec::new();
    for (size, bytes) in [2000, 3000, 10_000, MB].into_iter().enumerate() {
        let long = noise(bytes);
        for (at, (what, shown)) in shown.iter().enumerate() {
            let n = size * 10 + at;
            let write = match at {
                0..4 => format!("INSERT INTO t (n, {what}) SELECT {n}, {long}"),
                _ => format!(
                    "SELECT audit_log.set_context(jsonb_build_object('{what}', jsonb_build_object('type', 'user', 'id', {long})));
                     INSERT INTO t (n) VALUES ({n})"
                ),
            };
            // An id by its beginning and a hash where no index could hold it; the row has it whole.
            let found = match *what {
                "name" | "org" => format!("SELECT {shown} = {long} FROM audit_log.entry WHERE after ->> 'n' = '{n}'"),
                _ => format!(
                    "SELECT {shown} = CASE WHEN length(l) <= 2500 THEN l ELSE left(l, 2400) || '…#' || encode(sha256(l::bytea), 'hex') END
                            AND coalesce(after ->> nullif('{what}', 'actor') = l, true)
                     FROM audit_log.entry, (SELECT {long} AS l) s WHERE after ->> 'n' = '{n}'"
                ),
            };
            if *what == "org" {
                let refusal = db.fails(&write);
                refusal.is("22023", "invalid_input").says("255 characters");
                continue;
            }
            if let Err(e) = db.client.batch_execute(&write) {
                faults.push(format!("{what} of {bytes} bytes: {e}"));
                continue;
            }
            let found = db.all(&found);
            if found != ["t"] {
                faults.push(format!("{what} of {bytes} bytes: not recorded as it was: {found:?}"));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn long_context_and_metadata() {
    let mut db = watched("id int PRIMARY KEY");
    let long = noise(MB);
    let context = format!(
        "jsonb_build_object('actor', jsonb_build_object('type', 'user', 'id', 'a', 'name', {long}), 'user_agent', {long}, 'request_id', {long},
                            'metadata', jsonb_build_object('note', {long}, 'list', (SELECT jsonb_agg(i) FROM generate_series(1, 10000) i)))"
    );
    db.run(&format!("SELECT audit_log.set_context({context}, false); INSERT INTO t VALUES (1)"));
    db.run("INSERT INTO t SELECT generate_series(2, 20)");
    let kept = format!(
        "SELECT bool_and(actor_name = l AND user_agent = l AND request_id = l AND metadata ->> 'note' = l AND metadata -> 'list' -> -1 = '10000')
         FROM audit_log.entry, (SELECT {long} AS l) s WHERE operation IS NOT NULL"
    );
    assert_eq!(db.one(&kept), "t");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE operation IS NOT NULL"), "20");
}
