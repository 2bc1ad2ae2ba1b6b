//! What limits promise (`docs/policy.md`, `docs/limits.md`), as plainly as can be: a map of sums, one for each count and
//! each of its windows, none of which is ever dropped.

use super::calendar::Span;
use super::policy::{Adds, Document, Limit, Scope, Target, rule};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Amounts, in millionths.
pub type Millionths = i128;

/// Who calls what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub target: Target,
    pub grant: &'static str,
    pub session: Option<&'static str>,
    /// The JSON of the argument that amounts are taken from.
    pub amount: Option<&'static str>,
    pub continues: bool,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Result,
    ToolError,
    InDoubt,
    JsonRpcError,
    HttpError,
    Unreachable,
}

/// What one sum is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    counter: &'static str,
    span: Span,
    scope: Vec<Scope>,
    grant: Option<&'static str>,
    session: Option<&'static str>,
    target: Option<Target>,
    continues: bool,
}

/// What a limit that refused has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub name: String,
    pub limit: Millionths,
    pub remaining: Millionths,
    pub window: String,
    pub window_seconds: Option<i128>,
    pub resets_in: Option<i128>,
}

/// What a call is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub goes_on: bool,
    /// The rule that refused, or would have.
    pub rule: String,
    pub left: Option<Box<Left>>,
}

/// What was taken from one window of one count.
#[derive(Debug, Clone)]
struct Taken {
    count: Count,
    window: i128,
    amount: Millionths,
}

/// All that is promised to be known.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Milliseconds since the epoch.
    pub now: i128,
    pub policy: Arc<Document>,
    sums: BTreeMap<Count, BTreeMap<i128, Millionths>>,
    in_flight: Vec<Vec<Taken>>,
    /// What the last call was told.
    pub answer: Option<Answer>,
    /// What of note the last operation was; a test that never sees it has shown nothing.
    pub seen: Vec<&'static str>,
}

impl Reference {
    pub fn new(now: i128, policy: Arc<Document>) -> Self {
        Self { now, policy, sums: BTreeMap::new(), in_flight: Vec::new(), answer: None, seen: Vec::new() }
    }

