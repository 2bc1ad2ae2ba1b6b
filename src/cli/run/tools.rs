//! The tools that a client sees through the gate, beside those that the server has.

use super::screen::Screen;
use crate::cli::scan::client::{Server, ask};
use crate::cli::scan::listing::Listing;
use crate::cli::terminal::plain;
use std::time::Duration;
use tokio::time::timeout;

/// A package runner may have to fetch the server first.
const TIME_TO_LIST: Duration = Duration::from_secs(60);
/// Names that are shown; more are counted.
const MAX_NAMES: usize = 30;
/// Columns of a line of them.
const WIDTH: usize = 100;

/// Lists both, and says what is hidden; or why there is no list, in a line.
pub(super) async fn show(server: &Server, gate: &Server, screen: Screen) {
    let listed = list(server).await;
    if let Err(why) = &listed {
        screen.say(&format!("The server does not list its tools now: {why}"));
    }
    let (listed, seen) = match (listed, list(gate).await) {
        (Ok(listed), Ok(seen)) => (listed, seen),
        (Ok(_), Err(why)) => return screen.say(&format!("Through the gate there is no list of tools: {why}")),
        // By Envoy it may be reached all the same: by authorities of its own, for one.
        (Err(_), Ok(seen)) => {
            screen.say(&format!("Through the gate clients see {} tools:", names(&seen).len()));
            return screen.say(&wrapped(&names(&seen)));
        }
        (Err(_), Err(_)) => return,
    };
    let [all, seen_names] = [&listed, &seen].map(names);
    let hidden: Vec<&str> = all.iter().copied().filter(|name| !seen_names.contains(name)).collect();
    let server = plain(listed.server.trim());
    screen.say(&format!("Clients see {} of the {} tools of {server}:", seen_names.len(), all.len()));
    screen.say(&wrapped(&seen_names));
    if !hidden.is_empty() {
        screen.say("Hidden from them:");
        screen.say(&wrapped(&hidden));
    }
}

async fn list(server: &Server) -> Result<Listing, String> {
    let limit = TIME_TO_LIST;
    let listed = timeout(limit, ask(server, &mut |_| {})).await;
    listed.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.tools.iter().filter_map(|tool| tool.get("name")?.as_str()).collect()
}

/// The names, a few on a line.
fn wrapped(names: &[&str]) -> String {
    let mut lines = vec![String::new()];
    for (index, name) in names.iter().take(MAX_NAMES).enumerate() {
        let comma = if index + 1 < names.len() { "," } else { "" };
        let word = format!(" {}{comma}", plain(name));
        match lines.last_mut() {
            Some(line) if line.is_empty() || line.chars().count() + word.chars().count() <= WIDTH => {
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    if names.len() > MAX_NAMES {
        lines.push(format!(" and {} more", names.len() - MAX_NAMES));
    }
    lines.iter().map(|line| format!(" {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn names_are_wrapped_and_do_not_act() {
        assert_eq!(wrapped(&["echo", "a\u{1b}b"]), "  echo, a\\u{1b}b");
        let long = "x".repeat(60);
        assert_eq!(wrapped(&[&long, &long]), format!("  {long},\n  {long}"));
        let many = vec!["a"; 31];
        assert!(wrapped(&many).ends_with("\n  and 1 more"), "{}", wrapped(&many));
    }
}
