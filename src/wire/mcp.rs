//! Classify: [`Message`] → [`Operation`], reading only what the method needs (MCP: tools, prompts,
//! resources, completion).

use super::json::{Kind, Raw, Reader, Text};
use super::jsonrpc::{Content, INVALID_PARAMS, INVALID_REQUEST, Malformed, Message};
use super::members::{Members, folds_to};
use std::borrow::Cow;

/// The methods that name one thing; each is judged by what it names.
const NAMING: [&str; 6] = [
    "tools/call",
    "prompts/get",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "completion/complete",
];
/// Names any number of resources.
const LISTEN: &str = "subscriptions/listen";
/// How many resources one `subscriptions/listen` may name; each is judged.
pub const MAX_SUBSCRIPTIONS: usize = 256;
/// Members of `params` that some method gives a meaning to.
const PARAMS: [&str; 9] =
    ["name", "arguments", "_meta", "uri", "cursor", "ref", "notifications", "inputResponses", "requestState"];
/// Members of `params.ref`.
const REF: [&str; 3] = ["type", "name", "uri"];

/// What a server offers by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// By `name`.
    Tool,
    /// By `name`.
    Prompt,
    /// By `uri`, or `uriTemplate` for many.
    Resource,
}

impl Feature {
    /// Whether a client may ask for something of that name.
    fn may_be_named(self, name: &str) -> bool {
        let most = match self {
            Self::Tool | Self::Prompt => MAX_NAME_BYTES,
            Self::Resource => MAX_URI_BYTES,
        };
        name.len() <= most && !name.contains('\0')
    }
}

/// A list in the result of the method that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    ResourceTemplates,
}

impl List {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::ResourceTemplates];

    /// The method that asks for it.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::ResourceTemplates => "resources/templates/list",
        }
    }

    /// The member of the result that holds it.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::ResourceTemplates => "resourceTemplates",
        }
    }

    /// The member of an element that names what it describes.
    #[must_use]
    pub const fn name_member(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::ResourceTemplates => "uriTemplate",
        }
    }

    /// What its elements describe.
    #[must_use]
    pub const fn feature(self) -> Feature {
        match self {
            Self::Tools => Feature::Tool,
            Self::Prompts => Feature::Prompt,
            Self::Resources | Self::ResourceTemplates => Feature::Resource,
        }
    }
}

/// How long the name of a tool or prompt may be, in bytes; the specification recommends 128. It bounds the matching
/// of patterns.
pub const MAX_NAME_BYTES: usize = 1024;
/// How long the URI of a resource may be, in bytes; that much every HTTP server should take (RFC 9110, section 4.1).
pub const MAX_URI_BYTES: usize = 8000;

/// What a client's message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation<'a> {
    /// `tools/call`, `prompts/get`, `resources/read`, `resources/subscribe`, `resources/unsubscribe` or
    /// `completion/complete`: it names one thing.
    Use {
        /// Which of them.
        method: &'static str,
        /// What it names.
        named: Named<'a>,
    },
    /// `subscriptions/listen` (2026-07-28), which takes the place of `resources/subscribe`.
    Listen {
        /// `params.notifications.resourceSubscriptions`, unescaped.
        uris: Vec<Cow<'a, str>>,
        /// `params._meta`.
        meta: Option<Raw<'a>>,
    },
    /// `tools/list` and its like.
    List(List),
    /// Any other request or notification.
    Other {
        /// As sent.
        method: Cow<'a, str>,
    },
    /// The answer to a request that the server made.
    Response,
}

/// What a request has that goes on with an earlier one (2026-07-28, multi round-trip requests).
pub const CONTINUING: [&str; 2] = ["inputResponses", "requestState"];

/// The one thing that a message names, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<'a> {
    /// What kind of thing.
    pub feature: Feature,
    /// Its name or URI, unescaped; compared code point for code point.
    pub name: Cow<'a, str>,
    /// The name as it was written, where it stands in `params` itself.
    pub token: Option<Raw<'a>>,
    /// `params.arguments` of a call or a prompt, an object; `null` counts as absent.
    pub arguments: Option<Raw<'a>>,
    /// `params.inputResponses` or `params.requestState` is there.
    pub continues: bool,
    /// What else `params` holds, beside what it is named by.
    pub rest: Vec<(Cow<'a, str>, Raw<'a>)>,
    /// `params._meta`.
    pub meta: Option<Raw<'a>>,
}

