//! Runs cases: a policy's expectations as data, by `mcp-policy test`, by `cargo test`, in wasm, and by the
//! plugin before it puts a policy in force.

mod facts;

use crate::policy::survey::Costs;
use crate::policy::{Decision, Fields, Listed, MemoryStore, Pointer, Policy, Principal, Problems, Query};
use crate::policy::{Store, Target, Trace, Untraced, Verdict, rule};
use crate::wire::json::Reader;
use crate::wire::mcp::{Feature, check_meta, takes_arguments};
use crate::wire::value::Value;
use facts::Stated;
use std::collections::BTreeSet;

pub use crate::policy::Upstream;
pub use crate::policy::case::{Call, CallCase, Case, Defaults, Element, ListCase};

/// Tests that one policy may hold.
pub const MAX_TESTS: usize = 1000;
/// What the tests of one policy may cost: for each call, its bytes times what its rules do for each of them.
/// All of it takes some tenths of a second on a laptop, and every worker spends it.
pub const MAX_TEST_WORK: u64 = 1 << 26;
/// Bytes that a call counts for beside its own.
const CALL_BYTES: usize = 64;

/// A file of cases, `NAME.cases.json` beside the policy `NAME.json`.
#[derive(Debug)]
pub struct CaseFile {
    /// Each starts with fresh counters.
    pub cases: Vec<Case>,
}

/// An expectation that does not hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which of the cases, from 0 on.
    pub index: usize,
    /// The case's name.
    pub case: String,
    /// What is not as expected; never empty.
    pub differences: Vec<Difference>,
}

/// One thing that is not as expected.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// The outcome, the rule, the message or the list.
    pub what: &'static str,
    /// As JSON; `None` where nothing was expected, and the finding only helps to understand the others.
    pub expected: Option<String>,
    /// As JSON.
    pub found: String,
}

/// The case's name, then a diff: `-` what was expected, `+` what was found.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.case)?;
        for Difference { what, expected, found } in &self.differences {
            if let Some(expected) = expected {
                write!(f, "\n  - {what}: {expected}")?;
            }
            write!(f, "\n  + {what}: {found}")?;
        }
        Ok(())
    }
}

/// Rules that decided a call, or would have but for shadow mode.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Coverage {
    touched: BTreeSet<String>,
}

impl Coverage {
    /// The rules of `policy` that no case made decide.
    #[must_use]
    pub fn untouched<'p>(&self, policy: &'p Policy) -> Vec<&'p str> {
        policy.rules().into_iter().filter(|rule| !self.touched.contains(*rule)).collect()
    }
}

impl Trace for Coverage {
    fn step(&mut self, rule: &str, verdict: Verdict) {
        match verdict {
            Verdict::Passed => {}
            Verdict::Noted | Verdict::Decided => {
                self.touched.insert(rule.to_owned());
            }
        }
    }
}

impl CaseFile {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// Every problem of the file, each with its pointer.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let (mut problems, root) = (Problems::default(), Pointer::root());
        let mut cases = Vec::new();
        match Value::parse(text) {
            Ok(value) => {
                if let Some(mut fields) = Fields::of(&value, &root, &mut problems) {
                    fields.require("cases", &mut problems);
                    cases = crate::policy::case::read_cases(&mut fields, "cases", &mut problems);
                    fields.finish(&mut problems);
                }
            }
            Err(error) => problems.add(&root, error.to_string()),
        }
        if problems.is_empty() { Ok(Self { cases }) } else { Err(problems) }
    }

    /// Every case that `policy` does not fulfil.
    #[must_use]
    pub fn run(&self, policy: &Policy) -> Vec<Failure> {
        run(&self.cases, policy, &mut Untraced)
    }
}

/// Every one of `cases` that `policy` does not fulfil.
pub fn run(cases: &[Case], policy: &Policy, trace: &mut dyn Trace) -> Vec<Failure> {
    let failure = |(index, case): (usize, &Case)| {
        let differences = match case {
            Case::Call(call) => call.run(policy, trace),
            Case::List(list) => list.run(policy, trace),
        };
        let case = case.name().to_owned();
        (!differences.is_empty()).then_some(Failure { index, case, differences })
    };
    cases.iter().enumerate().filter_map(failure).collect()
}

