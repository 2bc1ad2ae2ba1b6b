//! Step 12: a call that a person must approve. Without an approval it waits for one and is refused with its id; with one it
//! goes on, once.

use super::presented::presented;
use super::{Headers, Reply, spent};
use crate::approvals::book::{self, Asking, Claim, Redeemed, Standing};
use crate::approvals::{Call, Entry, Id, NotBound, Shown, Unfit};
use crate::config::{Approvals, Settings};
use crate::policy::{Decision, Outcome, Policy, Query, Store, Target, rule};
use crate::record::bounded;
use crate::timestamp::Timestamp;
use crate::wire::blank::without_members;
use crate::wire::capabilities::shows_addresses;
use crate::wire::json::Raw;
use crate::wire::jsonrpc::POLICY_DENIED;
use crate::wire::mcp::CONTINUING;
use crate::wire::reply::{self, string};
use std::borrow::Cow;

/// The member of `_meta` and `data` that tells which approval is waited for.
const APPROVAL: &str = "mcp-policy/approval";
/// Why nobody can approve a call: what would be approved and what would go on might differ.
pub(super) const NOT_BOUND: &str = "it cannot be approved, because its arguments have more than one reading (numbers beyond 64-bit \
                         floats, members whose names differ only in case, text that is not valid Unicode)";
const INTERNAL: &str = "Internal policy error";
const FULL: &str = "Too many approved calls are still to be made. Try again later.";
const FULL_OF_TOKENS: &str = "Too many approval tokens were used. Try again later.";
const INVALID: &str = "it is not valid for this call (without it, the call can be approved here)";
const EXPIRED: &str = "it has expired (without it, the call can be approved here)";

/// A call that may need an approval.
pub(super) struct Sought<'p, 'q> {
    pub(super) policy: &'p Policy,
    pub(super) query: Query<'q>,
    /// All that it reaches.
    pub(super) targets: &'q [Target<'q>],
    /// See [`Named::rest`].
    pub(super) rest: &'q [(Cow<'q, str>, Raw<'q>)],
    /// The `_meta` of a client that may be asked to show its user an address.
    pub(super) asks: Option<Raw<'q>>,
    /// They may bring a token.
    pub(super) headers: &'q Headers,
}

/// What came of the approval that a call needs.
#[derive(Debug)]
pub(super) enum Approval {
    /// It needs none, or none can be given.
    Not,
    /// It needs one, and what it is cannot be told from another call.
    Impossible,
    /// It has one, and goes on; where that was given elsewhere, by the key of this name.
    Given(Claim, Option<String>),
    /// It waits.
    Pending(Waiting),
    /// A person has denied it.
    Denied(Id),
}

/// A call that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) entry: Entry,
    /// How long the call may be held for it, in seconds.
    wait_seconds: Option<u64>,
    /// The approval that gave way to this one.
    dropped: Option<Id>,
    /// Its client may be asked to show its user the address.
    shows_address: bool,
}

impl Approval {
    pub(super) fn claim(&self) -> Option<Claim> {
        match self {
            Self::Given(claim, _) => Some(*claim),
            Self::Not | Self::Impossible | Self::Pending(_) | Self::Denied(_) => None,
        }
    }

    pub(super) fn id(&self) -> Option<Id> {
        match self {
            Self::Not | Self::Impossible => None,
            Self::Given(claim, _) => Some(claim.id),
            Self::Pending(waiting) => Some(waiting.entry.id),
            Self::Denied(id) => Some(*id),
        }
    }

    pub(super) fn dropped(&self) -> Option<Id> {
        match self {
            Self::Pending(waiting) => waiting.dropped,
            Self::Not | Self::Impossible | Self::Given(..) | Self::Denied(_) => None,
        }
    }

    /// The name of the key that signed it.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Given(_, key) => key.as_deref(),
            Self::Not | Self::Impossible | Self::Pending(_) | Self::Denied(_) => None,
        }
    }
}

/// Another rule than the one that asks for the approval, and the words.
type NotTaken = (Option<&'static str>, Cow<'static, str>);

fn denied<'p>(decision: Decision<'p>, message: Cow<'p, str>) -> Decision<'p> {
    Decision { outcome: Outcome::Denied, message, ..decision }
}

