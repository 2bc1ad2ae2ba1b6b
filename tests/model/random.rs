//! Random policies, calls and clocks, from a vocabulary so small that they meet each other.

use super::calendar::Span;
use super::policy::{Adds, Document, Limit, Scope, Target};
use super::reference::{Call, End};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use std::collections::BTreeSet;
use std::sync::Arc;

const TARGETS: [Target; 4] = [Target::Tool("a"), Target::Tool("b"), Target::Tool("c"), Target::Prompt("a")];
const COUNTERS: [&str; 3] = ["calls", "units", "b"];
const MAXIMA: [&str; 12] = ["0", "1", "2", "3", "5", "8", "2.5", "0.000001", "4.999999", "3.0000009", "12", "1.5"];
/// The first are read as amounts; a tool may be sent anything.
const AMOUNTS: [&str; 18] = [
    "1",
    "2",
    "0.5",
    "0.000001",
    "0.0000001",
    "1.0000001",
    "0.9999999",
    "0.333333",
    "2.50000000001",
    "0",
    "-0",
    "0.0",
    "100",
    "null",
    "-1",
    "\"2\"",
    "true",
    "-0.0000001",
];

/// What may happen.
#[derive(Debug, Clone)]
pub enum Operation {
    Call(Call),
    /// One of the calls in flight is over.
    Finish(Index, End),
    Clock(Move),
    Reload(Arc<Document>),
    Edit(Edit),
}

/// How a clock goes on.
#[derive(Debug, Clone, Copy)]
pub enum Move {
    By(i128),
    /// To the end of the window that is, after so many of them, and so many milliseconds.
    Edge(Span, i128, i128),
}

/// A small change of the policy in force: of the limit so many of its own, counted over all of it.
#[derive(Debug, Clone)]
pub enum Edit {
    Max(Index, &'static str),
    Counter(Index, &'static str),
    Remove(Index),
    AddForAll(Arc<Limit>),
}

fn span() -> impl Strategy<Value = Span> {
    let seconds = [1, 7, 90, 600, 2_678_400].map(Span::Seconds);
    let spans = [Span::Minute, Span::Minute, Span::Hour, Span::Day, Span::Week, Span::Month, Span::Session];
    select([&spans[..], &seconds].concat())
}

fn scopes() -> impl Strategy<Value = Vec<Scope>> {
    subsequence(vec![Scope::Grant, Scope::Session, Scope::Tool], 0..=3).prop_shuffle()
}

fn adds() -> impl Strategy<Value = Adds> {
    prop_oneof![
        3 => Just(Adds::Always(1)),
        1 => (0_i128..4).prop_map(Adds::Always),
        3 => any::<bool>().prop_map(|skips_missing| Adds::Argument { skips_missing }),
    ]
}

fn limit() -> impl Strategy<Value = Limit> {
    let whose = (select(&COUNTERS[..]), span(), scopes());
    let how_much = (select(&MAXIMA[..]), option::weighted(0.2, select(&MAXIMA[..])), adds());
    let how = (option::weighted(0.2, Just("named")), any::<bool>(), proptest::bool::weighted(0.1));
    (whose, how_much, how).prop_map(
        |((counter, span, mut scope), (max, continuations, adds), (id, is_rolling, is_shadow))| {
            if span == Span::Session && !scope.contains(&Scope::Session) {
                scope.push(Scope::Session);
            }
            let is_rolling = is_rolling && !matches!(span, Span::Month | Span::Session);
            Limit { counter, id, span, scope, max, continuations, adds, is_rolling, is_shadow }
        },
    )
}

/// Takes out what a list may not have: two limits on one count.
fn distinct(limits: &mut Vec<Limit>) {
    let mut keys = BTreeSet::new();
    limits.retain(|limit| keys.insert(limit.key()));
}

/// Lists of limits, of which some are copies of each other but for their maximum: budgets that tools share.
pub fn document() -> impl Strategy<Value = Document> {
    let lists = vec(vec(limit(), 0..3), TARGETS.len() + 1);
    let shared = (limit(), vec(option::weighted(0.4, (select(&MAXIMA[..]), adds())), TARGETS.len() + 1));
    (lists, shared).prop_map(|(mut lists, (limit, copies))| {
        for (list, copy) in lists.iter_mut().zip(copies) {
            list.extend(copy.map(|(max, adds)| Limit { max, adds, ..limit.clone() }));
            distinct(list);
        }
        let all_tools = lists.pop().unwrap();
        Document { entries: TARGETS.into_iter().zip(lists).collect(), all_tools }
    })
}

fn call() -> impl Strategy<Value = Call> {
    let who = (select(vec!["g", "h"]), option::weighted(0.8, select(vec!["one", "two"])));
    let what = (select(&TARGETS[..]), option::weighted(0.9, select(&AMOUNTS[..])), proptest::bool::weighted(0.15));
    (who, what).prop_map(|((grant, session), (target, amount, continues))| Call {
        target,
        grant,
        session,
        amount,
        continues,
    })
}

fn end() -> impl Strategy<Value = End> {
    select(vec![End::Result, End::ToolError, End::InDoubt, End::JsonRpcError, End::HttpError, End::Unreachable])
}

fn clock() -> impl Strategy<Value = Move> {
    let edge = (span(), 0_i128..3, select(vec![-1000, -1, 0, 1, 999, 1000, 20_000]));
    prop_oneof![
        6 => (0_i128..3000).prop_map(Move::By),
        4 => (0_i128..100_000).prop_map(Move::By),
        5 => edge.prop_map(|(span, windows, past)| Move::Edge(span, windows, past)),
        1 => (-200_000_i128..0).prop_map(Move::By),
        1 => (-40 * 86_400_000_i128..40 * 86_400_000).prop_map(Move::By),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (any::<Index>(), select(&MAXIMA[..])).prop_map(|(index, max)| Edit::Max(index, max)),
        1 => (any::<Index>(), select(&COUNTERS[..])).prop_map(|(index, counter)| Edit::Counter(index, counter)),
        1 => any::<Index>().prop_map(Edit::Remove),
        1 => limit().prop_map(|limit| Edit::AddForAll(Arc::new(limit))),
    ]
}

pub fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        60 => call().prop_map(Operation::Call),
        22 => (any::<Index>(), end()).prop_map(|(index, end)| Operation::Finish(index, end)),
        12 => clock().prop_map(Operation::Clock),
        1 => document().prop_map(|document| Operation::Reload(Arc::new(document))),
        2 => edit().prop_map(Operation::Edit),
    ]
}

