//! Event ids: UUIDv7 that carry `occurred_at` to the microsecond and the order within it.
//!
//! Layout, high bits first: 48 bits Unix milliseconds, 4 bits version, 10 bits microseconds within
//! the millisecond and 2 high bits of a counter, 2 bits variant, 12 low bits of the counter,
//! 50 random bits. Sorting by id is therefore sorting by (`occurred_at`, order of writing).

use uuid::Uuid;

use crate::AuditError;

/// Microseconds of the last instant an id can carry (48 bits of milliseconds).
pub const MAX_UNIX_MICROS: i64 = (1_i64 << 48) * 1000 - 1;

const COUNTER_BITS: u32 = 14;

/// Issues ids; one a session, so that events of one microsecond keep the order they were written in.
#[derive(Debug, Default)]
pub struct EventIds {
    counter: u16,
}

impl EventIds {
    /// The next id for an event at `unix_micros`, with 64 fresh random bits from the caller.
    pub fn next(&mut self, unix_micros: i64, random: u64) -> Result<Uuid, AuditError> {
        check_instant(unix_micros)?;
        let id = compose(unix_micros, self.counter, random);
        self.counter = (self.counter + 1) & ((1 << COUNTER_BITS) - 1);
        Ok(id)
    }

    /// Starts the count anew; called when the clock has moved on, so that it rarely wraps.
    pub fn restart(&mut self) {
        self.counter = 0;
    }
}

fn check_instant(unix_micros: i64) -> Result<(), AuditError> {
    if (0..=MAX_UNIX_MICROS).contains(&unix_micros) {
        return Ok(());
    }
    Err(AuditError::invalid(
        "occurred_at",
        "occurred_at is outside the range an audit entry can carry",
        "Give an instant between 1970-01-01 and 10889-08-02 UTC.",
    ))
}

fn compose(unix_micros: i64, counter: u16, random: u64) -> Uuid {
    let millis = (unix_micros / 1000) as u128;
    let micros = (unix_micros % 1000) as u128;
    let counter = u128::from(counter);
    let value = (millis << 80)
        | (0x7 << 76)
        | (micros << 66)
        | ((counter >> 12) << 64)
        | (0b10 << 62)
        | ((counter & 0xfff) << 50)
        | u128::from(random & ((1 << 50) - 1));
    Uuid::from_u128(value)
}

/// The instant an id carries, in Unix microseconds.
pub fn unix_micros(id: Uuid) -> i64 {
    let value = id.as_u128();
    let millis = (value >> 80) as i64;
    let micros = ((value >> 66) & 0x3ff) as i64;
    millis * 1000 + micros
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn carries_the_microsecond_and_is_a_version_7(t in 0..=MAX_UNIX_MICROS, r: u64) {
            let id = EventIds::default().next(t, r).map_err(|e| TestCaseError::fail(e.message))?;
            prop_assert_eq!(unix_micros(id), t);
            prop_assert_eq!(id.get_version_num(), 7);
            prop_assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        }

        #[test]
        fn sorts_by_instant_then_by_order_of_writing(
            a in 0..=MAX_UNIX_MICROS, b in 0..=MAX_UNIX_MICROS, r: u64, s: u64,
        ) {
            let mut ids = EventIds::default();
            let first = ids.next(a, r).map_err(|e| TestCaseError::fail(e.message))?;
            let second = ids.next(b, s).map_err(|e| TestCaseError::fail(e.message))?;
            prop_assert_eq!(first < second, a <= b);
        }
    }

    #[test]
    fn refuses_what_it_cannot_carry() {
        let mut ids = EventIds::default();
        assert!(ids.next(-1, 0).is_err());
        assert!(ids.next(MAX_UNIX_MICROS + 1, 0).is_err());
    }
}
