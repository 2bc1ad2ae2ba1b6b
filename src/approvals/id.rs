//! The name of one approval.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

/// Tells an id from every other word, also where a command line takes what begins with `-` for an option.
const PREFIX: &str = "ap_";

/// Which call was asked for, and when: two approvals of one call have two names, so that nobody approves the second by the
/// name of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
        let (digest, created) = bytes.split_first_chunk::<32>()?;
        let created: &[u8; 6] = created.try_into().ok()?;
        let [a, b, c, d, e, f] = *created;
        Some(Self { digest: *digest, created: u64::from_be_bytes([0, 0, a, b, c, d, e, f]) })
    }
}

/// `ap_` and the base64url of the digest and the 48-bit time, 54 characters of `A-Za-z0-9_-`.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, _, created @ ..] = self.created.to_be_bytes();
        f.write_str(PREFIX)?;
        f.write_str(&URL_SAFE_NO_PAD.encode([self.digest.as_slice(), &created].concat()))
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
