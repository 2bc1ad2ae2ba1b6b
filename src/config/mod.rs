//! The plugin's configuration: one policy as it is, or named policies with grants and settings around them.
//!
//! Text → [`Gate`], or every problem. A gate is whole or not there at all: a faulty configuration never
//! replaces a good one.

mod admin;
mod approvals;
mod grants;
mod limits;
mod notify;
mod settings;

pub use admin::Admin;
pub use approvals::Approvals;
pub use grants::Grant;
pub use limits::{LimitService, Limits, OnFailure};
pub use settings::{DEFAULT_MAX_BODY_BYTES, HiddenReply, LimitReply, Log, Settings};

use crate::cases;
use crate::policy::{Facts, Fields, Pointer, Policy, Principal, Problems, lint};
use crate::wire::value::Value;
use grants::Grants;

/// The name that a bare policy's counters belong to.
const BARE_POLICY: &str = "default";
/// Members that only a configuration has; one of them tells it from a bare policy.
const CONFIGURATION: [&str; 17] = [
    "policies",
    "grants",
    "default_policy",
    "deny_prefix",
    "strip_authorization",
    "strip_cookies",
    "jwt_payload_key",
    "max_body_bytes",
    "max_list_ttl_ms",
    "limits",
    "approvals",
    "hold_request_headers",
    "hidden_reply",
    "limit_reply",
    "report_budget",
    "log",
    "decisions",
];

/// The one member that only the admin side's configuration has.
const ADMIN: &str = "admin";

/// Everything that one plugin was told, compiled.
#[derive(Debug)]
pub struct Gate {
    policies: Vec<Policy>,
    grants: Grants,
    /// The policy of callers without a grant; they are refused when there is none.
    default_policy: Option<usize>,
    /// What holds whichever policy applies.
    pub settings: Settings,
    /// Where limits are counted.
    pub limits: Limits,
    /// What holds for calls that a person must approve.
    pub approvals: Approvals,
    cuts_lists: bool,
}

/// Whom a request is judged as: the answer of the gate that let it in, and of use with that gate only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The grant's id; [`Principal::ANONYMOUS`] without one.
    pub grant: String,
    policy: Option<usize>,
}

/// What one plugin is there for.
#[derive(Debug)]
pub enum Role {
    /// It judges what clients ask of an MCP server.
    Gate(Box<Gate>),
    /// It lets people approve calls, and see what is in force.
    Admin(Admin),
}

impl Role {
    /// Reads the configuration as the host delivered it: the admin side's has the one member `admin`.
    ///
    /// # Errors
    /// As for [`Gate::load`].
    pub fn load(configuration: &[u8]) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        match parse(configuration) {
            Ok(value @ Value::Object(_)) if value.has(ADMIN) => {
                let admin = Admin::read(&value, &mut problems);
                admin.filter(|_| problems.is_empty()).map(Self::Admin).ok_or(problems)
            }
            _ => Gate::load(configuration).map(|gate| Self::Gate(Box::new(gate))),
        }
    }
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

    fn new(policies: Vec<Policy>, grants: Grants, default_policy: Option<usize>, settings: Settings) -> Self {
        let cuts_lists = policies.iter().any(Policy::cuts_lists);
        let (limits, approvals) = (Limits::Local, Approvals::default());
        Self { policies, grants, default_policy, settings, limits, approvals, cuts_lists }
    }

    /// How long a client may keep a list, in milliseconds; `None` where no policy cuts one, and all callers are shown
    /// what the server says.
    #[must_use]
    pub fn list_ttl_ms(&self) -> Option<u64> {
        self.cuts_lists.then_some(self.settings.max_list_ttl_ms)
    }

    /// Whether any call may be held for a person.
    #[must_use]
    pub fn holds_calls(&self) -> bool {
        self.policies.iter().any(Policy::holds_calls)
    }

    /// Whether any call may need a person's approval.
    #[must_use]
    pub fn asks_people(&self) -> bool {
        self.policies.iter().any(Policy::asks_people)
    }

    /// Every policy, in the configuration's order.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter()
    }

    /// The policies' documents, in the same order, taken out as by [`Policy::take_document`].
    pub fn take_documents(&mut self) -> impl Iterator<Item = String> {
        self.policies.iter_mut().map(Policy::take_document)
    }

    /// Each grant that a policy is attached to, and [`Principal::ANONYMOUS`] where one is for callers without a grant.
    pub fn callers(&self) -> impl Iterator<Item = (&str, &Policy)> {
        let granted = self.grants.iter().filter_map(|grant| Some((grant.id(), self.policies.get(grant.policy?)?)));
        granted.chain(self.default_policy().map(|policy| (Principal::ANONYMOUS, policy)))
    }

    /// The policy of callers that no grant matches; `None` when they are refused.
    #[must_use]
    pub fn default_policy(&self) -> Option<&Policy> {
        self.policies.get(self.default_policy?)
    }

    /// Whether callers are told apart at all.
    #[must_use]
    pub fn has_grants(&self) -> bool {
        self.grants.iter().next().is_some()
    }

    /// The grant of this id, as configured.
    #[must_use]
    pub fn grant_named(&self, id: &str) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.id() == id)
    }

    /// The policy that callers with this grant are judged by; [`Principal::ANONYMOUS`] stands for those
    /// without one. `None` when there is no such grant, or no policy is attached to it.
    #[must_use]
    pub fn policy_of(&self, grant: &str) -> Option<&Policy> {
        if grant == Principal::ANONYMOUS {
            return self.default_policy();
        }
        self.policies.get(self.grant_named(grant)?.policy?)
    }

    /// Whom a request is judged as: the first grant that matches what is known of it, else
    /// [`Principal::ANONYMOUS`] under the default policy. `None` when it is refused.
    #[must_use]
    pub fn caller(&self, facts: &dyn Facts) -> Option<Caller> {
        if let Some(grant) = self.grants.first_match(facts) {
            return Some(Caller { grant: grant.id().to_owned(), policy: grant.policy });
        }
        self.default_policy.map(|policy| Caller { grant: Principal::ANONYMOUS.to_owned(), policy: Some(policy) })
    }

    /// The policy that `caller` is judged by; `None` when none is attached to its grant.
    #[must_use]
    pub fn policy_for(&self, caller: &Caller) -> Option<&Policy> {
        self.policies.get(caller.policy?)
    }

    fn read(value: &Value, problems: &mut Problems) -> Option<Self> {
        let root = Pointer::root();
        if !is_configuration(value) {
            let policy = compile_tested(BARE_POLICY, value, &root, problems)?;
            let (grants, settings) = (Grants::default(), Settings::default());
            return Some(Self::new(vec![policy], grants, Some(0), settings));
        }
        let mut fields = Fields::of(value, &root, problems)?;
        let policies = read_policies(&mut fields, problems);
        let names: Vec<&str> = policies.iter().map(|(name, _)| *name).collect();
        // An empty list counts: it is what is left when the last grant is revoked.
        let has_grants = fields.has("grants");
        let grants = Grants::read(&mut fields, &names, problems);
        if !has_grants {
            fields.require("default_policy", problems);
        }
        let default_policy = read_policy_name(&mut fields, "default_policy", has_grants, &names, problems);
        let settings = Settings::read(&mut fields, grants.have_bearer(), problems);
        let limits = Limits::read(&mut fields, problems);
        let approvals = Approvals::read(&mut fields, problems);
        fields.finish(problems);
        limits.check(policies.iter().filter_map(|(_, policy)| policy.as_ref()), problems);
        let policies = policies.into_iter().map(|(_, policy)| policy).collect::<Option<_>>()?;
        Some(Self { limits, approvals, ..Self::new(policies, grants, default_policy, settings) })
    }
}

