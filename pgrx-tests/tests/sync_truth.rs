//! Readers among eight writers and a transaction that stays open: every committed entry comes exactly once to each.
//!
//! AUDIT_LOG_LONG_TESTS in the environment makes it ten times as many.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::thread;

use audit_log_tests::{at_length, one, query, run, unique, until, Db};
use postgres::Client;

use crate::listing::Random;
use crate::sync_reading::{ids, of_feed, start, watched, By, Differences, Found, Reader};
use crate::sync_writers::{pause, AtEnd, Committed, Writer};

const WRITERS: u64 = 8;

/// How many entries are committed before, while and after one transaction stays open.
fn amounts() -> [usize; 3] {
    let times = if at_length("sync and feed among many more writes") { 10 } else { 1 };
    [150, 500, 300].map(|few| few * times)
}

/// So often each reader by a cursor crashes at least.
const CRASHES: usize = 6;

/// What a reader has, while it reads.
struct Progress {
    who: &'static str,
    found: Mutex<Vec<Found>>,
    crashes: Mutex<usize>,
}

impl Progress {
    fn of(who: &'static str) -> Progress {
        Progress { who, found: Mutex::default(), crashes: Mutex::default() }
    }

    fn add(&self, found: &[Found]) {
        self.found.lock().expect("reads").extend_from_slice(found);
    }

    fn found(&self) -> Vec<Found> {
        self.found.lock().expect("reads").clone()
    }

    fn ids(&self) -> Vec<String> {
        self.found().into_iter().map(|found| found.id).collect()
    }
}

/// What everybody found, and when.
struct Outcome {
    /// The ids of all entries, and of those of acme.
    all: Vec<String>,
    acme: Vec<String>,
    /// What the writers say they committed, and what the log has.
    committed: Vec<String>,
    targets: Vec<String>,
    syncing: Vec<Progress>,
    feed: Progress,
    naive: Vec<Progress>,
    /// What was committed while the transaction was open, all of which came to readers before it ended.
    committed_meanwhile: usize,
    /// What feed showed of that time.
    not_held_back: usize,
    appeared_behind: Vec<String>,
}

/// Reads by a cursor until the writers are done and nothing more comes, crashing now and then.
fn read(db: &str, mut reader: Reader, seed: u64, progress: &Progress, done: &AtomicBool) {
    let (mut client, mut random) = (audit_log_tests::connect(db, "postgres"), Random(seed));
    loop {
        let was_done = done.load(Relaxed);
        let crashing = random.percent(15);
        let most = if crashing { random.below(reader.limit as usize) } else { usize::MAX };
        let before = reader.found.len();
        let count = reader.take(&mut client, most);
        progress.add(&reader.found[before..]);
        if crashing {
            client = audit_log_tests::connect(db, "postgres");
            *progress.crashes.lock().expect("reads") += 1;
        } else if count == 0 {
            // However few its turns were beside the others'.
            if was_done && *progress.crashes.lock().expect("reads") >= CRASHES {
                return;
            }
            pause(&mut random, 40);
        }
    }
}

/// Reads feed as tools do that track one column; what appeared behind a position that was seen.
fn track(db: &str, progress: &Progress, total: &Mutex<Option<usize>>) -> Vec<String> {
    let (mut client, mut random) = (audit_log_tests::connect(db, "postgres"), Random(21));
    let (mut position, mut found, mut appeared) = (String::new(), 0, Vec::new());
    until("everything to come to feed", || {
        let rows = of_feed(&mut client, "feed", &position, 1 + random.below(100) as i64);
        progress.add(&rows);
        found += rows.len();
        if let Some(last) = rows.last() {
            position = last.position.clone();
        }
        let behind =
            query(&mut client, "SELECT count(*) FROM audit_log.feed WHERE position <= $1", &[&position]);
        let behind: i64 = behind[0].get(0);
        if behind != found as i64 {
            appeared.push(format!("{behind} up to {position}, where {found} were read"));
        }
        pause(&mut random, 100);
        match *total.lock().expect("counted") {
            Some(all) if found >= all => Ok(()),
            total => Err(format!("{found} of {total:?}")),
        }
    });
    appeared
}

