//! Limits: what one is, where its counts lie, and what a call adds to them.

use super::budget::Budget;
use super::counter;
use super::document::{self, Amount, Scope};
use super::number::Decimal;
use super::path::find;
use super::problem::{Pointer, Problems};
use super::query::Query;
use super::service::{self, CounterFamily, Kept};
use super::slots::{Part, Place};
use super::window::Window;
use crate::wire::mcp::Feature;
use crate::wire::tree::Tree;
use sha2::{Digest, Sha256};

/// Longer grants, sessions and tool names enter a key by their SHA-256.
const MAX_KEY_PART_BYTES: usize = 128;

/// One limit, ready to be reserved.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) rule: String,
    pub(super) counter: String,
    message: String,
    /// For calls that continue one: what is said, and their own maximum in millionths.
    continuations: Option<(String, u64)>,
    pub(super) is_shadow: bool,
    window: Window,
    is_rolling: bool,
    /// In millionths.
    max: u64,
    pub(super) amount: Amount,
    pub(super) scope: Vec<Scope>,
    /// What every key of this counter begins with.
    key_prefix: Vec<u8>,
    /// Its place in the document, and how a rate limit service keeps it, or why none can.
    pub(super) kept: (Pointer, Result<Kept, &'static str>),
}

/// What this proxy counts of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Here {
    pub(super) place: Place,
    /// Where it is counted when that has no room for one more count.
    pub(super) shared: Option<Place>,
    pub(super) request: counter::Request,
}

/// Why nothing was reserved.
#[derive(Debug)]
pub(super) enum Refusal<'p> {
    /// This limit has no room left; its words.
    Spent(&'p Limit, &'p str, Box<Budget>),
    /// The argument that says how much is missing or no amount; its path.
    NoAmount(&'p Limit, &'p str),
    /// The argument is there only in another case.
    Misspelt,
    /// The count is not certain.
    Uncertain,
}

impl Limit {
    pub(super) fn new(policy: &str, policy_at: &Pointer, limit: document::Limit) -> Self {
        let (max, window) = (&limit.max_text, limit.window);
        let default = format!("Rate limit of {max} per {window} reached. Try again later.");
        let scope: Vec<&str> = limit.scope.iter().map(|scope| scope.as_str()).collect();
        let mut key_prefix = Vec::new();
        for part in ["mcp-policy", policy, &limit.counter, &window.to_string(), &scope.join("+")] {
            push_part(&mut key_prefix, part);
        }
        let kept = (limit.at.clone(), Kept::new(policy, &limit));
        let name = limit.id.as_deref().unwrap_or(&limit.counter);
        let continuations = limit.continuations.map(|(max_text, max)| {
            let default = format!("Rate limit of {max_text} continuations per {window} reached. Try again later.");
            (limit.on_deny.clone().unwrap_or(default), max)
        });
        Self {
            continuations,
            rule: limit.list.within(policy_at).child(name).as_str().to_owned(),
            counter: limit.counter,
            message: limit.on_deny.unwrap_or(default),
            is_shadow: limit.is_shadow,
            window,
            is_rolling: limit.is_rolling,
            max: limit.max,
            amount: limit.amount,
            scope: limit.scope,
            key_prefix,
            kept,
        }
    }

    /// Reports why a rate limit service cannot keep it.
    pub(super) fn check_kept(&self, problems: &mut Problems) {
        if let (at, Err(reason)) = &self.kept {
            problems.add(at, format!("limits.store \"rate_limit_service\" cannot keep this limit: {reason}"));
        }
    }

    /// How a rate limit service keeps it, where one can.
    pub(super) fn kept(&self) -> Option<(&Pointer, &Kept)> {
        Some((&self.kept.0, self.kept.1.as_ref().ok()?))
    }

    /// Its counters, as a rate limit service is configured for them.
    pub(super) fn families(&self, feature: Feature) -> Vec<CounterFamily> {
        self.kept.1.as_ref().map(|kept| service::families(kept, &self.scope, feature)).unwrap_or_default()
    }

    /// What it says when it has no room left.
    pub(super) fn words(&self, query: &Query<'_>) -> &str {
        self.continuations.as_ref().filter(|_| query.continues).map_or(&self.message, |(message, _)| message)
    }