/// Runs the tests that stand in the policy at `at`, and notes each that fails. Bounded by [`MAX_TESTS`] and
/// [`MAX_TEST_WORK`]: tests past either are a problem, not skipped.
pub fn run_own(cases: &[Case], policy: &Policy, at: &Pointer, problems: &mut Problems) {
    let at = at.child("tests");
    if cases.len() > MAX_TESTS {
        return problems.add(&at, format!("tests must be at most {MAX_TESTS}, got {}", cases.len()));
    }
    let (mut work, mut costs): (u64, _) = (0, Costs::new(policy));
    for (index, case) in cases.iter().enumerate() {
        work = work.saturating_add(case.work(&mut costs));
        if work > MAX_TEST_WORK {
            let message = "the tests up to this one are too much work to run whenever a configuration is loaded; \
                           keep large ones in NAME.cases.json";
            return problems.add(&at.child(index), message);
        }
    }
    for Failure { index, case, differences } in run(cases, policy, &mut Untraced) {
        let difference = |Difference { what, expected, found }: &Difference| {
            let expected = expected.as_ref().map(|expected| format!(", expected {expected}"));
            format!("{what} is {found}{}", expected.unwrap_or_default())
        };
        let differences: Vec<String> = differences.iter().map(difference).collect();
        let case = Value::String(case);
        problems.add(&at.child(index), format!("test {case} fails: {}", differences.join("; ")));
    }
}

impl Case {
    /// In the unit of [`MAX_TEST_WORK`].
    fn work(&self, costs: &mut Costs<'_>) -> u64 {
        let mut work = |calls: u32, target: Option<Target<'_>>, size: usize| {
            let name = target.map_or(0, |target| target.name.len());
            let one = costs.of(target).saturating_mul(CALL_BYTES.saturating_add(name).saturating_add(size));
            u64::from(calls).saturating_mul(u64::try_from(one).unwrap_or(u64::MAX))
        };
        let of_list =
            |list: &[Element], feature: Feature, work: &mut dyn FnMut(u32, Option<Target<'_>>, usize) -> u64| {
                list.iter().fold(0, |sum: u64, element| {
                    let size = element.definition.as_ref().map_or(0, String::len);
                    sum.saturating_add(work(1, Some(Target { feature, name: &element.name }), size))
                })
            };
        match self {
            Self::Call(case) => {
                let listed = of_list(&case.listed, Feature::Tool, &mut work);
                let calls = case.after.iter().chain([&case.call]);
                calls.fold(listed, |sum: u64, call| sum.saturating_add(work(call.times, call.target(), call.size())))
            }
            Self::List(case) => of_list(&case.list, case.of, &mut work),
        }
    }
}

impl Call {
    /// In bytes, about: what its rules may have to look through.
    fn size(&self) -> usize {
        let raw = [&self.arguments, &self.meta].into_iter().flatten().map(String::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        let claims = self.claims.iter().map(|claims| claims.compact().len());
        self.method().len() + raw.chain(headers).chain(claims).sum::<usize>()
    }

    /// Makes the call once: judges it, and gives back what it spent if the server's answer says so.
    pub fn make<'p>(&self, policy: &'p Policy, store: &mut dyn Store, trace: &mut dyn Trace) -> Decision<'p> {
        let principal = Principal { grant: self.grant.clone(), session: self.session.clone() };
        let raw = |text| Reader::new(text).value().ok();
        let meta = self.meta.as_deref().and_then(raw);
        if let Some(Err(reason)) = meta.map(check_meta) {
            trace.step(rule::MALFORMED, Verdict::Decided);
            return Decision::malformed(format!("Invalid Request: {reason}"));
        }
        let arguments = self.arguments.as_deref().filter(|_| takes_arguments(self.method()));
        let query = Query {
            principal: &principal,
            method: self.method(),
            target: self.target(),
            arguments: arguments.and_then(raw),
            continues: self.continues,
            defers_limits: false,
            tells_budgets: false,
            approved: None,
            meta,
            now: self.at,
            facts: &Stated(self),
        };
        let mut decision = policy.explain(&query, store, trace);
        if decision.outcome.goes_on() && self.upstream.refunds() {
            std::mem::take(&mut decision.reservation).refund(store);
        }
        decision
    }
}

