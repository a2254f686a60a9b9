//! Documents that a JSON library stumbles over come back from every reader and in every format: nested as
//! deep as PostgreSQL allows, and with keys that mean something to a library.

use audit_log_tests::{json, query, wait_for, Db};

/// Documents as SQL, those of one row together.
fn rows() -> Vec<Vec<String>> {
    let of_depth = |depth: usize| {
        [
            format!("(repeat('[', {depth}) || '7' || repeat(']', {depth}))::jsonb"),
            format!("(repeat('{{\"a\": ', {depth}) || '\"x\"' || repeat('}}', {depth}))::jsonb"),
            format!("(repeat('[{{\"k\": [1, ', {depth} / 3) || 'null' || repeat(', \"}}]\"]}}, 2]', {depth} / 3))::jsonb"),
        ]
    };
    let shallow = [98, 99, 100, 101, 126, 127, 128, 129].into_iter().flat_map(of_depth).collect();
    let keys = [
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
        "$serde_json::private::",
        "__proto__",
        "constructor",
        "",
        r"\\u0000",
        "<part0:0;",
        "[redacted]",
    ];
    let mut special = Vec::new();
    for key in keys {
        for value in ["\"1\"", "\"not a number\"", "[1]", "{}", "1e400"] {
            for document in
                [format!(r#"{{"{key}": {value}}}"#), format!(r#"[{{"b": {{"{key}": {value}, "z": 1}}}}]"#)]
            {
                special.push(format!("$j${document}$j$::jsonb"));
            }
        }
        special.push(format!("$j$[\"{key}\"]$j$::jsonb"));
    }
    vec![shallow, special, of_depth(1_000).to_vec(), of_depth(5_000).to_vec()]
}

/// A database whose one watched row got the documents, lost them, got them again, and was deleted; in
/// `given` the documents, and what each of these changed.
fn written(documents: &[String]) -> Db {
    let mut db = Db::new();
    let columns = |f: &dyn Fn(usize) -> String| (0..documents.len()).map(f).collect::<Vec<_>>().join(", ");
    db.run(&format!(
        "CREATE TABLE doc (id int PRIMARY KEY, {}); SELECT audit_log.watch('doc')",
        columns(&|i| format!("d{i} jsonb"))
    ));
    db.run(&format!("CREATE TABLE source AS SELECT {}", columns(&|i| format!("{} AS d{i}", documents[i]))));
    db.run(&format!(
        "INSERT INTO doc SELECT 1, * FROM source; UPDATE doc SET {}; UPDATE doc SET {} FROM source; DELETE FROM doc",
        columns(&|i| format!("d{i} = 'false'")),
        columns(&|i| format!("d{i} = source.d{i}"))
    ));
    let change = |sides: &str| {
        format!("(SELECT jsonb_object_agg(key, jsonb_build_array({sides})) FROM jsonb_each(d))")
    };
    db.run(&format!(
        "CREATE TABLE given AS SELECT d, {} AS born, {} AS away, {} AS back, {} AS died FROM (SELECT to_jsonb(source) AS d FROM source) s",
        change("NULL, value"),
        change("value, false"),
        change("false, value"),
        change("value, NULL")
    ));
    db
}

/// Each reader as a query that gives true where it shows the documents in the places they have to be in.
fn readers() -> Vec<(&'static str, String)> {
    let states = "count(*) = 4 AND count(*) FILTER (WHERE before - 'id' = g.d) = 2 AND count(*) FILTER (WHERE after - 'id' = g.d) = 2";
    let changes = "count(*) FILTER (WHERE changes - 'id' = CASE operation WHEN 'insert' THEN g.born WHEN 'delete' THEN g.died
                     WHEN 'update' THEN CASE WHEN before = g.d THEN g.away ELSE g.back END END) = 4";
    let both = format!("{states} AND {changes}");
    let rows = |from: &str| format!("SELECT {both} FROM {from} e, given g WHERE e.operation IS NOT NULL");
    let in_json = |call: &str| {
        format!(
            "SELECT {both} FROM jsonb_array_elements(({call}) -> 'results') r, given g,
                    jsonb_to_record(r) AS e(operation text, before jsonb, after jsonb, changes jsonb)
             WHERE e.operation IS NOT NULL"
        )
    };
    let format = |name: &str, wanted: &str| {
        format!(
            "SELECT count(*) FILTER (WHERE {wanted}) = 4
             FROM (SELECT e.*, audit_log.format(e, '{name}') AS f FROM audit_log.entry e WHERE e.operation IS NOT NULL) e, given g"
        )
    };
    // Whatever a format calls it: each document stands in it somewhere, as it is.
    let somewhere = "(SELECT bool_and(position(value::text in f::text) > 0) FROM jsonb_each(g.d))";
    vec![
        ("entry", rows("audit_log.entry")),
        ("list", rows("audit_log.list()")),
        ("page", rows("audit_log.page()")),
        ("sync", rows("audit_log.sync(audit_log.sync_start('2000-01-01'))")),
        ("feed", rows("audit_log.feed")),
        ("history", rows("audit_log.history('doc', '1')")),
        ("list_json", in_json("audit_log.list_json('{}')")),
        ("sync_json", in_json("audit_log.sync_json('{\"backfillStartTime\": \"2000-01-01\"}')")),
        (
            "export",
            "SELECT count(*) FILTER (WHERE before - 'id' = g.d) = 2 AND count(*) FILTER (WHERE after - 'id' = g.d) = 2
             FROM audit_log.export() e, given g"
                .to_string(),
        ),
        (
            "entry_change",
            "SELECT count(*) FILTER (WHERE old_value = g.d -> column_name) = 2 * n AND count(*) FILTER (WHERE new_value = g.d -> column_name) = 2 * n
             FROM audit_log.entry_change c JOIN audit_log.entry e ON e.id = c.entry_id AND operation IS NOT NULL,
                  given g, LATERAL (SELECT count(*) AS n FROM jsonb_object_keys(g.d)) k GROUP BY n"
                .to_string(),
        ),
        (
            "bi_audit_log",
            "SELECT count(*) FILTER (WHERE event_meta - 'id' IN (g.born, g.away, g.back, g.died)) = 4
             FROM audit_log.bi_audit_log b, given g"
                .to_string(),
        ),
        ("format ashby", format("ashby", somewhere)),
        // It has no place for a row's state.
        ("format captivateiq", format("captivateiq", "f ->> 'object_type' = 'doc'")),
        ("format gem", format("gem", somewhere)),
        ("format greenhouse", format("greenhouse", somewhere)),
        ("format ocsf", format("ocsf", somewhere)),
        // What is too large for one line is left out of it.
        (
            "summary",
            "SELECT bool_and(summary ~ CASE WHEN e.operation = 'update' AND audit_log.state_bytes(changes, NULL) <= 65536
                                            THEN '; d0: .* → ' ELSE 'Doc (created|updated|deleted), Doc 1$' END)
             FROM audit_log.page() e WHERE e.operation IS NOT NULL"
                .to_string(),
        ),
    ]
}

