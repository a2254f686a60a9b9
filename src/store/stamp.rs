//! An entry's instants and id.

use std::cell::RefCell;

use audit_log_model::event_id::EventIds;
use audit_log_model::AuditError;
use uuid::Uuid;

use crate::glue::backend;

struct Clock {
    ids: EventIds,
    last: i64,
    /// For events whose instant was given: many may share one, at different times.
    given: EventIds,
}

thread_local! {
    static CLOCK: RefCell<Clock> = RefCell::new(Clock { ids: EventIds::default(), last: 0, given: EventIds::default() });
}

/// A step back of the clock up to this long is bridged, so that a transaction's events keep order.
const MAX_BRIDGED_MICROS: i64 = 1_000_000;

/// An entry's instants, Unix microseconds, and its id.
#[derive(Clone, Copy)]
pub struct Stamp {
    pub recorded_at: i64,
    pub occurred_at: i64,
    pub id: Uuid,
}

/// The clock and the next id; later events of a session have later instants or higher ids.
pub fn now() -> Result<Stamp, AuditError> {
    at(None)
}

/// The same for an event whose instant was given.
pub fn at(given: Option<i64>) -> Result<Stamp, AuditError> {
    CLOCK.with_borrow_mut(|clock| {
        let now = bridged_now(clock.last);
        if now != clock.last {
            clock.last = now;
            clock.ids.restart();
        }
        let (occurred_at, id) = match given {
            Some(given) => (given, clock.given.next(given, backend::random())?),
            None => (now, clock.ids.next(now, backend::random())?),
        };
        Ok(Stamp { recorded_at: now, occurred_at, id })
    })
}

/// The latest instant this session has given to an event, or the clock's if that is later.
pub fn latest_instant() -> i64 {
    CLOCK.with_borrow(|clock| bridged_now(clock.last))
}

/// The clock, or the last instant given where the clock has stepped back behind it a little.
fn bridged_now(last: i64) -> i64 {
    let now = backend::now_unix_micros();
    match (0..=MAX_BRIDGED_MICROS).contains(&(last - now)) {
        true => last,
        false => now,
    }
}
