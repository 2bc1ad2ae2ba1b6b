//! Limits that a rate limit service keeps: the question as a message, the answer as counts, and the call that waits for
//! it in between.

use super::asked::Asked;
use super::{Exchange, Phase, Step};
use crate::config::{LimitService, OnFailure};
use crate::policy::{Counted, Counter, Outcome, Question, Reservation, Settled, Store, Unit};
use crate::record::Record;
use crate::timestamp::Timestamp;
use crate::wire::rls;

/// The words for a call that nobody counted.
const NOT_COUNTED: &str = "Rate limit could not be checked. Try again later.";

/// A call that waits for its limits to be counted.
#[derive(Debug)]
pub(super) struct Pending {
    question: Question,
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

impl Exchange {
    /// Lets a call go on as `then` says: at once, or when a service has counted what it adds to its limits.
    pub(super) fn pass(
        &mut self,
        mut reservation: Reservation,
        then: Step,
        (asked, record): (Asked, Record),
        (is_call, length): (bool, usize),
        now: Timestamp,
    ) -> Step {
        let question = reservation.take_question();
        self.reservation = reservation;
        let Some(question) = question else { return self.finish(then, asked, record, now) };
        let message = self.gate.limits.service().map(|service| request(service, &question).encode());
        let is_hidden = !record.outcome.goes_on();
        self.phase = Phase::Asking;
        self.pending = Some(Box::new(Pending { question, then, asked, record, is_hidden, is_call, length }));
        // Without a service nothing is ever deferred; if it were, nobody would have counted it.
        Step::Ask(message.unwrap_or_default())
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
        let Pending { question, then, asked, mut record, is_hidden, is_call, length } = *pending;
        let service = self.gate.limits.service().cloned();
        let counted = service.as_ref().and_then(|service| counts(service, &question, reply?));
        let settled = match (counted, service.map(|service| service.on_failure)) {
            (Some(counted), _) => question.settle(&counted),
            (None, Some(OnFailure::Allow)) => {
                record.limits = Some("not counted");
                Settled::default()
            }
            (None, Some(OnFailure::Local)) => {
                record.limits = Some("counted by this proxy alone");
                let (settled, reservation) = question.count_here(store);
                self.reservation = reservation;
                settled
            }
            (None, Some(OnFailure::Deny) | None) => {
                record.limits = Some("not counted");
                question.refuse(NOT_COUNTED)
            }
        };
        let step = match settled.refused {
            None => {
                if let Some((rule, message)) = settled.noted.filter(|_| record.outcome == Outcome::Allowed) {
                    record.settle(Outcome::ShadowDenied, rule, &message);
                }
                self.finish(then, asked, record, now)
            }
            Some((rule, message, _)) => {
                if !is_hidden {
                    if record.outcome == Outcome::ShadowDenied {
                        record.shadow_rule = Some(std::mem::take(&mut record.rule));
                    } else {
                        record.shadow_rule = settled.noted.map(|(rule, _)| rule);
                    }
                    record.settle(Outcome::Denied, rule, &message);
                }
                self.deny(asked.id.as_deref(), is_call, &message, record)
            }
        };
        if self.head.is_legacy { self.refuse_upstream(step, length, now) } else { step }
    }
}

fn request(service: &LimitService, question: &Question) -> rls::RateLimitRequest {
    let counters = question.counters();
    // Some services read only the amount of the request; it is theirs where all add the same.
    let hits = counters.first().map(|counter| counter.hits);
    let common = hits.filter(|hits| counters.iter().all(|counter| counter.hits == *hits));
    let descriptors = counters.iter().map(|counter| rls::RateLimitDescriptor {
        entries: counter
            .name
            .iter()
            .map(|(key, value)| rls::Entry { key: (*key).to_owned(), value: value.clone() })
            .collect(),
        limit: service.sends_maxima.then(|| limit_of(counter)),
        hits_addend: Some(rls::UInt64Value { value: counter.hits }),
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
fn counts(service: &LimitService, question: &Question, reply: &[u8]) -> Option<Vec<Counted>> {
    let reply = rls::RateLimitResponse::decode(reply)?;
    let counters = question.counters();
    if reply.statuses.is_empty() && !service.sends_maxima {
        let counted = Counted { is_over: reply.overall_code != rls::OK, used: None, resets_in: None };
        return Some(vec![counted; counters.len()]);
    }
    if reply.statuses.len() != counters.len() {
        return None;
    }
    let counted = counters.iter().zip(&reply.statuses).map(|(counter, status)| {
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
