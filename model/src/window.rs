//! The time window of a listing: `[start, end)` and its defaults.

use chrono::{DateTime, Duration, Months, Utc};

use crate::AuditError;

/// The longest span a listing may name explicitly, in calendar months.
pub const MAX_MONTHS: u32 = 18;

/// A half-open window of instants, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

/// Resolves the bounds a caller gave.
///
/// Neither: the 24 hours before `now`. Only an end: the 24 hours before it. Only a start: the 24
/// hours after it. Both: taken as they are, if start is not after end and the span is at most
/// 18 calendar months.
pub fn resolve(
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Window, AuditError> {
    let day = Duration::hours(24);
    match (start, end) {
        (None, None) => Ok(Window { start: before(now, day), end: now }),
        (None, Some(end)) => Ok(Window { start: before(end, day), end }),
        (Some(start), None) => Ok(Window { start, end: after(start, day) }),
        (Some(start), Some(end)) => explicit(start, end),
    }
}

fn explicit(start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Window, AuditError> {
    if end < start {
        return Err(AuditError::invalid(
            "end_date",
            format!("end_date {} is before start_date {}", end.to_rfc3339(), start.to_rfc3339()),
            "Swap the two, or leave one out for a window of 24 hours.",
        ));
    }
    let latest = start.checked_add_months(Months::new(MAX_MONTHS));
    if latest.is_some_and(|latest| end > latest) {
        return Err(AuditError::invalid(
            "end_date",
            format!("the window from start_date to end_date is longer than {MAX_MONTHS} months"),
            "List shorter windows one after the other, or use sync or export for the whole log.",
        ));
    }
    Ok(Window { start, end })
}

/// The error of a window, of any length, that has nothing in it.
pub fn empty() -> AuditError {
    AuditError::invalid(
        "start_date",
        "start_date is not before end_date",
        "Leave a bound out, or give the earlier one first.",
    )
}

fn before(t: DateTime<Utc>, d: Duration) -> DateTime<Utc> {
    t.checked_sub_signed(d).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

fn after(t: DateTime<Utc>, d: Duration) -> DateTime<Utc> {
    t.checked_add_signed(d).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use proptest::prelude::*;

    fn at(y: i32, m: u32, d: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(y, m, d, 0, 0, 0).single().unwrap_or_default()
    }

    #[test]
    fn calendar_months_not_days() {
        let now = at(2026, 1, 1);
        // 18 months from a 31 August end on the last day of February.
        assert!(resolve(Some(at(2024, 8, 31)), Some(at(2026, 2, 28)), now).is_ok());
        assert!(resolve(Some(at(2024, 8, 31)), Some(at(2026, 3, 1)), now).is_err());
        assert!(resolve(Some(at(2024, 1, 1)), Some(at(2025, 7, 1)), now).is_ok());
        let microsecond = Duration::microseconds(1);
        assert!(resolve(Some(at(2024, 1, 1)), Some(at(2025, 7, 1) + microsecond), now).is_err());
    }

    #[test]
    fn an_empty_window_is_allowed_and_a_reversed_one_is_not() {
        let t = at(2026, 5, 5);
        assert_eq!(resolve(Some(t), Some(t), t).ok(), Some(Window { start: t, end: t }));
        let error = resolve(Some(t), Some(t - Duration::seconds(1)), t);
        assert_eq!(error.err().and_then(|e| e.field), Some("end_date".to_string()));
    }

    proptest! {
        #[test]
        fn one_bound_makes_a_day(secs in -60_000_000_000_i64..250_000_000_000, now_secs in 0..4_000_000_000_i64) {
            let (Some(t), Some(now)) = (DateTime::from_timestamp(secs, 0), DateTime::from_timestamp(now_secs, 0)) else {
                return Ok(());
            };
            let day = Duration::hours(24);
            prop_assert_eq!(resolve(Some(t), None, now), Ok(Window { start: t, end: t + day }));
            prop_assert_eq!(resolve(None, Some(t), now), Ok(Window { start: t - day, end: t }));
            prop_assert_eq!(resolve(None, None, now), Ok(Window { start: now - day, end: now }));
        }

        #[test]
        fn never_longer_than_eighteen_months(a in 0..4_000_000_000_i64, span in -10_000_000..100_000_000_i64) {
            let (Some(s), Some(e)) = (DateTime::from_timestamp(a, 0), DateTime::from_timestamp(a + span, 0)) else {
                return Ok(());
            };
            let allowed = span >= 0 && s.checked_add_months(Months::new(18)).is_some_and(|l| e <= l);
            prop_assert_eq!(resolve(Some(s), Some(e), s).is_ok(), allowed);
        }
    }
}
