//! Decide: [`Policy`] × [`Query`] × [`Store`] → [`Decision`], in the one order that `docs/policy.md` gives.

use super::compile::{Checks, Entry, Policy, Rule, Section};
use super::condition::{Side, View, all_hold};
use super::decision::{Decision, Finding, Outcome, rule};
use super::document::Default;
use super::limit::{Refusal, Reservation, reserve};
use super::query::{Query, Target};
use super::schedule::Schedule;
use super::store::Store;
use crate::wire::mcp::Feature;
use crate::wire::tree::{NoTree, Tree};

/// Why a call cannot be judged: the arguments a rule reads have no single reading.
const AMBIGUOUS: &str = "Invalid Request: `arguments` has members whose names are equal or differ only in case";

/// Names a resource, and is judged as a method only: refusing it would leave the subscription running.
const ASKS_FOR_LESS: &str = "resources/unsubscribe";

impl Policy {
    /// Judges one message: its method, then what it reaches. A call that goes on has spent a hit of each
    /// limit that applies.
    pub fn decide(&self, query: &Query<'_>, store: &mut dyn Store) -> Decision<'_> {
        // Step 4.
        if let Some(finding) = self.methods.as_ref().and_then(|methods| methods.refuses(query.method)) {
            return self.refuse(finding, None);
        }
        let target = query.target.filter(|_| query.method != ASKS_FOR_LESS);
        let Some(target) = target else { return Decision::passed(Reservation::default(), None) };
        let section = self.section(target.feature);
        // Step 5.
        if section.hides(target.name) {
            let finding = Finding::new(rule::HIDDEN, format!("{} is hidden by policy", target.subject()));
            return self.refuse(finding, None);
        }
        self.decide_entry(section.entries.get(target.name), target, query, store)
    }

    /// Judges one message that reaches all of `targets`, in the place of the query's own: all must pass, or
    /// nothing is spent. Also returns the one that decided.
    pub fn decide_all<'t>(
        &self,
        query: &Query<'_>,
        targets: &[Target<'t>],
        store: &mut dyn Store,
    ) -> (Decision<'_>, Option<Target<'t>>) {
        let of = |target: Option<Target<'t>>, store: &mut dyn Store| self.decide(&Query { target, ..*query }, store);
        let Some((first, rest)) = targets.split_first() else { return (of(None, store), None) };
        let (mut whole, mut decisive) = (of(Some(*first), store), *first);
        for target in rest {
            if !whole.outcome.goes_on() {
                break;
            }
            let mut next = of(Some(*target), store);
            if !next.outcome.goes_on() {
                std::mem::take(&mut whole.reservation).refund(store);
            } else if whole.outcome == Outcome::ShadowDenied || next.outcome == Outcome::Allowed {
                whole.reservation.join(next.reservation);
                continue;
            } else {
                next.reservation.join(std::mem::take(&mut whole.reservation));
            }
            (whole, decisive) = (next, *target);
        }
        (whole, Some(decisive))
    }

    /// Judges a message that reaches what is hidden as if no server had such a thing and no rule named it:
    /// the caller learns from the answer only what a wrong guess would have told.
    pub fn decide_as_unknown(&self, query: &Query<'_>, store: &mut dyn Store) -> Decision<'_> {
        match query.target {
            Some(target) => self.decide_entry(None, target, query, store),
            None => Decision::passed(Reservation::default(), None),
        }
    }

    /// Judges a request that the server makes of its client.
    #[must_use]
    pub fn decide_server_request(&self, method: &str) -> Decision<'_> {
        match self.methods.as_ref().and_then(|methods| methods.refuses(method)) {
            Some(finding) => self.refuse(finding, None),
            None => Decision::passed(Reservation::default(), None),
        }
    }

    /// Whether any rule is about methods; without one, requests of the server need not be looked for.
    #[must_use]
    pub fn judges_methods(&self) -> bool {
        self.methods.is_some()
    }

    fn decide_entry<'p>(
        &'p self,
        entry: Option<&'p Entry>,
        target: Target<'_>,
        query: &Query<'_>,
        store: &mut dyn Store,
    ) -> Decision<'p> {
        let own = entry.map(|entry| &entry.checks);
        let shared = (target.feature == Feature::Tool).then_some(&self.all_tools);
        let is_shadow = own.is_some_and(|checks| checks.is_shadow);
        let mut shadow = None;
        // Steps 6, 7 and 9.
        for (finding, is_noted) in [
            (self.section(target.feature).refuses_by_name(entry, target), is_shadow),
            (self.is_out_of_hours(target, query), false),
            (entry.and_then(|entry| entry.is_out_of_hours(target, query)), is_shadow),
        ] {
            let Some(finding) = finding else { continue };
            if !is_noted {
                return self.refuse(finding, shadow);
            }
            shadow.get_or_insert(finding);
        }
        // Steps 10 and 11.
        let trees = match Trees::read(query, own.into_iter().chain(shared)) {
            Ok(trees) => trees,
            Err(NoTree::Ambiguous | NoTree::Json(_)) => {
                return Decision::denied(Finding::new(rule::MALFORMED, AMBIGUOUS), shadow);
            }
        };
        let view = trees.view(query);
        for checks in own.into_iter().chain(shared) {
            match checks.refuses(&view, &mut shadow) {
                Ok(None) => {}
                Ok(Some(finding)) => return self.refuse(finding, shadow),
                Err(Misread) => return Decision::denied(Finding::new(rule::MALFORMED, AMBIGUOUS), shadow),
            }
        }
        // Step 12.
        match needs_approval(entry, shared, target, &view, &mut shadow) {
            Ok(None) => {}
            Ok(Some(finding)) if self.is_shadow => return self.refuse(finding, shadow),
            Ok(Some(finding)) => return Decision::unapproved(finding, shadow),
            Err(Misread) => return Decision::denied(Finding::new(rule::MALFORMED, AMBIGUOUS), shadow),
        }
        // Step 13.
        let limits = own.into_iter().chain(shared);
        let limits = limits.flat_map(|checks| checks.limits.iter().map(|limit| (limit, checks.is_shadow)));
        match reserve(limits, query, trees.arguments.as_ref(), store) {
            Ok((reservation, noted)) => {
                let noted = noted.map(|limit| Finding::new(&limit.rule, limit.message.as_str()));
                Decision::passed(reservation, shadow.or(noted))
            }
            Err(Refusal::Spent(limit)) => self.refuse(Finding::new(&limit.rule, limit.message.as_str()), shadow),
            Err(Refusal::NoAmount(limit, path)) => {
                self.refuse(Finding::new(&limit.rule, format!("Missing or invalid amount at \"{path}\"")), shadow)
            }
            Err(Refusal::Misspelt) => Decision::denied(Finding::new(rule::MALFORMED, AMBIGUOUS), shadow),
            // Step 14.
            Err(Refusal::Uncertain) => self.refuse(Finding::new(rule::ERROR, "Internal policy error"), shadow),
        }
    }

    fn is_out_of_hours<'p>(&'p self, target: Target<'_>, query: &Query<'_>) -> Option<Finding<'p>> {
        out_of_hours("/schedule", self.schedule.as_ref()?, target, query)
    }

    /// A refusal that is enforced, unless the whole policy is in shadow mode.
    fn refuse<'p>(&self, finding: Finding<'p>, shadow: Option<Finding<'p>>) -> Decision<'p> {
        if self.is_shadow {
            return Decision::passed(Reservation::default(), Some(shadow.unwrap_or(finding)));
        }
        Decision::denied(finding, shadow)
    }

    /// Whether this may stand in a list that a server gives. INVARIANT: what is not visible is refused when
    /// asked for.
    #[must_use]
    pub fn visible(&self, feature: Feature, name: &str) -> bool {
        let section = self.section(feature);
        let unlisted = || section.default == Default::Deny && section.entries.get(name).is_none();
        self.is_shadow || !(section.hides(name) || self.hide_unlisted && unlisted())
    }
}

