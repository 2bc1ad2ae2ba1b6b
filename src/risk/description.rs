//! The description of a tool: what its first sentence does, and what is warned of anywhere in it.

use super::lexicon::{self, Kind};
use super::{Category, Field, Reason, languages, money, name, words};
use words::AND;

/// What a description was found to say.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// The verbs of the first sentence, and the phrases of the whole.
    found: Vec<Found>,
    /// A word that deletes, in a sentence behind the first.
    mentioned: Option<String>,
    is_read_only: bool,
}

#[derive(Debug, Clone)]
struct Found {
    word: String,
    says: Category,
    how: How,
}

/// How surely a word of a description tells what the tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// The verb that a sentence begins with, or a phrase that has one meaning.
    Surely,
    /// A beginning that may be a noun (`Run history`), or be said of harmless things (`Starts a search`).
    Perhaps,
    /// A word from the middle of the sentence, for tools of which nothing better is known.
    InPassing,
}

impl Described {
    /// The riskiest category that the sentence begins with.
    pub(super) fn category(&self) -> Option<Category> {
        self.found.iter().filter(|found| found.how == How::Surely).map(|found| found.says).max()
    }

    /// Whether it says of itself that it only reads.
    pub(super) fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Whether it surely begins by reading, and nothing else is as sure.
    pub(super) fn is_surely_read(&self) -> bool {
        self.category() == Some(Category::Read)
    }
}

/// Words that descriptions begin with before they come to their verb.
#[rustfmt::skip]
const LEAD_IN: &[&str] = &[
    "a", "admin", "allow", "allows", "alpha", "an", "and", "batch", "beta", "bulk", "can", "caution", "danger",
    "dangerous", "deprecated", "enables", "experimental", "for", "function", "helps", "important", "internal", "it",
    "lets", "mcp", "method", "note", "partial", "please", "premium", "provides", "simple", "that", "the", "this", "to",
    "tool", "used", "useful", "warning", "will", "you",
];

/// Reads a description. Its first sentence tells what the tool does; later ones tell when to call which other tool.
pub(super) fn read(text: &str) -> Described {
    let sentence = words::of_sentence(text);
    let all = words::of_all(text);
    let mut found = verbs(&sentence);
    found.extend(other_languages(&sentence));
    found.extend(warnings(&all));
    if found.is_empty() {
        found.extend(in_passing(&sentence));
    }
    if let Some(word) = sentence.iter().find(|word| money::is_meant(word)) {
        found.push(Found { word: word.clone(), says: Category::Financial, how: How::InPassing });
    }
    let later = all.get(sentence.iter().filter(|word| *word != AND).count()..).unwrap_or_default();
    let is_deleting = |word: &&String| {
        lexicon::entry(word).is_some_and(|verb| verb.kind == Kind::Verb && verb.says == Category::Destructive)
    };
    Described { found, mentioned: later.iter().find(is_deleting).cloned(), is_read_only: is_read_only(&sentence) }
}

/// What the description adds to what the name says.
pub(super) fn judge(described: &Described, name: &str, reasons: &mut Vec<Reason>) {
    let by_name = super::riskiest(reasons);
    // `manage_…`, `…_tool`: the name leaves open what is done.
    let is_vague =
        |word: &str| ["control", "handle", "manage", "manages", "management", "operate", "process"].contains(&word);
    let is_open = reasons.iter().all(|reason| is_vague(&reason.word));
    let is_told_at_once = described.found.iter().any(|found| found.how == How::Surely && !is_vague(&found.word));
    if let Some(word) = described.mentioned.as_ref().filter(|_| is_open && !is_told_at_once) {
        reasons.push(Reason { field: Field::Description, word: word.clone(), says: Category::Destructive });
    }
    let is_undoing = name::is_undoing(name);
    for found in &described.found {
        let is_told = match (found.how, by_name) {
            (How::Surely, Some(Category::Read)) if found.says == Category::Execute => !described.is_read_only,
            (How::Surely, _) => !(is_taking_off(&found.word) && is_undoing),
            // `Start a verification`, of `create_verification`: the name is the better word.
            (How::Perhaps, Some(Category::Read)) => !described.is_read_only,
            (How::Perhaps, Some(_)) => found.says >= Category::Destructive,
            (How::Perhaps, None) => true,
            (How::InPassing, by_name) => by_name.is_none(),
        };
        if is_told {
            reasons.push(Reason { field: Field::Description, word: found.word.clone(), says: found.says });
        }
    }
}

