//! How limits stand, for a person who asks. Nothing is charged.

use super::budget::Budget;
use super::compile::{Checks, Policy};
use super::counter;
use super::document::Scope;
use super::facts::NoFacts;
use super::query::{Principal, Query, Target};
use super::store::{Store, Unavailable};
use crate::timestamp::Timestamp;
use crate::wire::mcp::Feature;

/// How one count of a limit stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Pointer to the limit.
    pub rule: String,
    /// What counts now, in millionths.
    pub used: u64,
    /// What is left, and of how much.
    pub budget: Budget,
    /// What tells its counts from each other; empty where everybody's calls count together.
    pub scope: Vec<&'static str>,
    /// Whose it is, where each grant has its own.
    pub grant: Option<String>,
    /// What it is of, where each tool, prompt or resource has its own.
    pub target: Option<(Feature, String)>,
    /// It counts the calls that go on with an earlier one.
    pub of_continuations: bool,
    /// It refuses nothing.
    pub is_shadow: bool,
}

impl Policy {
    /// How every count stands that can be named: of everybody, of each of these grants, and of what an entry names. Not
    /// those of sessions, nor of what a pattern fits. At most so many; `true` when there are more.
    ///
    /// # Errors
    /// When the store fails, or holds what is not ours.
    pub fn standings(
        &self,
        grants: &[&str],
        most: usize,
        now: Timestamp,
        store: &mut dyn Store,
    ) -> Result<(Vec<Standing>, bool), Unavailable> {
        let mut found = Vec::new();
        for Counted { checks, feature, names } in self.counted() {
            for limit in checks.limits.iter().filter(|limit| !limit.scope.contains(&Scope::Session)) {
                let has = |scope| limit.scope.contains(&scope);
                let grants = grants.iter().map(|grant| Some(*grant)).filter(|_| has(Scope::Grant));
                let grants: Vec<Option<&str>> = grants.chain((!has(Scope::Grant)).then_some(None)).collect();
                let names = names.iter().map(|name| Some(*name)).filter(|_| has(Scope::Tool));
                let names: Vec<Option<&str>> = names.chain((!has(Scope::Tool)).then_some(None)).collect();
                let kinds = if limit.has_continuations() { [false, true].as_slice() } else { &[false] };
                for (name, grant, continues) in names.iter().flat_map(|name| {
                    grants.iter().flat_map(move |grant| kinds.iter().map(move |continues| (*name, *grant, *continues)))
                }) {
                    if found.len() == most {
                        return Ok((found, true));
                    }
                    let principal = Principal { grant: grant.unwrap_or_default().to_owned(), session: None };
                    let query = Query {
                        principal: &principal,
                        method: "",
                        target: name.map(|name| Target { feature, name }),
                        arguments: None,
                        continues,
                        meta: None,
                        defers_limits: false,
                        tells_budgets: false,
                        approved: None,
                        now,
                        facts: &NoFacts,
                    };
                    let here = limit.here(0, &query);
                    let standing = counter::standing(&here.place, here.shared.as_ref(), &here.request, store)?;
                    let scope: Vec<&str> = limit.scope.iter().map(|scope| scope.as_str()).collect();
                    found.push(Standing {
                        rule: limit.rule.clone(),
                        used: standing.total,
                        budget: limit.budget(&query, standing.total, standing.resets_in),
                        scope,
                        grant: grant.map(str::to_owned),
                        target: name.map(|name| (feature, name.to_owned())),
                        of_continuations: continues,
                        is_shadow: limit.is_shadow || checks.is_shadow || self.is_shadow,
                    });
                }
            }
        }
        Ok((found, false))
    }

    /// What has limits: `all_tools`, then each entry.
    fn counted(&self) -> Vec<Counted<'_>> {
        let tools = self.tools.entries.named().filter_map(|(name, _)| name).collect();
        let mut all = vec![Counted { checks: &self.all_tools, feature: Feature::Tool, names: tools }];
        for feature in [Feature::Tool, Feature::Prompt, Feature::Resource] {
            let entries = self.section(feature).entries.named();
            all.extend(entries.map(|(name, entry)| Counted {
                checks: &entry.checks,
                feature,
                names: name.into_iter().collect(),
            }));
        }
        all
    }
}

/// A list of limits, and the names that are known of what they apply to.
struct Counted<'p> {
    checks: &'p Checks,
    feature: Feature,
    names: Vec<&'p str>,
}

#[cfg(test)]
mod tests {
    use super::super::store::MemoryStore;
    use super::*;

