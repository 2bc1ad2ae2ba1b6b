//! Decision cases: a policy's expectations as data, run by `mcp-policy test`, `cargo test` and in wasm.

use crate::policy::{MemoryStore, NoFacts, Outcome, Policy, Principal, Query, Target};
use crate::timestamp::Timestamp;
use crate::wire::json::Reader;
use crate::wire::mcp::Feature;
use serde::Deserialize;

/// A file of cases, `NAME.cases.json` beside the policy `NAME.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// Each starts with fresh counters.
    pub cases: Vec<Case>,
}

/// One expectation: of a call, or of a list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Case {
    /// What becomes of a call.
    Call(Box<CallCase>),
    /// What of a list is seen.
    List(ListCase),
}

/// What becomes of a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallCase {
    /// One sentence that is true when the case passes.
    pub name: String,
    /// Calls made before, whatever came of them.
    #[serde(default)]
    pub after: Vec<Call>,
    /// The call that is judged.
    pub call: Call,
    /// What comes of it.
    pub expect: Outcome,
    /// The rule that decides; empty when nothing fires.
    #[serde(default)]
    pub rule: String,
    /// The words for the caller, without prefix; not compared when absent.
    pub message: Option<String>,
}

/// One or more equal messages of a client. Names at most one of `tool`, `prompt` and `resource`, and a
/// `method` where that is not `tools/call`, `prompts/get` or `resources/read`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The tool's name.
    pub tool: Option<String>,
    /// The prompt's name.
    pub prompt: Option<String>,
    /// The resource's URI.
    pub resource: Option<String>,
    /// The JSON-RPC method.
    pub method: Option<String>,
    /// The arguments, an object.
    #[serde(default)]
    pub arguments: serde_json::Map<String, serde_json::Value>,
    /// The grant's id.
    #[serde(default = "anonymous")]
    pub grant: String,
    /// The `Mcp-Session-Id`.
    pub session: Option<String>,
    /// Milliseconds since the epoch.
    #[serde(default)]
    pub at: u64,
    /// How often.
    #[serde(default = "once")]
    pub times: u32,
}

impl Call {
    /// What it reaches, if anything.
    #[must_use]
    pub fn target(&self) -> Option<Target<'_>> {
        let named = [(Feature::Tool, &self.tool), (Feature::Prompt, &self.prompt), (Feature::Resource, &self.resource)];
        named.into_iter().find_map(|(feature, name)| Some(Target { feature, name: name.as_deref()? }))
    }

    /// Its JSON-RPC method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.method.as_deref().unwrap_or(match self.target().map(|target| target.feature) {
            Some(Feature::Tool) => "tools/call",
            Some(Feature::Prompt) => "prompts/get",
            Some(Feature::Resource) => "resources/read",
            None => "",
        })
    }

    fn is_sound(&self) -> bool {
        let names = [&self.tool, &self.prompt, &self.resource].into_iter().flatten().count();
        names == 1 || names == 0 && self.method.is_some()
    }
}

/// Which elements of a list are seen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListCase {
    /// One sentence that is true when the case passes.
    pub name: String,
    /// What the server lists, by name or URI.
    pub list: Vec<String>,
    /// What kind of things they are.
    #[serde(default = "tool")]
    pub of: Feature,
    /// Those that the client sees.
    pub visible: Vec<String>,
}

fn anonymous() -> String {
    Principal::ANONYMOUS.to_owned()
}

const fn tool() -> Feature {
    Feature::Tool
}

const fn once() -> u32 {
    1
}

/// An expectation that does not hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// The case's name.
    pub case: String,
    /// What was expected.
    pub expected: String,
    /// What came of it.
    pub found: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n  expected: {}\n  found:    {}", self.case, self.expected, self.found)
    }
}

impl CaseFile {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// One line that says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        for case in &file.cases {
            if let Case::Call(case) = case
                && !case.after.iter().chain([&case.call]).all(Call::is_sound)
            {
                return Err(format!("{}: name one tool, prompt or resource, or give a method", case.name));
            }
        }
        Ok(file)
    }

    /// Every case that `policy` does not fulfil.
    #[must_use]
    pub fn run(&self, policy: &Policy) -> Vec<Failure> {
        self.cases.iter().filter_map(|case| case.run(policy)).collect()
    }
}

impl Case {
    fn run(&self, policy: &Policy) -> Option<Failure> {
        match self {
            Self::Call(case) => case.run(policy),
            Self::List(case) => case.run(policy),
        }
    }
}

impl CallCase {
    fn run(&self, policy: &Policy) -> Option<Failure> {
        let mut store = MemoryStore::default();
        let mut decide = |call: &Call| {
            let principal = Principal { grant: call.grant.clone(), session: call.session.clone() };
            let arguments = serde_json::Value::from(call.arguments.clone()).to_string();
            let query = Query {
                principal: &principal,
                method: call.method(),
                target: call.target(),
                arguments: Reader::new(&arguments).value().ok(),
                meta: None,
                now: Timestamp::from_millis(call.at),
                facts: &NoFacts,
            };
            policy.decide(&query, &mut store)
        };
        for call in &self.after {
            for _ in 0..call.times {
                decide(call);
            }
        }
        let decision = decide(&self.call);
        let holds = decision.outcome == self.expect
            && decision.rule == self.rule
            && self.message.as_ref().is_none_or(|message| *message == decision.message);
        let line = |outcome: Outcome, rule: &str, message: Option<&str>| {
            let message = message.map(|message| format!(", \"{message}\"")).unwrap_or_default();
            format!("{outcome:?} by \"{rule}\"{message}").to_lowercase()
        };
        (!holds).then(|| Failure {
            case: self.name.clone(),
            expected: line(self.expect, &self.rule, self.message.as_deref()),
            found: line(decision.outcome, decision.rule, Some(&decision.message)),
        })
    }
}

impl ListCase {
    fn run(&self, policy: &Policy) -> Option<Failure> {
        let visible: Vec<&String> = self.list.iter().filter(|name| policy.visible(self.of, name)).collect();
        let holds = visible.iter().copied().eq(&self.visible);
        (!holds).then(|| Failure {
            case: self.name.clone(),
            expected: format!("{:?}", self.visible),
            found: format!("{visible:?}"),
        })
    }
}
