//! The policies of `policies/`, with the cases beside them.

macro_rules! policies {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../policies/", $name, ".json")),
            include_str!(concat!("../../policies/", $name, ".cases.json")))),*]
    };
}

/// Name, document and cases; the browser's target has no files to look into.
pub const POLICIES: [(&str, &str, &str); 28] = policies!(
    "conditions" "deploy-with-reason" "fluentcrm" "grammar" "hide-all-but-five" "iterable" "limits" "no-scripts"
    "no-secret-paths" "office-hours" "one-budget" "only-select" "order" "own-domain-mail" "pinned-tool"
    "read-only-agent" "record-range" "reference-server" "refund-approval" "refunds" "schedules" "sections"
    "session-rate" "shadow" "spend-cap" "team-claim" "tool-bursts" "trying-a-rule"
);
