//! The root context's part of telling somebody of approvals: it looks when its clock ticks, makes the calls, and says how
//! they ended. Not a stream's part, whose calls end with it.

use super::host::{self, SharedData};
use crate::approvals::notify::{self, Claim, Ended, GivenUp, MAX_CALLS, Notify, Post};
use crate::config::Gate;
use log::{error, warn};
use std::rc::Rc;

/// Tells what one configuration is to tell.
pub(super) struct Notifier {
    gate: Rc<Gate>,
    is_announced: bool,
    /// Calls that are under way.
    calls: Vec<(u32, Claim)>,
}

impl Notifier {
    /// That of a configuration; `None` where that is to tell nobody.
    pub(super) fn new(gate: &Rc<Gate>) -> Option<Self> {
        let tells = gate.approvals.notify.is_some();
        tells.then(|| Self { gate: Rc::clone(gate), is_announced: false, calls: Vec::new() })
    }

    /// Looks for what is to be told, and begins to tell it.
    pub(super) fn tick(&mut self) {
        let gate = Rc::clone(&self.gate);
        let Some(notify) = &gate.approvals.notify else { return };
        // Not when it was configured: the host tries configurations out that then do not take force, and those never tick.
        if !self.is_announced {
            self.is_announced = notify::announce(notify, &mut SharedData).is_ok();
        }
        self.tell(notify);
    }

    /// What cannot be read now is read with the next tick.
    fn tell(&mut self, notify: &Notify) {
        let room = MAX_CALLS.saturating_sub(self.calls.len());
        let Ok((posts, given_up)) = notify::due(notify, room, host::now(), &mut SharedData) else { return };
        given_up.iter().for_each(log);
        for Post { claim, headers, body } in posts {
            match host::post(&notify.cluster, &headers, &body, notify.timeout_ms) {
                Ok(call) => self.calls.push((call, claim)),
                Err(_) => self.report(&claim, Ended::NotMade),
            }
        }
    }

    /// A call has ended; one that is none of these is not looked at.
    pub(super) fn ended(&mut self, call: u32) {
        if let Some(place) = self.calls.iter().position(|(own, _)| *own == call) {
            let (_, claim) = self.calls.swap_remove(place);
            self.report(&claim, host::call_status().map_or(Ended::Silent, Ended::Status));
        }
    }

    fn report(&self, claim: &Claim, ended: Ended) {
        let Some(notify) = &self.gate.approvals.notify else { return };
        match notify::report(notify, claim, ended, host::now(), &mut SharedData) {
            Ok(given_up) => given_up.iter().for_each(log),
            Err(_) => warn!("shared data cannot be used: an event may be told again"),
        }
    }
}

fn log(given_up: &GivenUp) {
    error!("{given_up}");
}
