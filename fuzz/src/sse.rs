//! An event stream in any framing: no client finds anything hidden in it, no cut changes it, and what is
//! readable and shown passes as it is.

use super::host::{self, HIDING_GATE, OPEN_GATE};
use super::judge::{self, Event, Json, LineEnds};
use mcp_policy::wire::sse::{Decoder, Verdict};

/// What a small decoder may keep of an event.
const MAX_EVENT_BYTES: usize = 200;

/// One stream.
pub fn check(stream: &[u8]) {
    if stream.is_empty() {
        return;
    }
    bounded(stream);
    let what = || String::from_utf8_lossy(stream).into_owned();
    let cuts = host::cuts(stream);
    for method in [Some("tools/call"), Some("tools/list"), None] {
        let through =
            |chunks: &[&[u8]]| HIDING_GATE.with(|gate| host::answered(gate, method, Some("text/event-stream"), chunks));
        let got = through(&cuts[0]);
        for cut in &cuts[1..] {
            let other = through(cut);
            assert!(
                got == other,
                "a cut changes {:?}: {:?} {:?}",
                what(),
                String::from_utf8_lossy(&got),
                String::from_utf8_lossy(&other)
            );
        }
        let found = host::forbidden_in_events(&got);
        assert!(
            found.is_none(),
            "{method:?}: a client finds {} in {:?} of {:?}",
            found.unwrap(),
            String::from_utf8_lossy(&got),
            what()
        );
        if method.is_some_and(|method| method != "tools/call") {
            continue;
        }
        // What clients read differently may be held back.
        let Some(sent) = read_alike(stream) else { continue };
        // An event that begins with such a line may not follow a dropped one: what is left could be JSON.
        if !has_unknown_lines(stream) {
            arrives(&sent, &got, stream);
        }
        let is_clear = |event: &Event| Json::strict(&event.data).is_some_and(|data| is_clear(&data));
        if sent.iter().all(is_clear) {
            let open = OPEN_GATE.with(|gate| host::answered(gate, method, Some("text/event-stream"), &cuts[2]));
            assert!(open == stream, "the identity was changed in {:?}: {:?}", what(), String::from_utf8_lossy(&open));
        }
    }
}

/// The events, where every client finds the same ones; lines of no known field that end in a lone CR aside.
fn read_alike(stream: &[u8]) -> Option<Vec<Event>> {
    let [standard, lf_only, unicode] = LineEnds::ALL.map(|ends| judge::events(stream, ends));
    let is_lone_cr = |at: usize| stream[at] == b'\r' && stream.get(at + 1) != Some(&b'\n');
    let is_odd = (0..stream.len()).any(is_lone_cr) && has_unknown_lines(stream);
    (standard == lf_only && standard == unicode && !is_odd).then_some(standard)
}

fn has_unknown_lines(stream: &[u8]) -> bool {
    LineEnds::Standard.lines(stream).iter().any(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        !(line.is_empty() || matches!(name, b"" | b"data" | b"event" | b"id" | b"retry"))
    })
}

fn is_clear(message: &Json) -> bool {
    message.is_object() && host::is_clear(message) && message.written(false).matches(['[', '{']).count() < 100
}

/// Every event with one meaning and nothing hidden arrives, in order.
fn arrives(sent: &[Event], got: &[u8], stream: &[u8]) {
    let got = judge::events(got, LineEnds::Standard);
    let mut rest = got.iter();
    for event in sent {
        let Some(data) = Json::strict(&event.data).filter(is_clear) else { continue };
        if host::forbidden(&data).is_none() {
            let arrived = rest.any(|other| other == event);
            let data = String::from_utf8_lossy(&event.data);
            assert!(arrived, "{data:?} is lost of {:?}", String::from_utf8_lossy(stream));
        }
    }
}

/// No more of an event is kept than may be, and a larger one never leaves.
fn bounded(stream: &[u8]) {
    let mut decoder = Decoder::new(MAX_EVENT_BYTES);
    let (mut fed, mut left, mut oversized) = (0, 0, false);
    for chunk in stream.chunks(1) {
        let out = decoder.push(chunk, &mut |event| {
            oversized |= event.oversized;
            Verdict::Keep
        });
        fed += chunk.len();
        left += out.map_or(chunk.len(), |out| out.len());
    }
    let rest = decoder.finish(&mut |event| {
        oversized |= event.oversized;
        Verdict::Keep
    });
    assert!(rest.len() <= MAX_EVENT_BYTES, "a large event left");
    assert!(oversized || fed == left + rest.len(), "bytes were lost");
}
