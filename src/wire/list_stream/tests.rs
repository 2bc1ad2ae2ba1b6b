//! Long lists, cut anywhere.

use super::super::json::Raw;
use super::super::mcp::Feature;
use super::*;

struct Hiding;

impl Filter for Hiding {
    fn shows(&mut self, _: Feature, name: &str, _: Raw<'_>) -> bool {
        !name.starts_with('h')
    }

    fn judges_requests(&self) -> bool {
        true
    }

    fn permits(&mut self, _: &str) -> bool {
        false
    }

    fn keeps_ms(&self) -> Option<u64> {
        Some(5)
    }
}

/// What passes of `text` when it comes cut at these places, and why it ended.
fn through(text: &[u8], cuts: &[usize]) -> (String, Option<&'static str>) {
    let (mut stream, mut held, mut out, mut broken) = (None, Vec::new(), Vec::new(), None);
    let mut from = 0;
    for to in cuts.iter().copied().chain([text.len()]) {
        let chunk = &text[from..to];
        from = to;
        match &mut stream {
            None => {
                held.extend_from_slice(chunk);
                match ListStream::open(&held, &mut Hiding) {
                    Ok(None) => {}
                    Ok(Some((opened, flow))) => {
                        stream = Some(opened);
                        out.extend(flow.out);
                        broken = flow.broken;
                    }
                    Err(unreadable) => return (String::new(), Some(unreadable.reason)),
                }
            }
            Some(stream) => {
                let flow: Flow = stream.push(chunk, &mut Hiding);
                out.extend(flow.out);
                broken = broken.or(flow.broken);
            }
        }
    }
    let flow = stream.expect("a list").finish(&mut Hiding);
    out.extend(flow.out);
    (String::from_utf8(out).unwrap(), broken.or(flow.broken))
}

