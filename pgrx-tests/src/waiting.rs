//! Waiting, in one place: for something to be so, never for a time to be over.

use std::io::Write;
use std::time::{Duration, Instant};

use postgres::Client;

use crate::{one, run};

/// Bounds a hang and nothing else: on a machine with other things to do all else takes its time.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// For sessions that nobody is to keep waiting: where somebody does, they fail in the end, and do not hang.
pub const PATIENT: &str = "SET lock_timeout = '300s'; SET statement_timeout = '600s'";

/// A statement that does not end by itself: somebody is to end it.
pub const FOREVER: &str = "SELECT pg_catalog.pg_sleep(1000000)";

/// An expression that takes a while; nothing may depend on how long.
pub fn takes_a_while() -> &'static str {
    "pg_catalog.pg_sleep(2)"
}

/// Looks again and again until there is what was looked for; what is there instead is told where that never comes.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(now) => {
                assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}: {now}");
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until it is so.
#[track_caller]
pub fn until_so(what: &str, mut is_so: impl FnMut() -> bool) {
    until(what, || if is_so() { Ok(()) } else { Err("it is not so".to_string()) });
}

/// Polls until a query answers as expected.
#[track_caller]
pub fn wait_for(client: &mut Client, sql: &str, expected: &str) {
    until(&format!("{expected} from {sql}"), || {
        let now = one(client, sql);
        if now == expected {
            Ok(())
        } else {
            Err(now)
        }
    });
}

/// Whether a process waits for a lock.
pub fn waits(pid: &str) -> String {
    format!("SELECT count(*) > 0 FROM pg_catalog.pg_locks WHERE pid = {pid} AND NOT granted")
}

/// Waits until a process waits for a lock.
#[track_caller]
pub fn until_it_waits(watcher: &mut Client, pid: &str) {
    wait_for(watcher, &waits(pid), "t");
}

/// Lets others come between: for sessions that write or read at random, side by side. What they do must be right
/// however long it is.
pub fn pause(micros: u64) {
    std::thread::sleep(Duration::from_micros(micros.min(2_000_000)));
}

/// Has a session fail, and not hang, where somebody keeps it waiting.
#[track_caller]
pub fn patient(client: &mut Client) {
    run(client, PATIENT);
}

/// Says that something was not tested, and why: `make test` counts it, and names it in the end.
pub fn skipped(what: &str, why: &str) {
    let line = format!("{what}: {why}");
    eprintln!("SKIPPED {line}");
    let Some(file) = std::env::var_os("AUDIT_LOG_SKIPPED") else { return };
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).append(true).open(file);
    // In one call: others write there, too.
    file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
        .expect("the list of what was skipped");
}

/// Whether to test something at length; where not, that is said.
pub fn at_length(what: &str) -> bool {
    let is_long = std::env::var_os("AUDIT_LOG_LONG_TESTS").is_some();
    if !is_long {
        skipped(what, "AUDIT_LOG_LONG_TESTS is not set");
    }
    is_long
}
