//! Writers for those who read meanwhile: sleeping in transactions, with savepoints, rolling back, preparing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Mutex;

use audit_log_tests::{run, unique, until};
use postgres::Client;

use crate::listing::Random;

/// What all writers of a log have committed, by the entries' target: how often.
#[derive(Default)]
pub struct Committed(Mutex<HashMap<String, usize>>);

impl Committed {
    pub fn add(&self, targets: Vec<String>) {
        let mut all = self.0.lock().expect("no writer failed");
        targets.into_iter().for_each(|target| *all.entry(target).or_default() += 1);
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.0.lock().expect("no writer failed").values().sum()
    }

    /// Waits until there are so many.
    #[track_caller]
    pub fn until(&self, entries: usize) {
        until(&format!("{entries} entries"), || match self.count() {
            few if few < entries => Err(few.to_string()),
            _ => Ok(()),
        });
    }

    /// One for each entry.
    pub fn targets(&self) -> Vec<String> {
        let all = self.0.lock().expect("no writer failed");
        let mut targets: Vec<String> =
            all.iter().flat_map(|(target, n)| std::iter::repeat_n(target.clone(), *n)).collect();
        targets.sort();
        targets
    }
}

/// However something ends, others are told.
pub struct AtEnd<'a, const N: usize>(pub [&'a AtomicBool; N]);

impl<const N: usize> Drop for AtEnd<'_, N> {
    fn drop(&mut self) {
        self.0.iter().for_each(|flag| flag.store(true, Relaxed));
    }
}

pub fn pause(random: &mut Random, most_millis: u64) {
    audit_log_tests::pause(random.next() % (most_millis * 1000));
}

/// A session that writes.
pub struct Writer<'a> {
    pub name: String,
    pub session: Client,
    pub random: Random,
    pub committed: &'a Committed,
    written: usize,
    /// A prepared transaction, and what it wrote.
    prepared: Option<(String, Vec<String>)>,
}

impl<'a> Writer<'a> {
    pub fn new(name: &str, session: Client, seed: u64, committed: &'a Committed) -> Self {
        let (name, random) = (name.to_string(), Random(seed));
        Writer { name, session, random, committed, written: 0, prepared: None }
    }

    /// Some entries by one statement; their targets begin with their organization.
    #[track_caller]
    pub fn step(&mut self) -> Vec<String> {
        let organization = self.random.of(&["default", "acme"]);
        let many = [1, 1, 1, 4][self.random.below(4)];
        let targets: Vec<String> = (self.written..self.written + many)
            .map(|n| format!("{organization}/{}/{n}", self.name))
            .collect();
        self.written += many;
        let values = |value: fn(&str, &str) -> String| {
            targets.iter().map(|t| value(t, organization)).collect::<Vec<_>>().join(", ")
        };
        let insert = format!("INSERT INTO job VALUES {}", values(|t, o| format!("('{t}', '{o}')")));
        match self.random.below(4) {
            0 => run(&mut self.session, &insert),
            1 => {
                run(&mut self.session, &insert);
                let changed = values(|t, _| format!("'{t}'"));
                run(&mut self.session, &format!("UPDATE job SET n = n + 1 WHERE id IN ({changed})"));
                return [targets.clone(), targets].concat();
            }
            2 => {
                let past = 10 + self.random.below(5000);
                let calls = values(|t, o| format!("('{t}', '{o}')"));
                run(
                    &mut self.session,
                    &format!(
                        "SELECT audit_log.record('job_created', id, organization => org, occurred_at => now() - interval '{past} min')
                         FROM (VALUES {calls}) v(id, org)"
                    ),
                );
            }
            _ => {
                let calls =
                    values(|t, o| format!("audit_log.record('offer_sent', '{t}', organization => '{o}')"));
                run(&mut self.session, &format!("SELECT {calls}"));
            }
        }
        targets
    }

    /// Some steps in savepoints, of which some are rolled back.
    #[track_caller]
    pub fn savepoints(&mut self, count: usize) -> Vec<String> {
        let mut targets = Vec::new();
        for _ in 0..count {
            run(&mut self.session, "SAVEPOINT s");
            let step = self.step();
            match self.random.percent(30) {
                true => run(&mut self.session, "ROLLBACK TO s"),
                false => targets.extend(step),
            }
            if self.random.percent(50) {
                run(&mut self.session, "RELEASE s");
            }
        }
        targets
    }

    /// A transaction that takes its time, or the end of one that was prepared.
    #[track_caller]
    pub fn write(&mut self) {
        if self.prepared.is_some() && self.random.percent(30) {
            return self.decide();
        }
        if self.random.percent(30) {
            let targets = self.step();
            return self.committed.add(targets);
        }
        run(&mut self.session, "BEGIN");
        let mut targets = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let savepoints = match self.random.below(25) {
                0 => 70,
                1..=5 => 3,
                _ => 0,
            };
            targets.extend(self.savepoints(savepoints));
            targets.extend(self.step());
            pause(&mut self.random, 200);
        }
        match self.random.below(10) {
            0 | 1 => run(&mut self.session, "ROLLBACK"),
            2..=4 if self.prepared.is_none() => {
                let name = unique("prepared");
                run(&mut self.session, &format!("PREPARE TRANSACTION '{name}'"));
                self.prepared = Some((name, targets));
            }
            _ => {
                run(&mut self.session, "COMMIT");
                self.committed.add(targets);
            }
        }
    }

    /// Ends what was prepared, one way or the other.
    #[track_caller]
    pub fn decide(&mut self) {
        let Some((name, targets)) = self.prepared.take() else { return };
        if self.random.percent(30) {
            return run(&mut self.session, &format!("ROLLBACK PREPARED '{name}'"));
        }
        run(&mut self.session, &format!("COMMIT PREPARED '{name}'"));
        self.committed.add(targets);
    }

    /// Writes until told to stop, and leaves nothing undecided.
    #[track_caller]
    pub fn write_until(&mut self, enough: &AtomicBool) {
        while !enough.load(Relaxed) {
            self.write();
            pause(&mut self.random, 160);
        }
        self.decide();
    }
}
