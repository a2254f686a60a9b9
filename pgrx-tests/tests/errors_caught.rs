//! Errors that an application catches, by savepoints and EXCEPTION blocks: what it goes on with is recorded, counted
//! and announced as ever, and costs what it would without them.

use std::fmt::Write;
use std::sync::OnceLock;

use audit_log_tests::{one, run, wait_for, Cluster, Db};

use crate::worker_seen::{created, next_round, start, ALL_RAN};

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Statements that insert rows, nest blocks, read the log and raise errors. `kept` are the rows that stay if this does.
fn block(numbers: &mut Numbers, depth: u32, next: &mut u32, body: &mut String) -> Vec<u32> {
    let mut kept = Vec::new();
    for _ in 0..1 + numbers.below(4) {
        match numbers.below(10) {
            0..4 => {
                *next += 1;
                kept.push(*next);
                writeln!(body, "INSERT INTO job VALUES ({next});").unwrap();
            }
            4 => {
                let from = *next + 1;
                *next += 1 + numbers.below(300) as u32;
                kept.extend(from..=*next);
                writeln!(body, "INSERT INTO job SELECT generate_series({from}, {next});").unwrap();
            }
            // Whoever reads finds all that was captured before.
            5 => body.push_str("PERFORM same();\n"),
            6 => body.push_str("PERFORM audit_log.record('job_created', 'recorded');\n"),
            7 => {
                *next += 1;
                kept.push(*next);
                writeln!(body, "INSERT INTO fires VALUES ({next});").unwrap();
            }
            _ if depth == 0 => {}
            _ => {
                body.push_str("BEGIN\n");
                let inner = block(numbers, depth - 1, next, body);
                if numbers.below(2) == 0 {
                    body.push_str("RAISE EXCEPTION 'undo';\n");
                } else {
                    kept.extend(inner);
                }
                body.push_str("EXCEPTION WHEN raise_exception THEN NULL; END;\n");
            }
        }
    }
    kept
}

/// A table whose rows are recorded; `fires` inserts there too, from a trigger with blocks of its own.
fn watched() -> Db {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job');
         CREATE TABLE fires (id int PRIMARY KEY);
         CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           BEGIN INSERT INTO job VALUES (-NEW.id); RAISE EXCEPTION 'undo'; EXCEPTION WHEN raise_exception THEN NULL; END;
           INSERT INTO job VALUES (NEW.id);
           BEGIN INSERT INTO job VALUES (-NEW.id); RAISE EXCEPTION 'undo'; EXCEPTION WHEN raise_exception THEN NULL; END;
           RETURN NULL; END $$;
         CREATE TRIGGER fire AFTER INSERT ON fires FOR EACH ROW EXECUTE FUNCTION fire();
         CREATE FUNCTION same() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
           IF (SELECT count(*) FROM job) <> (SELECT count(*) FROM audit_log.entry WHERE operation = 'insert') THEN
             RAISE 'the log has other rows than the table' USING ERRCODE = 'assert_failure';
           END IF; END $$",
    );
    db
}

#[test]
fn what_stays_is_recorded_however_blocks_are_nested() {
    let mut db = watched();
    let mut next = 0;
    let mut expected = Vec::new();
    for seed in 0..40 {
        let mut numbers = Numbers(seed);
        let mut body = String::new();
        let kept = block(&mut numbers, 5, &mut next, &mut body);
        // In a function, a DO block, after savepoints, in a procedure that commits: the statement around is another one.
        match seed % 4 {
            0 => db.run(&format!("DO $$ BEGIN {body} END $$")),
            1 => db.run(&format!("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN {body} RETURN 1; END $$; SELECT f()")),
            2 => db.run(&format!("BEGIN; SAVEPOINT a; DO $$ BEGIN {body} END $$; ROLLBACK TO a; SAVEPOINT b; DO $$ BEGIN {body} END $$; RELEASE b; COMMIT")),
            _ => {
                let again = body.replace("VALUES (", "VALUES (1000000 + ").replace("generate_series(", "generate_series(1000000 + ");
                db.run(&format!("CREATE OR REPLACE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN {body} COMMIT; {again} ROLLBACK; {again} ROLLBACK; END $$"));
                db.run("CALL p()");
            }
        }
        expected.extend(kept);
    }
    expected.sort_unstable();
    let of =
        |sql: &str| format!("SELECT coalesce(string_agg(n::text, ',' ORDER BY n), '') FROM ({sql}) r (n)");
    let expected: Vec<String> = expected.iter().map(u32::to_string).collect();
    let expected = expected.join(",");
    assert_eq!(db.one(&of("SELECT id FROM job")), expected);
    assert_eq!(
        db.one(&of("SELECT target_id::int FROM audit_log.entry WHERE operation = 'insert'")),
        expected
    );
    assert_eq!(db.one("SELECT count(DISTINCT id) - count(*) FROM audit_log.entry"), "0");
}

