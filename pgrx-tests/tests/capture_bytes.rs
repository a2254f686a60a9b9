//! Bytes that are no text in the database's encoding: the log stays readable, and can be dumped and restored.

use std::process::Stdio;

use audit_log_tests::{all, cluster, connect, one, psql, run, unique, Db};

/// Ways to such bytes that a superuser has: casts that look at nothing.
const CASTS: &str = "
    CREATE CAST (bytea AS text) WITHOUT FUNCTION; CREATE CAST (bytea AS varchar) WITHOUT FUNCTION;
    CREATE CAST (bytea AS bpchar) WITHOUT FUNCTION; CREATE CAST (bytea AS json) WITHOUT FUNCTION;
    CREATE CAST (bytea AS xml) WITHOUT FUNCTION; CREATE EXTENSION citext; CREATE CAST (bytea AS citext) WITHOUT FUNCTION;
    CREATE DOMAIN label AS text; CREATE TYPE pair AS (n int, t text);
    CREATE TYPE text_range AS RANGE (subtype = text);
    CREATE FUNCTION bad(bytes bytea) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT bytes::text';";

/// A column's type, a value of the bytes B, and how the log shows it, with what stands for the bytes in place of S.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("text", "bad(B)", "\"S\""),
    ("varchar", "bad(B)", "\"S\""),
    ("bpchar", "(B)::bpchar", "\"S\""),
    ("label", "bad(B)", "\"S\""),
    ("citext", "(B)::citext", "\"S\""),
    ("json", "(B)::json", "\"S\""),
    ("xml", "(B)::xml", "\"S\""),
    ("text[]", "ARRAY[bad(B), 'ö', bad(B)]", "[\"S\", \"ö\", \"S\"]"),
    ("pair", "ROW(1, bad(B))", "{\"n\": 1, \"t\": \"S\"}"),
    ("pair[]", "ARRAY[ROW(1, bad(B))::pair]", "[{\"n\": 1, \"t\": \"S\"}]"),
    ("jsonb", "to_jsonb(bad(B))", "\"S\""),
    (
        "jsonb",
        "jsonb_build_object('a', jsonb_build_array(1, bad(B)), bad(B), 2)",
        "{\"a\": [1, \"S\"], \"S\": 2}",
    ),
    ("jsonb[]", "ARRAY[jsonb_build_array(bad(B))]", "[[\"S\"]]"),
    ("\"char\"", "(-56)::\"char\"", r#""\\310""#),
    ("\"char\"[]", "ARRAY[(-128)::\"char\", 'a']", r#"["\\200", "a"]"#),
];

/// Bytes, and what stands for them in JSON.
const BYTES: &[(&str, &str)] = &[
    (r"'\xff'", r"\\xff"),
    (r"'\x61c362'", r"a\\xc3b"),
    (r"'\x6100'", r"a\\x00"),
    (r"'\xeda080e28a'", r"\\xed\\xa0\\x80\\xe2\\x8a"),
    // Text like any other.
    (r"'\xc3b6f0908080'", "ö\u{10000}"),
];

#[test]
fn what_is_written_is_text_whatever_was_given() {
    for (bytes, shown) in BYTES {
        let mut db = Db::new();
        db.run(CASTS);
        let columns: Vec<String> = COLUMNS.iter().enumerate().map(|(i, c)| format!("c{i} {}", c.0)).collect();
        let values: Vec<String> =
            COLUMNS.iter().map(|c| c.1.replace("(B)", &format!("({bytes}::bytea)"))).collect();
        db.run(&format!(
            "CREATE TABLE t (id int, {}); SELECT audit_log.watch('t', target_id => '{{id}}')",
            columns.join(", ")
        ));
        db.run(&format!("INSERT INTO t VALUES (1, {}); DELETE FROM t", values.join(", ")));
        for (i, (kind, _, expected)) in COLUMNS.iter().enumerate() {
            // Their own functions end a text at NUL.
            if shown.contains("x00") && ["jsonb", "jsonb[]", "citext", "xml"].contains(kind) {
                continue;
            }
            let expected = expected.replace('S', shown);
            for state in ["after", "before"] {
                let found = format!("SELECT ({state} -> 'c{i}')::text FROM audit_log.entry WHERE {state} IS NOT NULL AND operation IS NOT NULL");
                assert_eq!(db.one(&found), expected, "{kind} {bytes} {state}");
            }
        }
    }
}

#[test]
fn such_a_log_is_dumped_and_restored() {
    let mut db = Db::new();
    db.run(CASTS);
    // A role that a database of another encoding made: its name is no UTF-8 here.
    let (latin, role) = (unique("latin"), unique("role"));
    db.run(&format!("CREATE DATABASE {latin} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"));
    let mut there = connect(&latin, "postgres");
    run(&mut there, &format!("CREATE ROLE \"{role}é\" LOGIN SUPERUSER"));
    db.run(
        r#"CREATE TABLE t (k text, n text, name text, org text, up text, j jsonb); CREATE TABLE one (k text, v int);
          SELECT audit_log.watch('t', target_id => '{k, n}', target_name => 'name', organization => 'org', parents => '{"parent": "up"}');
          SELECT audit_log.watch('one', target_id => '{k}', target_name => 'k')"#,
    );
    let bytes = r"'\x61ff00'::bytea";
    db.run(&format!(
        r#"DO $$ DECLARE role name := (SELECT rolname FROM pg_roles WHERE rolname::text LIKE '{role}%'); BEGIN
             PERFORM set_config('role', role, false);
           END $$;
           INSERT INTO t SELECT b, b, b, b, b, jsonb_build_object(b, b) FROM (SELECT bad({bytes}) AS b) s;
           INSERT INTO one VALUES (bad({bytes}), 1); UPDATE one SET v = 2;
           SELECT audit_log.record('user_login_complete', bad({bytes}), bad({bytes}), jsonb_build_array(jsonb_build_object('type', 'user', 'id', bad({bytes}))),
             jsonb_build_object(bad({bytes}), bad({bytes})), to_jsonb(bad({bytes})), jsonb_build_array(bad({bytes})), NULL, bad({bytes}), bad({bytes}));
           SELECT audit_log.hold('h', target_id => bad({bytes}), reason => bad({bytes})); RESET role"#
    ));
    let shown = r"a\xff\x00";
    let ids = "SELECT count(*) FROM audit_log.entry WHERE target_id IN ($1, $1 || ',' || $1)"
        .replace("$1", &format!("'{shown}'"));
    assert_eq!(db.one(&ids), "4");
    let user = "SELECT DISTINCT database_user FROM audit_log.entry WHERE category = 'one_created'";
    assert_eq!(db.one(user), format!(r"postgres/{role}\xe9"));
    let everything = "SELECT to_jsonb(e)::text FROM audit_log.entry e UNION ALL SELECT to_jsonb(h)::text FROM audit_log.legal_hold h ORDER BY 1";
    let before = db.all(everything);
    // The application's own tables cannot be restored; the log can.
    let copy = unique("copy");
    db.run(&format!("CREATE DATABASE {copy}"));
    let mut dump = cluster()
        .program("pg_dump")
        .args(["-d", &db.name, "--exclude-table-data=public.t", "--exclude-table-data=public.one"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("pg_dump runs");
    let restored = cluster()
        .program("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &copy])
        .stdin(dump.stdout.take().expect("stdout"))
        .stdout(Stdio::null())
        .output()
        .expect("psql runs");
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert!(dump.wait().expect("pg_dump ends").success());
    let mut there_again = connect(&copy, "postgres");
    assert_eq!(all(&mut there_again, everything), before);
    assert_eq!(one(&mut there_again, &ids), "4");
    drop(there_again);
    run(&mut there, &format!("DROP ROLE \"{role}é\""));
    drop(there);
    psql("postgres", &format!("DROP DATABASE {copy} WITH (FORCE); DROP DATABASE {latin} WITH (FORCE)"));
}
