//! A worker: runs the tasks of one database that are due, and ends.

use std::sync::atomic::Ordering::Relaxed;

use audit_log_model::AuditError;

use crate::glue::board::{self, Place};
use crate::glue::spi::{self, Arg};
use crate::glue::{backend, background};

/// A database without the extension is looked at again so late; CREATE EXTENSION asks by itself.
const WITHOUT_EXTENSION: i64 = 6 * 3_600 * 1_000_000;

/// Serves the database that has a place on the board.
pub fn run(place: usize) {
    let Some(place) = board::places().get(place) else { return };
    place.worker.store(backend::process(), Relaxed);
    let pause = place.paused_until.load(Relaxed);
    if pause > backend::now_unix_micros() {
        place.next_run.store(pause, Relaxed);
        return;
    }
    background::begin_worker(place.database.load(Relaxed));
    let came = place.entries_came.swap(false, Relaxed);
    loop {
        background::reload();
        background::report(c"audit_log: what is due");
        let step = background::transaction(|| match background::has_extension() {
            true => step(came),
            false => Ok(Step { ran: false, next_run: None }),
        });
        if !step.ran {
            if step.next_run.is_none() {
                // Without the extension nobody has looked at them.
                place.entries_came.store(came, Relaxed);
            }
            place.next_run.store(next_run(step.next_run), Relaxed);
            return;
        }
        note_progress(place);
    }
}

/// A worker that does something has not failed: the launcher's delay is for those that have.
fn note_progress(place: &Place) {
    place.next_run.store(backend::now_unix_micros() + 60_000_000, Relaxed);
}

fn next_run(from_tasks: Option<i64>) -> i64 {
    from_tasks.unwrap_or_else(|| backend::now_unix_micros() + WITHOUT_EXTENSION)
}

struct Step {
    ran: bool,
    /// Unix microseconds.
    next_run: Option<i64>,
}

fn step(entries_came: bool) -> Result<Step, AuditError> {
    let sql = include_str!("../../sql/queries/run_due_task.sql");
    spi::select_latest(sql, &[Arg::of(Some(entries_came))], |rows| {
        let row = rows.iter().next();
        let ran = row.as_ref().is_some_and(|row| row.get::<String>(1).is_some());
        let next = row.and_then(|row| row.datum(2));
        Ok(Step { ran, next_run: next.map(|instant| backend::unix_micros(instant.value() as i64)) })
    })
}
