//! Decide: [`Policy`] × [`Query`] × [`Store`] → [`Decision`], in the one order that `docs/policy.md` gives.

use super::compile::{Checks, Entry, Policy, Rule, Section};
use super::condition::{Side, View, all_hold};
use super::decision::{Decision, Finding, Listed, Outcome, Terms, rule};
use super::document::Default;
use super::limit::Refusal;
use super::query::{Query, Target};
use super::reservation::{Reservation, reserve};
use super::schedule::Schedule;
use super::store::{Store, Unavailable};
use super::trace::{Trace, Untraced, Verdict};
use super::trees::Trees;
use crate::wire::json::Raw;
use crate::wire::mcp::Feature;
use crate::wire::tree::NoTree;

/// The rule of the policy's own schedule.
pub(super) const SCHEDULE: &str = "/schedule";

/// Why a call cannot be judged: the arguments a rule reads have no single reading.
const AMBIGUOUS: &str = "Invalid Request: `arguments` has members whose names are equal or differ only in case";

/// Step 14.
const INTERNAL: &str = "Internal policy error";

/// Names a resource, and is judged as a method only: refusing it would leave the subscription running.
const ASKS_FOR_LESS: &str = "resources/unsubscribe";

impl Policy {
    /// Judges one message: its method, then what it reaches. A call that goes on has spent a hit of each
    /// limit that applies.
    pub fn decide(&self, query: &Query<'_>, store: &mut dyn Store) -> Decision<'_> {
        self.explain(query, store, &mut Untraced)
    }

    /// As [`Self::decide`], and tells `trace` each step.
    pub fn explain(&self, query: &Query<'_>, store: &mut dyn Store, trace: &mut dyn Trace) -> Decision<'_> {
        let mut notes = Notes { shadow: None, trace };
        // Step 4.
        if let Some(methods) = &self.methods {
            if let Some(finding) = methods.refuses(query.method) {
                return self.refuse(finding, notes);
            }
            methods.default_deny().into_iter().for_each(|rule| notes.passes(rule));
        }
        let target = query.target.filter(|_| query.method != ASKS_FOR_LESS);
        let Some(target) = target else { return Decision::passed(Reservation::default(), None) };
        let section = self.section(target.feature);
        // Step 5.
        if section.hides(target.name) {
            let finding = Finding::new(rule::HIDDEN, format!("{} is hidden by policy", target.subject()));
            return self.refuse(finding, notes);
        }
        if !section.hide.is_empty() {
            notes.passes(rule::HIDDEN);
        }
        self.decide_entry(section.entries.get(target.name), target, query, store, notes)
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

    /// Judges a message that reaches what is hidden as if no server had such a thing and no rule named it: what its
    /// name has in common with others still counts. The caller learns only what a wrong guess would have told.
    pub fn decide_as_unknown(&self, query: &Query<'_>, store: &mut dyn Store) -> Decision<'_> {
        let Some(target) = query.target else { return Decision::passed(Reservation::default(), None) };
        let entry = self.section(target.feature).entries.get_pattern(target.name);
        self.decide_entry(entry, target, query, store, Notes { shadow: None, trace: &mut Untraced })
    }

    /// Judges a request that the server makes of its client.
    #[must_use]
    pub fn decide_server_request(&self, method: &str) -> Decision<'_> {
        match self.methods.as_ref().and_then(|methods| methods.refuses(method)) {
            Some(finding) => self.refuse(finding, Notes { shadow: None, trace: &mut Untraced }),
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
        mut notes: Notes<'p, '_>,
    ) -> Decision<'p> {
        notes.trace.entry(entry.map(|entry| entry.pointer.as_str()));
        let section = self.section(target.feature);
        let own = entry.map(|entry| &entry.checks);
        let shared = (target.feature == Feature::Tool).then_some(&self.all_tools);
        let is_shadow = own.is_some_and(|checks| checks.is_shadow);
        let default_deny = (section.default == Default::Deny).then_some(rule::DEFAULT_DENY);
        let schedule = self.schedule.as_ref().map(|_| SCHEDULE);
        let own_schedule = entry.and_then(|entry| entry.schedule.as_ref()).map(|(pointer, _)| pointer.as_str());
        let pin = entry.and_then(|entry| entry.pin.as_ref()).map(|pinned| pinned.rule.as_str());
        // Steps 6, 7, 8 and 9.
        for (rule, finding, is_noted) in [
            (default_deny, section.refuses_by_name(entry, target), is_shadow),
            (pin, entry.and_then(|entry| entry.has_changed(target, store)), is_shadow),
            (schedule, self.is_out_of_hours(target, query), false),
            (own_schedule, entry.and_then(|entry| entry.is_out_of_hours(target, query)), is_shadow),
        ] {
            match finding {
                None => rule.into_iter().for_each(|rule| notes.passes(rule)),
                Some(finding) if is_noted => notes.note(finding),
                Some(finding) => return self.refuse(finding, notes),
            }
        }
        // Steps 10 and 11.
        let trees = match Trees::read(query, own.into_iter().chain(shared)) {
            Ok(trees) => trees,
            Err(NoTree::Ambiguous | NoTree::Json(_)) => {
                return notes.malformed();
            }
        };
        let view = trees.view(query);
        for checks in own.into_iter().chain(shared) {
            match checks.refuses(&view, &mut notes) {
                Ok(None) => {}
                Ok(Some(finding)) => return self.refuse(finding, notes),
                Err(Misread) => return notes.malformed(),
            }
        }
        // Step 12.
        match needs_approval(entry, shared, target, &view, &mut notes) {
            Ok(None) => {}
            Ok(Some((finding, _))) if query.approved == Some(finding.rule) => notes.passes(finding.rule),
            Ok(Some((finding, _))) if self.is_shadow => return self.refuse(finding, notes),
            Ok(Some((finding, terms))) => {
                notes.trace.step(finding.rule, Verdict::Decided);
                return Decision::unapproved(finding, terms, notes.shadow);
            }
            Err(Misread) => return notes.malformed(),
        }
        // Step 13.
        // A refusal that comes later cannot pass through `refuse`.
        let defers_shadow = query.defers_limits && self.is_shadow;
        let query = &Query { tells_budgets: query.tells_budgets && !self.is_shadow, ..*query };
        let limits = own.into_iter().chain(shared);
        let limits =
            limits.flat_map(|checks| checks.limits.iter().map(|limit| (limit, checks.is_shadow || defers_shadow)));
        match reserve(limits, query, trees.arguments.as_ref(), store, notes.trace) {
            Ok((reservation, noted)) => {
                let noted = noted.map(|limit| Finding::new(&limit.rule, limit.words(query)));
                Decision::passed(reservation, notes.shadow.or(noted))
            }
            Err((refusal, noted)) => {
                let noted = noted.map(|limit| Finding::new(&limit.rule, limit.words(query)));
                notes.shadow = notes.shadow.or(noted);
                self.refuse_unreserved(refusal, notes)
            }
        }
    }

    /// A limit has refused, or could not be judged.
    fn refuse_unreserved<'p>(&self, refusal: Refusal<'p>, notes: Notes<'p, '_>) -> Decision<'p> {
        match refusal {
            Refusal::Spent(limit, words, budget) => {
                let decision = self.refuse(Finding::new(&limit.rule, words), notes);
                Decision { budget: (!decision.outcome.goes_on()).then_some(budget), ..decision }
            }
            Refusal::NoAmount(limit, path) => {
                self.refuse(Finding::new(&limit.rule, format!("Missing or invalid amount at \"{path}\"")), notes)
            }
            Refusal::Misspelt => notes.malformed(),
            // Step 14.
            Refusal::Uncertain => self.refuse(Finding::new(rule::ERROR, INTERNAL), notes),
        }
    }

    fn is_out_of_hours<'p>(&'p self, target: Target<'_>, query: &Query<'_>) -> Option<Finding<'p>> {
        out_of_hours(SCHEDULE, self.schedule.as_ref()?, target, query)
    }

    /// A refusal that is enforced, unless the whole policy is in shadow mode.
    fn refuse<'p>(&self, finding: Finding<'p>, notes: Notes<'p, '_>) -> Decision<'p> {
        if self.is_shadow {
            notes.trace.step(finding.rule, Verdict::Noted);
            return Decision::passed(Reservation::default(), Some(notes.shadow.unwrap_or(finding)));
        }
        notes.trace.step(finding.rule, Verdict::Decided);
        Decision::denied(finding, notes.shadow)
    }

    /// Whether this may stand in a list that a server gives. INVARIANT: what is not visible is refused when
    /// asked for.
    #[must_use]
    pub fn visible(&self, feature: Feature, name: &str) -> bool {
        let section = self.section(feature);
        let unlisted = || section.default == Default::Deny && section.entries.get(name).is_none();
        self.is_shadow || !(section.hides(name) || self.hide_unlisted && unlisted())
    }

    /// Whether what a server lists under `name` may stand there. What it shows of a pinned tool is noted in `store`: calls
    /// are judged by it.
    pub fn lists(&self, feature: Feature, name: &str, definition: Raw<'_>, store: &mut dyn Store) -> Listed<'_> {
        if !self.visible(feature, name) {
            return Listed::Hidden;
        }
        let section = self.section(feature);
        let entry = if section.has_pins { section.entries.get(name) } else { None };
        match entry.and_then(|entry| Some((entry, entry.pin.as_ref()?))) {
            Some((entry, pinned)) if !pinned.holds(definition, store) => {
                Listed::Changed { rule: &pinned.rule, is_shadow: self.is_shadow || entry.checks.is_shadow }
            }
            _ => Listed::Visible,
        }
    }

    /// Whether any list may lose something.
    #[must_use]
    pub fn cuts_lists(&self) -> bool {
        let cuts = |section: &Section| {
            let unlisted = self.hide_unlisted && section.default == Default::Deny;
            !section.hide.is_empty() || unlisted || section.has_pins
        };
        !self.is_shadow && [&self.tools, &self.prompts, &self.resources].into_iter().any(cuts)
    }

    pub(crate) fn hides(&self, feature: Feature, name: &str) -> bool {
        self.section(feature).hides(name)
    }
}

