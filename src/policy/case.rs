//! Cases as written: what a policy's author expects of it, in `tests` of the policy or in a file beside it.
//!
//! Document → [`Case`]s, noting every problem on the way. `cases` runs them.

use super::decision::Outcome;
use super::fields::Fields;
use super::problem::{Pointer, Problems};
use super::query::{Principal, Target};
use super::stated::{read_claims, read_headers};
use super::upstream::Upstream;
use crate::timestamp::Timestamp;
use crate::wire::json::{Error, Kind, Raw, Reader};
use crate::wire::mcp::Feature;
use crate::wire::value::{DocumentError, Value};

pub(crate) use super::stated::SESSION_HEADER;

/// What a call may name, and a list may hold.
const FEATURES: [(&str, Feature); 3] =
    [("tool", Feature::Tool), ("prompt", Feature::Prompt), ("resource", Feature::Resource)];

/// One expectation: of a call, or of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Case {
    /// What becomes of a call.
    Call(Box<CallCase>),
    /// What of a list is seen.
    List(ListCase),
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCase {
    /// One sentence that is true when the case passes.
    pub name: String,
    /// What the server has listed before.
    pub listed: Vec<Element>,
    /// Calls made before, whatever came of them.
    pub after: Vec<Call>,
    /// The call that is judged; of several, the last one.
    pub call: Call,
    /// What comes of it.
    pub expect: Outcome,
    /// The rule that decides, empty when nothing fires; not compared when absent.
    pub rule: Option<String>,
    /// The words for the caller, without prefix; not compared when absent.
    pub message: Option<String>,
}

/// Which elements of a list are seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListCase {
    /// One sentence that is true when the case passes.
    pub name: String,
    /// What the server lists.
    pub list: Vec<Element>,
    /// What kind of things they are.
    pub of: Feature,
    /// Those that the client sees.
    pub visible: Vec<String>,
}

/// What a server lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its name or URI.
    pub name: String,
    /// All that the list says of it, the text of a JSON object; `None` where only the name matters.
    pub definition: Option<String>,
}

/// One or more equal messages of a client, most often calls of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it reaches, with its name or URI; `None` where there is only a method.
    pub reaches: Option<(Feature, String)>,
    /// The JSON-RPC method, where it is not `tools/call`, `prompts/get` or `resources/read`.
    pub method: Option<String>,
    /// The arguments, the text of a JSON object.
    pub arguments: Option<String>,
    /// The `_meta`, the text of a JSON object.
    pub meta: Option<String>,
    /// Lines of headers; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The payload of the JWT that the proxy verified, an object; `None` without one.
    pub claims: Option<Value>,
    /// It goes on with an earlier call.
    pub continues: bool,
    /// The grant's id.
    pub grant: String,
    /// The `Mcp-Session-Id`.
    pub session: Option<String>,
    /// When.
    pub at: Timestamp,
    /// What the server makes of it, if it goes on.
    pub upstream: Upstream,
    /// How often.
    pub times: u32,
}

/// The members of a call that a policy judges as they are written: the params' `arguments` and `_meta`.
const KEPT_RAW: [&str; 2] = ["arguments", "meta"];

/// The name of one of them, and its values.
type KeptRaw<'a> = (&'static str, Vec<Raw<'a>>);

/// What a case may say that the server makes of a call.
const UPSTREAM: [(&str, Upstream); 5] = [
    ("success", Upstream::Success),
    ("jsonrpc_error", Upstream::JsonRpcError),
    ("tool_error", Upstream::ToolError),
    ("http_error", Upstream::HttpError),
    ("unreachable", Upstream::Unreachable),
];

/// What a call is when it does not say.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The grant's id.
    pub grant: String,
    /// When.
    pub at: Timestamp,
    /// Lines of headers.
    pub headers: Vec<(String, String)>,
    /// The payload of the JWT.
    pub claims: Option<Value>,
}

impl Default for Defaults {
    fn default() -> Self {
        let grant = Principal::ANONYMOUS.to_owned();
        Self { grant, at: Timestamp::from_millis(0), headers: Vec::new(), claims: None }
    }
}

/// Reads a list of cases.
pub(crate) fn read_cases(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Vec<Case> {
    let cases = fields.list(name, problems);
    cases.into_iter().filter_map(|(value, at)| Case::read(value, &at, problems)).collect()
}

impl Case {
    /// What is true when it passes.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Call(case) => &case.name,
            Self::List(case) => &case.name,
        }
    }

    fn read(value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::of(value, at, problems)?;
        fields.require("name", problems);
        let name = fields.string("name", problems).unwrap_or_default().to_owned();
        let case = if fields.has("list") || fields.has("visible") {
            fields.require("list", problems);
            fields.require("visible", problems);
            let of = fields.choice("of", &FEATURES, problems).unwrap_or(Feature::Tool);
            let list = read_list(&mut fields, of, problems);
            let visible = read_names(&mut fields, "visible", of, problems);
            Some(Self::List(ListCase { name, list, of, visible }))
        } else {
            CallCase::read(name, &mut fields, problems).map(|case| Self::Call(Box::new(case)))
        };
        fields.finish(problems);
        case
    }
}

