//! What an approval is bound to: one digest of all that makes a call this call.

use crate::policy::{Target, same_number};
use crate::wire::canonical;
use crate::wire::json::{Kind, Raw};
use crate::wire::mcp::Feature;
use crate::wire::tree::Tree;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// All that an approval holds for.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The policy's name.
    pub policy: &'a str,
    /// The policy's version, so that an edit needs a new approval.
    pub version: &'a str,
    /// Pointer to the rule that asks.
    pub rule: &'a str,
    /// The caller's grant.
    pub grant: &'a str,
    /// The JSON-RPC method.
    pub method: &'a str,
    /// All that the call reaches.
    pub targets: &'a [Target<'a>],
    /// `params.arguments`.
    pub arguments: Option<Raw<'a>>,
    /// What else `params` holds, but for `_meta`.
    pub rest: &'a [(Cow<'a, str>, Raw<'a>)],
}

/// Two calls could have one digest: the arguments have no canonical text, or a number in them loses digits in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBound;

impl Call<'_> {
    /// SHA-256 over the length and the bytes of each part in order, the arguments as canonical JSON (RFC 8785).
    ///
    /// # Errors
    /// See [`NotBound`].
    pub fn digest(&self) -> Result<[u8; 32], NotBound> {
        let arguments = self.arguments.map(canonical_text).transpose()?;
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        for part in ["mcp-policy approval 1", self.policy, self.version, self.rule, self.grant, self.method] {
            add(part.as_bytes());
        }
        for target in self.targets {
            add(kind(target.feature).as_bytes());
            add(target.name.as_bytes());
        }
        // Absent arguments are not an empty object's.
        add(if arguments.is_some() { b"arguments" } else { b"" });
        add(arguments.unwrap_or_default().as_bytes());
        let mut rest: Vec<_> = self.rest.iter().collect();
        rest.sort_by_key(|(name, _)| name);
        for (name, value) in rest {
            add(name.as_bytes());
            add(canonical_text(*value)?.as_bytes());
        }
        Ok(digest.finalize().into())
    }
}

const fn kind(feature: Feature) -> &'static str {
    match feature {
        Feature::Tool => "tool",
        Feature::Prompt => "prompt",
        Feature::Resource => "resource",
    }
}

fn canonical_text(value: Raw<'_>) -> Result<String, NotBound> {
    let tree = Tree::read(value).map_err(|_| NotBound)?;
    if !keeps_numbers(&tree)? {
        return Err(NotBound);
    }
    let mut text = String::new();
    canonical::write(&tree, &mut text).map_err(|_| NotBound)?;
    Ok(text)
}

/// Canonical numbers are 64-bit floats: of those that one of them stands for, only one may be approved.
fn keeps_numbers(tree: &Tree<'_>) -> Result<bool, NotBound> {
    let all = |trees: &mut dyn Iterator<Item = &Tree<'_>>| {
        for tree in trees {
            if !keeps_numbers(tree)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    match tree {
        Tree::Leaf(raw) if raw.kind() == Kind::Number => {
            let mut text = String::new();
            canonical::write(tree, &mut text).map_err(|_| NotBound)?;
            Ok(same_number(raw.as_str(), &text))
        }
        Tree::Leaf(_) => Ok(true),
        Tree::Array(elements) => all(&mut elements.iter()),
        Tree::Object(members) => all(&mut members.iter().map(|(_, value)| value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Reader;

    fn digest(change: impl Fn(&mut Call<'_>), arguments: Option<&str>) -> Result<[u8; 32], NotBound> {
        let targets = [Target { feature: Feature::Tool, name: "send" }];
        let mut call = Call {
            policy: "p",
            version: "v",
            rule: "/tools/send/action",
            grant: "g",
            method: "tools/call",
            targets: &targets,
            arguments: arguments.map(|text| Reader::new(text).value().unwrap()),
            rest: &[],
        };
        change(&mut call);
        call.digest()
    }

    #[test]
    fn whatever_makes_it_another_call_makes_it_another_digest() {
        let same = |_: &mut Call<'_>| {};
        let one = digest(same, Some(r#"{"a":1,"b":[2]}"#)).unwrap();
        assert_eq!(digest(same, Some(r#" { "b" : [2.0], "\u0061":1e0 } "#)), Ok(one), "however it is written");
        let other_tool = [Target { feature: Feature::Tool, name: "sent" }];
        let prompt = [Target { feature: Feature::Prompt, name: "send" }];
        let two = [other_tool[0], prompt[0]];
        let changed = [
            digest(|call| call.policy = "q", Some(r#"{"a":1,"b":[2]}"#)),
            digest(|call| call.version = "w", Some(r#"{"a":1,"b":[2]}"#)),
            digest(|call| call.rule = "/tools/send/require_approval/large", Some(r#"{"a":1,"b":[2]}"#)),
            digest(|call| call.grant = "h", Some(r#"{"a":1,"b":[2]}"#)),
            digest(|call| call.method = "prompts/get", Some(r#"{"a":1,"b":[2]}"#)),
            digest(same, Some(r#"{"a":1,"b":[3]}"#)),
            digest(same, Some(r#"{"a":"1","b":[2]}"#)),
            digest(same, Some(r#"{"a":1,"b":[2],"c":null}"#)),
            digest(same, Some("{}")),
            digest(same, None),
            digest(|call| call.targets = &[], Some(r#"{"a":1,"b":[2]}"#)),
        ];
        let mut seen: Vec<_> = changed.into_iter().map(Result::unwrap).chain([one]).collect();
        for targets in [&other_tool[..], &prompt, &two] {
            let call = Call { targets, ..call_like() };
            seen.push(call.digest().unwrap());
        }
        let rest = |text: &'static str| [(Cow::Borrowed("task"), Reader::new(text).value().unwrap())];
        for rest in [rest("{}"), rest("1")] {
            seen.push(Call { rest: &rest, ..call_like() }.digest().unwrap());
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    fn call_like() -> Call<'static> {
        Call { policy: "p", version: "v", rule: "r", grant: "g", method: "m", targets: &[], arguments: None, rest: &[] }
    }

    #[test]
    fn what_could_be_two_calls_is_bound_to_none() {
        let same = |_: &mut Call<'_>| {};
        for arguments in [
            r#"{"id":9007199254740993}"#,
            r#"{"x":[{"y":0.1000000000000000055511151231257827}]}"#,
            r#"{"a":1e400}"#,
            r#"{"a":1,"A":2}"#,
            r#"{"a":"\ud800"}"#,
        ] {
            assert_eq!(digest(same, Some(arguments)), Err(NotBound), "{arguments}");
        }
        assert!(digest(same, Some(r#"{"a":9007199254740992,"b":0.1,"c":-0,"d":1e300}"#)).is_ok());
    }
}
