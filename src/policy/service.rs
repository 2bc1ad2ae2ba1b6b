//! Limits that a rate limit service keeps: what it is asked for one call, and what its counts mean.
//!
//! The question is a value: who asks, and how, is not known here. A service counts whole hits in windows that begin at
//! multiples of their length, adds what it is asked to whether there is room for it or not, and takes nothing back;
//! what cannot be kept like that is refused when the policy is loaded.

use super::budget::Budget;
use super::counter::{NotCounted, Standing};
use super::document::{self, Amount, Scope};
use super::limit::Here;
use super::limit::Limit;
use super::number::MICROS;
use super::problem::Problems;
use super::query::Query;
use super::reservation::Reservation;
use super::store::Store;
use super::window::Window;
use crate::wire::mcp::Feature;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Longer parts of a counter's name enter it by their SHA-256. Written for Redis keys, which some services copy into
/// the names of their own statistics.
const MAX_PART_BYTES: usize = 128;
/// Stands for a session that a caller does not have; no part is written like that.
const NO_SESSION: &str = "!";
/// The key of the part that a count of continuations has more than that of first calls.
const CONTINUATIONS: &str = "calls";

/// The windows that a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// One second.
    Second,
    /// A minute of UTC.
    Minute,
    /// An hour of UTC.
    Hour,
    /// A day of UTC.
    Day,
}

impl Unit {
    fn of(window: Window) -> Result<Self, &'static str> {
        match window {
            Window::Seconds(1) => Ok(Self::Second),
            Window::Minute | Window::Seconds(60) => Ok(Self::Minute),
            Window::Hour | Window::Seconds(3600) => Ok(Self::Hour),
            Window::Day | Window::Seconds(86_400) => Ok(Self::Day),
            Window::Week => Err("its weeks begin on Thursday; use a day"),
            Window::Month => Err("its months are 30 days from 1970 on; use a day"),
            Window::Session => Err("it forgets every counter with its window, so none lasts as long as a session"),
            Window::Seconds(_) => Err("its windows are 1, 60, 3600 or 86400 seconds"),
        }
    }

    /// As the service's configuration spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// How a service keeps one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// The parts of the counter's name that are the same for every call.
    name: Vec<Part>,
    unit: Unit,
    max: u32,
    /// The same for calls that continue one, where those have a count of their own.
    continuations: Option<u32>,
    hits: u32,
}

/// A part of a counter's name: what it is, and which one.
type Part = (&'static str, String);

impl Kept {
    /// Why not: one clause.
    pub(super) fn new(policy: &str, limit: &document::Limit) -> Result<Self, &'static str> {
        let unit = Unit::of(limit.window)?;
        if limit.is_rolling {
            return Err("its windows do not roll");
        }
        let Amount::Fixed(amount) = limit.amount else {
            return Err("it counts whole hits, and refused ones too, so that one amount could use up a window");
        };
        let whole = |micros: u64| {
            let hits = u32::try_from(micros / MICROS).ok().filter(|_| micros.is_multiple_of(MICROS));
            hits.ok_or("it counts whole hits, up to 4294967295")
        };
        let continuations = limit.continuations.as_ref().map(|(_, max)| whole(*max)).transpose()?;
        let scope: Vec<&str> = limit.scope.iter().map(|scope| scope.as_str()).collect();
        let scope = if scope.is_empty() { "global".to_owned() } else { scope.join("+") };
        let window = limit.window.to_string();
        let parts = [("policy", policy), ("counter", &limit.counter), ("window", &window), ("scope", &scope)];
        let name = parts.into_iter().map(|(key, value)| (key, part(value))).collect();
        Ok(Self { name, unit, max: whole(limit.max)?, continuations, hits: whole(amount)? })
    }

    fn name_for(&self, scope: &[Scope], query: &Query<'_>) -> Vec<Part> {
        let mut name = self.name.clone();
        let principal = query.principal;
        for scope in scope {
            match scope {
                Scope::Grant => name.push(("grant", part(&principal.grant))),
                Scope::Session => {
                    if !name.iter().any(|(key, _)| *key == "grant") {
                        name.push(("grant", part(&principal.grant)));
                    }
                    name.push(("session", principal.session.as_deref().map_or_else(|| NO_SESSION.to_owned(), part)));
                }
                Scope::Tool => name.extend(query.target.map(|target| (key_of(target.feature), part(target.name)))),
            }
        }
        if self.continuations.is_some() && query.continues {
            name.push((CONTINUATIONS, "continuations".to_owned()));
        }
        name
    }
}

const fn key_of(feature: Feature) -> &'static str {
    match feature {
        Feature::Tool => "tool",
        Feature::Prompt => "prompt",
        Feature::Resource => "resource",
    }
}

