//! Streamable HTTP, the server's side: one exchange becomes an answer. MCP 2025-11-25, "Transports"; 2026-07-28 the same
//! without sessions.

use super::message::{Kind, Message, error};
use super::room::Waiting;
use super::session::{Asked, Event};
use super::{Bridge, PATH, Refusal, Unnamed};
use crate::cli::run::screen::warn;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Of a message to the server. The plugin has a bound of its own, which is below this one unless it is configured.
const MAX_BODY_BYTES: usize = 16 << 20;
const SESSION: &str = "mcp-session-id";

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const INTERNAL_ERROR: i32 = -32603;
/// As the SDKs say that there is no such session.
const NO_SESSION: i32 = -32001;

/// A request that did not reach the server.
struct Refused {
    status: StatusCode,
    /// A JSON-RPC error.
    text: String,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Answers one request.
pub(super) async fn answer(bridge: Arc<Bridge>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(serve(&bridge, request).await.unwrap_or_else(Refused::response))
}

async fn serve(bridge: &Bridge, request: Request<Incoming>) -> Result<Response<Body>, Refused> {
    let refuse = |status, why| Err(Refused::new(status, INVALID_REQUEST, why));
    if !is_of_this_machine(request.headers()) {
        return refuse(StatusCode::FORBIDDEN, "only pages and names of this machine are served");
    }
    if request.uri().path() != PATH {
        return refuse(StatusCode::NOT_FOUND, "MCP is at /mcp");
    }
    match *request.method() {
        Method::POST => post(bridge, request).await,
        Method::GET => get(bridge, request.headers()),
        Method::DELETE => delete(bridge, request.headers()),
        _ => Err(not_allowed()),
    }
}

async fn post(bridge: &Bridge, request: Request<Incoming>) -> Result<Response<Body>, Refused> {
    let (head, body) = request.into_parts();
    let refuse = Refused::new;
    let is_json = header(&head.headers, CONTENT_TYPE.as_str()).is_some_and(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if !is_json {
        let why = "the content type must be application/json";
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, why));
    }
    let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, "the message is too large"));
        }
        Err(_) => return Err(refuse(StatusCode::BAD_REQUEST, PARSE_ERROR, "the message is not whole")),
    };
    let message = std::str::from_utf8(&body).ok().and_then(Message::parse);
    let message = message.ok_or_else(|| {
        refuse(StatusCode::BAD_REQUEST, PARSE_ERROR, "the body must be one JSON-RPC message, and no batch")
    })?;
    let failed = |status, code, why: &str| Refused { status, text: error(message.id, code, why) };
    let (name, session) = match header(&head.headers, SESSION) {
        Some(name) => {
            let no_session = || failed(StatusCode::NOT_FOUND, NO_SESSION, "there is no such session; begin a new one");
            (None, bridge.session(name).ok_or_else(no_session)?)
        }
        None => {
            let opened = if message.kind == Kind::Request && message.method == "initialize" {
                bridge.open().map(|(name, session)| (Some(Unnamed { bridge, name }), session))
            } else {
                bridge.shared().map(|session| (None, session))
            };
            opened.map_err(|refusal| match refusal {
                Refusal::Full => {
                    failed(StatusCode::SERVICE_UNAVAILABLE, INTERNAL_ERROR, "too many sessions are in use")
                }
                Refusal::NoProcess(why) => {
                    warn(format_args!("mcp-policy: the server does not start: {why}"));
                    failed(StatusCode::BAD_GATEWAY, INTERNAL_ERROR, "the server does not start")
                }
            })?
        }
    };
    if message.kind != Kind::Request {
        let told = session.tell(&message);
        told.map_err(|why| failed(StatusCode::SERVICE_UNAVAILABLE, INTERNAL_ERROR, why))?;
        return Ok(empty(StatusCode::ACCEPTED));
    }
    let takes_events = accepts(&head.headers, "text/event-stream");
    let asked = session.ask(&message, takes_events);
    let asked = asked.map_err(|why| failed(StatusCode::SERVICE_UNAVAILABLE, INTERNAL_ERROR, why))?;
    Ok(reply(asked, name).await)
}

