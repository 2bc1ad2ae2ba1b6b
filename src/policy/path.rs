//! Paths: where a condition finds the values it judges.

use crate::wire::members::folds_to;
use crate::wire::tree::Tree;

/// A place in a call or around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Path {
    /// `args.…`, in the call's arguments.
    Args(Vec<Step>),
    /// `meta.…`, in the call's `_meta`.
    Meta(Vec<Step>),
    /// `grant.id`
    Grant,
    /// `session.id`
    Session,
    /// `header.<name>`, in lower case.
    Header(String),
    /// `jwt.<claim>`, each part of a dotted claim.
    Jwt(Vec<String>),
    /// `uri`
    Uri,
}

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Index(usize),
    Every,
}

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadPath {
    UnknownRoot,
    Malformed,
    /// Beyond [`MAX_INDEX`].
    IndexTooLarge,
}

/// No list in a body of any size that is read has so many elements; fits the 32 bits of WebAssembly, so that a
/// policy is the same document everywhere.
const MAX_INDEX: usize = 999_999_999;

/// A member's name that is there only in another case: a parser that ignores case would find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misspelt;

impl Path {
    pub(super) fn parse(text: &str) -> Result<Self, BadPath> {
        let root_end = text.find(['.', '[']).unwrap_or(text.len());
        let (root, rest) = text.split_at_checked(root_end).unwrap_or((text, ""));
        let named = || rest.strip_prefix('.').filter(|name| !name.is_empty()).ok_or(BadPath::Malformed);
        match (root, rest) {
            ("args", _) => steps(rest).map(Self::Args),
            ("meta", _) => steps(rest).map(Self::Meta),
            ("grant", ".id") => Ok(Self::Grant),
            ("session", ".id") => Ok(Self::Session),
            ("grant" | "session", _) => Err(BadPath::Malformed),
            ("header", _) => named().map(|name| Self::Header(name.to_ascii_lowercase())),
            ("jwt", _) => claim_steps(rest).map(Self::Jwt),
            ("uri", "") => Ok(Self::Uri),
            _ => Err(BadPath::UnknownRoot),
        }
    }

    /// Whether it leads into the call's arguments.
    pub(super) fn is_in_arguments(&self) -> bool {
        matches!(self, Self::Args(_))
    }

    /// Whether it is the URI of a resource.
    pub(super) fn is_uri(&self) -> bool {
        *self == Self::Uri
    }

    /// Whether it leads into the call's `_meta`.
    pub(super) fn is_in_meta(&self) -> bool {
        matches!(self, Self::Meta(_))
    }
}

/// A claim by its name or path, such as `groups`, `realm_access.roles` or `["https://example.com/roles"]`.
pub(crate) fn claim_path(text: &str) -> Option<Vec<String>> {
    let dot = if text.starts_with('[') { "" } else { "." };
    claim_steps(&format!("{dot}{text}")).ok()
}

/// Steps that are names, all of them: the proxy finds claims by names only.
fn claim_steps(text: &str) -> Result<Vec<String>, BadPath> {
    let name = |step| match step {
        // The host joins the parts of a path by NUL.
        Step::Member(name) if !name.is_empty() && !name.contains('\0') => Ok(name),
        Step::Member(_) | Step::Index(_) | Step::Every => Err(BadPath::Malformed),
    };
    steps(text)?.into_iter().map(name).collect()
}

/// `.name`, `[3]`, `[*]` or `["any text"]`, at least one.
fn steps(text: &str) -> Result<Vec<Step>, BadPath> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (step, after) = step(rest)?;
        steps.push(step);
        rest = after;
    }
    if steps.is_empty() { Err(BadPath::Malformed) } else { Ok(steps) }
}

fn step(text: &str) -> Result<(Step, &str), BadPath> {
    if let Some((index, after)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        && index.bytes().all(|byte| byte.is_ascii_digit())
        && (index == "0" || index.starts_with(|digit: char| digit != '0'))
    {
        let index = index.parse().ok().filter(|index| *index <= MAX_INDEX).ok_or(BadPath::IndexTooLarge)?;
        return Ok((Step::Index(index), after));
    }
    other_step(text).ok_or(BadPath::Malformed)
}

/// A step that is no index.
fn other_step(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end)?;
        let is_name = !name.is_empty() && !name.contains(['"', ']']);
        return is_name.then(|| (Step::Member(name.to_owned()), after));
    }
    if let Some(after) = text.strip_prefix("[*]") {
        return Some((Step::Every, after));
    }
    let quoted = text.strip_prefix('[').filter(|quoted| quoted.starts_with('"'))?;
    let mut reader = crate::wire::json::Reader::new(quoted);
    // Read as a JSON string, so that any name can be written.
    let name = reader.string()?.decode()?.into_owned();
    Some((Step::Member(name), quoted.get(reader.position()..)?.strip_prefix(']')?))
}

