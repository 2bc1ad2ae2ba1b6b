//! An answer in which a list could hide and that cannot be read does not pass: the client gets a JSON-RPC error under
//! its own id instead.

use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::{Mode, Setup};
use super::support::upstream::{Answer, Upstream};
use serde_json::{Value, json};

/// A list that names a hidden tool, readable.
const LIST: &str = r#"{"jsonrpc":"2.0","id":"L","result":{"tools":[{"name":"admin_x"},{"name":"a"}]}}"#;

/// `name, content type, content encoding, HTTP status, body` of an answer to `tools/list`.
type Row = (&'static str, &'static str, &'static str, u16, Vec<u8>);

fn rows() -> Vec<Row> {
    let list = || LIST.as_bytes().to_vec();
    vec![
        ("gzip", "application/json", "gzip", 200, stored_gzip(LIST.as_bytes())),
        ("an encoding that it does not have", "application/json", "br", 200, list()),
        (
            "gzip on an event stream",
            "text/event-stream",
            "gzip",
            200,
            stored_gzip(format!("data: {LIST}\n\n").as_bytes()),
        ),
        ("deflate", "application/json", "deflate", 200, stored_zlib(LIST.as_bytes())),
        ("zstd", "application/json", "zstd", 200, stored_zstd(LIST.as_bytes())),
        ("br", "application/json", "br", 200, stored_brotli(LIST.as_bytes())),
        ("br on an error", "application/json", "br", 404, stored_brotli(LIST.as_bytes())),
        ("gzip by its old name, in odd case", "application/json", "X-GZip", 200, stored_gzip(LIST.as_bytes())),
        ("two encodings", "application/json", "identity, gzip", 200, stored_gzip(LIST.as_bytes())),
        ("an encoding without a name", "application/json", ",", 200, list()),
        ("gzip that does not say so", "application/json", "", 200, stored_gzip(LIST.as_bytes())),
        ("gzip that says plain", "application/json", "identity", 200, stored_gzip(LIST.as_bytes())),
        ("gzip of no type", "", "", 200, stored_gzip(LIST.as_bytes())),
        ("zstd that does not say so", "application/json", "", 200, stored_zstd(LIST.as_bytes())),
        ("a gzip file", "application/gzip", "", 200, stored_gzip(LIST.as_bytes())),
        ("broken off", "application/json", "", 200, LIST.as_bytes()[..LIST.len() - 5].to_vec()),
        ("bytes after it", "application/json", "", 200, [LIST, " {}"].concat().into_bytes()),
        ("not UTF-8", "application/json", "", 200, [LIST.as_bytes(), b"\xFF"].concat()),
        ("UTF-16", "application/json", "", 200, LIST.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("two lists in one", "application/json", "", 200, LIST.replace("]}", r#"],"tools":[]}"#).into_bytes()),
        ("a case variant", "application/json", "", 200, LIST.replace("tools", "Tools").into_bytes()),
        (
            "an object of tools",
            "application/json",
            "",
            200,
            LIST.replace('[', "{\"1\":").replace(",{", ",\"2\":{").replace(']', "}").into_bytes(),
        ),
        ("a tool without a name", "application/json", "", 200, LIST.replace(r#""name":"a""#, "").into_bytes()),
        ("HTML", "text/html", "", 200, [b"<pre>".as_slice(), &list()].concat()),
        ("plain text", "text/plain; charset=utf-8", "", 200, list()),
        ("no type", "", "", 200, b"admin_x".to_vec()),
        ("an error page", "text/plain", "", 500, b"admin_x failed".to_vec()),
        ("no JSON in an event", "text/event-stream", "", 200, format!("data: x{LIST}\n\n").into_bytes()),
    ]
}

fn are_replaced(name: &str, mode: Mode) {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::start(|request| {
        let rows = rows();
        let (_, content_type, encoding, status, body) =
            rows.iter().find(|row| row.0 == request.header("x-row")).expect("the row that was asked for");
        let answer = Answer::new(content_type, body.clone()).status(*status);
        if encoding.is_empty() { answer } else { answer.with("content-encoding", encoding) }
    });
    let policy = json!({ "version": "1", "default": "allow", "hide": ["admin_*"] });
    let mut envoy = Envoy::start(&parts, name, &Setup::new(&policy).mode(mode).render(name, upstream.address));
    let mut count = 0;
    for (row, content_type, ..) in rows() {
        let response = envoy.connect().exchange(&Request::post(mcp::list("\"L\"")).with("x-row", row));
        let text = response.text();
        assert!(!text.contains("admin_x"), "{row}: passed: {text}");
        let answered_as = response.head.text("content-type");
        // Under the type of a stream only if that is what was promised.
        let is_stream = answered_as == "text/event-stream" && answered_as == content_type;
        assert!(is_stream || answered_as == "application/json", "{row}: {:?}", response.head);
        let data = || text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
        let message = if is_stream { data() } else { &text };
        let error: Value = serde_json::from_str(message).unwrap_or_else(|error| panic!("{row}: {error}: {text}"));
        assert_eq!((mcp::error_code(&error), &error["id"]), (-32603, &json!("L")), "{row}");
        assert!(["", "identity"].contains(&response.head.text("content-encoding").as_str()), "{row}");
        // Two statuses would take a session down or send the client looking for another endpoint.
        assert!(![401, 404].contains(&response.status), "{row}: {}", response.status);
        count += 1;
        let lines = envoy.access_log(count);
        let record: Value =
            serde_json::from_str(lines[count - 1]["decision"].as_str().expect("a record")).expect("JSON");
        assert!(
            record["answer"].is_string(),
            "{row}: the record does not say that the answer was not passed: {record}"
        );
    }
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn unreadable_lists_are_replaced() {
    are_replaced("unreadable-held", Mode::Held);
}

#[test]
fn unreadable_lists_are_replaced_without_held_headers() {
    are_replaced("unreadable-fallback", Mode::Fallback);
}

/// An answer that is not a list, and cannot be taken for one, is no business of the gateway's.
#[test]
fn other_answers_pass_as_they_are() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "unreadable-other";
    let upstream = Upstream::start(|request| match request.header("x-row").as_str() {
        "error" => Answer::json(r#"{"jsonrpc":"2.0","id":"L","error":{"code":-32601,"message":"tools?"}}"#),
        "page" => Answer::new("text/html", "<p>admin_x</p>").with("content-encoding", "identity").status(404),
        _ => Answer::json(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"text":"{\"tools\":[]}"}] ,"x":1e400}}"#),
    });
    let policy = json!({ "version": "1", "default": "allow", "hide": ["admin_*"] });
    let envoy = Envoy::start(&parts, name, &Setup::new(&policy).render(name, upstream.address));
    let mut connection = envoy.connect();
    let response = connection.exchange(&Request::post(mcp::list("\"L\"")).with("x-row", "error"));
    assert_eq!(response.text(), r#"{"jsonrpc":"2.0","id":"L","error":{"code":-32601,"message":"tools?"}}"#);
    let response = connection.exchange(&Request::get("/about").with("x-row", "page"));
    assert_eq!((response.status, response.text().as_str()), (404, "<p>admin_x</p>"));
    let response = connection.exchange(&Request::post(mcp::call("1", "a")));
    assert_eq!(
        response.text(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"text":"{\"tools\":[]}"}] ,"x":1e400}}"#
    );
    assert_eq!(envoy.traps(), 0);
}

/// A gzip file (RFC 1952) whose one block is stored, not compressed (RFC 1951, 3.2.4).
pub(crate) fn stored_gzip(bytes: &[u8]) -> Vec<u8> {
    let crc = !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    });
    let length = u16::try_from(bytes.len()).expect("one block");
    let mut gzip = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF, 1];
    gzip.extend(length.to_le_bytes());
    gzip.extend((!length).to_le_bytes());
    gzip.extend(bytes);
    gzip.extend(crc.to_le_bytes());
    gzip.extend(u32::from(length).to_le_bytes());
    gzip
}