impl Approvals {
    /// What becomes of a call that was decided like this: where it needs an approval and has one, it is decided `again`.
    pub(super) fn seek<'p>(
        &self,
        call: &Sought<'p, '_>,
        decision: Decision<'p>,
        store: &mut dyn Store,
        again: impl FnOnce(&Query<'_>, &mut dyn Store) -> Decision<'p>,
    ) -> (Decision<'p>, Approval) {
        let Some(terms) = decision.approval.filter(|_| decision.outcome == Outcome::ApprovalRequired) else {
            return (decision, Approval::Not);
        };
        let (digest, state) = call.digest(decision.rule);
        let Ok(digest) = digest else {
            return (decision, Approval::Impossible);
        };
        let query = &call.query;
        let now = query.now.millis();
        let approved = Some(decision.rule);
        let go_on = move |claim: Claim, key: Option<String>, store: &mut dyn Store| {
            let second = again(&Query { approved, ..*query }, store);
            if second.outcome.goes_on() {
                return (second, Approval::Given(claim, key));
            }
            claim.release(now, store);
            (second, Approval::Not)
        };
        match self.redeem(call, &digest, store) {
            Ok(None) => {}
            Ok(Some((claim, key))) => return go_on(claim, Some(key), store),
            Err((rule, message)) => {
                let rule = rule.unwrap_or(decision.rule);
                return (denied(Decision { rule, ..decision }, message), Approval::Not);
            }
        }
        let asking = Asking { digest, grant: query.principal.grant.clone(), timeout_seconds: terms.timeout_seconds };
        let shown = |id: &Id| self.show(call, id, decision.rule, &decision.message);
        match book::ask(&asking, now, store, shown) {
            Ok(Standing::Approved(claim)) => go_on(claim, None, store),
            Ok(Standing::Pending { entry, dropped, .. }) => {
                // Who comes back with our own state has shown it already.
                let shows_address = state.is_none() && call.asks.is_some_and(shows_addresses);
                let wait_seconds = terms.wait_seconds;
                (decision, Approval::Pending(Waiting { entry, wait_seconds, dropped, shows_address }))
            }
            Ok(Standing::Denied(id, note)) => {
                let why = note.filter(|note| !note.is_empty());
                let why = why.unwrap_or_else(|| "a person has denied this call".to_owned());
                (denied(decision, format!("Approval denied: {why}").into()), Approval::Denied(id))
            }
            Ok(Standing::Full) => (denied(Decision { rule: rule::ERROR, ..decision }, FULL.into()), Approval::Not),
            Err(_) => (denied(Decision { rule: rule::ERROR, ..decision }, INTERNAL.into()), Approval::Not),
        }
    }

    /// The right to make the call that its token gives, and the name of the key; `None` where it brings none that is for
    /// this proxy. INVARIANT: a call with a token that is not taken never goes on, and never waits.
    fn redeem(
        &self,
        call: &Sought<'_, '_>,
        digest: &[u8; 32],
        store: &mut dyn Store,
    ) -> Result<Option<(Claim, String)>, NotTaken> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let not_taken = |why: &str| (None, format!("Approval token refused: {why}").into());
        let Some(text) = presented(call.headers, call.query.meta).map_err(not_taken)? else { return Ok(None) };
        let now = call.query.now.millis();
        let (token, key) = self.keys.open(&text, digest, now).map_err(|unfit| match unfit {
            Unfit::Expired => not_taken(EXPIRED),
            Unfit::Invalid => not_taken(INVALID),
        })?;
        match book::redeem(&token, now, store) {
            Ok(Redeemed::Approved(claim)) => Ok(Some((claim, key.to_owned()))),
            Ok(Redeemed::Settled) => Err(not_taken(INVALID)),
            Ok(Redeemed::Full) => Err((Some(rule::ERROR), FULL_OF_TOKENS.into())),
            Err(_) => Err((Some(rule::ERROR), INTERNAL.into())),
        }
    }

    fn show(&self, call: &Sought<'_, '_>, id: &Id, rule: &str, reason: &str) -> Shown {
        let query = &call.query;
        let targets = call.targets.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
        let says_more = bounded(&targets) != targets || !call.rest.is_empty();
        let mut shown = Shown {
            id: id.to_string(),
            grant: bounded(&query.principal.grant),
            session: query.principal.session.as_deref().map(bounded),
            method: bounded(query.method),
            target: bounded(&targets),
            policy: call.policy.name().to_owned(),
            policy_version: call.policy.version().to_owned(),
            rule: bounded(rule),
            reason: bounded(reason),
            arguments: None,
            is_cut: false,
            says_more,
            note: None,
        };
        shown.take_arguments(query.arguments, &self.redaction);
        shown
    }

    fn shows(&self, waiting: &Waiting) -> bool {
        waiting.shows_address && self.url.is_some()
    }

    /// How long a call that waits is held, in seconds. Who can be shown the address is shown it first, and is held when it
    /// comes back.
    pub(super) fn wait_seconds(&self, waiting: &Waiting) -> Option<u64> {
        waiting.wait_seconds.filter(|_| !self.shows(waiting))
    }

    /// What a caller is told who has to wait. `id`: the raw token.
    pub(super) fn reply(
        &self,
        id: &str,
        is_call: bool,
        (rule, message): (&str, &str),
        waiting: &Waiting,
        settings: &Settings,
    ) -> Reply {
        let entry = &waiting.entry;
        let (name, expires) = (entry.id.to_string(), Timestamp::from_millis(entry.expires).to_string());
        let url = self.url.as_ref().map(|url| format!("{url}#{name}"));
        let place = url.as_ref().map_or(String::new(), |url| format!(" at {url}"));
        let text = format!(
            "{}{message} (ask a person to approve it{place} until {expires}, then repeat exactly this call; approval {name})",
            settings.deny_prefix
        );
        let is_shown = self.shows(waiting);
        let url = url.map_or("null".to_owned(), |url| string(&url));
        let data = format!(
            r#"{{"{APPROVAL}":{{"id":"{name}","url":{url},"expires_at":"{expires}"}},"{}":{}}}"#,
            spent::RULE,
            string(rule)
        );
        let body = if is_shown {
            input_required(id, message, &url, &name, &data)
        } else if is_call {
            reply::refused_call_with(id, &text, &data)
        } else {
            reply::error_with(id, POLICY_DENIED, &text, &data)
        };
        Reply { status: 200, headers: Vec::new(), body, details: "mcp_approval_required" }
    }
}

