//! What a call holds of its limits: reserved in every window that it falls into, or in none; given back when it did not
//! run.

use super::budget::Budget;
use super::counter::{self, Charge, NotCounted, Standing};
use super::document::Amount;
use super::lease::Spent;
use super::limit::{Here, Limit, Refusal};
use super::query::Query;
use super::service::{Deferred, Question};
use super::slots::Place;
use super::store::Store;
use super::trace::{Trace, Verdict};
use crate::wire::tree::Tree;

/// What a call holds of its limits.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    charges: Vec<Charge>,
    /// What its limits leave, where that was asked for.
    budgets: Vec<Budget>,
    /// Where a service counts; boxed, because most have none.
    remote: Option<Box<Remote>>,
}

/// What a call holds of limits that a service keeps.
#[derive(Debug, Default, PartialEq, Eq)]
struct Remote {
    /// What is yet to be counted.
    question: Question,
    /// What it spent of blocks that were counted ahead.
    spent: Vec<Spent>,
}

/// The first limit in shadow mode that would have refused.
type Noted<'p> = Option<&'p Limit>;

/// Reserves what the call adds to each limit; if one refuses, nothing is spent. A count that two limits share is charged
/// once, with the larger amount, and each of them is judged by it.
pub(super) fn reserve<'p>(
    limits: impl Iterator<Item = (&'p Limit, bool)>,
    query: &Query<'_>,
    arguments: Option<&Tree<'_>>,
    store: &mut dyn Store,
    trace: &mut dyn Trace,
) -> Result<(Reservation, Noted<'p>), (Refusal<'p>, Noted<'p>)> {
    let (mut reservation, mut noted) = (Reservation::default(), None);
    if query.defers_limits {
        for (limit, is_shadow) in limits {
            reservation.defer(limit, is_shadow || limit.is_shadow, query).map_err(|refusal| (refusal, noted))?;
        }
        return Ok((reservation, noted));
    }
    let mut wanted: Vec<Wanted<'p>> = limits.map(|limit| Wanted::of(limit, query, arguments)).collect();
    for index in 0..wanted.len() {
        let largest = largest(&wanted, index);
        let Some(Wanted { limit, is_shadow, here }) = wanted.get_mut(index) else { break };
        match reservation.add(limit, std::mem::replace(here, Ok(None)), largest, query, store) {
            Ok(budget) => {
                reservation.budgets.extend(budget.filter(|_| !*is_shadow));
                trace.step(&limit.rule, Verdict::Passed);
            }
            Err(_) if *is_shadow => {
                trace.step(&limit.rule, Verdict::Noted);
                noted.get_or_insert(*limit);
            }
            Err(refusal) => {
                reservation.refund(store);
                return Err((refusal, noted));
            }
        }
    }
    Ok((reservation, noted))
}

/// What one limit asks of a call.
struct Wanted<'p> {
    limit: &'p Limit,
    is_shadow: bool,
    /// What is counted; `None` where the limit does not apply to the call.
    here: Result<Option<Here>, Refusal<'p>>,
}

impl<'p> Wanted<'p> {
    fn of((limit, is_shadow): (&'p Limit, bool), query: &Query<'_>, arguments: Option<&Tree<'_>>) -> Self {
        let amount = limit.amount_of(arguments);
        let here = amount.map(|amount| amount.map(|amount| limit.here(amount, query)));
        Self { limit, is_shadow: is_shadow || limit.is_shadow, here }
    }

    fn here(&self) -> Option<&Here> {
        self.here.as_ref().ok()?.as_ref()
    }
}

/// The most that the call adds to the count of the limit at `index`, by that one or a later one that is enforced.
fn largest(wanted: &[Wanted<'_>], index: usize) -> u64 {
    let Some(own) = wanted.get(index).and_then(Wanted::here) else { return 0 };
    let later = wanted.iter().skip(index + 1).filter(|wanted| !wanted.is_shadow).filter_map(Wanted::here);
    let same = later.filter(|here| here.place == own.place);
    same.map(|here| here.request.amount).fold(own.request.amount, u64::max)
}

impl Reservation {
    /// Charges the limit with `amount`; what it leaves, where the query asks for it.
    fn add<'p>(
        &mut self,
        limit: &'p Limit,
        here: Result<Option<Here>, Refusal<'p>>,
        amount: u64,
        query: &Query<'_>,
        store: &mut dyn Store,
    ) -> Result<Option<Budget>, Refusal<'p>> {
        let Some(mut here) = here? else { return Ok(None) };
        here.request.amount = amount;
        let standing = self.charge(&here, store).map_err(|refused| match refused {
            NotCounted::Full(total, room_in) => {
                Refusal::Spent(limit, limit.words(query), Box::new(limit.budget(query, total, room_in)))
            }
            NotCounted::NoPlace | NotCounted::Uncertain => Refusal::Uncertain,
        })?;
        Ok(query.tells_budgets.then(|| limit.budget(query, standing.total, standing.resets_in)))
    }

