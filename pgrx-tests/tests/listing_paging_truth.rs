//! Pages read while others write, commit late, roll back and remove: what was there at the first page comes exactly once.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use audit_log_tests::{all, run};
use postgres::Client;

use crate::listing::{expected, guard, ids, page, requests, same, Month, Random, Request};

/// One reader's way through all pages of a request.
struct Pass {
    what: String,
    began: usize,
    ended: usize,
    /// In the snapshot that the first page was read by.
    there: Vec<String>,
    found: Vec<String>,
}

/// What was removed: from when on it may have been gone, from when on it was.
type Removed = HashMap<String, (usize, usize)>;

/// What comes later in any session has a greater one.
fn moment() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, SeqCst)
}

fn pause(random: &mut Random, most: u64) {
    audit_log_tests::pause(random.next() % (most * 1000));
}

/// A transaction of some entries that takes its time.
fn write(session: &mut Client, random: &mut Random) {
    run(session, "BEGIN");
    for _ in 0..1 + random.below(4) {
        let (many, minutes) = ([1, 1, 1, 12][random.below(4)], 15 * random.below(28 * 96));
        let in_savepoint = random.percent(30);
        if in_savepoint {
            run(session, "SAVEPOINT s");
        }
        run(
            session,
            &format!(
                r#"SELECT audit_log.set_context('{{"actor": {{"type": "user", "id": "{}"}}, "organization": "{}"}}');
                SELECT audit_log.record('{}', 't{}', targets => '[{{"type": "job", "id": "t{}"}}]', occurred_at => '2025-03-03Z'::timestamptz + interval '{minutes} min')
                FROM generate_series(1, {many});
                INSERT INTO job SELECT FROM generate_series(1, {many})"#,
                random.of(&["ann", "sue", "bob"]),
                random.of(&["default", "acme"]),
                random.of(&["job_created", "job_updated", "offer_sent"]),
                random.below(7),
                random.below(4),
            ),
        );
        pause(random, 15);
        if in_savepoint {
            run(session, random.of(&["ROLLBACK TO s", "RELEASE s"]));
        }
    }
    run(session, random.of(&["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]));
}

/// A transaction that removes entries, as retention would.
fn remove(session: &mut Client, random: &mut Random, removed: &mut Removed) {
    run(session, "BEGIN");
    let began = moment();
    let gone = all(session, "DELETE FROM audit_log.event WHERE id IN (SELECT id FROM audit_log.stored_event ORDER BY random() LIMIT 8) RETURNING id");
    run(
        session,
        &format!("DELETE FROM audit_log.event_target WHERE event_id = ANY ('{{{}}}')", gone.join(",")),
    );
    pause(random, 30);
    if random.percent(30) {
        return run(session, "ROLLBACK");
    }
    run(session, "COMMIT");
    let ended = moment();
    removed.extend(gone.into_iter().map(|id| (id, (began, ended))));
    if random.percent(20) {
        run(session, "VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) audit_log.event, audit_log.event_target");
    }
}

/// Reads the pages that follow a first one.
type Follow =
    fn(&mut Client, &Request, &mut Random, first: Vec<String>, cursor: Option<String>) -> Vec<String>;

fn by_cursor(
    client: &mut Client,
    request: &Request,
    random: &mut Random,
    mut found: Vec<String>,
    mut cursor: Option<String>,
) -> Vec<String> {
    while let Some(at) = cursor {
        pause(random, 10);
        let next = page(client, request, Some(&at), 5 + random.below(40));
        cursor = next.next;
        found.extend(ids(next.entries));
    }
    found
}

fn by_offset(
    client: &mut Client,
    request: &Request,
    random: &mut Random,
    mut found: Vec<String>,
    _: Option<String>,
) -> Vec<String> {
    loop {
        pause(random, 10);
        let next: Vec<String> = expected(client, request, None, None)
            .into_iter()
            .skip(found.len())
            .take(5 + random.below(40))
            .collect();
        if next.is_empty() {
            return found;
        }
        found.extend(next);
    }
}

fn pass(client: &mut Client, random: &mut Random, follow: Follow) -> Pass {
    let mut requests = requests();
    // What is captured now, in the window nobody asks for.
    requests.push(Request::default());
    let which = random.below(requests.len());
    let (request, limit) = (&requests[which], 5 + random.below(40));
    run(client, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    let began = moment();
    let there = expected(client, request, None, None);
    let first = page(client, request, None, limit);
    run(client, "COMMIT");
    let cursor = first.next.clone();
    let first = ids(first.entries);
    same(&first, &there[..limit.min(there.len())], &format!("{request:?}"));
    let found = follow(client, request, random, first, cursor);
    Pass { what: format!("request {which}"), began, ended: moment(), there, found }
}

/// A reader, until it goes.
struct Reads<'a>(&'a AtomicUsize);

impl Drop for Reads<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// What is wrong with the passes, and how much happened during them.
#[derive(Debug, Default)]
struct Verdict {
    passes: usize,
    lost: Vec<String>,
    twice: Vec<String>,
    never_there: Vec<String>,
    gone_before: Vec<String>,
    disordered: Vec<String>,
    written_meanwhile: usize,
    removed_meanwhile: usize,
}

fn judge(passes: &[Pass], removed: &Removed, remaining: &HashSet<String>) -> Verdict {
    let mut verdict = Verdict { passes: passes.len(), ..Verdict::default() };
    for Pass { what, began, ended, there, found } in passes {
        let told = |id: &String| format!("{what}: {id}");
        let (there, mut once): (HashSet<&String>, HashSet<&String>) =
            (there.iter().collect(), HashSet::new());
        verdict.twice.extend(found.iter().filter(|id| !once.insert(id)).map(told));
        for id in there.difference(&once) {
            match removed.get(*id) {
                Some((from, _)) if from < ended => verdict.removed_meanwhile += 1,
                _ => verdict.lost.push(told(id)),
            }
        }
        for id in &once {
            match removed.get(*id) {
                Some((_, since)) if since < began => verdict.gone_before.push(told(id)),
                None if !remaining.contains(*id) => verdict.never_there.push(told(id)),
                _ => verdict.written_meanwhile += usize::from(!there.contains(id)),
            }
        }
        // An id has the instant in front.
        verdict.disordered.extend(found.windows(2).filter(|w| w[0] < w[1]).map(|w| told(&w[1])));
    }
    verdict
}

/// Three readers, three writers and one who removes, until each reader has passed so often, and so many transactions
/// have written and removed.
fn among_writers([passes, writes, removals]: [usize; 3], follow: Follow) -> Verdict {
    let mut month = Month::new();
    month.write(700);
    month.db.run(
        "CREATE TABLE job (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY); SELECT audit_log.watch('job')",
    );
    guard(&mut month.db, false);
    let (reading, written, taken) = (AtomicUsize::new(3), AtomicUsize::new(0), AtomicUsize::new(0));
    let (passes, removed) = thread::scope(|scope| {
        let (reading, written, taken) = (&reading, &written, &taken);
        for seed in 1..4 {
            let (mut session, mut random) = (month.db.session(), Random(seed));
            scope.spawn(move || {
                while reading.load(SeqCst) > 0 {
                    write(&mut session, &mut random);
                    written.fetch_add(1, SeqCst);
                }
            });
        }
        let (mut session, mut random, mut removed) = (month.db.session(), Random(4), Removed::new());
        let removing = scope.spawn(move || {
            while reading.load(SeqCst) > 0 {
                remove(&mut session, &mut random, &mut removed);
                taken.fetch_add(1, SeqCst);
                pause(&mut random, 60);
            }
            removed
        });
        let readers: Vec<_> = (5..8)
            .map(|seed| {
                let (mut session, mut random) = (month.db.session(), Random(seed));
                scope.spawn(move || {
                    // However it ends, the others are told.
                    let _reads = Reads(reading);
                    let mut own = Vec::new();
                    while own.len() < passes || written.load(SeqCst) < writes || taken.load(SeqCst) < removals
                    {
                        own.push(pass(&mut session, &mut random, follow));
                    }
                    own
                })
            })
            .collect();
        let passes: Vec<Pass> = readers.into_iter().flat_map(|r| r.join().expect("reads")).collect();
        (passes, removing.join().expect("removes"))
    });
    guard(&mut month.db, true);
    let remaining = month.db.all("SELECT id FROM audit_log.stored_event").into_iter().collect();
    judge(&passes, &removed, &remaining)
}

#[test]
fn what_is_there_at_the_first_page_comes_exactly_once() {
    let Verdict {
        passes,
        lost,
        twice,
        never_there,
        gone_before,
        disordered,
        written_meanwhile,
        removed_meanwhile,
    } = among_writers([8, 150, 40], by_cursor);
    assert_eq!((lost, twice, never_there, gone_before, disordered), Default::default());
    let enough = passes > 15 && written_meanwhile > 30 && removed_meanwhile > 10;
    assert!(enough, "too little happened: {passes}, {written_meanwhile}, {removed_meanwhile}");
}

/// The same check finds the faults of the paging that cursors are there to replace.
#[test]
fn pages_by_offset_lose_some_and_give_others_twice() {
    let verdict = among_writers([3, 60, 15], by_offset);
    assert!(!verdict.lost.is_empty() && !verdict.twice.is_empty(), "{verdict:?}");
    assert!(verdict.never_there.is_empty() && verdict.gone_before.is_empty(), "{verdict:?}");
}