/// `text` for a counter's name. Services join the parts by `_` and look for `*`, so beside letters, digits, `.` and
/// `-` everything is written `%XX`; no two texts make one part.
pub(super) fn part(text: &str) -> String {
    let mut part = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') {
            part.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(part, "%{byte:02X}");
        }
        if part.len() > MAX_PART_BYTES {
            return Sha256::digest(text).iter().fold("#".to_owned(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
        }
    }
    part
}

/// What a service is asked for one call: counters, and the limits that are judged by their counts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Question {
    counters: Vec<Counter>,
    deferred: Vec<(usize, u32, Deferred)>,
}

/// One counter, and what a call adds to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// Its name from the general to the particular, in keys and values; no value holds `_` or `*`.
    pub name: Vec<(&'static str, String)>,
    /// Its window.
    pub unit: Unit,
    /// The largest that any of the call's limits on it allows.
    pub max: u32,
    /// What is added.
    pub hits: u64,
}

/// One limit of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deferred {
    pub(super) rule: String,
    pub(super) counter: String,
    pub(super) message: String,
    pub(super) is_shadow: bool,
    /// How it is counted without the service.
    pub(super) here: Here,
}

/// How a counter stands, where that is known.
type Told = Option<Standing>;

impl Deferred {
    fn budget(&self, max: u32, standing: Standing) -> Budget {
        let (window, now) = (self.here.request.window, self.here.request.now);
        let max = u64::from(max).saturating_mul(MICROS);
        Budget::new(&self.counter, window, now, max, standing.total, standing.resets_in)
    }
}

/// What a service says of one [`Counter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// It is beyond its [`Counter::max`].
    pub is_over: bool,
    /// What it stands at, this call included, where that was told.
    pub used: Option<u32>,
    /// Seconds until its window ends, where that was told.
    pub resets_in: Option<u64>,
}

/// What came of the limits of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// The limit that refuses: rule, words, and what is left of it, where somebody counted.
    pub refused: Option<(String, String, Option<Budget>)>,
    /// What the limits leave that do not refuse, where that was told.
    pub budgets: Vec<Budget>,
    /// The first limit in shadow mode that would have: rule and words.
    pub noted: Option<(String, String)>,
}

impl Question {
    pub(super) fn is_empty(&self) -> bool {
        self.deferred.is_empty()
    }

    /// What the service is to count, each counter once.
    #[must_use]
    pub fn counters(&self) -> &[Counter] {
        &self.counters
    }

    /// Whether the counter at this place may be charged ahead: for a limit that judges by the count itself, what others
    /// reserved would have been used.
    #[must_use]
    pub fn can_lease(&self, place: usize) -> bool {
        let Some(counter) = self.counters.get(place) else { return false };
        let mut own = self.deferred.iter().filter(|(counter, ..)| *counter == place);
        counter.hits > 0 && own.all(|(_, max, _)| *max == counter.max)
    }

    /// Adds one limit. A counter that two limits of a call share is charged once, with the larger amount.
    pub(super) fn add(&mut self, kept: &Kept, deferred: Deferred, scope: &[Scope], query: &Query<'_>) {
        let (name, hits) = (kept.name_for(scope, query), u64::from(kept.hits));
        let max = kept.continuations.filter(|_| query.continues).unwrap_or(kept.max);
        let index = self.counters.iter().position(|counter| counter.name == name);
        match index.and_then(|index| self.counters.get_mut(index)) {
            Some(counter) => {
                counter.hits = counter.hits.max(hits);
                counter.max = counter.max.max(max);
            }
            None => self.counters.push(Counter { name, unit: kept.unit, max, hits }),
        }
        let index = index.unwrap_or(self.counters.len().saturating_sub(1));
        self.deferred.push((index, max, deferred));
    }

    /// Adds what another part of the same message asks; its hits come on top.
    pub(super) fn join(&mut self, other: Self) {
        let mut places = Vec::new();
        for counter in other.counters {
            let index = self.counters.iter().position(|own| own.name == counter.name);
            match index.and_then(|index| self.counters.get_mut(index)) {
                Some(own) => {
                    own.hits = own.hits.saturating_add(counter.hits);
                    own.max = own.max.max(counter.max);
                }
                None => self.counters.push(counter),
            }
            places.push(index.unwrap_or(self.counters.len().saturating_sub(1)));
        }
        for (place, max, deferred) in other.deferred {
            self.deferred.push((places.get(place).copied().unwrap_or(usize::MAX), max, deferred));
        }
    }

