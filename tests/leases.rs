//! Hits that proxies reserve ahead in a rate limit service: whatever the proxies' clocks, the order of answers and those
//! that are lost, no window ever admits more than the maximum.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use mcp_policy::config::Gate;
use mcp_policy::exchange::{Exchange, Step};
use mcp_policy::policy::MemoryStore;
use mcp_policy::timestamp::Timestamp;
use mcp_policy::wire::rls::{DescriptorStatus, Duration, OK, OVER_LIMIT, RateLimitRequest, RateLimitResponse};
use prost::Message;
use serde_json::json;
use std::collections::BTreeMap;
use std::rc::Rc;
use support::{gate, headers};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const WINDOW_MS: u64 = 60_000;
const MAX: u32 = 100;
const MAX_OF_TOOL: u32 = 60;
const TOOLS: [&str; 2] = ["a", "b"];

/// As envoyproxy/ratelimit counts.
#[derive(Default)]
struct Service {
    counts: BTreeMap<(String, u64), u64>,
    asked: usize,
}

impl Service {
    fn count(&mut self, request: &RateLimitRequest, now: u64) -> Vec<u8> {
        self.asked += 1;
        let mut statuses = Vec::new();
        for descriptor in &request.descriptors {
            let limit = descriptor.limit.unwrap();
            let used = self.counts.entry((name(descriptor), now / WINDOW_MS)).or_default();
            *used += descriptor.hits_addend.unwrap().value;
            let left = u64::from(limit.requests_per_unit).checked_sub(*used);
            statuses.push(DescriptorStatus {
                code: if left.is_some() { OK } else { OVER_LIMIT },
                current_limit: Some(limit),
                limit_remaining: left.unwrap_or(0) as u32,
                duration_until_reset: Some(Duration { seconds: 60 - (now / 1000 % 60) as i64 }),
            });
        }
        let is_over = statuses.iter().any(|status| status.code == OVER_LIMIT);
        RateLimitResponse { overall_code: if is_over { OVER_LIMIT } else { OK }, statuses }.encode_to_vec()
    }
}

fn name(descriptor: &mcp_policy::wire::rls::RateLimitDescriptor) -> String {
    descriptor.entries.iter().map(|entry| format!("{}={} ", entry.key, entry.value)).collect()
}

struct Proxy {
    store: MemoryStore,
    /// How far its clock is from the service's, in milliseconds.
    ahead: i64,
}

impl Proxy {
    fn now(&self, now: u64) -> Timestamp {
        Timestamp::from_millis(now.checked_add_signed(self.ahead).unwrap())
    }
}

/// A call that waits: at which proxy, of which tool, begun when, its question, and the answer once it was counted.
struct Waiting {
    proxy: usize,
    tool: usize,
    begun: u64,
    exchange: Exchange,
    request: RateLimitRequest,
    answer: Option<(u64, Vec<u8>)>,
}

fn gate_with(lease: &str) -> Rc<Gate> {
    let policy = json!({ "version": "1", "default": "allow", "all_tools": { "limits": [
        { "counter": "all", "window": "minute", "max": MAX, "scope": "global" },
        { "counter": "each", "window": "minute", "max": MAX_OF_TOOL, "scope": "tool" } ] } });
    gate(&format!(
        r#"{{"policies":{{"p":{policy}}},"default_policy":"p",
        "limits":{{"store":"rate_limit_service","cluster":"c","domain":"d"{lease}}}}}"#
    ))
}

fn begin(gate: &Rc<Gate>, tool: &str, now: Timestamp, store: &mut MemoryStore) -> (Exchange, Step) {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool } }).to_string();
    let mut exchange = Exchange::new(Rc::clone(gate));
    exchange.request_headers(&headers(&support::POST), false, now);
    let step = exchange.request_whole(body.as_bytes(), now, store);
    (exchange, step)
}

