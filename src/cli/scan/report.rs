//! What is said of each tool: a table for people, JSON for machines.

use super::listing::Listing;
use crate::cli::terminal::plain;
use mcp_policy::risk::{Assessment, Category};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// Columns of the longest name that is shown whole.
const MAX_NAME: usize = 48;

/// One tool, judged.
#[derive(Debug, Serialize)]
pub(super) struct Judged {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) assessment: Assessment,
}

#[derive(Serialize)]
struct Report<'a> {
    server: &'a str,
    revision: &'a str,
    tools: &'a [Judged],
}

pub(super) fn json(listing: &Listing, judged: &[Judged], out: &mut dyn Write) -> io::Result<()> {
    let report = Report { server: &listing.server, revision: &listing.revision, tools: judged };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

pub(super) fn table(listing: &Listing, judged: &[Judged], out: &mut dyn Write) -> io::Result<()> {
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let names: Vec<String> = judged.iter().map(|tool| shown(&tool.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(4);
    writeln!(out, "{} ({} tools, MCP {})\n", shown(&listing.server), judged.len(), listing.revision)?;
    writeln!(out, "{:width$}  {:11}  {:8}  WHY", "TOOL", "CATEGORY", "SEVERITY")?;
    for (name, Judged { assessment, .. }) in names.iter().zip(judged) {
        let Assessment { category, severity, .. } = assessment;
        let (on, off) = if colour { (paint(*category), "\x1b[0m") } else { ("", "") };
        writeln!(out, "{name:width$}  {on}{category:11}  {severity:8}{off}  {}", why(assessment))?;
    }
    let counts: Vec<String> = Category::ALL
        .into_iter()
        .map(|category| (category, judged.iter().filter(|tool| tool.assessment.category == category).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(category, count)| format!("{count} {category}"))
        .collect();
    writeln!(out, "\n{}", counts.join(", "))
}

fn paint(category: Category) -> &'static str {
    match category {
        Category::Read => "\x1b[32m",
        Category::Write => "\x1b[33m",
        Category::Execute => "\x1b[35m",
        Category::Destructive | Category::Financial => "\x1b[31m",
    }
}

/// The evidence that decided, without what the column before says.
fn why(assessment: &Assessment) -> String {
    let mut reasons: Vec<String> =
        assessment.deciding().map(|reason| format!("`{}` in the {}", shown(&reason.word), reason.field)).collect();
    reasons.truncate(3);
    if reasons.is_empty() { "nothing says what it does".to_owned() } else { reasons.join(", ") }
}

/// A server's text on a terminal: no control character of it acts there, and no name fills the screen.
pub(super) fn shown(text: &str) -> String {
    let is_long = text.chars().count() > MAX_NAME;
    let kept: String = text.chars().take(if is_long { MAX_NAME - 1 } else { MAX_NAME }).collect();
    let text = plain(&kept);
    if is_long { format!("{text}…") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_acts_on_the_terminal() {
        assert_eq!(shown("get_user's \"é\""), "get_user's \"é\"");
        assert_eq!(shown("a\u{1b}[2Jb\n\u{202e}c"), "a\\u{1b}[2Jb\\u{a}\\u{202e}c");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), MAX_NAME);
    }
}
