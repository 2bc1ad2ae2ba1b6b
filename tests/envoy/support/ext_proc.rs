//! A server for Envoy's external processing (`ext_proc`) that changes nothing, or answers in the server's place at one
//! step. gRPC by hand: of each message only the first field matters, and each reply is one field.

use super::h2::runtime;
use bytes::Bytes;
use h2::{RecvStream, SendStream, server};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tokio::net::TcpStream;

/// What Envoy asks about, as the number of the field in `ProcessingRequest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The headers of a request.
    RequestHeaders = 2,
    /// The headers of an answer.
    ResponseHeaders = 3,
    /// The body of a request.
    RequestBody = 4,
    /// The body of an answer.
    ResponseBody = 5,
}

/// The field `immediate_response` of a `ProcessingResponse`: status 403, and the body `no`.
const IMMEDIATE: &[u8] = &[7 << 3 | 2, 9, 1 << 3 | 2, 3, 1 << 3, 0x93, 3, 3 << 3 | 2, 2, b'n', b'o'];

/// What processes every stream.
pub(crate) struct Processor {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Processor {
    /// Starts one that lets everything pass, but for what it answers itself.
    pub(crate) fn start(answers: Option<Ask>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
        let address = listener.local_addr().expect("the address of a listener");
        listener.set_nonblocking(true).expect("a listener of the runtime's");
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            runtime().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, answers, Arc::clone(&count)));
                }
            });
        });
        Self { address, asked }
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, answers: Option<Ask>, count: Arc<AtomicUsize>) {
    let Ok(mut connection) = server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let head = Response::builder().header("content-type", "application/grpc").body(()).expect("a response");
        let Ok(stream) = respond.send_response(head, false) else { return };
        tokio::spawn(process(request.into_body(), stream, answers, Arc::clone(&count)));
    }
}

async fn process(mut body: RecvStream, mut stream: SendStream<Bytes>, answers: Option<Ask>, count: Arc<AtomicUsize>) {
    let mut pending = Vec::new();
    while let Some(Ok(bytes)) = body.data().await {
        let _ = body.flow_control().release_capacity(bytes.len());
        pending.extend_from_slice(&bytes);
        // A byte that says whether it is compressed, a length, a message.
        while let Some((head, rest)) = pending.split_at_checked(5) {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let Some((message, rest)) = rest.split_at_checked(length) else { break };
            let field = message[0] >> 3;
            let reply = match answers {
                Some(ask) if field == ask as u8 => IMMEDIATE.to_vec(),
                // The reply's fields are those of the request, counted from 1.
                _ => vec![(field - 1) << 3 | 2, 0],
            };
            pending = rest.to_vec();
            count.fetch_add(1, Ordering::SeqCst);
            let length = u32::try_from(reply.len()).expect("a short reply").to_be_bytes();
            if stream.send_data([&[0], length.as_slice(), &reply].concat().into(), false).is_err() {
                return;
            }
        }
    }
    let status = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    let _ = stream.send_trailers(HeaderMap::from_iter([status]));
}
