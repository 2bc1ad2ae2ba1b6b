//! English words of tool names, and what a tool that is named by them does. Lists are sorted.
//!
//! The words are those that public MCP servers and the APIs behind them use. Where a verb means different things to
//! different servers the riskier one stands. What decides between Write and Destructive is whether the tool's own
//! server can take it back: `pause` can, `abort` cannot; between Write and Execute, whether something runs.

use super::Category;
use super::words::{self, words};

/// How surely a word is a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Never anything else in a name: `delete`, `get`.
    Verb,
    /// A verb or a noun, by its place: `list`, `run`, `call`.
    Either,
    /// Mostly a noun; a verb only where there is no other: `comment`, `branch`.
    Noun,
}

/// A word that the lexicon knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) says: Category,
    pub(super) kind: Kind,
}

use Category::{Destructive, Execute, Financial, Read, Write};
use Kind::{Either, Noun, Verb};

#[rustfmt::skip]
const TABLE: &[(Category, Kind, &str)] = &[
    (Read, Verb, words![
        "analyse", "analyze", "autocomplete", "browse", "calculate", "capture", "classify", "compare", "crawl",
        "decode", "describe", "detect", "determine", "diagnose", "discover", "display", "enumerate", "estimate",
        "examine", "explain", "explore", "extract", "fetch", "find", "geocode", "get", "grep", "hget", "hgetall",
        "identify", "inspect", "introspect", "investigate", "learn", "lint", "locate", "lookup", "lrange", "observe",
        "obtain", "paginate", "parse", "predict", "recall", "recommend", "rerank", "retrieve", "scrape", "show",
        "smembers", "suggest", "summarise", "summarize", "surface", "transcribe", "translate", "validate", "verify",
        "visualize", "whoami", "xrange", "zrange",
    ]),
    (Read, Either, words![
        "access", "aggregate", "ask", "check", "convert", "count", "diff", "echo", "filter", "help", "list", "monitor",
        "peek", "ping", "plan", "preview", "profile", "query", "rank", "read", "reason", "research", "return", "scan",
        "search", "select", "status", "tail", "think", "trace", "view", "wait", "watch",
    ]),
    (Read, Noun, words!["extraction", "retrieval", "screenshot"]),
    (Write, Verb, words![
        "accept", "acknowledge", "activate", "add", "adjust", "allow", "annotate", "append", "approve", "archive",
        "assign", "associate", "attach", "authorise", "authorize", "autofix", "categorize", "clone", "close",
        "complete", "configure", "confirm", "connect", "copy", "create", "customize", "deactivate", "decline",
        "decrement", "define", "demote", "detach", "disable", "disassociate", "disconnect", "dismiss", "duplicate",
        "edit", "enable", "enqueue", "enroll", "escalate", "favorite", "fix", "follow", "generate", "grant", "hide",
        "hset", "ignore", "import", "increment", "ingest", "init", "initialise", "initialize", "insert", "invite",
        "join", "kick", "leave", "lpush", "make", "manage", "mark", "merge", "modify", "move", "mute", "notify",
        "organize", "override", "overwrite", "pause", "persist", "populate", "prepare", "prepend", "promote",
        "provision", "publish", "put", "react", "rebase", "register", "reject", "remember", "rename", "reopen",
        "reorder", "replace", "reply", "reschedule", "resize", "respond", "restore", "resume", "rotate", "rpush",
        "sadd", "save", "scaffold", "send", "silence", "snooze", "submit", "subscribe", "suspend", "sync",
        "synchronize", "toggle", "transition", "unarchive", "unassign", "unblock", "unfollow", "unhide", "unlike",
        "unlink", "unlock", "unmute", "unpin", "unpublish", "unshare", "unstage", "unstar", "unsubscribe", "untag",
        "unwatch", "upsert", "xadd", "zadd",
    ]),
    (Write, Either, words![
        "ban", "block", "book", "bookmark", "change", "checkout", "claim", "commit", "compose", "cordon", "design",
        "download", "draft", "export", "flag", "fork", "forward", "index", "like", "link", "load", "lock", "open",
        "patch", "pin", "place", "post", "pull", "push", "raise", "rate", "record", "release", "request", "reserve",
        "resolve", "scale", "schedule", "set", "setup", "share", "sign", "stage", "star", "store", "switch", "track",
        "transfer", "update", "upload", "vote", "write",
    ]),
    (Write, Noun, words![
        "backup", "branch", "comment", "creation", "email", "label", "log", "management", "message", "modification",
        "note", "report", "review", "stash", "tag",
    ]),
    (Execute, Verb, words![
        "automate", "boot", "compile", "debug", "dispatch", "eval", "evaluate", "exec", "execute", "failover",
        "inject", "interact", "invoke", "migrate", "orchestrate", "reboot", "rebuild", "recreate", "redeploy",
        "relaunch", "replay", "rerun", "restart", "spawn",
    ]),
    (Execute, Either, words![
        "act", "apply", "build", "call", "click", "delegate", "deploy", "downgrade", "drag", "drain", "fill", "hover",
        "initiate", "install", "launch", "navigate", "perform", "play", "press", "retry", "rollback", "run",
        "shutdown", "simulate", "start", "stop", "test", "trigger", "type", "upgrade",
    ]),
    (Execute, Noun, words![
        "agent", "automation", "bash", "cmd", "control", "curl", "execution", "handle", "kubectl", "operate",
        "powershell", "process", "psql", "repl", "shell", "sql", "ssh", "terminal", "use",
    ]),
    (Destructive, Verb, words![
        "abort", "cancel", "cleanup", "decommission", "del", "delete", "deprovision", "deregister", "destroy",
        "discard", "erase", "evict", "expunge", "flushall", "flushdb", "forget", "hdel", "lpop", "nuke", "obliterate",
        "prune", "purge", "remove", "revoke", "rm", "rmdir", "rpop", "shred", "spop", "srem", "terminate", "truncate",
        "undeploy", "uninstall", "unregister", "unset", "wipe", "xdel", "zap", "zrem",
    ]),
    (Destructive, Either, words![
        "clean", "clear", "drop", "empty", "expire", "flush", "force", "kill", "pop", "reset", "revert", "trash",
        "void",
    ]),
    (Destructive, Noun, words!["deletion", "removal"]),
    (Financial, Verb, words![
        "buy", "disburse", "donate", "pay", "purchase", "redeem", "refund", "reimburse", "repay", "sell", "unstake",
        "withdraw",
    ]),
    (Financial, Either, words!["bid", "deposit", "mint", "payout", "stake", "swap", "tip", "trade"]),
];