/// Asks the client to show its user the address, and then to go on (MCP 2026-07-28, multi round-trip requests and URL
/// mode elicitation). `url` and `data`: the texts of JSON values.
fn input_required(id: &str, message: &str, url: &str, name: &str, data: &str) -> Vec<u8> {
    let message = string(message);
    let asked = format!(
        r#"{{"approval":{{"method":"elicitation/create","params":{{"mode":"url","message":{message},"url":{url}}}}}}}"#
    );
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"input_required","inputRequests":{asked},"requestState":"{name}","_meta":{data}}}}}"#
    )
    .into_bytes()
}

impl Sought<'_, '_> {
    /// What the call is bound to, and the state by which it goes on after it was refused for want of an approval: that is
    /// no part of what a person approves.
    fn digest(&self, rule: &str) -> (Result<[u8; 32], NotBound>, Option<Id>) {
        let whole = || self.bound(rule, self.rest).digest();
        let Some(state) = own_state(self.rest) else { return (whole(), None) };
        let is_ours = |(name, _): &&(Cow<'_, str>, Raw<'_>)| CONTINUING.contains(&name.as_ref());
        let rest: Vec<_> = self.rest.iter().filter(|member| !is_ours(member)).cloned().collect();
        match self.bound(rule, &rest).digest() {
            Ok(digest) if digest == state.digest => (Ok(digest), Some(state)),
            _ => (whole(), None),
        }
    }

    fn bound<'a>(&'a self, rule: &'a str, rest: &'a [(Cow<'a, str>, Raw<'a>)]) -> Call<'a> {
        Call {
            policy: self.policy.name(),
            version: self.policy.version(),
            rule,
            grant: &self.query.principal.grant,
            method: self.query.method,
            targets: self.targets,
            arguments: self.query.arguments,
            rest,
        }
    }
}

/// The id that we gave as `requestState`.
pub(super) fn own_state(rest: &[(Cow<'_, str>, Raw<'_>)]) -> Option<Id> {
    let (_, value) = rest.iter().find(|(name, _)| name == "requestState")?;
    Id::parse(&value.string()?.decode()?)
}

/// `body` without what a server knows nothing of: the state that we gave, and the answer to what we asked.
///
/// `approved`: what was used. Where that was bound to such members, they are the server's.
pub(super) fn without_own_state(body: &[u8], rest: &[(Cow<'_, str>, Raw<'_>)], approved: Id) -> Option<Vec<u8>> {
    own_state(rest).filter(|state| state.digest == approved.digest)?;
    let ours = rest.iter().filter(|(name, _)| CONTINUING.contains(&name.as_ref())).map(|(_, value)| *value);
    without_members(body, &ours.collect::<Vec<_>>())
}
