//! Grants: who calls, told by what the request or its connection proves, and the policy each is given.
//!
//! Tokens are configured and compared as hashes only, and neither tokens nor hashes are ever printed: a problem with a
//! credential names its place and not its value, which may be the secret itself, put where the hash belongs.

use crate::config::read_policy_name;
use crate::policy::{Facts, Fields, Pattern, Pointer, Principal, Problems, claim_path};
use crate::wire::value::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The ways in which a grant may tell its callers.
const KINDS: [&str; 4] = ["bearer_sha256", "header", "jwt_claim", "mtls_san"];

/// All grants of a configuration; the first that matches holds.
#[derive(Debug, Default)]
pub(super) struct Grants(Vec<Grant>);

/// A caller that is known, and the policy attached to it.
#[derive(Debug)]
pub struct Grant {
    id: String,
    label: Option<String>,
    credential: Credential,
    pub(super) policy: Option<usize>,
}

/// What a grant's callers show.
#[derive(Debug)]
enum Credential {
    Bearer(TokenHash),
    Header { name: String, equals: Secret },
    Claim { path: Vec<String>, test: ClaimTest },
    San(Pattern),
}

/// What is asked of a claim.
#[derive(Debug)]
enum ClaimTest {
    Equals(Value),
    Contains(String),
}

/// The SHA-256 of a bearer token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenHash([u8; 32]);

/// A text that may be one.
struct Secret(String);

impl TokenHash {
    /// Whether it is this token's, in a time that tells nothing of how much of it was right.
    pub(crate) fn is_of(&self, token: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(token).into();
        self.0.as_slice().ct_eq(&hash).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Grant {
    /// Its name in records, counters and conditions.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its name for people.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }
}

impl Grants {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }

    /// Whether any grant is matched by a bearer token.
    pub(super) fn have_bearer(&self) -> bool {
        self.0.iter().any(|grant| matches!(grant.credential, Credential::Bearer(_)))
    }

    /// The first grant that matches. What the proxy cannot say with certainty matches none.
    pub(super) fn first_match(&self, facts: &dyn Facts) -> Option<&Grant> {
        let of_token = self.of_token(facts);
        let found = self.0.iter().enumerate().find(|(index, grant)| match &grant.credential {
            Credential::Bearer(_) => of_token == Some(*index),
            Credential::Header { name, equals } => match facts.header(name) {
                Ok(Some(value)) => value.as_bytes().ct_eq(equals.0.as_bytes()).into(),
                _ => false,
            },
            Credential::Claim { path, test } => match (facts.claim(path), test) {
                (Ok(Some(claim)), ClaimTest::Equals(operand)) => claim.is_exactly(operand),
                (Ok(Some(claim)), ClaimTest::Contains(word)) => claim.lists(word),
                _ => false,
            },
            Credential::San(pattern) => matches!(facts.peer_san(), Ok(Some(san)) if pattern.matches(&san)),
        });
        found.map(|(_, grant)| grant)
    }

    /// The grant of the request's bearer token. Every hash is compared to its end, so that the time taken tells nothing
    /// of how much of one was right.
    fn of_token(&self, facts: &dyn Facts) -> Option<usize> {
        if !self.have_bearer() {
            return None;
        }
        let header = facts.header("authorization").ok()??;
        let (scheme, token) = header.split_once(' ')?;
        let token = token.trim_matches(' ');
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return None;
        }
        let hash: [u8; 32] = Sha256::digest(token).into();
        let (mut found, mut at) = (Choice::from(0), 0);
        for (index, grant) in (0_u64..).zip(&self.0) {
            let Credential::Bearer(TokenHash(wanted)) = &grant.credential else { continue };
            let is_it = wanted.as_slice().ct_eq(&hash);
            at.conditional_assign(&index, is_it);
            found |= is_it;
        }
        bool::from(found).then(|| usize::try_from(at).ok()).flatten()
    }

    /// Reads `grants`; `policies` are the names that a grant may give.
    pub(super) fn read(fields: &mut Fields<'_>, policies: &[&str], problems: &mut Problems) -> Self {
        let mut grants = Vec::new();
        let mut ids = BTreeMap::new();
        let mut tokens = BTreeMap::new();
        for (index, (value, at)) in fields.list("grants", problems).into_iter().enumerate() {
            let Some(mut fields) = open(value, &at, "a grant", problems) else { continue };
            let id = read_id(&mut fields, problems).unwrap_or_default();
            if let Some(first) = ids.insert(id, index).filter(|_| !id.is_empty()) {
                problems.add(&at.child("id"), format!("duplicate grant id \"{id}\" (also used by {first})"));
            }
            let label = fields.string("label", problems).map(str::to_owned);
            let credential = read_match(&mut fields, problems);
            if let Some(Credential::Bearer(hash)) = credential
                && let Some(first) = tokens.insert(hash, index)
            {
                let at = at.child("match").child("bearer_sha256");
                problems.add(&at, format!("the same token is that of grant {first}, so this one would never match"));
            }
            let policy = read_policy_name(&mut fields, "policy", true, policies, problems);
            fields.finish(problems);
            let Some(credential) = credential else { continue };
            grants.push(Grant { id: id.to_owned(), label, credential, policy });
        }
        Self(grants)
    }
}