fn preloaded() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| start(&["audit_log.retention_interval=1s", "max_prepared_transactions=5"]))
}

/// Entries, and errors around them, in the ways they can be caught.
const CAUGHT: &[(&str, &str)] = &[
    ("savepoint_after", "BEGIN; SELECT audit_log.record('job_created'); SAVEPOINT s; SELECT count(*) FROM pg_class; ROLLBACK TO s; COMMIT"),
    ("savepoint_with_entries", "BEGIN; INSERT INTO job VALUES (1); SAVEPOINT s; INSERT INTO job VALUES (2); ROLLBACK TO s; RELEASE s; COMMIT"),
    ("savepoint_before", "BEGIN; SAVEPOINT s; INSERT INTO job VALUES (1); ROLLBACK TO s; INSERT INTO job VALUES (1); COMMIT"),
    ("block", "DO $$ BEGIN INSERT INTO job VALUES (1); BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$"),
    ("block_with_entries", "DO $$ BEGIN INSERT INTO job VALUES (1); BEGIN INSERT INTO job VALUES (1); EXCEPTION WHEN unique_violation THEN NULL; END; END $$"),
    ("prepared", "BEGIN; SELECT audit_log.record('job_created'); SAVEPOINT s; ROLLBACK TO s; PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'"),
    ("import", "SELECT audit_log.import(ARRAY['{\"category\": \"job_created\"}', '{\"category\": \"none\"}']::jsonb[])"),
];

#[test]
fn entries_before_a_caught_error_are_announced_and_counted() {
    let cluster = preloaded();
    let mut clients: Vec<_> = CAUGHT.iter().map(|(name, _)| created(cluster, name)).collect();
    for (client, (_, caught)) in clients.iter_mut().zip(CAUGHT) {
        run(client, "CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job')");
        wait_for(client, ALL_RAN, "t");
        // What the watch recorded has been announced, and is counted; the next count would be in a minute.
        next_round(client);
        next_round(client);
        run(client, "UPDATE audit_log.worker_task SET is_wanted = false, last_run_at = now(), next_run_at = now() + interval '1 hour' WHERE task = 'counts'");
        let wanted = "SELECT is_wanted FROM audit_log.worker_task WHERE task = 'counts'";
        // A body of PL/pgSQL is one statement.
        let statements: Vec<&str> = match caught.starts_with("DO") {
            true => vec![caught],
            false => caught.split("; ").collect(),
        };
        statements.into_iter().for_each(|statement| run(client, statement));
        wait_for(client, wanted, "t");
    }
}

/// What a loop of blocks costs is told by what PostgreSQL counts in the transaction: blocks that were looked at,
/// rows that were written.
fn counted(db: &mut Db, before: &str, body: &str, blocks: u32) -> Vec<[i64; 2]> {
    let mut session = db.session();
    // Once before, so that what a session learns but once is not counted.
    run(&mut session, "INSERT INTO job VALUES (-1); DELETE FROM job WHERE id = -1");
    run(&mut session, "BEGIN");
    let all = "SELECT pg_stat_get_xact_blocks_fetched(c.oid)::text || ' ' || pg_stat_get_xact_tuples_inserted(c.oid)
         FROM pg_class c WHERE c.relnamespace = 'audit_log'::regnamespace AND c.relkind IN ('r', 'i') ORDER BY c.relname";
    let first = audit_log_tests::all(&mut session, all);
    run(&mut session, &format!("DO $$ BEGIN {before} FOR i IN 1..{blocks} LOOP BEGIN {body} RAISE EXCEPTION 'undo'; EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$"));
    let then = audit_log_tests::all(&mut session, all);
    run(&mut session, "ROLLBACK");
    let number = |text: &str, n: usize| text.split(' ').nth(n).unwrap().parse::<i64>().unwrap();
    first.iter().zip(&then).map(|(a, b)| [0, 1].map(|n| number(b, n) - number(a, n))).collect()
}