/// The verb that the sentence begins with, those that are listed with it, and dangerous ones that are joined to it.
fn verbs(sentence: &[String]) -> Vec<Found> {
    let mut found = Vec::new();
    let Some(at) = sentence.iter().position(|word| !is_lead_in(word)) else { return found };
    let Some(first) = sentence.get(at) else { return found };
    let Some(lead) = verb(first) else { return found };
    let rest = sentence.get(at + 1..).unwrap_or_default();
    // `Call this tool to …`, `Use the index to …`
    if first == "use" || first == "uses" || rest.first().is_some_and(|word| word == "this" || word == "when") {
        return match rest.iter().position(|word| word == "to") {
            Some(to) => verbs(rest.get(to..).unwrap_or_default()),
            None => found,
        };
    }
    let form = Form::of(first);
    let is_verb = form == Form::ThirdPerson || has_object(rest);
    let is_noun = rest.first().is_some_and(|next| lexicon::is_record(next));
    let how = match (lead.kind, lead.says) {
        (Kind::Verb, _) | (Kind::Either, Category::Read) => How::Surely,
        (Kind::Either, Category::Execute) if !is_noun => How::Perhaps,
        (Kind::Either, Category::Destructive | Category::Financial) if !is_verb && !is_noun => How::Perhaps,
        (Kind::Either | Kind::Noun, Category::Write | Category::Destructive | Category::Financial) if is_verb => {
            How::Surely
        }
        (Kind::Either | Kind::Noun, _) => How::InPassing,
    };
    let looked_for = match lead.says {
        Category::Execute => searched(rest),
        _ if first.starts_with("resolv") => rest.iter().take(6).find(|word| name::is_lookup(word)),
        _ => None,
    };
    let (says, told) = match looked_for {
        Some(object) => (Category::Read, format!("{first} … {object}")),
        None => (lead.says, first.clone()),
    };
    found.push(Found { word: told, says, how });
    if matches!(says, Category::Write | Category::Execute)
        && let Some(object) = rest.iter().take(3).find(|word| money::is_object(word))
    {
        found.push(Found { word: object.clone(), says: Category::Financial, how: How::Surely });
    }
    // `Create, update, or delete …`: a list goes on as long as there are only verbs and what joins them.
    let mut is_list = true;
    let mut is_joined = false;
    for word in rest {
        let is_joint = word == AND || word == "or" || word == "then";
        if let Some(other) = verb(word).filter(|_| is_joined) {
            let is_grave = other.kind == Kind::Verb && other.says >= Category::Destructive && Form::of(word) == form;
            if is_list || is_grave {
                found.push(Found { word: word.clone(), says: other.says, how: How::Surely });
            }
        } else if !is_joint {
            is_list = false;
        }
        is_joined = is_joint;
    }
    found
}

/// The form of a verb: what is joined to one has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Imperative,
    ThirdPerson,
    Gerund,
}

impl Form {
    fn of(verb: &str) -> Self {
        match verb {
            known if lexicon::entry(known).is_some() => Self::Imperative,
            gerund if gerund.ends_with("ing") => Self::Gerund,
            _ => Self::ThirdPerson,
        }
    }
}

/// What is run, if it only finds something: `Performs a web search`, `Runs a PromQL query`. A query to a database may
/// be anything.
fn searched(rest: &[String]) -> Option<&String> {
    #[rustfmt::skip]
    const ANYTHING: &[&str] = &[
        "arbitrary", "code", "command", "commands", "cypher", "database", "databases", "graphql", "mutation", "script",
        "statement", "statements",
    ];
    let is_anything = |word: &String| word.contains("sql") || ANYTHING.contains(&word.as_str());
    let is_found =
        |word: &&String| ["aggregation", "lookup", "query", "scan", "search", "searches"].contains(&word.as_str());
    rest.iter().take(4).find(is_found).filter(|_| !rest.iter().any(is_anything))
}

