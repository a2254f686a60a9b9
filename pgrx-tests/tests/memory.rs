//! Every reader, in every shape of plan, gives what was written: no value that it hands out lies in memory that
//! something else has meanwhile. On a server with assertions what is freed is overwritten at once.

use audit_log_tests::{all, json, run, Db, Value};
use postgres::Client;

use crate::memory_facts::{Fact, World};

/// How a query is planned; and what it gives, so many times each row.
struct Shape {
    name: &'static str,
    settings: &'static str,
    sql: &'static str,
    times: usize,
}

const fn shape(name: &'static str, settings: &'static str, sql: &'static str, times: usize) -> Shape {
    Shape { name, settings, sql, times }
}

const NESTED: &str =
    "enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off";
const MATERIALIZED: &str = "enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off";
const HASHED: &str = "enable_nestloop = off; SET enable_mergejoin = off; SET enable_sort = off";
const MERGED: &str = "enable_nestloop = off; SET enable_hashjoin = off; SET enable_hashagg = off";
const PARALLEL: &str =
    "parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0";

const SHAPES: [Shape; 12] = [
    shape("one scan", "enable_sort = on", "SELECT to_jsonb(x) FROM FROM_ x", 1),
    shape(
        "rescans by a parameter",
        NESTED,
        "SELECT to_jsonb(x) FROM generate_series(1, 3) g(i), LATERAL (SELECT y.* FROM FROM_ y WHERE g.i > 0 OFFSET 0) x",
        3,
    ),
    shape("rescans as they are", NESTED, "SELECT to_jsonb(x) FROM generate_series(1, 2) g LEFT JOIN FROM_ x ON true", 2),
    shape(
        "materialized",
        MATERIALIZED,
        "SELECT to_jsonb(x) FROM generate_series(1, 2) g LEFT JOIN FROM_ x ON g.g > 0",
        2,
    ),
    shape("kept by WITH", "enable_sort = on", "WITH m AS MATERIALIZED (SELECT y.* FROM FROM_ y) SELECT to_jsonb(m) FROM m", 1),
    shape("sorted", MERGED, "SELECT to_jsonb(x) FROM (SELECT y.* FROM FROM_ y ORDER BY y::text DESC) x", 1),
    shape("distinct by hashes", HASHED, "SELECT to_jsonb(x) FROM (SELECT DISTINCT y.* FROM FROM_ y) x", 1),
    shape("distinct by order", MERGED, "SELECT to_jsonb(x) FROM (SELECT DISTINCT y.* FROM FROM_ y) x", 1),
    shape("joined by hashes", HASHED, "SELECT to_jsonb(a) FROM FROM_ a JOIN FROM_ b ON a::text = b::text", 1),
    shape("joined by order", MERGED, "SELECT to_jsonb(a) FROM FROM_ a JOIN FROM_ b ON a::text = b::text", 1),
    shape(
        "in a window",
        "enable_sort = on",
        "SELECT to_jsonb(w) - 'in_window' FROM (SELECT y.*, count(*) OVER () AS in_window FROM FROM_ y) w",
        1,
    ),
    shape(
        "twice, in parallel where it may be",
        PARALLEL,
        "SELECT to_jsonb(x) FROM (SELECT y.* FROM FROM_ y UNION ALL SELECT y.* FROM FROM_ y) x",
        2,
    ),
];

/// A query of each row as JSON, with FROM_ for the reader.
fn of(sql: &str, from: &str) -> String {
    sql.replace("FROM_", &format!("(SELECT * FROM {from})"))
}

fn parsed(rows: Vec<String>) -> Vec<Value> {
    rows.iter().map(|row| serde_json::from_str(row).unwrap_or_else(|e| panic!("{row}: {e}"))).collect()
}

