//! An answer that is JSON, or that may be: nothing hidden is left in it, and nothing else is gone.

use super::host::{self, HIDING_GATE, OPEN_GATE};
use super::judge::Json;

/// What was asked, and how the answer is labelled.
const ASKED: [(Option<&str>, Option<&str>); 6] = [
    (Some("tools/list"), Some("application/json")),
    (Some("resources/templates/list"), None),
    (Some("tools/call"), Some("application/json")),
    (Some("tools/call"), None),
    (Some("tools/call"), Some("text/plain")),
    (None, Some("application/json")),
];

/// One answer's body.
pub fn check(body: &[u8]) {
    if body.is_empty() {
        return;
    }
    let sent = Json::strict(body).filter(|_| depth(body) < 100);
    let [whole, bytes, chunks] = host::cuts(body);
    for (index, (method, content_type)) in ASKED.into_iter().enumerate() {
        let what = || format!("{method:?} {content_type:?}: {}", String::from_utf8_lossy(body));
        let got = HIDING_GATE.with(|gate| host::answered(gate, method, content_type, &whole));
        let cut = if index == 3 { &bytes } else { &chunks };
        let cut = HIDING_GATE.with(|gate| host::answered(gate, method, content_type, cut));
        assert!(got == cut, "a cut changes the answer to {}", what());

        let got_json = Json::lax(&got);
        let found = got_json.as_ref().and_then(host::forbidden);
        // Some clients read events whatever the type says.
        let found =
            found.or_else(|| host::forbidden_in_events(&got).filter(|_| content_type != Some("application/json")));
        assert!(found.is_none(), "a client finds {} in the answer to {}", found.unwrap(), what());
        let open = OPEN_GATE.with(|gate| host::answered(gate, method, content_type, &whole));
        let Some(sent) = &sent else {
            let may_be_json = body.trim_ascii_start().first().is_some_and(|first| matches!(first, b'{' | b'['));
            // What only seems to be too deep is JSON all the same.
            if may_be_json && Json::strict(body).is_none() {
                for got in [&got, &open] {
                    let ours = Json::strict(got);
                    assert!(ours.is_some_and(|got| host::is_our_error(&got)), "no JSON passes after {}", what());
                }
            }
            continue;
        };
        if !sent.is_object() || !host::is_clear(sent) {
            continue;
        }
        let list = host::LISTS.iter().find(|(list, ..)| Some(*list) == method).map(|(_, list, _)| *list);
        let has_error = sent.get("error").is_some_and(|error| *error != Json::Word("null".into()));
        let lacks =
            list.is_some_and(|list| sent.get("result").and_then(|result| result.get(list)).is_none() && !has_error);
        if lacks {
            assert!(got_json.is_some_and(|got| host::is_our_error(&got)), "no list comes of {}", what());
            continue;
        }
        assert!(open == body, "the identity was changed in {}", what());
        if host::asks_for_sampling(sent).is_some() {
            continue;
        }
        let got = Json::strict(&got);
        assert!(got == Some(host::without_hidden(sent)), "more or less than the hidden is gone from {}", what());
    }
}

fn depth(text: &[u8]) -> usize {
    text.iter().filter(|byte| matches!(byte, b'[' | b'{')).count()
}
