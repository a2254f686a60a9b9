//! Partitioned tables: every way in, rows that move, partitions that come and go.

use audit_log_tests::{psql, Db};

/// A watched table with partitions for eu and us.
fn sale(options: &str) -> Db {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE sale (id int, region text, amount int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
         CREATE TABLE sale_eu PARTITION OF sale FOR VALUES IN ('eu');
         CREATE TABLE sale_us PARTITION OF sale FOR VALUES IN ('us')",
    );
    db.run(&format!("SELECT audit_log.watch('sale'{options})"));
    db
}

fn sale_by_id() -> Db {
    sale(", target_id => '{id}'")
}

/// Sale 1 is in eu; us takes no row with an amount above 0.
fn sale_that_us_refuses() -> Db {
    let mut db = sale_by_id();
    db.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER refuse BEFORE INSERT ON sale_us FOR EACH ROW WHEN (NEW.amount > 0) EXECUTE FUNCTION refuse();
         INSERT INTO sale VALUES (1, 'eu', 5)",
    );
    db
}

/// The entries of row changes, oldest first, as "operation target_id changes".
#[track_caller]
fn log(db: &mut Db) -> Vec<String> {
    let relations = db.all("SELECT DISTINCT relation FROM audit_log.entry WHERE operation IS NOT NULL");
    assert_eq!(relations, ["public.sale"]);
    db.all(
        "SELECT concat_ws(' ', operation, target_id, changes, metadata) FROM audit_log.entry
         WHERE operation IS NOT NULL ORDER BY occurred_at, id",
    )
}

