//! The real rate limit service (envoyproxy/ratelimit) and the Redis that it counts in, each restartable on its port.

use super::parts::{Parts, root, scratch};
use super::process::Process;
use super::wait;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

/// The domain that the service knows.
pub(crate) const DOMAIN: &str = "mcp";

/// The cluster that Envoy reaches it by. These nine letters are also a whole `GrpcService` message, which Envoy would take
/// the bare name for.
pub(crate) const CLUSTER: &str = "ai_limits";

/// The line of an Envoy file after which the service's cluster goes.
const CLUSTERS: &str = "  clusters:\n";

/// A Redis and a service. Killed when dropped.
pub(crate) struct RateLimit {
    name: String,
    redis_at: SocketAddr,
    /// Where the service listens.
    pub(crate) address: SocketAddr,
    redis: Option<Process>,
    service: Option<Process>,
    starts: usize,
    /// Where Redis keeps what it counted, if it does.
    kept: Option<PathBuf>,
}

impl RateLimit {
    /// Starts both; the service knows the domain and nothing in it, but for what `descriptors` says.
    pub(crate) fn start(_: &Parts, name: &str, descriptors: &str) -> Self {
        Self::start_on(name, descriptors, None)
    }

    /// The same with a Redis that knows after a restart what it had counted.
    pub(crate) fn start_lasting(_: &Parts, name: &str) -> Self {
        let kept = scratch(&format!("{name}.redis"));
        // An earlier run's counts are none of this one's.
        let _ = fs::remove_dir_all(&kept);
        fs::create_dir_all(&kept).expect("a folder in target/e2e");
        Self::start_on(name, "", Some(kept))
    }

    fn start_on(name: &str, descriptors: &str, kept: Option<PathBuf>) -> Self {
        let (redis_at, address) = (free(), free());
        let mut started =
            Self { name: name.to_owned(), redis_at, address, redis: None, service: None, starts: 0, kept };
        let folder = scratch(&format!("{name}.runtime/config"));
        fs::create_dir_all(&folder).expect("a folder in target/e2e");
        fs::write(folder.join("mcp.yaml"), format!("domain: {DOMAIN}\n{descriptors}")).expect("a file in target/e2e");
        started.start_redis();
        started.start_service();
        started
    }

    /// Starts Redis on the port that it had, empty, or with what it kept.
    pub(crate) fn start_redis(&mut self) {
        let mut command = Command::new(root().join("target/ratelimit/redis-server"));
        let port = self.redis_at.port().to_string();
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
        match &self.kept {
            // Written before each answer; that is enough for a process that is killed.
            Some(folder) => command.args(["--appendonly", "yes", "--appendfsync", "no", "--dir"]).arg(folder),
            None => command.args(["--appendonly", "no"]),
        };
        let address = self.redis_at;
        let mut process = Process::start(&self.next("redis"), &mut command);
        process.wait_for("an answer to PING", |_| redis(address, "PING").filter(|answer| answer == "+PONG"));
        self.redis = Some(process);
    }

    /// Kills Redis, and with it what was counted and not kept.
    pub(crate) fn stop_redis(&mut self) {
        self.redis = None;
    }

    /// Starts the service on the port that it had.
    pub(crate) fn start_service(&mut self) {
        let mut command = Command::new(root().join("target/ratelimit/ratelimit"));
        let runtime = scratch(&format!("{}.runtime", self.name));
        let (port, debug_port) = (free().port().to_string(), free().port().to_string());
        command.env_clear();
        for (name, value) in [
            ("HOST", "127.0.0.1"),
            ("PORT", &port),
            ("DEBUG_HOST", "127.0.0.1"),
            ("DEBUG_PORT", &debug_port),
            ("GRPC_HOST", "127.0.0.1"),
            ("GRPC_PORT", &self.address.port().to_string()),
            ("USE_STATSD", "false"),
            ("LOG_LEVEL", "info"),
            ("RUNTIME_ROOT", runtime.to_str().expect("UTF-8")),
            ("RUNTIME_WATCH_ROOT", "false"),
            ("REDIS_SOCKET_TYPE", "tcp"),
            ("REDIS_URL", &self.redis_at.to_string()),
            ("REDIS_TIMEOUT", "1s"),
        ] {
            command.env(name, value);
        }
        let address = self.address;
        let mut process = Process::start(&self.next("ratelimit"), &mut command);
        process.wait_for("a listener", |_| TcpStream::connect(address).ok());
        self.service = Some(process);
    }

    /// Kills the service.
    pub(crate) fn stop_service(&mut self) {
        self.service = None;
    }

    /// What its one counter stands at.
    pub(crate) fn counted(&self) -> u64 {
        let keys = self.keys();
        let [key] = keys.as_slice() else { panic!("{keys:?}") };
        let mut stream = BufReader::new(TcpStream::connect(self.redis_at).expect("Redis"));
        stream.get_mut().write_all(format!("GET {key}\r\n").as_bytes()).expect("a connection");
        let mut lines = stream.lines().map_while(Result::ok);
        let count = lines.nth(1).expect("a value");
        count.parse().expect("a number")
    }

    /// The keys that it counts under.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut stream = BufReader::new(TcpStream::connect(self.redis_at).expect("Redis"));
        stream.get_mut().write_all(b"KEYS *\r\n").expect("a connection");
        let mut line = || {
            let mut line = String::new();
            stream.read_line(&mut line).expect("a line");
            line.trim_end().to_owned()
        };
        let count: usize = line().trim_start_matches('*').parse().expect("a number of keys");
        (0..count)
            .map(|_| {
                line();
                line()
            })
            .collect()
    }

    fn next(&mut self, what: &str) -> String {
        self.starts += 1;
        format!("{}-{what}-{}", self.name, self.starts)
    }
}

/// `file`, an Envoy file, with the gRPC cluster at this address.
pub(crate) fn cluster(file: &str, address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    let cluster = format!(
        r#"{CLUSTERS}  - name: {CLUSTER}
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http2_protocol_options: {{}} }}
    load_assignment:
      cluster_name: {CLUSTER}
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: "{ip}", port_value: {port} }} }} }}
"#
    );
    assert_eq!(file.matches(CLUSTERS).count(), 1, "one list of clusters");
    file.replace(CLUSTERS, &cluster)
}

/// A port that is free now. These programs cannot say which one they chose themselves.
pub(crate) fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
    listener.local_addr().expect("the address of a listener")
}

/// The one line that Redis answers `command` with; `None` while nobody listens.
fn redis(address: SocketAddr, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(wait::DEADLINE)).ok()?;
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    Some(line.trim_end().to_owned())
}