/// A zlib stream (RFC 1950), which `deflate` means, whose one block is stored.
fn stored_zlib(bytes: &[u8]) -> Vec<u8> {
    let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    let length = u16::try_from(bytes.len()).expect("one block");
    let mut zlib = vec![0x78, 0x01, 1];
    zlib.extend(length.to_le_bytes());
    zlib.extend((!length).to_le_bytes());
    zlib.extend(bytes);
    zlib.extend((b << 16 | a).to_be_bytes());
    zlib
}

/// A Zstandard frame (RFC 8878) of one raw block, without a checksum.
fn stored_zstd(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("a short one");
    let mut zstd = vec![0x28, 0xB5, 0x2F, 0xFD, 0x20, length];
    zstd.extend(&((u32::from(length) << 3) | 1).to_le_bytes()[..3]);
    zstd.extend(bytes);
    zstd
}

/// A Brotli stream (RFC 7932): a window of 16 bits, one block that is not compressed, an empty last one.
fn stored_brotli(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len() - 1).expect("a short one");
    // By bits: WBITS 0; ISLAST 0, MNIBBLES 00, MLEN - 1 in 16, ISUNCOMPRESSED 1.
    let mut brotli = ((length << 4) | (1 << 20)).to_le_bytes()[..3].to_vec();
    brotli.extend(bytes);
    brotli.push(3);
    brotli
}