impl CallCase {
    fn read(name: String, fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Self> {
        // What a case says for itself holds for each of its calls.
        let defaults = read_defaults(fields, &Defaults::default(), problems);
        let mut after = Vec::new();
        for (value, at) in fields.list("after", problems) {
            after.extend(Call::read(value, &at, &defaults, problems));
        }
        let listed = fields.list("listed", problems).into_iter();
        let listed = listed.filter_map(|(value, at)| Element::definition(value, &at, "listed", problems)).collect();
        fields.require("call", problems);
        let call = fields.take("call").and_then(|(value, at)| Call::read(value, &at, &defaults, problems));
        fields.require("expect", problems);
        let expect = fields.choice("expect", &Outcome::NAMES, problems);
        let rule = fields.string("rule", problems).map(str::to_owned);
        let message = fields.string("message", problems).map(str::to_owned);
        Some(Self { name, listed, after, call: call?, expect: expect?, rule, message })
    }
}

impl Call {
    /// What it reaches, if anything.
    #[must_use]
    pub fn target(&self) -> Option<Target<'_>> {
        self.reaches.as_ref().map(|(feature, name)| Target { feature: *feature, name })
    }

    /// Its JSON-RPC method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.method.as_deref().unwrap_or(match self.target().map(|target| target.feature) {
            Some(Feature::Tool) => "tools/call",
            Some(Feature::Prompt) => "prompts/get",
            Some(Feature::Resource) => "resources/read",
            None => "",
        })
    }

    fn read(value: &Value, at: &Pointer, defaults: &Defaults, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::of(value, at, problems)?;
        let mut call = Self::read_members(&mut fields, defaults, problems);
        let [arguments, meta] = KEPT_RAW.map(|name| {
            let (value, at) = fields.take(name)?;
            if !matches!(value, Value::Object(_)) {
                problems.add(&at, format!("{name} must be an object, got {value}"));
            }
            Some(value.compact())
        });
        call = call.map(|call| Self { arguments, meta, ..call });
        if let Some((value, at)) = fields.take("times") {
            let times = if let Value::Number(digits) = value { digits.parse().ok() } else { None };
            match times.filter(|times| *times > 0) {
                Some(times) => call.iter_mut().for_each(|call| call.times = times),
                None => problems.add(&at, format!("times must be an integer of at least 1, got {value}")),
            }
        }
        fields.finish(problems);
        call
    }

    /// Reads one call that stands alone, as `mcp-policy decide` takes it. Its arguments and its `_meta` stay as they
    /// were written: a policy judges them by what another parser might read.
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn parse(text: &str, defaults: &Defaults) -> Result<Self, Problems> {
        let (mut problems, mut raw, root) =
            (Problems::default(), KEPT_RAW.map(|name| (name, Vec::new())), Pointer::root());
        let call = match read_line(text, &mut raw) {
            Ok(value) => Fields::of(&value, &root, &mut problems).and_then(|mut fields| {
                let call = Self::read_members(&mut fields, defaults, &mut problems);
                // Known, although they are kept aside.
                KEPT_RAW.into_iter().for_each(|name| drop(fields.take(name)));
                fields.finish(&mut problems);
                call
            }),
            Err(error) => {
                problems.add(&root, error.to_string());
                None
            }
        };
        let [arguments, meta] = raw.map(|(name, values)| only_object(name, &values, &root, &mut problems));
        call.filter(|_| problems.is_empty()).map(|call| Self { arguments, meta, ..call }).ok_or(problems)
    }

    /// All but what is kept raw, and how often.
    fn read_members(fields: &mut Fields<'_>, defaults: &Defaults, problems: &mut Problems) -> Option<Self> {
        let named: Vec<&str> = FEATURES.into_iter().map(|(name, _)| name).filter(|name| fields.has(name)).collect();
        match named.as_slice() {
            [] if !fields.has("method") => problems.add(fields.at(), "tool, prompt, resource or method is required"),
            [] | [_] => {}
            [first, others @ ..] => {
                let others = others.join(" and ");
                problems
                    .add(fields.at(), format!("{first} and {others} cannot both be given: a call reaches one thing"));
            }
        }
        let is_method_alone = named.is_empty();
        let mut reaches = None;
        for (name, feature) in FEATURES {
            reaches = reaches.or(fields.string(name, problems).map(|text| (feature, text.to_owned())));
        }
        let method = fields.string("method", problems).map(str::to_owned);
        let Defaults { grant, at, headers, claims } = read_defaults(fields, defaults, problems);
        let continues = fields.bool("continues", problems).unwrap_or(false);
        let session = fields.string("session", problems).map(str::to_owned);
        let upstream = fields.choice("upstream", &UPSTREAM, problems).unwrap_or(Upstream::Success);
        let is_read = if is_method_alone { method.is_some() } else { reaches.is_some() };
        let (arguments, meta, times) = (None, None, 1);
        is_read.then_some(Self {
            reaches,
            method,
            arguments,
            continues,
            meta,
            headers,
            claims,
            grant,
            session,
            at,
            upstream,
            times,
        })
    }
}