    /// Whether calls that continue one have a count of their own.
    pub(super) fn has_continuations(&self) -> bool {
        self.continuations.is_some()
    }

    /// The most that it admits of calls like this, in millionths.
    pub(super) fn max(&self, query: &Query<'_>) -> u64 {
        self.continuations.as_ref().filter(|_| query.continues).map_or(self.max, |(_, max)| *max)
    }

    pub(super) fn budget(&self, query: &Query<'_>, total: u64, resets_in: Option<u64>) -> Budget {
        let now = query.now.millis() / 1000;
        Budget::new(&self.counter, self.window, now, self.max(query), total, resets_in)
    }

    /// Whether reserving it reads the call's arguments.
    pub(super) fn reads_arguments(&self) -> bool {
        matches!(self.amount, Amount::Argument { .. })
    }

    /// Where its count of this call lies, and the one that takes over where that has no place: it is shared by all that
    /// found none within the same grant.
    fn places(&self, query: &Query<'_>) -> (Place, Option<Place>) {
        let mut name = self.key_prefix.clone();
        let principal = query.principal;
        if query.continues && self.continuations.is_some() {
            // No part begins with a letter.
            name.push(b'c');
        }
        if self.scope.iter().any(|scope| matches!(scope, Scope::Grant | Scope::Session)) {
            push_part(&mut name, &principal.grant);
        }
        let owner = name.len();
        for scope in &self.scope {
            match scope {
                Scope::Grant => {}
                Scope::Tool => {
                    let Some(target) = query.target else { continue };
                    // A prompt may have a tool's name.
                    name.push(match target.feature {
                        Feature::Tool => b't',
                        Feature::Prompt => b'p',
                        Feature::Resource => b'r',
                    });
                    push_part(&mut name, target.name);
                }
                // A session is the client's word, so it only ever divides its own grant's count.
                Scope::Session => {
                    if let Some(session) = &principal.session {
                        push_part(&mut name, session);
                    }
                }
            }
        }
        if name.len() == owner {
            return (Place::of(Part::Owned, &name), None);
        }
        let owner = name.get(..owner).unwrap_or_default();
        let shared = [owner, b"s"].concat();
        (Place::of(Part::Divided(owner), &name), Some(Place::of(Part::Owned, &shared)))
    }

    /// What this proxy counts of a call, and where.
    pub(super) fn here(&self, amount: u64, query: &Query<'_>) -> Here {
        let (place, shared) = self.places(query);
        let request = counter::Request {
            now: query.now.millis() / 1000,
            window: self.window,
            is_rolling: self.is_rolling,
            amount,
            max: self.max(query),
            held: 0,
        };
        Here { place, shared, request }
    }

    /// What the call adds, in millionths; `None` when the limit does not apply to it.
    pub(super) fn amount_of(&self, arguments: Option<&Tree<'_>>) -> Result<Option<u64>, Refusal<'_>> {
        let (steps, path, skip_missing) = match &self.amount {
            Amount::Fixed(amount) => return Ok(Some(*amount)),
            Amount::Argument { steps, path, skip_missing } => (steps, path, *skip_missing),
        };
        let mut found = Vec::new();
        if let Some(tree) = arguments {
            find(tree, steps, &mut found).map_err(|_| Refusal::Misspelt)?;
        }
        match found.first().copied().flatten() {
            None if skip_missing => Ok(None),
            None => Err(Refusal::NoAmount(self, path)),
            Some(value) => {
                let amount = value.number().and_then(Decimal::parse).and_then(|number| number.micros(true));
                // The largest stands for all that are larger.
                let amount = amount.filter(|amount| *amount < u64::MAX);
                amount.map(Some).ok_or(Refusal::NoAmount(self, path))
            }
        }
    }
}

/// Appends `LENGTH:PART`, so that no two lists of parts make one key.
pub(super) fn push_part(key: &mut Vec<u8>, part: &str) {
    let hashed: [u8; 32];
    let bytes = if part.len() > MAX_KEY_PART_BYTES {
        hashed = Sha256::digest(part).into();
        key.push(b'#');
        hashed.as_slice()
    } else {
        part.as_bytes()
    };
    key.extend_from_slice(bytes.len().to_string().as_bytes());
    key.push(b':');
    key.extend_from_slice(bytes);
}
