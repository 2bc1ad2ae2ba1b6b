//! Limits as the admin API writes them: how each count stands that can be named.

use super::force::{self, InForce};
use super::{Reply, Side, json, unavailable};
use crate::policy::{Policy, Standing, Store, amount};
use crate::timestamp::Timestamp;
use crate::wire::mcp::Feature;
use crate::wire::reply::string;
use std::rc::Rc;

/// Counts that are told.
const MAX_STANDINGS: usize = 1000;

pub(super) fn answer(side: &Side, now: Timestamp, store: &mut dyn Store) -> Reply {
    let Ok(in_force) = force::read(store) else { return unavailable() };
    if in_force.by_service {
        return json(200, r#"{"limits":[],"kept_by":"rate_limit_service"}"#.to_owned());
    }
    let policies = side.compiled(&in_force);
    let mut is_cut = in_force.is_cut || policies.len() < in_force.policies.len();
    let mut lines = Vec::new();
    for policy in policies {
        let callers = in_force.callers.iter().filter(|(_, name)| name == policy.name());
        let grants: Vec<&str> = callers.map(|(grant, _)| grant.as_str()).collect();
        match policy.standings(&grants, MAX_STANDINGS.saturating_sub(lines.len()), now, store) {
            Ok((standings, is_more)) => {
                lines.extend(standings.iter().map(|standing| line(&policy, standing)));
                is_cut |= is_more;
            }
            Err(_) => return unavailable(),
        }
    }
    let cut = if is_cut { r#","cut":true"# } else { "" };
    json(200, format!(r#"{{"limits":[{}]{cut}}}"#, lines.join(",")))
}

impl Side {
    /// The policies in force, compiled when they are new to this worker; without those whose documents are not told.
    fn compiled(&self, in_force: &InForce) -> Vec<Rc<Policy>> {
        let known = self.compiled.take();
        let policy = |told: &force::Told| {
            let same = |known: &&Rc<Policy>| known.name() == told.name && known.version() == told.version;
            let load = || Policy::load(&told.name, told.document.as_deref()?).ok().map(Rc::new);
            known.iter().find(same).cloned().or_else(load)
        };
        let policies: Vec<Rc<Policy>> = in_force.policies.iter().filter_map(policy).collect();
        self.compiled.replace(policies.clone());
        policies
    }
}

fn line(policy: &Policy, standing: &Standing) -> String {
    let Standing { rule, used, budget, scope, grant, target, of_continuations, is_shadow } = standing;
    let scope: Vec<String> = scope.iter().copied().map(string).collect();
    let scope = if scope.is_empty() { string("global") } else { scope.join(",") };
    let target = target.as_ref().map_or_else(String::new, |(feature, name)| {
        let kind = match feature {
            Feature::Tool => "tool",
            Feature::Prompt => "prompt",
            Feature::Resource => "resource",
        };
        format!(r#","{kind}":{}"#, string(name))
    });
    let flag = |is_set: bool, member: &str| if is_set { format!(r#","{member}":true"#) } else { String::new() };
    format!(
        r#"{{"policy":{},"rule":{},"counter":{},"window":{},"scope":[{scope}],"grant":{}{target},"limit":{},"used":{},"remaining":{},"reset_seconds":{}{}{}}}"#,
        string(policy.name()),
        string(rule),
        string(&budget.counter),
        string(&budget.window),
        grant.as_deref().map_or_else(|| "null".to_owned(), string),
        amount(budget.limit),
        amount(*used),
        amount(budget.remaining),
        budget.resets_in.map_or_else(|| "null".to_owned(), |seconds| seconds.to_string()),
        flag(*of_continuations, "continuations"),
        flag(*is_shadow, "shadow"),
    )
}
