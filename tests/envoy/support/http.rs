//! HTTP/1.1 over a plain TCP stream, for both ends: exact bytes go out, exact bytes come in. Understands just what is
//! needed to tell where a message ends.

use super::request::Request;
use super::wait::DEADLINE;
use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// The start line and the header lines of a message, as they came.
#[derive(Clone, Default)]
pub(crate) struct Head {
    /// The request line or the status line.
    pub(crate) start: String,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes are left.
    Sized(usize),
    /// `transfer-encoding: chunked`
    Chunked,
    /// There is no more.
    Done,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Wire(BufReader<TcpStream>);

/// A whole response.
pub(crate) struct Response {
    /// Its status code.
    pub(crate) status: u16,
    /// Its head.
    pub(crate) head: Head,
    /// Its body, without the framing.
    pub(crate) body: Vec<u8>,
}

/// What came of a response, however it ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// 0 where the connection was closed before a head.
    pub(crate) status: u16,
    /// Its head.
    pub(crate) head: Head,
    /// Its body, as far as it came.
    pub(crate) body: Vec<u8>,
    /// It came to its end; otherwise the connection was closed.
    pub(crate) is_whole: bool,
}

/// A client's connection. Every failure fails the test.
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Wire,
    framing: Framing,
}

impl Head {
    /// The values of every line of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&[u8]> {
        let lines = self.headers.iter().filter(|(line, _)| line.eq_ignore_ascii_case(name.as_bytes()));
        lines.map(|(_, value)| value.as_slice()).collect()
    }

    /// The value of the first line of this name, as text; empty without one.
    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.all(name).first().copied().unwrap_or_default()).into_owned()
    }

    /// How the body that follows is framed. Neither end of these tests ends a body by closing the connection.
    pub(crate) fn framing(&self) -> Framing {
        match (self.text("transfer-encoding").as_str(), self.text("content-length").parse()) {
            ("chunked", _) => Framing::Chunked,
            (_, Ok(length)) if length > 0 => Framing::Sized(length),
            _ => Framing::Done,
        }
    }

    /// The status code of a status line.
    pub(crate) fn status(&self) -> u16 {
        let status = self.start.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no status in {:?}", self.start))
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.start)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.headers.iter().try_for_each(|(name, value)| write!(f, " | {}: {}", text(name), text(value)))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.text().chars().take(1000).collect();
        write!(f, "{:?} | {} bytes: {text}", self.head, self.body.len())
    }
}

impl Wire {
    /// Wraps a connected stream.
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Each write is to arrive by itself; that is what tests of chunks are about.
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Self(BufReader::new(stream))
    }

    /// Sends these bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Reads and forgets until the other side closes.
    pub(crate) fn until_closed(&mut self) -> io::Result<()> {
        io::copy(&mut self.0, &mut io::sink()).map(|_| ())
    }

    /// Reads a head; `None` when the other side closed before it.
    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        let start = self.line()?;
        if start.is_empty() {
            return Ok(None);
        }
        let mut head =
            Head { start: String::from_utf8_lossy(start.trim_ascii_end()).into_owned(), headers: Vec::new() };
        loop {
            let line = self.line()?;
            match (line.trim_ascii_end(), line.iter().position(|byte| *byte == b':')) {
                ([], _) => return Ok(Some(head)),
                (line, Some(colon)) => {
                    head.headers.push((line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec()));
                }
                (line, None) => panic!("a header line without a colon: {:?}", String::from_utf8_lossy(line)),
            }
        }
    }

    /// Reads the next piece of a body: one chunk, or what has arrived of a sized body; `None` when the body is whole.
    pub(crate) fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Vec<u8>>> {
        match *framing {
            Framing::Done => Ok(None),
            Framing::Sized(left) => {
                let arrived = self.0.fill_buf()?;
                if arrived.is_empty() {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                let piece = arrived[..arrived.len().min(left)].to_vec();
                self.0.consume(piece.len());
                *framing = if piece.len() == left { Framing::Done } else { Framing::Sized(left - piece.len()) };
                Ok(Some(piece))
            }
            Framing::Chunked => {
                let line = self.line()?;
                let digits = String::from_utf8_lossy(line.trim_ascii());
                let size = usize::from_str_radix(&digits, 16).map_err(|_| ErrorKind::UnexpectedEof)?;
                if size == 0 {
                    // Trailers, then a blank line.
                    while !self.line()?.trim_ascii().is_empty() {}
                    *framing = Framing::Done;
                    return Ok(None);
                }
                let mut piece = vec![0; size];
                self.0.read_exact(&mut piece)?;
                self.line()?;
                Ok(Some(piece))
            }
        }
    }

    /// One line with its end; empty at the end of the stream.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line)?;
        Ok(line)
    }
}

impl Response {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl Outcome {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::try_open(address).unwrap_or_else(|| panic!("nobody listens on {address}"))
    }

    /// Connects; `None` when nobody listens.
    pub(crate) fn try_open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).expect("a read timeout");
        Some(Self { wire: Wire::new(stream), framing: Framing::Done })
    }

    /// Sends a request and reads the whole response.
    pub(crate) fn exchange(&mut self, request: &Request) -> Response {
        self.send(&request.bytes());
        self.response()
    }

    /// Sends these bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.wire.send(bytes).expect("the other side takes what is sent");
    }

    /// Reads a whole response.
    pub(crate) fn response(&mut self) -> Response {
        let head = self.head();
        let mut body = Vec::new();
        while let Some(piece) = self.piece() {
            body.extend(piece);
        }
        Response { status: head.status(), head, body }
    }

    /// Reads what comes of a response until it ends or the connection is closed. Neither in time fails the test.
    pub(crate) fn outcome(&mut self) -> Outcome {
        let in_time = |error: io::Error| {
            let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(!is_late, "a response hangs");
        };
        let mut outcome = Outcome::default();
        match self.wire.head() {
            Ok(Some(head)) => (outcome.status, outcome.head) = (head.status(), head),
            Ok(None) => return outcome,
            Err(error) => {
                in_time(error);
                return outcome;
            }
        }
        let mut framing = if outcome.status == 204 { Framing::Done } else { outcome.head.framing() };
        loop {
            match self.wire.piece(&mut framing) {
                Ok(Some(piece)) => outcome.body.extend(piece),
                Ok(None) => {
                    outcome.is_whole = true;
                    return outcome;
                }
                Err(error) => {
                    in_time(error);
                    return outcome;
                }
            }
        }
    }

    /// Reads the head of a response; its body is read by [`Self::piece`].
    pub(crate) fn head(&mut self) -> Head {
        let head = self.wire.head().expect("a response in time").expect("a response before the connection is closed");
        self.framing = if head.status() == 204 { Framing::Done } else { head.framing() };
        head
    }

    /// Reads the next piece of the body; `None` when it is whole.
    pub(crate) fn piece(&mut self) -> Option<Vec<u8>> {
        self.wire.piece(&mut self.framing).expect("a body that goes on")
    }
}
