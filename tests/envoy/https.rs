//! Envoy before a server that is reached by TLS, as `mcp-policy render envoy --upstream https://…` sets it up: the
//! server is told its own name, and one that cannot prove it gets no request.

use super::support::envoy::{Envoy, validate};
use super::support::keys::{Authority, Certificate};
use super::support::mcp;
use super::support::parts::{Parts, root};
use super::support::request::Request;
use super::support::setup::{exchange, put_plugin, render_https, render_https_watching};
use super::support::tls::Server;
use super::watched::directory;
use serde_json::json;
use std::fs;

/// Starts Envoy before a server with this certificate, whose URL has this host; `authority` may sign.
fn start(parts: &Parts, name: &str, host: &str, certificate: &Certificate, authority: &Authority) -> (Envoy, Server) {
    let server = Server::start(certificate);
    let url = format!("https://{host}:{}/mcp", server.port);
    let policy = json!({ "version": "1", "default": "allow", "tools": { "denied": { "action": "deny" } } });
    let file = render_https(name, &policy, &url, &authority.certificate());
    (Envoy::start(parts, name, &file), server)
}

#[test]
fn a_server_with_a_good_certificate_is_asked_by_its_own_name() {
    let Some(parts) = Parts::gateway() else { return };
    let authority = Authority::new("https-good");
    for (row, host, names, sni) in
        [("name", "localhost", "DNS:localhost", Some("localhost")), ("address", "127.0.0.1", "IP:127.0.0.1", None)]
    {
        let name = format!("https-good-{row}");
        let (envoy, server) = start(&parts, &name, host, &authority.sign(row, names), &authority);
        let mut connection = envoy.connect();
        let answer = connection.exchange(&Request::post(mcp::call("1", "runs")));
        assert!(answer.status == 200 && answer.text().contains("\"ran\""), "{row}: {answer:?}");
        let answer = connection.exchange(&Request::post(mcp::call("2", "denied")));
        assert_eq!(answer.json()["result"]["isError"], true, "{row}");

        // A page that has this name lead to 127.0.0.1 would send it as Host, and the server could not tell any more.
        let foreign = Request::post(mcp::call("3", "runs")).without("host").with("host", "attacker.example");
        assert_eq!(connection.exchange(&foreign).status, 404, "{row}");

        let received = server.received();
        let [request] = received.as_slice() else { panic!("{row}: {received:?}") };
        assert_eq!(request.sni.as_deref(), sni, "{row}");
        assert!(request.head.starts_with("POST /mcp HTTP/1.1\r\n"), "{row}: {}", request.head);
        assert!(request.head.contains(&format!("\r\nhost: {host}:{}\r\n", server.port)), "{row}: {}", request.head);
        assert!(!request.head.contains("\r\nx-forwarded-proto:"), "{row}: {}", request.head);
        assert_eq!(envoy.traps(), 0);
    }
}

#[test]
fn it_is_the_same_where_the_policy_changes_while_envoy_runs() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "https-watching";
    let authority = Authority::new(name);
    let server = Server::start(&authority.sign("server", "DNS:localhost"));
    let plugin = directory(&format!("{name}.directory")).join("plugin.yaml");
    put_plugin(name, &json!({ "version": "1", "default": "allow" }), &plugin);
    let url = format!("https://localhost:{}/mcp", server.port);
    let envoy = Envoy::start(&parts, name, &render_https_watching(&plugin, &url, &authority.certificate()));
    let answer = envoy.connect().exchange(&Request::post(mcp::call("1", "runs")));
    assert!(answer.status == 200 && answer.text().contains("\"ran\""), "{answer:?}");
    assert_eq!(server.received().len(), 1);
}

#[test]
fn a_server_with_a_bad_certificate_gets_no_request() {
    let Some(parts) = Parts::gateway() else { return };
    let (trusted, unknown) = (Authority::new("https-bad"), Authority::new("https-bad.unknown"));
    let rows = [
        ("another-host", "localhost", &trusted, "DNS:other.example"),
        ("longer-host", "localhost", &trusted, "DNS:localhost.example"),
        ("no-address", "127.0.0.1", &trusted, "DNS:127.0.0.1,IP:127.0.0.2"),
        ("unknown-authority", "localhost", &unknown, "DNS:localhost"),
    ];
    for (row, host, signer, names) in rows {
        let name = format!("https-bad-{row}");
        let (envoy, server) = start(&parts, &name, host, &signer.sign(row, names), &trusted);
        let answer = envoy.connect().exchange(&Request::post(mcp::call("1", "runs")));
        assert_eq!(answer.status, 503, "{row}: {answer:?}");
        assert!(server.received().is_empty(), "{row}: {:?}", server.received());
        // That it was the certificate: somebody did answer, and TLS failed.
        assert!(envoy.stat("cluster.mcp_server.upstream_cx_connect_fail") > 0, "{row}");
        let failures = envoy.stat("cluster.mcp_server.ssl.fail_verify_san")
            + envoy.stat("cluster.mcp_server.ssl.fail_verify_error");
        assert!(failures > 0, "{row}");
    }
}

#[test]
fn the_files_are_what_envoy_takes() {
    let Some(parts) = Parts::gateway() else { return };
    let authority = Authority::new("https-shipped");
    let shipped = fs::read_to_string(root().join("envoy/https.yaml")).expect("the example");
    let path = authority.certificate();
    let shipped = exchange(&shipped, "/etc/ssl/certs/ca-certificates.crt", path.to_str().expect("a path in UTF-8"));
    let policy = json!({ "version": "1", "default": "allow" });
    let address = render_https("https-address", &policy, "https://[2001:db8::7]:8443/mcp", &path);
    for (name, file) in [("https-shipped", shipped), ("https-address", address)] {
        let (status, log) = validate(&parts, name, &file);
        assert!(status.success(), "{name}:\n{log}");
    }
}