impl Move {
    /// Where a clock that shows `now` goes, in milliseconds since the epoch. Not before 2001, where the first Monday of
    /// the reference is.
    pub fn from(self, now: i128) -> i128 {
        let to = match self {
            Self::By(millis) => now + millis,
            Self::Edge(span, windows, past) => {
                let end = |at: i128| span.around(at).1.unwrap_or(at);
                (0..windows).fold(end(now.div_euclid(1000)), |at, _| end(at)) * 1000 + past
            }
        };
        to.max(1_000_000_000_000)
    }
}

impl Edit {
    pub fn apply(&self, document: &mut Document) {
        let mut lists: Vec<&mut Vec<Limit>> = document.entries.values_mut().collect();
        lists.push(&mut document.all_tools);
        let count: usize = lists.iter().map(|list| list.len()).sum();
        let nth = |index: &Index| if count == 0 { 0 } else { index.index(count) };
        match self {
            Self::Max(index, max) => {
                lists
                    .iter_mut()
                    .flat_map(|list| list.iter_mut())
                    .skip(nth(index))
                    .take(1)
                    .for_each(|limit| limit.max = max);
            }
            Self::Counter(index, counter) => {
                let all = lists.iter_mut().flat_map(|list| list.iter_mut());
                all.skip(nth(index)).take(1).for_each(|limit| limit.counter = counter);
            }
            Self::Remove(index) => {
                let mut left = nth(index);
                for list in &mut lists {
                    if left < list.len() {
                        list.remove(left);
                        break;
                    }
                    left -= list.len();
                }
            }
            Self::AddForAll(limit) => lists.last_mut().unwrap().insert(0, Limit::clone(limit)),
        }
        lists.into_iter().for_each(distinct);
    }
}