/// Opens an object, whose value is not repeated when it is none.
pub(super) fn open<'v>(value: &'v Value, at: &Pointer, what: &str, problems: &mut Problems) -> Option<Fields<'v>> {
    if let Value::Object(_) = value {
        return Fields::of(value, at, problems);
    }
    problems.add(at, format!("{what} must be an object"));
    None
}

fn read_id<'v>(fields: &mut Fields<'v>, problems: &mut Problems) -> Option<&'v str> {
    fields.require("id", problems);
    let id = fields.string("id", problems)?;
    let at = fields.at().child("id");
    if id.is_empty() {
        problems.add(&at, "id must not be empty");
    }
    if id == Principal::ANONYMOUS {
        problems.add(&at, format!("id must not be \"{id}\", which stands for callers without a grant"));
    }
    Some(id)
}

fn read_match(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Credential> {
    fields.require("match", problems);
    let (value, at) = fields.take("match")?;
    let mut kinds = open(value, &at, "match", problems)?;
    let credentials = [
        kinds.take("bearer_sha256").map(|(value, at)| read_hash(value, &at, problems)),
        kinds.take("header").map(|(value, at)| read_header(value, &at, problems)),
        kinds.take("jwt_claim").map(|(value, at)| read_claim(value, &at, problems)),
        kinds.take("mtls_san").map(|(value, at)| read_san(value, &at, problems)),
    ];
    kinds.finish(problems);
    let given = credentials.iter().flatten().count();
    if given != 1 {
        let kinds = KINDS.map(|kind| format!("\"{kind}\"")).join(", ");
        problems.add(&at, format!("match must have exactly one of {kinds}, got {given} of them"));
    }
    credentials.into_iter().flatten().next().flatten()
}

fn read_hash(value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Credential> {
    let hash = match value {
        Value::String(text) => unhex(text),
        _ => None,
    };
    if hash.is_none() {
        problems.add(at, "bearer_sha256 must be the SHA-256 of the token as 64 hex digits");
    }
    hash.map(Credential::Bearer)
}

pub(super) fn unhex(text: &str) -> Option<TokenHash> {
    let mut hash = [0; 32];
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = text.as_bytes().iter().map(digit).collect::<Option<_>>()?;
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
    }
    Some(TokenHash(hash))
}

fn read_header(value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Credential> {
    let mut fields = open(value, at, "header", problems)?;
    fields.require("name", problems);
    fields.require("equals", problems);
    let name = fields.string("name", problems).map(str::to_ascii_lowercase).filter(|name| {
        let at = fields.at().child("name");
        if !is_header_name(name) {
            problems.add(&at, format!("name must be the name of an HTTP header, got {}", Value::String(name.clone())));
        }
        if name == "authorization" {
            problems.add(&at, "name must not be \"authorization\": give its bearer token as bearer_sha256");
        }
        is_header_name(name)
    });
    let equals = read_text(&mut fields, "equals", problems);
    fields.finish(problems);
    Some(Credential::Header { name: name?, equals: Secret(equals?) })
}

/// A `token` of RFC 9110, section 5.6.2.
fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

fn read_claim(value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Credential> {
    let mut fields = open(value, at, "jwt_claim", problems)?;
    fields.require("claim", problems);
    let path = fields.string("claim", problems).and_then(|claim| {
        let path = claim_path(claim);
        if path.is_none() {
            let at = fields.at().child("claim");
            let example = r#"such as groups, realm_access.roles or ["https://example.com/roles"]"#;
            problems.add(&at, format!("claim must be a claim's name or path, {example}"));
        }
        path
    });
    if fields.has("contains") == fields.has("equals") {
        problems.add(fields.at(), "give either contains or equals");
    }
    let word = read_text(&mut fields, "contains", problems).map(ClaimTest::Contains);
    let exact = fields.take("equals").and_then(|(value, at)| match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Some(ClaimTest::Equals(value.clone())),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            problems.add(&at, format!("equals must be a string, a number, true or false, got {value}"));
            None
        }
    });
    fields.finish(problems);
    Some(Credential::Claim { path: path?, test: word.or(exact)? })
}

fn read_san(value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Credential> {
    match value {
        Value::String(text) if !text.is_empty() => Some(Credential::San(Pattern::new(text))),
        _ => {
            problems.add(at, format!("mtls_san must be a URI or a pattern of URIs, got {value}"));
            None
        }
    }
}

/// A string that is not empty, and is not repeated.
fn read_text(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Option<String> {
    let (value, at) = fields.take(name)?;
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => {
            problems.add(&at, format!("{name} must be a string that is not empty"));
            None
        }
    }
}
