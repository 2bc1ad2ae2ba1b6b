//! An MCP server behind TLS: runs every call, and tells what reached it.

use super::keys::Certificate;
use super::upstream::result;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A server that speaks TLS on a port of its own; it listens until the test run ends.
pub(crate) struct Server {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// The name that the connection was opened for.
    pub(crate) sni: Option<String>,
    /// Its request line and headers, as text.
    pub(crate) head: String,
}

impl Server {
    /// Starts one with this certificate.
    pub(crate) fn start(certificate: &Certificate) -> Self {
        let chain = CertificateDer::pem_file_iter(&certificate.certificate).expect("a certificate");
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.expect("versions").with_no_client_auth().with_single_cert(chain, key);
        let config = Arc::new(config.expect("a key that fits"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
        let port = listener.local_addr().expect("the address of a listener").port();
        let received = Arc::default();
        let account = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, account) = (Arc::clone(&config), Arc::clone(&account));
                // A client that does not trust the certificate breaks off; the account tells.
                thread::spawn(move || serve(config, stream, &account));
            }
        });
        Self { port, received }
    }

    /// Every request so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(config: Arc<ServerConfig>, stream: TcpStream, account: &Mutex<Vec<Received>>) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut wire = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if wire.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        wire.read_exact(&mut body)?;
        let sni = wire.get_ref().conn.server_name().map(ToOwned::to_owned);
        account.lock().unwrap_or_else(PoisonError::into_inner).push(Received { sni, head });
        let answer = result(&body, r#"{"content":[{"type":"text","text":"ran"}]}"#);
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
        wire.get_mut().write_all(format!("{head}{answer}").as_bytes())?;
        wire.get_mut().flush()?;
    }
}
