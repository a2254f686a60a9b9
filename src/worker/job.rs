//! A worker: runs the tasks of one database that are due, and ends.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use audit_log_model::AuditError;

use crate::glue::board::{self, Place};
use crate::glue::spi::{self, Arg};
use crate::glue::{backend, background};

/// A database without the extension is looked at again so late; CREATE EXTENSION asks by itself.
const WITHOUT_EXTENSION: i64 = 6 * 3_600 * 1_000_000;
/// One in which somebody else is at work, or drops the extension.
const WHILE_BUSY: i64 = 5_000_000;
/// After so long it is others' turn.
const TURN: i64 = 20_000_000;

/// What came of a look.
enum Step {
    /// A step of a task.
    Ran,
    /// Nothing was due; Unix microseconds of when to look again.
    Idle(i64),
    Busy,
    WithoutExtension,
}

/// Serves the database that has a place on the board.
pub fn run(place: usize) {
    let Some(place) = board::places().get(place) else { return };
    // In this order: whoever wants to keep it out pauses it, and then looks who is at work.
    place.worker.store(backend::process(), SeqCst);
    serve(place);
    // The number may soon be another process's.
    place.worker.store(0, SeqCst);
}

fn serve(place: &Place) {
    let begin = backend::now_unix_micros();
    let pause = place.paused_until.load(SeqCst);
    if pause > begin {
        place.next_run.store(pause, Relaxed);
        return;
    }
    let database = place.database.load(Relaxed);
    if database == 0 {
        // Started for a launcher that is no more.
        return;
    }
    background::begin_worker(database);
    let mut came = place.entries_came.swap(false, Relaxed);
    loop {
        background::reload();
        background::report(c"audit_log: what is due");
        let step = background::transaction(|| match background::hold_extension() {
            Some(true) => step(came, place.begin_to_merge()),
            Some(false) => Ok(Step::WithoutExtension),
            None => Ok(Step::Busy),
        });
        let now = backend::now_unix_micros();
        let next_run = match step {
            Step::Ran if now < begin + TURN => {
                place.has_worked.store(true, Relaxed);
                // It is remembered where the tasks are.
                came = false;
                continue;
            }
            Step::Ran => now,
            Step::Idle(next_run) => next_run,
            // Nobody has looked at the entries.
            Step::Busy | Step::WithoutExtension => {
                if came {
                    place.entries_came.store(true, Relaxed);
                }
                now + if matches!(step, Step::Busy) { WHILE_BUSY } else { WITHOUT_EXTENSION }
            }
        };
        place.next_run.store(next_run, Relaxed);
        return;
    }
}

fn step(entries_came: bool, merge: bool) -> Result<Step, AuditError> {
    let sql = include_str!("../../sql/queries/run_due_task.sql");
    spi::execute_reading(sql, &[Arg::of(Some(entries_came)), Arg::of(Some(merge))], |rows| {
        let row = rows.iter().next();
        if row.as_ref().is_some_and(|row| row.get::<String>(1).is_some()) {
            return Ok(Step::Ran);
        }
        let next_run = row.and_then(|row| row.column(2));
        Ok(next_run.map_or(Step::Busy, |at| Step::Idle(backend::unix_micros(at.number()))))
    })
}
