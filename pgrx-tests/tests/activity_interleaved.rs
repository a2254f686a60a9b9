//! Counts by day, totals and people at every step of writers that commit late, roll back, use savepoints and prepared
//! transactions, while somebody counts: what the entries themselves say, by the same snapshot.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use audit_log_tests::{one, pause, run, unique, Db};
use postgres::Client;

use crate::listing::{instant, same, Random};
use crate::page_truth::{
    expected, expected_people, is_exact, page, people, some_instant, with_weeks, Request, CATEGORIES,
};

/// A session that writes, where it stands in its transaction, and its name for those it prepares.
struct Writer {
    client: Client,
    open: bool,
    prepared: bool,
    savepoints: usize,
    gid: String,
    /// Whether the open transaction, and the prepared one, have counted: nobody else may until they end.
    counted: [bool; 2],
}

const PEOPLE: [&str; 5] = [
    r#"{"type": "user", "id": "7", "name": "Ann Samuelson"}"#,
    r#"{"type": "user", "id": "7", "name": "Ann Miller"}"#,
    r#"{"type": "user", "id": "8", "name": "Bob"}"#,
    r#"{"type": "automation", "name": "Nightly Run"}"#,
    r#"{"type": "system"}"#,
];

impl Writer {
    fn new(db: &Db) -> Writer {
        let mut client = db.session();
        run(&mut client, "SET client_min_messages = error");
        Writer {
            client,
            open: false,
            prepared: false,
            savepoints: 0,
            gid: unique("gid"),
            counted: [false; 2],
        }
    }

    /// Some entries, recorded or captured.
    fn write(&mut self, random: &mut Random) {
        let (category, _) = CATEGORIES[random.below(CATEGORIES.len())];
        let (organization, many) = (random.of(&["default", "acme"]), 1 + random.below(4));
        let actor = random.of(&PEOPLE);
        let context = format!(
            r#"SELECT audit_log.set_context('{{"actor": {actor}, "organization": "{organization}"}}', false)"#
        );
        run(&mut self.client, &context);
        let at = instant(some_instant(random));
        let write = match random.below(4) {
            0 => format!("INSERT INTO job SELECT FROM generate_series(1, {many})"),
            1 => "UPDATE job SET n = n + 1 WHERE id IN (SELECT id FROM job ORDER BY random() LIMIT 3 FOR UPDATE SKIP LOCKED)".to_string(),
            _ => format!(
                r#"SELECT audit_log.record('{category}', 't{many}', occurred_at => '{at}', targets => '[{{"type": "candidate", "id": "c{many}", "name": "Zoë {many}"}}]')
                   FROM generate_series(1, {many})"#
            ),
        };
        run(&mut self.client, &write);
    }

    /// One step of this writer's, whichever may come next.
    fn step(&mut self, random: &mut Random, may_count: bool) {
        let (gid, savepoints) = (self.gid.clone(), self.savepoints);
        if self.prepared && (!self.open || random.percent(30)) {
            if self.open {
                self.end("COMMIT");
            }
            let how = random.of(&["COMMIT", "COMMIT", "ROLLBACK"]);
            run(&mut self.client, &format!("{how} PREPARED '{gid}'"));
            (self.prepared, self.counted[1]) = (false, false);
            return;
        }
        match (self.open, random.below(11)) {
            (false, 0..5) => {
                run(&mut self.client, "BEGIN");
                self.open = true;
            }
            (false, _) | (true, 0..4) => self.write(random),
            (true, 4) => {
                run(&mut self.client, &format!("SAVEPOINT s{savepoints}"));
                self.savepoints += 1;
            }
            (true, 5 | 6) if savepoints > 0 => {
                let to = random.below(savepoints);
                let is_kept = random.percent(40);
                run(&mut self.client, &format!("{} s{to}", if is_kept { "RELEASE" } else { "ROLLBACK TO" }));
                self.savepoints = if is_kept { to } else { to + 1 };
            }
            (true, 7) if !self.prepared => {
                let counted = self.counted[0];
                self.end(&format!("PREPARE TRANSACTION '{gid}'"));
                (self.prepared, self.counted[1]) = (true, counted);
            }
            (true, 10) if may_count => {
                run(&mut self.client, "SELECT audit_log.count_entries()");
                self.counted[0] = true;
            }
            (true, 8) => self.end("ROLLBACK"),
            (true, _) => self.end("COMMIT"),
        }
    }

    fn end(&mut self, how: &str) {
        run(&mut self.client, how);
        (self.open, self.savepoints, self.counted[0]) = (false, 0, false);
    }

    /// Ends whatever is under way.
    fn finish(&mut self) {
        if self.open {
            self.end("COMMIT");
        }
        if std::mem::take(&mut self.prepared) {
            run(&mut self.client, &format!("COMMIT PREPARED '{}'", self.gid));
        }
    }
}

/// A session that counts, in a transaction that may stay open for a while.
struct Counter {
    client: Client,
    open: bool,
}

impl Counter {
    fn step(&mut self, random: &mut Random) {
        if std::mem::take(&mut self.open) {
            return run(&mut self.client, random.of(&["COMMIT", "ROLLBACK"]));
        }
        match random.below(6) {
            0 => {
                run(&mut self.client, "BEGIN; SELECT audit_log.count_entries()");
                self.open = true;
            }
            1 => run(
                &mut self.client,
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT audit_log.count_entries(); COMMIT",
            ),
            _ => run(&mut self.client, "SELECT audit_log.count_entries()"),
        }
    }
}

