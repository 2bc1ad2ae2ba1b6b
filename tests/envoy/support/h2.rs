//! HTTP/2 without TLS for both ends: chosen frames go out, and it is told how each stream ended. A client that a test
//! drives, and a scripted server with an account of what reached it.

use super::wait::DEADLINE;
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client, server};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// More than a connection needs to write one frame.
const TURNS: usize = 10;

/// Has Envoy speak HTTP/2 to its server, for [`super::setup::Setup::edit`].
pub(crate) const UPSTREAM: (&str, &str) = (
    "- name: mcp_server",
    "- name: mcp_server\n    typed_extension_protocol_options:\n      \
     envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n        \
     \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n        \
     explicit_http_config: { http2_protocol_options: {} }",
);

/// A body as the DATA frames that carry it, and how it ends.
#[derive(Debug, Clone)]
pub(crate) struct Frames {
    data: Vec<Vec<u8>>,
    end: End,
}

/// How a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With the last DATA frame; without any, with the headers.
    Flag,
    /// With an empty DATA frame.
    EmptyFrame,
    /// With trailers.
    Trailers,
    /// With RST_STREAM, once [`Server::reset`] is called or the client's `until` is true.
    Reset,
}

/// What was sent, as far as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    /// The path of a request.
    pub(crate) path: String,
    /// The status of a response; 0 where none came.
    pub(crate) status: u16,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// The DATA frames together.
    pub(crate) body: Vec<u8>,
    /// Trailers came.
    pub(crate) has_trailers: bool,
    /// It came to its end; otherwise the stream was reset.
    pub(crate) is_whole: bool,
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// 0 for a reset in the place of headers.
    status: u16,
    headers: Vec<(&'static str, String)>,
    frames: Frames,
}

/// A client's connection.
pub(crate) struct Client {
    runtime: Runtime,
    sender: client::SendRequest<Bytes>,
}

/// What answers every request.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    account: Arc<Account>,
}

#[derive(Default)]
struct Account {
    requests: Mutex<Vec<Received>>,
    resets: AtomicBool,
}

type Script = dyn Fn(&Received) -> Answer + Send + Sync;

impl Frames {
    /// No DATA frame.
    pub(crate) fn none(end: End) -> Self {
        Self { data: Vec::new(), end }
    }

    /// `body` in frames of so many bytes.
    pub(crate) fn of(body: impl AsRef<[u8]>, size: usize, end: End) -> Self {
        Self { data: body.as_ref().chunks(size).map(<[u8]>::to_vec).collect(), end }
    }

    /// `body` in frames of 8 KiB, and its last so many bytes each in a frame of its own.
    pub(crate) fn ending_in_bytes(body: impl AsRef<[u8]>, bytes: usize, end: End) -> Self {
        let body = body.as_ref();
        let (first, last) = body.split_at(body.len().saturating_sub(bytes));
        let mut frames = Self::of(first, 8 << 10, end);
        frames.data.extend(last.chunks(1).map(<[u8]>::to_vec));
        frames
    }

    /// With an empty frame before each.
    pub(crate) fn with_empty_ones(mut self) -> Self {
        self.data = self.data.into_iter().flat_map(|frame| [Vec::new(), frame]).collect();
        self
    }

    fn ends_with_headers(&self) -> bool {
        self.data.is_empty() && self.end == End::Flag
    }

    async fn send(self, mut stream: SendStream<Bytes>, resets: impl Fn() -> bool) -> Result<(), h2::Error> {
        let count = self.data.len();
        for (index, frame) in self.data.into_iter().enumerate() {
            stream.send_data(frame.into(), self.end == End::Flag && index + 1 == count)?;
        }
        match self.end {
            End::Flag => {}
            End::EmptyFrame => stream.send_data(Bytes::new(), true)?,
            End::Trailers => {
                let trailer = (HeaderName::from_static("x-trailer"), HeaderValue::from_static("1"));
                stream.send_trailers(HeaderMap::from_iter([trailer]))?;
            }
            End::Reset => {
                // A reset overtakes frames that are not sent yet, so it waits for a word that they came.
                while !resets() {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                stream.send_reset(Reason::INTERNAL_ERROR);
            }
        }
        Ok(())
    }
}

impl Received {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of the header's first line, as text; empty without one.
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
    }

    /// Reads on to the end; `at` changes the account of what came.
    async fn read(mut stream: RecvStream, at: impl Fn(&mut dyn FnMut(&mut Self))) {
        while let Some(frame) = stream.data().await {
            let Ok(bytes) = frame else { return };
            // It fails where the stream is closed already.
            let _ = stream.flow_control().release_capacity(bytes.len());
            at(&mut |received| received.body.extend_from_slice(&bytes));
        }
        if let Ok(trailers) = stream.trailers().await {
            at(&mut |received| {
                received.has_trailers = trailers.is_some();
                received.is_whole = true;
            });
        }
    }
}

impl Answer {
    /// Status 200.
    pub(crate) fn new(content_type: &str, frames: Frames) -> Self {
        let headers = [("content-type", content_type.to_owned())];
        Self { status: 200, headers: headers.into_iter().filter(|(_, value)| !value.is_empty()).collect(), frames }
    }