impl CallCase {
    fn run(&self, policy: &Policy, trace: &mut dyn Trace) -> Vec<Difference> {
        let mut store = MemoryStore::default();
        for element in &self.listed {
            element.shown(Feature::Tool, policy, &mut store, trace);
        }
        for call in &self.after {
            for _ in 0..call.times {
                call.make(policy, &mut store, trace);
            }
        }
        for _ in 1..self.call.times {
            self.call.make(policy, &mut store, trace);
        }
        let decision = self.call.make(policy, &mut store, trace);
        let text = |text: &str| Value::String(text.to_owned()).compact();
        let differs = |what, expected: Option<&str>, found: &str| {
            let expected = expected.filter(|expected| *expected != found)?;
            Some(Difference { what, expected: Some(text(expected)), found: text(found) })
        };
        let outcome = differs("outcome", Some(self.expect.as_str()), decision.outcome.as_str());
        let rule = differs("rule", self.rule.as_deref(), decision.rule);
        let message = differs("message", self.message.as_deref(), &decision.message);
        let mut differences: Vec<Difference> = [outcome, rule, message].into_iter().flatten().collect();
        // Another outcome raises the question which rule it comes from.
        if self.rule.is_none() && self.expect != decision.outcome {
            differences.push(Difference { what: "rule", expected: None, found: text(decision.rule) });
        }
        differences
    }
}

impl ListCase {
    fn run(&self, policy: &Policy, trace: &mut dyn Trace) -> Vec<Difference> {
        let mut store = MemoryStore::default();
        let visible = self.list.iter().filter(|element| element.shown(self.of, policy, &mut store, trace));
        let visible: Vec<&String> = visible.map(|element| &element.name).collect();
        if visible.iter().copied().eq(&self.visible) {
            return Vec::new();
        }
        let list = |names: &mut dyn Iterator<Item = &String>| {
            Value::Array(names.map(|name| Value::String(name.clone())).collect()).compact()
        };
        let (expected, found) = (list(&mut self.visible.iter()), list(&mut visible.into_iter()));
        vec![Difference { what: "visible", expected: Some(expected), found }]
    }
}

impl Element {
    /// Lets it pass in a list; whether a client sees it.
    pub fn shown(&self, of: Feature, policy: &Policy, store: &mut dyn Store, trace: &mut dyn Trace) -> bool {
        let definition = self.definition.as_deref().and_then(|text| Reader::new(text).value().ok());
        let listed = match definition {
            Some(definition) => policy.lists(of, &self.name, definition, store),
            None if policy.visible(of, &self.name) => Listed::Visible,
            None => Listed::Hidden,
        };
        match listed {
            Listed::Visible => return true,
            Listed::Hidden if policy.hides(of, &self.name) => trace.step(rule::HIDDEN, Verdict::Decided),
            Listed::Hidden => trace.step(rule::DEFAULT_DENY, Verdict::Decided),
            Listed::Changed { rule, is_shadow } => {
                trace.step(rule, if is_shadow { Verdict::Noted } else { Verdict::Decided });
                return is_shadow;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_holds_so_many_tests_and_no_more() {
        for (count, expected) in [(MAX_TESTS, ""), (MAX_TESTS + 1, "/tests: tests must be at most 1000, got 1001")] {
            let tests = vec![r#"{"name":"a","list":[],"visible":[]}"#; count].join(",");
            let text = format!(r#"{{"version":"1","default":"allow","tests":[{tests}]}}"#);
            let mut policy = Policy::load("test", &text).unwrap();
            let mut problems = Problems::default();
            run_own(&policy.take_tests(), &policy, &Pointer::root(), &mut problems);
            assert_eq!(problems.to_string(), expected);
            assert!(policy.take_tests().is_empty(), "a policy in force does not keep them");
        }
    }
}