/// The text of the only value of the member `name`.
fn only_object(name: &str, values: &[Raw<'_>], root: &Pointer, problems: &mut Problems) -> Option<String> {
    let at = root.child(name);
    match values {
        [] => {}
        // As in a request, null is as good as nothing.
        [one] if one.kind() == Kind::Null => {}
        [one] if one.kind() == Kind::Object => return Some(one.as_str().to_owned()),
        [_] => problems.add(&at, format!("{name} must be an object")),
        _ => problems.add(&at, "member is given twice"),
    }
    None
}

/// The members of an object but those of [`KEPT_RAW`], and each value of those.
fn read_line<'a>(text: &'a str, raw: &mut [KeptRaw<'a>]) -> Result<Value, DocumentError> {
    let mut reader = Reader::new(text);
    if reader.kind()? != Kind::Object {
        return Value::parse(text);
    }
    let mut members = Vec::new();
    reader.object::<DocumentError>(|reader, name| {
        let name = name.decode().ok_or(DocumentError::NotText(reader.position()))?;
        let value = reader.value()?;
        match raw.iter_mut().find(|(kept, _)| *kept == name) {
            Some((_, values)) => values.push(value),
            None => members.push((name.into_owned(), Value::parse(value.as_str())?)),
        }
        Ok(())
    })?;
    reader.end().map_err(|error: Error| DocumentError::Json(error))?;
    Ok(Value::Object(members))
}

fn read_defaults(fields: &mut Fields<'_>, defaults: &Defaults, problems: &mut Problems) -> Defaults {
    let grant = fields.string("grant", problems).map_or_else(|| defaults.grant.clone(), str::to_owned);
    let at = fields.take("at").map_or(defaults.at, |(value, at)| {
        read_time(value).unwrap_or_else(|| {
            let wanted = "at must be a time as \"2026-11-21T09:30:00Z\", or milliseconds since 1970";
            problems.add(&at, format!("{wanted}, got {value}"));
            defaults.at
        })
    });
    let headers = read_headers(fields, problems).unwrap_or_else(|| defaults.headers.clone());
    let claims = read_claims(fields, problems).or_else(|| defaults.claims.clone());
    Defaults { grant, at, headers, claims }
}

fn read_time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => Timestamp::parse(text),
        Value::Number(digits) => digits.parse().ok().map(Timestamp::from_millis),
        _ => None,
    }
}

/// What the server lists: names, and of tools their definitions where a rule reads those.
fn read_list(fields: &mut Fields<'_>, of: Feature, problems: &mut Problems) -> Vec<Element> {
    let mut list = Vec::new();
    for (value, at) in fields.list("list", problems) {
        match value {
            Value::String(name) => list.push(Element { name: name.clone(), definition: None }),
            Value::Object(_) if of == Feature::Tool => list.extend(Element::definition(value, &at, "list", problems)),
            other => problems.add(&at, format!("list must hold {}, got {other}", names_of(of))),
        }
    }
    list
}

impl Element {
    /// Reads a tool's definition.
    fn definition(value: &Value, at: &Pointer, list: &str, problems: &mut Problems) -> Option<Self> {
        let Value::Object(members) = value else {
            problems.add(at, format!("{list} must hold definitions of tools, got {value}"));
            return None;
        };
        let name = members.iter().find_map(|(member, value)| match value {
            Value::String(name) if member == "name" => Some(name.clone()),
            _ => None,
        });
        if name.is_none() {
            problems.add(at, "the definition of a tool must have a name");
        }
        Some(Self { name: name?, definition: Some(value.compact()) })
    }
}

fn names_of(feature: Feature) -> &'static str {
    match feature {
        Feature::Tool => "names of tools",
        Feature::Prompt => "names of prompts",
        Feature::Resource => "URIs of resources",
    }
}

fn read_names(fields: &mut Fields<'_>, name: &'static str, of: Feature, problems: &mut Problems) -> Vec<String> {
    let mut names = Vec::new();
    for (value, at) in fields.list(name, problems) {
        match value {
            Value::String(text) => names.push(text.clone()),
            other => problems.add(&at, format!("{name} must hold {}, got {other}", names_of(of))),
        }
    }
    names
}
