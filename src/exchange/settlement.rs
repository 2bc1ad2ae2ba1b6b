//! How a forwarded call ended, by what the host says of it.

use crate::policy::Upstream;

/// Why Envoy never sent a request (`%RESPONSE_CODE_DETAILS%`), where one word says all.
const NEVER_SENT: [&str; 4] = ["no_healthy_upstream", "cluster_not_found", "route_not_found", "maintenance_mode"];
/// Why it could not connect, after `upstream_reset_before_response_started{`.
const NO_CONNECTION: [&str; 5] =
    ["connection_failure", "remote_connection_failure", "local_connection_failure", "connection_timeout", "overflow"];

/// Tells by the answer's status and the host's own word on who answered.
pub(super) fn upstream(status: Option<u16>, details: &str, has_error: bool) -> Upstream {
    let reset = details.strip_prefix("upstream_reset_before_response_started{");
    let has_no_connection = |reason: &str| {
        let reason = reason.split(['|', '}', ',']).next().unwrap_or_default();
        NO_CONNECTION.contains(&reason)
    };
    match status {
        Some(status) if details == "via_upstream" && status >= 400 => Upstream::HttpError,
        Some(_) if details == "via_upstream" && has_error => Upstream::JsonRpcError,
        Some(_) if details == "via_upstream" => Upstream::Success,
        _ if NEVER_SENT.contains(&details) || reset.is_some_and(has_no_connection) => Upstream::Unreachable,
        _ => Upstream::InDoubt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_did_not_run_is_given_back() {
        for (status, details, has_error, expected) in [
            (Some(200), "via_upstream", false, Upstream::Success),
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
            assert_eq!(upstream(status, details, has_error), expected, "{status:?} {details}");
        }
    }
}
