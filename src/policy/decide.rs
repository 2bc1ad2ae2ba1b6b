//! Decide: [`Policy`] × [`Query`] × [`Store`] → [`Decision`], in the one order that `docs/policy.md` gives.

use super::compile::{Checks, Entry, Policy, Rule};
use super::condition::{Side, View, all_hold};
use super::decision::{Decision, Finding, rule};
use super::document::Default;
use super::limit::{Refusal, reserve};
use super::query::Query;
use super::schedule::Schedule;
use super::store::Store;
use super::trace::{Trace, Untraced, Verdict};
use crate::wire::tree::{NoTree, Tree};

/// The rule of the policy's own schedule.
pub(super) const SCHEDULE: &str = "/schedule";

/// Why a call cannot be judged: the arguments a rule reads have no single reading.
const AMBIGUOUS: &str = "Invalid Request: `arguments` has members whose names are equal or differ only in case";

impl Policy {
    /// Judges one `tools/call`. A call that goes on has spent a hit of each limit that applies.
    pub fn decide(&self, query: &Query<'_>, store: &mut dyn Store) -> Decision<'_> {
        self.explain(query, store, &mut Untraced)
    }

    /// As [`Self::decide`], and tells `trace` each step.
    pub fn explain(&self, query: &Query<'_>, store: &mut dyn Store, trace: &mut dyn Trace) -> Decision<'_> {
        let tool = query.tool;
        let mut notes = Notes { shadow: None, trace };
        // Step 5.
        if self.hides(tool) {
            let finding = Finding::new(rule::HIDDEN, format!("Tool \"{tool}\" is hidden by policy"));
            return self.refuse(finding, notes);
        }
        if !self.hide.is_empty() {
            notes.passes(rule::HIDDEN);
        }
        self.decide_entry(self.tools.get(tool), query, store, notes)
    }

    /// Judges a call of a hidden tool as if no server had such a tool and no rule named it: what its name
    /// has in common with others still counts. The caller learns only what a wrong guess would have told.
    pub fn decide_as_unknown(&self, query: &Query<'_>, store: &mut dyn Store) -> Decision<'_> {
        let entry = self.tools.get_pattern(query.tool);
        self.decide_entry(entry, query, store, Notes { shadow: None, trace: &mut Untraced })
    }

    fn decide_entry<'p>(
        &'p self,
        entry: Option<&'p Entry>,
        query: &Query<'_>,
        store: &mut dyn Store,
        mut notes: Notes<'p, '_>,
    ) -> Decision<'p> {
        notes.trace.entry(entry.map(|entry| entry.pointer.as_str()));
        let own = entry.map(|entry| &entry.checks);
        let is_shadow = own.is_some_and(|checks| checks.is_shadow);
        let default_deny = (self.default == Default::Deny).then_some(rule::DEFAULT_DENY);
        let schedule = self.schedule.as_ref().map(|_| SCHEDULE);
        let own_schedule = entry.and_then(|entry| entry.schedule.as_ref()).map(|(pointer, _)| pointer.as_str());
        // Steps 6, 7 and 9.
        for (rule, finding, is_noted) in [
            (default_deny, self.refuses_by_name(entry, query.tool), is_shadow),
            (schedule, self.is_out_of_hours(query), false),
            (own_schedule, entry.and_then(|entry| entry.is_out_of_hours(query)), is_shadow),
        ] {
            match finding {
                None => rule.into_iter().for_each(|rule| notes.passes(rule)),
                Some(finding) if is_noted => notes.note(finding),
                Some(finding) => return self.refuse(finding, notes),
            }
        }
        // Steps 10 and 11.
        let trees = match Trees::read(query, own.into_iter().chain([&self.all_tools])) {
            Ok(trees) => trees,
            Err(NoTree::Ambiguous | NoTree::Json(_)) => {
                return notes.malformed();
            }
        };
        let view = trees.view(query);
        for checks in own.into_iter().chain([&self.all_tools]) {
            match checks.refuses(&view, &mut notes) {
                Ok(None) => {}
                Ok(Some(finding)) => return self.refuse(finding, notes),
                Err(Misread) => return notes.malformed(),
            }
        }
        // Step 12.
        match self.needs_approval(entry, &view, &mut notes) {
            Ok(None) => {}
            Ok(Some(finding)) if self.is_shadow => return self.refuse(finding, notes),
            Ok(Some(finding)) => {
                notes.trace.step(finding.rule, Verdict::Decided);
                return Decision::unapproved(finding, notes.shadow);
            }
            Err(Misread) => return notes.malformed(),
        }
        // Step 13.
        let limits = own.into_iter().chain([&self.all_tools]);
        let limits = limits.flat_map(|checks| checks.limits.iter().map(|limit| (limit, checks.is_shadow)));
        match reserve(limits, query, trees.arguments.as_ref(), store, notes.trace) {
            Ok((reservation, noted)) => {
                let noted = noted.map(|limit| Finding::new(&limit.rule, limit.message.as_str()));
                Decision::passed(reservation, notes.shadow.or(noted))
            }
            Err(Refusal::Spent(limit)) => self.refuse(Finding::new(&limit.rule, limit.message.as_str()), notes),
            Err(Refusal::NoAmount(limit, path)) => {
                self.refuse(Finding::new(&limit.rule, format!("Missing or invalid amount at \"{path}\"")), notes)
            }
            Err(Refusal::Misspelt) => notes.malformed(),
            // Step 14.
            Err(Refusal::Uncertain) => self.refuse(Finding::new(rule::ERROR, "Internal policy error"), notes),
        }
    }

    fn refuses_by_name<'p>(&self, entry: Option<&'p Entry>, tool: &str) -> Option<Finding<'p>> {
        let Some(entry) = entry else {
            let message = || format!("Tool \"{tool}\" is not permitted by policy");
            return (self.default == Default::Deny).then(|| Finding::new(rule::DEFAULT_DENY, message()));
        };
        let (pointer, reason) = entry.deny.as_ref()?;
        Some(match reason {
            Some(reason) => Finding::new(pointer, reason),
            None => Finding::new(pointer, format!("Tool \"{tool}\" is denied by policy")),
        })
    }

    /// What a person must approve: by the entry's action, its rules, or those of all tools.
    fn needs_approval<'p>(
        &'p self,
        entry: Option<&'p Entry>,
        view: &View<'_, '_>,
        notes: &mut Notes<'p, '_>,
    ) -> Result<Option<Finding<'p>>, Misread> {
        if let Some((entry, (pointer, reason))) = entry.and_then(|entry| Some((entry, entry.approval.as_ref()?))) {
            let text = reason.as_deref().unwrap_or("this tool is called only with a person's consent");
            let finding = Finding::new(pointer, format!("Approval required: {text}"));
            if !entry.checks.is_shadow {
                return Ok(Some(finding));
            }
            notes.note(finding);
        }
        for checks in entry.map(|entry| &entry.checks).into_iter().chain([&self.all_tools]) {
            let rules = checks.require_approval.iter().map(|rule| (rule, Side::Deny));
            if let Some(finding) = checks.first_that_refuses(rules, view, notes)? {
                return Ok(Some(finding));
            }
        }
        Ok(None)
    }

    fn is_out_of_hours<'p>(&'p self, query: &Query<'_>) -> Option<Finding<'p>> {
        out_of_hours(SCHEDULE, self.schedule.as_ref()?, query)
    }

    /// A refusal that is enforced, unless the whole policy is in shadow mode.
    fn refuse<'p>(&self, finding: Finding<'p>, notes: Notes<'p, '_>) -> Decision<'p> {
        if self.is_shadow {
            notes.trace.step(finding.rule, Verdict::Noted);
            return Decision::passed(super::limit::Reservation::default(), Some(notes.shadow.unwrap_or(finding)));
        }
        notes.trace.step(finding.rule, Verdict::Decided);
        Decision::denied(finding, notes.shadow)
    }

    /// Whether a tool may stand in a `tools/list` answer. INVARIANT: what is not visible is refused when
    /// called.
    #[must_use]
    pub fn visible(&self, tool: &str) -> bool {
        let unlisted = || self.default == Default::Deny && self.tools.get(tool).is_none();
        self.is_shadow || !(self.hides(tool) || self.hide_unlisted && unlisted())
    }

    pub(crate) fn hides(&self, tool: &str) -> bool {
        self.hide.get(tool).is_some()
    }
}

