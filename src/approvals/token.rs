//! A person's decision as text that anybody may carry, and only who holds a key can write: for a proxy that did not see
//! the person decide.

use super::Id;
use super::id::{ID_BYTES, long, short};
use super::key::{Key, SigningKey, Tag};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The longest text that is read as a token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 1024;
/// How long a token may hold, in milliseconds: so long its nonce is kept.
pub const MAX_LIFETIME_MS: u64 = 24 * 3_600_000;
/// So many milliseconds a proxy's clock may be behind that of the token's maker.
pub const MAX_SKEW_MS: u64 = 60_000;
/// Tells a token, and the form of what follows, from every other word.
const PREFIX: &str = "apt_1.";
/// Tells what is signed from whatever else the key may sign.
const DOMAIN: &str = "mcp-policy approval token\0";
/// Id, nonce, two times, and the key's tag.
const PAYLOAD_BYTES: usize = ID_BYTES + 16 + 2 * 6 + 8;

/// What makes a token another one than the next for the same call.
pub type Nonce = [u8; 16];

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The approval that was asked for, and with it the call.
    pub id: Id,
    /// Made at random.
    pub nonce: Nonce,
    /// From this millisecond since the epoch on it holds.
    pub not_before: u64,
    /// From this one on it does not.
    pub expires: u64,
}

/// Why a token is not taken. What else is wrong with one is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It was for this call, and its time is over.
    Expired,
    /// Whatever else.
    Invalid,
}

/// The keys that a proxy takes tokens of, each with its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<(String, Key)>);

impl Token {
    /// The token as text: `apt_1.`, its payload and its signature, both in base64url.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        let (id, not_before, expires) = (self.id.to_bytes(), short(self.not_before), short(self.expires));
        let payload = [id.as_slice(), &self.nonce, &not_before, &expires, &key.key().tag()].concat();
        let signed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = key.sign(format!("{DOMAIN}{signed}").as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// What it says, before anybody knows whether it is true.
    fn read(payload: &[u8; PAYLOAD_BYTES]) -> Option<(Self, Tag)> {
        let (id, rest) = payload.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (not_before, rest) = rest.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (not_before, expires) = (long(*not_before), long(*expires));
        Some((Self { id: Id::from_bytes(id)?, nonce: *nonce, not_before, expires }, rest.try_into().ok()?))
    }
}

impl Keys {
    /// Of keys with their names.
    #[must_use]
    pub fn new(keys: Vec<(String, Key)>) -> Self {
        Self(keys)
    }

    /// Whether no token can be valid.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the token `text` says of the call with this digest, and the name of the key that signed it.
    ///
    /// # Errors
    /// When it says nothing of that call now.
    pub fn open(&self, text: &str, digest: &[u8; 32], now: u64) -> Result<(Token, &str), Unfit> {
        let (token, key) = self.verified(text).filter(|(token, _)| token.id.digest == *digest).ok_or(Unfit::Invalid)?;
        let lifetime = token.expires.checked_sub(token.not_before);
        let is_bounded = lifetime.is_some_and(|lifetime| lifetime <= MAX_LIFETIME_MS);
        let has_begun = token.not_before <= now.saturating_add(MAX_SKEW_MS);
        if !is_bounded || !has_begun {
            return Err(Unfit::Invalid);
        }
        if now < token.expires { Ok((token, key)) } else { Err(Unfit::Expired) }
    }

