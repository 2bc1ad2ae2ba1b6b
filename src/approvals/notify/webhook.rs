//! Signatures that receivers have libraries for: Standard Webhooks 1.0.0, symmetric (`v1`).

use super::super::key::mac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac;
use std::fmt;

/// How short and how long the secret may be, in bytes, as the specification has it.
pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// How the specification has secrets written.
const PREFIX: &str = "whsec_";

/// What requests are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Of base64, with or without `whsec_` before it; `None` when it is none, or not as long as [`SECRET_BYTES`] say.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let secret = STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)).ok()?;
        SECRET_BYTES.contains(&secret.len()).then_some(Self(secret))
    }

    /// The value of `webhook-signature` for this id, second since the epoch, and body.
    pub(super) fn sign(&self, id: &str, seconds: u64, body: &str) -> Option<String> {
        let mac = mac(&self.0, format!("{id}.{seconds}.{body}").as_bytes())?;
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example of the specification.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn a_secret_is_base64_of_a_length_or_none() {
        let zeros = |count: usize| STANDARD.encode(vec![0; count]);
        for count in [24, 32, 63, 64] {
            assert_eq!(Secret::parse(&zeros(count)), Secret::parse(&format!("whsec_{}", zeros(count))));
            assert!(Secret::parse(&zeros(count)).is_some(), "{count}");
        }
        for text in [
            String::new(),
            "whsec_".into(),
            zeros(23),
            zeros(65),
            format!("{} ", zeros(32)),
            "whsek_".to_owned() + &zeros(32),
        ] {
            assert_eq!(Secret::parse(&text), None, "{text}");
        }
    }
}