impl Section {
    pub(super) fn hides(&self, name: &str) -> bool {
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
    notes: &mut Notes<'p, '_>,
) -> Result<Option<(Finding<'p>, Terms)>, Misread> {
    if let Some((entry, (pointer, reason))) = entry.and_then(|entry| Some((entry, entry.approval.as_ref()?))) {
        let text = reason.as_deref().unwrap_or(match target.feature {
            Feature::Tool => "this tool is called only with a person's consent",
            Feature::Prompt => "this prompt is used only with a person's consent",
            Feature::Resource => "this resource is read only with a person's consent",
        });
        let finding = Finding::new(pointer, format!("Approval required: {text}"));
        if !entry.checks.is_shadow {
            return Ok(Some((finding, Terms::default())));
        }
        notes.note(finding);
    }
    for checks in entry.map(|entry| &entry.checks).into_iter().chain(shared) {
        let rules = checks.require_approval.iter().map(|rule| (rule, Side::Deny));
        if let Some((rule, finding)) = checks.first_that_refuses(rules, view, notes)? {
            return Ok(Some((finding, Terms { timeout_seconds: rule.timeout_seconds })));
        }
    }
    Ok(None)
}

impl Entry {
    fn has_changed<'p>(&'p self, target: Target<'_>, store: &mut dyn Store) -> Option<Finding<'p>> {
        let pinned = self.pin.as_ref()?;
        match pinned.is_broken(store) {
            Ok(false) => None,
            Ok(true) => {
                let message = format!("{} has changed since it was approved", target.subject());
                Some(Finding::new(&pinned.rule, message))
            }
            Err(Unavailable) => Some(Finding::new(rule::ERROR, INTERNAL)),
        }
    }

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

/// What was found on the way to a decision.
struct Notes<'p, 't> {
    /// The first rule in shadow mode that would have refused.
    shadow: Option<Finding<'p>>,
    trace: &'t mut dyn Trace,
}

impl<'p> Notes<'p, '_> {
    fn passes(&mut self, rule: &str) {
        self.trace.step(rule, Verdict::Passed);
    }