impl Entry {
    fn is_out_of_hours<'p>(&'p self, query: &Query<'_>) -> Option<Finding<'p>> {
        let (pointer, schedule) = self.schedule.as_ref()?;
        out_of_hours(pointer, schedule, query)
    }
}

fn out_of_hours<'p>(pointer: &'p str, schedule: &'p Schedule, query: &Query<'_>) -> Option<Finding<'p>> {
    if schedule.permits(query.now) {
        return None;
    }
    Some(match &schedule.on_deny {
        Some(message) => Finding::new(pointer, message.as_str()),
        None => Finding::new(pointer, format!("Tool \"{}\" is not permitted at this time", query.tool)),
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
        self.first_that_refuses(require.chain(deny_if), view, notes)
    }

    fn first_that_refuses<'p>(
        &self,
        rules: impl Iterator<Item = (&'p Rule, Side)>,
        view: &View<'_, '_>,
        notes: &mut Notes<'p, '_>,
    ) -> Result<Option<Finding<'p>>, Misread> {
        for (rule, side) in rules {
            let holds = all_hold(&rule.conditions, side, view).map_err(|_| Misread)?;
            if holds != (side == Side::Deny) {
                notes.passes(&rule.pointer);
                continue;
            }
            let finding = Finding::new(&rule.pointer, rule.message.as_str());
            if !(self.is_shadow || rule.is_shadow) {
                return Ok(Some(finding));
            }
            notes.note(finding);
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
            uri: None,
            facts: query.facts,
        }
    }
}
