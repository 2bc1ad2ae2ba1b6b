//! What a lease costs an allowed call, beside a count in this proxy, an answer of the service each time, and no plugin.

use super::super::reload::Discovered;
use super::super::support::envoy::Envoy;
use super::super::support::http::Connection;
use super::super::support::mcp;
use super::super::support::parts::Parts;
use super::super::support::ratelimit::{self, CLUSTER, DOMAIN, RateLimit};
use super::super::support::request::Request;
use super::super::support::setup::Setup;
use super::super::support::upstream::Upstream;
use super::super::support::wait;
use super::crowd::{self, QUIET};
use super::{Plan, within};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Calls through each proxy between two looks at the ratios.
const BLOCK: usize = 100;
/// What a call with a lease may add to the time that it takes, in times of what one that is counted here adds.
const MOST: f64 = 1.1;

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

#[test]
fn a_lease_adds_to_a_call_what_counting_here_adds() {
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    let plan = Plan::from_environment();
    wait::for_room_in(86_400, Duration::from_secs(300));
    let service = RateLimit::start(&parts, "limits-p50", "");
    let upstream = Upstream::running_and_forgetting_every_call();
    let each = json!({ "store": "rate_limit_service", "cluster": CLUSTER, "domain": DOMAIN, "timeout_ms": 2000 });
    let mut lease = each.clone();
    lease["lease"] = json!(100);
    let file = |name: &str, max: usize, limits: Value| {
        let policy = within(json!([{ "counter": "calls", "window": "day", "max": max, "scope": "global" }]));
        let setup = Setup::new(&policy).with("limits", limits).edit(QUIET.0, QUIET.1);
        ratelimit::cluster(&setup.render(name, upstream.address), service.address)
    };
    // Different maxima, so that no two share a count.
    let local = file("limits-p50-local", 10_000_000, json!({ "store": "local" }));
    let (before, _, after) = Discovered::parts(&local);
    let proxies = [
        Envoy::start(&parts, "limits-p50-none", &format!("{before}{after}")),
        Envoy::start(&parts, "limits-p50-local", &local),
        Envoy::start(&parts, "limits-p50-lease", &file("limits-p50-lease", 10_000_001, lease)),
        Envoy::start(&parts, "limits-p50-each", &file("limits-p50-each", 10_000_002, each)),
    ];
    let mut connections = proxies.each_ref().map(Envoy::connect);
    let request = Request::post(mcp::call("1", "work")).bytes();
    let time = |connection: &mut Connection| {
        let start = Instant::now();
        assert!(crowd::runs(connection, &request));
        start.elapsed().as_secs_f64() * 1e6
    };
    // In turn, and each turn begun by another, so that whatever else the machine does falls on all of them.
    let mut took = [const { Vec::new() }; 4];
    let mut ratios = Vec::new();
    for call in 0..plan.timed {
        for turn in 0..4 {
            let at = (call + turn) % 4;
            took[at].push(time(&mut connections[at]));
        }
        if (call + 1) % BLOCK == 0 {
            let [_, local, lease, _] = took.each_ref().map(|took| median(took[took.len() - BLOCK..].to_vec()));
            ratios.push(lease / local);
        }
    }
    let [none, local, lease, each] = took.map(median);
    let (whole, added) = (lease / local, (lease - none) / (local - none));
    let asked = proxies[2].stat(&format!("cluster.{CLUSTER}.upstream_rq_total"));
    ratios.sort_unstable_by(f64::total_cmp);
    println!(
        "p50 of {} allowed calls each, in microseconds: {none:.0} without the plugin, {local:.0} counted here, {lease:.0} with \
         a lease ({asked} questions), {each:.0} asking each time",
        plan.timed
    );
    println!(
        "with a lease a call takes {whole:.3} times as long as counted here (in half of the blocks of {BLOCK}: {:.3} to \
         {:.3}), and what it adds is {added:.3} times as much",
        ratios[ratios.len() / 4],
        ratios[ratios.len() * 3 / 4]
    );
    // So few calls as in a small edition tell only of gross faults.
    let most = if plan.is_full { MOST } else { 2.0 };
    assert!(whole <= most && added <= most, "{whole:.3} times in all, {added:.3} times added");
    assert!(asked < plan.timed as u64 / 10, "{asked} questions for {} calls", plan.timed);
}
