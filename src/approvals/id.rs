//! The name of one approval.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

/// Tells an id from every other word, also where a command line takes what begins with `-` for an option.
const PREFIX: &str = "ap_";
/// Of its digest and its time.
pub(super) const ID_BYTES: usize = 32 + 6;

/// Which call was asked for, and when: two approvals of one call have two names, so that nobody approves the second by the
/// name of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// See [`Call::digest`](super::Call::digest).
    pub digest: [u8; 32],
    /// Milliseconds since the epoch.
    pub created: u64,
}

impl Id {
    /// Reads what [`Display`](fmt::Display) wrote; `None` when it is nothing of the kind.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        Self::from_bytes(bytes.as_slice().try_into().ok()?)
    }

    /// The digest and the 48-bit time.
    pub(super) fn to_bytes(self) -> [u8; ID_BYTES] {
        let mut bytes = [0; ID_BYTES];
        let parts = self.digest.into_iter().chain(short(self.created));
        bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        bytes
    }

    /// What [`Id::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8; ID_BYTES]) -> Option<Self> {
        let (digest, created) = bytes.split_first_chunk()?;
        Some(Self { digest: *digest, created: long(*created.first_chunk()?) })
    }
}

/// A time in 48 bits, the highest first.
pub(super) fn short(millis: u64) -> [u8; 6] {
    let [_, _, time @ ..] = millis.to_be_bytes();
    time
}

/// The time that [`short`] wrote.
pub(super) fn long([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// `ap_` and the base64url of the digest and the 48-bit time, 54 characters of `A-Za-z0-9_-`.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is_one() {
        let id = Id { digest: [0xFB; 32], created: 1_795_243_342_123 };
        let text = id.to_string();
        assert_eq!((Id::parse(&text), text.len()), (Some(id), 54));
        let bare = text.trim_start_matches("ap_");
        let short = &text.replacen("ap_-", "ap_", 1);
        for other in ["", "ap_", bare, short, &format!("{text}A"), &text.replace("ap_", "AP_"), "ap_\u{0}"] {
            assert_eq!(Id::parse(other), None, "{other}");
        }
    }
}
