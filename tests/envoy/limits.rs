//! What `docs/limits.md` and `docs/rate-limit-service.md` promise, in a real Envoy under load: exact counts and sums,
//! several proxies through outages, floods of sessions, thousands of reloads.
//!
//! `make e2e` runs a small edition, `make limits-soak` the full one, which takes about half an hour and prints its figures.

mod amounts;
mod crowd;
mod exact;
mod flood;
mod latency;
mod outages;

use serde_json::{Value, json};
use std::env;

/// How much of everything.
struct Plan {
    /// Calls in one repetition, of which one of [`Self::SHARE`] fits.
    calls: usize,
    /// Repetitions of each arrangement, each on counters that were never used.
    repetitions: usize,
    /// Repetitions with each kind of amounts.
    sums: usize,
    /// First uses of a counter by everybody at once, for each of two maxima.
    first_uses: usize,
    /// The maximum that two proxies share through outages.
    shared_max: usize,
    /// Calls of each connection in each part of an outage.
    through: usize,
    /// Calls through each proxy whose latency is measured.
    timed: usize,
    sessions: usize,
    /// Grants that make them up.
    flooding: usize,
    reloads: usize,
    is_full: bool,
}

impl Plan {
    /// Calls for each one that fits.
    const SHARE: usize = 20;

    /// The full one when the environment says so, else the small one.
    fn from_environment() -> Self {
        match env::var("MCP_POLICY_LIMITS").as_deref() {
            Ok("full") => Self {
                calls: 200_000,
                repetitions: 4,
                sums: 10,
                first_uses: 1_000,
                shared_max: 20_000,
                through: 20,
                timed: 20_000,
                sessions: 1_000_000,
                // So many that they fill every part of the counts of sessions.
                flooding: 200,
                reloads: 10_000,
                is_full: true,
            },
            Ok(other) => panic!("MCP_POLICY_LIMITS is `{other}`, and can only be `full`"),
            Err(_) => Self {
                calls: 10_000,
                repetitions: 1,
                sums: 1,
                first_uses: 25,
                shared_max: 1_000,
                through: 3,
                timed: 300,
                // Twice what one part holds.
                sessions: 16_000,
                flooding: 1,
                reloads: 40,
                is_full: false,
            },
        }
    }

    fn max(&self) -> usize {
        self.calls / Self::SHARE
    }
}

/// The header by which the tests' grants are told apart.
const GRANT: &str = "x-grant";

/// Grants `g0`, `g1`, … each with a policy `p0`, `p1`, … of its own, so that no two share a count of whatever scope.
fn apart(count: usize, policy: &Value) -> (Value, Value) {
    let policies = (0..count).map(|at| (format!("p{at}"), policy.clone())).collect();
    let grants = (0..count).map(|at| grant(&format!("g{at}"), &format!("p{at}"))).collect();
    (Value::Object(policies), Value::Array(grants))
}

/// A grant for whoever names it in the header.
fn grant(name: &str, policy: &str) -> Value {
    json!({ "id": name, "match": { "header": { "name": GRANT, "equals": name } }, "policy": policy })
}

/// A policy that allows everything within these limits.
fn within(limits: Value) -> Value {
    json!({ "version": "1", "default": "allow", "all_tools": { "limits": limits } })
}
