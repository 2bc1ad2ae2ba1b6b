//! What became of a call that went on, and so whether its limits get back what they reserved.

/// How a forwarded call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// A result, also one with `isError`: the tool ran.
    Answered,
    /// A JSON-RPC error.
    JsonRpcError,
    /// An HTTP status of 400 or more, from the server itself.
    HttpError,
    /// No connection: surely nothing ran.
    Unreachable,
    /// A timeout, a broken stream, a client that left: it may have run.
    InDoubt,
}

/// Why Envoy never sent a request (`%RESPONSE_CODE_DETAILS%`), where one word says all.
const NEVER_SENT: [&str; 4] = ["no_healthy_upstream", "cluster_not_found", "route_not_found", "maintenance_mode"];
/// Why it could not connect, after `upstream_reset_before_response_started{`.
const NO_CONNECTION: [&str; 5] =
    ["connection_failure", "remote_connection_failure", "local_connection_failure", "connection_timeout", "overflow"];

impl Upstream {
    /// Tells by the answer's status and the host's own word on who answered.
    #[must_use]
    pub fn of(status: Option<u16>, details: &str, has_error: bool) -> Self {
        let reset = details.strip_prefix("upstream_reset_before_response_started{");
        let has_no_connection = |reason: &str| {
            let reason = reason.split(['|', '}', ',']).next().unwrap_or_default();
            NO_CONNECTION.contains(&reason)
        };
        match status {
            Some(status) if details == "via_upstream" && status >= 400 => Self::HttpError,
            Some(_) if details == "via_upstream" && has_error => Self::JsonRpcError,
            Some(_) if details == "via_upstream" => Self::Answered,
            _ if NEVER_SENT.contains(&details) || reset.is_some_and(has_no_connection) => Self::Unreachable,
            _ => Self::InDoubt,
        }
    }

    /// Whether what was reserved is given back: the call surely did not run, or failed as a call.
    #[must_use]
    pub const fn gives_back(self) -> bool {
        match self {
            Self::JsonRpcError | Self::HttpError | Self::Unreachable => true,
            Self::Answered | Self::InDoubt => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_did_not_run_is_given_back() {
        for (status, details, has_error, expected) in [
            (Some(200), "via_upstream", false, Upstream::Answered),
            (Some(200), "via_upstream", true, Upstream::JsonRpcError),
            (Some(500), "via_upstream", false, Upstream::HttpError),
            (Some(404), "via_upstream", true, Upstream::HttpError),
            (Some(503), "no_healthy_upstream", false, Upstream::Unreachable),
            (
                Some(503),
                "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
                false,
                Upstream::Unreachable,
            ),
            (Some(503), "upstream_reset_before_response_started{connection_termination}", false, Upstream::InDoubt),
            (Some(504), "upstream_response_timeout", false, Upstream::InDoubt),
            (None, "downstream_remote_disconnect", false, Upstream::InDoubt),
            (None, "", false, Upstream::InDoubt),
        ] {
            assert_eq!(Upstream::of(status, details, has_error), expected, "{status:?} {details}");
        }
    }
}
