//! Dates and times as PostgreSQL's ISO style with a `T` writes them, in UTC.

const MICROS_A_DAY: i64 = 86_400_000_000;
/// Days from 1970-01-01 to PostgreSQL's zero, 2000-01-01.
const DAYS_TO_2000: i64 = 10_957;

/// The most bytes that a date or a timestamp has.
pub const MOST: usize = 32;

/// Appends `YYYY-MM-DD` for days since 2000-01-01; false, and nothing written, outside the years
/// 1 to 9999, where the form is another.
pub fn date(out: &mut Vec<u8>, days: i32) -> bool {
    let Some((year, month, day)) = civil(i64::from(days)) else { return false };
    put_date(out, year, month, day);
    true
}

/// Appends `YYYY-MM-DDTHH:MM:SS[.ffffff]`, and `+00:00` for a timestamp with time zone, for
/// microseconds since 2000-01-01; false, and nothing written, outside the years 1 to 9999.
pub fn timestamp(out: &mut Vec<u8>, micros: i64, with_zone: bool) -> bool {
    let (days, time) = (micros.div_euclid(MICROS_A_DAY), micros.rem_euclid(MICROS_A_DAY));
    let Some((year, month, day)) = civil(days) else { return false };
    put_date(out, year, month, day);
    let (seconds, fraction) = (time / 1_000_000, (time % 1_000_000) as u32);
    out.push(b'T');
    put_two(out, (seconds / 3600) as u32);
    out.push(b':');
    put_two(out, (seconds / 60 % 60) as u32);
    out.push(b':');
    put_two(out, (seconds % 60) as u32);
    put_fraction(out, fraction);
    if with_zone {
        out.extend_from_slice(b"+00:00");
    }
    true
}

/// Year, month and day of a day since 2000-01-01 in the proleptic Gregorian calendar.
fn civil(days: i64) -> Option<(u32, u32, u32)> {
    // Counted from 0000-03-01, so that the leap day ends its year; eras have 400 years.
    let day = days + DAYS_TO_2000 + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let day_of_month = of_year - (153 * shifted + 2) / 5 + 1;
    (1..=9999).contains(&year).then_some((year as u32, month as u32, day_of_month as u32))
}

fn put_two(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

fn put_date(out: &mut Vec<u8>, year: u32, month: u32, day: u32) {
    put_two(out, year / 100);
    put_two(out, year % 100);
    out.push(b'-');
    put_two(out, month);
    out.push(b'-');
    put_two(out, day);
}

/// A point and up to six digits, without zeros at the end.
fn put_fraction(out: &mut Vec<u8>, micros: u32) {
    if micros == 0 {
        return;
    }
    out.push(b'.');
    put_two(out, micros / 10_000);
    put_two(out, micros / 100 % 100);
    put_two(out, micros % 100);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Days, NaiveDate};
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<String> {
        let mut out = Vec::new();
        write(&mut out).then(|| String::from_utf8_lossy(&out).into_owned())
    }

    proptest! {
        #[test]
        fn dates_agree_with_chrono(days in -730_119..2_921_940_i32) {
            let base = NaiveDate::from_ymd_opt(1, 1, 1).ok_or_else(|| TestCaseError::fail("date"))?;
            let expected = base.checked_add_days(Days::new((days + 730_119) as u64));
            prop_assert_eq!(text(|out| date(out, days)), expected.map(|d| d.format("%Y-%m-%d").to_string()));
        }

        #[test]
        fn timestamps_agree_with_chrono(micros in -63_082_281_600_000_000..252_455_616_000_000_000_i64) {
            let whole = DateTime::from_timestamp_micros(micros + 946_684_800_000_000);
            let expected = whole.map(|t| {
                let plain = t.format("%Y-%m-%dT%H:%M:%S").to_string();
                let fraction = format!(".{:06}", t.timestamp_subsec_micros());
                let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
                format!("{plain}{fraction}+00:00")
            });
            prop_assert_eq!(text(|out| timestamp(out, micros, true)), expected);
        }
    }

    #[test]
    fn other_years_are_left_to_others() {
        assert_eq!(text(|out| date(out, -730_120)), None, "1 BC");
        assert_eq!(text(|out| date(out, 2_921_940)), None, "the year 10000");
        assert_eq!(text(|out| date(out, i32::MAX)), None, "infinity");
        assert_eq!(text(|out| timestamp(out, i64::MIN, false)), None, "-infinity");
        assert_eq!(text(|out| timestamp(out, i64::MAX, false)), None, "infinity");
        assert_eq!(text(|out| timestamp(out, 0, false)).as_deref(), Some("2000-01-01T00:00:00"));
    }
}
