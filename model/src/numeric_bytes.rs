//! Whole numbers as PostgreSQL's numeric: a header, then digits to the base of 10,000.

const SHORT: u16 = 0x8000;
const NEGATIVE: u16 = 0x2000;
const SPECIAL: u16 = 0xc000;
const BASE: u64 = 10_000;

/// The most bytes that `from_integer` appends.
pub const MOST_OF_INTEGER: usize = 12;

/// Appends what follows the varlena header of the numeric of a whole number.
pub fn from_integer(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0_u16; 5];
    let mut count = 0;
    let mut rest = number.unsigned_abs();
    while rest > 0 {
        digits[count] = (rest % BASE) as u16;
        rest /= BASE;
        count += 1;
    }
    let weight = count.saturating_sub(1) as u16;
    let sign = if number < 0 { NEGATIVE } else { 0 };
    out.extend_from_slice(&(SHORT | sign | weight).to_ne_bytes());
    // Zeros at the end are not stored; the weight says where the first digit stands.
    let trailing = digits[..count].iter().take_while(|d| **d == 0).count();
    for digit in digits[trailing..count].iter().rev() {
        out.extend_from_slice(&digit.to_ne_bytes());
    }
}

/// Whether what follows a numeric's varlena header is NaN or an infinity.
pub fn is_special(payload: &[u8]) -> bool {
    matches!(payload, [a, b, ..] if u16::from_ne_bytes([*a, *b]) & SPECIAL == SPECIAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(payload: &[u8]) -> i128 {
        let words: Vec<u16> = payload.chunks_exact(2).map(|w| u16::from_ne_bytes([w[0], w[1]])).collect();
        let (header, digits) = (words[0], &words[1..]);
        let weight = i32::from(header & 0x3f);
        let value: i128 =
            digits.iter().zip(0..).map(|(d, i)| i128::from(*d) * 10_000_i128.pow((weight - i) as u32)).sum();
        if header & NEGATIVE == 0 {
            value
        } else {
            -value
        }
    }

    proptest! {
        #[test]
        fn digits_and_weight_say_the_number(number in prop_oneof![any::<i64>(), -20_000..20_000_i64, Just(i64::MIN), Just(0)]) {
            let mut bytes = Vec::new();
            from_integer(&mut bytes, number);
            prop_assert_eq!(read(&bytes), i128::from(number));
            prop_assert!(!is_special(&bytes));
            // Neither end has a digit that says nothing.
            prop_assert!(bytes.len() == 2 || (bytes[2..4] != [0, 0] && bytes[bytes.len() - 2..] != [0, 0]));
        }
    }

    #[test]
    fn special_values_are_known() {
        for header in [0xc000_u16, 0xd000, 0xf000] {
            assert!(is_special(&header.to_ne_bytes()));
        }
        assert!(!is_special(&0x8000_u16.to_ne_bytes()));
        assert!(!is_special(&[]));
    }
}
