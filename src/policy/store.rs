//! Where counters live: compare-and-swap over bytes, so that windows and retries are written once.

use std::collections::HashMap;

/// Names one state of a key; any change of the key changes it.
pub type Version = u32;

/// The store cannot be reached or answered nonsense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// Why a value was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutError {
    /// Somebody else wrote first; read again.
    Conflict,
    /// See [`Unavailable`].
    Unavailable,
}

/// Values with versions, shared by all workers.
pub trait Store {
    /// The value of `key` and its version; `None` when it was never written.
    ///
    /// # Errors
    /// [`Unavailable`].
    fn get(&mut self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Unavailable>;

    /// Writes `value` if `key` is still as it was at `version`; `None`: if it is still unwritten.
    ///
    /// # Errors
    /// [`PutError::Conflict`] when it is not.
    fn put(&mut self, key: &[u8], value: &[u8], version: Option<Version>) -> Result<(), PutError>;

    /// Writes `value` whatever is there: for what one writer owns.
    ///
    /// # Errors
    /// As for [`Self::put`].
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), PutError> {
        let version = self.get(key).map_err(|Unavailable| PutError::Unavailable)?.map(|(_, version)| version);
        self.put(key, value, version)
    }
}

/// A store for one process and one thread: the command line and the tests.
#[derive(Debug, Default)]
pub struct MemoryStore {
    values: HashMap<Vec<u8>, (Vec<u8>, Version)>,
}

impl Store for MemoryStore {
    fn get(&mut self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Unavailable> {
        Ok(self.values.get(key).cloned())
    }

    fn put(&mut self, key: &[u8], value: &[u8], version: Option<Version>) -> Result<(), PutError> {
        let current = self.values.get(key).map(|(_, version)| *version);
        if current != version {
            return Err(PutError::Conflict);
        }
        let next = current.map_or(1, |version| version.wrapping_add(1));
        self.values.insert(key.to_vec(), (value.to_vec(), next));
        Ok(())
    }
}
