//! The policies of `policies/`, with the cases beside them.

macro_rules! policies {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../policies/", $name, ".json")),
            include_str!(concat!("../../policies/", $name, ".cases.json")))),*]
    };
}

/// Name, document and cases; the browser's target has no files to look into.
pub const POLICIES: [(&str, &str, &str); 34] = policies!(
    "conditions" "database" "deploy-with-reason" "filesystem" "fluentcrm" "github" "grammar" "hide-all-but-five"
    "iterable" "limits" "no-scripts" "no-secret-paths" "office-hours" "one-budget" "one-hidden" "one-limit"
    "only-select" "order" "own-domain-mail" "payments" "pinned-tool" "read-only-agent" "record-range" "reference-server"
    "refund-approval" "refunds" "schedules" "sections" "session-rate" "shadow" "spend-cap" "team-claim" "tool-bursts"
    "trying-a-rule"
);