    /// Counts what is not charged yet of what is asked; where that has no place of its own, with all that has none.
    pub(super) fn charge(&mut self, here: &Here, store: &mut dyn Store) -> Result<Standing, NotCounted> {
        let charge = match (self.charge_at(&here.place, here.request, store), &here.shared) {
            (Err(NotCounted::NoPlace), Some(shared)) => self.charge_at(shared, here.request, store),
            (charged, _) => charged,
        };
        let charge = charge?;
        let standing = charge.standing;
        self.charges.push(charge);
        Ok(standing)
    }

    fn charge_at(
        &self,
        place: &Place,
        mut request: counter::Request,
        store: &mut dyn Store,
    ) -> Result<Charge, NotCounted> {
        let same = self.charges.iter().filter(|charge| charge.place == *place);
        request.held = same.map(|charge| charge.amount).sum();
        counter::charge(place, &request, store)
    }

    /// Writes down what a service is to count.
    fn defer<'p>(&mut self, limit: &'p Limit, is_shadow: bool, query: &Query<'_>) -> Result<(), Refusal<'p>> {
        // A gate that asks a service has no limit that the service cannot keep, and no amount from an argument.
        let (Ok(kept), Amount::Fixed(amount)) = (&limit.kept.1, &limit.amount) else { return Err(Refusal::Uncertain) };
        let (rule, message) = (limit.rule.clone(), limit.words(query).to_owned());
        let here = limit.here(*amount, query);
        self.remote.get_or_insert_default().question.add(
            kept,
            Deferred { rule, counter: limit.counter.clone(), message, is_shadow, here },
            &limit.scope,
            query,
        );
        Ok(())
    }

    /// Takes out what a service has to count before the call may go on; `None` when there is nothing.
    pub fn take_question(&mut self) -> Option<Question> {
        let question = std::mem::take(&mut self.remote.as_mut()?.question);
        (!question.is_empty()).then_some(question)
    }

    /// Takes over what `other` holds.
    pub(super) fn join(&mut self, other: Self) {
        self.charges.extend(other.charges);
        self.budgets.extend(other.budgets);
        if let Some(other) = other.remote {
            let remote = self.remote.get_or_insert_default();
            remote.question.join(other.question);
            remote.spent.extend(other.spent);
        }
    }

    /// Holds what was spent of a block, too.
    pub fn hold(&mut self, spent: Spent) {
        self.remote.get_or_insert_default().spent.push(spent);
    }

    /// What its limits leave, as [`Query::tells_budgets`] asked.
    #[must_use]
    pub fn budgets(&self) -> &[Budget] {
        &self.budgets
    }

    /// Whether nothing was reserved that could be given back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.charges.is_empty() && self.remote.as_ref().is_none_or(|remote| remote.spent.is_empty())
    }

    /// Gives everything back, each to the window that it was taken from.
    pub fn refund(self, store: &mut dyn Store) {
        for charge in &self.charges {
            charge.refund(store);
        }
        for spent in self.remote.iter().flat_map(|remote| &remote.spent) {
            spent.give_back(store);
        }
    }
}

#[cfg(test)]
mod tests;
