//! The tools that a server lists, as far as a policy's warnings ask for them.

use super::super::pin::Pin;
use crate::wire::json::Reader;
use serde_json::Value;

/// Tools by name, with what each takes.
#[derive(Debug, Clone)]
pub struct ToolList {
    pub(super) tools: Vec<Tool>,
}

/// One tool.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    pub(super) name: String,
    /// Its `inputSchema`; `true`, which allows anything, where it has none.
    pub(super) schema: Value,
    /// Of its definition; `None` where that has none.
    pub(super) pin: Option<Pin>,
}

impl ToolList {
    /// Reads the answer to `tools/list`, its `result`, or the list `tools` alone.
    ///
    /// # Errors
    /// One clause that says why it is no list of tools.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let mut value: Value = serde_json::from_slice(text).map_err(|error| format!("not JSON: {error}"))?;
        for member in ["result", "tools"] {
            if let Some(inner) = value.get_mut(member) {
                value = inner.take();
            }
        }
        let Value::Array(elements) = value else {
            return Err("must be a list of tools, or an object with the list `tools`".to_owned());
        };
        let tool = |(index, mut tool): (usize, Value)| {
            let name = tool.get("name").and_then(Value::as_str).map(str::to_owned);
            let name = name.ok_or_else(|| format!("tool {index} must have a `name`"))?;
            let pin = Reader::new(&tool.to_string()).value().ok().and_then(Pin::of);
            let schema = tool.get_mut("inputSchema").map_or(Value::Bool(true), Value::take);
            Ok(Tool { name, schema, pin })
        };
        Ok(Self { tools: elements.into_iter().enumerate().map(tool).collect::<Result<_, String>>()? })
    }
}
