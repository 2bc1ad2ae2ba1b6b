//! The tokens that a proxy has taken, until their time is over: in one value of fixed size, because what is asked of it is
//! whether a token was never taken before.

use super::Nonce;
use super::kept::Kept;

/// The most tokens that can be taken and still hold at one time.
pub(super) const MAX_NONCES: usize = 1024;
/// Bytes of one: the nonce, and its end.
const NONCE_BYTES: usize = 16 + 8;
/// Format 1.
const VERSION: u8 = 1;

/// Every nonce that is known, and the millisecond since the epoch from which on it may be forgotten.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Nonces(Vec<(Nonce, u64)>);

/// What comes of taking a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taking {
    /// It is taken now.
    Done,
    /// It was taken before.
    Again,
    /// Nobody could remember it.
    Full,
}

impl Kept for Nonces {
    const KEY: &'static [u8] = b"mcp-policy:approval-tokens";

    /// One byte 1, then for each its bytes and its end as a 64-bit little-endian integer.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.0.len() * NONCE_BYTES);
        bytes.push(VERSION);
        for (nonce, expires) in &self.0 {
            bytes.extend_from_slice(nonce);
            bytes.extend_from_slice(&expires.to_le_bytes());
        }
        bytes
    }

    /// `None` when it is not ours.
    fn decode(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(&[VERSION])?;
        let read = |entry: &[u8]| {
            let (nonce, expires) = entry.split_first_chunk()?;
            Some((*nonce, u64::from_le_bytes(expires.try_into().ok()?)))
        };
        let nonces: Vec<_> = rest.chunks(NONCE_BYTES).map(read).collect::<Option<_>>()?;
        (nonces.len() <= MAX_NONCES).then_some(Self(nonces))
    }
}

impl Nonces {
    /// INVARIANT: a nonce that still holds is never given up for another.
    pub(super) fn take(&mut self, nonce: Nonce, expires: u64, now: u64) -> Taking {
        if self.0.iter().any(|(other, _)| *other == nonce) {
            return Taking::Again;
        }
        if self.0.len() < MAX_NONCES {
            self.0.push((nonce, expires));
            return Taking::Done;
        }
        // The one that has been over for longest: a clock that ran ahead for a moment does the least harm.
        match self.0.iter_mut().filter(|(_, end)| *end <= now).min_by_key(|(_, end)| *end) {
            Some(old) => *old = (nonce, expires),
            None => return Taking::Full,
        }
        Taking::Done
    }

    /// Forgets a nonce, so that its token can be taken again.
    pub(super) fn give_back(&mut self, nonce: Nonce) {
        self.0.retain(|(other, _)| *other != nonce);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(number: usize) -> Nonce {
        (number as u128).to_le_bytes()
    }

    #[test]
    fn what_was_taken_is_known_until_it_is_over_or_given_back() {
        let mut nonces = Nonces::default();
        assert_eq!(nonces.take(nonce(1), 10, 0), Taking::Done);
        assert_eq!(nonces.take(nonce(1), 10, 5), Taking::Again);
        assert_eq!(nonces.take(nonce(2), 20, 5), Taking::Done);
        nonces.give_back(nonce(1));
        assert_eq!((nonces.take(nonce(2), 20, 5), nonces.take(nonce(1), 10, 5)), (Taking::Again, Taking::Done));
        for number in 3..=MAX_NONCES {
            assert_eq!(nonces.take(nonce(number), 30, 5), Taking::Done);
        }
        assert_eq!(nonces.take(nonce(5000), 30, 9), Taking::Full, "none that holds gives way");
        assert_eq!(nonces.take(nonce(5000), 30, 10), Taking::Done, "what is over does");
        assert_eq!(nonces.take(nonce(5001), 30, 10), Taking::Full);
        assert_eq!(nonces.take(nonce(2), 20, 10), Taking::Again);
    }

    #[test]
    fn nonces_are_read_as_they_were_written() {
        let nonces = Nonces((0..MAX_NONCES).map(|number| (nonce(number), number as u64)).collect());
        let bytes = nonces.encode();
        assert_eq!(Nonces::decode(&bytes), Some(nonces));
        assert_eq!(Nonces::decode(&[VERSION]), Some(Nonces::default()));
        for broken in [&bytes[..bytes.len() - 1], &[], &[2], &[bytes.as_slice(), &[0; NONCE_BYTES]].concat()] {
            assert_eq!(Nonces::decode(broken), None);
        }
    }
}
