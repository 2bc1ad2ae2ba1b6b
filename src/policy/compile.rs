//! Compile once: a document becomes a [`Policy`] that a decision only reads, or every problem it has.

use super::case::Case;
use super::condition::Condition;
use super::decision::Terms;
use super::document::{self, Action, Default, Document};
use super::limit::Limit;
use super::methods::Methods;
use super::names::Names;
use super::path::Path;
use super::pin::Pinned;
use super::problem::{Pointer, Problems};
use super::rules::{self, List};
use super::schedule::Schedule;
use super::service::{self, CounterFamily};
use crate::wire::mcp::Feature;
use crate::wire::value::Value;
use sha2::{Digest, Sha256};

/// One policy, ready to decide.
#[derive(Debug)]
pub struct Policy {
    name: String,
    version: String,
    pub(super) hide_unlisted: bool,
    pub(super) is_shadow: bool,
    pub(super) schedule: Option<Schedule>,
    pub(super) all_tools: Checks,
    pub(super) tools: Section,
    pub(super) prompts: Section,
    pub(super) resources: Section,
    pub(super) methods: Option<Methods>,
    tests: Vec<Case>,
    document: String,
}

/// What applies to one feature of a server.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) default: Default,
    pub(super) hide: Names<()>,
    pub(super) entries: Names<Entry>,
    /// Whether any entry has a pin.
    pub(super) has_pins: bool,
    /// Whether any entry may have calls held.
    pub(super) has_waits: bool,
    /// Whether any entry may ask a person.
    pub(super) has_approvals: bool,
}

/// What applies to one tool, prompt or resource.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where it stands in the policy.
    pub(super) pointer: String,
    /// `action: deny`: rule and message, where the author gave one.
    pub(super) deny: Option<(String, Option<String>)>,
    /// `action: require_approval`: rule and message.
    pub(super) approval: Option<(String, Option<String>)>,
    pub(super) pin: Option<Pinned>,
    /// With the rule's pointer.
    pub(super) schedule: Option<(String, Schedule)>,
    pub(super) checks: Checks,
}

/// What a call is asked, by an entry or by `all_tools`.
#[derive(Debug)]
pub(super) struct Checks {
    pub(super) is_shadow: bool,
    pub(super) require: Vec<Rule>,
    pub(super) deny_if: Vec<Rule>,
    pub(super) require_approval: Vec<Rule>,
    pub(super) limits: Vec<Limit>,
    /// Whether a rule reads the call's arguments.
    pub(super) reads_arguments: bool,
    /// Whether a rule reads the call's `_meta`.
    pub(super) reads_meta: bool,
}

/// A rule, with the words it refuses with.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) pointer: String,
    pub(super) message: String,
    pub(super) conditions: Vec<Condition>,
    pub(super) is_shadow: bool,
    /// Of an approval.
    pub(super) terms: Terms,
}

/// What it can do to anybody at all.
impl Policy {
    /// Whether any list may lose something.
    #[must_use]
    pub fn cuts_lists(&self) -> bool {
        let cuts = |section: &Section| {
            let unlisted = self.hide_unlisted && section.default == Default::Deny;
            !section.hide.is_empty() || unlisted || section.has_pins
        };
        !self.is_shadow && [&self.tools, &self.prompts, &self.resources].into_iter().any(cuts)
    }

    /// Whether any call may be held for a person.
    #[must_use]
    pub fn holds_calls(&self) -> bool {
        let sections = [&self.tools, &self.prompts, &self.resources];
        !self.is_shadow && (self.all_tools.has_waits() || sections.into_iter().any(|section| section.has_waits))
    }

    /// Whether any call may need a person's approval.
    #[must_use]
    pub fn asks_people(&self) -> bool {
        let sections = [&self.tools, &self.prompts, &self.resources];
        let asks = |section: &Section| section.has_approvals;
        !self.is_shadow && (!self.all_tools.require_approval.is_empty() || sections.into_iter().any(asks))
    }
}