/// Reads entry by something that is no good for it.
fn misread(db: &str, mut last: String, progress: &Progress, done: &AtomicBool) {
    let (mut client, by) = (audit_log_tests::connect(db, "postgres"), progress.who);
    loop {
        let was_done = done.load(Relaxed);
        let sql = format!(
            "SELECT id::text, position, target_id, {by}::text FROM audit_log.entry WHERE {by} > '{last}' ORDER BY {by} LIMIT 50"
        );
        let rows = query(&mut client, &sql, &[]);
        if let Some(row) = rows.last() {
            last = row.get(3);
        } else if was_done {
            return;
        }
        let found = |row: &postgres::Row| Found { id: row.get(0), position: row.get(1), target: row.get(2) };
        progress.add(&rows.iter().map(found).collect::<Vec<_>>());
        audit_log_tests::pause(30_000);
    }
}

/// A transaction of another database, and a prepared one: neither writes to the log.
struct Elsewhere {
    open: Client,
    prepared: String,
    _db: Db,
}

impl Elsewhere {
    fn begin() -> Elsewhere {
        let mut db = Db::without_extension();
        let (mut open, prepared) = (db.session(), unique("elsewhere"));
        db.run(&format!("BEGIN; CREATE TABLE one (); PREPARE TRANSACTION '{prepared}'"));
        run(&mut open, "BEGIN; CREATE TABLE other ()");
        Elsewhere { open, prepared, _db: db }
    }

    fn end(mut self) {
        run(&mut self.open, "COMMIT");
        run(&mut self.open, &format!("COMMIT PREPARED '{}'", self.prepared));
    }
}

fn among_writers() -> Outcome {
    let ([before, meanwhile, after], mut db) = (amounts(), watched());
    let setup = ids(&mut db.client, "true");
    let (name, committed, done) = (db.name.clone(), Committed::default(), AtomicBool::new(false));
    let total: Mutex<Option<usize>> = Mutex::new(None);
    let cursor = start(&mut db.client);
    let readers: Vec<(Reader, Progress)> = [
        ("one by one", By::Rows, 1, None),
        ("of acme, seven by seven", By::Rows, 7, Some("acme")),
        ("by JSON", By::Json, 1000, None),
    ]
    .into_iter()
    .map(|(who, by, limit, organization)| {
        (Reader { by, organization, ..Reader::new(cursor.clone(), limit) }, Progress::of(who))
    })
    .collect();
    let feed = Progress::of("feed");
    let naive = [Progress::of("occurred_at"), Progress::of("position")];
    let enough = AtomicBool::new(false);
    let mut outcome = thread::scope(|scope| {
        let (name, committed, done, total, enough) = (&name, &committed, &done, &total, &enough);
        for (seed, (reader, progress)) in readers.iter().enumerate() {
            scope.spawn(move || read(name, reader.clone(), seed as u64, progress, done));
        }
        let _done = AtEnd([enough, done]);
        let feed = &feed;
        let tracking = scope.spawn(move || track(name, feed, total));
        for progress in &naive {
            let last = db.one(&format!("SELECT max({}) FROM audit_log.entry", progress.who));
            scope.spawn(move || misread(name, last, progress, done));
        }
        let writing: Vec<_> = (0..WRITERS)
            .map(|n| {
                let mut writer = Writer::new(&format!("w{n}"), db.session(), 100 + n, committed);
                scope.spawn(move || writer.write_until(enough))
            })
            .collect();
        // One that stays open, with more subtransactions than a snapshot lists.
        committed.until(before);
        let mut long = Writer::new("long", db.session(), 99, committed);
        run(&mut long.session, "BEGIN");
        let elsewhere = Elsewhere::begin();
        let mut of_long = long.savepoints(80);
        of_long.extend(long.step());
        let earlier: HashSet<String> = committed.targets().into_iter().collect();
        committed.until(committed.count() + meanwhile);
        of_long.extend(long.step());
        let mut meanwhile = committed.targets();
        meanwhile.retain(|target| !earlier.contains(target));
        // It is open still: nobody's entries wait for it.
        have(&readers, &meanwhile);
        let own = one(&mut long.session, "SELECT pg_current_xact_id()").parse::<u64>().expect("a number");
        let not_held_back =
            feed.found().iter().filter(|found| found.position > format!("0001{own:012x}")).count();
        run(&mut long.session, "COMMIT");
        committed.add(of_long);
        elsewhere.end();
        committed.until(committed.count() + after);
        enough.store(true, Relaxed);
        writing.into_iter().for_each(|writer| writer.join().expect("writes"));
        let of_writers = format!("id <> ALL ('{{{}}}')", setup.join(","));
        let all = ids(&mut db.client, "true");
        *total.lock().expect("counted") = Some(all.len());
        done.store(true, Relaxed);
        let targets = format!(
            "SELECT target_id FROM audit_log.entry WHERE {of_writers} ORDER BY target_id COLLATE \"C\""
        );
        Outcome {
            all: ids(&mut db.client, &of_writers),
            acme: ids(&mut db.client, &format!("{of_writers} AND organization_id = 'acme'")),
            committed: committed.targets(),
            targets: db.all(&targets),
            syncing: Vec::new(),
            feed: Progress::of(""),
            naive: Vec::new(),
            committed_meanwhile: meanwhile.len(),
            not_held_back,
            appeared_behind: tracking.join().expect("tracks"),
        }
    });
    // What was there before comes to feed's reader only.
    feed.found.lock().expect("reads").retain(|found| !setup.contains(&found.id));
    outcome.syncing = readers.into_iter().map(|(_, progress)| progress).collect();
    outcome.feed = feed;
    outcome.naive = naive.into();
    outcome
}

