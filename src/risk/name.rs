//! The name of a tool: its verb, wherever it stands, and the money it speaks of.

use super::description::Described;
use super::lexicon::{self, Kind};
use super::{Category, Field, Reason, languages, money, words};

/// A word of a name that may be its verb.
#[derive(Debug, Clone, Copy)]
struct Verb<'a> {
    at: usize,
    word: &'a str,
    says: Category,
    kind: Kind,
}

/// What the name of a tool says. The description settles whether a word that may be a noun is one.
pub(super) fn judge(name: &str, described: &Described, reasons: &mut Vec<Reason>) {
    let words = open(words::of_name(name));
    let verbs = verbs(&words, described);
    let mut found = heads(&words, &verbs, described);
    if is_read_about(&words, &verbs, &found, described) {
        found.retain(|verb| verb.says == Category::Read);
    }
    if let Some(verb) = forced(&words, &found) {
        found.push(verb);
    }
    let by_verb = found.iter().map(|verb| verb.says).max();
    for verb in &found {
        let says = if verb.word == "apply" && is_infrastructure(&words) { Category::Destructive } else { verb.says };
        reasons.push(Reason { field: Field::Name, word: verb.word.to_owned(), says });
    }
    if let Some(word) = money::named(&words, by_verb.or(described.category())) {
        reasons.retain(|reason| reason.word != word);
        reasons.push(Reason { field: Field::Name, word: word.to_owned(), says: Category::Financial });
    }
}

/// A name without any verb: something to be read, as its noun has it. Only where nothing else is known of the tool.
pub(super) fn judge_thing(name: &str, reasons: &mut Vec<Reason>) {
    let words = words::of_name(name);
    if let Some(word) = words.last().filter(|word| lexicon::is_thing_read(word)) {
        reasons.push(Reason { field: Field::Name, word: word.clone(), says: Category::Read });
    }
}

/// Whether the name takes something off or ends it in a way that is easily done again: `detach`, `unstar`.
pub(super) fn is_undoing(name: &str) -> bool {
    #[rustfmt::skip]
    const UNDOING: &[&str] = &[
        "detach", "disassociate", "disconnect", "dismiss", "leave", "unarchive", "unassign", "unblock", "unfollow",
        "unhide", "unlike", "unlink", "unlock", "unmute", "unpin", "unshare", "unstage", "unstar", "unsubscribe",
        "untag", "unwatch",
    ];
    words::of_name(name).iter().any(|word| UNDOING.contains(&word.as_str()))
}

/// Opens the words that are a verb and its object in one piece.
fn open(words: Vec<String>) -> Vec<String> {
    let mut opened = Vec::with_capacity(words.len());
    for word in words {
        let is_known = lexicon::entry(&word).is_some() || languages::entry(&word).is_some();
        match lexicon::glued(&word).filter(|_| !is_known) {
            Some(verb) => {
                let rest = word.strip_prefix(verb).or_else(|| word.strip_suffix(verb)).unwrap_or_default().to_owned();
                if word.starts_with(verb) {
                    opened.extend([verb.to_owned(), rest]);
                } else {
                    opened.extend([rest, verb.to_owned()]);
                }
            }
            None => opened.push(word),
        }
    }
    opened
}

/// How many words of a name are searched for what a verb stands beside. Names have few; a hostile one may have many.
const MAX_NEAR: usize = 64;

/// Pairs that are one noun, though a word of them is a verb elsewhere.
const NOUNS: &[(&str, &str)] = &[("merge", "request"), ("pull", "request"), ("pull", "requests"), ("read", "only")];

/// Pairs that together call something.
const CALLS: &[&str] = &["api", "graphql", "http", "https", "raw", "rest"];

/// In these, a query may be any statement.
const DATABASES: &[&str] = &["cypher", "database", "db", "graphql", "mysql", "postgres", "soql", "sql", "sqlite"];

/// In these, to select is to act on a page.
const BROWSERS: &[&str] = &["browser", "page", "playwright", "puppeteer", "selenium"];

/// Words that are verbs where they stand first.
const IN_FRONT: &[&str] = &["change", "download", "open", "read", "update", "upload", "write"];

fn verbs<'a>(words: &'a [String], described: &Described) -> Vec<Verb<'a>> {
    let mut verbs = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| words.get(before)).map_or("", String::as_str);
        let after = words.get(at + 1).map_or("", String::as_str);
        let is_noun = |pair: &(&str, &str)| *pair == (before, word) || *pair == (word, after);
        if NOUNS.iter().any(is_noun) {
            continue;
        }
        let (says, kind) = if let Some(entry) = lexicon::entry(word) {
            (entry.says, entry.kind)
        } else if let Some(says) = languages::entry(word) {
            (says, Kind::Verb)
        } else if let Some((_, says)) = languages::sign(word) {
            (says, Kind::Verb)
        } else {
            continue;
        };
        let is_last = at + 1 == words.len();
        let is_beside = |list: &[&str]| words.iter().take(MAX_NEAR).any(|word| list.contains(&word.as_str()));
        let says = match word.as_str() {
            // `git_log`, `audit_log`: what is logged already.
            "log" if is_last && at > 0 => continue,
            // To give back a value, or goods.
            "return" | "returns" => continue,
            "apply"
                if is_beside(&["diff", "edit", "filter", "label", "labels", "patch", "style", "tag", "template"]) =>
            {
                Category::Write
            }
            "book" | "reserve" if is_beside(&["flight", "hotel", "ride", "ticket", "tickets", "trip"]) => {
                Category::Financial
            }
            "call" | "request" if CALLS.contains(&before) => Category::Execute,
            "compose" if is_beside(&["docker", "down", "podman", "up"]) => Category::Execute,
            // What is asked of a database may change it.
            "query" if is_beside(DATABASES) && !described.is_read_only() => Category::Execute,
            "create" if is_beside(&["execution", "invocation", "run"]) => Category::Execute,
            "send" if is_beside(&["command", "commands", "input", "keys", "keystrokes"]) => Category::Execute,
            "select" if is_beside(BROWSERS) => Category::Execute,
            "resolve" if is_lookup(after) => Category::Read,
            _ => says,
        };
        // At the front these are verbs whatever follows: `update_call`.
        let is_in_front = at == 0 && IN_FRONT.contains(&word.as_str());
        let is_call = CALLS.contains(&before) && says == Category::Execute && is_last;
        verbs.push(Verb { at, word, says, kind: if is_in_front || is_call { Kind::Verb } else { kind } });
    }
    verbs
}

