//! How a column's value is recorded: every type, the same in every session, and what counts as a change.

use std::cell::RefCell;

use audit_log_tests::{json, one, query, run, unique, Db};
use proptest::test_runner::{Config, TestRunner};

/// A column's type, the value given to it, and that value in a row's image.
type Case = (&'static str, &'static str, &'static str);

const TYPES: &str = r#"
    CREATE TYPE mood AS ENUM ('fine', 'so "so"');
    CREATE TYPE pair AS (n numeric, at timestamptz, raw bytea);
    CREATE TYPE nest AS (p pair, list pair[], gone int, "Öl 😀" text);
    ALTER TYPE nest DROP ATTRIBUTE gone;
    CREATE TYPE empty AS ();
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE DOMAIN positives AS positive[];
    CREATE DOMAIN whole_pair AS pair CHECK ((VALUE).n > 0);
    CREATE DOMAIN wrapped AS whole_pair;
    CREATE TYPE byte_range AS RANGE (subtype = bytea);
    CREATE TYPE float_range AS RANGE (subtype = float8);
    CREATE TYPE interval_range AS RANGE (subtype = interval);
    CREATE TYPE pair_range AS RANGE (subtype = pair);"#;

const NUMBERS: &[Case] = &[
    ("bool", "true", "true"),
    ("bool", "false", "false"),
    ("int2", "-32768", "-32768"),
    ("int2", "32767", "32767"),
    ("int4", "-2147483648", "-2147483648"),
    ("int8", "-9223372036854775808", "-9223372036854775808"),
    ("int8", "9223372036854775807", "9223372036854775807"),
    ("float4", "'0.1'", "0.1"),
    ("float4", "16777216", "16777216"),
    ("float4", "'3.4028235e38'", "340282350000000000000000000000000000000"),
    ("float4", "'NaN'", r#""NaN""#),
    ("float4", "'-Infinity'", r#""-Infinity""#),
    ("float8", "0.1::float8 + 0.2", "0.30000000000000004"),
    ("float8", "'1e-20'", "0.00000000000000000001"),
    ("float8", "'1e22'", "10000000000000000000000"),
    ("float8", "'-0'", "0"),
    ("float8", "'NaN'", r#""NaN""#),
    ("float8", "'Infinity'", r#""Infinity""#),
    ("numeric", "1.50", "1.50"),
    ("numeric", "'1e-20'", "0.00000000000000000001"),
    ("numeric", "'-1e20'", "-100000000000000000000"),
    ("numeric(10,3)", "5", "5.000"),
    ("numeric", "'NaN'", r#""NaN""#),
    ("numeric", "'-Infinity'", r#""-Infinity""#),
    (
        "numeric",
        "'12345678901234567890123456789012345678901234567890.12345678901234567890123456789012345678901234567890'",
        "12345678901234567890123456789012345678901234567890.12345678901234567890123456789012345678901234567890",
    ),
    ("money", "'1.5'", r#""$1.50""#),
    ("oid", "4294967295", r#""4294967295""#),
];

const TEXTS: &[Case] = &[
    (
        "text",
        r#"E'a\'b\"c\\d\ne\tf\x01 Ünï 😀 \u00e9\u200b'"#,
        "\"a'b\\\"c\\\\d\\ne\\tf\\u0001 Ünï 😀 é\u{200b}\"",
    ),
    ("text", "''", r#""""#),
    ("varchar(5)", "'NULL'", r#""NULL""#),
    ("char(5)", "'ab'", r#""ab   ""#),
    ("name", "'n'", r#""n""#),
    ("\"char\"", "'x'", r#""x""#),
    ("\"char\"", "(-56)::\"char\"", r#""\\310""#),
    ("bytea", r"'\x00ff5c27'", r#""\\x00ff5c27""#),
    ("bytea", "''", r#""\\x""#),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", r#""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#),
    ("inet", "'10.0.0.1/8'", r#""10.0.0.1/8""#),
    ("cidr", "'fe80::/10'", r#""fe80::/10""#),
    ("macaddr", "'08002b010203'", r#""08:00:2b:01:02:03""#),
    ("bit(3)", "B'101'", r#""101""#),
    ("varbit", "B''", r#""""#),
    ("xml", "'<a b=\"1\">x</a>'", r#""<a b=\"1\">x</a>""#),
    ("mood", "'so \"so\"'", r#""so \"so\"""#),
    ("tsvector", "'a:1 b:2'", r#""'a':1 'b':2""#),
    ("point", "'(1,2.5)'", r#""(1,2.5)""#),
    ("point", "point(0.1::float8 + 0.2, 0)", r#""(0.30000000000000004,0)""#),
    ("regclass", "'pg_class'", r#""pg_catalog.pg_class""#),
    ("pg_lsn", "'16/B374D848'", r#""16/B374D848""#),
    ("citext", "'Ab'", r#""Ab""#),
    ("hstore", "'a=>1, b=>NULL'", r#""\"a\"=>\"1\", \"b\"=>NULL""#),
];

const TIMES: &[Case] = &[
    ("date", "'2024-02-29'", r#""2024-02-29""#),
    ("date", "'infinity'", r#""infinity""#),
    ("date", "'0044-03-15 BC'", r#""0044-03-15 BC""#),
    ("time", "'24:00:00'", r#""24:00:00""#),
    ("time", "'01:02:03.000004'", r#""01:02:03.000004""#),
    ("timetz", "'01:02:03+05:45'", r#""01:02:03+05:45""#),
    ("timestamp", "'2024-02-29 12:34:56.789'", r#""2024-02-29T12:34:56.789""#),
    ("timestamp", "'-infinity'", r#""-infinity""#),
    ("timestamp", "'0044-03-15 00:00:00 BC'", r#""0044-03-15T00:00:00 BC""#),
    ("timestamptz", "'2024-02-29 12:00:00+05:45'", r#""2024-02-29T06:15:00+00:00""#),
    ("timestamptz", "'infinity'", r#""infinity""#),
    ("timestamptz", "'0044-03-15 00:00:00+00 BC'", r#""0044-03-15T00:00:00+00:00 BC""#),
    ("timestamptz", "'294276-12-31 23:59:59.999999+00'", r#""294276-12-31T23:59:59.999999+00:00""#),
    ("interval", "make_interval(1, 2, 0, -3, 4, 5, 6.7)", r#""1 year 2 mons -3 days +04:05:06.7""#),
    ("interval", "make_interval()", r#""00:00:00""#),
];

const JSONS: &[Case] = &[
    ("json", r#"'{"b": 1.50, "a": [null, -3e2, {}, []]}'"#, r#"{"a": [null, -300, {}, []], "b": 1.50}"#),
    ("json", "'1234567890123456789012345'", "1234567890123456789012345"),
    ("json", r#"'{"$serde_json::private::Number": "x"}'"#, r#"{"$serde_json::private::Number": "x"}"#),
    ("json", "'null'", "null"),
    ("json", r#"'{"a": 1,  "a": 2}'"#, r#""{\"a\": 1,  \"a\": 2}""#),
    ("json", r#"'[{"a": 1, "\u0061": 2}]'"#, r#""[{\"a\": 1, \"\\u0061\": 2}]""#),
    ("json", r#"'["\u0000"]'"#, r#""[\"\\u0000\"]""#),
    ("json", r#"'"\ud800"'"#, r#""\"\\ud800\"""#),
    ("json", "'1e999999'", r#""1e999999""#),
    ("json", "'[-1E-99999999999999999999]'", r#""[-1E-99999999999999999999]""#),
    ("json[]", r#"ARRAY['1', '{"a":1,"a":2}']::json[]"#, r#"[1, "{\"a\":1,\"a\":2}"]"#),
    ("jsonb", r#"'"x"'"#, r#""x""#),
    ("jsonb", "'1.50'", "1.50"),
    ("jsonb", "'true'", "true"),
    ("jsonb", "'null'", "null"),
    ("jsonb", "'{}'", "{}"),
    ("jsonb", "'[]'", "[]"),
    ("jsonb", r#"'{"a": {"b": [1, [2, {}], {"c": null}]}}'"#, r#"{"a": {"b": [1, [2, {}], {"c": null}]}}"#),
    ("jsonb[]", r#"ARRAY['[1]', '2', NULL]::jsonb[]"#, "[[1], 2, null]"),
];

const CONTAINERS: &[Case] = &[
    ("positive", "5", "5"),
    ("positives", "'{1,2}'", "[1, 2]"),
    (
        "wrapped",
        r"ROW(1.50, '2024-01-01 00:00+00', '\x00')",
        r#"{"n": 1.50, "at": "2024-01-01T00:00:00+00:00", "raw": "\\x00"}"#,
    ),
    ("int[]", "'{}'", "[]"),
    ("int[]", "'{{1,2},{3,NULL}}'", "[[1, 2], [3, null]]"),
    ("int[]", "'{{{1},{2}},{{3},{4}}}'", "[[[1], [2]], [[3], [4]]]"),
    ("text[]", r#"'{"a,\"b",NULL,"NULL",""}'"#, r#"["a,\"b", null, "NULL", ""]"#),
    ("bytea[]", r"ARRAY['\x00', NULL, '\xff']::bytea[]", r#"["\\x00", null, "\\xff"]"#),
    ("timestamptz[]", "ARRAY['2024-01-01 00:00+00']::timestamptz[]", r#"["2024-01-01T00:00:00+00:00"]"#),
    ("float8[]", "ARRAY[0.1::float8 + 0.2, 'NaN']", r#"[0.30000000000000004, "NaN"]"#),
    ("interval[]", "ARRAY[make_interval(1, 2, 0, -3)]", r#"["1 year 2 mons -3 days"]"#),
    ("pair[]", "ARRAY[ROW(1.0, NULL, '')::pair, NULL]", r#"[{"n": 1.0, "at": null, "raw": "\\x"}, null]"#),
    (
        "nest",
        r"ROW(ROW(1.50, '2024-01-01 00:00+00', '\x00'), ARRAY[ROW(2, NULL, NULL)::pair], 'ö')",
        r#"{"p": {"n": 1.50, "at": "2024-01-01T00:00:00+00:00", "raw": "\\x00"}, "list": [{"n": 2, "at": null, "raw": null}], "Öl 😀": "ö"}"#,
    ),
    ("nest", "ROW(NULL, '{}', NULL)", r#"{"p": null, "list": [], "Öl 😀": null}"#),
    ("empty", "ROW()", "{}"),
    ("int4range", "'[1,5)'", r#""[1,5)""#),
    ("daterange", "'[2024-01-01,)'", r#""[2024-01-01,)""#),
    ("tstzrange", "'[2024-01-01 00:00+00,]'", r#""[\"2024-01-01 00:00:00+00\",)""#),
    ("tstzmultirange", "'{(,2024-01-01 00:00+00)}'", r#""{(,\"2024-01-01 00:00:00+00\")}""#),
    ("float_range", "float_range(0.1::float8 + 0.2, 1)", r#""[0.30000000000000004,1)""#),
    ("interval_range", "interval_range(make_interval(1, -2), NULL)", r#""[\"10 mons\",)""#),
    ("byte_range", r"byte_range('\x00', '\xff')", r#""[\"\\\\x00\",\"\\\\xff\")""#),
    (
        "pair_range",
        r"pair_range(ROW(1, '2024-01-01 00:00+00', '\x00')::pair, NULL)",
        r#""[\"(1,\"\"2024-01-01 00:00:00+00\"\",\"\"\\\\\\\\x00\"\")\",)""#,
    ),
];

const WILD: &str =
    "SET TimeZone = 'Asia/Kathmandu'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard';
    SET bytea_output = 'escape'; SET extra_float_digits = -15;
    SET xmloption = 'document'; SET array_nulls = off; SET standard_conforming_strings = off";

/// How the session itself shows values, whatever SHOW says of its settings.
const OWN_VIEW: &str = r"SELECT concat_ws('|', '2024-03-01 12:00+00'::timestamptz, '2024-03-04'::date, make_interval(1, 2, 0, -3),
    decode('00ff', 'hex'), 0.1::float8 + 0.2, current_setting('TimeZone'), current_setting('DateStyle'))";

/// A table with a column a case, watched, with one row of the cases' values.
fn table_of(db: &mut Db, cases: &[Case]) {
    db.run("CREATE EXTENSION citext; CREATE EXTENSION hstore");
    db.run(TYPES);
    let join = |f: &dyn Fn(usize, &Case) -> String| -> String {
        cases.iter().enumerate().map(|(i, case)| format!(", {}", f(i, case))).collect()
    };
    db.run(&format!(
        "CREATE TABLE v (id int PRIMARY KEY{}); SELECT audit_log.watch('v')",
        join(&|i, case| format!("c{i} {}", case.0))
    ));
    db.run(&format!("INSERT INTO v VALUES (1{})", join(&|_, case| case.1.to_string())));
}

/// Inserts the cases, sets them to NULL and back, and deletes them.
#[track_caller]
fn check(cases: &[Case]) {
    let mut db = Db::new();
    table_of(&mut db, cases);
    let images = db.all(
        "SELECT coalesce((after -> ('c' || n))::text, 'absent') FROM audit_log.entry, generate_series(0, 99) n
         WHERE operation = 'insert' ORDER BY n",
    );
    let wrong = cases.iter().zip(&images).filter(|(case, image)| case.2 != image.as_str());
    let wrong: Vec<_> = wrong.map(|((kind, value, _), image)| format!("{kind} {value}: {image}")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let columns = |f: &dyn Fn(usize) -> String| (0..cases.len()).map(f).collect::<Vec<_>>().join(", ");
    db.run(&format!(
        "CREATE TEMP TABLE kept AS TABLE v; UPDATE v SET {}",
        columns(&|i| format!("c{i} = NULL"))
    ));
    db.run(&format!("UPDATE v SET {} FROM kept; DELETE FROM v", columns(&|i| format!("c{i} = kept.c{i}"))));
    let nulls = "(SELECT jsonb_object_agg(key, NULL) FROM jsonb_each(i.after - 'id'))::text";
    let states = format!(
        "SELECT bool_and(CASE n WHEN 1 THEN e.before::text = (i.after - 'id')::text AND e.after::text = {nulls}
                                WHEN 2 THEN e.before::text = {nulls} AND e.after::text = (i.after - 'id')::text
                                ELSE e.before::text = i.after::text AND e.after IS NULL END) AND count(*) = 3
         FROM audit_log.entry i CROSS JOIN LATERAL (
           SELECT row_number() OVER (ORDER BY occurred_at, id) AS n, * FROM audit_log.entry WHERE operation IN ('update', 'delete')) e
         WHERE i.operation = 'insert'"
    );
    assert_eq!(db.one(&states), "t");
}

#[test]
fn numbers_keep_their_digits() {
    check(NUMBERS);
}

#[test]
fn texts_and_types_with_a_text_form() {
    check(TEXTS);
}

#[test]
fn times_are_iso_8601_in_utc() {
    check(TIMES);
}

#[test]
fn json_that_jsonb_would_change_is_kept_as_text() {
    check(JSONS);
}

#[test]
fn domains_arrays_composites_and_ranges() {
    check(CONTAINERS);
}

#[test]
fn values_are_the_same_in_a_session_with_wild_settings() {
    let cases = [NUMBERS, TEXTS, TIMES, JSONS, CONTAINERS].concat();
    let mut db = Db::new();
    table_of(&mut db, &cases);
    let mut wild = db.session();
    run(&mut wild, WILD);
    let own = one(&mut wild, OWN_VIEW);
    assert!(own.contains("01/03/2024 17:45") && own.contains(r"\000"), "not wild: {own}");
    run(
        &mut wild,
        "CREATE TEMP TABLE copy AS TABLE v; UPDATE copy SET id = 2; BEGIN; INSERT INTO v TABLE copy",
    );
    assert_eq!(one(&mut wild, OWN_VIEW), own, "in the transaction");
    run(&mut wild, "COMMIT");
    assert_eq!(one(&mut wild, OWN_VIEW), own);
    let differing = db.all(
        "SELECT concat_ws(' ', a.key, a.value, '<>', b.value)
         FROM audit_log.entry one CROSS JOIN audit_log.entry two
         CROSS JOIN LATERAL jsonb_each(one.after - 'id') a CROSS JOIN LATERAL jsonb_each(two.after - 'id') b
         WHERE one.target_id = '1' AND two.target_id = '2' AND a.key = b.key AND a.value::text <> b.value::text",
    );
    assert_eq!(differing, Vec::<String>::new());
}

#[test]
fn ids_and_names_are_the_same_in_a_session_with_wild_settings() {
    for (kind, value, id) in [
        ("timestamptz", "'2024-01-01 00:00+00'", "2024-01-01T00:00:00+00:00"),
        ("date", "'2024-02-01'", "2024-02-01"),
        ("float8", "0.1::float8 + 0.2", "0.30000000000000004"),
        ("interval", "make_interval(1, 2, 0, -3)", "1 year 2 mons -3 days"),
        ("bytea", "decode('00ff', 'hex')", r"\x00ff"),
        ("bytea[]", "ARRAY[decode('00ff', 'hex')]", r#"{"\\x00ff"}"#),
        ("tstzrange", "'[2024-01-01 00:00+00,)'", r#"["2024-01-01 00:00:00+00",)"#),
    ] {
        let mut db = Db::new();
        db.run(&format!(
            "CREATE TABLE k (id {kind} PRIMARY KEY); SELECT audit_log.watch('k', target_name => 'id')"
        ));
        db.run(&format!("INSERT INTO k VALUES ({value}); {WILD}; DELETE FROM k; RESET ALL"));
        let shown = "SELECT DISTINCT unnest(ARRAY[target_id, target_name]) FROM audit_log.entry WHERE operation IS NOT NULL";
        assert_eq!(db.all(shown), [id], "{kind}");
    }
}

#[test]
fn regclass_does_not_vary_with_search_path_and_quoting() {
    let mut db = Db::new();
    db.run("CREATE TABLE r (id int PRIMARY KEY, of regclass); SELECT audit_log.watch('r')");
    db.run("INSERT INTO r VALUES (1, 'r'); SET search_path = pg_catalog; INSERT INTO public.r VALUES (2, 'public.r');
            SET quote_all_identifiers = on; INSERT INTO public.r VALUES (3, 'public.r')");
    let images = db.all("SELECT DISTINCT after ->> 'of' FROM audit_log.entry WHERE operation = 'insert'");
    assert_eq!(images.len(), 1, "{images:?}");
}

#[test]
fn settings_survive_an_error_in_the_middle_of_rendering() {
    let mut db = Db::new();
    // A type whose output function refuses every value.
    db.run(
        "CREATE TYPE mute; CREATE FUNCTION mute_in(cstring) RETURNS mute IMMUTABLE STRICT LANGUAGE internal AS 'int4in';
         CREATE FUNCTION mute_out(mute) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'enum_out';
         CREATE TYPE mute (INPUT = mute_in, OUTPUT = mute_out, LIKE = int4);
         CREATE TABLE deep (id int PRIMARY KEY, at timestamptz, m mute); SELECT audit_log.watch('deep')",
    );
    let mut wild = db.session();
    run(&mut wild, WILD);
    let own = one(&mut wild, OWN_VIEW);
    let trial = "DO $$ BEGIN INSERT INTO deep VALUES (2, now(), '7'); RAISE EXCEPTION 'it was recorded';
                 EXCEPTION WHEN invalid_binary_representation THEN NULL; END $$";
    run(&mut wild, &format!("BEGIN; {trial}"));
    assert_eq!(one(&mut wild, OWN_VIEW), own, "in the transaction");
    run(&mut wild, "COMMIT; INSERT INTO deep VALUES (3, now(), NULL)");
    assert_eq!(one(&mut wild, OWN_VIEW), own);
    assert_eq!(db.events(), ["insert deep_created 3"]);
}

#[test]
fn a_small_stack_does_not_keep_what_was_built_on_a_large_one_from_being_recorded() {
    let mut db = Db::new();
    db.run("CREATE TYPE pair AS (a int, j jsonb); CREATE TABLE deep (id int PRIMARY KEY, j jsonb, l jsonb[], p pair)");
    db.run("INSERT INTO deep SELECT 1, j, ARRAY[j], ROW(1, j)::pair FROM (SELECT (repeat('[', 4000) || repeat(']', 4000))::jsonb AS j) s");
    db.run("SELECT audit_log.watch('deep')");
    db.run(
        "SET max_stack_depth = '100kB'; INSERT INTO deep SELECT 2, j, l, p FROM deep; RESET max_stack_depth",
    );
    let kept = "SELECT after -> 'j' = j AND after -> 'l' -> 0 = j AND after -> 'p' -> 'j' = j FROM audit_log.entry, deep d
                WHERE operation = 'insert' AND d.id = 1";
    assert_eq!(db.one(kept), "t");
}

#[test]
fn generated_identity_and_odd_columns() {
    let mut db = Db::new();
    db.run(
        r#"CREATE TABLE odd (
             "Schlüssel 🔑'""\" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             "a b" int, "😀" int GENERATED ALWAYS AS ("a b" * 2) STORED, "%s {} $1" text DEFAULT 'x', id bigserial);
           SELECT audit_log.watch('odd');
           INSERT INTO odd ("a b") VALUES (1);
           UPDATE odd SET "a b" = 5;
           UPDATE odd SET "%s {} $1" = NULL"#,
    );
    assert_eq!(db.events(), ["insert odd_created 1", "update odd_updated 1", "update odd_updated 1"]);
    let changes =
        "SELECT jsonb_agg(changes ORDER BY occurred_at, id) FROM audit_log.entry WHERE relation IS NOT NULL";
    assert_eq!(
        db.json(changes),
        json!([
            {"Schlüssel 🔑'\"\\": [null, 1], "a b": [null, 1], "😀": [null, 2], "%s {} $1": [null, "x"], "id": [null, 1]},
            {"a b": [1, 5], "😀": [2, 10]},
            {"%s {} $1": ["x", null]}
        ])
    );
}

/// Changes of updates of one value by another, each in a row of its own; "-" where none was recorded.
fn changes_of(kind: &str, pairs: &[(&str, &str)]) -> Vec<String> {
    let mut db = Db::new();
    db.run(&format!("CREATE TABLE t (id int PRIMARY KEY, v {kind}); SELECT audit_log.watch('t')"));
    for (i, (old, new)) in pairs.iter().enumerate() {
        db.run(&format!("INSERT INTO t VALUES ({i}, {old}); UPDATE t SET v = {new} WHERE id = {i}"));
    }
    db.all(&format!(
        "SELECT coalesce((SELECT coalesce(changes -> 'v', 'null')::text FROM audit_log.entry WHERE operation = 'update' AND target_id = n::text), '-')
         FROM generate_series(0, {}) n ORDER BY n",
        pairs.len() - 1
    ))
}

#[test]
fn updates_record_what_differs_to_the_eye() {
    assert_eq!(
        changes_of(
            "numeric",
            &[("1.0", "1.00"), ("NULL", "1.5"), ("1.5", "NULL"), ("1.50", "'1.50'"), ("'NaN'", "0")]
        ),
        ["[1.0, 1.00]", "[null, 1.5]", "[1.5, null]", "-", r#"["NaN", 0]"#]
    );
    assert_eq!(
        changes_of(
            "json",
            &[(r#"'{"a":1}'"#, r#"'{"a":2}'"#), ("'[1]'", "'[1]'"), (r#"'{"a":1,"a":2}'"#, r#"'{"a":2}'"#)]
        ),
        [r#"[{"a": 1}, {"a": 2}]"#, "-", r#"["{\"a\":1,\"a\":2}", {"a": 2}]"#]
    );
    assert_eq!(
        changes_of("xml", &[("'<a/>'", "'<b/>'"), ("'<a/>'", "'<a/>'")]),
        [r#"["<a/>", "<b/>"]"#, "-"]
    );
    assert_eq!(
        changes_of("int[]", &[("'{1,2,3}'", "'{1,9,3}'"), ("'{}'", "NULL"), ("'{1}'", "ARRAY[1]")]),
        ["[[1, 2, 3], [1, 9, 3]]", "[[], null]", "-"]
    );
    assert_eq!(changes_of("text", &[("'a'", "'A'"), ("'a'", "'a '")]), [r#"["a", "A"]"#, r#"["a", "a "]"#]);
    assert_eq!(
        changes_of("point", &[("'(1,2)'", "'(1,3)'"), ("'(1,2)'", "'(1.0,2.0)'")]),
        [r#"["(1,2)", "(1,3)"]"#, "-"]
    );
}

#[test]
fn any_text_is_recorded_as_it_is() {
    let mut db = Db::new();
    db.run("CREATE TABLE t (id text PRIMARY KEY, v text, l text[]); SELECT audit_log.watch('t', target_name => 'v')");
    let client = RefCell::new(&mut db.client);
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&("[^\\x00]{0,40}", "[^\\x00]{0,60}"), |(old, new)| {
        let client = &mut **client.borrow_mut();
        let id = unique(&old);
        query(client, "INSERT INTO t VALUES ($1, $2, ARRAY[$2, NULL])", &[&id, &old]);
        query(client, "UPDATE t SET v = $2, l = ARRAY[$2] WHERE id = $1", &[&id, &new]);
        let seen = query(
            client,
            "SELECT concat(operation, target_name = $3, after -> 'l' ->> 0 = $3, coalesce(after ->> 'v' = $3, $2 = $3))
             FROM audit_log.entry WHERE target_id = $1 AND operation = 'insert'
             UNION ALL
             SELECT concat(operation, target_name = $2, after -> 'l' ->> 0 = $2, before -> 'l' ->> 0 = $3, coalesce(after ->> 'v' = $2, $2 = $3))
             FROM audit_log.entry WHERE target_id = $1 AND operation = 'update'",
            &[&id, &new, &old],
        );
        let seen: Vec<String> = seen.iter().map(|row| row.get(0)).collect();
        assert_eq!(seen, ["insertttt", "updatetttt"], "{old:?} {new:?}");
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}
