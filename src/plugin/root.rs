//! The root context: one per configuration and worker. Compiles the configuration or refuses it whole.

use super::host;
use super::http::Http;
use crate::config::Gate;
use log::{error, info};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel};
use std::rc::Rc;

proxy_wasm::main! {{
    // What may be logged is the configuration's choice; Envoy's component log level filters again.
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// Holds the gate that new streams are judged by.
#[derive(Default)]
struct Root {
    gate: Option<Rc<Gate>>,
}

impl Context for Root {}

impl RootContext for Root {
    /// False refuses the configuration: Envoy does not start with it, or keeps the one before.
    fn on_configure(&mut self, size: usize) -> bool {
        let Ok(configuration) = host::buffer(BufferType::PluginConfiguration, size) else {
            error!("configuration refused: the host did not hand it over");
            return false;
        };
        match Gate::load(&configuration) {
            Ok(gate) => {
                for policy in gate.policies() {
                    info!("policy \"{}\" version {} in force", policy.name(), policy.version());
                }
                self.gate = Some(Rc::new(gate));
                true
            }
            Err(problems) => {
                for problem in problems.iter() {
                    error!("configuration refused: {problem}");
                }
                false
            }
        }
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(self.gate.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
