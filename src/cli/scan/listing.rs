//! What a server lists, as it wrote it.

use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// A server and its tools.
#[derive(Debug)]
pub(in crate::cli) struct Listing {
    /// Name and version, as it says.
    pub(in crate::cli) server: String,
    /// The revision of MCP that was spoken.
    pub(in crate::cli) revision: String,
    /// The tools' definitions.
    pub(in crate::cli) tools: Vec<Value>,
}

/// Answers to `tools/list`, as they came; the transport notes them on their way to the SDK's client.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Vec<Value>>>);

impl Seen {
    /// Keeps the tools of a message, if it has any.
    pub(super) fn note(&self, message: &[u8]) {
        let Ok(mut message) = serde_json::from_slice::<Value>(message) else { return };
        let tools = message.get_mut("result").and_then(|result| result.get_mut("tools"));
        if let Some(Value::Array(tools)) = tools.map(Value::take) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tools;
        }
    }

    /// Those of the last answer.
    pub(super) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