impl Section {
    fn hides(&self, name: &str) -> bool {
        self.hide.get(name).is_some()
    }

    fn refuses_by_name<'p>(&self, entry: Option<&'p Entry>, target: Target<'_>) -> Option<Finding<'p>> {
        let Some(entry) = entry else {
            let message = || format!("{} is not permitted by policy", target.subject());
            return (self.default == Default::Deny).then(|| Finding::new(rule::DEFAULT_DENY, message()));
        };
        let (pointer, reason) = entry.deny.as_ref()?;
        Some(match reason {
            Some(reason) => Finding::new(pointer, reason),
            None => Finding::new(pointer, format!("{} is denied by policy", target.subject())),
        })
    }
}

/// What a person must approve: by the entry's action, its rules, or those of all tools.
fn needs_approval<'p>(
    entry: Option<&'p Entry>,
    shared: Option<&'p Checks>,
    target: Target<'_>,
    view: &View<'_, '_>,
    shadow: &mut Option<Finding<'p>>,
) -> Result<Option<Finding<'p>>, Misread> {
    if let Some((entry, (pointer, reason))) = entry.and_then(|entry| Some((entry, entry.approval.as_ref()?))) {
        let text = reason.as_deref().unwrap_or(match target.feature {
            Feature::Tool => "this tool is called only with a person's consent",
            Feature::Prompt => "this prompt is used only with a person's consent",
            Feature::Resource => "this resource is read only with a person's consent",
        });
        let finding = Finding::new(pointer, format!("Approval required: {text}"));
        if !entry.checks.is_shadow {
            return Ok(Some(finding));
        }
        shadow.get_or_insert(finding);
    }
    for checks in entry.map(|entry| &entry.checks).into_iter().chain(shared) {
        let rules = checks.require_approval.iter().map(|rule| (rule, Side::Deny));
        if let Some(finding) = checks.first_that_refuses(rules, view, shadow)? {
            return Ok(Some(finding));
        }
    }
    Ok(None)
}

