//! Real MCP clients that do the same steps: both of the TypeScript SDK, the Python SDK's, and `rmcp`.

use super::parts::{PEERS, PYTHON, root};
use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// What the scripted clients allow themselves, too.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// One thing that a client is to do.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// List the tools, all pages.
    List,
    /// Call one.
    Call(&'static str, Value),
    /// Call one with this `_meta`.
    CallWith(&'static str, Value, Value),
    /// Say which revision is spoken.
    Revision,
}

/// What came of a step, as the client's user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The names of the tools.
    Tools(Vec<String>),
    /// The result of a call: `isError`, and its texts.
    Result(bool, String),
    /// A JSON-RPC error: code and message.
    Error(i64, String),
    /// The revision that was agreed on.
    Revision(String),
}

/// A client: where to connect, what to do, what came of each step.
pub(crate) type Client = fn(url: &str, steps: &[Step]) -> Vec<Outcome>;

/// The TypeScript SDK's first client, in a process of its own.
pub(crate) fn typescript(url: &str, steps: &[Step]) -> Vec<Outcome> {
    script(Command::new("node").arg(root().join(PEERS).join("client.mjs")), url, steps, &[])
}

/// The TypeScript SDK's second client, which offers this revision or chooses by itself (`auto`).
pub(crate) fn typescript_2(url: &str, steps: &[Step], revision: &str) -> Vec<Outcome> {
    script(Command::new("node").arg(root().join(PEERS).join("client.mjs")), url, steps, &[revision])
}

/// The Python SDK's client, in a process of its own.
pub(crate) fn python(url: &str, steps: &[Step]) -> Vec<Outcome> {
    python_in_mode(url, steps, "auto")
}

/// The same, in a mode of the SDK's: `legacy`, `auto` or a revision without handshake.
pub(crate) fn python_in_mode(url: &str, steps: &[Step], mode: &str) -> Vec<Outcome> {
    script(Command::new(root().join(PYTHON)).arg(root().join(PEERS).join("client.py")), url, steps, &[mode])
}

/// The Rust SDK's client.
pub(crate) fn rust(url: &str, steps: &[Step]) -> Vec<Outcome> {
    rust_in_mode(url, steps, ProtocolVersion::default(), ClientLifecycleMode::Initialize)
}

/// The same, on a revision without handshake.
pub(crate) fn rust_by_discovery(url: &str, steps: &[Step], revision: ProtocolVersion) -> Vec<Outcome> {
    rust_in_mode(url, steps, revision.clone(), ClientLifecycleMode::Discover { preferred_versions: vec![revision] })
}

/// The same, offering this revision in a handshake.
pub(crate) fn rust_by_handshake(url: &str, steps: &[Step], revision: ProtocolVersion) -> Vec<Outcome> {
    rust_in_mode(url, steps, revision, ClientLifecycleMode::Initialize)
}

fn rust_in_mode(url: &str, steps: &[Step], revision: ProtocolVersion, mode: ClientLifecycleMode) -> Vec<Outcome> {
    // Without TLS here, but the command line has it, and its HTTP client asks for a provider all the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let run = async {
        let transport = StreamableHttpClientTransport::from_uri(url);
        let config = ClientConfig::default().with_protocol_version(revision);
        let client = config.serve_with_lifecycle(transport, mode).await.expect("a session");
        let mut outcomes = Vec::new();
        for step in steps {
            outcomes.push(match take(&client, step).await {
                Ok(outcome) => outcome,
                Err(ServiceError::McpError(error)) => Outcome::Error(error.code.0.into(), error.message.into_owned()),
                Err(error) => panic!("{step:?}: {error}"),
            });
        }
        client.cancel().await.expect("a session that ends");
        outcomes
    };
    runtime.block_on(async { tokio::time::timeout(TIME_LIMIT, run).await }).expect("rmcp is done in time")
}

async fn take(client: &RunningService<RoleClient, ClientConfig>, step: &Step) -> Result<Outcome, ServiceError> {
    match step {
        Step::List => {
            let tools = client.list_all_tools().await?;
            Ok(Outcome::Tools(tools.into_iter().map(|tool| tool.name.into_owned()).collect()))
        }
        Step::Call(tool, arguments) | Step::CallWith(tool, arguments, _) => {
            let arguments = arguments.as_object().expect("arguments are an object").clone();
            let mut params = CallToolRequestParams::new(*tool).with_arguments(arguments);
            if let Step::CallWith(_, _, meta) = step {
                params.meta = Some(serde_json::from_value(meta.clone()).expect("an object"));
            }
            let result = client.call_tool(params).await?;
            let texts = result.content.iter().filter_map(|block| block.as_text().map(|text| text.text.as_str()));
            Ok(Outcome::Result(result.is_error == Some(true), texts.collect::<Vec<_>>().join("\n")))
        }
        Step::Revision => {
            let server = client.peer_info().expect("what the server said of itself");
            Ok(Outcome::Revision(server.protocol_version.to_string()))
        }
    }
}

fn script(command: &mut Command, url: &str, steps: &[Step], mode: &[&str]) -> Vec<Outcome> {
    let steps: Vec<Value> = steps
        .iter()
        .map(|step| match step {
            Step::List => json!({ "list": true }),
            Step::Call(tool, arguments) => json!({ "call": tool, "arguments": arguments }),
            Step::CallWith(tool, arguments, meta) => json!({ "call": tool, "arguments": arguments, "meta": meta }),
            Step::Revision => json!({ "revision": true }),
        })
        .collect();
    let command = command.arg(url).arg(Value::from(steps).to_string()).args(mode).env("NO_PROXY", "127.0.0.1");
    let output = command.output().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}: {}\n{text}{error}", command.get_program(), output.status);
    let outcomes: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
    outcomes.iter().map(outcome).collect()
}

fn outcome(value: &Value) -> Outcome {
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    if let Some(tools) = value["tools"].as_array() {
        Outcome::Tools(tools.iter().map(text).collect())
    } else if let Some(is_error) = value["isError"].as_bool() {
        Outcome::Result(is_error, text(&value["text"]))
    } else if value["revision"].is_string() {
        Outcome::Revision(text(&value["revision"]))
    } else {
        let error = &value["error"];
        Outcome::Error(error["code"].as_i64().unwrap_or_default(), text(&error["message"]))
    }
}
