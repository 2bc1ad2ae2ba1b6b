//! Keys, certificates and tokens, made anew for each test by the openssl command line; none is ever committed.

use super::parts::scratch;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Who signs JWTs.
pub(crate) struct Issuer {
    key: PathBuf,
}

impl Issuer {
    /// One with a new key, in `target/e2e/NAME.key`.
    pub(crate) fn new(name: &str) -> Self {
        let key = scratch(&format!("{name}.key"));
        openssl(&["genrsa", "-out", text(&key), "2048"], &[]);
        Self { key }
    }

    /// Its public key, as a JSON Web Key.
    pub(crate) fn jwk(&self) -> String {
        let printed = openssl(&["rsa", "-noout", "-modulus", "-in", text(&self.key)], &[]);
        let printed = String::from_utf8(printed).expect("text");
        let digits = printed.trim().strip_prefix("Modulus=").expect("a modulus");
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
        let modulus: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        format!(r#"{{"kty":"RSA","alg":"RS256","kid":"test","n":"{}","e":"AQAB"}}"#, base64url(&modulus))
    }

    /// A JWT with this payload.
    pub(crate) fn token(&self, payload: &Value) -> String {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "test" });
        let part = |value: &Value| base64url(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(payload));
        let signature = openssl(&["dgst", "-sha256", "-sign", text(&self.key)], signed.as_bytes());
        format!("{signed}.{}", base64url(&signature))
    }
}

/// Who signs certificates.
pub(crate) struct Authority {
    name: String,
}

/// A certificate and its key.
pub(crate) struct Certificate {
    /// The certificate's file.
    pub(crate) certificate: PathBuf,
    /// The key's file.
    pub(crate) key: PathBuf,
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

impl Authority {
    /// One with a new key; its files in `target/e2e/` begin with `name`.
    pub(crate) fn new(name: &str) -> Self {
        let authority = Self { name: name.to_owned() };
        let (certificate, key) = (authority.certificate(), scratch(&format!("{name}.key")));
        let files = ["-days", "1", "-subj", "/CN=test", "-keyout", text(&key), "-out", text(&certificate)];
        openssl(&[&["req", "-x509"], &NEW_KEY[..], &files].concat(), &[]);
        authority
    }

    /// Its own certificate's file.
    pub(crate) fn certificate(&self) -> PathBuf {
        scratch(&format!("{}.crt", self.name))
    }

    /// A certificate for these subject alternative names, as openssl writes them.
    pub(crate) fn sign(&self, subject: &str, names: &str) -> Certificate {
        let file = |kind: &str| scratch(&format!("{}.{subject}.{kind}", self.name));
        let (certificate, key, request, extensions) = (file("crt"), file("key"), file("csr"), file("ext"));
        fs::write(&extensions, format!("basicConstraints=CA:FALSE\nsubjectAltName={names}\n")).expect("a file");
        let files = ["-subj", "/CN=test", "-keyout", text(&key), "-out", text(&request)];
        openssl(&[&["req"], &NEW_KEY[..], &files].concat(), &[]);
        let (ca, ca_key) = (self.certificate(), scratch(&format!("{}.key", self.name)));
        let from = ["x509", "-req", "-days", "1", "-in", text(&request), "-extfile", text(&extensions)];
        let by = ["-CA", text(&ca), "-CAkey", text(&ca_key), "-CAcreateserial", "-out", text(&certificate)];
        openssl(&[&from[..], &by].concat(), &[]);
        Certificate { certificate, key }
    }
}

/// POSTs `body` over TLS, with a certificate if there is one; `None` when the server does not let us in, else the status
/// and the body of its answer.
pub(crate) fn post(url: &str, body: &str, server: &Authority, client: Option<&Certificate>) -> Option<(u16, String)> {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "30", "--cacert"]).arg(server.certificate());
    if let Some(client) = client {
        command.arg("--cert").arg(&client.certificate).arg("--key").arg(&client.key);
    }
    command.args(["-H", "content-type: application/json", "-H", "accept: application/json, text/event-stream"]);
    let output = command.args(["-w", "\n%{http_code}", "-d", body, url]).output().expect("curl runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    let (body, status) = printed.rsplit_once('\n').expect("a status");
    output.status.success().then(|| (status.parse().expect("a number"), body.to_owned()))
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("openssl runs");
    child.stdin.take().expect("its input").write_all(input).expect("openssl reads");
    let output = child.wait_with_output().expect("openssl ends");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let group = |group: &[u8]| {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        let digit = move |at: usize| char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]);
        (0..=group.len()).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