#[test]
fn every_reader_gives_every_document_back() {
    let mut faults = Vec::new();
    for (row, documents) in rows().iter().enumerate() {
        let mut db = written(documents);
        for (reader, sql) in readers() {
            if reader == "feed" {
                // Other tests' transactions hold it back.
                wait_for(&mut db.client, &sql, "t");
                continue;
            }
            match db.client.query(sql.as_str(), &[]) {
                Ok(rows) if rows.len() == 1 && rows[0].get::<_, Option<bool>>(0) == Some(true) => {}
                Ok(_) => faults.push(format!("{reader}, row {row}: something else")),
                Err(e) => faults.push(format!("{reader}, row {row}: {e:?}")),
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn the_deepest_document_that_postgresql_takes_spoils_no_reader() {
    let mut db = Db::new();
    // As deep as it can be inserted at all.
    let fits = |db: &mut Db, depth: i32| {
        let sql = format!("CREATE TABLE given AS SELECT (repeat('[', {depth}) || repeat(']', {depth}))::jsonb AS d; DROP TABLE given");
        db.client.batch_execute(&sql).is_ok()
    };
    let (mut fitting, mut failing) = (5_000, 200_000);
    while failing - fitting > 1 {
        let middle = (fitting + failing) / 2;
        match fits(&mut db, middle) {
            true => fitting = middle,
            false => failing = middle,
        }
    }
    let mut db = Db::new();
    db.run("CREATE TABLE doc (id int PRIMARY KEY, d jsonb); SELECT audit_log.watch('doc')");
    db.run(&format!(
        "CREATE TABLE given AS SELECT (repeat('[', {fitting}) || repeat(']', {fitting}))::jsonb AS d"
    ));
    db.run("INSERT INTO doc SELECT 1, d FROM given; UPDATE doc SET d = 'false'; UPDATE doc SET d = g.d FROM given g; DELETE FROM doc");
    for from in [
        "audit_log.entry",
        "audit_log.list()",
        "audit_log.page()",
        "audit_log.sync(audit_log.sync_start('2000-01-01'))",
        "audit_log.feed",
        "audit_log.history('doc', '1')",
        "audit_log.export()",
    ] {
        let sql = format!("SELECT * FROM {from} e");
        // The feed shows nothing while a transaction of another test is older than what was written.
        wait_for(&mut db.client, &format!("SELECT count(*) > 3 FROM {from} e"), "t");
        let rows = db.client.simple_query(&sql).unwrap_or_else(|e| panic!("{from}, {fitting} deep: {e:?}"));
        assert!(rows.len() > 4, "{from}");
    }
    for call in
        ["audit_log.list_json('{}')", "audit_log.sync_json('{\"backfillStartTime\": \"2000-01-01\"}')"]
    {
        let text = db.one(&format!("SELECT {call}"));
        let deepest = "[".repeat(fitting as usize) + &"]".repeat(fitting as usize);
        assert_eq!(text.matches(&format!("\"d\": {deepest}")).count(), 4, "{call}, {fitting} deep");
    }
}

#[test]
fn an_imported_record_keeps_what_is_deep_in_a_format() {
    let mut db = Db::new();
    let deep = json!({"$serde_json::private::RawValue": "1", "list": [[[[1]]]]});
    let record = json!({"action": "user_login_complete", "team_id": "acme", "actor": {"type": "user", "id": "7"},
                        "targets": [{"type": "user", "id": "7"}], "timestamp": "2026-01-02T03:04:05Z", "metadata": {"deep": deep}});
    let imported =
        query(&mut db.client, "SELECT error FROM audit_log.import(ARRAY[$1::jsonb], 'gem')", &[&record]);
    assert_eq!(imported[0].get::<_, Option<String>>(0), None);
    for name in ["gem", "ocsf", "ashby", "greenhouse"] {
        let shown = db.json(&format!("SELECT audit_log.format(e, '{name}') FROM audit_log.entry e WHERE category = 'user_login_complete'"));
        assert!(shown.to_string().contains("RawValue"), "{name}: {shown}");
    }
}
