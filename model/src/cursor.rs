//! The listing cursor: opaque, versioned, URL-safe, bound to its window and filters.
//!
//! Text form (`cursor_text`): `start | end | occurred_at | id | filters`. Instants are Unix microseconds
//! (big-endian i64), `filters` is the first 16 bytes of a SHA-256 over what the caller asked for.

use uuid::Uuid;

use crate::cursor_text::{self, Fault};
use crate::AuditError;

const KIND_LIST: u8 = b'L';
const VERSION: u8 = 1;
const BODY: usize = 8 + 8 + 8 + 16 + 16;

/// The fingerprint of a request's window arguments and filters.
pub type Fingerprint = [u8; 16];

/// Where a listing stands: everything before (`occurred_at`, `id`) has been returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListCursor {
    /// The window as it was resolved for the first page, Unix microseconds.
    pub start: i64,
    pub end: i64,
    /// The last row returned.
    pub occurred_at: i64,
    pub id: Uuid,
    pub filters: Fingerprint,
}

impl ListCursor {
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(BODY);
        bytes.extend(self.start.to_be_bytes());
        bytes.extend(self.end.to_be_bytes());
        bytes.extend(self.occurred_at.to_be_bytes());
        bytes.extend(self.id.as_bytes());
        bytes.extend(self.filters);
        cursor_text::seal(KIND_LIST, VERSION, &bytes)
    }

    /// Decodes what `encode` made; anything else is `cursor_invalid`.
    pub fn decode(text: &str) -> Result<Self, AuditError> {
        let refused = |fault: Fault| AuditError::cursor(fault.text("a listing"));
        let body = cursor_text::open(KIND_LIST, VERSION, text).map_err(refused)?;
        if body.len() != BODY {
            return Err(refused(Fault::Damaged));
        }
        let mut fields = Fields(&body);
        Ok(ListCursor {
            start: i64::from_be_bytes(fields.take()),
            end: i64::from_be_bytes(fields.take()),
            occurred_at: i64::from_be_bytes(fields.take()),
            id: Uuid::from_bytes(fields.take()),
            filters: fields.take(),
        })
    }
}

/// Reads fixed-size fields off the front of a body whose length was checked.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, tail) = self.0.split_at(N.min(self.0.len()));
        self.0 = tail;
        head.try_into().unwrap_or([0; N])
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use base64::Engine;

    use super::*;
    use proptest::prelude::*;

    fn any_cursor() -> impl Strategy<Value = ListCursor> {
        (any::<i64>(), any::<i64>(), any::<i64>(), any::<u128>(), any::<[u8; 16]>()).prop_map(
            |(start, end, occurred_at, id, filters)| ListCursor {
                start,
                end,
                occurred_at,
                id: Uuid::from_u128(id),
                filters,
            },
        )
    }

    proptest! {
        #[test]
        fn comes_back_as_it_went(cursor in any_cursor()) {
            let text = cursor.encode();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(ListCursor::decode(&text), Ok(cursor));
        }

        #[test]
        fn one_changed_character_is_noticed(cursor in any_cursor(), at in 0..85_usize, with in "[A-Za-z0-9_-]") {
            let text = cursor.encode();
            let at = at % text.len();
            let mut other = text.clone();
            other.replace_range(at..=at, &with);
            prop_assume!(other != text);
            prop_assert!(ListCursor::decode(&other).is_err());
        }

        #[test]
        fn no_text_at_all_panics_or_passes(text in ".{0,200}") {
            prop_assert!(ListCursor::decode(&text).is_err());
        }

        #[test]
        fn no_bytes_at_all_panic_or_pass(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(ListCursor::decode(&URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }

        #[test]
        fn truncation_is_noticed(cursor in any_cursor(), keep in 0..84_usize) {
            let text = cursor.encode();
            prop_assume!(keep < text.len());
            prop_assert!(ListCursor::decode(&text[..keep]).is_err());
        }
    }
}
