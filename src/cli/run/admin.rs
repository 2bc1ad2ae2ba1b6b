//! What Envoy tells of itself on its admin socket, which is for this user alone.

use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

/// What begins the statistics of the file with the plugin and its policy.
const UPDATES: &str = "extension_config_discovery.http_filter.mcp-policy.update_";
/// A busy Envoy may be late to answer.
const TIME_TO_ANSWER: Duration = Duration::from_secs(5);
/// Of an answer.
const MAX_BYTES: u64 = 1 << 20;
const PAUSE: Duration = Duration::from_millis(10);

/// How often Envoy has taken up a plugin file, and refused one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Updates {
    success: u64,
    /// By the plugin or by Envoy, or not to be read at all.
    refused: u64,
}

/// What became of a plugin file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Update {
    /// It is in force.
    Taken,
    /// It is not.
    Refused,
}

impl Updates {
    /// As it is before Envoy has started.
    pub(super) const NONE: Self = Self { success: 0, refused: 0 };
}

/// Envoy's admin interface on a socket.
#[derive(Debug, Clone)]
pub(super) struct Admin(pub(super) PathBuf);

impl Admin {
    /// What the statistics say now; none when Envoy does not answer.
    pub(super) async fn updates(&self) -> Option<Updates> {
        let path = format!("/stats?filter={UPDATES}");
        let text = timeout(TIME_TO_ANSWER, self.get(&path)).await.ok()?.ok()?;
        let count = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(UPDATES)?.strip_prefix(name)?.strip_prefix(": "));
            line.and_then(|count| count.trim().parse::<u64>().ok())
        };
        Some(Updates { success: count("success")?, refused: count("rejected")? + count("failure")? })
    }

    /// Waits until Envoy has done something about a file that came after `before`.
    pub(super) async fn update_since(&self, before: Updates) -> Update {
        loop {
            match self.updates().await {
                Some(now) if now.success > before.success => return Update::Taken,
                Some(now) if now.refused > before.refused => return Update::Refused,
                _ => sleep(PAUSE).await,
            }
        }
    }

    /// Any answer, its head included.
    async fn get(&self, path: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.0).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(MAX_BYTES).read_to_string(&mut answer).await?;
        Ok(answer)
    }
}
