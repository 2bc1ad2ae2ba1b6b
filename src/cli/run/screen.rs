//! Where what is shown goes: to the standard output, but for what people read while a program reads the records there.
//!
//! Each stream has a thread that writes to it. A terminal that is halted, or a pipe that nobody reads, blocks that thread
//! and nothing else: calls are served meanwhile, and Ctrl-C ends it all.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

/// Lines that wait to be written; more are counted and left out.
const MAX_WAITING: usize = 1024;
/// What the last of them get at the end.
const TIME_TO_WRITE: Duration = Duration::from_secs(1);

static OUTPUT: OnceLock<Stream> = OnceLock::new();
static ERRORS: OnceLock<Stream> = OnceLock::new();

/// Tells of a fault, or of what others say. Unlike `eprintln!` it survives a terminal that has gone away.
pub(super) fn warn(text: impl Display) {
    // Where nobody reads it, nobody misses it.
    ERRORS.get_or_init(|| Stream::start(io::stderr())).show(text.to_string());
}

/// How to show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    /// Records on the standard output, and nothing else there.
    pub(super) is_json: bool,
    /// Whether lines may be coloured.
    pub(super) has_colour: bool,
}

impl Screen {
    /// As it was asked for; otherwise as the standard output is a terminal or not.
    pub(super) fn new(is_json: Option<bool>) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self {
            is_json: is_json.unwrap_or(!is_terminal),
            has_colour: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    /// Shows a decision; whether there is anybody who could read it.
    pub(super) fn print(self, line: &str) -> bool {
        output().show(line.to_owned())
    }

    /// Tells people something.
    pub(super) fn say(self, text: &str) {
        if self.is_json {
            warn(text);
        } else {
            output().show(text.to_owned());
        }
    }

    /// Waits until all is written, unless nobody reads it.
    pub(super) fn end(self) {
        for stream in [&OUTPUT, &ERRORS] {
            stream.get().into_iter().for_each(Stream::end);
        }
    }
}

fn output() -> &'static Stream {
    OUTPUT.get_or_init(|| Stream::start(io::stdout()))
}

/// A stream of this process, and the thread that writes to it.
struct Stream {
    lines: SyncSender<Line>,
    /// Lines that had no place.
    missed: AtomicUsize,
}

enum Line {
    Text(String),
    /// Says when what came before it is written.
    End(SyncSender<()>),
}

impl Stream {
    fn start(to: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = sync_channel(MAX_WAITING);
        thread::spawn(|| write(to, waiting));
        Self { lines, missed: AtomicUsize::new(0) }
    }

    /// Has a line written; whether there is anybody to read it, now or later.
    fn show(&self, text: String) -> bool {
        match self.lines.try_send(Line::Text(text)) {
            Ok(()) => {
                let missed = self.missed.swap(0, Ordering::Relaxed);
                if missed > 0 {
                    // To people, because programs read records.
                    warn(format_args!("mcp-policy: {missed} lines are not shown, because nobody read them in time"));
                }
                true
            }
            Err(TrySendError::Full(_)) => {
                self.missed.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    fn end(&self) {
        let (written, is_written) = sync_channel(1);
        if self.lines.try_send(Line::End(written)).is_ok() {
            let _ = is_written.recv_timeout(TIME_TO_WRITE);
        }
    }
}

/// Writes until nobody reads any more.
fn write(mut to: impl Write, lines: Receiver<Line>) {
    for line in lines {
        match line {
            Line::Text(text) => {
                if writeln!(to, "{text}").and_then(|()| to.flush()).is_err() {
                    return;
                }
            }
            Line::End(written) => {
                let _ = written.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Arc, Mutex};

    /// Takes a line for each time that it is let.
    struct Halted(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Halted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.ends_with(b"\n") {
                self.0.recv().map_err(io::Error::other)?;
            }
            self.1.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn halted() -> (Stream, Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let ((go, goes), written) = (channel(), Arc::default());
        (Stream::start(Halted(goes, Arc::clone(&written))), go, written)
    }

    #[test]
    fn what_nobody_reads_holds_nobody_up_and_is_counted() {
        let (stream, _go, _) = halted();
        let lines = MAX_WAITING + 100;
        assert!((0..lines).all(|line| stream.show(line.to_string())));
        // One is being written.
        assert!((99..=100).contains(&stream.missed.load(Ordering::Relaxed)));
    }

    #[test]
    fn the_last_line_is_written_and_a_reader_that_has_gone_is_noticed() {
        let (stream, go, written) = halted();
        assert!(stream.show("a".to_owned()));
        go.send(()).unwrap();
        stream.end();
        assert_eq!(*written.lock().unwrap(), b"a\n");
        drop(go);
        while stream.show("b".to_owned()) {
            thread::yield_now();
        }
    }
}
