//! The decisions, as they come out of Envoy's access log: a line each for people, or the records for programs.

use super::screen::Screen;
use crate::cli::terminal::plain;
use serde::Deserialize;
use std::future::pending;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// A line of the access log.
#[derive(Deserialize)]
struct Line {
    /// The plugin's record, itself JSON; none when there was nothing to decide.
    #[serde(default)]
    decision: Option<String>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    details: Option<String>,
}

/// What is shown of a record; `docs/decisions.md` has all of it.
#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    ts: String,
    #[serde(default)]
    grant: String,
    #[serde(default)]
    method: String,
    tool: Option<String>,
    prompt: Option<String>,
    resource: Option<String>,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    message: String,
    answer: Option<String>,
}

/// Columns that a text may take on a line.
const MAX_TEXT: usize = 100;

/// Shows what comes; done only when nobody reads what is shown any more.
pub(super) async fn show(log: impl AsyncRead + Unpin, screen: Screen) {
    let mut lines = BufReader::new(log).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
        let shown = if screen.is_json { line.decision } else { Some(text(&line, screen.has_colour)).flatten() };
        if shown.is_some_and(|shown| !screen.print(&shown)) {
            return;
        }
    }
    // Envoy has closed it, and is waited for elsewhere.
    pending().await
}

/// The line for people; none for what went well and was nothing to decide.
fn text(line: &Line, has_colour: bool) -> Option<String> {
    let record = line.decision.as_deref().and_then(|record| serde_json::from_str::<Record>(record).ok());
    let Some(record) = record else {
        let status = line.status.filter(|status| *status == 0 || *status >= 400)?;
        let part = |text: &Option<String>| short(text.as_deref().unwrap_or_default());
        let (method, path, details) = (part(&line.method), part(&line.path), part(&line.details));
        return Some(format!("          {:17}  {method} {path}  {status} {details}", "no answer"));
    };
    let (on, off) = if has_colour { (paint(&record.outcome), "\x1b[0m") } else { ("", "") };
    let target = record.tool.or(record.prompt).or(record.resource).unwrap_or_default();
    let what = format!("{} {}", short(&record.method), short(&target));
    let time = record.ts.get(11..19).unwrap_or_default();
    let mut text = format!("{time:8}  {on}{:17}{off}  {:30}", short(&record.outcome), what.trim_end());
    let why = [record.rule, record.message, record.answer.unwrap_or_default()];
    for part in why.iter().filter(|part| !part.is_empty()) {
        text.push_str("  ");
        text.push_str(&short(part));
    }
    // Without grants everyone is anonymous.
    if !record.grant.is_empty() && record.grant != "anonymous" {
        text.push_str(&format!("  [{}]", short(&record.grant)));
    }
    Some(text.trim_end().to_owned())
}

fn paint(outcome: &str) -> &'static str {
    match outcome {
        "allowed" => "\x1b[32m",
        "denied" => "\x1b[31m",
        // A person is waited for, or only looks on.
        _ => "\x1b[33m",
    }
}

/// Somebody's text, so that it neither acts on a terminal nor fills it.
fn short(text: &str) -> String {
    let kept: String = text.chars().take(MAX_TEXT).collect();
    let cut = if kept.len() < text.len() { "…" } else { "" };
    plain(&kept) + cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str, has_colour: bool) -> Option<String> {
        text(&serde_json::from_str(line).unwrap(), has_colour)
    }

    #[test]
    fn a_decision_is_one_line() {
        let denied = r#"{"status":200,"decision":"{\"ts\":\"2026-11-21T06:02:54.839Z\",\"grant\":\"anonymous\",\"method\":\"tools/call\",\"tool\":\"get-sum\",\"outcome\":\"denied\",\"rule\":\"/tools/get-sum/action\",\"message\":\"No\\u001b[2J sums.\"}"}"#;
        assert_eq!(
            shown(denied, false).unwrap(),
            "06:02:54  denied             tools/call get-sum              /tools/get-sum/action  No\\u{1b}[2J sums."
        );
        assert!(shown(denied, true).unwrap().contains("\x1b[31mdenied           \x1b[0m"));
        let allowed = r#"{"status":200,"decision":"{\"ts\":\"2026-11-21T06:02:54.839Z\",\"grant\":\"ops\",\"method\":\"tools/list\",\"outcome\":\"allowed\",\"rule\":\"\",\"message\":\"\"}"}"#;
        assert_eq!(
            shown(allowed, false).unwrap(),
            "06:02:54  allowed            tools/list                      [ops]"
        );
    }

    #[test]
    fn what_was_no_decision_is_shown_when_it_went_wrong() {
        let away = r#"{"method":"GET","path":"/mcp","status":503,"details":"upstream_reset","decision":null}"#;
        assert_eq!(shown(away, false).unwrap(), "          no answer          GET /mcp  503 upstream_reset");
        assert_eq!(shown(r#"{"method":"GET","path":"/mcp","status":200,"decision":null}"#, false), None);
        // Whoever opens no stream there is told so, and goes on.
    }
}
