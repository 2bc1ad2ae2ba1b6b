//! Cases: one disguise each, as raw HTTP/1.1, and what has to become of it.
//!
//! A file opens with `name: value` lines that say what must happen:
//!
//! - `about`: the disguise, in a sentence.
//! - `gate`: what the gate does, alternatives joined by ` or `. `forwarded`; `200 policy` (the result that says why a
//!   call was refused); `400 -32600` (a JSON-RPC error); `202` (nothing); `envoy 400` (Envoy's own answer, before the
//!   plugin saw anything); `closed` (the connection ends without an answer); `stand-in` (the call is refused, and goes on
//!   under a name that is no tool's, so that the server's answer comes where the client waits for it).
//! - `runs`: the tool that a server may run then, quoted as JSON has it where its characters do not show; with
//!   ` everywhere` each server has to. Without it none may run any.
//! - `framing: raw`: the body goes out as it is written, its framing included.
//! - `ends: early`: the client ends the connection where its bytes end.
//! - `needs`: what the gate must be able to do before `gate` is true of it. What runs is checked all the same.
//!
//! After a line `---` comes a request: its head, a blank line, its body. More `---` lines part requests that follow
//! each other on one connection. The lines that every request has are left out: `host`, `content-length` (or the
//! chunks, where the head says `transfer-encoding: chunked`), and `x-case`, by which a server tells what it was asked
//! to run. `<<0A ff>>` stands for these bytes, `<<[ * 200>>` for the text so many times over, `<<case>>` for what
//! `x-case` says.

use std::fmt;

/// One disguise.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its file's name, or what made it.
    pub name: String,
    /// In a sentence.
    pub about: String,
    /// What the gate may do.
    pub gate: Vec<Gate>,
    /// The tool that may run.
    pub runs: Option<String>,
    /// Every server has to run it.
    pub everywhere: bool,
    /// The client ends the connection where its bytes end.
    pub ends_early: bool,
    /// What the gate must be able to do.
    pub needs: Option<String>,
    /// What is sent on one connection.
    pub requests: Vec<Request>,
}

/// What the gate does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It goes on.
    Forwarded,
    /// The result that says why a call was refused.
    Policy,
    /// A JSON-RPC error: HTTP status, code.
    Error(u16, i64),
    /// An empty answer.
    Empty(u16),
    /// Envoy itself refuses it.
    Envoy(u16),
    /// No answer, and no connection any more.
    Closed,
    /// It goes on under a name that is no tool's.
    StandIn,
}

/// One request as it was written.
#[derive(Debug, Clone)]
pub struct Request {
    /// The request line and the header lines, without their ends.
    pub head: Vec<Vec<u8>>,
    /// The body, without framing unless `is_raw`.
    pub body: Vec<u8>,
    /// The body holds its own framing.
    pub is_raw: bool,
}

/// With a port, because servers that guard against DNS rebinding ask for one.
pub const HOST: &str = "localhost:10000";

/// Stands for the marker in a body until it is known.
const MARKER: &[u8] = b"<<case>>";

impl Gate {
    /// Whether the request does not go on.
    pub fn refuses(self) -> bool {
        self != Self::Forwarded
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split(' ').collect::<Vec<_>>().as_slice() {
            ["forwarded"] => Some(Self::Forwarded),
            ["closed"] => Some(Self::Closed),
            ["stand-in"] => Some(Self::StandIn),
            ["200", "policy"] => Some(Self::Policy),
            ["envoy", status] => status.parse().ok().map(Self::Envoy),
            [status] => status.parse().ok().map(Self::Empty),
            [status, code] => Some(Self::Error(status.parse().ok()?, code.parse().ok()?)),
            _ => None,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forwarded => write!(f, "forwarded"),
            Self::Policy => write!(f, "200 policy"),
            Self::Error(status, code) => write!(f, "{status} {code}"),
            Self::Empty(status) => write!(f, "{status}"),
            Self::Envoy(status) => write!(f, "envoy {status}"),
            Self::Closed => write!(f, "closed"),
            Self::StandIn => write!(f, "stand-in"),
        }
    }
}