fn all_cuts(text: &[u8], expected: &(String, Option<&'static str>)) {
    let bytes: Vec<usize> = (1..text.len()).collect();
    assert_eq!(&through(text, &bytes), expected, "byte by byte");
    for first in 0..text.len() {
        assert_eq!(&through(text, &[first]), expected, "cut at {first}");
        for second in (first..text.len()).step_by(5) {
            assert_eq!(&through(text, &[first, second]), expected, "cut at {first} and {second}");
        }
    }
}

#[test]
fn a_list_that_flows_is_the_list_that_is_read_as_a_whole() {
    for text in [
        r#" {"id":1,"result": {"a":"é","tools" : [ {"name":"h"} , {"name":"aé","x":[1.50,true,null,"\u00e9\\"]},{"name":"h2"},{"n\u0061me":"b"} ] , "nextCursor":"c"} } "#,
        r#"{"jsonrpc":"2.0","result":{"tools":[],"x":-1e5}}"#,
        r#"{"result":{"prompts":[ ],"tools":[{"name":"h"},{"name":"a"}]},"id":"é"}"#,
        r#"{"result":{"resources":[{"uri":"h"},{"uri":"hh"}]}}"#,
        r#"{"result":{"ttlMs":9,"tools":[{"name":"a"}],"cacheScope":"public"},"id":1}"#,
        r#"{"result":{"cacheScope":"public","tools":[{"name":"a"}],"ttlMs":2.5},"id":1}"#,
    ] {
        let whole = rewrite(text.as_bytes(), &mut Hiding).unwrap().replaced;
        let whole = whole.map_or(text.to_owned(), |bytes| String::from_utf8(bytes).unwrap());
        assert!(!whole.contains(r#":"h"#), "{whole}");
        all_cuts(text.as_bytes(), &(whole, None));
    }
}

#[test]
fn what_cannot_be_read_ends_where_it_is_and_shows_nothing_hidden() {
    let mut not_utf8 = br#"{"result":{"tools":[{"name":"a"},{"name":"b"#.to_vec();
    not_utf8.extend_from_slice(b"\xFF\"},{\"name\":\"c\"}]}}");
    for (text, passed) in [
        (br#"{"result":{"tools":[{"name":"a"},{"name":"b"}"#.as_slice(), r#"{"result":{"tools":[{"name":"a"}"#),
        (br#"{"result":{"tools":[{"name":"a"},]}}"#, r#"{"result":{"tools":[{"name":"a"}"#),
        (br#"{"result":{"tools":[{"name":"a"} {"name":"b"}]}}"#, r#"{"result":{"tools":["#),
        (br#"{"result":{"tools":[{"name":"a"},{"name":1},{"name":"b"}]}}"#, r#"{"result":{"tools":[{"name":"a"}"#),
        (br#"{"result":{"tools":[{"name":"a"},{"name":"h","Name":"b"}]}}"#, r#"{"result":{"tools":[{"name":"a"}"#),
        (br#"{"result":{"tools":[{"name":"a"}],"tools":[{"name":"h"}]}}"#, r#"{"result":{"tools":[{"name":"a"}"#),
        (br#"{"result":{"tools":[{"name":"a"}]},"method":"x","id":1}"#, r#"{"result":{"tools":[{"name":"a"}"#),
        (br#"{"result":{"tools":[{"name":"a"}]}}x"#, r#"{"result":{"tools":[{"name":"a"}]}}"#),
        (br#"{"result":{"tools":[{"name":"a"}]}}{"result":{}}"#, r#"{"result":{"tools":[{"name":"a"}]}}"#),
        (br#"{"result":{"tools":[{"name":"a"}]]}}"#, r#"{"result":{"tools":[{"name":"a"}"#),
        (&not_utf8, r#"{"result":{"tools":[{"name":"a"}"#),
    ] {
        let (out, broken) = through(text, &[]);
        assert_eq!(out, passed);
        assert!(broken.is_some(), "{out}");
        all_cuts(text, &(out, broken));
    }
}

#[test]
fn an_element_is_bounded_and_what_came_before_the_list_is_judged_first() {
    let long = "x".repeat(MAX_ELEMENT_BYTES);
    let text = format!(r#"{{"result":{{"tools":[{{"name":"a"}},{{"name":"b","x":"{long}"}}]}}}}"#);
    let (out, broken) = through(text.as_bytes(), &[4096]);
    // Compares without printing a megabyte.
    assert!(out == r#"{"result":{"tools":[{"name":"a"}"#, "{} bytes", out.len());
    assert_eq!(broken, Some("a part of it is too large to be read"));
    let doubled = br#"{"result":{"Tools":[],"tools":[{"name":"a"}]}}"#;
    assert!(ListStream::open(doubled, &mut Hiding).is_err());
    for text in
        ["", "[", r#"{"result":{"tools":"#, r#"{"result":{"content":[{"tools":[1]}]}}"#, r#"[{"result":{"tools":[]}}]"#]
    {
        assert!(matches!(ListStream::open(text.as_bytes(), &mut Hiding), Ok(None)), "{text}");
    }
}

/// With trailers nothing comes after that.
#[test]
fn where_the_list_and_the_message_end_is_known_at_once() {
    let text = br#"{"result":{"tools":[{"name":"h]\"]"},{"name":"a","x":["]",{"y":"\\"}]}],"z":"}}}]"}}"#;
    let shown = br#"{"result":{"tools":[{"name":"a","x":["]",{"y":"\\"}]}"#;
    let tail = br#"],"z":"}}}]"}}"#;
    for first in 20..text.len() - tail.len() {
        let Some((mut stream, flow)) = ListStream::open(&text[..first], &mut Hiding).unwrap() else { panic!("a list") };
        let mut out = flow.out;
        for at in first..text.len() {
            out.extend(stream.push(&text[at..=at], &mut Hiding).out);
            let left = text.len() - 1 - at;
            if left < tail.len() {
                let expected = if left == 0 { [shown.as_slice(), tail].concat() } else { shown.to_vec() };
                assert_eq!(out, expected, "{first}, {at}");
            }
        }
    }
}
