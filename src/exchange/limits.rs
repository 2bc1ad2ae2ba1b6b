//! Limits that a rate limit service keeps: the question as a message, the answer as counts, and the call that waits for
//! it in between.

use super::asked::Asked;
use super::{Exchange, Phase, Step, spent};
use crate::config::{LimitService, OnFailure};
use crate::policy::{Block, Counted, Counter, Draw, Outcome, Question, Reservation, Settled, Slot, Store, Unit};
use crate::record::Record;
use crate::timestamp::Timestamp;
use crate::wire::rls;
use std::rc::Rc;

/// The words for a call that nobody counted.
const NOT_COUNTED: &str = "Rate limit could not be checked. Try again later.";

/// A call that waits for its limits to be counted.
#[derive(Debug)]
pub(super) struct Pending {
    question: Question,
    /// What is asked of each of its counters, and when.
    wants: Vec<Want>,
    asked_at: u64,
    /// What becomes of it when there is room.
    then: Step,
    asked: Asked,
    record: Record,
    /// The record tells of another rule than the caller is told of.
    is_hidden: bool,
    is_call: bool,
    /// Bytes of its body.
    length: usize,
}

/// What a call asks of one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Want {
    /// Nothing: this proxy had it.
    Nothing,
    /// The call's own hits.
    Own,
    /// So many hits, to be spent by this and later calls.
    Block(u64, Slot),
}

/// The share of a maximum that one block may be: what is left of a block is lost when its window ends.
const LARGEST_BLOCK: u32 = 10;
/// The share of what a window still admits that one block may be: other proxies reserve of it, too, and a block that does
/// not fit uses up what is left.
const SHARE_OF_ROOM: u64 = 4;

impl Exchange {
    /// Lets a call go on as `then` says: at once, or when a service has counted what it adds to its limits.
    pub(super) fn pass(
        &mut self,
        mut reservation: Reservation,
        then: Step,
        (mut asked, record): (Asked, Record),
        (is_call, length): (bool, usize),
        now: Timestamp,
        store: &mut dyn Store,
    ) -> Step {
        let question = reservation.take_question();
        self.reservation = reservation;
        asked.report = spent::report(self.reservation.budgets());
        let Some(question) = question else { return self.finish(then, asked, record, now) };
        let asked_at = now.millis();
        let gate = Rc::clone(&self.gate);
        let service = gate.limits.service();
        let wants = self.draw(service, &question, asked_at, store);
        if wants.iter().all(|want| *want == Want::Nothing) {
            return self.finish(then, asked, record, now);
        }
        let message = service.map(|service| request(service, &question, &wants).encode());
        let is_hidden = !record.outcome.goes_on();
        self.phase = Phase::Asking;
        self.pending =
            Some(Box::new(Pending { question, wants, asked_at, then, asked, record, is_hidden, is_call, length }));
        // Without a service nothing is ever deferred; if it were, nobody would have counted it.
        Step::Ask(message.unwrap_or_default())
    }

    /// Spends what this proxy has reserved ahead, and says what is left to ask for.
    fn draw(
        &mut self,
        service: Option<&LimitService>,
        question: &Question,
        now: u64,
        store: &mut dyn Store,
    ) -> Vec<Want> {
        let mut want = |(place, counter): (usize, &Counter)| {
            let lease = service.and_then(|service| Some((service, service.lease?)));
            let Some((service, lease)) = lease.filter(|_| question.can_lease(place)) else { return Want::Own };
            let slot = Slot::of(&service.domain, counter);
            match slot.draw(counter.hits, now, service.timeout_ms.into(), store) {
                Draw::Spent(spent) => {
                    self.reservation.hold(spent);
                    Want::Nothing
                }
                Draw::Block(room) => {
                    // The first call in a window only learns how much room there is.
                    let room = room.unwrap_or(0);
                    let largest = u64::from(lease.min(counter.max / LARGEST_BLOCK)).min(room / SHARE_OF_ROOM);
                    Want::Block(largest.max(counter.hits), slot)
                }
                Draw::Own => Want::Own,
            }
        };
        question.counters().iter().enumerate().map(&mut want).collect()
    }

    fn finish(&mut self, then: Step, asked: Asked, record: Record, now: Timestamp) -> Step {
        match then {
            Step::Reply(reply) => self.answer(reply, record),
            then => self.forward(asked, record, now, then),
        }
    }

