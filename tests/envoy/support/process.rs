//! Child processes that end with the test, whichever way it ends, and whose logs tell why it failed.

use super::parts::scratch;
use super::wait;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Lines of a log that a failure shows.
const TAIL_LINES: usize = 40;

/// A running program. Killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    output: PathBuf,
}

impl Process {
    /// Starts `command`, with its stderr in `target/e2e/NAME.log` and its stdout in `target/e2e/NAME.out`.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let (log, output) = (scratch(&format!("{name}.log")), scratch(&format!("{name}.out")));
        let create = |path: &PathBuf| File::create(path).expect("a file in target/e2e");
        let child = command
            .stdin(Stdio::null())
            .stdout(create(&output))
            .stderr(create(&log))
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: cannot start {:?}: {error}", command.get_program()));
        Self { name: name.to_owned(), child, log, output }
    }

    /// Asks `probe` until it has an answer. Fails the test when the process ends before, or at the deadline.
    pub(crate) fn wait_for<T>(&mut self, what: &str, mut probe: impl FnMut(&Self) -> Option<T>) -> T {
        let found = wait::poll(|| {
            let ended = self.child.try_wait().expect("the state of a child");
            assert!(ended.is_none(), "{}: ended ({}) before {what}", self.name, ended.unwrap_or_default());
            probe(self)
        });
        found.unwrap_or_else(|| panic!("{}: no {what} within {:?}", self.name, wait::DEADLINE))
    }

    /// Waits until it says on stderr, after these words, where it listens.
    pub(crate) fn wait_for_address(&mut self, words: &str) -> SocketAddr {
        self.wait_for("an address to listen on", |process| {
            process.log().lines().find_map(|line| line.strip_prefix(words))?.parse().ok()
        })
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let status = wait::poll(|| self.child.try_wait().expect("the state of a child"));
        status.unwrap_or_else(|| panic!("{}: still runs after {:?}", self.name, wait::DEADLINE))
    }

    /// Whether it has.
    #[allow(dead_code, reason = "the benchmark shares these modules")]
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_some()
    }

    /// Asks it to end.
    #[allow(dead_code, reason = "the benchmark shares these modules")]
    pub(crate) fn terminate(&self) {
        // It may have ended before.
        let _ = Command::new("kill").args(["-TERM", &self.id().to_string()]).status();
    }

    /// Its process id.
    #[allow(dead_code, reason = "the benchmark shares these modules")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Forgets how much memory it ever had (proc(5), `clear_refs`).
    pub(crate) fn forget_peak_memory(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").expect("a running process");
    }

    /// The most resident memory that it has had at a time (`VmHWM`).
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    /// The resident memory that it has now (`VmRSS`).
    pub(crate) fn resident_memory_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    fn memory_kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let memory = status.lines().find_map(|line| line.strip_prefix(name)).expect("a size that proc(5) names");
        memory.trim().trim_end_matches(" kB").parse().expect("kB")
    }

    /// CPU time that its threads have taken, by the scheduler's own count (`/proc/PID/task/*/schedstat`).
    #[allow(dead_code, reason = "for the benchmark, which shares these modules")]
    pub(crate) fn cpu_nanoseconds(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a running process");
        let spent = |task: std::io::Result<fs::DirEntry>| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        tasks.filter_map(spent).sum()
    }

    /// What it has written to stderr so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).expect("the log")).into_owned()
    }

    /// What it has written to stdout so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).expect("the output")).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
            eprintln!("--- the end of {}:\n{tail}\n---", self.log.display());
        }
    }
}