/// A verb in the imperative, the third person or as a gerund.
fn verb(word: &str) -> Option<lexicon::Entry> {
    let entry = lexicon::inflected(word)?;
    // To download is how many descriptions say to fetch; a tool named by it may well write a file.
    let is_download = words::stems(word).any(|stem| stem == "download");
    Some(if is_download { lexicon::Entry { says: Category::Read, ..entry } } else { entry })
}

fn is_lead_in(word: &str) -> bool {
    let is_adverb = word.len() > 4 && word.ends_with("ly") && word != "apply" && word != "reply";
    is_adverb || LEAD_IN.contains(&word)
}

/// Whether what follows is an object, so that the word before it was a verb.
fn has_object(rest: &[String]) -> bool {
    #[rustfmt::skip]
    const OBJECTS: &[&str] = &[
        "a", "all", "an", "any", "arbitrary", "changes", "each", "every", "existing", "for", "from", "in", "into", "it",
        "multiple", "new", "on", "one", "several", "the", "through", "to", "up", "whether", "with", "within", "your",
    ];
    rest.first().is_some_and(|word| OBJECTS.contains(&word.as_str()))
}

/// Words of other languages anywhere in the sentence: their verbs stand first, last or in the middle.
fn other_languages(sentence: &[String]) -> Vec<Found> {
    let surely = |word: &str, says| Found { word: word.to_owned(), says, how: How::Surely };
    let said = |word: &String| match languages::entry(word) {
        Some(says) => Some(surely(word, says)),
        None => languages::sign(word).map(|(sign, says)| surely(sign, says)),
    };
    sentence.iter().filter_map(said).collect()
}

/// What a tool is warned of, in any sentence.
fn warnings(all: &[String]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut add = |word: String, says| found.push(Found { word, says, how: How::Surely });
    let mut before = ["", ""];
    for word in all {
        let is_denied = ["doesn't", "never", "no", "non", "not", "without"].contains(&before[0]);
        match (before[1], word.as_str()) {
            ("be", "undone" | "reversed" | "recovered") if ["cannot", "can't", "not"].contains(&before[0]) => {
                add(format!("{} be {word}", before[0]), Category::Destructive);
            }
            ("permanently" | "irrevocably", deletes)
                if !is_denied && lexicon::inflected(deletes).is_some_and(|verb| verb.says == Category::Destructive) =>
            {
                add(format!("{} {deletes}", before[1]), Category::Destructive);
            }
            ("not" | "never" | "non", _) => {}
            (_, one) if ["irreversib", "nieodwracaln", "unwiderruflich"].iter().any(|stem| one.starts_with(stem)) => {
                add(word.clone(), Category::Destructive);
            }
            ("arbitrary", "code" | "command" | "commands" | "javascript" | "python" | "sql")
            | ("shell", "command" | "commands") => add(format!("{} {word}", before[1]), Category::Execute),
            _ => {}
        }
        before = [before[1], word];
    }
    found
}

/// The riskiest word of the sentence that may be a verb. A plural that reads (`queries`) tells nothing.
fn in_passing(sentence: &[String]) -> Option<Found> {
    let judged = sentence.iter().filter_map(|word| Some((verb(word)?.says, word)));
    let told = judged.filter(|(says, word)| *says != Category::Read || !word.ends_with('s'));
    let (says, word) = told.max_by_key(|(says, _)| *says)?;
    Some(Found { word: word.clone(), says, how: How::InPassing })
}

/// Whether the sentence says that the tool only reads, which keeps `Executes a read-only query` a read.
fn is_read_only(sentence: &[String]) -> bool {
    let says = |wanted: &str| sentence.iter().any(|word| word == wanted);
    let changes = ["insert", "update", "delete", "write"].iter().any(|word| says(word));
    says("read-only")
        || says("readonly")
        || says("select") && !changes
        || sentence
            .windows(2)
            .any(|pair| matches!(pair, [read, only] if read == "read" && (only == "only" || only == "mode")))
}

/// Whether the word is one that English and other languages use both for deleting and for taking something off.
fn is_taking_off(word: &str) -> bool {
    ["entfernen", "entfernt", "quita", "remove", "removes", "retire", "rimuove", "usun", "usuwa", "verwijdert"]
        .contains(&word)
}