/// What the server has to say to a request: its answer alone, or events until then.
async fn reply(mut asked: Asked, name: Option<Unnamed<'_>>) -> Response<Body> {
    let (mut response, is_error) = match asked.next().await {
        Some(Event::Answer { text, is_error }) => (json(StatusCode::OK, text), is_error),
        Some(Event::Message(first)) => (events(first, asked), false),
        None => (json(StatusCode::BAD_GATEWAY, error(None, INTERNAL_ERROR, "the server has ended")), true),
    };
    // A session that the server did not want gets no name.
    if let Some(name) = name.filter(|_| !is_error)
        && let Ok(value) = HeaderValue::try_from(name.tell())
    {
        response.headers_mut().insert(SESSION, value);
    }
    response
}

fn get(bridge: &Bridge, headers: &HeaderMap) -> Result<Response<Body>, Refused> {
    // Without a session nothing comes but answers.
    let name = header(headers, SESSION).ok_or_else(not_allowed)?;
    if !accepts(headers, "text/event-stream") {
        let why = "accept must name text/event-stream";
        return Err(Refused::new(StatusCode::NOT_ACCEPTABLE, INVALID_REQUEST, why));
    }
    let session = bridge.session(name).ok_or_else(unknown)?;
    let messages = stream::unfold(session.listen(), |mut messages: mpsc::Receiver<Waiting>| async move {
        let message = messages.recv().await?;
        Some((event(&message.text), messages))
    });
    Ok(stream_of(StreamBody::new(messages).boxed_unsync()))
}

fn delete(bridge: &Bridge, headers: &HeaderMap) -> Result<Response<Body>, Refused> {
    let name = header(headers, SESSION).ok_or_else(not_allowed)?;
    if bridge.close(name) { Ok(empty(StatusCode::OK)) } else { Err(unknown()) }
}

/// Whether a page of another site cannot have sent it: it names this machine, and so does where it comes from. A name of
/// another site may lead here all the same (DNS rebinding).
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let is_here = |authority: &str| {
        let host = match authority.strip_prefix('[') {
            Some(address) => address.split(']').next(),
            None => authority.split(':').next(),
        };
        host.is_some_and(|host| matches!(host.to_ascii_lowercase().as_str(), "localhost" | "127.0.0.1" | "::1"))
    };
    let origin = headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    let origin_is_here =
        origin.is_none_or(|origin| origin.split_once("://").is_some_and(|(_, authority)| is_here(authority)));
    header(headers, HOST.as_str()).is_some_and(is_here) && origin_is_here
}

fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        range.eq_ignore_ascii_case(kind) || range == "*/*" || range.eq_ignore_ascii_case("text/*")
    })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn event(message: &str) -> Result<Frame<Bytes>, Infallible> {
    Ok(Frame::data(Bytes::from(format!("event: message\ndata: {message}\n\n"))))
}

/// An event stream that begins with `first`, and ends with the answer.
fn events(first: Waiting, asked: Asked) -> Response<Body> {
    let events = stream::unfold((Some(first), asked), |(first, mut asked)| async move {
        let text = match first {
            Some(first) => first.text,
            None => match asked.next().await? {
                Event::Message(Waiting { text, .. }) | Event::Answer { text, .. } => text,
            },
        };
        Some((event(&text), (None, asked)))
    });
    stream_of(StreamBody::new(events).boxed_unsync())
}

fn stream_of(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn json(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = status;
    response
}

fn unknown() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, NO_SESSION, "there is no such session; begin a new one")
}

fn not_allowed() -> Refused {
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, INVALID_REQUEST, "without a session only POST is served")
}

impl Refused {
    /// Under no id.
    fn new(status: StatusCode, code: i32, why: &str) -> Self {
        Self { status, text: error(None, code, why) }
    }

    fn response(self) -> Response<Body> {
        let mut response = json(self.status, self.text);
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}
