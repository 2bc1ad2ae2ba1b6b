//! Whose word it is to tell: after a reload the configuration before lives on with its streams, and is not to tell any
//! more by its own address and secret.

use super::super::kept::{Change, Kept, change, read};
use super::Notify;
use crate::policy::{Store, Unavailable};
use sha2::{Digest, Sha256};

/// Format 1.
const VERSION: u8 = 1;

/// The settings that tell, by their fingerprint.
#[derive(Debug, Default, PartialEq, Eq)]
struct InForce([u8; 16]);

impl Kept for InForce {
    const KEY: &'static [u8] = b"mcp-policy:notify";

    /// One byte 1, then the fingerprint.
    fn encode(&self) -> Vec<u8> {
        [&[VERSION], self.0.as_slice()].concat()
    }

    /// `None` when it is not ours.
    fn decode(value: &[u8]) -> Option<Self> {
        value.strip_prefix(&[VERSION])?.try_into().ok().map(Self)
    }
}

/// From now on these tell.
pub(super) fn announce(notify: &Notify, store: &mut dyn Store) -> Result<(), Unavailable> {
    let own = InForce(fingerprint(notify));
    change(store, |in_force: &mut InForce| {
        if *in_force == own {
            return Change::Leave(());
        }
        *in_force = InForce(own.0);
        Change::Write(())
    })
}

/// Whether these tell.
pub(super) fn is_in_force(notify: &Notify, store: &mut dyn Store) -> Result<bool, Unavailable> {
    Ok(read::<InForce>(store)?.0 == InForce(fingerprint(notify)))
}

/// Tells settings apart, and tells nothing of the secret.
fn fingerprint(notify: &Notify) -> [u8; 16] {
    let Notify { cluster, authority, path, secret, timeout_ms, attempts, page } = notify;
    let numbers = [timeout_ms.to_le_bytes().as_slice(), &[*attempts]].concat();
    let page = page.as_deref().unwrap_or_default().as_bytes();
    let mut digest = Sha256::new();
    for part in [cluster.as_bytes(), authority.as_bytes(), path.as_bytes(), page, &numbers, secret.bytes()] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().first_chunk().copied().unwrap_or_default()
}
