//! Every type a column can have looks the same in every session: in row states and in ids, alone, in an
//! array, under a domain and in a composite, to the byte and to what is written here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use audit_log_tests::{all, one, run, Cluster};
use postgres::{Client, NoTls};

/// A type's name, a value, the value in a row's state, and in an id.
type Sample = (&'static str, &'static str, &'static str, &'static str);

const OBJECTS: &str = r#"
    CREATE EXTENSION audit_log; CREATE EXTENSION citext; CREATE EXTENSION hstore;
    CREATE SCHEMA app; CREATE TABLE app."T" (a int, b int); CREATE TYPE app.mood AS ENUM ('fine', 'so "so"');
    CREATE FUNCTION app.f(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
    CREATE OPERATOR app.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
    CREATE COLLATION app.coll FROM "C"; CREATE TEXT SEARCH CONFIGURATION app.conf (COPY = simple);
    CREATE TEXT SEARCH DICTIONARY app.dict (TEMPLATE = simple); CREATE SCHEMA "Odd";
    CREATE CAST (bytea AS pg_mcv_list) WITHOUT FUNCTION; CREATE CAST (bytea AS gtsvector) WITHOUT FUNCTION;
    CREATE CAST (bytea AS pg_brin_bloom_summary) WITHOUT FUNCTION; CREATE CAST (bytea AS pg_brin_minmax_multi_summary) WITHOUT FUNCTION;
    CREATE CAST (text AS pg_node_tree) WITHOUT FUNCTION; CREATE CAST (bytea AS pg_ndistinct) WITHOUT FUNCTION;
    INSERT INTO app."T" SELECT i % 3, i % 3 FROM generate_series(1, 30) i;
    CREATE STATISTICS app.s (ndistinct, dependencies) ON a, b FROM app."T"; ANALYZE app."T";
    CREATE TYPE money_range AS RANGE (subtype = money); CREATE TYPE timetz_range AS RANGE (subtype = timetz);
    CREATE TYPE class_range AS RANGE (subtype = regclass, subtype_opclass = oid_ops); CREATE TYPE float_range AS RANGE (subtype = float8);
    CREATE TYPE bytea_range AS RANGE (subtype = bytea); CREATE TYPE interval_range AS RANGE (subtype = interval);
    CREATE TYPE wild AS (m money, c regclass, i interval, b bytea, f float8, z timestamptz)"#;

const SAMPLES: &[Sample] = &[
    ("bool", "true", "true", "t"),
    ("bytea", r"'\x00ff5c'", r#""\\x00ff5c""#, r"\x00ff5c"),
    ("\"char\"", "(-56)::\"char\"", r#""\\310""#, r"\310"),
    ("name", "'Na me'", r#""Na me""#, "Na me"),
    ("int8", "'-9223372036854775808'", "-9223372036854775808", "-9223372036854775808"),
    ("int2", "-7", "-7", "-7"),
    ("int2vector", "'1 2'", "[1, 2]", "1 2"),
    ("int4", "7", "7", "7"),
    ("regproc", "'app.f'", r#""app.f""#, "app.f"),
    ("text", r"'a\b''c'", r#""a\\b'c""#, r"a\b'c"),
    ("oid", "4294967295", r#""4294967295""#, "4294967295"),
    ("tid", "'(1,2)'", r#""(1,2)""#, "(1,2)"),
    ("xid", "'3'", r#""3""#, "3"),
    ("cid", "'3'", r#""3""#, "3"),
    ("oidvector", "'1 2'", r#"["1", "2"]"#, "1 2"),
    ("json", r#"'{"a":  1.50}'"#, r#"{"a": 1.50}"#, r#"{"a":  1.50}"#),
    ("xml", "'<a b=\"1\">x</a>'", r#""<a b=\"1\">x</a>""#, "<a b=\"1\">x</a>"),
    ("pg_node_tree", "'{CONST}'::text::pg_node_tree", r#""{CONST}""#, "{CONST}"),
    ("point", "point(0.1::float8 + 0.2, 0)", r#""(0.30000000000000004,0)""#, "(0.30000000000000004,0)"),
    ("lseg", "'(0,0),(1,0.1)'", r#""[(0,0),(1,0.1)]""#, "[(0,0),(1,0.1)]"),
    ("path", "'((0,0),(1,0.1))'", r#""((0,0),(1,0.1))""#, "((0,0),(1,0.1))"),
    ("box", "'(1,1),(0,0.1)'", r#""(1,1),(0,0.1)""#, "(1,1),(0,0.1)"),
    ("polygon", "'((0,0),(1,0.1))'", r#""((0,0),(1,0.1))""#, "((0,0),(1,0.1))"),
    ("line", "'{1,0.1,2}'", r#""{1,0.1,2}""#, "{1,0.1,2}"),
    ("float4", "'0.1'", "0.1", "0.1"),
    ("float8", "0.1::float8 + 0.2", "0.30000000000000004", "0.30000000000000004"),
    ("circle", "'<(0,0),0.1>'", r#""<(0,0),0.1>""#, "<(0,0),0.1>"),
    ("money", "'-1234567.89'", r#""-$1,234,567.89""#, "-$1,234,567.89"),
    ("macaddr", "'08002b010203'", r#""08:00:2b:01:02:03""#, "08:00:2b:01:02:03"),
    ("inet", "'10.0.0.1/8'", r#""10.0.0.1/8""#, "10.0.0.1/8"),
    ("cidr", "'10.0.0.0/8'", r#""10.0.0.0/8""#, "10.0.0.0/8"),
    ("macaddr8", "'08002b0102030405'", r#""08:00:2b:01:02:03:04:05""#, "08:00:2b:01:02:03:04:05"),
    ("aclitem", "'postgres=r/postgres'", r#""postgres=r/postgres""#, "postgres=r/postgres"),
    ("bpchar", "'ab  '::char(4)", r#""ab  ""#, "ab"),
    ("varchar", "'ab  '", r#""ab  ""#, "ab  "),
    ("date", "'2024-02-01'", r#""2024-02-01""#, "2024-02-01"),
    ("time", "'01:02:03.5'", r#""01:02:03.5""#, "01:02:03.5"),
    ("timestamp", "'2024-02-01 12:34:56.7'", r#""2024-02-01T12:34:56.7""#, "2024-02-01T12:34:56.7"),
    (
        "timestamptz",
        "'2024-02-01 12:00:00+05:45'",
        r#""2024-02-01T06:15:00+00:00""#,
        "2024-02-01T06:15:00+00:00",
    ),
    (
        "interval",
        "make_interval(1, 2, 0, -3, 4)",
        r#""1 year 2 mons -3 days +04:00:00""#,
        "1 year 2 mons -3 days +04:00:00",
    ),
    ("timetz", "'01:02:03+05:45'", r#""01:02:03+05:45""#, "01:02:03+05:45"),
    ("bit", "B'1'", r#""1""#, "1"),
    ("varbit", "B'101'", r#""101""#, "101"),
    ("numeric", "1234567.50", "1234567.50", "1234567.50"),
    ("refcursor", "'c'", r#""c""#, "c"),
    ("regprocedure", "'app.f(int)'", r#""app.f(integer)""#, "app.f(integer)"),
    ("regoper", "'app.==='", r#""app.===""#, "app.==="),
    ("regoperator", "'app.===(int,int)'", r#""app.===(integer,integer)""#, "app.===(integer,integer)"),
    ("regclass", "'app.\"T\"'", r#""app.\"T\"""#, "app.\"T\""),
    ("regcollation", "'app.coll'", r#""app.coll""#, "app.coll"),
    ("regtype", "'app.mood'", r#""app.mood""#, "app.mood"),
    ("regrole", "'postgres'", r#""postgres""#, "postgres"),
    ("regnamespace", "'\"Odd\"'", r#""\"Odd\"""#, "\"Odd\""),
    (
        "uuid",
        "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
        r#""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#,
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    ),
    ("pg_lsn", "'16/B374D848'", r#""16/B374D848""#, "16/B374D848"),
    ("tsvector", "'a:1 b:2'", r#""'a':1 'b':2""#, "'a':1 'b':2"),
    ("gtsvector", r"'\x01000000'::bytea::gtsvector", r#""0 unique words""#, "0 unique words"),
    ("tsquery", "'a & b'", r#""'a' & 'b'""#, "'a' & 'b'"),
    ("regconfig", "'app.conf'", r#""app.conf""#, "app.conf"),
    ("regdictionary", "'app.dict'", r#""app.dict""#, "app.dict"),
    ("jsonb", r#"'{"a": [1.50]}'"#, r#"{"a": [1.50]}"#, r#"{"a": [1.50]}"#),
    ("jsonpath", "'$.a'", r#""$.\"a\"""#, "$.\"a\""),
    ("txid_snapshot", "'10:20:10'", r#""10:20:10""#, "10:20:10"),
    ("pg_snapshot", "'10:20:10'", r#""10:20:10""#, "10:20:10"),
    ("xid8", "'5'", r#""5""#, "5"),
    ("int4range", "'[1,5)'", r#""[1,5)""#, "[1,5)"),
    ("numrange", "'[1.50,5)'", r#""[1.50,5)""#, "[1.50,5)"),
    ("tsrange", "'[2024-02-01,)'", r#""[\"2024-02-01 00:00:00\",)""#, "[\"2024-02-01 00:00:00\",)"),
    (
        "tstzrange",
        "'[2024-02-01 00:00+00,)'",
        r#""[\"2024-02-01 00:00:00+00\",)""#,
        "[\"2024-02-01 00:00:00+00\",)",
    ),
    ("daterange", "'[2024-02-01,)'", r#""[2024-02-01,)""#, "[2024-02-01,)"),
    ("int8range", "'[1,5)'", r#""[1,5)""#, "[1,5)"),
    ("int4multirange", "'{[1,5)}'", r#""{[1,5)}""#, "{[1,5)}"),
    ("nummultirange", "'{[1.50,5)}'", r#""{[1.50,5)}""#, "{[1.50,5)}"),
    (
        "tsmultirange",
        "'{[2024-02-01,)}'",
        r#""{[\"2024-02-01 00:00:00\",)}""#,
        "{[\"2024-02-01 00:00:00\",)}",
    ),
    (
        "tstzmultirange",
        "'{[2024-02-01 00:00+00,)}'",
        r#""{[\"2024-02-01 00:00:00+00\",)}""#,
        "{[\"2024-02-01 00:00:00+00\",)}",
    ),
    ("datemultirange", "'{[2024-02-01,)}'", r#""{[2024-02-01,)}""#, "{[2024-02-01,)}"),
    ("int8multirange", "'{[1,5)}'", r#""{[1,5)}""#, "{[1,5)}"),
    (
        "pg_ndistinct",
        "(SELECT stxdndistinct FROM pg_statistic_ext_data)",
        r#""{\"1, 2\": 3}""#,
        "{\"1, 2\": 3}",
    ),
    (
        "pg_dependencies",
        "(SELECT stxddependencies FROM pg_statistic_ext_data)",
        r#""{\"1 => 2\": 1.000000, \"2 => 1\": 1.000000}""#,
        "{\"1 => 2\": 1.000000, \"2 => 1\": 1.000000}",
    ),
    ("pg_mcv_list", r"'\x00ff'::bytea::pg_mcv_list", r#""\\x00ff""#, r"\x00ff"),
    (
        "pg_brin_bloom_summary",
        r"'\x000007004000000000000000'::bytea::pg_brin_bloom_summary",
        r#""{mode: hashed  nhashes: 7  nbits: 64  nbits_set: 0}""#,
        "{mode: hashed  nhashes: 7  nbits: 64  nbits_set: 0}",
    ),
    (
        "pg_brin_minmax_multi_summary",
        r"'\x17000000000000000000000020000000'::bytea::pg_brin_minmax_multi_summary",
        r#""{nranges: 0  nvalues: 0  maxvalues: 32}""#,
        "{nranges: 0  nvalues: 0  maxvalues: 32}",
    ),
    ("public.citext", "'Ab'", r#""Ab""#, "Ab"),
    ("public.hstore", "'a=>1'", r#""\"a\"=>\"1\"""#, "\"a\"=>\"1\""),
    ("app.mood", "'so \"so\"'", r#""so \"so\"""#, "so \"so\""),
    ("public.money_range", "money_range('1234.50', NULL)", r#""[\"$1,234.50\",)""#, "[\"$1,234.50\",)"),
    (
        "public.timetz_range",
        "timetz_range('01:02:03+05:45', NULL)",
        r#""[01:02:03+05:45,)""#,
        "[01:02:03+05:45,)",
    ),
    ("public.class_range", "class_range('app.\"T\"', NULL)", "=", r#"["app.""T""",)"#),
    ("public.float_range", "float_range(0.1::float8 + 0.2, 1)", "=", "[0.30000000000000004,1)"),
    ("public.bytea_range", r"bytea_range('\x00', '\xff')", "=", r#"["\\x00","\\xff")"#),
    ("public.interval_range", "interval_range(make_interval(1, -2), NULL)", "=", r#"["10 mons",)"#),
    (
        "public.pay_range",
        "pay_range(ROW('1.5', 'app.\"T\"')::pay, NULL)",
        "=",
        r#"["($1.50,""app.""""T"""""")",)"#,
    ),
    (
        "public.wild",
        r#"ROW('-0.05', 'app."T"', make_interval(1), '\x00', 0.1::float8 + 0.2, '2024-02-01 12:00+05:45')"#,
        r#"{"b": "\\x00", "c": "app.\"T\"", "f": 0.30000000000000004, "i": "1 year", "m": "-$0.05", "z": "2024-02-01T06:15:00+00:00"}"#,
        r#"(-$0.05,"app.""T""","1 year","\\x00",0.30000000000000004,"2024-02-01 06:15:00+00")"#,
    ),
];

const HOSTILE: &[&str] = &[
    "lc_monetary = 'xx'",
    "lc_monetary = 'C'",
    "lc_numeric = 'xx'",
    "lc_time = 'xx'",
    "lc_messages = 'C'",
    "TimeZone = 'Asia/Kathmandu'",
    "TimeZone = '-15:59'",
    "DateStyle = 'SQL, DMY'",
    "DateStyle = 'Postgres, MDY'",
    "DateStyle = 'German, YMD'",
    "IntervalStyle = 'sql_standard'",
    "IntervalStyle = 'postgres_verbose'",
    "IntervalStyle = 'iso_8601'",
    "bytea_output = 'escape'",
    "extra_float_digits = -15",
    "extra_float_digits = 3",
    "xmlbinary = 'hex'",
    "xmloption = 'document'",
    "quote_all_identifiers = on",
    "standard_conforming_strings = off",
    "backslash_quote = on",
    "search_path = ''",
    "search_path = 'app'",
    "search_path = 'app, public, pg_catalog, pg_temp'",
    "search_path = 'nowhere, \"Odd\"'",
    "array_nulls = off",
    "default_text_search_config = 'app.conf'",
    "transform_null_equals = on",
    "row_security = off",
    "session_replication_role = 'replica'",
];

/// A locale whose money looks like nobody's, for the server to find.
fn locale() -> PathBuf {
    let dir = PathBuf::from(format!("/tmp/audit_log_locale.{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let source = dir.join("xx.source");
    let money = r#"LC_MONETARY
int_curr_symbol "XTS "
currency_symbol "XT"
mon_decimal_point ","
mon_thousands_sep "."
mon_grouping 2;2
positive_sign "+"
negative_sign "~"
int_frac_digits 3
frac_digits 3
p_cs_precedes 0
p_sep_by_space 1
n_cs_precedes 0
n_sep_by_space 1
p_sign_posn 1
n_sign_posn 0
END LC_MONETARY
LC_NUMERIC
decimal_point ","
thousands_sep "."
grouping 2;2
END LC_NUMERIC
"#;
    std::fs::write(&source, money).expect("written");
    let mut command = Command::new("localedef");
    // It complains of what the source does not define, and makes it as it is in C.
    let output =
        command.args(["-c", "-i"]).arg(&source).arg(dir.join("xx")).output().expect("localedef runs");
    assert!(dir.join("xx/LC_MONETARY").exists(), "{}", String::from_utf8_lossy(&output.stderr));
    dir
}

const FORMS: [&str; 4] = ["v", "a", "d", "c"];

/// The tables: of each type s… with the value in all forms, and a watched w… a form, whose key it is.
fn furnish(client: &mut Client) {
    run(client, OBJECTS);
    run(client, "CREATE TYPE pay AS (m money, c regclass); CREATE TYPE pay_range AS RANGE (subtype = pay)");
    let missing = all(
        client,
        &format!(
            "SELECT typname FROM pg_type t WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm')
               AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid) AND typname <> ALL ('{{{}}}')",
            SAMPLES.iter().map(|s| s.0.trim_matches('"')).collect::<Vec<_>>().join(",")
        ),
    );
    assert_eq!(missing, Vec::<String>::new(), "types without a sample");
    for (i, (kind, value, _, _)) in SAMPLES.iter().enumerate() {
        run(
            client,
            &format!(
                "CREATE DOMAIN d{i} AS {kind}; CREATE TYPE c{i} AS (v {kind});
                 CREATE TABLE s{i} AS SELECT ({value})::{kind} AS v, ({value})::{kind}::d{i} AS d, ROW(({value})::{kind})::c{i} AS c"
            ),
        );
        let has_array =
            one(client, &format!("SELECT typarray <> 0 FROM pg_type WHERE oid = '{kind}'::regtype")) == "t";
        if has_array {
            run(client, &format!("ALTER TABLE s{i} ADD a {kind}[]; UPDATE s{i} SET a = ARRAY[v]"));
        }
        for form in FORMS.into_iter().filter(|form| has_array || *form != "a") {
            run(
                client,
                &format!(
                    "CREATE TABLE w{i}_{form} AS SELECT {form} AS v, 1 AS n FROM s{i} LIMIT 0;
                     SELECT audit_log.watch('w{i}_{form}', target_id => '{{v}}', target_type => 'row')"
                ),
            );
        }
    }
}

/// Writes every form of every type in a session of these settings, and tells what became of it.
fn entries(cluster: &Cluster, tables: &[String], name: &str, settings: &[&str]) -> BTreeMap<String, String> {
    let mut writer = cluster.config("types").connect(NoTls).expect("connects");
    run(&mut writer, &format!("SET application_name = '{name}'"));
    for setting in settings {
        run(&mut writer, &format!("SET {setting}"));
    }
    let mut writes = String::new();
    for table in tables {
        let (source, form) = table.split_once('_').expect("a form");
        let source = source.replacen('w', "s", 1);
        writes += &format!(
            "INSERT INTO public.{table} SELECT {form}, 1 FROM public.{source}; DELETE FROM public.{table};"
        );
    }
    run(&mut writer, &writes);
    let mut reader = cluster.config("types").connect(NoTls).expect("connects");
    let found = format!(
        "SELECT concat_ws(' ', split_part(relation, '.', 2), operation, E'\t', target_id, '|', before, '|', after) FROM audit_log.entry
         WHERE application_name = '{name}' AND operation IS NOT NULL"
    );
    let pair =
        |line: String| line.split_once('\t').map(|(a, b)| (a.to_string(), b.to_string())).expect("a tab");
    all(&mut reader, &found).into_iter().map(pair).collect()
}

fn check(cluster: &Cluster) {
    run(&mut cluster.config("postgres").connect(NoTls).expect("connects"), "CREATE DATABASE types");
    let mut client = cluster.config("types").connect(NoTls).expect("connects");
    furnish(&mut client);
    let tables = all(&mut client, "SELECT relname FROM pg_class WHERE relname ~ '^w[0-9]+_' ORDER BY 1");
    let default = entries(cluster, &tables, "default", &[]);
    assert_eq!(default.len(), tables.len() * 2);
    let mut faults = Vec::new();
    for (i, (kind, _, state, key)) in SAMPLES.iter().enumerate() {
        let state = match *state {
            "=" => audit_log_tests::Value::from(*key).to_string(),
            state => state.to_string(),
        };
        for form in FORMS {
            let shown = match form {
                "a" => format!("[{state}]"),
                "c" => format!("{{\"v\": {state}}}"),
                _ => state.clone(),
            };
            let image = format!("{{\"n\": 1, \"v\": {shown}}}");
            for (operation, expected) in
                [("insert", format!("| | {image}")), ("delete", format!("| {image} |"))]
            {
                let Some(found) = default.get(&format!("w{i}_{form} {operation} ")) else { continue };
                // Of arrays and composites the id is what their output function says.
                let found_key = found.trim_start().strip_suffix(&expected).map(str::trim_end);
                if found_key.is_none() || (["v", "d"].contains(&form) && found_key != Some(key.trim_end())) {
                    faults.push(format!("{kind} {form} {operation}:{found}, not {key} {expected}"));
                }
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    let alone = HOSTILE.iter().map(|setting| vec![*setting]);
    let together =
        [HOSTILE.iter().step_by(2).copied().collect(), HOSTILE.iter().skip(1).step_by(2).copied().collect()];
    for (n, settings) in alone.chain(together).enumerate() {
        let hostile = entries(cluster, &tables, &format!("hostile {n}"), &settings);
        for (row, expected) in &default {
            if hostile.get(row) != Some(expected) {
                let kind =
                    row.trim_start_matches('w').split('_').next().and_then(|i| i.parse::<usize>().ok());
                let kind = kind.map_or("", |i| SAMPLES[i].0);
                faults.push(format!("{settings:?}: {kind} {row}: {:?}, not {expected}", hostile.get(row)));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn every_type_looks_the_same_under_every_setting() {
    let locales = locale();
    let path: &Path = &locales;
    let cluster =
        Cluster::start_in(&[("LOCPATH", path)], &["autovacuum=off", "max_locks_per_transaction=256"], None);
    // The locale is another one: or it would prove nothing.
    let mut client = cluster.config("postgres").connect(NoTls).expect("connects");
    assert_eq!(
        one(&mut client, "SET lc_monetary = 'xx'; SELECT (1234.5::numeric)::money::text"),
        "+12.34,500 XT"
    );
    check(&cluster);
    cluster.stop();
    std::fs::remove_dir_all(&locales).expect("removed");
}
