//! Values of the store that all workers change, each by one compare-and-swap.

use crate::policy::{PutError, Store, Unavailable, Version};

/// Tries to write a value. Each failed one means that somebody else succeeded.
pub(super) const MAX_TRIES: usize = 256;

/// A value with a place of its own in the store; its default is what is there before it was ever written.
pub(super) trait Kept: Default {
    /// Its place.
    const KEY: &'static [u8];

    /// As it lies there.
    fn encode(&self) -> Vec<u8>;

    /// `None` when it is not ours.
    fn decode(value: &[u8]) -> Option<Self>;
}

/// What comes of looking at a value.
pub(super) enum Change<T> {
    Leave(T),
    Write(T),
}

/// Changes the value as `look` does, which is asked again when somebody else was faster.
pub(super) fn change<V: Kept, T>(
    store: &mut dyn Store,
    mut look: impl FnMut(&mut V) -> Change<T>,
) -> Result<T, Unavailable> {
    for _ in 0..MAX_TRIES {
        let (mut value, version) = read::<V>(store)?;
        let done = match look(&mut value) {
            Change::Leave(done) => return Ok(done),
            Change::Write(done) => done,
        };
        match store.put(V::KEY, &value.encode(), version) {
            Ok(()) => return Ok(done),
            Err(PutError::Conflict) => {}
            Err(PutError::Unavailable) => return Err(Unavailable),
        }
    }
    Err(Unavailable)
}

pub(super) fn read<V: Kept>(store: &mut dyn Store) -> Result<(V, Option<Version>), Unavailable> {
    match store.get(V::KEY)? {
        None => Ok((V::default(), None)),
        Some((value, version)) => Ok((V::decode(&value).ok_or(Unavailable)?, Some(version))),
    }
}
