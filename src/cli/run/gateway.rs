//! Envoy, from its start to its end.

use super::admin::{Admin, Update, Updates};
use super::envoy::Envoy;
use super::place::Place;
use super::process;
use crate::cli::terminal::plain;
use process_wrap::tokio::ChildWrapper;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::ChildStdout;
use tokio::time::{sleep, timeout};

/// Compiling the plugin takes a second or two.
const TIME_TO_START: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// Lines of its log that a failure shows.
const TAIL_LINES: usize = 15;

/// A running Envoy.
#[derive(Debug)]
pub(super) struct Gateway {
    child: Box<dyn ChildWrapper>,
    log: PathBuf,
    port: u16,
    /// What it tells of itself.
    pub(super) admin: Admin,
}

impl Gateway {
    /// Starts it with this file. What comes beside it is its access log.
    pub(super) fn start(envoy: &Envoy, file: &Path, place: &Place, port: u16) -> io::Result<(Self, ChildStdout)> {
        let (log, admin) = (place.file("envoy.log"), place.file("admin.sock"));
        let errors = File::create(&log)?;
        let socket = admin.to_string_lossy().replace('\\', r"\\").replace('"', r#"\""#);
        let address = format!(r#"admin: {{ address: {{ pipe: {{ path: "{socket}", mode: 384 }} }} }}"#);
        let mut child = process::start(envoy.path.as_os_str(), |command| {
            // The access log is its standard output; by default it would be written only every 10 seconds.
            command.arg("-c").arg(file).arg("--config-yaml").arg(address);
            command.args(["--concurrency", "2", "--disable-hot-restart", "--file-flush-interval-msec", "200"]);
            command.args(["--log-level", "warn", "--component-log-level", "wasm:info"]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        })?;
        let stdout = child.stdout().take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((Self { child, log, port, admin: Admin(admin) }, stdout))
    }

    /// Waits until it listens and has taken up the plugin.
    ///
    /// # Errors
    /// Why it does not, for a person.
    pub(super) async fn ready(&mut self) -> Result<(), String> {
        let (admin, port) = (self.admin.clone(), self.port);
        let up = async {
            let update = admin.update_since(Updates::NONE).await;
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
                sleep(PAUSE).await;
            }
            update
        };
        tokio::select! {
            why = self.ended() => Err(why),
            up = timeout(TIME_TO_START, up) => match up {
                Ok(Update::Taken) => Ok(()),
                Ok(Update::Refused) => Err(self.told("Envoy refuses the plugin, and with it every call")),
                Err(_) => Err(self.told(&format!("Envoy does not serve within {} s", TIME_TO_START.as_secs()))),
            },
        }
    }

    /// Waits until it has ended by itself, and says so.
    pub(super) async fn ended(&mut self) -> String {
        let how =
            self.child.wait().await.map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string());
        self.told(&format!("Envoy has ended ({how})"))
    }

    /// Ends it.
    pub(super) async fn end(&mut self) {
        process::end(&mut *self.child, Duration::ZERO).await;
    }

    /// What happened, and the end of its log.
    fn told(&self, what: &str) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.iter().skip(lines.len().saturating_sub(TAIL_LINES));
        let tail: String = tail.map(|line| format!("\n  {}", plain(line))).collect();
        format!("{what}; the end of {}:{tail}", self.log.display())
    }
}
