//! A feed position as text: 16 hexadecimal digits of the feed number, 32 of the id.

use crate::sync_cursor::Position;

/// Before every position.
pub const BEGINNING: Position = (i64::MIN, [0; 16]);

const NUMBER_DIGITS: usize = 16;
const DIGITS: usize = 48;

/// The position as `audit_log.entry` shows it.
pub fn text((number, id): Position) -> String {
    format!("{number:016x}{:032x}", u128::from_be_bytes(id))
}

/// A position such that every one behind a text (or from it on, where it is included) is behind it. Exact for
/// the text of a position; of any other it may be earlier.
pub fn before(text: &str, included: bool) -> Position {
    let digits: String =
        text.chars().take(DIGITS).take_while(|c| matches!(c, '0'..='9' | 'a'..='f')).collect();
    // Of what is cut off, and of digits that are missing, nothing is known: the least they can be.
    let padded = format!("{digits:0<DIGITS$}");
    let (number, id) = padded.split_at(NUMBER_DIGITS);
    let (Ok(number), Ok(id)) = (u64::from_str_radix(number, 16), u128::from_str_radix(id, 16)) else {
        return BEGINNING;
    };
    let Ok(number) = i64::try_from(number) else { return (i64::MAX, [0xff; 16]) };
    if text.len() == DIGITS && digits.len() == DIGITS && !included {
        return (number, id.to_be_bytes());
    }
    match (id.checked_sub(1), number.checked_sub(1)) {
        (Some(id), _) => (number, id.to_be_bytes()),
        (None, Some(number)) => (number, [0xff; 16]),
        (None, None) => BEGINNING,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_in_the_order_of_positions(a in (0..i64::MAX, any::<[u8; 16]>()), b in (0..i64::MAX, any::<[u8; 16]>())) {
            prop_assert_eq!(text(a).cmp(&text(b)), a.cmp(&b));
        }

        #[test]
        fn nothing_wanted_is_left_out(bound in "[0-9a-gA-F~ ]{0,50}", one in (0..i64::MAX, any::<[u8; 16]>()), included in any::<bool>()) {
            let wanted = text(one) > bound || included && text(one) == bound;
            prop_assert!(!wanted || one > before(&bound, included));
        }

        #[test]
        fn of_a_position_it_is_exact(bound in (0..i64::MAX, any::<[u8; 16]>()), one in (0..i64::MAX, any::<[u8; 16]>())) {
            prop_assert_eq!(before(&text(bound), false), bound);
            prop_assert_eq!(one > before(&text(bound), true), one >= bound);
        }
    }

    #[test]
    fn odd_texts_are_bounds_too() {
        assert_eq!(before("", false), BEGINNING.max((-1, [0xff; 16])));
        assert_eq!(before("zzz", true), before("", false));
        assert_eq!(before("ffffffffffffffff", false), (i64::MAX, [0xff; 16]));
        assert_eq!(before("0000000000000001", false), (0, [0xff; 16]));
    }
}