    /// What the service's counts, in the order of [`Self::counters`], mean for the call.
    #[must_use]
    pub fn settle(&self, counted: &[Counted]) -> Settled {
        self.judge(|place, max, deferred| {
            let Some(counted) = counted.get(place) else { return Err(None) };
            let is_full = counted.is_over || counted.used.is_some_and(|used| used > max);
            // Whatever is beyond it has used up the window.
            let used = if is_full { Some(max) } else { counted.used };
            let Some(used) = used else { return Ok(None) };
            let here = &deferred.here.request;
            let standing = Standing {
                total: u64::from(used).saturating_mul(MICROS),
                resets_in: counted.resets_in.or_else(|| here.to_end()),
            };
            if is_full { Err(Some(standing)) } else { Ok(Some(standing)) }
        })
    }

    /// Refuses by the first limit that is not in shadow mode, because nobody counted: with these words.
    #[must_use]
    pub fn refuse(&self, words: &str) -> Settled {
        let mut settled = self.judge(|_, _, _| Err(None));
        let messages = settled.refused.iter_mut().map(|(_, message, _)| message);
        messages
            .chain(settled.noted.iter_mut().map(|(_, message)| message))
            .for_each(|message| words.clone_into(message));
        settled
    }

    /// Counts in `store` what the service did not: all of it, or nothing when a limit refuses.
    pub fn count_here(&self, store: &mut dyn Store) -> (Settled, Reservation) {
        let mut reservation = Reservation::default();
        let settled = self.judge(|place, _, deferred| {
            let hits = self.counters.get(place).map_or(0, |counter| counter.hits);
            let mut here = deferred.here.clone();
            here.request.amount = hits.saturating_mul(MICROS);
            reservation.charge(&here, store).map(Some).map_err(|refused| match refused {
                NotCounted::Full(total, resets_in) => Some(Standing { total, resets_in }),
                NotCounted::NoPlace | NotCounted::Uncertain => None,
            })
        });
        if settled.refused.is_some() {
            std::mem::take(&mut reservation).refund(store);
        }
        (settled, reservation)
    }

    /// Asks of each limit in turn whether there is room, up to the first that refuses; either way with how it stands,
    /// where that is known.
    fn judge(&self, mut has_room: impl FnMut(usize, u32, &Deferred) -> Result<Told, Told>) -> Settled {
        let mut settled = Settled::default();
        for (place, max, deferred) in &self.deferred {
            let judged = has_room(*place, *max, deferred);
            let (Ok(told) | Err(told)) = judged;
            let budget = told.map(|standing| deferred.budget(*max, standing));
            match judged {
                Ok(_) => settled.budgets.extend(budget.filter(|_| !deferred.is_shadow)),
                Err(_) if deferred.is_shadow => {
                    settled.noted.get_or_insert_with(|| (deferred.rule.clone(), deferred.message.clone()));
                }
                Err(_) => {
                    settled.refused = Some((deferred.rule.clone(), deferred.message.clone(), budget));
                    break;
                }
            }
        }
        settled
    }
}

/// The counters of one limit, as a service is configured for them: keys, and values where all calls have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterFamily {
    /// From the general to the particular, as in [`Counter::name`].
    pub name: Vec<(&'static str, Option<String>)>,
    /// Their window.
    pub unit: Unit,
    /// What each of them allows.
    pub max: u32,
}

/// The counters of a limit that stands among the rules for `feature`; those of continuations, too.
pub(super) fn families(kept: &Kept, scope: &[Scope], feature: Feature) -> Vec<CounterFamily> {
    let fixed = kept.name.iter().map(|(key, value)| (*key, Some(value.clone())));
    let of_caller = scope.iter().any(|scope| *scope != Scope::Tool).then_some("grant");
    let of_session = scope.contains(&Scope::Session).then_some("session");
    let of_target = scope.contains(&Scope::Tool).then_some(key_of(feature));
    let open = of_caller.into_iter().chain(of_session).chain(of_target).map(|key| (key, None));
    let name: Vec<_> = fixed.chain(open).collect();
    let continuations = kept.continuations.map(|max| {
        let last = (CONTINUATIONS, Some("continuations".to_owned()));
        CounterFamily { name: name.iter().cloned().chain([last]).collect(), unit: kept.unit, max }
    });
    let first = CounterFamily { name, unit: kept.unit, max: kept.max };
    std::iter::once(first).chain(continuations).collect()
}

/// Reports limits that give one counter another maximum than an earlier one does.
pub(super) fn check_maxima<'p>(limits: impl Iterator<Item = &'p Limit>, problems: &mut Problems) {
    let mut seen: Vec<&Kept> = Vec::new();
    for (at, kept) in limits.filter_map(Limit::kept) {
        match seen.iter().find(|earlier| earlier.name == kept.name) {
            Some(earlier) if (earlier.max, earlier.continuations) != (kept.max, kept.continuations) => problems.add(
                at,
                "another limit gives the same counter another maximum, which a service with a configuration of its own \
                 cannot keep",
            ),
            Some(_) => {}
            None => seen.push(kept),
        }
    }
}