impl Operation<'_> {
    /// The JSON-RPC method; empty for a response.
    #[must_use]
    pub fn method(&self) -> &str {
        match self {
            Self::Use { method, .. } => method,
            Self::Listen { .. } => LISTEN,
            Self::List(list) => list.method(),
            Self::Other { method } => method,
            Self::Response => "",
        }
    }
}

/// Tells what `message` asks for.
///
/// # Errors
/// [`INVALID_PARAMS`] when a method that names something names nothing, or `arguments` are no object,
/// [`INVALID_REQUEST`] when `params`, `_meta`, `ref` or the method's spelling is ambiguous.
pub fn classify<'a>(message: &Message<'a>) -> Result<Operation<'a>, Malformed<'a>> {
    let id = message.id;
    let ambiguous = |reason: String| Malformed::new(INVALID_REQUEST, format!("Invalid Request: {reason}"), id);

    let none = Members::default();
    let (method, params) = match &message.content {
        Content::Call { method, params } => (method, params.as_ref().unwrap_or(&none)),
        Content::Response => return Ok(Operation::Response),
    };
    if let Some(name) = params.misspelt(&PARAMS) {
        return Err(ambiguous(format!("a member of `params` differs from `{name}` only in case")));
    }
    if let Some(meta) = params.get("_meta") {
        check_meta(meta).map_err(ambiguous)?;
    }
    let refused = |fault| match fault {
        Fault::Ambiguous(reason) => ambiguous(reason),
        Fault::Invalid(reason) => Malformed::new(INVALID_PARAMS, format!("Invalid params: {reason}"), id),
    };
    if let Some(method) = NAMING.into_iter().find(|naming| method == *naming) {
        let named = Named::read(method, params).map_err(refused)?;
        return Ok(Operation::Use { method, named });
    }
    if let Some(list) = List::ALL.into_iter().find(|list| method == list.method()) {
        return Ok(Operation::List(list));
    }
    if method == LISTEN {
        let uris = subscriptions(params).map_err(refused)?;
        return Ok(Operation::Listen { uris, meta: params.get("_meta") });
    }
    let mut known = NAMING.into_iter().chain([LISTEN]).chain(List::ALL.map(List::method));
    match known.find(|known| folds_to(method, known)) {
        Some(known) => Err(ambiguous(format!("the method differs from `{known}` only in case"))),
        None => Ok(Operation::Other { method: method.clone() }),
    }
}

/// Whether `params.arguments` means something to `method`. Elsewhere no rule may be satisfied by it.
#[must_use]
pub fn takes_arguments(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get")
}

/// Why `params` name nothing that can be judged.
enum Fault {
    Ambiguous(String),
    Invalid(&'static str),
}

impl<'a> Named<'a> {
    fn read(method: &str, params: &Members<'a>) -> Result<Self, Fault> {
        let (feature, name, token) = match method {
            "tools/call" => in_params(params, Feature::Tool)?,
            "prompts/get" => in_params(params, Feature::Prompt)?,
            "completion/complete" => {
                let (feature, name) = in_ref(params)?;
                (feature, name, None)
            }
            // Judged like the empty URI, as which some servers read it. Not refused, because 2026-07-28 has no such
            // method any more, and its servers have to say so.
            "resources/subscribe" | "resources/unsubscribe" if params.get("uri").is_none() => {
                (Feature::Resource, Cow::default(), None)
            }
            _ => in_params(params, Feature::Resource)?,
        };
        let arguments = params.get("arguments").filter(|raw| takes_arguments(method) && raw.kind() != Kind::Null);
        if arguments.is_some_and(|raw| raw.kind() != Kind::Object) {
            return Err(Fault::Invalid("`arguments` must be an object"));
        }
        let continues = CONTINUING.iter().any(|member| params.get(member).is_some());
        let rest = params.iter().filter(|(name, _)| !["name", "uri", "ref", "arguments", "_meta"].contains(name));
        let rest = rest.map(|(name, value)| (Cow::Owned(name.to_owned()), value)).collect();
        Ok(Self { feature, name, token, arguments, continues, rest, meta: params.get("_meta") })
    }
}

/// The name that `members` give to a thing, and its place in them.
fn in_params<'a>(members: &Members<'a>, feature: Feature) -> Result<(Feature, Cow<'a, str>, Option<Raw<'a>>), Fault> {
    let (member, reason) = match feature {
        Feature::Tool => ("name", "`name` must be a string that names a tool"),
        Feature::Prompt => ("name", "`name` must be a string that names a prompt"),
        Feature::Resource => ("uri", "`uri` must be a string that names a resource"),
    };
    let token = members.get(member).ok_or(Fault::Invalid(reason))?;
    let name = token.string().and_then(Text::decode).filter(|name| feature.may_be_named(name));
    Ok((feature, name.ok_or(Fault::Invalid(reason))?, Some(token)))
}

