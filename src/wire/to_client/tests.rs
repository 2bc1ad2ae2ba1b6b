//! Messages of a server, and what of them flows on.

use super::*;

/// Shows what `shows` says, and permits what `permits` says.
struct By<S, P> {
    shows: S,
    permits: Option<P>,
}

impl<S: Fn(Feature, &str) -> bool, P: Fn(&str) -> bool> Filter for By<S, P> {
    fn shows(&mut self, feature: Feature, name: &str, _: Raw<'_>) -> bool {
        (self.shows)(feature, name)
    }

    fn judges_requests(&self) -> bool {
        self.permits.is_some()
    }

    fn permits(&mut self, method: &str) -> bool {
        self.permits.as_ref().is_none_or(|permits| permits(method))
    }

    fn keeps_ms(&self) -> Option<u64> {
        None
    }
}

fn showing<S: Fn(Feature, &str) -> bool>(shows: S) -> By<S, fn(&str) -> bool> {
    By { shows, permits: None }
}

fn rewritten(text: &str) -> Result<String, &'static str> {
    match rewrite(text.as_bytes(), &mut showing(|_: Feature, name: &str| !name.starts_with('h'))) {
        Ok(filtered) => Ok(String::from_utf8(filtered.replaced.unwrap_or_else(|| text.as_bytes().to_vec())).unwrap()),
        Err(unreadable) => Err(unreadable.reason),
    }
}

