//! YAML as Go's yaml.v3 reads it: what a plain scalar stands for depends on who asks, so its text is kept until then.

use crate::policy::{Pointer, Problems, did_you_mean};
use crate::wire::value::Value;
use granit_parser::{Event, Parser, ScalarStyle, Tag, options};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// Of a document, aliases written out: a few lines of them could stand for billions.
const MAX_NODES: usize = 100_000;
/// How deep lists and maps may be nested.
const MAX_DEPTH: usize = 64;

/// One value of a document.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// `is_plain`: without quotes, so that it may be more than a text.
    Scalar {
        text: String,
        is_plain: bool,
    },
    List(Vec<Node>),
    /// In order, doubled names included.
    Map(Vec<(String, Node)>),
}

/// A document, and how many comments stood in it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) root: Node,
    pub(super) comments: usize,
}

/// Reads the one document of `text`, or says why there is none.
pub(super) fn parse(text: &str) -> Result<Document, String> {
    let options = options! { max_buffered_comment_events: usize::MAX };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder { parser, comments: 0, line: 1, anchors: HashMap::new(), nodes: 0 };
    let mut root = None;
    while let Some(event) = builder.next()? {
        match event {
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            _ if root.is_some() => return Err(builder.error("a second document begins")),
            event => root = Some(builder.node(event, 0)?),
        }
    }
    let root = root.unwrap_or(Node::Scalar { text: String::new(), is_plain: true });
    Ok(Document { root, comments: builder.comments })
}