/// What `params.ref` refers to (MCP, completion).
fn in_ref<'a>(params: &Members<'a>) -> Result<(Feature, Cow<'a, str>), Fault> {
    let members = inner(params, "ref", &REF)?.ok_or(Fault::Invalid("`ref` must be an object"))?;
    let is = |wanted: &str| members.get("type").and_then(Raw::string).is_some_and(|text| text.is(wanted));
    let feature = match () {
        () if is("ref/prompt") => Feature::Prompt,
        () if is("ref/resource") => Feature::Resource,
        () => return Err(Fault::Invalid("`ref.type` must be \"ref/prompt\" or \"ref/resource\"")),
    };
    in_params(&members, feature).map(|(feature, name, _)| (feature, name))
}

/// The resources of a `subscriptions/listen`.
fn subscriptions<'a>(params: &Members<'a>) -> Result<Vec<Cow<'a, str>>, Fault> {
    let no_list = Fault::Invalid("`notifications.resourceSubscriptions` must be a list of at most 256 URIs");
    let wanted = inner(params, "notifications", &["resourceSubscriptions"])?;
    let Some(list) = wanted.and_then(|wanted| wanted.get("resourceSubscriptions")) else { return Ok(Vec::new()) };
    let mut uris = Vec::new();
    if list.kind() != Kind::Array {
        return Err(no_list);
    }
    let read = Reader::new(list.as_str()).array::<super::json::Error>(|reader| {
        uris.push(reader.value()?.string().and_then(Text::decode).filter(|uri| Feature::Resource.may_be_named(uri)));
        Ok(())
    });
    match uris.into_iter().collect() {
        Some(uris) if read.is_ok() && Vec::len(&uris) <= MAX_SUBSCRIPTIONS => Ok(uris),
        _ => Err(no_list),
    }
}

/// The object that `params.NAME` is; `None` when it is absent. `protocol`: the members that matter.
fn inner<'a>(
    params: &Members<'a>,
    name: &'static str,
    protocol: &[&'static str],
) -> Result<Option<Members<'a>>, Fault> {
    let Some(object) = params.get(name) else { return Ok(None) };
    if object.kind() != Kind::Object {
        return Err(Fault::Invalid(if name == "ref" {
            "`ref` must be an object"
        } else {
            "`notifications` must be an object"
        }));
    }
    let members = Members::read(&mut Reader::new(object.as_str()))
        .map_err(|error| Fault::Ambiguous(format!("`{name}` is not JSON: {error}")))?;
    if let Some(fault) = members.fault() {
        return Err(Fault::Ambiguous(format!("`{name}` {}", fault.reason())));
    }
    match members.misspelt(protocol) {
        Some(member) => Err(Fault::Ambiguous(format!("a member of `{name}` differs from `{member}` only in case"))),
        None => Ok(Some(members)),
    }
}

/// Whether no parser could read `_meta` in another way.
///
/// # Errors
/// One clause that says why not.
pub fn check_meta(meta: Raw<'_>) -> Result<(), String> {
    if meta.kind() != Kind::Object {
        // Servers refuse or ignore it; it carries nothing that is judged.
        return Ok(());
    }
    match Members::read(&mut Reader::new(meta.as_str())) {
        Ok(members) => members.fault().map_or(Ok(()), |fault| Err(format!("`_meta` {}", fault.reason()))),
        Err(error) => Err(format!("`_meta` is not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests;