/// What `word`, as it stands, says.
pub(super) fn entry(word: &str) -> Option<Entry> {
    TABLE
        .iter()
        .find(|(_, _, words)| words::is_in(words, word))
        .map(|(says, kind, _)| Entry { says: *says, kind: *kind })
}

/// What `word` says, or the verb of which it is a form: `deletes`, `deleting`.
pub(super) fn inflected(word: &str) -> Option<Entry> {
    words::stems(word).find_map(|stem| entry(&stem))
}

/// Verbs that names in one piece begin with: `deletefile`.
#[rustfmt::skip]
const GLUED: &[&str] = &[
    "create", "delete", "destroy", "execute", "fetch", "get", "insert", "invoke", "list", "remove", "retrieve",
    "search", "truncate", "update", "upload", "write",
];

/// And those that they end with: `filedelete`.
const GLUED_LAST: &[&str] = &["delete", "destroy", "execute", "remove"];

/// What follows a verb within a word that only looks like a verb and its object: `listener`, `executed`.
#[rustfmt::skip]
const ENDINGS: &[&str] = &[
    "able", "ables", "ance", "ener", "eners", "ers", "ings", "ing", "ion", "ions", "ment", "ments", "rs", "ter", "away",
];

/// The verb that a word in one piece begins or ends with.
pub(super) fn glued(word: &str) -> Option<&'static str> {
    if let Some(verb) = GLUED_LAST.iter().find(|verb| word.len() > verb.len() && word.ends_with(*verb)) {
        return Some(verb);
    }
    GLUED
        .iter()
        .copied()
        .find(|verb| word.strip_prefix(verb).is_some_and(|rest| rest.chars().count() >= 3 && !ENDINGS.contains(&rest)))
}

/// Whether `word` makes a noun of the verb before it: `Run history`, `Call details`.
pub(super) fn is_record(word: &str) -> bool {
    ["details", "history", "info", "information", "log", "logs", "metadata", "results", "stats", "status"]
        .contains(&word)
}

/// Nouns that name something to be read, where nothing else is said.
#[rustfmt::skip]
const THINGS_READ: &[&str] = &[
    "config", "count", "details", "diff", "docs", "documentation", "forecast", "health", "history", "info",
    "information", "log", "me", "metadata", "overview", "schema", "state", "statistics", "status", "summary", "tree",
    "usage", "version", "weather",
];

/// Whether a name that ends with `word` and has no verb asks for something to be read: a plural, or such a noun.
pub(super) fn is_thing_read(word: &str) -> bool {
    let is_plural = word.len() > 3 && word.ends_with('s') && !["ss", "us", "is"].iter().any(|end| word.ends_with(end));
    is_plural || THINGS_READ.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_no_word_stands_in_two() {
        let mut seen = std::collections::BTreeSet::new();
        for (says, kind, words) in TABLE {
            assert!(words.split(' ').is_sorted(), "{says:?} {kind:?}");
            for word in words.split(' ') {
                assert!(seen.insert(word), "{word} stands twice");
            }
        }
        assert!(THINGS_READ.is_sorted());
    }

    #[test]
    fn a_name_in_one_piece_is_opened() {
        for (word, expected) in [
            ("deletefile", Some("delete")),
            ("filedelete", Some("delete")),
            ("listfiles", Some("list")),
            ("listener", None),
            ("executor", None),
            ("searching", None),
            ("updates", None),
        ] {
            assert_eq!(glued(word), expected, "{word}");
        }
    }
}