/// What is resolved by looking it up; anything else is brought to an end.
pub(super) fn is_lookup(after: &str) -> bool {
    ["address", "dns", "domain", "host", "hostname", "id", "library", "name", "package", "url"].contains(&after)
}

/// The verbs that a name is about.
///
/// English puts the verb first (`delete_file`), many servers last (`file_delete`), and a prefix may stand before
/// either. So: the first sure verb, and one at the very end; else the first word that may be a verb, and one at the
/// end; else a noun that may be one. What is joined by `and` or `or` counts with what it is joined to. The caller takes
/// the riskiest.
fn heads<'a>(words: &[String], verbs: &[Verb<'a>], described: &Described) -> Vec<Verb<'a>> {
    let of_kind = |kind: Kind| verbs.iter().filter(move |verb| verb.kind == kind);
    let is_last = |verb: &&Verb<'_>| verb.at + 1 == words.len() && !is_object_of_preposition(words, verb.at);
    let mut heads: Vec<Verb<'a>> = Vec::new();
    let first_sure = of_kind(Kind::Verb).next();
    let first_either = of_kind(Kind::Either).next();
    if let Some(first) = first_sure {
        heads.push(*first);
        heads.extend(of_kind(Kind::Verb).skip(1).filter(is_last));
        // `run_create_script`: what is before a sure verb may be the verb of which that is a part. It may also be a
        // noun, as in `pipeline_run_get_log`, `run_get`.
        let is_after_noun = is_last(&first);
        let leads = |either: &&Verb<'_>| either.at == 0 || either.at < first.at && !described.is_surely_read();
        heads.extend(first_either.filter(|either| leads(either) && !is_after_noun));
        // `get_..._update` is about updates; `issue_create_or_update` is not.
        let is_reading = first.says == Category::Read;
        let adds = |verb: &&Verb<'_>| is_last(verb) && verb.says > first.says;
        heads.extend(of_kind(Kind::Either).filter(|verb| adds(verb) && !is_reading && first.at > 0));
    } else if let Some(first) = first_either {
        heads.push(*first);
        heads.extend(of_kind(Kind::Either).skip(1).filter(is_last));
    } else {
        heads.extend(of_kind(Kind::Noun).next());
    }
    let joined = |verb: &&Verb<'_>| {
        let is_joint = |at: usize| words.get(at).is_some_and(|word| word == "and" || word == "or" || word == "then");
        verb.at.checked_sub(1).is_some_and(is_joint)
    };
    heads.extend(verbs.iter().filter(|verb| verb.kind != Kind::Noun).filter(joined));
    // In order, and each once.
    let mut is_head = vec![false; words.len()];
    for head in &heads {
        if let Some(is_head) = is_head.get_mut(head.at) {
            *is_head = true;
        }
    }
    verbs.iter().filter(|verb| is_head.get(verb.at) == Some(&true)).copied().collect()
}

/// Whether the word at `at` is only what something is done to or by: `subscribe_to_list`.
fn is_object_of_preposition(words: &[String], at: usize) -> bool {
    const PREPOSITIONS: &[&str] = &["as", "at", "by", "for", "from", "in", "into", "of", "on", "to", "with"];
    let before = at.checked_sub(1).and_then(|before| words.get(before));
    before.is_some_and(|before| PREPOSITIONS.contains(&before.as_str()))
}

/// Whether the only verbs are words that may be nouns, and the description surely reads: `git_branch`, "Lists
/// branches". A word that is often a verb needs more: the name must end as the name of something read does.
fn is_read_about(words: &[String], verbs: &[Verb<'_>], heads: &[Verb<'_>], described: &Described) -> bool {
    let mut risky = heads.iter().filter(|verb| verb.says != Category::Read);
    let (Some(head), None) = (risky.next(), risky.next()) else { return false };
    let ends_as_read = words.last().is_some_and(|last| lexicon::is_record(last) || last == "list");
    described.is_surely_read()
        && verbs.iter().all(|verb| verb.kind != Kind::Verb)
        && (head.kind == Kind::Noun || ends_as_read && words.len() > 1)
}

/// `force` beside a verb that changes something.
fn forced<'a>(words: &'a [String], heads: &[Verb<'_>]) -> Option<Verb<'a>> {
    let (at, word) = words.iter().enumerate().find(|(_, word)| *word == "force")?;
    let changes = heads.iter().any(|verb| verb.says != Category::Read && verb.at != at);
    changes.then_some(Verb { at, word, says: Category::Destructive, kind: Kind::Either })
}

/// Whether the name is about infrastructure as code, where applying a plan may destroy.
fn is_infrastructure(words: &[String]) -> bool {
    words.iter().any(|word| ["opentofu", "pulumi", "terraform", "terragrunt", "tf", "tofu"].contains(&word.as_str()))
}