impl Section {
    fn new(policy: &str, policy_at: &Pointer, document: document::Section) -> Self {
        let has_pins = document.entries.iter().any(|(_, entry)| entry.pin.is_some());
        let has_waits = document.entries.iter().any(|(_, entry)| entry.checks.has_waits());
        let asks = |entry: &document::Entry| entry.action == Action::RequireApproval || entry.checks.has_approvals();
        let has_approvals = document.entries.iter().any(|(_, entry)| asks(entry));
        let entries = document.entries.into_iter();
        Self {
            has_pins,
            has_waits,
            has_approvals,
            default: document.default,
            hide: Names::new(document.hide.into_iter().map(|pattern| (pattern, ()))),
            entries: Names::new(entries.map(|(pattern, entry)| {
                let entry = Entry::new(policy, policy_at, pattern.as_str(), entry);
                (pattern, entry)
            })),
        }
    }
}

impl Entry {
    fn new(policy: &str, policy_at: &Pointer, name: &str, document: document::Entry) -> Self {
        // The place of a policy within a configuration is no part of its rules' names.
        let at = document.at.within(policy_at);
        let action = (at.child("action").as_str().to_owned(), document.reason);
        let (deny, approval) = match document.action {
            Action::Allow => (None, None),
            Action::Deny => (Some(action), None),
            Action::RequireApproval => (None, Some(action)),
        };
        let pin = document.pin.map(|pin| Pinned::new(at.child("pin").as_str().to_owned(), pin, policy, name));
        let schedule = document.schedule.map(|schedule| (at.child("schedule").as_str().to_owned(), schedule));
        let pointer = at.as_str().to_owned();
        Self { pointer, deny, approval, pin, schedule, checks: Checks::new(policy, policy_at, document.checks) }
    }
}

impl Checks {
    pub(super) fn has_waits(&self) -> bool {
        self.require_approval.iter().any(|rule| rule.terms.wait_seconds.is_some())
    }

    fn new(policy: &str, policy_at: &Pointer, document: document::Checks) -> Self {
        let at = document.at.within(policy_at);
        let rules = |list: List, rules: Vec<rules::Rule>| -> Vec<Rule> {
            rules.into_iter().map(|rule| Rule::new(&at.child(list.as_str()), list, rule)).collect()
        };
        let (require, deny_if) = (rules(List::Require, document.require), rules(List::DenyIf, document.deny_if));
        let require_approval = rules(List::RequireApproval, document.require_approval);
        let limits = document.limits.into_iter().chain(document.rate_limits);
        let limits: Vec<Limit> = limits.map(|limit| Limit::new(policy, policy_at, limit)).collect();
        let reads = |wanted: fn(&Path) -> bool| {
            let mut rules = require.iter().chain(&deny_if).chain(&require_approval);
            rules.any(|rule| rule.conditions.iter().any(|condition| condition.reads(wanted)))
        };
        Self {
            is_shadow: document.is_shadow,
            reads_arguments: reads(Path::is_in_arguments) || limits.iter().any(Limit::reads_arguments),
            reads_meta: reads(Path::is_in_meta),
            require,
            deny_if,
            require_approval,
            limits,
        }
    }
}

impl Rule {
    fn new(list: &Pointer, list_kind: List, rule: rules::Rule) -> Self {
        let pointer = list.child(&rule.name).as_str().to_owned();
        let label = if rule.has_id { &rule.name } else { &pointer };
        let message = match (rule.on_deny, list_kind) {
            (Some(text), List::RequireApproval) => format!("Approval required: {text}"),
            (Some(text), List::Require | List::DenyIf) => text,
            (None, List::RequireApproval) => format!("Approval required: rule \"{label}\""),
            (None, List::Require | List::DenyIf) => format!("Denied by rule \"{label}\""),
        };
        let terms = rule.terms;
        Self { message, conditions: rule.conditions, is_shadow: rule.is_shadow, pointer, terms }
    }
}