    fn verified(&self, text: &str) -> Option<(Token, &str)> {
        if text.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let payload = URL_SAFE_NO_PAD.decode(signed.strip_prefix(PREFIX)?).ok()?;
        let (token, tag) = Token::read(payload.as_slice().try_into().ok()?)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let message = format!("{DOMAIN}{signed}");
        let (name, _) =
            self.0.iter().find(|(_, key)| key.tag() == tag && key.verifies(message.as_bytes(), &signature))?;
        Some((token, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    const NOW: u64 = 1_795_243_342_123;
    const DIGEST: [u8; 32] = [0xFB; 32];

    fn token() -> Token {
        let id = Id { digest: DIGEST, created: NOW - 5 };
        Token { id, nonce: [9; 16], not_before: NOW, expires: NOW + 1000 }
    }

    fn makers() -> [SigningKey; 2] {
        [SigningKey::hmac_sha256(&[7; 32]), SigningKey::ed25519(&[8; 32]).unwrap()]
    }

    fn keys() -> Keys {
        let [hmac, ed25519] = makers();
        Keys::new(vec![("ops".into(), hmac.key()), ("ops2".into(), ed25519.key())])
    }

    #[test]
    fn a_token_is_taken_for_its_call_from_each_key_and_by_its_name() {
        for (maker, name) in makers().iter().zip(["ops", "ops2"]) {
            let text = token().sign(maker);
            assert_eq!(keys().open(&text, &DIGEST, NOW), Ok((token(), name)));
            assert!(text.len() < 200 && text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
            assert_eq!(keys().open(&text, &[0xFA; 32], NOW), Err(Unfit::Invalid), "another call");
            assert_eq!(keys().open(&text, &[0xFA; 32], NOW + 1000), Err(Unfit::Invalid), "and nothing of its time");
            assert_eq!(Keys::default().open(&text, &DIGEST, NOW), Err(Unfit::Invalid), "no key");
        }
        let strangers = [SigningKey::hmac_sha256(&[1; 32]), SigningKey::ed25519(&[1; 32]).unwrap()];
        for stranger in &strangers {
            assert_eq!(keys().open(&token().sign(stranger), &DIGEST, NOW), Err(Unfit::Invalid), "another key");
        }
    }

    #[test]
    fn a_token_holds_from_its_beginning_to_its_end() {
        let [maker, _] = makers();
        let open = |token: Token, now: u64| keys().open(&token.sign(&maker), &DIGEST, now).map(drop);
        assert_eq!(open(token(), NOW + 999), Ok(()));
        assert_eq!(open(token(), NOW + 1000), Err(Unfit::Expired));
        assert_eq!(open(token(), NOW - MAX_SKEW_MS), Ok(()), "a clock may be late");
        assert_eq!(open(token(), NOW - MAX_SKEW_MS - 1), Err(Unfit::Invalid), "and no later");
        let until = |expires: u64| Token { expires, ..token() };
        assert_eq!(open(until(NOW + MAX_LIFETIME_MS), NOW), Ok(()));
        assert_eq!(open(until(NOW + MAX_LIFETIME_MS + 1), NOW), Err(Unfit::Invalid), "longer than any may hold");
        assert_eq!(open(until(NOW - 1), NOW - 2), Err(Unfit::Invalid), "over before it began");
    }

    #[test]
    fn no_part_of_a_token_and_no_change_of_one_is_a_token() {
        for maker in makers() {
            let text = token().sign(&maker);
            for end in 0..text.len() {
                let (first, rest) = text.split_at(end);
                assert_eq!(keys().open(first, &DIGEST, NOW), Err(Unfit::Invalid), "cut at {end}");
                assert!(rest == text || keys().open(rest, &DIGEST, NOW) == Err(Unfit::Invalid), "from {end}");
            }
            for place in 0..text.len() {
                for bit in 0..8 {
                    let mut bytes = text.clone().into_bytes();
                    bytes[place] ^= 1 << bit;
                    let changed = String::from_utf8_lossy(&bytes);
                    assert_eq!(keys().open(&changed, &DIGEST, NOW), Err(Unfit::Invalid), "bit {bit} of {place}");
                }
            }
            for other in
                [format!("{text}="), format!("{text}."), format!("{text}A"), format!(" {text}"), text.repeat(9)]
            {
                assert_eq!(keys().open(&other, &DIGEST, NOW), Err(Unfit::Invalid), "{other}");
            }
        }
    }

    #[test]
    fn a_signature_is_of_one_kind_of_key() {
        // Whoever knows the public key cannot take it for a secret.
        let [_, ed25519] = makers();
        let public: [u8; 32] = STANDARD.decode(ed25519.key().member().1).unwrap().try_into().unwrap();
        let text = token().sign(&ed25519);
        let (signed, _) = text.rsplit_once('.').unwrap();
        let mac = SigningKey::hmac_sha256(&public).sign(format!("{DOMAIN}{signed}").as_bytes());
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac));
        assert_eq!(keys().open(&forged, &DIGEST, NOW), Err(Unfit::Invalid));
    }
}
