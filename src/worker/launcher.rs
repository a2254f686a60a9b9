//! The launcher: keeps a place for each database, and starts a worker where one is due.
//!
//! A worker is there only while it works, so that nobody who drops or copies a database meets it, and a
//! server with many databases has few processes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use audit_log_model::worker_plan::{self, Due};

use crate::glue::background::{self, Worker};
use crate::glue::board::{self, Place};
use crate::glue::{backend, setting};

/// Runs until the server shuts down.
pub fn run() {
    background::begin_launcher();
    board::i_am_launcher();
    take_over();
    let mut launcher = Launcher::default();
    loop {
        if background::reload() {
            // What the tasks go by may have changed.
            board::places().iter().for_each(|place| place.asked.store(true, Relaxed));
        }
        let time = match background::is_binary_upgrade() {
            true => worker_plan::LONGEST_WAIT,
            false => launcher.look(),
        };
        if !background::wait(Duration::from_micros(time as u64)) {
            background::end();
        }
    }
}

/// Ends the workers of a launcher before this one: nobody would hear of their end.
fn take_over() {
    for place in board::places() {
        place.end_worker();
        place.worker.store(0, Relaxed);
        if place.next_run.load(Relaxed) == worker_plan::STARTED {
            place.next_run.store(0, Relaxed);
            place.entries_came.store(true, Relaxed);
        }
    }
}

#[derive(Default)]
struct Launcher {
    /// By place.
    workers: HashMap<usize, Worker>,
    /// How often in a row a place's worker ended without having noted when to run next.
    failures: HashMap<usize, u32>,
    last_starts: HashMap<usize, i64>,
    /// What was told once.
    said: HashSet<&'static str>,
    /// The names of those that are served, by oid.
    databases: HashMap<u32, String>,
}

impl Launcher {
    /// Starts what is due; gives how long to wait, in microseconds.
    fn look(&mut self) -> i64 {
        let now = backend::now_unix_micros();
        self.reap(now);
        self.assign(now);
        let places = board::places();
        let due: Vec<Due> = places.iter().enumerate().filter_map(|(i, place)| self.due(i, place)).collect();
        let plan = worker_plan::plan(now, &due, self.workers.len());
        for place in plan.start {
            self.start(place, now);
        }
        plan.wait
    }

    fn due(&self, i: usize, place: &Place) -> Option<Due> {
        let is_free = place.database.load(Relaxed) != 0 && !self.workers.contains_key(&i);
        is_free.then(|| Due {
            place: i,
            next_run: place.next_run.load(Relaxed),
            asked: place.asked.load(Relaxed),
            entries_came: place.entries_came.load(Relaxed),
            merge: place.merge.load(Relaxed),
            last_start: self.last_starts.get(&i).copied().unwrap_or(0),
            paused_until: place.paused_until.load(Relaxed),
            has_failed: self.failures.contains_key(&i),
        })
    }

    fn start(&mut self, i: usize, now: i64) {
        let place = &board::places()[i];
        place.asked.store(false, Relaxed);
        place.has_worked.store(false, Relaxed);
        self.last_starts.insert(i, now);
        place.next_run.store(worker_plan::STARTED, Relaxed);
        match Worker::start(i) {
            Some(worker) => {
                self.workers.insert(i, worker);
            }
            None => {
                place.next_run.store(now + worker_plan::WITHOUT_ROOM, Relaxed);
                self.say_full("audit_log: no background worker could be started; raise max_worker_processes");
            }
        }
    }

    /// Notes which workers have ended, and whether they did what they were to.
    fn reap(&mut self, now: i64) {
        let ended: Vec<usize> = self.workers.iter().filter(|(_, w)| w.has_ended()).map(|(i, _)| *i).collect();
        for i in ended {
            self.workers.remove(&i);
            let place = &board::places()[i];
            place.worker.store(0, Relaxed);
            if place.next_run.load(Relaxed) != worker_plan::STARTED {
                self.failures.remove(&i);
                continue;
            }
            place.entries_came.store(true, Relaxed);
            if place.paused_until.load(Relaxed) > now {
                // It was told to end.
                place.next_run.store(now, Relaxed);
                continue;
            }
            let before = self.failures.get(&i).copied().unwrap_or(0);
            let failures = if place.has_worked.load(Relaxed) { 1 } else { before.saturating_add(1) };
            self.failures.insert(i, failures);
            place.next_run.store(now + worker_plan::delay(failures), Relaxed);
            if let (0, Some(name)) = (before, self.databases.get(&place.database.load(Relaxed))) {
                // Its own message does not tell which database it was in.
                pgrx::warning!("audit_log: the worker of database \"{name}\" has failed; it is tried again, later and later");
            }
        }
    }

    /// Gives each database that is to be served a place, and takes it from those that are gone.
    fn assign(&mut self, now: i64) {
        let wanted = setting::databases();
        let databases: HashMap<u32, String> =
            background::databases().into_iter().filter(|(_, name)| wanted.contains(name)).collect();
        self.databases.clone_from(&databases);
        let mut missing = databases;
        let mut free = Vec::new();
        for (i, place) in board::places().iter().enumerate() {
            let database = place.database.load(Relaxed);
            let is_kept = missing.remove(&database).is_some();
            if !is_kept && !self.workers.contains_key(&i) {
                place.database.store(0, Relaxed);
                self.failures.remove(&i);
                free.push(place);
            }
        }
        if missing.len() > free.len() {
            self.say_full("audit_log: more databases than the background worker serves; name those to be served in audit_log.databases");
        }
        for ((database, _), place) in missing.into_iter().zip(free) {
            board::give(place, database, now);
        }
    }

    fn say_full(&mut self, what: &'static str) {
        if self.said.insert(what) {
            pgrx::warning!("{what}");
        }
    }
}