/// Numbers without a pattern, always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn no_window_admits_more_than_the_maximum_whatever_happens_in_between() {
    let gate = gate_with(r#","lease":8"#);
    let (mut calls, mut asked) = (0, 0);
    let mut fullest = 0;
    for seed in 1..=20_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut service = Service::default();
        let mut proxies = [370, -93_000, 40_000].map(|ahead| Proxy { store: MemoryStore::default(), ahead });
        let mut admitted: BTreeMap<(usize, u64), u32> = BTreeMap::new();
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut now = 1_795_243_300_000 + random.below(WINDOW_MS);
        for _ in 0..4000 {
            // Minutes that fill up at once, and such that end with blocks half spent before a busy one.
            now += random.below(if seed.is_multiple_of(2) || (now / WINDOW_MS).is_multiple_of(2) { 120 } else { 700 });
            if random.below(2000) == 0 {
                // A clock that is set forward. One that is set back while no call comes is not noticed.
                proxies[random.below(3) as usize].ahead += random.below(20_000) as i64;
            }
            let mut admit = |place: usize, at: u64| *admitted.entry((place, at / WINDOW_MS)).or_default() += 1;
            match random.below(4) {
                0 | 1 => {
                    calls += 1;
                    let (proxy, tool) = (random.below(3) as usize, random.below(2) as usize);
                    let time = proxies[proxy].now(now);
                    let (exchange, step) = begin(&gate, TOOLS[tool], time, &mut proxies[proxy].store);
                    match step {
                        Step::Continue => {
                            admit(2, now);
                            admit(tool, now);
                        }
                        Step::Ask(message) => {
                            let request = RateLimitRequest::decode(message.as_slice()).unwrap();
                            waiting.push(Waiting { proxy, tool, begun: now, exchange, request, answer: None });
                        }
                        step => panic!("{step:?}"),
                    }
                }
                // The service counts one, or never sees it.
                2 if !waiting.is_empty() && random.below(10) > 0 => {
                    let at = random.below(waiting.len() as u64) as usize;
                    let call = &mut waiting[at];
                    if call.answer.is_none() {
                        call.answer = Some((now, service.count(&call.request, now)));
                    }
                }
                // An answer arrives, is lost, or its client has left.
                _ if !waiting.is_empty() => {
                    let at = random.below(waiting.len() as u64) as usize;
                    let Waiting { proxy, tool, begun, mut exchange, request, answer } = waiting.swap_remove(at);
                    let proxy = &mut proxies[proxy];
                    let time = proxy.now(now);
                    if random.below(20) == 0 {
                        exchange.end("", time, &mut proxy.store);
                        continue;
                    }
                    let (counted_at, answer) = answer.filter(|_| random.below(20) > 0).unzip();
                    let step = exchange.limits_counted(answer.as_deref(), time, &mut proxy.store);
                    if step == Step::Continue {
                        let asked = |counter: &str| request.descriptors.iter().any(|one| name(one).contains(counter));
                        let at = |counter| if asked(counter) { counted_at.unwrap() } else { begun };
                        admit(2, at("counter=all "));
                        admit(tool, at("counter=each "));
                        if random.below(10) == 0 {
                            // The server was not reached: what came of a block goes back to it.
                            exchange.end("no_healthy_upstream", time, &mut proxy.store);
                        }
                    }
                }
                _ => {}
            }
        }
        asked += service.asked;
        for ((place, window), count) in admitted {
            let max = if place == 2 { MAX } else { MAX_OF_TOOL };
            assert!(count <= max, "seed {seed}: {count} of {max} in window {window} of counter {place}");
            if place == 2 {
                fullest = fullest.max(count);
            }
        }
    }
    assert!(calls > 30_000, "{calls}");
    // It is not by refusing everything.
    assert!(fullest > MAX * 8 / 10, "{fullest}");
    assert!(asked < calls, "{asked} questions for {calls} calls");
}

#[test]
fn most_calls_of_one_proxy_ask_nobody_and_all_of_the_maximum_is_used() {
    for (lease, most_questions) in [(r#","lease":10"#, 30), ("", 75)] {
        let (gate, mut service, mut store) = (gate_with(lease), Service::default(), MemoryStore::default());
        let mut ran = 0;
        // From the beginning of a minute: one call of each tool every half second.
        for call in 0..75 {
            let now = 1_795_243_320_000 + call * 500;
            let time = Timestamp::from_millis(now);
            let (mut exchange, step) = begin(&gate, TOOLS[call as usize % 2], time, &mut store);
            let step = match step {
                Step::Ask(message) => {
                    let answer = service.count(&RateLimitRequest::decode(message.as_slice()).unwrap(), now);
                    exchange.limits_counted(Some(&answer), time, &mut store)
                }
                step => step,
            };
            ran += u32::from(step == Step::Continue);
            assert_eq!(exchange.record().unwrap().limits, None);
        }
        assert_eq!(ran, 75);
        assert!(service.asked <= most_questions, "{} questions", service.asked);
    }
}

#[test]
fn when_one_limit_is_full_nothing_of_another_one_s_block_is_spent() {
    let (gate, mut store) = (gate_with(r#","lease":10"#), MemoryStore::default());
    let now = Timestamp::from_millis(1_795_243_320_000);
    let answer = |request: &RateLimitRequest, over: &str| {
        let mut reply = RateLimitResponse::decode(Service::default().count(request, now.millis()).as_slice()).unwrap();
        for (descriptor, status) in request.descriptors.iter().zip(&mut reply.statuses) {
            if name(descriptor).contains(over) {
                (status.code, reply.overall_code) = (OVER_LIMIT, OVER_LIMIT);
            }
        }
        reply.encode_to_vec()
    };
    let mut call = |over: &str| {
        let (mut exchange, step) = begin(&gate, "a", now, &mut store);
        let Step::Ask(message) = step else { return (Vec::new(), step) };
        let request = RateLimitRequest::decode(message.as_slice()).unwrap();
        let asked = request.descriptors.iter().map(|one| (name(one), one.hits_addend.unwrap().value));
        let asked = asked.map(|(name, hits)| (name.contains("counter=all "), hits)).collect();
        (asked, exchange.limits_counted(Some(&answer(&request, over)), now, &mut store))
    };
    // The first call learns how much there is.
    assert_eq!(call("none"), (vec![(true, 1), (false, 1)], Step::Continue));
    let (asked, step) = call("counter=each ");
    assert_eq!(asked, [(true, 10), (false, 6)]);
    assert!(matches!(step, Step::Reply(_)), "{step:?}");
    // Ten calls more find the block of the first limit whole, and only the second is asked for.
    for _ in 0..10 {
        let (asked, step) = call("none");
        assert_eq!((asked, step), (vec![(false, 1)], Step::Continue));
    }
    let (asked, _) = call("none");
    assert_eq!(asked, [(true, 10), (false, 1)]);
}
