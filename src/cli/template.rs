//! Files with known lines that options exchange: how `render` fills its templates. Only values that are quoted or
//! checked reach YAML, because whoever writes a policy's text, or a name, must not write the configuration of a proxy.

use std::fmt;

/// Why nothing was rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenderError {
    /// What was given for an option cannot be used.
    Value {
        /// Which option.
        option: &'static str,
        /// As it was given.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A text holds a character that YAML cannot hold as it is.
    Unprintable {
        /// Which option.
        option: &'static str,
        /// The character.
        character: char,
    },
    /// The template has not as many lines of this text as it should, so it cannot be filled in.
    Template {
        /// The line, without its indentation.
        line: &'static str,
    },
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { option, value, why } => write!(f, "the {option} `{}` {why}", value.escape_debug()),
            Self::Unprintable { option, character } => {
                write!(
                    f,
                    "the {option} holds the character U+{:04X}, which YAML cannot hold as it is",
                    *character as u32
                )?;
                if *option == CONFIGURATION { f.write_str(": in JSON write it as an escape") } else { Ok(()) }
            }
            Self::Template { line } => write!(f, "the template has the line `{line}` too often, or not at all"),
        }
    }
}

impl std::error::Error for RenderError {}

/// What [`RenderError::Unprintable`] calls the plugin configuration.
const CONFIGURATION: &str = "configuration";

/// The one line that reads `known`, exchanged for `line` at the same indentation.
pub(super) fn replace_line(file: &str, known: &'static str, line: &str) -> Result<String, RenderError> {
    replace_lines(file, known, 1, line)
}

/// The `count` lines that read `known`, each exchanged for `line` at its indentation.
pub(super) fn replace_lines(file: &str, known: &'static str, count: usize, line: &str) -> Result<String, RenderError> {
    only_so_often(file, known, count)?;
    let exchange = |old: &str| {
        if old.trim_start() == known { format!("{}{line}\n", indentation(old)) } else { format!("{old}\n") }
    };
    Ok(file.lines().map(exchange).collect())
}

/// The lines that stand deeper than the one that reads `known`, exchanged for those of `text`.
pub(super) fn replace_block(file: &str, known: &'static str, text: &str) -> Result<String, RenderError> {
    only_so_often(file, known, 1)?;
    holdable(CONFIGURATION, text, &['\n', '\r', '\t'])?;
    // YAML takes a carriage return for a line break, JSON for a blank.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut filled = String::with_capacity(file.len() + 2 * text.len());
    // How deep the known line stands, while we are between it and the first line that is not deeper.
    let mut block: Option<&str> = None;
    for line in file.lines() {
        if block.is_some_and(|outer| line.is_empty() || indentation(line).len() > outer.len()) {
            continue;
        }
        block = None;
        filled.push_str(line);
        filled.push('\n');
        if line.trim_start() == known {
            block = Some(indentation(line));
            // The first line sets the depth of a block scalar, so no blanks may precede it; JSON gives them no meaning.
            for part in text.trim().lines() {
                filled.push_str(format!("{}  {}", indentation(line), part.trim_end()).trim_end());
                filled.push('\n');
            }
        }
    }
    Ok(filled)
}

fn only_so_often(file: &str, known: &'static str, count: usize) -> Result<(), RenderError> {
    if file.lines().filter(|line| line.trim_start() == known).count() == count {
        Ok(())
    } else {
        Err(RenderError::Template { line: known })
    }
}

/// The blanks that `line` begins with.
fn indentation(line: &str) -> &str {
    line.strip_suffix(line.trim_start()).unwrap_or_default()
}

/// `text` as a double-quoted scalar.
pub(super) fn quoted(option: &'static str, text: &str) -> Result<String, RenderError> {
    holdable(option, text, &[])?;
    Ok(format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#)))
}

/// Refuses what YAML 1.1 or 1.2 reads as a line break, or not as text at all; `blanks` are fine where this text goes.
fn holdable(option: &'static str, text: &str, blanks: &[char]) -> Result<(), RenderError> {
    match text.chars().find(|character| !is_holdable(*character) && !blanks.contains(character)) {
        Some(character) => Err(RenderError::Unprintable { option, character }),
        None => Ok(()),
    }
}

/// Whether YAML 1.1 and 1.2 take it as a character of a text.
pub(super) fn is_holdable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}')
}
