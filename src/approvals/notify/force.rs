//! Whose word it is to tell: after a reload the configuration before lives on with its streams, and is not to tell any
//! more by its own address and secret.

use super::super::kept::{Change, Kept, change, read};
use super::Notify;
use crate::policy::{Store, Unavailable};
use sha2::{Digest, Sha256};

/// Format 1.
const VERSION: u8 = 1;

/// Which configuration tells.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct InForce {
    /// Of the plugin's name.
    plugin: u64,
    /// Of its settings; 0 where nobody is to be told.
    settings: u64,
    /// From this millisecond since the epoch on somebody is told, by these settings or by those before.
    since: u64,
}

impl Kept for InForce {
    const KEY: &'static [u8] = b"mcp-policy:notify";

    /// One byte 1, then the three as 64-bit little-endian integers.
    fn encode(&self) -> Vec<u8> {
        let numbers = [self.plugin, self.settings, self.since].map(u64::to_le_bytes);
        [&[VERSION], numbers.as_flattened()].concat()
    }

    /// `None` when it is not ours.
    fn decode(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(&[VERSION])?;
        let (plugin, rest) = rest.split_first_chunk()?;
        let (settings, since) = rest.split_first_chunk()?;
        let [plugin, settings, since] = [*plugin, *settings, since.try_into().ok()?].map(u64::from_le_bytes);
        Some(Self { plugin, settings, since })
    }
}

/// A configuration of the plugin with this name takes force; `None`: it is to tell nobody.
pub(super) fn announce(
    plugin: &[u8],
    notify: Option<&Notify>,
    now: u64,
    store: &mut dyn Store,
) -> Result<(), Unavailable> {
    let (plugin, settings) = (short(&[plugin]), notify.map_or(0, fingerprint));
    change(store, |in_force: &mut InForce| {
        // Another plugin on the same data may tell.
        if settings == in_force.settings || settings == 0 && plugin != in_force.plugin {
            return Change::Leave(());
        }
        let since = if in_force.settings == 0 { now } else { in_force.since };
        *in_force = InForce { plugin, settings, since };
        Change::Write(())
    })
}

/// Since when somebody is told; `None` where that is not by these settings.
pub(super) fn since(notify: &Notify, store: &mut dyn Store) -> Result<Option<u64>, Unavailable> {
    let (in_force, _) = read::<InForce>(store)?;
    Ok((in_force.settings == fingerprint(notify)).then_some(in_force.since))
}

/// Tells settings apart, and tells nothing of the secret. Never 0.
fn fingerprint(notify: &Notify) -> u64 {
    let Notify { cluster, authority, path, secret, timeout_ms, attempts, page } = notify;
    let numbers = [timeout_ms.to_le_bytes().as_slice(), &[*attempts]].concat();
    let page = page.as_deref().unwrap_or_default();
    let parts = [cluster.as_bytes(), authority.as_bytes(), path.as_bytes(), page.as_bytes(), &numbers, secret.bytes()];
    short(&parts).max(1)
}

fn short(parts: &[&[u8]]) -> u64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