#[test]
fn hidden_tools_leave_and_every_other_byte_stays() {
    for (tools, expected) in [
        (r#"[]"#, r#"[]"#),
        (r#"[ {"name":"a"} ]"#, r#"[ {"name":"a"} ]"#),
        (r#"[{"name":"h"}]"#, r#"[]"#),
        (r#"[ {"name":"h1"} , {"name":"h2"} ]"#, r#"[]"#),
        (r#"[ {"name":"h"} , {"name":"a"} ]"#, r#"[ {"name":"a"} ]"#),
        (r#"[{"name":"a"}, {"name":"h"}, {"name":"b"}]"#, r#"[{"name":"a"}, {"name":"b"}]"#),
        (r#"[{"name":"a"},{"name":"h1"},{"name":"h2"}]"#, r#"[{"name":"a"}]"#),
        (r#"[{"name":"h1"},{"name":"h2"},{"name":"a"},{"name":"h3"}]"#, r#"[{"name":"a"}]"#),
        (r#"[{"x":{"name":"h"},"name":"a"}]"#, r#"[{"x":{"name":"h"},"name":"a"}]"#),
        (r#"[{"n\u0061me":"\u0068"},{"name":"a"}]"#, r#"[{"name":"a"}]"#),
    ] {
        let around = |tools: &str| {
            format!(r#" {{"id":1, "result":{{ "nextCursor":"","tools":{tools},"_meta":{{"x":1e400}} }}}} "#)
        };
        assert_eq!(rewritten(&around(tools)), Ok(around(expected)), "{tools}");
    }
}

#[test]
fn batches_are_filtered_and_other_messages_left_alone() {
    let batch =
        r#"[{"id":1,"result":{"tools":[{"name":"h"}]}},{"id":2,"result":{"tools":[{"name":"h"},{"name":"a"}]}}]"#;
    let expected = r#"[{"id":1,"result":{"tools":[]}},{"id":2,"result":{"tools":[{"name":"a"}]}}]"#;
    assert_eq!(rewritten(batch), Ok(expected.into()));
    for text in [
        r#"{"id":1,"result":{"content":[{"tools":[{"name":"h"}]}]}}"#,
        r#"{"method":"x","params":{"result":{"tools":[{"name":"h"}]}}}"#,
        r#""text""#,
    ] {
        assert_eq!(rewritten(text), Ok(text.into()));
    }
}

#[test]
fn what_could_be_a_list_and_cannot_be_read_is_refused() {
    for text in [
        r#"{"result":{"tools":[{"name":"a"}]}"#,
        r#"{"result":{"tools":[{"name":"a"}]}} x"#,
        r#"{"result":{"tools":{"a":1}}}"#,
        r#"{"result":{"tools":["a"]}}"#,
        r#"{"result":{"tools":[{"title":"a"}]}}"#,
        r#"{"result":{"tools":[{"name":1}]}}"#,
        r#"{"result":{"tools":[{"name":"a","name":"h"}]}}"#,
        r#"{"result":{"tools":[{"name":"a","Name":"h"}]}}"#,
        r#"{"result":{"tools":[],"tools":[{"name":"h"}]}}"#,
        r#"{"result":{"tools":[],"Tools":[{"name":"h"}]}}"#,
        r#"{"result":{},"result":{"tools":[{"name":"h"}]}}"#,
        r#"{"Result":{"tools":[{"name":"h"}]}}"#,
        r#"{"result":{"tool\u017f":[{"name":"h"}]}}"#,
    ] {
        assert!(rewritten(text).is_err(), "{text}");
    }
}

#[test]
fn the_id_of_an_unreadable_list_is_kept_for_the_error() {
    let text = r#"{"jsonrpc":"2.0","result":{"tools":[1]},"id":"x"}"#;
    let unreadable = rewrite(text.as_bytes(), &mut showing(|_: Feature, _: &str| true)).unwrap_err();
    assert_eq!(unreadable.id.as_deref(), Some("\"x\""));
}

#[test]
fn every_list_is_filtered_by_what_names_its_elements() {
    let visible = |feature: Feature, name: &str| name != format!("hidden {feature:?}").to_lowercase();
    for list in List::ALL {
        let (member, key) = (list.member(), list.name_member());
        let own = format!("hidden {:?}", list.feature()).to_lowercase();
        let around = |elements: &str| format!(r#"{{"id":1,"result":{{"{member}":[{elements}],"ttlMs":1}}}}"#);
        let others = r#"{"KEY":"hidden nothing"}, {"x":"","KEY":"a"}"#.replace("KEY", key);
        let text = around(&format!(r#"{{"{key}":"{own}"}},{others}"#));
        let filtered = rewrite(text.as_bytes(), &mut showing(visible)).unwrap();
        assert_eq!(filtered.replaced, Some(around(&others).into_bytes()), "{member}");
        assert_eq!(filtered.lists, vec![list], "{member}");
        for unreadable in [around("1"), around("{}"), around("").replace("[]", "{}")] {
            let mut filter = showing(visible);
            assert!(rewrite(unreadable.as_bytes(), &mut filter).is_err(), "{unreadable}");
        }
    }
}

/// What is left of a message where no request of `sampling` is permitted; `None`: nothing.
fn permitted(text: &str) -> Result<Option<String>, &'static str> {
    let permits = |method: &str| !method.starts_with("sampling/");
    let mut filter = By { shows: |_: Feature, name: &str| name != "h", permits: Some(permits) };
    let filtered = rewrite(text.as_bytes(), &mut filter).map_err(|unreadable| unreadable.reason)?;
    let left = filtered.replaced.map_or_else(|| text.to_owned(), |bytes| String::from_utf8(bytes).unwrap());
    Ok((!filtered.is_refused).then_some(left))
}

#[test]
fn requests_that_are_not_permitted_are_told_from_all_other_messages() {
    const REFUSED: &str = r#"{"id":1,"method":"sampling/createMessage"}"#;
    let list = r#"{"id":2,"result":{"tools":[{"name":"h"}]}}"#;
    let inputs = |method: &str| format!(r#"{{"id":2,"result":{{"inputRequests":{{"a":{{"method":"{method}"}}}}}}}}"#);
    for (text, left) in [
        (REFUSED, Ok(None)),
        (r#"{"\u006dethod":"s\u0061mpling/x","id":null}"#, Ok(None)),
        (r#"{"method":"sampling/x","ID":1}"#, Ok(None)),
        (r#"{"method":"sampling/x"}"#, Ok(Some(r#"{"method":"sampling/x"}"#))),
        (r#"{"id":1,"method":"roots/list"}"#, Ok(Some(r#"{"id":1,"method":"roots/list"}"#))),
        (r#"{"id":1,"result":{"method":"sampling/x"}}"#, Ok(Some(r#"{"id":1,"result":{"method":"sampling/x"}}"#))),
        (r#"{"id":1,"method":"roots/list","method":"sampling/x"}"#, Err(DOUBLED)),
        (r#"{"id":1,"Method":"sampling/x"}"#, Err(DOUBLED)),
        (&format!("[{REFUSED}, {REFUSED}]"), Ok(None)),
        ("[]", Ok(Some("[]"))),
        (&format!("[{REFUSED}, {list} ,{REFUSED}]"), Ok(Some(r#"[ {"id":2,"result":{"tools":[]}} ]"#))),
        (r#"[1,{"id":1,"method":"sampling/x","result":{"tools":[{"name":"h"}]}},2]"#, Ok(Some("[1,2]"))),
        (&inputs("roots/list"), Ok(Some(&inputs("roots/list")))),
        (&inputs("sampling/x"), Err("it makes a request that is not permitted by policy")),
        (&inputs("sampling/x").replace("inputR", "inputr"), Err("it makes a request that is not permitted by policy")),
        (&inputs("roots/list").replace("inputR", "inputr"), Err(DOUBLED)),
        (&inputs(r#"a","Method":"sampling/x"#), Err(DOUBLED)),
    ] {
        assert_eq!(permitted(text), left.map(|left| left.map(str::to_owned)), "{text}");
    }
}

#[test]
fn what_is_listed_is_read_to_its_end_however_many_members_it_has() {
    let fillers: Vec<String> = (0..100).map(|index| format!("\"m{index}\":0")).collect();
    let list = |tool: &str| format!("{{\"result\":{{\"tools\":[{tool}]}}}}");
    let honest = list(&format!("{{{},\"name\":\"a\"}}", fillers.join(",")));
    assert_eq!(rewritten(&honest), Ok(honest.clone()));
    let doubled = list(&format!("{{\"name\":\"a\",{},\"name\":\"h\"}}", fillers.join(",")));
    assert!(rewritten(&doubled).is_err());
}
