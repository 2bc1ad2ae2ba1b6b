//! Room for messages that wait: their queues are bounded in messages, and this bounds them in bytes.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes that may wait in one direction.
#[derive(Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// A message that waits. Its room is free again when it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) text: String,
    _room: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    pub(super) fn is_for(&self, text: &str) -> bool {
        text.len() <= self.0.available_permits()
    }

    /// Takes a message in; none when there is no room for it.
    pub(super) fn hold(&self, text: String) -> Option<Waiting> {
        let bytes = u32::try_from(text.len()).ok()?;
        let room = Arc::clone(&self.0).try_acquire_many_owned(bytes).ok()?;
        Some(Waiting { text, _room: room })
    }
}