    /// RST_STREAM, and nothing before it.
    pub(crate) fn reset() -> Self {
        Self { status: 0, headers: Vec::new(), frames: Frames::none(End::Flag) }
    }

    /// With another status.
    pub(crate) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

impl Client {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Self {
        let runtime = runtime();
        let sender = runtime.block_on(in_time("a connection", async {
            let stream = TcpStream::connect(address).await.expect("somebody listens");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            let (sender, connection) = client::handshake(stream).await.expect("a peer that speaks HTTP/2");
            tokio::spawn(connection);
            sender
        }));
        Self { runtime, sender }
    }

    /// Sends a POST and reads what comes until the stream ends, whichever way.
    pub(crate) fn post(&mut self, path: &str, headers: &[(&str, &str)], frames: Frames) -> Received {
        self.exchange(Method::POST, path, headers, frames, |_| false)
    }

    /// Opens an event stream and reads what comes until the stream ends, whichever way.
    pub(crate) fn stream(&mut self, path: &str, headers: &[(&str, &str)]) -> Received {
        self.exchange(Method::GET, path, headers, Frames::none(End::Flag), |_| false)
    }

    /// Sends a request. Reads what comes until the stream ends, whichever way, or until `is_enough` of what there is,
    /// which is asked again and again; then the stream is reset.
    pub(crate) fn exchange(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        frames: Frames,
        is_enough: impl Fn(&Received) -> bool,
    ) -> Received {
        let is_post = method == Method::POST;
        let mut head = Request::builder().method(method).uri(format!("http://localhost{path}"));
        head = head.header("accept", if is_post { "application/json, text/event-stream" } else { "text/event-stream" });
        if is_post {
            head = head.header("content-type", "application/json");
        }
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        let head = head.body(()).expect("a request");
        let received = Mutex::new(Received::default());
        let account = || received.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = self.sender.clone();
        self.runtime.block_on(in_time("the end of a stream", async {
            let mut sender = sender.ready().await.expect("a connection that takes requests");
            let (response, stream) = sender.send_request(head, frames.ends_with_headers()).expect("a request");
            // Where the other side has closed the stream, what it answered tells.
            let send = async {
                if !frames.ends_with_headers() {
                    let _ = frames.send(stream, || false).await;
                }
            };
            let read = async {
                let Ok(response) = response.await else { return };
                account().status = response.status().as_u16();
                account().headers = response.headers().clone();
                Received::read(response.into_body(), |change| change(&mut account())).await;
            };
            let enough = async {
                while !is_enough(&account()) {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
            };
            let (mut send, mut read, mut enough) = (Box::pin(send), Box::pin(read), Box::pin(enough));
            let mut is_sent = false;
            // When this is over, both halves of the stream are dropped, which resets what is still open.
            std::future::poll_fn(move |context| {
                is_sent = is_sent || send.as_mut().poll(context).is_ready();
                if read.as_mut().poll(context).is_ready() {
                    return std::task::Poll::Ready(());
                }
                enough.as_mut().poll(context)
            })
            .await;
            // Now the connection has its turn, and writes that down.
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
        }));
        received.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Starts one that answers each whole request with what `script` says.
    pub(crate) fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
        let address = listener.local_addr().expect("the address of a listener");
        listener.set_nonblocking(true).expect("a listener of the runtime's");
        let account = Arc::new(Account::default());
        let (script, seen): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&account));
        thread::spawn(move || {
            runtime().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&seen)));
                }
            });
        });
        Self { address, account }
    }

    /// Resets one answer that ends so.
    pub(crate) fn reset(&self) {
        self.account.resets.store(true, Ordering::SeqCst);
    }

    /// Every request so far, in the order in which their headers came.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.account.requests().clone()
    }
}

impl Account {
    fn requests(&self) -> std::sync::MutexGuard<'_, Vec<Received>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(stream: TcpStream, script: Arc<Script>, account: Arc<Account>) {
    let Ok(mut connection) = server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, Arc::clone(&script), Arc::clone(&account)));
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    script: Arc<Script>,
    account: Arc<Account>,
) {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let at = {
        let mut requests = account.requests();
        requests.push(Received { path, headers: head.headers, ..Received::default() });
        requests.len() - 1
    };
    Received::read(body, |change| change(&mut account.requests()[at])).await;
    let received = account.requests()[at].clone();
    if !received.is_whole {
        return;
    }
    let Answer { status, headers, frames } = script(&received);
    if status == 0 {
        return respond.send_reset(Reason::INTERNAL_ERROR);
    }
    let mut head = Response::builder().status(status);
    for (name, value) in headers {
        head = head.header(name, value);
    }
    let is_over = frames.ends_with_headers();
    // A client that has gone is what some tests are about.
    let Ok(stream) = respond.send_response(head.body(()).expect("a response"), is_over) else { return };
    if !is_over {
        let _ = frames.send(stream, || account.resets.swap(false, Ordering::SeqCst)).await;
    }
}

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}

/// One thread for all of an end.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}
