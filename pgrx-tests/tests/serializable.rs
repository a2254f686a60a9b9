//! Serializable transactions: capturing ties none to another that it has nothing else in common with.

use audit_log_tests::{all, one, run, Db, Failure};
use postgres::Client;

/// What a serializable transaction has read of the log's tables, as far as PostgreSQL watches it.
const WATCHED_READS: &str = "SELECT DISTINCT c.relname::text FROM pg_locks l
     JOIN pg_class c ON c.oid = l.relation OR EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = l.relation AND i.indrelid = c.oid)
     WHERE l.mode = 'SIReadLock' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";

fn of_the_log(session: &mut Client) -> Vec<String> {
    all(session, &format!("{WATCHED_READS} AND c.relnamespace = 'audit_log'::regnamespace ORDER BY 1"))
}

const TABLES: &str = "CREATE TABLE one (id int PRIMARY KEY, org text, parent int);
     CREATE TABLE two (id int PRIMARY KEY, org text, parent int);
     CREATE TABLE parted (id int, org text, part int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
     CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
     CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
     SELECT audit_log.define_actor_type('robot');
     SELECT audit_log.watch(t, organization => 'org') FROM unnest('{one,two,parted}'::regclass[]) t";

/// Each in a session of its own, which knows nothing yet.
const WRITES: &[(&str, &str)] = &[
    ("the first", "INSERT INTO one VALUES (1)"),
    ("known organization", "INSERT INTO one VALUES (2, 'default')"),
    ("new organization", "INSERT INTO one VALUES (3, 'new')"),
    ("new and known", "INSERT INTO one VALUES (4, 'newer'), (5, 'newest'), (6, 'newer')"),
    ("disabled organization", "INSERT INTO one VALUES (7, 'disabled')"),
    ("enabled organization", "INSERT INTO one VALUES (8, 'enabled')"),
    ("update", "UPDATE one SET org = 'changed' WHERE id = 1"),
    ("delete", "DELETE FROM one WHERE id = 2"),
    ("truncate", "TRUNCATE two"),
    ("truncate of a partitioned table", "TRUNCATE parted"),
    ("on conflict", "INSERT INTO one VALUES (1) ON CONFLICT (id) DO UPDATE SET org = 'conflict'"),
    ("merge", "MERGE INTO one USING (VALUES (3)) v (id) ON one.id = v.id WHEN MATCHED THEN UPDATE SET org = 'merged'"),
    ("to another partition", "INSERT INTO parted VALUES (1, 'p', 1); UPDATE parted SET part = 2"),
    ("an actor type of one's own", "SET LOCAL audit_log.context = '{\"actor\": {\"type\": \"robot\", \"id\": \"1\"}}'; INSERT INTO one VALUES (20)"),
    ("set_context", "SELECT audit_log.set_context('{\"actor\": {\"type\": \"robot\", \"id\": \"1\"}, \"organization\": \"of context\"}'); INSERT INTO one VALUES (21)"),
    ("savepoints", "SAVEPOINT s; INSERT INTO one VALUES (22, 'saved'); ROLLBACK TO s; INSERT INTO one VALUES (22, 'saved'); RELEASE s"),
    ("a loop", "DO $$ BEGIN FOR i IN 30..50 LOOP BEGIN INSERT INTO one VALUES (i, 'loop ' || i); IF i % 2 = 0 THEN RAISE EXCEPTION 'no'; END IF; EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$"),
    ("record", "SELECT audit_log.record('job_created', '1', organization => 'recorded')"),
    ("import", "SELECT audit_log.import(ARRAY['{\"category\": \"job_created\", \"organization\": \"imported\", \"actor\": {\"type\": \"robot\"}}'::jsonb])"),
];

#[test]
fn capturing_reads_nothing_that_serializable_transactions_are_watched_by() {
    let mut db = Db::new();
    db.run(TABLES);
    db.run("SELECT audit_log.enable_organization('enabled'), audit_log.disable_organization('disabled')");
    // As in a log that was just restored: the first write begins an epoch.
    db.run("DELETE FROM audit_log.feed_epoch");
    let mut wrong = Vec::new();
    for (name, write) in WRITES {
        let mut session = db.session();
        run(&mut session, &format!("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM two; {write}"));
        let seen = of_the_log(&mut session);
        if !seen.is_empty() {
            wrong.push(format!("{name}: {seen:?}"));
        }
        // The transaction is one whose reads are watched, or all this would say nothing.
        assert!(
            name.starts_with("truncate") || all(&mut session, WATCHED_READS).contains(&"two".to_string()),
            "{name}"
        );
        run(&mut session, "COMMIT");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let recorded = db.one("SELECT count(DISTINCT organization_id) FROM audit_log.entry WHERE organization_id IN
        ('default', 'new', 'newer', 'newest', 'enabled', 'changed', 'conflict', 'merged', 'p', 'of context', 'saved', 'recorded', 'imported')");
    assert_eq!(recorded, "13");
    // What the test looks with finds what it should not.
    let mut session = db.session();
    run(&mut session, "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM audit_log.organization_seen");
    assert_eq!(of_the_log(&mut session), ["organization_seen"]);
}

/// Every order of the steps of two transactions, as which one goes next.
fn interleavings(first: usize, second: usize) -> Vec<Vec<usize>> {
    match (first, second) {
        (0, n) => vec![vec![1; n]],
        (n, 0) => vec![vec![0; n]],
        _ => {
            let before =
                |who: usize, rest: Vec<Vec<usize>>| rest.into_iter().map(move |r| [vec![who], r].concat());
            before(0, interleavings(first - 1, second))
                .chain(before(1, interleavings(first, second - 1)))
                .collect()
        }
    }
}

/// Two transactions whose own tables do not tie them; `{n}` is another number each time.
const PAIRS: &[(&str, [&[&str]; 2])] = &[
    (
        "each a new organization",
        [
            &["INSERT INTO one VALUES ({n}, 'a{n}')", "UPDATE one SET parent = 1 WHERE id = {n}"],
            &["INSERT INTO two VALUES ({n}, 'b{n}')", "UPDATE two SET parent = 1 WHERE id = {n}"],
        ],
    ),
    (
        "the same new organization",
        [
            &["INSERT INTO one VALUES ({n}, 'c{n}')", "DELETE FROM one WHERE id = {n}"],
            &["INSERT INTO two VALUES ({n}, 'c{n}')", "DELETE FROM two WHERE id = {n}"],
        ],
    ),
    (
        "a known organization and new ones",
        [
            &["INSERT INTO one VALUES ({n}, 'default')", "UPDATE one SET org = 'd{n}' WHERE id = {n}"],
            &["INSERT INTO two VALUES ({n}, 'd{n}')", "UPDATE two SET org = 'default' WHERE id = {n}"],
        ],
    ),
    (
        "one dependency of their own",
        [
            &["INSERT INTO one VALUES ({n}, 'e{n}')", "UPDATE one SET parent = 2 WHERE id = {n}"],
            &["SELECT count(*) FROM one", "INSERT INTO two VALUES ({n}, 'e{n}')"],
        ],
    ),
    (
        "the first write of a cluster",
        [&["INSERT INTO one VALUES ({n}, 'f{n}')"], &["INSERT INTO two VALUES ({n}, 'f{n}')"]],
    ),
    (
        "an actor type of one's own",
        [
            &[
                "SELECT audit_log.set_context('{\"actor\": {\"type\": \"robot\", \"id\": \"{n}\"}}')",
                "INSERT INTO one VALUES ({n}, 'g{n}')",
            ],
            &[
                "SELECT audit_log.set_context('{\"actor\": {\"type\": \"robot\", \"id\": \"{n}\"}}')",
                "INSERT INTO two VALUES ({n}, 'g{n}')",
            ],
        ],
    ),
    (
        "recorded events",
        [
            &[
                "SELECT audit_log.record('job_created', '{n}', organization => 'h{n}')",
                "INSERT INTO one VALUES ({n}, 'h{n}')",
            ],
            &[
                "SELECT audit_log.record('job_created', '{n}', organization => 'h{n}')",
                "INSERT INTO two VALUES ({n}, 'h{n}')",
            ],
        ],
    ),
];

#[test]
fn two_that_have_nothing_in_common_both_commit_in_every_order() {
    let mut db = Db::new();
    db.run(TABLES);
    let mut n = 100;
    let mut wrong = Vec::new();
    for (name, steps) in PAIRS {
        let begins_epoch = name.starts_with("the first");
        let whole = |who: usize| -> Vec<String> {
            let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM pg_class".to_string();
            [vec![begin], steps[who].iter().map(|s| s.to_string()).collect(), vec!["COMMIT".into()]].concat()
        };
        let scripts = [whole(0), whole(1)];
        let mut kept = [db.session(), db.session()];
        for order in interleavings(scripts[0].len(), scripts[1].len()) {
            n += 1;
            if begins_epoch {
                db.run("DELETE FROM audit_log.feed_epoch");
                // Sessions that know nothing of what was before.
                kept = [db.session(), db.session()];
            }
            let mut next = [0, 0];
            for who in &order {
                let step = scripts[*who][next[*who]].replace("{n}", &n.to_string());
                next[*who] += 1;
                if let Err(error) = kept[*who].batch_execute(&step) {
                    let failure = Failure::of(error);
                    wrong
                        .push(format!("{name}, {order:?}: {step}: {} {}", failure.sqlstate, failure.message));
                    break;
                }
            }
            kept.iter_mut().for_each(|session| run(session, "ROLLBACK"));
        }
        let lacking = one(
            &mut db.client,
            "SELECT count(*) FROM (SELECT id FROM one UNION ALL SELECT id FROM two) r
            WHERE NOT EXISTS (SELECT FROM audit_log.entry e WHERE e.target_id = r.id::text)",
        );
        assert_eq!(lacking, "0", "{name}");
    }
    assert!(wrong.is_empty(), "{} failed:\n{}", wrong.len(), wrong.join("\n"));
}
