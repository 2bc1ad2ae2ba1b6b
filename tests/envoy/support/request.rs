//! A request as exact bytes: what an MCP client sends, and every way to send it wrong.

/// One request. Begins as an honest client's; tests change it line by line.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
    is_chunked: bool,
    trailers: Vec<(String, Vec<u8>)>,
}

impl Request {
    /// A POST to `/mcp` with this body, as MCP clients send it.
    pub(crate) fn post(body: impl AsRef<[u8]>) -> Self {
        let request = Self { body: Some(body.as_ref().to_vec()), ..Self::bare("POST", "/mcp") };
        request.with("accept", "application/json, text/event-stream").with("content-type", "application/json")
    }

    /// A GET without a body.
    pub(crate) fn get(path: &str) -> Self {
        Self::bare("GET", path)
    }

    /// The GET by which MCP clients open an event stream.
    pub(crate) fn stream() -> Self {
        Self::get("/mcp").with("accept", "text/event-stream")
    }

    /// The same by another HTTP method.
    pub(crate) fn by(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    /// The same to another path.
    pub(crate) fn to(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// One more header line.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Without any line of this name.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(line, _)| line != name);
        self
    }

    /// The body in chunks, so that its size is not announced.
    pub(crate) fn chunked(self) -> Self {
        Self { is_chunked: true, ..self }
    }

    /// In chunks, with a trailer after the last one.
    pub(crate) fn with_trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.trailers.push((name.to_owned(), value.as_ref().to_vec()));
        self.chunked()
    }

    /// Head and body as they go over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            line(&mut bytes, name, value);
        }
        let Some(body) = &self.body else {
            bytes.extend(b"\r\n");
            return bytes;
        };
        if !self.is_chunked {
            line(&mut bytes, "content-length", body.len().to_string().as_bytes());
            bytes.extend(b"\r\n");
            bytes.extend(body);
            return bytes;
        }
        bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
        for chunk in body.chunks(1000) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n");
        for (name, value) in &self.trailers {
            line(&mut bytes, name, value);
        }
        bytes.extend(b"\r\n");
        bytes
    }

    fn bare(method: &'static str, path: &str) -> Self {
        let host = ("host".to_owned(), b"localhost".to_vec());
        let path = path.to_owned();
        Self { method, path, headers: vec![host], body: None, is_chunked: false, trailers: Vec::new() }
    }
}

fn line(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend(name.bytes());
    bytes.extend(b": ");
    bytes.extend(value);
    bytes.extend(b"\r\n");
}
