//! Names and ids by a part of them: by index the same as by looking at each, and by reading little.

use audit_log_tests::{unique, Db};
use postgres::Client;

use crate::retention_truth::pages_read;

/// A log with so many targets, counted.
fn with_names(many: u32) -> Db {
    // What others have not ended keeps from being counted for good what came since.
    let mut db = Db::alone();
    db.run("SELECT audit_log.ensure_partitions()");
    db.run(
        "CREATE TABLE candidate (id text PRIMARY KEY, name text);
         SELECT audit_log.watch('candidate', target_type => 'candidate', target_name => 'name')",
    );
    grow(&mut db, 1, many);
    db
}

fn grow(db: &mut Db, first: u32, last: u32) {
    db.run(&format!(
        "INSERT INTO candidate SELECT 'c' || lpad(i::text, 6, '0'), 'Cand Idate ' || lpad(i::text, 6, '0') FROM generate_series({first}, {last}) i"
    ));
    // What a transaction wrote is counted once it is over.
    db.run("SELECT audit_log.count_entries()");
    db.run("VACUUM ANALYZE audit_log.named");
}

/// Searches and how many pages each reads, at the least: a session may have to read catalogs anew at any time.
fn read_by(session: &mut Client) -> Vec<(String, u64)> {
    let searches = [
        "people('e 001777')",
        "people('c002998')",
        "people('nobody at all')",
        "page(search => 'c002998')",
        "people('77')",
    ];
    let read = |search: &str| {
        let query = format!("SELECT FROM audit_log.{search}");
        let read = (0..4).map(|_| pages_read(session, &query)).min().expect("four");
        (search.to_string(), read)
    };
    searches.into_iter().map(read).collect()
}

#[test]
fn with_three_letters_or_more_no_more_is_read_where_there_is_more() {
    let mut db = with_names(3_000);
    let bound = unique("bound_to_default");
    let login = db.session_as(&bound);
    db.run(&format!("SELECT audit_log.grant_read('{bound}', 'default')"));
    let mut sessions = [db.session(), login];
    let little = sessions.each_mut().map(read_by);
    grow(&mut db, 3_001, 30_000);
    let much = sessions.each_mut().map(read_by);
    for ((search, before), (_, after)) in little.iter().flatten().zip(much.iter().flatten()) {
        match search.contains("'77'") {
            true => assert!(*after > before + 200, "{search}: {before} pages, then {after}: too few to tell"),
            false => assert!(
                *after < before + 60,
                "{search}: {before} pages, and {after} where there are ten times as many targets"
            ),
        }
    }
}

#[test]
fn by_index_the_same_as_by_looking_at_each() {
    let mut db = with_names(3_000);
    db.run(
        r#"INSERT INTO candidate VALUES ('d1', 'Jörg Weiß'), ('d2', 'JÖRG WEISS'), ('d3', 'ΟΔΥΣΣΕΥΣ'), ('d4', 'οδυσσευς'), ('d5', 'İstanbul'),
             ('d6', 'istanbul'), ('d7', 'a%b_c\d'), ('d8', '  '), ('d9', ''), ('d10', NULL), ('d11', repeat('x', 5000) || 'needle'), ('d12', 'ab'),
             ('d13', '日本語の名前'), ('d14', 'aaa'), ('d15', 'aaaa'), ('needle', 'nothing')"#,
    );
    db.run("SELECT audit_log.count_entries(); ANALYZE audit_log.named");
    let parts = [
        "jör",
        "JÖRG",
        "weiß",
        "weiss",
        "σευς",
        "ΣΕΥΣ",
        "ist",
        "İst",
        "a%b",
        "b_c",
        "_c\\",
        "   ",
        "needle",
        "NEEDLE",
        "xneed",
        "ab",
        "b",
        "日本語",
        "本語の名",
        "aaa",
        "aaaa",
        "aaaaa",
        "idate 00177",
        "c00299",
        "d1",
        "",
    ];
    for part in parts {
        let found = |condition: &str| {
            format!("SELECT string_agg(DISTINCT concat_ws(' ', n.is_actor, n.type, n.id, n.name), ';' ORDER BY concat_ws(' ', n.is_actor, n.type, n.id, n.name)) FROM audit_log.naming n WHERE {condition}")
        };
        let wanted = db.one(&found(&format!(
            "audit_log.contains(n.name, $p${part}$p$) OR audit_log.contains(n.id, $p${part}$p$)"
        )));
        let by_operator = found(&format!(
            "n.name OPERATOR(audit_log.@~) $p${part}$p$ OR n.id OPERATOR(audit_log.@~) $p${part}$p$"
        ));
        for off in ["seqscan", "bitmapscan"] {
            let query = format!("BEGIN; SET LOCAL enable_{off} = off; {by_operator}; COMMIT");
            assert_eq!(db.one(&query), wanted, "{part:?} without {off}");
        }
    }
    db.run("SET enable_seqscan = off");
    let plan = db.all("EXPLAIN SELECT FROM audit_log.naming n WHERE n.name OPERATOR(audit_log.@~) 'needle' OR n.id OPERATOR(audit_log.@~) 'needle'");
    assert!(plan.iter().any(|line| line.contains("Bitmap Index Scan")), "{plan:#?}");
}
