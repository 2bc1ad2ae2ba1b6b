//! The root context: one per configuration and worker. Compiles the configuration or refuses it whole.

use super::admin::AdminHttp;
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

proxy_wasm::main! {{
    // What may be logged is the configuration's choice; Envoy's component log level filters again.
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// How often it is looked for what is to be told, in milliseconds.
const TICK_MS: u32 = 250;

/// Holds what new streams are for, and what is done beside them.
#[derive(Default)]
struct Root {
    part: Part,
    notifier: Option<Notifier>,
}

#[derive(Default)]
enum Part {
    /// Not configured: nothing passes.
    #[default]
    None,
    Gate(Rc<Gate>, Rc<Recent>),
    Admin(Rc<Side>),
}

impl Context for Root {
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
                let gate = Rc::from(gate);
                self.start_notifier(&gate);
                self.part = Part::Gate(gate, recent.into());
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

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(match &self.part {
            Part::None => Box::new(Http::new(None, Rc::default())),
            Part::Gate(gate, recent) => Box::new(Http::new(Some(Rc::clone(gate)), Rc::clone(recent))),
            Part::Admin(side) => Box::new(AdminHttp::new(Rc::clone(side))),
        })
    }

    fn on_tick(&mut self) {
        if let Some(notifier) = &mut self.notifier {
            notifier.tick();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Root {
    fn start_notifier(&mut self, gate: &Rc<Gate>) {
        self.notifier = Notifier::new(gate);
        if self.notifier.is_some() && host::set_tick(TICK_MS).is_err() {
            error!("the host has no clock that ticks, so nobody is told of approvals");
        }
    }
}
