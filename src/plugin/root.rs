//! The root context: one per configuration and worker. Compiles the configuration or refuses it whole.

use super::admin::AdminHttp;
use super::hall::Hall;
use super::host::{self, SharedData};
use super::http::Http;
use super::notifier::Notifier;
use crate::admin::{self, Side};
use crate::config::{Gate, Role};
use crate::recent::Recent;
use log::{error, info};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel};
use std::rc::Rc;
use std::time::Duration;

proxy_wasm::main! {{
    // What may be logged is the configuration's choice; Envoy's component log level filters again.
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(Root { id, part: Part::None, notifier: None }));
}}

/// How soon a decision reaches a call that is held for it.
const TICK_FOR_HELD: Duration = Duration::from_millis(100);
/// How soon somebody is told.
const TICK_TO_TELL: Duration = Duration::from_millis(250);

/// Holds what new streams are for, and what is done beside them.
struct Root {
    /// The host's number of this context.
    id: u32,
    part: Part,
    notifier: Option<Notifier>,
}

enum Part {
    /// Not configured: nothing passes.
    None,
    Gate(Rc<Gate>, Rc<Recent>, Rc<Hall>),
    Admin(Rc<Side>),
}

impl Context for Root {
    fn on_grpc_call_response(&mut self, call: u32, status: u32, size: usize) {
        if let Part::Gate(_, _, hall) = &self.part {
            hall.answered(call, status, size);
        }
    }

    fn on_http_call_response(&mut self, call: u32, _headers: usize, _body_size: usize, _trailers: usize) {
        if let Some(notifier) = &mut self.notifier {
            notifier.ended(call);
        }
    }
}

impl RootContext for Root {
    /// False refuses the configuration: Envoy does not start with it, or keeps the one before.
    fn on_configure(&mut self, size: usize) -> bool {
        let Ok(configuration) = host::buffer(BufferType::PluginConfiguration, size) else {
            error!("configuration refused: the host did not hand it over");
            return false;
        };
        match Role::load(&configuration) {
            Ok(Role::Gate(mut gate)) => {
                for policy in gate.policies() {
                    info!("policy \"{}\" version {} in force", policy.name(), policy.version());
                }
                admin::note_in_force(&mut gate, host::now(), &mut SharedData);
                let recent = Recent::new(gate.settings.decisions);
                recent.announce(&mut SharedData);
                let gate = Rc::<Gate>::from(gate);
                let notifier = Notifier::new(&gate);
                let tick =
                    if gate.holds_calls() { Some(TICK_FOR_HELD) } else { notifier.is_some().then_some(TICK_TO_TELL) };
                if let Some(Err(failure)) = tick.map(host::tick_every) {
                    error!("configuration refused: the host has no timer: {failure:?}");
                    return false;
                }
                self.notifier = notifier;
                let hall = Hall::new(gate.approvals.max_held);
                self.part = Part::Gate(gate, recent.into(), hall.into());
                true
            }
            Ok(Role::Admin(admin)) => {
                self.part = Part::Admin(Rc::new(Side::new(admin)));
                true
            }
            Err(problems) => {
                admin::note_refused(&problems, host::now(), &mut SharedData);
                for problem in problems.iter() {
                    error!("configuration refused: {problem}");
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        // First, because the hall has the host take other contexts for meant.
        if let Some(notifier) = &mut self.notifier {
            notifier.tick();
        }
        if let Part::Gate(_, _, hall) = &self.part {
            hall.look(self.id);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(match &self.part {
            Part::None => Box::new(Http::new(id, None, Rc::default(), Hall::new(0).into())),
            Part::Gate(gate, recent, hall) => {
                Box::new(Http::new(id, Some(Rc::clone(gate)), Rc::clone(recent), Rc::clone(hall)))
            }
            Part::Admin(side) => Box::new(AdminHttp::new(Rc::clone(side))),
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