impl Policy {
    /// Compiles the document `value` that stands at `at`, for the counters of `name`.
    pub fn compile(name: &str, value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Self> {
        let mut found = Problems::default();
        let document = Document::read(value, at, &mut found);
        let is_sound = found.is_empty();
        problems.append(found);
        let document = document.filter(|_| is_sound)?;
        let text = value.compact();
        Some(Self {
            name: name.to_owned(),
            version: version_of(&text),
            hide_unlisted: document.hide_unlisted,
            is_shadow: document.is_shadow,
            schedule: document.schedule,
            all_tools: Checks::new(name, at, document.all_tools),
            tools: Section::new(name, at, document.tools),
            prompts: Section::new(name, at, document.prompts),
            resources: Section::new(name, at, document.resources),
            methods: document.methods.map(|methods| Methods::new(at, methods)),
            tests: document.tests,
            document: text,
        })
    }

    /// Compiles a document that stands alone.
    ///
    /// # Errors
    /// Every problem of the document.
    pub fn load(name: &str, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let policy = match Value::parse(text) {
            Ok(value) => Self::compile(name, &value, &Pointer::root(), &mut problems),
            Err(error) => {
                problems.add(&Pointer::root(), error.to_string());
                None
            }
        };
        policy.ok_or(problems)
    }

    /// Reports each limit that a rate limit service cannot keep, and, where the service has the numbers of its own
    /// configuration (`one_maximum`), those that give one counter two maxima.
    pub fn check_for_service(&self, one_maximum: bool, problems: &mut Problems) {
        self.limits().for_each(|limit| limit.check_kept(problems));
        if one_maximum {
            service::check_maxima(self.limits(), problems);
        }
    }

    /// The counters of all limits that a rate limit service can keep, in the order of the document's sections.
    #[must_use]
    pub fn counter_families(&self) -> Vec<CounterFamily> {
        let shared = self.all_tools.limits.iter().flat_map(|limit| limit.families(Feature::Tool));
        let sections = [Feature::Tool, Feature::Prompt, Feature::Resource].into_iter().flat_map(|feature| {
            let limits = self.section(feature).entries.iter().flat_map(|entry| &entry.checks.limits);
            limits.flat_map(move |limit| limit.families(feature))
        });
        shared.chain(sections).collect()
    }

    pub(super) fn limits(&self) -> impl Iterator<Item = &Limit> {
        let sections = [&self.tools, &self.prompts, &self.resources].into_iter();
        let entries = sections.flat_map(|section| section.entries.iter()).map(|entry| &entry.checks);
        entries.chain([&self.all_tools]).flat_map(|checks| &checks.limits)
    }

    pub(super) fn section(&self, feature: Feature) -> &Section {
        match feature {
            Feature::Tool => &self.tools,
            Feature::Prompt => &self.prompts,
            Feature::Resource => &self.resources,
        }
    }

    /// As [`Self::load`], for bytes that may be no text.
    ///
    /// # Errors
    /// Every problem of the document.
    pub fn load_bytes(name: &str, bytes: &[u8]) -> Result<Self, Problems> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Self::load(name, text);
        }
        let mut problems = Problems::default();
        problems.add(&Pointer::root(), "not JSON: not UTF-8");
        Err(problems)
    }

    /// The tests that stand in the document, taken out: a policy in force has no use for them.
    #[must_use]
    pub fn take_tests(&mut self) -> Vec<Case> {
        std::mem::take(&mut self.tests)
    }

    /// The document as it was written, without blanks, taken out for the same reason.
    #[must_use]
    pub fn take_document(&mut self) -> String {
        std::mem::take(&mut self.document)
    }

    /// The name that its counters belong to.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first 12 hex digits of the SHA-256 of the document written without blanks.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

fn version_of(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