struct Builder<'t> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    comments: usize,
    line: usize,
    /// What an alias stands for, and of how many nodes that is.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'t> Builder<'t> {
    fn error(&self, what: &str) -> String {
        format!("line {}: {what}", self.line)
    }

    fn next(&mut self) -> Result<Option<Event<'t>>, String> {
        loop {
            let Some(next) = self.parser.next_event() else { return Ok(None) };
            let (event, span) =
                next.map_err(|error| format!("line {}: not YAML: {}", error.marker().line(), error.info()))?;
            self.line = span.start.line();
            if !matches!(event, Event::Comment(..)) {
                return Ok(Some(event));
            }
            self.comments += 1;
        }
    }

    /// The event after this one, which must be there.
    fn expect(&mut self) -> Result<Event<'t>, String> {
        self.next()?.ok_or_else(|| self.error("not YAML: the text ends early"))
    }

    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err(self.error(&format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.count(1)?;
        let before = self.nodes;
        let (node, anchor) = match event {
            Event::Alias(anchor) => {
                let found = self.anchors.get(&anchor).cloned();
                let (node, nodes) = found.ok_or_else(|| self.error("an alias stands within what it names"))?;
                self.count(nodes)?;
                (node, 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = !self.has_tag(tag.as_ref(), "str")? && style == ScalarStyle::Plain;
                (Node::Scalar { text: text.into_owned(), is_plain }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.has_tag(tag.as_ref(), "seq")?;
                let mut nodes = Vec::new();
                loop {
                    match self.expect()? {
                        Event::SequenceEnd => break,
                        event => nodes.push(self.node(event, depth + 1)?),
                    }
                }
                (Node::List(nodes), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.has_tag(tag.as_ref(), "map")?;
                let mut members = Vec::new();
                loop {
                    let name = match self.expect()? {
                        Event::MappingEnd => break,
                        event => self.name(event, depth)?,
                    };
                    let event = self.expect()?;
                    members.push((name, self.node(event, depth + 1)?));
                }
                (Node::Map(members), anchor)
            }
            _ => return Err(self.error("not YAML: a value is missing")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn name(&mut self, event: Event<'t>, depth: usize) -> Result<String, String> {
        match self.node(event, depth + 1)? {
            Node::Scalar { text, is_plain: true } if text == "<<" => {
                Err(self.error("a merge key (`<<`) is not converted; write its members out"))
            }
            Node::Scalar { text, is_plain: true } if is_null(&text) => Err(self.error("a member has no name")),
            Node::Scalar { text, .. } => Ok(text),
            Node::List(_) | Node::Map(_) => Err(self.error("the name of a member must be a text")),
        }
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(self.error(&format!("more than {MAX_NODES} values")));
        }
        Ok(())
    }

    /// Whether there is this tag; another would have been read by rules of its own.
    fn has_tag(&self, tag: Option<&Cow<'_, Tag>>, known: &str) -> Result<bool, String> {
        match tag {
            None => Ok(false),
            Some(tag) if tag.is_yaml_core_schema_tag(known) => Ok(true),
            Some(tag) => Err(self.error(&format!("the tag {} is not converted", tag.original()))),
        }
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

impl Node {
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Scalar { text, is_plain: true } if is_null(text))
    }

    /// For "got ..." in a problem.
    pub(super) fn shown(&self) -> Value {
        match self {
            Self::Scalar { text, .. } => self.value().unwrap_or_else(|_| Value::String(text.clone())),
            Self::List(_) => Value::Array(Vec::new()),
            Self::Map(_) => Value::Object(Vec::new()),
        }
    }

    /// What stands here where any type may: yaml.v3's reading of a value that is decoded into an `interface{}`.
    pub(super) fn value(&self) -> Result<Value, &'static str> {
        let (text, is_plain) = match self {
            Self::Scalar { text, is_plain } => (text.as_str(), *is_plain),
            Self::List(nodes) => return nodes.iter().map(Self::value).collect::<Result<_, _>>().map(Value::Array),
            Self::Map(_) => return Err("a map has no equal in a policy"),
        };
        if !is_plain {
            return Ok(Value::String(text.to_owned()));
        }
        Ok(match text {
            text if is_null(text) => Value::Null,
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            ".nan" | ".NaN" | ".NAN" => return Err("no JSON number says that"),
            text if matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF") => {
                return Err("no JSON number says that");
            }
            text if is_date(text) => {
                return Err("an unquoted date is a time to Intercept, and equals no text; quote it");
            }
            text => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
        })
    }
}

/// Whether yaml.v3 may take it for a timestamp: `YYYY-M-D`, alone or before a time.
fn is_date(text: &str) -> bool {
    let day = text.split(['T', 't', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = day.split('-').collect();
    let is_part = |part: &&str| (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(is_part) && parts.first().is_some_and(|year| year.len() == 4)
}

/// The JSON number that a plain scalar is to yaml.v3, if it is one: with `_` between digits, in other bases, with a
/// leading 0 for octal.
fn number(text: &str) -> Option<String> {
    let first = *text.as_bytes().first()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return None;
    }
    let plain = if first == b'.' { text.to_owned() } else { text.replace('_', "") };
    integer(&plain).or_else(|| float(&plain))
}

fn integer(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, lower.get(2..)?),
        Some("0o") => (8, lower.get(2..)?),
        Some("0b") => (2, lower.get(2..)?),
        Some(_) if lower.starts_with('0') => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    // The parser would take a second sign.
    let is_digits = digits.chars().all(|digit| digit.is_digit(radix));
    let value = sign * i128::from_str_radix(digits, radix).ok().filter(|_| is_digits)?;
    // Beyond these Go finds no integer.
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then(|| value.to_string())
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn float(text: &str) -> Option<String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = are_digits(whole) && are_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent = match exponent {
        Some(exponent) => {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            (!digits.is_empty() && are_digits(digits)).then(|| format!("e{exponent}"))?
        }
        None => String::new(),
    };
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    let number = format!("{sign}{whole}{fraction}{exponent}");
    // Past the largest float Go finds a text.
    (is_number && number.parse::<f64>().is_ok_and(f64::is_finite)).then_some(number)
}

/// The members of a map that have not been read yet.
#[derive(Debug)]
pub(super) struct Members<'n> {
    pub(super) at: Pointer,
    members: &'n [(String, Node)],
    known: Vec<&'static str>,
}

impl<'n> Members<'n> {
    /// Opens the map at `at`; null is one without members. Notes doubled ones.
    pub(super) fn of(node: &'n Node, at: &Pointer, problems: &mut Problems) -> Option<Self> {
        let members = match node {
            Node::Map(members) => members.as_slice(),
            node if node.is_null() => &[],
            node => {
                problems.add(at, format!("must be a map, got {}", node.shown()));
                return None;
            }
        };
        let mut seen = BTreeSet::new();
        for (name, _) in members.iter().filter(|(name, _)| !seen.insert(name.as_str())) {
            problems.add(&at.child(name), "member is given twice");
        }
        Some(Self { at: at.clone(), members, known: Vec::new() })
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (&'n str, &'n Node, Pointer)> {
        let at = self.at.clone();
        self.members.iter().map(move |(name, node)| (name.as_str(), node, at.child(name)))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(member, node)| member == name && !node.is_null())
    }

    /// The value of `name`, and its place; null is as good as absent.
    pub(super) fn take(&mut self, name: &'static str) -> Option<(&'n Node, Pointer)> {
        self.known.push(name);
        let (_, node) = self.members.iter().find(|(member, node)| member == name && !node.is_null())?;
        Some((node, self.at.child(name)))
    }

    /// A text: to Go any scalar is one, as it is written.
    pub(super) fn text(&mut self, name: &'static str, problems: &mut Problems) -> Option<&'n str> {
        let (node, at) = self.take(name)?;
        if let Node::Scalar { text, .. } = node {
            return Some(text);
        }
        problems.add(&at, format!("{name} must be a string, got {}", node.shown()));
        None
    }

    /// A list's elements, each with its place.
    pub(super) fn list(&mut self, name: &'static str, problems: &mut Problems) -> Vec<(&'n Node, Pointer)> {
        let Some((node, at)) = self.take(name) else { return Vec::new() };
        let Node::List(nodes) = node else {
            problems.add(&at, format!("{name} must be a list, got {}", node.shown()));
            return Vec::new();
        };
        nodes.iter().enumerate().map(|(index, node)| (node, at.child(index))).collect()
    }

    /// Notes every member that nobody asked for. Intercept reads over them, so that a slip opens the server.
    pub(super) fn finish(self, problems: &mut Problems) {
        for (name, _) in self.members.iter().filter(|(name, _)| !self.known.contains(&name.as_str())) {
            problems.add_unknown(&self.at, name, &did_you_mean(name, &self.known));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each found by yaml.v3 3.0.1.
    #[test]
    fn plain_scalars_are_what_go_makes_of_them() {
        for (text, expected) in [
            (
                "yes on off y N tRUE nULL _1 ._5 . .. - + 1.5.2 1e 1e999 -1e999 .e3 26-11-21 2026-11 .iNF NaN inf",
                "text",
            ),
            ("0x 0b 0o 0b2 0o8 1a 1:30 0x1p4 1,000 =", "text"),
            ("true True TRUE", "true"),
            ("~ null Null NULL", "null"),
            ("1 +1 1_ 0b1 01 0x_1 1__", "1"),
            ("007 +0o7", "7"),
            ("017 0o17 0O17 0xf 0b1111", "15"),
            ("-017 -0o17 -0xF -0b1111", "-15"),
            ("08", "8"),
            ("0 -0 00", "0"),
            ("1_000", "1000"),
            ("1_000.5", "1000.5"),
            ("1e3 1E3", "1e3"),
            ("1e+3", "1e+3"),
            (".5 +.5", "0.5"),
            ("-.5", "-0.5"),
            ("5.", "5"),
            ("18446744073709551616", "18446744073709551616"),
            (".inf -.inf +.inf .Inf .nan .NaN 2026-11-21 2026-1-2 2026-11-21T10:00:00Z", "refused"),
        ] {
            for word in text.split(' ') {
                let found = match (Node::Scalar { text: word.to_owned(), is_plain: true }).value() {
                    Ok(Value::String(text)) if text == word => "text".to_owned(),
                    Ok(value) => value.compact(),
                    Err(_) => "refused".to_owned(),
                };
                assert_eq!(found, expected, "{word}");
            }
        }
    }

    #[test]
    fn a_few_lines_do_not_stand_for_billions() {
        let mut text = "a0: &a0 [x]\n".to_owned();
        for level in 1..40 {
            let alias = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{alias}, {alias}]\n"));
        }
        assert!(parse(&text).is_err_and(|error| error.contains("more than 100000 values")));
        assert!(
            parse(&format!("{}{}", "[".repeat(100), "]".repeat(100)))
                .is_err_and(|error| error.contains("nested deeper"))
        );
    }
}
