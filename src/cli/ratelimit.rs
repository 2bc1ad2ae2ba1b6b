//! `mcp-policy render ratelimit`: the limits of a plugin configuration become a configuration of envoyproxy/ratelimit,
//! for a service that keeps numbers of its own (`"maxima": "service"`).

use super::{read, unusable, validate};
use mcp_policy::config::Gate;
use mcp_policy::policy::{CounterFamily, Problems, Unit};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A plugin configuration whose limits are kept by a rate limit service
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// One level of a service's configuration.
#[derive(Debug, Default)]
struct Node {
    key: &'static str,
    value: Option<String>,
    limit: Option<(Unit, u32)>,
    within: Vec<Node>,
}

pub fn run(arguments: &Arguments) -> ExitCode {
    let path = &arguments.config;
    let text = match read(path) {
        Ok(text) => text,
        Err(code) => return code,
    };
    let gate = match Gate::load(text.as_bytes()) {
        Ok(gate) => gate,
        Err(problems) => return validate::report(path, &problems),
    };
    let Some(service) = gate.limits.service() else {
        return unusable(format_args!("{}: its limits are kept by no rate limit service", path.display()));
    };
    let mut problems = Problems::default();
    gate.policies().for_each(|policy| policy.check_for_service(true, &mut problems));
    if !problems.is_empty() {
        return validate::report(path, &problems);
    }
    let mut root = Node::default();
    gate.policies().flat_map(|policy| policy.counter_families()).for_each(|family| root.add(family));
    print!("{}", root.document(&service.domain));
    ExitCode::SUCCESS
}

impl Node {
    fn add(&mut self, family: CounterFamily) {
        let mut node = self;
        for (key, value) in family.name {
            let place = node.within.iter().position(|inner| inner.key == key && inner.value == value);
            let place = place.unwrap_or(node.within.len());
            if place == node.within.len() {
                node.within.push(Self { key, value, ..Self::default() });
            }
            let Some(inner) = node.within.get_mut(place) else { return };
            node = inner;
        }
        node.limit = Some((family.unit, family.max));
    }

    fn document(&self, domain: &str) -> String {
        // Whatever a JSON string holds, it is the same to YAML.
        let domain = mcp_policy::wire::reply::string(domain);
        let mut text = format!("# Made by `mcp-policy render ratelimit` for envoyproxy/ratelimit.\ndomain: {domain}\n");
        self.write_within(&mut text, 0);
        text
    }

    fn write_within(&self, text: &mut String, indent: usize) {
        if self.within.is_empty() {
            return;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:indent$}descriptors:", "");
        for node in &self.within {
            let _ = writeln!(text, "{:indent$}- key: {}", "", node.key);
            if let Some(value) = &node.value {
                // No value holds a quote or a backslash.
                let _ = writeln!(text, "{:indent$}  value: \"{value}\"", "");
            }
            if let Some((unit, max)) = node.limit {
                let unit = unit.as_str();
                let _ = writeln!(text, "{:indent$}  rate_limit: {{ unit: {unit}, requests_per_unit: {max} }}", "");
            }
            node.write_within(text, indent + 2);
        }
    }
}
