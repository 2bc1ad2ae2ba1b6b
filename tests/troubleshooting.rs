//! `docs/troubleshooting.md` has whatever the plugin says: the texts are taken from the source, so that a new refusal or
//! line of the log without a row fails.
#![cfg(unix)]
// A test is a host: it may read files, and what it finds missing ends it.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice
)]

#[path = "support/pages.rs"]
mod pages;

use pages::{fits, quoted, read, root, rows};
use std::collections::BTreeSet;

/// Where the words of the plugin for clients, for Envoy's log and for the admin side are, and those in the place of a bridged
/// server.
const SAYS: &[&str] = &[
    "src/admin",
    "src/approvals/notify",
    "src/cli/run/bridge",
    "src/exchange",
    "src/plugin",
    "src/policy/compile.rs",
    "src/policy/decide.rs",
    "src/policy/decision.rs",
    "src/policy/limit.rs",
    "src/policy/methods.rs",
    "src/wire",
];
/// The same for the words of the command line, of which the page has the common ones.
const COMMANDS: &[&str] = &["src/cli", "src/main.rs"];
/// What is no line of its own: names of rules, what event streams begin with, and parts of a policy's problems.
const NO_WORDS: &[&str] = &[
    "(default deny)",
    "(no grant)",
    "(no policy)",
    "event: messagedata: ",
    "event: messagedata: …",
    "a string before byte … is not valid Unicode",
    "not JSON: not UTF-8",
];

fn files(path: &str, found: &mut Vec<String>) {
    let whole = root().join(path);
    if whole.is_file() {
        found.extend(path.ends_with(".rs").then(|| path.to_owned()));
    } else {
        for file in std::fs::read_dir(&whole).unwrap_or_else(|error| panic!("{path}: {error}")) {
            let name = file.expect("a file").file_name().into_string().expect("UTF-8");
            if !name.starts_with("tests") {
                files(&format!("{path}/{name}"), found);
            }
        }
    }
}

/// The literals of a line of Rust, as they print, with `…` for what is filled in.
fn literals(line: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), line.replace("'\"'", ""));
    while let Some((_, after)) = rest.split_once('"') {
        let mut text = String::new();
        let mut characters = after.chars();
        loop {
            match characters.next() {
                Some('\\') => text.extend(characters.next().filter(|escaped| *escaped == '"')),
                Some('"') => break,
                Some('{') if characters.as_str().starts_with('{') => text.extend(characters.next()),
                Some('{') => {
                    text.push('…');
                    characters.by_ref().find(|character| *character == '}');
                }
                Some(character) => text.push(character),
                // It goes on on the next line, which no text here does.
                None => return found,
            }
        }
        found.push(text);
        rest = characters.as_str().to_owned();
    }
    found
}

/// Every literal of at least two words, outside of tests, comments and attributes.
fn texts(places: &[&str]) -> BTreeSet<String> {
    let mut paths = Vec::new();
    places.iter().for_each(|place| files(place, &mut paths));
    let mut found = BTreeSet::new();
    for path in paths {
        let text = read(&path);
        let code = text.split("#[cfg(test)]\nmod tests {").next().expect("a beginning");
        for line in code.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.starts_with('#')) {
            let is_sentence = |text: &String| {
                let words = text
                    .split(' ')
                    .filter(|word| word.chars().all(|c| c.is_alphanumeric() || "`'._-/,:;()".contains(c)));
                words.filter(|word| word.chars().any(char::is_lowercase)).count() > 1
            };
            found.extend(literals(line).into_iter().filter(is_sentence));
        }
    }
    found.retain(|text| !NO_WORDS.contains(&text.as_str()));
    found
}

/// The texts of the tables whose first column has one of these heads.
fn told(heads: &[&str]) -> Vec<String> {
    let page = read("docs/troubleshooting.md");
    let mut told = Vec::new();
    for head in heads {
        let rows = rows(&page, head);
        assert!(!rows.is_empty(), "no table of what {head}");
        told.extend(rows.iter().flat_map(|row| quoted(row[0])).map(|text| text.trim().to_owned()));
    }
    told
}

/// Whether the one is a part of the other.
fn is_in(part: &str, whole: &str) -> bool {
    fits(&format!("…{part}…"), whole)
}

#[test]
fn whatever_the_plugin_says_has_a_row() {
    let (said, told) = (texts(SAYS), told(&["the client reads", "the log says", "it answers"]));
    // What a policy's author is told of has a page of its own, which `tests/docs.rs` holds against the problems.
    let problems = read("docs/problems.md");
    let problems: Vec<&str> = rows(&problems, "text").iter().flat_map(|row| quoted(row[0])).collect();
    let is_told =
        |text: &&String| told.iter().any(|row| is_in(text, row)) || problems.iter().any(|row| is_in(text, row));
    let missing: Vec<&String> = said.iter().filter(|text| !is_told(text)).collect();
    assert!(missing.is_empty(), "no row of docs/troubleshooting.md has\n{missing:#?}");
    let stale: Vec<&String> = told.iter().filter(|row| !said.iter().any(|text| is_in(text, row))).collect();
    assert!(stale.is_empty(), "nothing says\n{stale:#?}");
    assert!(said.len() > 100, "{}", said.len());
}

#[test]
fn what_the_command_line_is_said_to_say_it_says() {
    let said = texts(COMMANDS);
    for row in told(&["the command says"]) {
        let is_others = row.contains("(os error ") || row.starts_with("error: ");
        assert!(is_others || said.iter().any(|text| is_in(text, &row)), "nothing says {row}");
    }
}