#[test]
fn blocks_that_roll_back_read_and_write_nothing_of_the_log() {
    let mut db = watched();
    db.run("CREATE TABLE other (id int PRIMARY KEY, org text); SELECT audit_log.watch('other', organization => 'org'); INSERT INTO other VALUES (0, 'acme'), (-1, 'globex')");
    for (before, body) in [
        ("", "INSERT INTO job VALUES (i);"),
        ("", "INSERT INTO other VALUES (i, 'acme'); UPDATE other SET org = 'globex' WHERE id = i; DELETE FROM other WHERE id = i;"),
        ("INSERT INTO job VALUES (0);", "INSERT INTO job VALUES (i);"),
        ("", "BEGIN INSERT INTO job VALUES (i); EXCEPTION WHEN raise_exception THEN NULL; END;"),
    ] {
        let [few, many] = [10, 500].map(|blocks| counted(&mut db, before, body, blocks));
        // Roles that other tests make meanwhile have a session look at things again, a few times; not at each block.
        let is_alike = |(few, many): (&[i64; 2], &[i64; 2])| (many[0] - few[0]).abs() < 49 && few[1] == many[1];
        assert!(few.iter().zip(&many).all(is_alike), "{before} {body}: {few:?} {many:?}");
    }
}

#[test]
fn blocks_that_roll_back_do_not_fill_the_memory() {
    let mut db = watched();
    // The rows of the statement around wait all the while: its AFTER triggers run.
    db.run(
        "CREATE TABLE doc (id int PRIMARY KEY, body text); SELECT audit_log.watch('doc');
         CREATE FUNCTION many() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF NEW.id >= 0 THEN RETURN NULL; END IF;
           FOR i IN 1..-NEW.id LOOP
             BEGIN INSERT INTO doc VALUES (i, repeat(md5(i::text), 300)); RAISE EXCEPTION 'undo'; EXCEPTION WHEN raise_exception THEN NULL; END;
           END LOOP;
           INSERT INTO used SELECT coalesce(sum(total_bytes), 0) FROM pg_backend_memory_contexts WHERE name LIKE 'audit_log%entries';
           RETURN NULL; END $$;
         CREATE TABLE used (bytes bigint);
         CREATE TRIGGER zz_many AFTER INSERT ON doc FOR EACH ROW EXECUTE FUNCTION many()",
    );
    db.run("INSERT INTO doc VALUES (-1000)");
    let used: u64 = db.one("SELECT bytes FROM used").parse().unwrap();
    // A thousand rows of ten thousand bytes; what waits are two.
    assert!(used > 0 && used < 1_000_000, "{used} bytes");
}

#[test]
fn an_outer_statements_rows_are_not_written_again_for_each_block() {
    let mut db = watched();
    db.run(
        "CREATE TABLE doc (id int PRIMARY KEY); SELECT audit_log.watch('doc');
         CREATE FUNCTION many() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           FOR i IN 1..300 LOOP
             BEGIN INSERT INTO job SELECT i * 10 + n FROM generate_series(1, 3) n; RAISE EXCEPTION 'undo'; EXCEPTION WHEN raise_exception THEN NULL; END;
           END LOOP;
           RETURN NULL; END $$;
         CREATE TRIGGER zz_many AFTER INSERT ON doc FOR EACH STATEMENT EXECUTE FUNCTION many()",
    );
    let mut session = db.session();
    run(&mut session, "INSERT INTO job VALUES (0)");
    let written = "SELECT sum(pg_stat_get_xact_tuples_inserted(c.oid)) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'audit_log.event'::regclass";
    run(&mut session, "BEGIN");
    let before = one(&mut session, written).parse::<u64>().unwrap();
    run(&mut session, "INSERT INTO doc SELECT generate_series(1, 255)");
    let written = one(&mut session, written).parse::<u64>().unwrap() - before;
    run(&mut session, "COMMIT");
    assert_eq!(written, 255);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE operation = 'insert'"), "256");
}