    /// How many calls are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn second(&self) -> i128 {
        self.now.div_euclid(1000)
    }

    pub fn call(&mut self, call: &Call) {
        let (mut taken, mut noted) = (Vec::new(), None);
        let policy = Arc::clone(&self.policy);
        let limits: Vec<_> = policy.limits_of(call.target).collect();
        for (index, &(limit, is_own)) in limits.iter().enumerate() {
            // A count that two limits share is charged once, with the larger amount, and both are judged by it.
            let later = limits.iter().skip(index + 1).map(|(limit, _)| *limit).filter(|limit| !limit.is_shadow);
            let same = later.filter(|later| Count::of(later, call) == Count::of(limit, call));
            let least = same.filter_map(|later| adds(later, call).ok().flatten()).max().unwrap_or(0);
            match self.reserve(limit, call, least, &mut taken) {
                Ok(()) => {}
                Err(_) if limit.is_shadow => {
                    self.seen.push("noted in shadow mode");
                    noted.get_or_insert_with(|| rule(call.target, limit, is_own));
                }
                Err(left) => {
                    self.seen.push(if left.is_some() { "refused by a limit" } else { "refused for want of an amount" });
                    self.seen.extend((!taken.is_empty()).then_some("refused by one limit after another had room"));
                    // Nothing is spent, but what was reserved for a moment has begun its window.
                    taken.iter_mut().for_each(|taken| taken.amount = 0);
                    self.take(&taken);
                    let rule = rule(call.target, limit, is_own);
                    self.answer = Some(Answer { goes_on: false, rule, left });
                    return;
                }
            }
        }
        self.seen.push("admitted");
        self.take(&taken);
        self.in_flight.push(taken);
        self.answer = Some(Answer { goes_on: true, rule: noted.unwrap_or_default(), left: None });
    }

    /// Notes what the call adds in `taken`, not less than `least`; where there is no room for it, says what is left.
    fn reserve(
        &mut self,
        limit: &Limit,
        call: &Call,
        least: Millionths,
        taken: &mut Vec<Taken>,
    ) -> Result<(), Option<Box<Left>>> {
        let Some(amount) = adds(limit, call).map_err(|NoAmount| None)? else {
            self.seen.push("skipped for want of an amount");
            return Ok(());
        };
        let amount = amount.max(least);
        let (count, now) = (Count::of(limit, call), self.second());
        let max = limit.max_of(call);
        let ours: Millionths = taken.iter().filter(|taken| taken.count == count).map(|taken| taken.amount).sum();
        let amount = amount.max(ours);
        let used = |at: i128| self.used(&count, limit.is_rolling, at);
        if used(now) + amount > max {
            let (start, end) = limit.span.around(now);
            return Err(Some(Box::new(Left {
                name: limit.counter.to_owned(),
                limit: max,
                remaining: (max - used(now)).max(0),
                window: limit.span.words(),
                window_seconds: end.map(|end| end - start),
                resets_in: self.first_second(limit, &count, |at| used(at) + amount <= max),
            })));
        }
        let window = self.window_in_force(&count, now);
        let last = self.sums.get(&count).and_then(|sums| sums.keys().next_back());
        let has_share = limit.is_rolling && used(now) > self.used(&count, false, now);
        for (is_so, what) in [
            (last.is_some_and(|last| *last < window), "a window passed"),
            (window > limit.span.around(now).0, "counted in a window ahead of the clock"),
            (has_share, "a share of the window before counted"),
            (ours > 0, "one count of two limits"),
        ] {
            self.seen.extend(is_so.then_some(what));
        }
        if amount > ours {
            taken.push(Taken { count, window, amount: amount - ours });
        }
        Ok(())
    }

    fn take(&mut self, all: &[Taken]) {
        for taken in all {
            *self.sums.entry(taken.count.clone()).or_default().entry(taken.window).or_default() += taken.amount;
        }
    }

    /// The window that counts: of the clock, or a later one in which something was counted already.
    fn window_in_force(&self, count: &Count, at: i128) -> i128 {
        let (start, _) = count.span.around(at);
        let last = self.sums.get(count).and_then(|sums| sums.keys().next_back());
        last.map_or(start, |last| start.max(*last))
    }

    /// What counts at that second: all of the window in force and, where it rolls, the share of the one before that is
    /// still inside, rounded up.
    fn used(&self, count: &Count, is_rolling: bool, at: i128) -> Millionths {
        let start = self.window_in_force(count, at);
        let sum = |window: i128| self.sums.get(count).and_then(|sums| sums.get(&window)).copied().unwrap_or(0);
        let (_, end) = count.span.around(start);
        match end {
            Some(end) if is_rolling => {
                let (before, _) = count.span.around(start - 1);
                let (inside, length) = (end - at.max(start), end - start);
                sum(start) + -(-(sum(before) * inside)).div_euclid(length)
            }
            _ => sum(start),
        }
    }

    /// How many seconds from now `has_room` first holds; `None` if not before the window in force and the one after it
    /// have passed. What counts never grows by itself, so halving finds it.
    fn first_second(&self, limit: &Limit, count: &Count, has_room: impl Fn(i128) -> bool) -> Option<i128> {
        let now = self.second();
        let end = |window: i128| limit.span.around(window).1;
        let (mut full, mut free) = (now, end(end(self.window_in_force(count, now))?)?);
        if !has_room(free) {
            return None;
        }
        while free - full > 1 {
            let middle = full + (free - full) / 2;
            if has_room(middle) { free = middle } else { full = middle }
        }
        Some(free - now)
    }

    /// One of the calls in flight is over: what surely did not run, or failed as a call, costs nothing.
    pub fn finish(&mut self, index: usize, end: End) {
        let taken = self.in_flight.remove(index);
        match end {
            End::JsonRpcError | End::HttpError | End::Unreachable => {
                for mut taken in taken {
                    let in_force = self.window_in_force(&taken.count, self.second());
                    let (before, _) = taken.count.span.around(in_force - 1);
                    self.seen.push("given back");
                    self.seen.extend((taken.window < in_force).then_some("given back to a window that has passed"));
                    self.seen.extend((taken.window == before).then_some("given back to the window before"));
                    taken.amount = -taken.amount;
                    self.take(&[taken]);
                }
            }
            End::Result | End::ToolError | End::InDoubt => self.seen.push("kept"),
        }
    }

    /// What counts now of each limit that a call falls under.
    pub fn state(&self, call: &Call) -> impl Iterator<Item = (&Limit, Millionths)> {
        let used = |limit: &Limit| self.used(&Count::of(limit, call), limit.is_rolling, self.second());
        self.policy.limits_of(call.target).map(move |(limit, _)| (limit, used(limit)))
    }
}

/// The call has no amount, or none that can be added.
struct NoAmount;

/// What the call adds to the limit; `None` when the limit does not apply to it.
fn adds(limit: &Limit, call: &Call) -> Result<Option<Millionths>, NoAmount> {
    match (&limit.adds, call.amount) {
        (Adds::Always(amount), _) => Ok(Some(amount * 1_000_000)),
        (Adds::Argument { skips_missing: true }, None | Some("null")) => Ok(None),
        (Adds::Argument { .. }, text) => text.and_then(amount_of).ok_or(NoAmount).map(Some),
    }
}

impl Count {
    fn of(limit: &Limit, call: &Call) -> Self {
        let by = |scope: Scope| limit.scope.contains(&scope);
        let mut scope = limit.scope.clone();
        scope.sort_unstable();
        Self {
            counter: limit.counter,
            span: limit.span,
            // A session is the client's word, so it is always one of its grant's.
            grant: (by(Scope::Grant) || by(Scope::Session)).then_some(call.grant),
            session: call.session.filter(|_| by(Scope::Session)),
            target: by(Scope::Tool).then_some(call.target),
            scope,
            continues: call.continues && limit.continuations.is_some(),
        }
    }
}

/// The amount that JSON text says, rounded up; `None` when it is no number, or one below zero.
fn amount_of(text: &str) -> Option<Millionths> {
    let number = text.strip_prefix('-').unwrap_or(text);
    let (units, rest) = exact(number)?;
    let amount = units + Millionths::from(rest > 0);
    (amount == 0 || number == text).then_some(amount)
}

/// A plain decimal as millionths and what is left of it, in millionths of millionths.
pub fn exact(text: &str) -> Option<(Millionths, i128)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i128 = whole.parse().ok()?;
    let twelve: i128 = format!("{fraction:0<12}").parse().ok()?;
    Some((whole * 1_000_000 + twelve / 1_000_000, twelve % 1_000_000))
}