fn some_request(random: &mut Random) -> Request {
    let (one, other) = (some_instant(random), some_instant(random));
    let edge = |random: &mut Random, at| random.percent(50).then(|| instant(at));
    let text =
        |random: &mut Random, chance, of: &[&str]| random.percent(chance).then(|| random.of(of).to_string());
    Request {
        page_size: Some(20),
        tab: text(random, 30, &["team", "interviews"]),
        search: text(random, 20, &["ann", "t1", "book"]),
        action: text(random, 30, &["Created", "job_created", "candidate_moved"]),
        actor: text(random, 15, &["7", "Ann Miller", "Nightly Run"]),
        start: edge(random, one.min(other)),
        end: edge(random, one.max(other) + 1),
        organization: text(random, 30, &["acme"]),
        ..Request::default()
    }
}

/// Fails where the counts, and at times a random page and the people, are not what the entries say, in the snapshot there is.
#[track_caller]
fn agrees(client: &mut Client, random: &mut Random, when: &str) {
    is_exact(client, when);
    if random.percent(50) {
        return;
    }
    let request = some_request(random);
    let wanted = expected(client, &request, None);
    let found = page(client, &request);
    let when = format!("{when}: {request:?}");
    assert_eq!(found.total(), wanted.len() as i64, "{when}");
    same(&found.ids(), &wanted[..wanted.len().min(20)], &when);
    assert_eq!(people(client, "", 100), expected_people(client, "", None), "{when}");
}

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

fn a_database() -> Db {
    let mut db = with_weeks();
    db.run(
        "CREATE TABLE job (id serial PRIMARY KEY, n int DEFAULT 0); SELECT audit_log.watch('job');
         SELECT audit_log.enable_organization('acme')",
    );
    db
}

#[test]
fn at_every_step_of_interleaved_sessions() {
    for seed in [31, 32, 33] {
        let mut random = Random(seed);
        let db = a_database();
        let mut writers: Vec<Writer> = (0..4).map(|_| Writer::new(&db)).collect();
        let mut counter = Counter { client: db.session(), open: false };
        let mut reader = db.session();
        // Some snapshots stay for a while, one behind the other.
        let mut older: Vec<Client> = (0..2).map(|_| db.session()).collect();
        older.iter_mut().for_each(|client| run(client, SNAPSHOT));
        for step in 0..60 {
            let one_counts = counter.open || writers.iter().any(|writer| writer.counted != [false; 2]);
            match random.below(5) {
                0 if counter.open || !one_counts => counter.step(&mut random),
                _ => writers[random.below(4)].step(&mut random, !one_counts),
            }
            let when = format!("seed {seed}, step {step}");
            run(&mut reader, SNAPSHOT);
            agrees(&mut reader, &mut random, &when);
            run(&mut reader, "COMMIT");
            if step % 9 == 0 {
                let writer = &mut writers[random.below(4)].client;
                agrees(writer, &mut random, &format!("{when}, in a writer's own transaction"));
            }
            if step % 10 == 0 {
                let old = &mut older[random.below(2)];
                agrees(old, &mut random, &format!("{when}, by an older snapshot"));
                run(old, &format!("COMMIT; {SNAPSHOT}"));
            }
        }
        if counter.open {
            run(&mut counter.client, "COMMIT");
        }
        writers.iter_mut().for_each(Writer::finish);
        agrees(&mut reader, &mut random, &format!("seed {seed}, all is over"));
        run(&mut counter.client, "SELECT audit_log.count_entries()");
        agrees(&mut reader, &mut random, &format!("seed {seed}, all is counted"));
        assert_eq!(one(&mut reader, "SELECT count(*) FROM audit_log.uncounted"), "0");
    }
}

/// Steps of all writers together.
const ENOUGH: usize = 300;

#[test]
fn while_sessions_write_and_count_at_once() {
    let db = a_database();
    let (over, steps) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut writers: Vec<Writer> = (0..3).map(|_| Writer::new(&db)).collect();
    let mut counters: Vec<Client> = (0..2).map(|_| db.session()).collect();
    let mut reader = db.session();
    thread::scope(|scope| {
        for (n, writer) in writers.iter_mut().enumerate() {
            let (over, steps) = (&over, &steps);
            scope.spawn(move || {
                let mut random = Random(40 + n as u64);
                while !over.load(Ordering::Relaxed) {
                    writer.step(&mut random, false);
                    steps.fetch_add(1, Ordering::Relaxed);
                    pause(random.next() % 8000);
                }
                writer.finish();
            });
        }
        for (n, counter) in counters.iter_mut().enumerate() {
            let over = &over;
            scope.spawn(move || {
                let mut random = Random(50 + n as u64);
                while !over.load(Ordering::Relaxed) {
                    run(counter, "SELECT audit_log.count_entries()");
                    pause(random.next() % 20_000);
                }
            });
        }
        // However it ends, the others are told.
        struct Tell<'a>(&'a AtomicBool);
        impl Drop for Tell<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _tell = Tell(&over);
        let mut random = Random(60);
        let mut checks = 0;
        while checks < 60 || (steps.load(Ordering::Relaxed) < ENOUGH && checks < 6_000) {
            run(&mut reader, SNAPSHOT);
            agrees(&mut reader, &mut random, "while others write and count");
            // The same snapshot once more, after others have counted on.
            is_exact(&mut reader, "a moment later");
            run(&mut reader, "COMMIT");
            checks += 1;
        }
    });
    assert!(steps.load(Ordering::Relaxed) >= ENOUGH, "too little happened");
    is_exact(&mut reader, "when all is over");
    run(&mut reader, "SELECT audit_log.count_entries()");
    is_exact(&mut reader, "when all is counted");
}