fn sorted(rows: &[Value]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

/// Which rows differ, each cut: they are long.
#[track_caller]
fn same(rows: &[Value], wanted: &[Value], what: &str) {
    let (rows, wanted) = (sorted(rows), sorted(wanted));
    let cut = |row: &String| row.chars().take(1_500).collect::<String>();
    if let Some(odd) = rows.iter().find(|row| !wanted.contains(row)) {
        panic!("{what}: nobody wrote {}\nbut {:?}", cut(odd), wanted.iter().map(cut).collect::<Vec<_>>());
    }
    if let Some(lacking) = wanted.iter().find(|row| !rows.contains(row)) {
        panic!("{what}: {} is not there", cut(lacking));
    }
    assert_eq!(rows.len(), wanted.len(), "{what}");
    assert!(rows == wanted, "{what}: some rows come twice, others not");
}

/// All rows through cursors: a few at a time, backwards, and after the transaction.
fn by_cursors(client: &mut Client, sql: &str) -> Vec<(&'static str, Vec<Value>)> {
    let mut found = Vec::new();
    let rows = |client: &mut Client, fetches: &[&str]| -> Vec<Value> {
        fetches.iter().flat_map(|fetch| parsed(all(client, &format!("FETCH {fetch} FROM c")))).collect()
    };
    run(client, &format!("BEGIN; DECLARE c NO SCROLL CURSOR FOR {sql}"));
    found.push(("a cursor", rows(client, &["1", "NEXT", "7", "FORWARD 2", "ALL"])));
    run(client, &format!("CLOSE c; DECLARE c NO SCROLL CURSOR FOR {sql}; SAVEPOINT s"));
    let mut with_savepoint = rows(client, &["2"]);
    run(client, "RELEASE s; SAVEPOINT t; SELECT 1; ROLLBACK TO t");
    with_savepoint.extend(rows(client, &["ALL"]));
    found.push(("a cursor across savepoints", with_savepoint));
    run(client, &format!("CLOSE c; DECLARE c SCROLL CURSOR FOR {sql}"));
    rows(client, &["ALL"]);
    found.push(("a cursor backwards", rows(client, &["BACKWARD 3", "BACKWARD ALL"])));
    run(client, &format!("CLOSE c; DECLARE c CURSOR WITH HOLD FOR {sql}"));
    let mut held = rows(client, &["2"]);
    run(client, "COMMIT");
    held.extend(rows(client, &["3", "ALL"]));
    found.push(("a cursor that is held", held));
    run(client, "CLOSE c");
    found
}

/// Reads a reader in all shapes; `settle` puts what nobody knows beforehand in order.
fn check(
    world: &mut World,
    from: &str,
    wanted: &[Value],
    mut settle: impl FnMut(&mut World, Value) -> Value,
) {
    assert!(!wanted.is_empty(), "{from}");
    let mut settled = |world: &mut World, rows: Vec<Value>| -> Vec<Value> {
        rows.into_iter().map(|row| settle(world, row)).collect()
    };
    for Shape { name, settings, sql, times } in SHAPES {
        let what = format!("{from}, {name}");
        world.db.run(&format!("BEGIN; SET LOCAL {}", settings.replace("SET ", "SET LOCAL ")));
        let rows = parsed(world.db.all(&of(sql, from)));
        world.db.run("COMMIT");
        let rows = settled(world, rows);
        let all: Vec<Value> = (0..times).flat_map(|_| wanted.iter().cloned()).collect();
        same(&rows, &all, &what);
    }
    let plain = of("SELECT to_jsonb(x) FROM FROM_ x", from);
    for (name, rows) in by_cursors(&mut world.db.client, &plain) {
        let rows = settled(world, rows);
        same(&rows, wanted, &format!("{from}, {name}"));
    }
    // A part of them only, and what is aborted in between.
    let few = parsed(world.db.all(&format!("{plain} LIMIT 3")));
    let few = settled(world, few);
    assert_eq!(few.len(), wanted.len().min(3), "{from}, LIMIT");
    let known = sorted(wanted);
    assert!(sorted(&few).iter().all(|row| known.contains(row)), "{from}, LIMIT");
    world.db.fails(&format!("{plain} WHERE 1 / (length(x::text) - length(x::text)) > 0"));
    // As PL/pgSQL takes rows, one after the other.
    world.db.run(&format!(
        "CREATE OR REPLACE FUNCTION pg_temp.looped() RETURNS SETOF jsonb LANGUAGE plpgsql AS $f$
         DECLARE r record; BEGIN FOR r IN SELECT * FROM {from} LOOP RETURN NEXT to_jsonb(r); END LOOP; END $f$"
    ));
    let rows = parsed(world.db.all("SELECT pg_temp.looped()"));
    let rows = settled(world, rows);
    same(&rows, wanted, &format!("{from}, a loop"));
    // A plan that is kept.
    world.db.run(&format!("SET plan_cache_mode = force_generic_plan; PREPARE kept AS {plain}"));
    for _ in 0..2 {
        let rows = parsed(world.db.all("EXECUTE kept"));
        let rows = settled(world, rows);
        same(&rows, wanted, &format!("{from}, a kept plan"));
    }
    world.db.run("DEALLOCATE kept; RESET plan_cache_mode");
}

const OURS: &str = "organization_id IN ('acme', 'globex', 'initech')";

fn as_it_is(_: &mut World, row: Value) -> Value {
    row
}

fn without(mut row: Value, column: &str) -> Value {
    assert!(row.as_object_mut().is_some_and(|row| row.remove(column).is_some()), "{column}: {row}");
    row
}

#[test]
fn entry_and_feed() {
    let mut world = World::new();
    let wanted: Vec<Value> = world.of(None).map(Fact::entry).collect();
    for view in ["entry", "feed"] {
        check(&mut world, &format!("audit_log.{view} WHERE {OURS}"), &wanted, World::settled);
    }
    // By the order of positions, and from one on.
    let positions = format!("SELECT position FROM audit_log.feed WHERE {OURS} ORDER BY position");
    let read = world.db.all(&positions);
    let mut told: Vec<String> =
        world.of(None).filter(|f| f.at.is_some()).map(|f| f.position.clone()).collect();
    told.sort();
    assert_eq!(read[..told.len()], told, "in order");
    let behind = format!(
        "SELECT f.id FROM (VALUES ('{}'), ('{}')) v(p)
         CROSS JOIN LATERAL (SELECT id FROM audit_log.feed WHERE position > v.p ORDER BY position LIMIT 2) f",
        told[3], told[11]
    );
    let id_of =
        |position: &String| world.facts.iter().find(|f| f.position == *position).map(|f| f.id.clone());
    let wanted: Vec<String> =
        [&told[4], &told[5], &told[12], &told[13]].into_iter().filter_map(id_of).collect();
    assert_eq!(world.db.all(&behind), wanted, "from a position on, again and again");
    for order in ["id", "id DESC", "target_name, id", "before DESC, id"] {
        let sql =
            format!("SELECT to_jsonb(x) FROM (SELECT * FROM audit_log.feed WHERE {OURS} ORDER BY {order}) x");
        let rows = parsed(world.db.all(&sql));
        let rows: Vec<Value> = rows.into_iter().map(|row| world.settled(row)).collect();
        let wanted: Vec<Value> = world.of(None).map(Fact::entry).collect();
        same(&rows, &wanted, order);
        if order == "id" {
            let ids: Vec<&Value> = rows.iter().take(30).map(|row| &row["id"]).collect();
            let told: Vec<Value> = world.facts.iter().take(30).map(|fact| json!(fact.id)).collect();
            assert_eq!(ids, told.iter().collect::<Vec<_>>(), "by id they are in the order of their instants");
        }
    }
}

#[test]
fn companions() {
    let mut world = World::new();
    let told = |world: &World| -> Vec<usize> {
        (0..world.facts.len()).filter(|i| world.facts[*i].at.is_some()).collect()
    };
    let mut targets = Vec::new();
    let mut changes = Vec::new();
    for fact in told(&world).into_iter().map(|i| &world.facts[i]) {
        for (i, target) in fact.targets().iter().enumerate() {
            targets.push(json!({
                "entry_id": fact.id, "organization_id": fact.organization, "occurred_at": fact.entry()["occurred_at"],
                "ordinal": i + 1, "target_type": target["type"], "target_id": target["id"],
                "target_name": target["name"], "relation": target["relation"], "metadata": target["metadata"]
            }));
        }
        for (column, [old, new]) in
            fact.changes.as_object().into_iter().flatten().map(|(c, sides)| (c, [&sides[0], &sides[1]]))
        {
            changes.push(
                json!({"entry_id": fact.id, "column_name": column, "old_value": old, "new_value": new}),
            );
        }
    }
    // A side that is not there is no JSON null; to_jsonb shows both alike.
    let told = "entry_id IN (SELECT id FROM audit_log.entry WHERE category = 'job_updated')";
    check(&mut world, &format!("audit_log.entry_target WHERE {told}"), &targets, as_it_is);
    check(&mut world, &format!("audit_log.entry_change WHERE {told}"), &changes, as_it_is);
    let bi: Vec<Value> = world.of(None).map(Fact::bi).collect();
    check(&mut world, &format!("audit_log.bi_audit_log WHERE {OURS}"), &bi, |_, mut row| {
        if row["event_target_type"] == "item" {
            row["event_time"] = json!("(clock)");
        }
        row
    });
    let mut counts: std::collections::BTreeMap<String, (Value, i64)> = Default::default();
    for fact in &world.facts {
        let row = json!({"day": if fact.at.is_some() { fact.day.as_str() } else { "(today)" },
                         "organization_id": fact.organization, "category": fact.category,
                         "actor_type": fact.actor[0], "actor_id": fact.actor[1]});
        counts.entry(row.to_string()).or_insert((row, 0)).1 += 1;
    }
    let counts: Vec<Value> = counts
        .into_values()
        .map(|(mut row, count)| {
            row["events"] = json!(count);
            row
        })
        .collect();
    let settle = |_: &mut World, mut row: Value| {
        if row["category"] != "job_updated" {
            row["day"] = json!("(today)");
        }
        row
    };
    check(&mut world, &format!("audit_log.activity_daily WHERE {OURS}"), &counts, settle);
    world.db.run("SELECT audit_log.count_entries()");
    check(&mut world, &format!("audit_log.activity_daily WHERE {OURS}"), &counts, settle);
}

#[test]
fn functions_that_give_rows() {
    let mut world = World::new();
    let (day, acme): (String, Option<&str>) = (world.day.clone(), Some("acme"));
    let window = format!("start_date => '{day}', end_date => 'tomorrow'::timestamptz + interval '1 day'");
    let wanted: Vec<Value> = world.of(acme).map(Fact::entry).collect();
    let settle = |world: &mut World, row: Value| {
        assert_eq!(row["next_cursor"], Value::Null);
        world.settled(without(row, "next_cursor"))
    };
    check(&mut world, &format!("audit_log.list({window}, organization => 'acme')"), &wanted, settle);
    let (total, last) = (wanted.len(), wanted.len());
    let paged: Vec<Value> = world
        .of(acme)
        .map(|fact| {
            let (mut row, shown) = (fact.entry(), fact.page_columns());
            for (key, value) in shown.as_object().into_iter().flatten() {
                row[key] = value.clone();
            }
            (row["total"], row["first_row"], row["last_row"]) = (json!(total), json!(1), json!(last));
            row
        })
        .collect();
    check(&mut world, "audit_log.page(page_size => 100, organization => 'acme')", &paged, World::settled);
    let cursor = world.db.one("SELECT audit_log.sync_start('epoch')");
    let behind = |row: Value| {
        assert!(row["cursor"].as_str().is_some_and(|cursor| cursor.len() > 20), "{row}");
        without(row, "cursor")
    };
    let sync = format!("audit_log.sync('{cursor}', organization => 'acme')");
    check(&mut world, &sync, &wanted, |world, row| world.settled(behind(row)));
    // Each cursor goes on behind its own row.
    for (i, cursor) in world.db.all(&format!("SELECT cursor FROM {sync}")).iter().enumerate() {
        let rest =
            world.db.one(&format!("SELECT count(*) FROM audit_log.sync('{cursor}', organization => 'acme')"));
        assert_eq!(rest, (total - i - 1).to_string());
    }
    let exported: Vec<Value> = world.of(None).map(Fact::exported).collect();
    let columns = "action, actor, targets, access_route, remote_addr, user_agent, metadata, before, after";
    let export = format!(
        "(SELECT {columns} FROM audit_log.export() WHERE action IN ('job_updated', 'item_created', 'item_updated', 'item_deleted')) e"
    );
    check(&mut world, &export, &exported, as_it_is);
    let people: Vec<Value> = (0..4)
        .flat_map(|i| {
            ["user", "support"]
                .map(|kind| json!({"type": kind, "id": format!("p{i}"), "name": format!("Ann {i}")}))
        })
        .filter(|person| {
            let is = |of: &[Value; 4]| (&of[0], &of[1]) == (&person["type"], &person["id"]);
            world.facts.iter().any(|fact| is(&fact.actor) || is(&fact.effective))
        })
        .collect();
    check(&mut world, "audit_log.people('aNN', 100)", &people, as_it_is);
}

#[test]
fn documents_of_the_api() {
    let mut world = World::new();
    let day = world.day.clone();
    let wanted: Vec<Value> = world.of(Some("globex")).map(Fact::entry).collect();
    let tomorrow = world.db.one("SELECT to_char(now() + interval '1 day', 'YYYY-MM-DD')");
    let list = format!(
        r#"audit_log.list_json('{{"startDate": "{day}", "endDate": "{tomorrow}", "organization": "globex"}}')"#
    );
    let sync = r#"audit_log.sync_json('{"backfillStartTime": "2020-01-01", "organization": "globex"}')"#;
    // What was committed while the past was read is for the next call.
    for (call, more) in [(list.as_str(), false), (sync, true)] {
        let from = format!("(SELECT jsonb_array_elements({call} -> 'results') AS entry) j");
        check(&mut world, &from, &wanted, |world, row| world.settled(Fact::from_api(&row["entry"])));
        let answer = world.db.json(&format!("SELECT {call} - 'results' - 'nextCursor'"));
        assert_eq!(answer, json!({"success": true, "moreDataAvailable": more}));
    }
}

#[test]
fn one_rows_past() {
    let mut world = World::new();
    let of_item = |world: &World, id: &str| -> Vec<Value> {
        let its = |fact: &&Fact| fact.target[0] == "item" && fact.target[1] == id;
        world.facts.iter().filter(its).map(Fact::entry).collect()
    };
    for id in ["1", "2"] {
        let wanted = of_item(&world, id);
        assert_eq!(wanted.len(), 2);
        check(&mut world, &format!("audit_log.history('item', '{id}')"), &wanted, World::settled);
    }
    let now: Value = serde_json::from_str(
        r#"{"r": {"id": 1, "org": "acme", "doc": {"a": [1, 2]}, "name": "uno", "tags": ["x", "y"], "amount": 1.5}}"#,
    )
    .expect("JSON");
    check(&mut world, "(SELECT audit_log.row_at('item', '1', clock_timestamp()) AS r) r", &[now], as_it_is);
    let then = "(SELECT audit_log.row_at('item', '2', (SELECT min(occurred_at) FROM audit_log.history('item', '2'))) AS r) r";
    let after = world
        .facts
        .iter()
        .find(|f| f.category == "item_created" && f.target[1] == "2")
        .map(|f| f.after.clone());
    check(&mut world, then, &[json!({"r": after})], as_it_is);
}

/// A row may be older than a column of its type: that column's value lies in the type, not in the row.
#[test]
fn values_that_lie_in_the_type() {
    let mut db = Db::new();
    db.run(
        "CREATE TYPE part AS (a int);
         CREATE TABLE late (id int PRIMARY KEY, one part, many part[]);
         CREATE TABLE tree (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
         CREATE TABLE tree_eu PARTITION OF tree FOR VALUES IN ('eu');
         CREATE TABLE tree_us PARTITION OF tree FOR VALUES IN ('us');
         SELECT audit_log.watch('late'); SELECT audit_log.watch('tree');
         INSERT INTO late VALUES (1, ROW(7), ARRAY[ROW(8)::part, ROW(9)::part]); INSERT INTO tree VALUES (1, 'eu');
         ALTER TYPE part ADD ATTRIBUTE b text;
         ALTER TABLE late ADD COLUMN word text DEFAULT 'a default that is long enough to be out of the way';
         ALTER TABLE tree ADD COLUMN word text DEFAULT 'a default that is long enough to be out of the way';
         UPDATE late SET id = 2; DELETE FROM late; UPDATE tree SET region = 'us'; DELETE FROM tree",
    );
    let word = "a default that is long enough to be out of the way";
    let mut states = |relation: &str| -> Vec<Value> {
        parsed(db.all(&format!(
            "SELECT jsonb_build_array(before, after) FROM audit_log.entry
             WHERE relation = 'public.{relation}' AND operation <> 'insert' ORDER BY id"
        )))
    };
    let part = |a: i32| json!({"a": a, "b": null});
    let whole = json!({"id": 2, "one": part(7), "many": [part(8), part(9)], "word": word});
    assert_eq!(states("late"), [json!([{"id": 1}, {"id": 2}]), json!([whole, null])]);
    let moved = json!([{"region": "eu"}, {"region": "us"}]);
    assert_eq!(states("tree"), [moved, json!([{"id": 1, "region": "us", "word": word}, null])]);
}