/// What the steps lead to: one entry, or one for each element of a list that `[*]` walks. `None` where there
/// is nothing, or null; a step into a value of another kind leads to nothing.
pub(super) fn find<'t, 'a>(
    tree: &'t Tree<'a>,
    steps: &[Step],
    found: &mut Vec<Option<&'t Tree<'a>>>,
) -> Result<(), Misspelt> {
    let Some((step, rest)) = steps.split_first() else {
        found.push(Some(tree).filter(|tree| !tree.is_null()));
        return Ok(());
    };
    let next = match (step, tree) {
        (Step::Every, Tree::Array(elements)) => return elements.iter().try_for_each(|value| find(value, rest, found)),
        (Step::Index(index), Tree::Array(elements)) => elements.get(*index),
        (Step::Member(wanted), Tree::Object(members)) => {
            let value = members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
            // INVARIANT: no two names fold to the same, so one that only folds to it stands alone.
            if value.is_none() && members.iter().any(|(name, _)| folds_to(name, wanted)) {
                return Err(Misspelt);
            }
            value
        }
        _ => None,
    };
    match next {
        Some(value) => find(value, rest, found),
        None => {
            found.push(None);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Reader;

    #[test]
    fn texts_are_paths_or_say_why_not() {
        let member = |name: &str| Step::Member(name.into());
        for (text, expected) in [
            ("args.a.b", Ok(Path::Args(vec![member("a"), member("b")]))),
            ("args.items[0].x", Ok(Path::Args(vec![member("items"), Step::Index(0), member("x")]))),
            ("args.items[*]", Ok(Path::Args(vec![member("items"), Step::Every]))),
            (r#"args["a.b"].c"#, Ok(Path::Args(vec![member("a.b"), member("c")]))),
            (r#"args["a\"]"]"#, Ok(Path::Args(vec![member("a\"]")]))),
            ("meta.io.x", Ok(Path::Meta(vec![member("io"), member("x")]))),
            ("grant.id", Ok(Path::Grant)),
            ("session.id", Ok(Path::Session)),
            ("header.X-Team", Ok(Path::Header("x-team".into()))),
            (r#"jwt["https://x.example/a"].b"#, Ok(Path::Jwt(vec!["https://x.example/a".into(), "b".into()]))),
            ("jwt.realm.role", Ok(Path::Jwt(vec!["realm".into(), "role".into()]))),
            ("uri", Ok(Path::Uri)),
            ("args", Err(BadPath::Malformed)),
            ("args.", Err(BadPath::Malformed)),
            ("args..a", Err(BadPath::Malformed)),
            ("args[01]", Err(BadPath::Malformed)),
            ("args[-1]", Err(BadPath::Malformed)),
            ("args[]", Err(BadPath::Malformed)),
            ("args.a]", Err(BadPath::Malformed)),
            (r#"args["a""#, Err(BadPath::Malformed)),
            ("args[999999999]", Ok(Path::Args(vec![Step::Index(MAX_INDEX)]))),
            ("args[1000000000]", Err(BadPath::IndexTooLarge)),
            ("args[99999999999999999999]", Err(BadPath::IndexTooLarge)),
            ("grant.label", Err(BadPath::Malformed)),
            ("jwt.", Err(BadPath::Malformed)),
            ("jwt.roles[0]", Err(BadPath::Malformed)),
            ("jwt.roles[*]", Err(BadPath::Malformed)),
            (r#"jwt["a\u0000b"]"#, Err(BadPath::Malformed)),
            ("amount", Err(BadPath::UnknownRoot)),
            ("argsx.a", Err(BadPath::UnknownRoot)),
            ("", Err(BadPath::UnknownRoot)),
        ] {
            assert_eq!(Path::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn values_are_found_where_the_steps_lead() {
        let text = r#"{"a":{"b":1,"n":null},"l":[{"x":1},{"x":2},{"y":3}],"a.b":true,"Case":1,"empty":[]}"#;
        let tree = Tree::read(Reader::new(text).value().unwrap()).unwrap();
        for (path, expected) in [
            ("args.a.b", Ok("1")),
            ("args.a.n", Ok("-")),
            ("args.a.b.c", Ok("-")),
            ("args.l[*].x", Ok("1 2 -")),
            ("args.l[1].x", Ok("2")),
            ("args.l[9].x", Ok("-")),
            ("args.l.x", Ok("-")),
            ("args.a[*]", Ok("-")),
            ("args.none[*].x", Ok("-")),
            ("args.empty[*]", Ok("")),
            (r#"args["a.b"]"#, Ok("true")),
            ("args.case", Err(Misspelt)),
            ("args.a.B", Err(Misspelt)),
        ] {
            let Ok(Path::Args(steps)) = Path::parse(path) else { panic!("{path}") };
            let mut found = Vec::new();
            let outcome = find(&tree, &steps, &mut found).map(|()| {
                let texts: Vec<&str> = found
                    .iter()
                    .map(|value| match value {
                        Some(Tree::Leaf(raw)) => raw.as_str(),
                        Some(_) => "…",
                        None => "-",
                    })
                    .collect();
                texts.join(" ")
            });
            assert_eq!(outcome, expected.map(str::to_owned), "{path}");
        }
    }
}
