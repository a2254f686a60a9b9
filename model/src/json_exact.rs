//! Whether a `json` text survives as `jsonb`: no duplicate keys, no `\u0000`, no absurd numbers.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// PostgreSQL's numeric has at most 16,383 digits behind the point; digits and exponent together
/// below this always fit.
const MAX_DIGITS: i64 = 16_000;

/// True when the text means the same after a conversion to jsonb (white space and key order aside).
pub fn fits_jsonb(text: &str) -> bool {
    if !numbers_fit(text) {
        return false;
    }
    serde_json::from_str::<Exact>(text).is_ok()
}

/// True when every number of a JSON text fits into PostgreSQL's numeric.
pub fn numbers_fit(text: &str) -> bool {
    let mut in_string = false;
    let mut escaped = false;
    let mut bytes = text.bytes().peekable();
    while let Some(b) = bytes.next() {
        if in_string {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
        } else if b == b'"' {
            in_string = true;
        } else if b.is_ascii_digit() {
            let mut token = vec![b];
            while let Some(&n) = bytes.peek() {
                if !(n.is_ascii_digit() || matches!(n, b'.' | b'e' | b'E' | b'+' | b'-')) {
                    break;
                }
                token.push(n);
                bytes.next();
            }
            if !number_is_small(&token) {
                return false;
            }
        }
    }
    true
}

fn number_is_small(token: &[u8]) -> bool {
    let mut parts = token.split(|b| matches!(b, b'e' | b'E'));
    let digits = parts.next().map_or(0, <[u8]>::len) as i64;
    let exponent = parts.next().map_or(Ok(0), |e| String::from_utf8_lossy(e).parse::<i64>());
    exponent
        .is_ok_and(|e| e.checked_abs().and_then(|e| e.checked_add(digits)).is_some_and(|n| n <= MAX_DIGITS))
}

struct Exact;

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor)
    }
}

struct ExactVisitor;

fn no_nul<E: serde::de::Error>(text: &str) -> Result<Exact, E> {
    if text.contains('\0') {
        return Err(E::custom("holds \\u0000"));
    }
    Ok(Exact)
}

impl<'de> Visitor<'de> for ExactVisitor {
    type Value = Exact;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Exact, E> {
        Ok(Exact)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Exact, E> {
        Ok(Exact)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Exact, E> {
        Ok(Exact)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Exact, E> {
        Ok(Exact)
    }

    fn visit_unit<E>(self) -> Result<Exact, E> {
        Ok(Exact)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Exact, E> {
        no_nul(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Exact, A::Error> {
        while seq.next_element::<Exact>()?.is_some() {}
        Ok(Exact)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Exact, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            no_nul::<A::Error>(&key)?;
            map.next_value::<Exact>()?;
            if !seen.insert(key) {
                return Err(serde::de::Error::custom("duplicate key"));
            }
        }
        Ok(Exact)
    }
}

#[cfg(test)]
mod tests {
    use super::fits_jsonb;

    #[test]
    fn what_jsonb_keeps_and_what_it_loses() {
        for kept in [
            r#"{"a":[1,2.50,-3e7,null,true,"x\n"]}"#,
            "1",
            r#""e9999999999""#,
            "[]",
            r#"{"e":"1e999999"}"#,
            "123456789012345678901234567890.123456789",
        ] {
            assert!(fits_jsonb(kept), "{kept}");
        }
        let long = format!("0.{}1e-9000", "0".repeat(9000));
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        for lost in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#""\u0000""#,
            r#"{"\u0000":1}"#,
            "1e999999",
            "[1e-999999]",
            "1e99999999999999999999",
            deep.as_str(),
            long.as_str(),
        ] {
            assert!(!fits_jsonb(lost), "{lost}");
        }
    }
}
