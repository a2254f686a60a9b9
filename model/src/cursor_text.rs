//! The text of a cursor: base64url without padding over `kind | version | body | checksum`.
//!
//! The checksum is the first 6 bytes of a SHA-256 over everything before it.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use sha2::{Digest, Sha256};

const CHECKSUM: usize = 6;

/// What is wrong with a text that is no cursor of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Undecodable,
    OtherKind,
    OtherVersion,
    Damaged,
}

impl Fault {
    /// In words; `origin` says what makes cursors of this kind.
    pub fn text(self, origin: &str) -> String {
        match self {
            Fault::Undecodable => "the cursor could not be decoded".into(),
            Fault::OtherKind => format!("the cursor does not come from {origin}"),
            Fault::OtherVersion => "the cursor comes from another version of audit_log".into(),
            Fault::Damaged => "the cursor is damaged".into(),
        }
    }
}

pub fn seal(kind: u8, version: u8, body: &[u8]) -> String {
    let mut bytes = vec![kind, version];
    bytes.extend(body);
    let sum = checksum(&bytes);
    bytes.extend(sum);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The body that `seal` was given.
pub fn open(kind: u8, version: u8, text: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Fault::Undecodable)?;
    if bytes.first() != Some(&kind) {
        return Err(Fault::OtherKind);
    }
    if bytes.get(1) != Some(&version) {
        return Err(Fault::OtherVersion);
    }
    let end = bytes.len().checked_sub(CHECKSUM).filter(|end| *end >= 2).ok_or(Fault::Damaged)?;
    if checksum(&bytes[..end]) != bytes[end..] {
        return Err(Fault::Damaged);
    }
    bytes.truncate(end);
    Ok(bytes.split_off(2))
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&Sha256::digest(bytes)[..CHECKSUM]);
    sum
}
