//! The server's process: a line in its standard input is a message to it, one in its standard output a message of it, and
//! what it says on its standard error goes to ours.

use super::message::one_line;
use super::room::Waiting;
use super::session::Session;
use crate::cli::run::process;
use crate::cli::run::screen::warn;
use crate::cli::terminal::plain;
use process_wrap::tokio::ChildWrapper;
use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Of one message of the server; tool lists can be long.
const MAX_LINE_BYTES: usize = 64 << 20;
/// Of a line on its standard error, as much as is repeated.
const MAX_ERROR_BYTES: usize = 4 << 10;
/// Messages to the server that wait until it reads.
pub(super) const MAX_WAITING: usize = 256;

/// What a process gets to see that its input has ended.
const TIME_TO_SEE: Duration = Duration::from_secs(1);

/// How a process is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Not yet.
    No,
    /// When it has had a moment to see that its input has ended.
    Gently,
    /// Together with everything else.
    Now,
}

/// A process whose streams nobody serves yet.
pub(super) struct Child {
    child: Box<dyn ChildWrapper>,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

impl Child {
    /// Starts the server.
    pub(super) fn start(words: &[OsString]) -> io::Result<Self> {
        let Some((program, arguments)) = words.split_first() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut child = process::start(program, |command| {
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        })?;
        let (stdin, stdout, stderr) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        match (stdin, stdout, stderr) {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok(Self { child, stdin, stdout, stderr }),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Has it speak with `session`, whose `messages` go to it, until `end` says otherwise. The task is done when the process
    /// is gone.
    pub(super) fn serve(
        self,
        session: Arc<Session>,
        messages: mpsc::Receiver<Waiting>,
        mut end: watch::Receiver<End>,
    ) -> JoinHandle<()> {
        let Self { mut child, stdin, stdout, stderr } = self;
        tokio::spawn(write(stdin, messages));
        tokio::spawn(repeat(stderr));
        tokio::spawn(read(stdout, Arc::clone(&session)));
        tokio::spawn(async move {
            let asked = tokio::select! {
                _ = child.wait() => End::No,
                // The session, which is held here, can always ask.
                asked = end.wait_for(|asked| *asked != End::No) => asked.map_or(End::Now, |asked| *asked),
            };
            let grace = if asked == End::Now { Duration::ZERO } else { TIME_TO_SEE };
            // Also when it has ended by itself: what it has started may not have.
            process::end(&mut *child, grace).await;
            session.has_ended();
        })
    }
}

async fn write(mut stdin: ChildStdin, mut messages: mpsc::Receiver<Waiting>) {
    while let Some(message) = messages.recv().await {
        let line = one_line(&message.text) + "\n";
        if stdin.write_all(line.as_bytes()).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

async fn read(stdout: ChildStdout, session: Arc<Session>) {
    let mut lines = Lines { inner: BufReader::new(stdout), bound: MAX_LINE_BYTES };
    while let Some(line) = lines.next().await {
        let is_message = match std::str::from_utf8(&line).map(one_line) {
            Ok(line) => line.is_empty() || session.take(&line),
            Err(_) => false,
        };
        if !is_message {
            let line: String = String::from_utf8_lossy(&line).trim_end().chars().take(200).collect();
            let what = "the server writes on its standard output what is no message";
            warn(format_args!("mcp-policy: {what}: {}", plain(&line)));
        }
    }
    session.has_ended();
}

async fn repeat(stderr: impl AsyncRead + Unpin) {
    let mut lines = Lines { inner: BufReader::new(stderr), bound: MAX_ERROR_BYTES };
    while let Some(line) = lines.next().await {
        warn(format_args!("server: {}", plain(String::from_utf8_lossy(&line).trim_end())));
    }
}

/// Lines, each cut at a bound: the rest of a longer one is a line of its own.
struct Lines<R> {
    inner: BufReader<R>,
    bound: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    async fn next(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let bound = u64::try_from(self.bound).unwrap_or(u64::MAX);
        let read = (&mut self.inner).take(bound).read_until(b'\n', &mut line).await.ok()?;
        (read > 0).then_some(line)
    }
}
