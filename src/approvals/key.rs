//! Keys by which approvals are signed elsewhere, and checked here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_compact as ed25519;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::fmt;

/// How short and how long a secret for HMAC-SHA-256 may be, in bytes.
pub const HMAC_SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=256;
/// What a file with a secret begins with.
const HMAC_FILE: &str = "hmac-sha256:";
const ED25519_FILE: &str = "ed25519:";

/// Tells keys apart within a token, and tells nothing of them.
pub(super) type Tag = [u8; 8];

/// A key that checks signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Check);

#[derive(Clone, PartialEq, Eq)]
enum Check {
    Hmac(Vec<u8>),
    Ed25519([u8; 32]),
}

/// A key that makes signatures.
pub struct SigningKey(Sign);

enum Sign {
    Hmac(Vec<u8>),
    Ed25519([u8; 32], ed25519::KeyPair),
}

impl Key {
    /// Of a secret in base64; `None` when it is none, or not as long as [`HMAC_SECRET_BYTES`] say.
    #[must_use]
    pub fn hmac_sha256(text: &str) -> Option<Self> {
        let secret = STANDARD.decode(text).ok()?;
        HMAC_SECRET_BYTES.contains(&secret.len()).then_some(Self(Check::Hmac(secret)))
    }

    /// Of a public key in base64; `None` when it is none.
    #[must_use]
    pub fn ed25519(text: &str) -> Option<Self> {
        let bytes: [u8; 32] = STANDARD.decode(text).ok()?.try_into().ok()?;
        ed25519::PublicKey::new(bytes).validate().ok()?;
        Some(Self(Check::Ed25519(bytes)))
    }

    pub(super) fn tag(&self) -> Tag {
        let (kind, bytes) = match &self.0 {
            Check::Hmac(secret) => ("hmac-sha256", secret.as_slice()),
            Check::Ed25519(public) => ("ed25519", public.as_slice()),
        };
        let mut digest = Sha256::new();
        digest.update("mcp-policy approval key 1:");
        digest.update(kind);
        digest.update([0]);
        digest.update(bytes);
        digest.finalize().first_chunk().copied().unwrap_or_default()
    }

    /// Whether this key signed `message` so, in a time that tells nothing of how much of a MAC was right.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Check::Hmac(secret) => mac(secret, message).is_some_and(|mac| mac.verify_slice(signature).is_ok()),
            Check::Ed25519(public) => ed25519::Signature::from_slice(signature)
                .is_ok_and(|signature| ed25519::PublicKey::new(*public).verify(message, &signature).is_ok()),
        }
    }

    /// As a member of `approvals.keys` has it: its name, and its value in base64.
    #[must_use]
    pub fn member(&self) -> (&'static str, String) {
        match &self.0 {
            Check::Hmac(secret) => ("hmac_sha256", STANDARD.encode(secret)),
            Check::Ed25519(public) => ("ed25519", STANDARD.encode(public)),
        }
    }
}

impl SigningKey {
    /// HMAC-SHA-256 with this secret.
    #[must_use]
    pub fn hmac_sha256(secret: &[u8; 32]) -> Self {
        Self(Sign::Hmac(secret.to_vec()))
    }

    /// Ed25519 (RFC 8032) with the key that grows from this seed; `None` for the one seed that is none.
    #[must_use]
    pub fn ed25519(seed: &[u8; 32]) -> Option<Self> {
        Some(Self(Sign::Ed25519(*seed, ed25519::KeyPair::try_from_seed(ed25519::Seed::new(*seed)).ok()?)))
    }

    /// Reads what [`SigningKey::to_file`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_ascii();
        if let Some(secret) = text.strip_prefix(HMAC_FILE) {
            let Key(Check::Hmac(secret)) = Key::hmac_sha256(secret)? else { return None };
            return Some(Self(Sign::Hmac(secret)));
        }
        let seed = STANDARD.decode(text.strip_prefix(ED25519_FILE)?).ok()?;
        Self::ed25519(&seed.try_into().ok()?)
    }

    /// The line that is kept of it.
    #[must_use]
    pub fn to_file(&self) -> String {
        match &self.0 {
            Sign::Hmac(secret) => format!("{HMAC_FILE}{}\n", STANDARD.encode(secret)),
            Sign::Ed25519(seed, _) => format!("{ED25519_FILE}{}\n", STANDARD.encode(seed)),
        }
    }

    /// What checks its signatures.
    #[must_use]
    pub fn key(&self) -> Key {
        Key(match &self.0 {
            Sign::Hmac(secret) => Check::Hmac(secret.clone()),
            Sign::Ed25519(_, pair) => Check::Ed25519(*pair.pk),
        })
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.0 {
            Sign::Hmac(secret) => mac(secret, message).map_or(Vec::new(), |mac| mac.finalize().into_bytes().to_vec()),
            Sign::Ed25519(_, pair) => pair.sk.sign(message, None).to_vec(),
        }
    }
}

/// There is no length that HMAC would refuse.
pub(super) fn mac(secret: &[u8], message: &[u8]) -> Option<Hmac<Sha256>> {
    let mac = <Hmac<Sha256> as Mac>::new_from_slice(secret).ok()?;
    Some(mac.chain_update(message))
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> [SigningKey; 2] {
        [SigningKey::hmac_sha256(&[7; 32]), SigningKey::ed25519(&[7; 32]).unwrap()]
    }

    #[test]
    fn signatures_are_those_of_the_standards() {
        // RFC 4231, 4.2, with a secret that is shorter than ours may be.
        let tag = mac(&[0x0b; 20], b"Hi There").unwrap().finalize().into_bytes();
        assert_eq!(tag[..4], [0xb0, 0x34, 0x4c, 0x61]);
        // RFC 8032, 7.1, TEST 1.
        let seed = STANDARD.decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").unwrap().try_into().unwrap();
        let key = SigningKey::ed25519(&seed).unwrap();
        assert_eq!(key.key().member().1, "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
        let signature = key.sign(b"");
        assert_eq!(signature[..4], [0xe5, 0x56, 0x43, 0x00]);
        assert!(key.key().verifies(b"", &signature));
    }

    #[test]
    fn a_key_is_read_as_it_was_written_and_nothing_else_is_one() {
        for key in both() {
            let again = SigningKey::parse(&key.to_file()).unwrap();
            assert_eq!((again.key(), again.sign(b"m")), (key.key(), key.sign(b"m")));
            let (name, value) = key.key().member();
            let read = if name == "ed25519" { Key::ed25519(&value) } else { Key::hmac_sha256(&value) };
            assert_eq!(read, Some(key.key()));
            assert_eq!((format!("{key:?}").as_str(), format!("{:?}", key.key()).as_str()), ("SigningKey", "Key"));
        }
        let zeros = |count: usize| STANDARD.encode(vec![0; count]);
        for text in ["", "hmac-sha256:", "ed25519:", "ed25519:AAAA", "hmac-sha256:AAAA", "rsa:AAAA", "AAAA"] {
            assert!(SigningKey::parse(text).is_none(), "{text}");
        }
        for text in [zeros(31), zeros(257), format!("{}!", zeros(32)), zeros(32).trim_end_matches('=').to_owned()] {
            assert_eq!(Key::hmac_sha256(&text), None, "{text}");
        }
        // A point of small order, for which any message is signed, and what is no point.
        for text in [zeros(31), zeros(32), zeros(33), STANDARD.encode([2; 32]), STANDARD.encode([0xFF; 32])] {
            assert_eq!(Key::ed25519(&text), None, "{text}");
        }
    }
}