impl Entry {
    fn is_out_of_hours<'p>(&'p self, target: Target<'_>, query: &Query<'_>) -> Option<Finding<'p>> {
        let (pointer, schedule) = self.schedule.as_ref()?;
        out_of_hours(pointer, schedule, target, query)
    }
}

fn out_of_hours<'p>(
    pointer: &'p str,
    schedule: &'p Schedule,
    target: Target<'_>,
    query: &Query<'_>,
) -> Option<Finding<'p>> {
    if schedule.permits(query.now) {
        return None;
    }
    Some(match &schedule.on_deny {
        Some(message) => Finding::new(pointer, message.as_str()),
        None => Finding::new(pointer, format!("{} is not permitted at this time", target.subject())),
    })
}

/// A rule read a member that is there only in another case.
struct Misread;

impl Checks {
    /// The first rule that refuses; what is in shadow mode is noted and passed over.
    fn refuses<'p>(
        &'p self,
        view: &View<'_, '_>,
        shadow: &mut Option<Finding<'p>>,
    ) -> Result<Option<Finding<'p>>, Misread> {
        let require = self.require.iter().map(|rule| (rule, Side::Require));
        let deny_if = self.deny_if.iter().map(|rule| (rule, Side::Deny));
        self.first_that_refuses(require.chain(deny_if), view, shadow)
    }

    fn first_that_refuses<'p>(
        &self,
        rules: impl Iterator<Item = (&'p Rule, Side)>,
        view: &View<'_, '_>,
        shadow: &mut Option<Finding<'p>>,
    ) -> Result<Option<Finding<'p>>, Misread> {
        for (rule, side) in rules {
            let holds = all_hold(&rule.conditions, side, view).map_err(|_| Misread)?;
            if holds != (side == Side::Deny) {
                continue;
            }
            let finding = Finding::new(&rule.pointer, rule.message.as_str());
            if !(self.is_shadow || rule.is_shadow) {
                return Ok(Some(finding));
            }
            shadow.get_or_insert(finding);
        }
        Ok(None)
    }
}

/// The parts of a call that rules read, each only where one does.
#[derive(Default)]
struct Trees<'a> {
    arguments: Option<Tree<'a>>,
    meta: Option<Tree<'a>>,
}

impl<'a> Trees<'a> {
    fn read<'p>(query: &Query<'a>, mut checks: impl Iterator<Item = &'p Checks>) -> Result<Self, NoTree> {
        let (mut reads_arguments, mut reads_meta) = (false, false);
        for checks in &mut checks {
            reads_arguments |= checks.reads_arguments;
            reads_meta |= checks.reads_meta;
        }
        let tree = |wanted: bool, text: Option<_>| text.filter(|_| wanted).map(Tree::read).transpose();
        Ok(Self { arguments: tree(reads_arguments, query.arguments)?, meta: tree(reads_meta, query.meta)? })
    }

    fn view<'v>(&'v self, query: &Query<'v>) -> View<'v, 'a> {
        View {
            arguments: self.arguments.as_ref(),
            meta: self.meta.as_ref(),
            grant: &query.principal.grant,
            session: query.principal.session.as_deref(),
            uri: query.target.filter(|target| target.feature == Feature::Resource).map(|target| target.name),
            facts: query.facts,
        }
    }
}