/// What the policies of a sound configuration say that is likely not meant; see [`lint::lint`].
#[must_use]
pub fn lint(configuration: &[u8], tools: Option<&lint::ToolList>) -> Problems {
    let (mut warnings, root) = (Problems::default(), Pointer::root());
    let Ok(value) = parse(configuration) else { return warnings };
    if value.has(ADMIN) {
        return warnings;
    }
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

/// A policy whose own tests pass: one that does not do what its author expects of it is never in force.
fn compile_tested(name: &str, value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Policy> {
    let mut policy = Policy::compile(name, value, at, problems)?;
    cases::run_own(&policy.take_tests(), &policy, at, problems);
    Some(policy)
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

fn read_policies<'v>(fields: &mut Fields<'v>, problems: &mut Problems) -> Vec<(&'v str, Option<Policy>)> {
    fields.require("policies", problems);
    let documents = fields.map("policies", problems);
    documents
        .into_iter()
        .map(|(name, value, at)| {
            if name.is_empty() {
                problems.add(&at, "policy name must not be empty");
            }
            (name, compile_tested(name, value, &at, problems))
        })
        .collect()
}

/// The place among `names` of the policy that `member` names; `null` counts as absent where it may be.
fn read_policy_name(
    fields: &mut Fields<'_>,
    member: &'static str,
    may_be_null: bool,
    names: &[&str],
    problems: &mut Problems,
) -> Option<usize> {
    let (value, at) = fields.take(member)?;
    if may_be_null && *value == Value::Null {
        return None;
    }
    let Value::String(wanted) = value else {
        let or_null = if may_be_null { " or null" } else { "" };
        problems.add(&at, format!("{member} must be a string{or_null}, got {value}"));
        return None;
    };
    let found = names.iter().position(|name| name == wanted);
    if found.is_none() {
        let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let names = if quoted.is_empty() { "there is none".to_owned() } else { quoted.join(", ") };
        problems.add(&at, format!("{member} must name one of the policies ({names}), got \"{wanted}\""));
    }
    found
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
        assert_eq!(bare.default_policy().map(Policy::name), Some("default"));
        assert_eq!(bare.settings, Settings::default());
        let full = br#"{"policies":{"x":{"version":"1","default":"allow"}},"default_policy":"x","deny_prefix":"no: ",
            "max_body_bytes":10,"max_list_ttl_ms":0,"strip_authorization":true,"strip_cookies":true,"jwt_payload_key":"k","hold_request_headers":true,"hidden_reply":"unknown_tool","limit_reply":"http_429","report_budget":true,"log":"all","decisions":0}"#;
        let gate = Gate::load(full).unwrap();
        let expected = Settings {
            deny_prefix: "no: ".into(),
            strip_authorization: true,
            strip_cookies: true,
            jwt_payload_key: "k".into(),
            max_body_bytes: 10,
            max_list_ttl_ms: 0,
            hold_request_headers: true,
            hidden_reply: HiddenReply::UnknownTool,
            limit_reply: LimitReply::Http429,
            report_budget: true,
            log: Log::All,
            decisions: 0,
        };
        assert_eq!((gate.default_policy().map(Policy::name), &gate.settings), (Some("x"), &expected));
    }

    #[test]
    fn all_problems_are_reported_together_with_their_places() {
        let text = r#"{"policies":{"a/b":{"default":"maybe","tols":{}}},"default_policy":"c","max_body_bytes":0,
            "hold_request_headers":"yes","hidden_reply":1,"log":"some","grant":[]}"#;
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
                r#"(document): unknown field "grant"; did you mean "grants"?"#,
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