    fn note(&mut self, finding: Finding<'p>) {
        self.trace.step(finding.rule, Verdict::Noted);
        self.shadow.get_or_insert(finding);
    }

    /// Step 1, noticed only when a rule reads the arguments; no shadow mode lets that pass.
    fn malformed(self) -> Decision<'p> {
        self.trace.step(rule::MALFORMED, Verdict::Decided);
        Decision::denied(Finding::new(rule::MALFORMED, AMBIGUOUS), self.shadow)
    }
}

/// A rule read a member that is there only in another case.
struct Misread;

impl Checks {
    /// The first rule that refuses; what is in shadow mode is noted and passed over.
    fn refuses<'p>(&'p self, view: &View<'_, '_>, notes: &mut Notes<'p, '_>) -> Result<Option<Finding<'p>>, Misread> {
        let require = self.require.iter().map(|rule| (rule, Side::Require));
        let deny_if = self.deny_if.iter().map(|rule| (rule, Side::Deny));
        let first = self.first_that_refuses(require.chain(deny_if), view, notes)?;
        Ok(first.map(|(_, finding)| finding))
    }

    fn first_that_refuses<'p>(
        &self,
        rules: impl Iterator<Item = (&'p Rule, Side)>,
        view: &View<'_, '_>,
        notes: &mut Notes<'p, '_>,
    ) -> Result<Option<(&'p Rule, Finding<'p>)>, Misread> {
        for (rule, side) in rules {
            let holds = all_hold(&rule.conditions, side, view).map_err(|_| Misread)?;
            if holds != (side == Side::Deny) {
                notes.passes(&rule.pointer);
                continue;
            }
            let finding = Finding::new(&rule.pointer, rule.message.as_str());
            if !(self.is_shadow || rule.is_shadow) {
                return Ok(Some((rule, finding)));
            }
            notes.note(finding);
        }
        Ok(None)
    }
}
