//! A real Envoy with two workers: started on a configuration, asked for its statistics, logs and access log.

use super::http::Connection;
use super::parts::{Parts, root, scratch};
use super::process::Process;
use super::request::Request;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};

/// Two, because counters have to be shared between workers.
const WORKERS: u32 = 2;
/// The listener of the plugin's admin side.
const ADMIN_LISTENER: &str = "mcp_admin";
const LISTENERS: &str = "/listeners?format=json";

/// A running Envoy, ready for requests. Killed when dropped.
pub(crate) struct Envoy {
    process: Process,
    admin: SocketAddr,
    /// Where its one listener listens.
    pub(crate) address: SocketAddr,
}

impl Envoy {
    /// Starts one on a configuration that has one listener, on port 0, and no admin interface. Files in `target/e2e/`
    /// begin with `name`.
    pub(crate) fn start(parts: &Parts, name: &str, config: &str) -> Self {
        Self::start_with(parts, name, config, WORKERS)
    }

    /// Like [`Self::start`], with so many workers.
    pub(crate) fn start_with(parts: &Parts, name: &str, config: &str, workers: u32) -> Self {
        let admin_file = scratch(&format!("{name}.admin"));
        // One of an earlier run would name a port that is another program's by now.
        let _ = fs::remove_file(&admin_file);
        let admin = "admin:\n  address:\n    socket_address: { address: 127.0.0.1, port_value: 0 }\n";
        let file = scratch(&format!("{name}.yaml"));
        fs::write(&file, format!("{config}\n{admin}")).expect("a configuration in target/e2e");

        let mut command = command(parts, &file);
        command.arg("--admin-address-path").arg(&admin_file);
        command.args(["--concurrency", &workers.to_string()]);
        // What Envoy says on starting fills pages; what the plugin says is what a failure has to show.
        command.args(["--log-level", "warning", "--component-log-level", "wasm:info"]);
        // The default of 10 seconds would hold each access log line back for so long.
        command.args(["--file-flush-interval-msec", "20"]);
        let mut process = Process::start(name, &mut command);

        let admin = process.wait_for("an admin port", |_| fs::read_to_string(&admin_file).ok()?.parse().ok());
        process.wait_for("readiness", |_| (get(admin, "/ready")?.0 == 200).then_some(()));
        let is_served = |name: &str| name != ADMIN_LISTENER;
        let address = process.wait_for("a listener", |_| listener(&get(admin, LISTENERS)?.1, is_served));
        Self { process, admin, address }
    }

    /// Where the plugin's admin side listens.
    pub(crate) fn admin_side(&self) -> SocketAddr {
        let listeners = get(self.admin, LISTENERS).expect("the admin interface answers").1;
        listener(&listeners, |name| name == ADMIN_LISTENER).expect("a listener of the admin side")
    }

    /// The URL that an MCP client is given.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// A new connection to the listener.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// The value of a counter or gauge. Fails the test when Envoy knows none of this name.
    pub(crate) fn stat(&self, name: &str) -> u64 {
        let found = self.stats(name).into_iter().find(|(stat, _)| stat == name);
        found.unwrap_or_else(|| panic!("Envoy has no statistic {name}")).1
    }

    /// The counters and gauges whose name contains `part`, with their values.
    pub(crate) fn stats(&self, part: &str) -> Vec<(String, u64)> {
        let (_, text) = get(self.admin, "/stats").expect("the admin interface answers");
        let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
        lines
            .filter(|(name, _)| name.contains(part))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }

    /// How often the plugin trapped on any worker, as Envoy's log and its statistics have it.
    pub(crate) fn traps(&self) -> u64 {
        // The statistics count a trap only when a later request has the plugin started again, or denied that.
        let logged = self.log().lines().filter(|line| line.contains("failed: Uncaught")).count();
        let counted: u64 = ["vm_reload_success", "vm_reload_failure", "vm_reload_backoff"]
            .iter()
            .map(|stat| self.stat(&format!("wasm.mcp-policy.{stat}")))
            .sum();
        logged as u64 + counted
    }

    /// CPU time that it has taken so far, all its threads together.
    #[allow(dead_code, reason = "for the benchmark, which shares these modules")]
    pub(crate) fn cpu_nanoseconds(&self) -> u64 {
        self.process.cpu_nanoseconds()
    }

    /// The most memory, in KiB, that `work` takes beside what is there before.
    pub(crate) fn memory_of<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        self.process.forget_peak_memory();
        let before = self.process.peak_memory_kib();
        let done = work();
        (done, self.process.peak_memory_kib() - before)
    }

    /// The resident memory that it has now, in KiB.
    pub(crate) fn resident_memory_kib(&self) -> u64 {
        self.process.resident_memory_kib()
    }

    /// Its own log so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The first `count` lines of the access log, each a JSON object, as soon as there are so many.
    pub(crate) fn access_log(&mut self, count: usize) -> Vec<Value> {
        self.process.wait_for(&format!("{count} lines in the access log"), |process| {
            let lines = lines(process);
            (lines.len() >= count).then_some(lines)
        })
    }

    /// The access log, as soon as it has a line that is the last.
    #[allow(dead_code, reason = "the benchmark shares these modules")]
    pub(crate) fn access_log_to(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.process.wait_for("the last line of the access log", |process| {
            let lines = lines(process);
            lines.iter().any(&is_last).then_some(lines)
        })
    }
}

fn lines(process: &Process) -> Vec<Value> {
    let output = process.output();
    // The last line may not be whole yet.
    let lines = output.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// Has Envoy check a configuration, which runs the plugin's own check too; returns how it ended and what it logged.
pub(crate) fn validate(parts: &Parts, name: &str, config: &str) -> (ExitStatus, String) {
    run_to_the_end(parts, name, config, &["--mode", "validate"])
}

/// Starts Envoy on a configuration that it has to refuse; returns how it ended and what it logged.
pub(crate) fn start_in_vain(parts: &Parts, name: &str, config: &str) -> (ExitStatus, String) {
    run_to_the_end(parts, name, config, &["--concurrency", "1"])
}

fn run_to_the_end(parts: &Parts, name: &str, config: &str, arguments: &[&str]) -> (ExitStatus, String) {
    let file = scratch(&format!("{name}.yaml"));
    fs::write(&file, config).expect("a configuration in target/e2e");
    let mut process = Process::start(name, command(parts, &file).args(arguments));
    let status = process.ended();
    (status, process.log())
}

fn command(parts: &Parts, config: &Path) -> Command {
    let mut command = Command::new(&parts.envoy);
    // Several at once, and each alone: hot restart would join them by shared memory.
    command.current_dir(root()).arg("-c").arg(config).arg("--disable-hot-restart");
    command
}

/// `None` while nobody listens.
fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut connection = Connection::try_open(address)?;
    let response = connection.exchange(&Request::get(path));
    Some((response.status, response.text()))
}

/// The first listener with such a name.
fn listener(json: &str, is_meant: impl Fn(&str) -> bool) -> Option<SocketAddr> {
    let listeners: Value = serde_json::from_str(json).ok()?;
    let mut listeners = listeners["listener_statuses"].as_array()?.iter();
    let listener = listeners.find(|listener| listener["name"].as_str().is_some_and(&is_meant))?;
    let address = &listener["local_address"]["socket_address"];
    let port = u16::try_from(address["port_value"].as_u64()?).ok()?;
    Some(SocketAddr::new(address["address"].as_str()?.parse().ok()?, port))
}