fn inserted(id: i32, region: &str, amount: i32) -> String {
    format!(r#"insert {id} {{"id": [null, {id}], "amount": [null, {amount}], "region": [null, "{region}"]}}"#)
}

fn deleted(id: i32, region: &str, amount: i32) -> String {
    format!(r#"delete {id} {{"id": [{id}, null], "amount": [{amount}, null], "region": ["{region}", null]}}"#)
}

fn moved(id: i32, from: &str, to: &str) -> String {
    format!(r#"update {id} {{"region": ["{from}", "{to}"]}}"#)
}

fn truncated(partition: &str) -> String {
    format!(r#"truncate {{"partition": "{partition}"}}"#)
}

/// Our triggers on all tables: "table row truncate A", the last being the states they are in.
fn triggers(db: &mut Db) -> Vec<String> {
    db.all(
        "SELECT concat_ws(' ', tgrelid::regclass, max('row') FILTER (WHERE tgtype & 1 > 0),
                          max('truncate') FILTER (WHERE tgtype & 34 = 32), string_agg(DISTINCT tgenabled::text, ''))
         FROM pg_trigger WHERE tgfoid::regproc::text LIKE 'audit_log.capture%'
         GROUP BY tgrelid ORDER BY tgrelid::regclass::text",
    )
}

#[test]
fn writes_to_parent_and_leaf_are_the_same() {
    for table in ["sale", "sale_eu"] {
        let mut db = sale_by_id();
        db.run(&format!(
            "INSERT INTO {table} VALUES (1, 'eu', 5); UPDATE {table} SET amount = 6; DELETE FROM {table}"
        ));
        psql(&db.name, &format!("COPY {table} FROM STDIN;\n2\teu\t7\n3\teu\t8\n\\.\n"));
        assert_eq!(
            log(&mut db),
            [
                inserted(1, "eu", 5),
                r#"update 1 {"amount": [5, 6]}"#.into(),
                deleted(1, "eu", 6),
                inserted(2, "eu", 7),
                inserted(3, "eu", 8)
            ],
            "through {table}"
        );
    }
}

#[test]
fn partitions_that_come_later_are_captured() {
    let mut db = sale_by_id();
    db.run(
        "CREATE TABLE sale_ap PARTITION OF sale FOR VALUES IN ('ap');
         CREATE TABLE sale_af (junk int, amount int, region text NOT NULL, more int, id int NOT NULL);
         ALTER TABLE sale_af DROP COLUMN junk, DROP COLUMN more;
         ALTER TABLE sale ATTACH PARTITION sale_af FOR VALUES IN ('af');
         CREATE TABLE sale_sa PARTITION OF sale FOR VALUES IN ('sa') PARTITION BY RANGE (id);
         CREATE TABLE sale_sa_1 PARTITION OF sale_sa FOR VALUES FROM (0) TO (10);
         CREATE TABLE sale_na (LIKE sale INCLUDING ALL) PARTITION BY RANGE (id);
         CREATE TABLE sale_na_1 PARTITION OF sale_na FOR VALUES FROM (0) TO (10);
         ALTER TABLE sale ATTACH PARTITION sale_na FOR VALUES IN ('na');
         CREATE TABLE sale_rest PARTITION OF sale DEFAULT",
    );
    db.run("CREATE SCHEMA late CREATE TABLE sale_an PARTITION OF public.sale FOR VALUES IN ('an')");
    let partitions = db.all(
        "SELECT relid::regclass || ' row truncate A' FROM pg_partition_tree('sale') ORDER BY relid::regclass::text",
    );
    assert_eq!(partitions.len(), 11);
    assert_eq!(triggers(&mut db), partitions);
    db.run(
        "INSERT INTO sale VALUES (1, 'ap', 1), (2, 'af', 2), (3, 'sa', 3), (4, 'na', 4), (5, 'xx', 5), (6, 'an', 6);
         INSERT INTO sale_af (id, region, amount) VALUES (7, 'af', 7);
         UPDATE sale_af SET amount = 8 WHERE id = 7;
         DELETE FROM sale_sa_1",
    );
    let mut expected: Vec<String> =
        (1..).zip(["ap", "af", "sa", "na", "xx", "an"]).map(|(i, region)| inserted(i, region, i)).collect();
    expected.extend([inserted(7, "af", 7), r#"update 7 {"amount": [7, 8]}"#.into(), deleted(3, "sa", 3)]);
    assert_eq!(log(&mut db), expected);
}

#[test]
fn a_row_that_moves_is_one_update() {
    let mut db = sale_by_id();
    db.run(
        "CREATE TABLE sale_rest PARTITION OF sale DEFAULT;
         CREATE TABLE sale_af (junk int, amount int, region text NOT NULL, id int NOT NULL);
         ALTER TABLE sale_af DROP COLUMN junk;
         ALTER TABLE sale ATTACH PARTITION sale_af FOR VALUES IN ('af');
         INSERT INTO sale VALUES (1, 'eu', 5);
         UPDATE sale SET region = 'us';
         UPDATE sale SET region = 'af', amount = 6;
         UPDATE sale SET region = 'xx', amount = NULL;
         UPDATE sale SET region = 'eu'",
    );
    assert_eq!(
        log(&mut db),
        [
            inserted(1, "eu", 5),
            moved(1, "eu", "us"),
            r#"update 1 {"amount": [5, 6], "region": ["us", "af"]}"#.into(),
            r#"update 1 {"amount": [6, null], "region": ["af", "xx"]}"#.into(),
            moved(1, "xx", "eu"),
        ]
    );
    db.run("SELECT audit_log.watch('sale', target_id => '{id}', capture => 'full'); UPDATE sale SET region = 'af'");
    let images = db.one("SELECT concat(before, after) FROM audit_log.entry WHERE before ? 'id'");
    assert_eq!(
        images,
        r#"{"id": 1, "amount": null, "region": "eu"}{"id": 1, "amount": null, "region": "af"}"#
    );
}

#[test]
fn many_rows_that_move_at_once_pair_with_themselves() {
    let mut db = sale_by_id();
    db.run("INSERT INTO sale SELECT i, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, i FROM generate_series(1, 100) i");
    db.run("UPDATE sale SET region = CASE region WHEN 'eu' THEN 'us' ELSE 'eu' END WHERE id <= 90");
    let mut updates = log(&mut db).split_off(100);
    updates.sort();
    let there = |i: i32| if i % 2 == 0 { moved(i, "eu", "us") } else { moved(i, "us", "eu") };
    let mut expected: Vec<String> = (1..=90).map(there).collect();
    expected.sort();
    assert_eq!(updates, expected);
}

#[test]
fn a_row_that_moves_with_its_key_is_one_update_under_the_new_id() {
    let mut db = sale("");
    db.run("INSERT INTO sale VALUES (1, 'eu', 5); UPDATE sale SET id = 2, region = 'us'");
    assert_eq!(log(&mut db).split_off(1), [r#"update 2,us {"id": [1, 2], "region": ["eu", "us"]}"#]);
    let related = db.all("SELECT target_id FROM audit_log.entry_target WHERE relation = 'related'");
    assert_eq!(related, ["1,eu"]);
}

#[test]
fn rows_that_move_in_savepoints_and_after_locks_are_one_update_each() {
    let mut db = sale_by_id();
    db.run(
        "BEGIN;
         INSERT INTO sale VALUES (1, 'eu', 5);
         SAVEPOINT a; SELECT FROM sale FOR UPDATE; UPDATE sale SET amount = 6;
         SAVEPOINT b; UPDATE sale SET region = 'us'; ROLLBACK TO b;
         UPDATE sale SET region = 'us';
         RELEASE a;
         DO $$ BEGIN UPDATE sale SET region = 'eu'; EXCEPTION WHEN raise_exception THEN NULL; END $$;
         COMMIT",
    );
    let expected = [r#"update 1 {"amount": [5, 6]}"#.into(), moved(1, "eu", "us"), moved(1, "us", "eu")];
    assert_eq!(log(&mut db).split_off(1), expected);
}

#[test]
fn a_row_that_moves_below_a_partition_or_by_merge_is_one_update() {
    let mut db = sale_by_id();
    db.run(
        "ALTER TABLE sale DROP CONSTRAINT sale_pkey;
         CREATE TABLE sale_sa PARTITION OF sale FOR VALUES IN ('sa') PARTITION BY RANGE (amount);
         CREATE TABLE sale_sa_1 PARTITION OF sale_sa FOR VALUES FROM (0) TO (10);
         CREATE TABLE sale_sa_2 PARTITION OF sale_sa FOR VALUES FROM (10) TO (20);
         INSERT INTO sale VALUES (1, 'sa', 5);
         UPDATE sale_sa SET amount = 15;
         MERGE INTO sale USING (VALUES (1), (2)) AS s (id) ON sale.id = s.id
           WHEN MATCHED THEN UPDATE SET region = 'eu' WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'us', 7)",
    );
    let entries = log(&mut db);
    assert_eq!(entries[..2], [inserted(1, "sa", 5), r#"update 1 {"amount": [5, 15]}"#.into()]);
    let mut merged = entries[2..].to_vec();
    merged.sort();
    assert_eq!(merged, [inserted(2, "us", 7), moved(1, "sa", "eu")]);
}

#[test]
fn a_row_that_moves_takes_its_children_along_afterwards() {
    let mut db = sale("");
    db.run(
        "CREATE TABLE refund (id int PRIMARY KEY, sale int, region text,
                              FOREIGN KEY (sale, region) REFERENCES sale ON UPDATE CASCADE ON DELETE CASCADE);
         INSERT INTO sale VALUES (1, 'eu', 5);
         INSERT INTO refund VALUES (9, 1, 'eu');
         SELECT audit_log.watch('refund');
         UPDATE sale SET region = 'us'",
    );
    assert_eq!(db.events().split_off(1), ["update sale_updated 1,us", "update refund_updated 9"]);
}

#[test]
fn a_row_its_new_partition_refused_is_a_delete() {
    let mut db = sale_that_us_refuses();
    db.run("UPDATE sale SET region = 'us'");
    assert_eq!(db.all("SELECT id FROM sale"), Vec::<String>::new());
    assert_eq!(log(&mut db), [inserted(1, "eu", 5), deleted(1, "eu", 5)]);
}

#[test]
fn a_refused_row_among_others_is_the_only_delete() {
    let mut db = sale_that_us_refuses();
    db.run("INSERT INTO sale VALUES (2, 'eu', 0), (3, 'eu', 7), (4, 'eu', 0)");
    db.run("UPDATE sale SET region = 'us'");
    assert_eq!(
        log(&mut db).split_off(4),
        [deleted(1, "eu", 5), moved(2, "eu", "us"), deleted(3, "eu", 7), moved(4, "eu", "us")]
    );
}

#[test]
fn a_refused_row_is_undone_with_its_savepoint_only() {
    let mut db = sale_that_us_refuses();
    db.run("BEGIN; SAVEPOINT a; UPDATE sale SET region = 'us'; ROLLBACK TO a; COMMIT");
    assert_eq!(log(&mut db), [inserted(1, "eu", 5)]);
    db.run("BEGIN; UPDATE sale SET region = 'us'; SAVEPOINT a; INSERT INTO sale VALUES (2, 'eu', 1); ROLLBACK TO a; COMMIT");
    assert_eq!(log(&mut db), [inserted(1, "eu", 5), deleted(1, "eu", 5)]);
}

#[test]
fn a_refused_row_does_not_pair_with_the_next_insert() {
    let mut db = sale_that_us_refuses();
    db.run("BEGIN; UPDATE sale SET region = 'us'; INSERT INTO sale VALUES (9, 'eu', 1); COMMIT");
    assert_eq!(log(&mut db).split_off(1), [deleted(1, "eu", 5), inserted(9, "eu", 1)]);
}

#[test]
fn a_refused_row_is_recorded_with_the_actor_who_moved_it() {
    let mut db = sale_that_us_refuses();
    db.run(
        r#"BEGIN;
           SELECT audit_log.set_context('{"actor": {"type": "user", "id": "ann"}}');
           UPDATE sale SET region = 'us';
           SELECT audit_log.set_context('{"actor": {"type": "user", "id": "bob"}}');
           COMMIT"#,
    );
    assert_eq!(db.one("SELECT actor_id FROM audit_log.entry WHERE operation = 'delete'"), "ann");
}

#[test]
fn triggers_may_write_to_the_table_while_a_row_moves() {
    let mut db = sale_by_id();
    db.run(
        "CREATE FUNCTION copy_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF coalesce(NEW.id, OLD.id) < 10 THEN
             INSERT INTO sale VALUES (coalesce(NEW.id, OLD.id) + CASE TG_OP WHEN 'DELETE' THEN 10 ELSE 20 END, 'eu', 0);
           END IF;
           RETURN NULL;
         END $$;
         INSERT INTO sale VALUES (1, 'eu', 5);
         CREATE TRIGGER aaa AFTER DELETE ON sale_eu FOR EACH ROW EXECUTE FUNCTION copy_row();
         CREATE TRIGGER aaa AFTER INSERT ON sale_us FOR EACH ROW EXECUTE FUNCTION copy_row();
         UPDATE sale SET region = 'us'",
    );
    // The move is what made the triggers write.
    let expected = [moved(1, "eu", "us"), inserted(11, "eu", 0), inserted(21, "eu", 0)];
    assert_eq!(log(&mut db).split_off(1), expected);
}

#[test]
fn a_row_refused_inside_a_trigger_does_not_pair_with_the_outer_move() {
    let mut db = sale_that_us_refuses();
    db.run(
        "INSERT INTO sale VALUES (2, 'eu', 0);
         CREATE FUNCTION move_other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           UPDATE sale SET region = 'us' WHERE id = 1;
           RETURN NULL;
         END $$;
         CREATE TRIGGER aaa AFTER DELETE ON sale_eu FOR EACH ROW WHEN (OLD.id = 2) EXECUTE FUNCTION move_other();
         UPDATE sale SET region = 'us' WHERE id = 2",
    );
    let mut entries = log(&mut db).split_off(2);
    entries.sort();
    assert_eq!(entries, [deleted(1, "eu", 5), moved(2, "eu", "us")]);
}

#[test]
fn rows_that_leave_or_enter_a_partition_watched_alone_are_deletes_and_inserts() {
    let mut db = sale_by_id();
    db.run("SELECT audit_log.unwatch('sale'); SELECT audit_log.watch('sale_eu', target_type => 'sale', target_id => '{id}')");
    db.run(
        "BEGIN;
         INSERT INTO sale VALUES (1, 'eu', 5);
         UPDATE sale SET region = 'us';
         INSERT INTO sale VALUES (2, 'eu', 6);
         UPDATE sale SET region = 'eu' WHERE id = 1;
         COMMIT",
    );
    let entries = "SELECT concat_ws(' ', relation, operation, target_id) FROM audit_log.entry
                   WHERE operation IS NOT NULL ORDER BY occurred_at, id";
    let expected = ["insert 1", "delete 1", "insert 2", "insert 1"].map(|e| format!("public.sale_eu {e}"));
    assert_eq!(db.all(entries), expected);
    // Nor does it need a statement after it.
    db.run("UPDATE sale SET region = 'us' WHERE id = 1");
    assert_eq!(db.events().last().map(String::as_str), Some("delete sale_deleted 1"));
}

#[test]
fn rows_that_cross_the_border_of_a_watched_subtree_do_not_pair() {
    let mut db = sale_by_id();
    db.run(
        "SELECT audit_log.unwatch('sale');
         ALTER TABLE sale DROP CONSTRAINT sale_pkey;
         CREATE TABLE sale_sa PARTITION OF sale FOR VALUES IN ('sa') PARTITION BY RANGE (amount);
         CREATE TABLE sale_sa_1 PARTITION OF sale_sa FOR VALUES FROM (0) TO (10);
         CREATE TABLE sale_sa_2 PARTITION OF sale_sa FOR VALUES FROM (10) TO (20);
         INSERT INTO sale VALUES (1, 'sa', 5), (2, 'us', 5), (3, 'sa', 5);
         SELECT audit_log.watch('sale_sa', target_type => 'sale', target_id => '{id}')",
    );
    db.run("UPDATE sale SET region = CASE region WHEN 'sa' THEN 'us' ELSE 'sa' END WHERE id < 3");
    db.run("BEGIN; UPDATE sale SET region = 'us' WHERE id = 3; INSERT INTO sale VALUES (4, 'sa', 5); COMMIT");
    let mut entries = db.events();
    entries.sort();
    assert_eq!(
        entries,
        ["delete sale_deleted 1", "delete sale_deleted 3", "insert sale_created 2", "insert sale_created 4"]
    );
    // Inside it a row still moves as one.
    db.run("UPDATE sale SET amount = 15 WHERE id = 4");
    assert_eq!(db.events().split_off(4), ["update sale_updated 4"]);
}

#[test]
fn truncate_is_one_entry_and_names_the_partition_where_it_was_one() {
    let mut db = sale_by_id();
    db.run("CREATE TABLE sale_sa PARTITION OF sale FOR VALUES IN ('sa') PARTITION BY RANGE (id); CREATE TABLE sale_sa_1 PARTITION OF sale_sa DEFAULT");
    db.run("TRUNCATE sale");
    db.run("TRUNCATE sale_eu");
    db.run("TRUNCATE sale_sa");
    let one_each = ["truncate".into(), truncated("public.sale_eu"), truncated("public.sale_sa")];
    assert_eq!(log(&mut db), one_each);
    db.run("BEGIN; TRUNCATE sale; TRUNCATE sale_eu; TRUNCATE sale_sa; TRUNCATE sale; TRUNCATE sale_us; TRUNCATE sale_us; COMMIT");
    let again = ["truncate".into(), truncated("public.sale_us"), truncated("public.sale_us")];
    assert_eq!(log(&mut db).split_off(3), [one_each, again].concat());
    db.run("BEGIN; SAVEPOINT a; TRUNCATE sale; ROLLBACK TO a; TRUNCATE sale_eu; COMMIT");
    assert_eq!(log(&mut db).split_off(9), [truncated("public.sale_eu")]);
    // A leaf named beside its parent hides no later one.
    db.run("BEGIN; TRUNCATE sale_eu, sale; TRUNCATE sale_eu; COMMIT");
    assert_eq!(log(&mut db).split_off(10), ["truncate".into(), truncated("public.sale_eu")]);
}

#[test]
fn truncate_of_the_parent_is_one_entry_though_a_trigger_catches_an_error_meanwhile() {
    let mut db = sale_by_id();
    db.run(
        "CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM 1 / 0;
         EXCEPTION WHEN division_by_zero THEN RETURN NULL;
         END $$;
         CREATE TRIGGER aaa AFTER TRUNCATE ON sale EXECUTE FUNCTION stumble();
         TRUNCATE sale",
    );
    assert_eq!(log(&mut db), ["truncate"]);
}

#[test]
fn a_detached_partition_is_a_table_of_its_own() {
    let mut db = sale_by_id();
    db.run("ALTER TABLE sale DETACH PARTITION sale_eu");
    db.run("ALTER TABLE sale DETACH PARTITION sale_us CONCURRENTLY");
    for table in ["sale_eu", "sale_us"] {
        db.run(&format!("INSERT INTO {table} VALUES (1, '{}', 5)", &table[5..]));
        db.run(&format!("UPDATE {table} SET amount = 6; DELETE FROM {table}; TRUNCATE {table}"));
    }
    assert_eq!(db.events(), Vec::<String>::new());
    // Nor are the rows it brings along when it comes back.
    db.run("INSERT INTO sale_eu VALUES (2, 'eu', 5); ALTER TABLE sale ATTACH PARTITION sale_eu FOR VALUES IN ('eu')");
    db.run("DELETE FROM sale; TRUNCATE sale_eu");
    assert_eq!(log(&mut db), [deleted(2, "eu", 5), truncated("public.sale_eu")]);
    assert_eq!(triggers(&mut db), ["sale row truncate A", "sale_eu row truncate A"]);
}

#[test]
fn only_one_level_of_a_tree_is_watched() {
    let mut db = sale_by_id();
    db.fails("SELECT audit_log.watch('sale_eu')").is("55000", "not_in_prerequisite_state").says("sale_eu");
    db.run("SELECT audit_log.unwatch('sale')");
    assert_eq!(triggers(&mut db), Vec::<String>::new());
    db.run("INSERT INTO sale VALUES (1, 'eu', 5); TRUNCATE sale; TRUNCATE sale_eu");
    assert_eq!(db.events(), Vec::<String>::new());
    db.run("SELECT audit_log.watch('sale_eu')");
    let failure = db.fails("SELECT audit_log.watch('sale')");
    failure.is("55000", "not_in_prerequisite_state").says("audit_log.unwatch('public.sale_eu')");
    assert_eq!(triggers(&mut db), ["sale_eu row truncate A"]);
}
