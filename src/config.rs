//! The plugin's configuration: one policy as it is, or named policies with settings around them.
//!
//! Text → [`Gate`], or every problem. A gate is whole or not there at all: a faulty configuration never
//! replaces a good one.

use crate::cases;
use crate::policy::{Fields, Pointer, Policy, Problems, lint};
use crate::wire::value::Value;

/// Bytes of a request body that are judged unless `max_body_bytes` says otherwise.
pub const DEFAULT_MAX_BODY_BYTES: usize = 1 << 20;
/// The most that `max_body_bytes` may say: the body is held in the worker's memory.
const LARGEST_MAX_BODY_BYTES: usize = 64 << 20;
/// The name that a bare policy's counters belong to.
const BARE_POLICY: &str = "default";
/// Members that only a configuration has; one of them tells it from a bare policy.
const CONFIGURATION: [&str; 7] =
    ["policies", "default_policy", "deny_prefix", "max_body_bytes", "hold_request_headers", "hidden_reply", "log"];

/// Everything that one plugin was told, compiled.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    /// What holds whichever policy applies.
    pub settings: Settings,
}

/// What holds whichever policy applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What the text of a refused call begins with.
    pub deny_prefix: String,
    /// The largest request body that is judged; one byte more is refused.
    pub max_body_bytes: usize,
    /// Keep a request's headers back until its body is judged. Must equal the host's
    /// `allow_on_headers_stop_iteration`: without that option, held requests never go on.
    pub hold_request_headers: bool,
    /// How the call of a hidden tool is answered.
    pub hidden_reply: HiddenReply,
    /// Which decisions also go to the host's log.
    pub log: Log,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deny_prefix: "[POLICY DENIED] ".to_owned(),
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            hold_request_headers: false,
            hidden_reply: HiddenReply::Policy,
            log: Log::Refusals,
        }
    }
}

/// How the call of a hidden tool is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenReply {
    /// With the policy's text.
    Policy,
    /// Exactly as the call of a tool that does not exist.
    UnknownTool,
}

/// Which decisions also go to the host's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Refused ones.
    Refusals,
    /// Every one.
    All,
    /// None.
    None,
}

impl Gate {
    /// Reads the configuration as the host delivered it.
    ///
    /// # Errors
    /// Every problem of the configuration, each with its pointer.
    pub fn load(configuration: &[u8]) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let gate = match parse(configuration) {
            Ok(value) => Self::read(&value, &mut problems),
            Err(message) => {
                problems.add(&Pointer::root(), message);
                None
            }
        };
        gate.filter(|_| problems.is_empty()).ok_or(problems)
    }

    /// The policy that applies to every caller; grants will choose among several.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    fn read(value: &Value, problems: &mut Problems) -> Option<Self> {
        let root = Pointer::root();
        if !is_configuration(value) {
            let policy = compile_tested(BARE_POLICY, value, &root, problems)?;
            return Some(Self { policy, settings: Settings::default() });
        }
        let mut fields = Fields::of(value, &root, problems)?;
        let policies = read_policies(&mut fields, problems);
        let policy = choose_default(&mut fields, policies, problems);
        let settings = Settings::read(&mut fields, problems);
        fields.finish(problems);
        Some(Self { policy: policy?, settings })
    }
}

/// What the policies of a sound configuration say that is likely not meant; see [`lint::lint`].
#[must_use]
pub fn lint(configuration: &[u8], tools: Option<&lint::ToolList>) -> Problems {
    let (mut warnings, root) = (Problems::default(), Pointer::root());
    let Ok(value) = parse(configuration) else { return warnings };
    if !is_configuration(&value) {
        return lint::lint(&value, &root, tools);
    }
    if let Some(mut fields) = Fields::of(&value, &root, &mut warnings) {
        for (_, document, at) in fields.map("policies", &mut warnings) {
            let found = lint::lint(document, &at, tools);
            warnings.append(found);
        }
    }
    warnings
}

fn is_configuration(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, _)| CONFIGURATION.contains(&name.as_str())),
        _ => false,
    }
}

fn parse(configuration: &[u8]) -> Result<Value, String> {
    let wanted = "the configuration must be the text of a JSON object, given as a google.protobuf.StringValue \
                  (Envoy does not deliver a google.protobuf.Struct as JSON)";
    if configuration.trim_ascii().is_empty() {
        return Err(format!("{wanted}; it is empty"));
    }
    let text = std::str::from_utf8(configuration).map_err(|_| format!("{wanted}; it is not UTF-8"))?;
    Value::parse(text).map_err(|error| format!("{wanted}; it is {error}"))
}