impl Case {
    /// Reads a file.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let (settings, requests) = text.split_once("\n---\n").ok_or("no line `---`")?;
        let mut case = Self::new(name, "", &[]);
        let mut is_raw = false;
        for line in settings.lines() {
            let (key, value) = line.split_once(": ").ok_or_else(|| format!("`{line}` is no setting"))?;
            match (key, value) {
                ("about", _) => case.about = value.to_owned(),
                ("gate", _) => {
                    let gate: Option<_> = value.split(" or ").map(Gate::parse).collect();
                    case.gate = gate.ok_or_else(|| format!("the gate cannot do `{value}`"))?;
                }
                ("runs", _) => {
                    let tool = value.strip_suffix(" everywhere");
                    case.everywhere = tool.is_some();
                    let tool = tool.unwrap_or(value);
                    let quoted = serde_json::from_str(tool).ok().filter(|_| tool.starts_with('"'));
                    case.runs = Some(quoted.unwrap_or_else(|| tool.to_owned()));
                }
                ("framing", "raw") => is_raw = true,
                ("ends", "early") => case.ends_early = true,
                ("needs", _) => case.needs = Some(value.to_owned()),
                _ => return Err(format!("`{line}` is no setting")),
            }
        }
        if case.about.is_empty() || case.gate.is_empty() {
            return Err("needs `about` and `gate`".to_owned());
        }
        for request in requests.split("\n---\n") {
            // The last line of a file ends too; of a body that is no part.
            let request = request.strip_suffix('\n').unwrap_or(request);
            let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
            let head = head.trim_end_matches('\n').split('\n').map(unescape).collect::<Result<_, _>>()?;
            case.requests.push(Request { head, body: unescape(body)?, is_raw });
        }
        Ok(case)
    }

    /// A case made by a program.
    pub fn new(name: &str, about: &str, gate: &[Gate]) -> Self {
        Self {
            name: name.to_owned(),
            about: about.to_owned(),
            gate: gate.to_vec(),
            runs: None,
            everywhere: false,
            ends_early: false,
            needs: None,
            requests: Vec::new(),
        }
    }

    /// With one more POST, as honest clients send it, of this body.
    pub fn posting(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.requests.push(Request::post(body));
        self
    }

    /// In which this tool may run.
    pub fn running(self, tool: &str) -> Self {
        Self { runs: Some(tool.to_owned()), ..self }
    }
}

impl Request {
    /// A POST as honest clients send it.
    pub fn post(body: impl Into<Vec<u8>>) -> Self {
        let head =
            ["POST /mcp HTTP/1.1", "accept: application/json, text/event-stream", "content-type: application/json"];
        Self { head: head.map(|line| line.as_bytes().to_vec()).to_vec(), body: body.into(), is_raw: false }
    }

    /// The HTTP method.
    pub fn method(&self) -> &[u8] {
        self.head[0].split(|byte| *byte == b' ').next().unwrap_or_default()
    }

    /// The value of the first header line of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.iter().skip(1).find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
        })
    }

    /// All that goes over the wire; `marker` tells whose it is.
    pub fn bytes(&self, marker: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, line) in self.head.iter().enumerate() {
            bytes.extend(line);
            bytes.extend(b"\r\n");
            if index == 0 {
                if self.header("host").is_none() {
                    bytes.extend(format!("host: {HOST}\r\n").bytes());
                }
                bytes.extend(format!("x-case: {marker}\r\n").bytes());
            }
        }
        let body = replace(&self.body, MARKER, marker.as_bytes());
        let is_chunked = self.header("transfer-encoding").is_some_and(|value| value == b"chunked");
        if self.is_raw {
            bytes.extend(b"\r\n");
            bytes.extend(body);
        } else if is_chunked {
            bytes.extend(b"\r\n");
            if !body.is_empty() {
                bytes.extend(format!("{:x}\r\n", body.len()).bytes());
                bytes.extend(body);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            if self.header("content-length").is_none() && self.method() == b"POST" {
                bytes.extend(format!("content-length: {}\r\n", body.len()).bytes());
            }
            bytes.extend(b"\r\n");
            bytes.extend(body);
        }
        bytes
    }
}

/// Exchanges `<<...>>` for what it stands for; `<<case>>` is left to be known later.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once("<<") {
        let (inner, after) = after.split_once(">>").ok_or("`<<` without `>>`")?;
        bytes.extend(before.bytes());
        rest = after;
        if inner == "case" {
            bytes.extend(MARKER);
        } else if let Some((text, times)) = inner.rsplit_once(" * ") {
            let times = times.parse().map_err(|_| format!("`{inner}` is not so many times a text"))?;
            bytes.extend(text.repeat(times).bytes());
        } else {
            for byte in inner.split(' ') {
                bytes.push(u8::from_str_radix(byte, 16).map_err(|_| format!("`{inner}` are no bytes"))?);
            }
        }
    }
    bytes.extend(rest.bytes());
    Ok(bytes)
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        replaced.extend(&rest[..at]);
        replaced.extend(to);
        rest = &rest[at + from.len()..];
    }
    replaced.extend(rest);
    replaced
}