/// Waits for readers to have some entries, and says what one still lacks where they never come.
#[track_caller]
fn have(readers: &[(Reader, Progress)], targets: &[String]) {
    until("readers to have what was committed", || {
        let mut lacking = Vec::new();
        for (reader, progress) in readers {
            let has: HashSet<String> = progress.found().into_iter().map(|found| found.target).collect();
            let wanted = targets.iter().filter(|t| t.starts_with(reader.organization.unwrap_or_default()));
            lacking.extend(wanted.filter(|t| !has.contains(*t)).map(|t| format!("{}: {t}", progress.who)));
        }
        match lacking.len() {
            0 => Ok(()),
            _ => Err(format!("{lacking:?}")),
        }
    });
}

/// One run for all that is asserted of it.
fn outcome() -> &'static Outcome {
    static OUTCOME: OnceLock<Option<Outcome>> = OnceLock::new();
    let outcome = OUTCOME.get_or_init(|| thread::spawn(among_writers).join().ok());
    let outcome = outcome.as_ref().expect("the run ended well");
    // The log has what the writers committed: the truth that readers are measured by.
    assert_eq!(outcome.committed, outcome.targets);
    outcome
}

#[test]
fn every_committed_entry_comes_exactly_once() {
    let Outcome { all, acme, syncing, .. } = outcome();
    for progress in syncing {
        let wanted = if progress.who.contains("acme") { acme } else { all };
        assert_eq!(Differences::between(&progress.ids(), wanted), Differences::default(), "{}", progress.who);
        let (crashes, count) = (*progress.crashes.lock().expect("has read"), wanted.len());
        assert!(crashes > 5 && count > 300, "{}: too little happened: {crashes}, {count}", progress.who);
    }
    // Late commits did come late: with smaller positions than what was there already.
    let found = syncing[2].found();
    assert!(found.windows(2).filter(|two| two[0].position > two[1].position).count() > 30);
}

#[test]
fn a_transaction_that_stays_open_delays_only_its_own_entries() {
    let Outcome { committed_meanwhile, syncing, all, .. } = outcome();
    assert!(*committed_meanwhile > 100, "too little happened: {committed_meanwhile} of {}", all.len());
    // Its own came late, and all of them.
    let found = syncing[0].found();
    let own: Vec<usize> = (0..found.len()).filter(|i| found[*i].target.contains("/long/")).collect();
    assert!(own.len() > 80 && own[0] > *committed_meanwhile, "{} from {:?}", own.len(), own.first());
}

#[test]
fn a_reader_of_feed_finds_everything_and_nothing_behind_it() {
    let Outcome { all, feed, appeared_behind, not_held_back, .. } = outcome();
    assert_eq!(appeared_behind, &Vec::<String>::new());
    assert_eq!(Differences::between(&feed.ids(), all), Differences::default());
    assert_eq!(*not_held_back, 0, "what was committed while another was open");
}

/// The same check finds the faults of the readers that sync() and feed are there to replace.
#[test]
fn a_reader_by_time_or_by_unsettled_position_loses_some() {
    let Outcome { all, naive, .. } = outcome();
    for progress in naive {
        let Differences { lost, twice, never_there } = Differences::between(&progress.ids(), all);
        let (lost, found) = (lost.len(), progress.ids().len());
        assert!(lost > 20 && found > lost / 10, "by {}: lost {lost} of {}", progress.who, all.len());
        assert_eq!((twice, never_there), Default::default(), "by {}", progress.who);
    }
}
