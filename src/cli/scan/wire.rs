//! The transports of the SDK's client, which keep what a server writes of its tools.

use super::listing::Seen;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use rmcp::model::ClientJsonRpcMessage;
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::{Sse, SseStream};
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// Of an answer to `tools/list`.
const MAX_BYTES: usize = 64 << 20;

/// Streamable HTTP.
#[derive(Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    seen: Seen,
}

type Failure = StreamableHttpError<reqwest::Error>;

impl Http {
    /// A client that goes past every proxy of this machine, or by the one that the environment names.
    pub(super) fn new(seen: Seen, past_proxies: bool) -> Result<Self, reqwest::Error> {
        let builder = reqwest::Client::builder();
        let builder = if past_proxies { builder.no_proxy() } else { builder };
        Ok(Self { client: builder.build()?, seen })
    }

    /// As the SDK asks, but for what is kept.
    async fn ask_for_tools(
        &self,
        uri: &str,
        message: &ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let mut request = self.client.post(uri).header("accept", "text/event-stream, application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(session) = session {
            request = request.header("mcp-session-id", session.as_ref());
        }
        let mut response = request.json(message).send().await?;
        let unexpected = |what: String| Failure::UnexpectedServerResponse(what.into());
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("");
        if content_type.starts_with("text/event-stream") {
            let seen = self.seen.clone();
            let events = SseStream::from_bytes_stream(response.bytes_stream()).inspect(move |event| {
                if let Ok(Sse { data: Some(data), .. }) = event {
                    seen.note(data.as_bytes());
                }
            });
            return Ok(StreamableHttpPostResponse::Sse(events.boxed(), None));
        }
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(unexpected(format!("more than {MAX_BYTES} bytes")));
            }
        }
        let message =
            serde_json::from_slice(&body).map_err(|_| unexpected(format!("HTTP status {status}, and no JSON-RPC")))?;
        self.seen.note(&body);
        Ok(StreamableHttpPostResponse::Json(message, None))
    }
}

impl StreamableHttpClient for Http {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let method = serde_json::to_value(&message).ok().and_then(|value| value.get("method").cloned());
        if method.is_some_and(|method| method == "tools/list") {
            return self.ask_for_tools(&uri, &message, session, headers).await;
        }
        self.client.post_message(uri, message, session, token, headers).await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        token: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        self.client.delete_session(uri, session, token, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        token: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        self.client.get_stream(uri, session, last_event, token, headers).await
    }
}

/// A server's standard output, a message a line.
pub(super) struct Lines<R> {
    inner: R,
    line: Vec<u8>,
    seen: Seen,
}

impl<R> Lines<R> {
    pub(super) fn new(inner: R, seen: Seen) -> Self {
        Self { inner, line: Vec::new(), seen }
    }

    fn note(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() <= MAX_BYTES {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                self.seen.note(&std::mem::take(&mut self.line));
            }
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Lines<R> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, into);
        let new = into.filled().get(before..).unwrap_or_default().to_vec();
        self.note(&new);
        polled
    }
}
