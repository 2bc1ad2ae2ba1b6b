//! Where what is shown goes: to the standard output, but for what people read while a program reads the records there.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

/// Tells of a fault, or of what others say. Unlike `eprintln!` it survives a terminal that has gone away.
pub(super) fn warn(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
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

    /// Shows a decision; whether anybody reads.
    pub(super) fn print(self, line: &str) -> bool {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
    }

    /// Tells people something.
    pub(super) fn say(self, text: &str) {
        // Where nobody reads it, nobody misses it.
        let _ = if self.is_json { writeln!(io::stderr(), "{text}") } else { writeln!(io::stdout(), "{text}") };
    }
}