    /// The service has answered [`Step::Ask`] with this message; `None`: it has not, and will not.
    pub fn limits_counted(&mut self, reply: Option<&[u8]>, now: Timestamp, store: &mut dyn Store) -> Step {
        let Some(pending) = self.pending.take().filter(|_| self.phase == Phase::Asking) else { return Step::Wait };
        let Pending { question, wants, asked_at, then, mut asked, mut record, is_hidden, is_call, length } = *pending;
        let gate = Rc::clone(&self.gate);
        let service = gate.limits.service();
        let counted = service.and_then(|service| counts(service, &question, &wants, reply?));
        let settled = match (counted, service.map(|service| service.on_failure)) {
            (Some(counted), _) => {
                let settled = question.settle(&counted);
                let spends = settled.refused.is_none();
                for ((want, counter), counted) in wants.iter().zip(question.counters()).zip(&counted) {
                    let Want::Block(hits, slot) = want else { continue };
                    let left = hits.saturating_sub(if spends { counter.hits } else { 0 });
                    let Some(resets_in) = counted.resets_in.filter(|_| !counted.is_over) else { continue };
                    let room = counter.max.saturating_sub(counted.used.unwrap_or(0)).into();
                    slot.grant(Block { asked_at, resets_in, left, room }, now.millis(), store);
                }
                settled
            }
            (None, Some(OnFailure::Allow)) => {
                record.limits = Some("not counted");
                Settled::default()
            }
            (None, Some(OnFailure::Local)) => {
                record.limits = Some("counted by this proxy alone");
                let (settled, reservation) = question.count_here(store);
                std::mem::replace(&mut self.reservation, reservation).refund(store);
                settled
            }
            (None, Some(OnFailure::Deny) | None) => {
                record.limits = Some("not counted");
                question.refuse(NOT_COUNTED)
            }
        };
        let step = match settled.refused {
            None => {
                asked.report = spent::report(&settled.budgets).filter(|_| gate.settings.report_budget);
                if let Some((rule, message)) = settled.noted.filter(|_| record.outcome == Outcome::Allowed) {
                    record.settle(Outcome::ShadowDenied, rule, &message);
                }
                self.finish(then, asked, record, now)
            }
            Some((rule, message, budget)) => {
                self.give_back(now, store);
                let told = rule.clone();
                if !is_hidden {
                    if record.outcome == Outcome::ShadowDenied {
                        record.shadow_rule = Some(std::mem::take(&mut record.rule));
                    } else {
                        record.shadow_rule = settled.noted.map(|(rule, _)| rule);
                    }
                    record.settle(Outcome::Denied, rule, &message);
                }
                match (asked.id.as_deref(), budget) {
                    (Some(id), Some(budget)) => {
                        let reply = spent::reply(id, is_call, (&told, &message), &budget, &gate.settings);
                        self.answer(reply, record)
                    }
                    (id, _) => self.deny(id, is_call, &message, record),
                }
            }
        };
        if self.head.is_legacy { self.refuse_upstream(step, length, now) } else { step }
    }
}

/// The counters that the service is asked for, with what is asked.
fn wanted<'q>(question: &'q Question, wants: &'q [Want]) -> impl Iterator<Item = (&'q Counter, u64)> {
    question.counters().iter().zip(wants).filter_map(|(counter, want)| match want {
        Want::Nothing => None,
        Want::Own => Some((counter, counter.hits)),
        Want::Block(hits, _) => Some((counter, *hits)),
    })
}

fn request(service: &LimitService, question: &Question, wants: &[Want]) -> rls::RateLimitRequest {
    // Some services read only the amount of the request; it is theirs where all add the same.
    let first = wanted(question, wants).next().map(|(_, hits)| hits);
    let common = first.filter(|first| wanted(question, wants).all(|(_, hits)| hits == *first));
    let descriptors = wanted(question, wants).map(|(counter, hits)| rls::RateLimitDescriptor {
        entries: counter
            .name
            .iter()
            .map(|(key, value)| rls::Entry { key: (*key).to_owned(), value: value.clone() })
            .collect(),
        limit: service.sends_maxima.then(|| limit_of(counter)),
        hits_addend: Some(rls::UInt64Value { value: hits }),
    });
    rls::RateLimitRequest {
        domain: service.domain.clone(),
        descriptors: descriptors.collect(),
        hits_addend: common.and_then(|hits| u32::try_from(hits).ok()).unwrap_or_default(),
    }
}

fn limit_of(counter: &Counter) -> rls::RateLimitOverride {
    let unit = match counter.unit {
        Unit::Second => 1,
        Unit::Minute => 2,
        Unit::Hour => 3,
        Unit::Day => 4,
    };
    rls::RateLimitOverride { requests_per_unit: counter.max, unit }
}

/// What the service says of each counter; `None` when it does not say that it kept the policy's own numbers: a service
/// that knows no such domain, or no such counter, lets everything pass.
fn counts(service: &LimitService, question: &Question, wants: &[Want], reply: &[u8]) -> Option<Vec<Counted>> {
    let reply = rls::RateLimitResponse::decode(reply)?;
    if reply.statuses.is_empty() && !service.sends_maxima {
        let counted = Counted { is_over: reply.overall_code != rls::OK, used: None, resets_in: None };
        return Some(vec![counted; question.counters().len()]);
    }
    if reply.statuses.len() != wanted(question, wants).count() {
        return None;
    }
    let mut statuses = reply.statuses.iter();
    let counted = question.counters().iter().zip(wants).map(|(counter, want)| {
        if *want == Want::Nothing {
            return Some(Counted { is_over: false, used: None, resets_in: None });
        }
        let status = statuses.next()?;
        if status.current_limit != Some(limit_of(counter)) {
            return None;
        }
        let is_over = match status.code {
            rls::OK => false,
            rls::OVER_LIMIT => true,
            _ => return None,
        };
        let used = counter.max.checked_sub(status.limit_remaining)?;
        let seconds = status.duration_until_reset.and_then(|left| u64::try_from(left.seconds).ok());
        Some(Counted { is_over, used: Some(used).filter(|_| !is_over), resets_in: seconds })
    });
    let counted = counted.collect::<Option<Vec<Counted>>>()?;
    // A service in a shadow mode of its own counts, and lets pass.
    let is_over = counted.iter().any(|counted| counted.is_over);
    (is_over == (reply.overall_code == rls::OVER_LIMIT)).then_some(counted)
}