/// A policy whose own tests pass: one that does not do what its author expects of it is never in force.
fn compile_tested(name: &str, value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Policy> {
    let mut policy = Policy::compile(name, value, at, problems)?;
    cases::run_own(&policy.take_tests(), &policy, at, problems);
    Some(policy)
}

fn read_policies(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<(String, Option<Policy>)> {
    fields.require("policies", problems);
    let documents = fields.map("policies", problems);
    documents
        .into_iter()
        .map(|(name, value, at)| {
            if name.is_empty() {
                problems.add(&at, "policy name must not be empty");
            }
            (name.to_owned(), compile_tested(name, value, &at, problems))
        })
        .collect()
}

fn choose_default(
    fields: &mut Fields<'_>,
    policies: Vec<(String, Option<Policy>)>,
    problems: &mut Problems,
) -> Option<Policy> {
    fields.require("default_policy", problems);
    let wanted = fields.string("default_policy", problems)?;
    let at = fields.at().child("default_policy");
    let names: Vec<String> = policies.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let chosen = policies.into_iter().find(|(name, _)| name == wanted);
    if chosen.is_none() {
        let names = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
        problems.add(&at, format!("default_policy must name one of the policies ({names}), got \"{wanted}\""));
    }
    chosen.and_then(|(_, policy)| policy)
}

impl Settings {
    fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> Self {
        let defaults = Self::default();
        let deny_prefix = fields.string("deny_prefix", problems).map_or(defaults.deny_prefix, str::to_owned);
        let hold_request_headers =
            fields.bool("hold_request_headers", problems).unwrap_or(defaults.hold_request_headers);
        let max_body_bytes = match fields.take("max_body_bytes") {
            None => defaults.max_body_bytes,
            Some((value, at)) => read_size(value).unwrap_or_else(|| {
                let largest = LARGEST_MAX_BODY_BYTES;
                problems.add(&at, format!("max_body_bytes must be an integer from 1 to {largest}, got {value}"));
                0
            }),
        };
        let replies = [("policy", HiddenReply::Policy), ("unknown_tool", HiddenReply::UnknownTool)];
        let logs = [("refusals", Log::Refusals), ("all", Log::All), ("none", Log::None)];
        Self {
            deny_prefix,
            max_body_bytes,
            hold_request_headers,
            hidden_reply: read_choice(fields, "hidden_reply", &replies, problems).unwrap_or(defaults.hidden_reply),
            log: read_choice(fields, "log", &logs, problems).unwrap_or(defaults.log),
        }
    }
}

fn read_size(value: &Value) -> Option<usize> {
    let Value::Number(digits) = value else { return None };
    digits.parse().ok().filter(|size| (1..=LARGEST_MAX_BODY_BYTES).contains(size))
}

fn read_choice<T: Copy>(
    fields: &mut Fields<'_>,
    name: &'static str,
    choices: &[(&str, T)],
    problems: &mut Problems,
) -> Option<T> {
    let (value, at) = fields.take(name)?;
    let chosen = match value {
        Value::String(text) => choices.iter().find(|(choice, _)| choice == text).map(|(_, chosen)| *chosen),
        _ => None,
    };
    if chosen.is_none() {
        let allowed: Vec<String> = choices.iter().map(|(choice, _)| format!("\"{choice}\"")).collect();
        problems.add(&at, format!("{name} must be one of {}, got {value}", allowed.join(", ")));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        Gate::load(text.as_bytes()).expect_err(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_bare_policy_and_the_object_form_both_load() {
        let bare = Gate::load(br#"{"version":"1","default":"deny","tools":{"a":{}}}"#).unwrap();
        assert_eq!((bare.policy().name(), &bare.settings), ("default", &Settings::default()));
        let full = br#"{"policies":{"x":{"version":"1","default":"allow"}},"default_policy":"x","deny_prefix":"no: ",
            "max_body_bytes":10,"hold_request_headers":true,"hidden_reply":"unknown_tool","log":"all"}"#;
        let gate = Gate::load(full).unwrap();
        let expected = Settings {
            deny_prefix: "no: ".into(),
            max_body_bytes: 10,
            hold_request_headers: true,
            hidden_reply: HiddenReply::UnknownTool,
            log: Log::All,
        };
        assert_eq!((gate.policy().name(), &gate.settings), ("x", &expected));
    }

    #[test]
    fn all_problems_are_reported_together_with_their_places() {
        let text = r#"{"policies":{"a/b":{"default":"maybe","tols":{}}},"default_policy":"c","max_body_bytes":0,
            "hold_request_headers":"yes","hidden_reply":1,"log":"some","grants":[]}"#;
        assert_eq!(
            problems(text),
            [
                r#"/policies/a~1b: version is required, and must be "1""#,
                r#"/policies/a~1b/default: default must be "allow" or "deny", got "maybe""#,
                r#"/policies/a~1b: unknown field "tols"; did you mean "tools"?"#,
                r#"/default_policy: default_policy must name one of the policies ("a/b"), got "c""#,
                r#"/hold_request_headers: hold_request_headers must be true or false, got "yes""#,
                "/max_body_bytes: max_body_bytes must be an integer from 1 to 67108864, got 0",
                r#"/hidden_reply: hidden_reply must be one of "policy", "unknown_tool", got 1"#,
                r#"/log: log must be one of "refusals", "all", "none", got "some""#,
                r#"(document): unknown field "grants""#,
            ]
        );
    }

    #[test]
    fn what_is_not_a_string_value_is_refused_in_words_that_say_so() {
        // A `Struct` with one member, as Envoy delivers it.
        let delivered: [&[u8]; 4] = [b"", b"  ", b"\x0a\x10\x0a\x07version\x12\x05\x1a\x031.0", b"\xFF"];
        for bytes in delivered {
            let problem = Gate::load(bytes).expect_err("refused").to_string();
            assert!(problem.contains("google.protobuf.StringValue"), "{problem}");
        }
        assert_eq!(problems("[]"), ["(document): must be an object, got a list"]);
    }
}
