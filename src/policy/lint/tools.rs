//! The tools that a server lists, as far as a policy is held against them.

use super::super::pin::Pin;
use crate::wire::json::Reader;
use crate::wire::value::Value;

/// Tools, with what each takes.
#[derive(Debug, Clone)]
pub struct ToolList {
    pub(super) tools: Vec<Tool>,
}

/// One tool.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its name for people, where it has one.
    pub title: Option<String>,
    /// What it does, in the server's words.
    pub description: Option<String>,
    /// All that the list says of it, the text of a JSON object.
    pub definition: String,
    /// Its `inputSchema`; `true`, which allows anything, where it has none.
    pub(super) schema: serde_json::Value,
    /// Of its definition; `None` where that has none.
    pub pin: Option<Pin>,
}

impl ToolList {
    /// Reads the answer to `tools/list`, its `result`, or the list `tools` alone.
    ///
    /// # Errors
    /// One clause that says why it is no list of tools.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "not JSON: not UTF-8".to_owned())?;
        let whole = Value::parse(text).map_err(|error| error.to_string())?;
        let mut value = &whole;
        for member in ["result", "tools"] {
            value = value.get(member).unwrap_or(value);
        }
        let Value::Array(elements) = value else {
            return Err("must be a list of tools, or an object with the list `tools`".to_owned());
        };
        let tool = |(index, tool)| Tool::read(tool).ok_or_else(|| format!("tool {index} must have a `name`"));
        Ok(Self { tools: elements.iter().enumerate().map(tool).collect::<Result<_, String>>()? })
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Tool> {
        self.tools.iter()
    }
}

impl Tool {
    fn read(tool: &Value) -> Option<Self> {
        let text = |value: &Value, name| value.text(name).map(str::to_owned);
        let definition = tool.compact();
        let title = text(tool, "title").or_else(|| text(tool.get("annotations")?, "title"));
        // A schema with numbers that are too long to keep says nothing.
        let schema = tool.get("inputSchema").and_then(|schema| serde_json::from_str(&schema.compact()).ok());
        Some(Self {
            name: text(tool, "name")?,
            title,
            description: text(tool, "description"),
            schema: schema.unwrap_or(serde_json::Value::Bool(true)),
            pin: Reader::new(&definition).value().ok().and_then(Pin::of),
            definition,
        })
    }
}