    const POLICY: &str = r#"{"version":"1","default":"allow",
        "all_tools":{"limits":[{"counter":"each","window":"hour","max":9,"scope":"tool"}]},
        "tools":{
            "a":{"limits":[
                {"counter":"own","window":"hour","max":2,"continuations":5},
                {"counter":"all","window":90,"max":10,"scope":"global","increment":3,"align":"rolling","mode":"shadow"},
                {"counter":"session","window":"session","max":1,"scope":"session"}]},
            "b*":{"limits":[{"counter":"fits","window":"day","max":4,"scope":["grant","tool"]}]}},
        "prompts":{"default":"allow","items":{"a":{"limits":[
            {"counter":"p","window":"month","max":1,"scope":["grant","tool"]}]}}}}"#;
    const NOW: Timestamp = Timestamp::from_millis(1_795_243_342_000);

    fn call(policy: &Policy, grant: &str, tool: &str, continues: bool, now: Timestamp, store: &mut MemoryStore) {
        let query = Query {
            principal: &Principal { grant: grant.to_owned(), session: Some("s".to_owned()) },
            method: "tools/call",
            target: Some(Target { feature: Feature::Tool, name: tool }),
            arguments: None,
            continues,
            meta: None,
            defers_limits: false,
            tells_budgets: false,
            approved: None,
            now,
            facts: &NoFacts,
        };
        assert!(policy.decide(&query, store).outcome.goes_on());
    }

    /// Rule, grant, target, of continuations, used, remaining.
    fn lines(found: &[Standing]) -> Vec<String> {
        let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let line = |standing: &Standing| {
            let Standing { rule, used, budget, grant, target, of_continuations, is_shadow, .. } = standing;
            let target = text(target.as_ref().map(|(_, name)| name.as_str()));
            let kind = format!("{}{}", if *of_continuations { "c" } else { "" }, if *is_shadow { "s" } else { "" });
            let (used, remaining) = (used / 1_000_000, budget.remaining / 1_000_000);
            format!("{rule} {} {target} {kind} {used} {remaining}", text(grant.as_deref()))
        };
        found.iter().map(line).collect()
    }

    #[test]
    fn each_count_that_can_be_named_stands_as_it_is_charged() {
        let policy = Policy::load("p", POLICY).unwrap();
        let mut store = MemoryStore::default();
        call(&policy, "g", "a", false, NOW, &mut store);
        call(&policy, "h", "a", true, NOW, &mut store);
        call(&policy, "g", "bb", false, NOW, &mut store);
        let mut ask = |grants: &[&str], most| policy.standings(grants, most, NOW, &mut store).unwrap();
        let expected = [
            "/all_tools/limits/each - a  2 7",
            "/tools/a/limits/own g -  1 1",
            "/tools/a/limits/own g - c 0 5",
            "/tools/a/limits/own h -  0 2",
            "/tools/a/limits/own h - c 1 4",
            "/tools/a/limits/all - - s 6 4",
            "/prompts/items/a/limits/p g a  0 1",
            "/prompts/items/a/limits/p h a  0 1",
        ];
        let (found, is_cut) = ask(&["g", "h"], 100);
        assert_eq!((lines(&found), is_cut), (expected.map(str::to_owned).to_vec(), false));
        assert_eq!(ask(&["g", "h"], 100), (found, false), "asking counts nothing");
        assert_eq!(lines(&ask(&[], 100).0).len(), 2, "of nobody only what everybody shares");
        let (found, is_cut) = ask(&["g", "h"], 3);
        assert_eq!((lines(&found).len(), is_cut), (3, true));
    }

    #[test]
    fn a_window_that_is_over_counts_no_more_and_a_rolling_one_by_its_share() {
        let policy = Policy::load("p", POLICY).unwrap();
        let mut store = MemoryStore::default();
        call(&policy, "g", "a", false, NOW, &mut store);
        let later = |seconds: u64| Timestamp::from_millis(NOW.millis() + 1000 * seconds);
        let (_, end) = super::super::window::Window::Hour.around(NOW.millis() / 1000);
        let mut own = |now: Timestamp| {
            let (found, _) = policy.standings(&["g"], 100, now, &mut store).unwrap();
            let find = |rule: &str| found.iter().find(|standing| standing.rule.ends_with(rule)).cloned().unwrap();
            (find("own"), find("all"))
        };
        let to_end = end - NOW.millis() / 1000;
        assert_eq!(own(NOW).0.budget.resets_in, Some(to_end));
        assert_eq!((own(NOW).0.used, own(later(to_end)).0.used), (1_000_000, 0));
        let share = own(later(100)).1.used;
        assert!(share > 0 && share < 3_000_000, "{share}");
    }

    #[test]
    fn what_is_not_ours_is_no_count() {
        let policy = Policy::load("p", POLICY).unwrap();
        let mut store = MemoryStore::default();
        for bucket in 0..4096 {
            store.set(format!("mcp-policy:c:{bucket}").as_bytes(), b"foreign").unwrap();
        }
        assert_eq!(policy.standings(&["g"], 100, NOW, &mut store), Err(Unavailable));
    }
}
