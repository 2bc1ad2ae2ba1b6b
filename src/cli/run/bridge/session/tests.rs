//! What goes where, without a process.

use super::*;

const LIST: &str = r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#;

/// A session, and what its server would read.
fn session(is_shared: bool) -> (Arc<Session>, mpsc::Receiver<Waiting>) {
    let ((input, messages), (end, _)) = (mpsc::channel(16), watch::channel(End::No));
    (Arc::new(Session::new(is_shared, input, end)), messages)
}

fn ask(session: &Arc<Session>, text: &str) -> Asked {
    session.ask(&Message::parse(text).unwrap(), true).unwrap()
}

fn progress(token: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1.50}}}}"#
    )
}

fn call(id: &str, token: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"_meta":{{"progressToken":{token}}}}}}}"#)
}

/// All that has come for it, with `=` before an answer.
fn got(asked: &mut Asked) -> Vec<String> {
    std::iter::from_fn(|| asked.events.try_recv().ok())
        .map(|event| match event {
            Event::Message(message) => message.text,
            Event::Answer { text, .. } => format!("={text}"),
        })
        .collect()
}

fn lines(stream: &mut mpsc::Receiver<Waiting>) -> Vec<String> {
    std::iter::from_fn(|| stream.try_recv().ok()).map(|message| message.text).collect()
}

#[test]
fn a_session_passes_everything_as_it_is() {
    let (session, mut messages) = session(false);
    let mut asked = ask(&session, LIST);
    assert_eq!(lines(&mut messages), [LIST]);
    let answer = r#"{ "result": {"tools":[{"x":1.50}]}, "id":"a", "jsonrpc":"2.0" }"#;
    assert!(session.take(answer));
    assert_eq!(got(&mut asked), [format!("={answer}")]);
    assert!(!session.take("Listening on stdio"));
    // Nobody has asked that.
    assert!(session.take(r#"{"jsonrpc":"2.0","id":9,"result":{}}"#));
}

#[test]
fn one_id_is_under_way_once_in_a_session() {
    let (session, _messages) = session(false);
    let asked = ask(&session, LIST);
    assert!(session.ask(&Message::parse(LIST).unwrap(), true).is_err());
    drop(asked);
    ask(&session, LIST);
}

#[test]
fn clients_without_session_do_not_mix() {
    let (session, mut messages) = session(true);
    let (mut first, mut second) = (ask(&session, &call("1", "\"t\"")), ask(&session, &call("1", "\"t\"")));
    assert_eq!(lines(&mut messages), [call("1", "1"), call("2", "2")]);
    session.take(&progress("2"));
    session.take(r#"{"jsonrpc":"2.0","id":2.0,"result":{"of":"the second"}}"#);
    session.take(r#"{"jsonrpc":"2.0","id":1,"result":{"of":"the first"}}"#);
    assert_eq!(got(&mut first), [r#"={"jsonrpc":"2.0","id":1,"result":{"of":"the first"}}"#]);
    assert_eq!(
        got(&mut second),
        [progress("\"t\""), r#"={"jsonrpc":"2.0","id":1,"result":{"of":"the second"}}"#.to_owned()]
    );
}

#[test]
fn what_names_no_request_reaches_no_client_without_session() {
    let (session, mut messages) = session(true);
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"secret of one"}}"#;
    let (mut first, mut second) = (ask(&session, LIST), ask(&session, LIST));
    session.take(log);
    assert!(got(&mut first).is_empty() && got(&mut second).is_empty());
    // Nor the one that is left, which it may have been about before.
    drop(second);
    session.take(log);
    assert!(got(&mut first).is_empty());
    lines(&mut messages);
    // And nobody can be asked; the server does not wait for ever.
    session.take(r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#);
    let refusal = lines(&mut messages).concat();
    assert!(refusal.starts_with(r#"{"jsonrpc":"2.0","id":"q","error":{"code":-32601,"#), "{refusal}");
}

#[test]
fn a_subscription_is_named_as_its_client_named_it() {
    let (session, _messages) = session(true);
    let listen = r#"{"jsonrpc":"2.0","id":"sub","method":"subscriptions/listen"}"#;
    let (mut other, mut asked) = (ask(&session, LIST), ask(&session, listen));
    let changed = |id: &str| {
        let meta = format!(r#"{{"io.modelcontextprotocol/subscriptionId":{id}}}"#);
        format!(r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{{"_meta":{meta}}}}}"#)
    };
    session.take(&changed("2"));
    assert_eq!(got(&mut asked), [changed("\"sub\"")]);
    assert!(got(&mut other).is_empty());
}

#[test]
fn without_a_session_a_client_that_goes_cancels_and_within_one_it_does_not() {
    for (is_shared, expected) in [(true, 1), (false, 0)] {
        let (session, mut messages) = session(is_shared);
        let asked = ask(&session, LIST);
        lines(&mut messages);
        drop(asked);
        let sent = lines(&mut messages);
        assert_eq!(sent.len(), expected, "{sent:?}");
        assert!(
            sent.iter().all(|text| text.contains(r#""method":"notifications/cancelled","params":{"requestId":1,"#))
        );
    }
    // Nor does one that has its answer.
    let (session, mut messages) = session(true);
    let asked = ask(&session, LIST);
    session.take(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    lines(&mut messages);
    drop(asked);
    assert!(lines(&mut messages).is_empty());
}

#[test]
fn messages_of_a_session_go_to_its_stream_or_to_what_is_open() {
    let (session, _messages) = session(false);
    let note = |n: u8| format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"data":{n}}}}}"#);
    // Before anything is open, they wait.
    session.take(&note(1));
    let mut stream = session.listen();
    session.take(&note(2));
    assert_eq!(lines(&mut stream), [note(1), note(2)]);
    let mut asked = ask(&session, &call("7", "\"p\""));
    session.take(&note(3));
    session.take(&progress("\"p\""));
    assert_eq!(lines(&mut stream), [note(3)]);
    assert_eq!(got(&mut asked), [progress("\"p\"")]);
    drop(stream);
    session.take(&note(4));
    assert_eq!(got(&mut asked), [note(4)]);
    // One that reads no events gets none.
    drop(asked);
    let mut silent = session.ask(&Message::parse(LIST).unwrap(), false).unwrap();
    session.take(&note(5));
    assert!(got(&mut silent).is_empty());
    assert_eq!(lines(&mut session.listen()), [note(5)]);
}

#[test]
fn who_waits_is_told_of_the_end() {
    let (session, _messages) = session(false);
    let mut asked = ask(&session, LIST);
    let mut stream = session.listen();
    session.has_ended();
    let told = got(&mut asked).concat();
    assert!(told.starts_with(r#"={"jsonrpc":"2.0","id":"a","error":{"code":-32603,"#), "{told}");
    assert!(matches!(stream.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
    assert!(session.is_over());
    assert!(session.ask(&Message::parse(LIST).unwrap(), true).is_err());
}

#[test]
fn the_answer_comes_however_much_waits_before_it() {
    let (session, _messages) = session(false);
    let mut asked = ask(&session, &call("1", "\"p\""));
    for _ in 0..=MAX_WAITING {
        session.take(&progress("\"p\""));
    }
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    session.take(answer);
    let got = got(&mut asked);
    assert_eq!((got.len(), got.last()), (MAX_WAITING + 1, Some(&format!("={answer}"))));
}

#[test]
fn nothing_grows_without_bound() {
    let (session, _messages) = session(false);
    for _ in 0..=MAX_WAITING {
        session.take(r#"{"jsonrpc":"2.0","method":"notifications/message"}"#);
    }
    assert_eq!(lines(&mut session.listen()).len(), MAX_WAITING);
    // The server reads nothing here, so its input is full first.
    let mut asked: Vec<Asked> = Vec::new();
    let refused = (0..=MAX_PENDING).find_map(|id| {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        match session.ask(&Message::parse(&text).unwrap(), true) {
            Ok(one) => {
                asked.push(one);
                None
            }
            Err(why) => Some(why),
        }
    });
    assert_eq!(refused, Some("the server does not read its messages"));
}

/// A notification of so many mebibytes, which belongs to a request by the token 1 where `method` is progress.
fn large(method: &str, mebibytes: usize) -> String {
    let pad = "x".repeat(mebibytes << 20);
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/{method}","params":{{"progressToken":1,"pad":"{pad}"}}}}"#)
}

#[test]
fn a_server_that_does_not_read_is_not_sent_without_bound() {
    let (session, mut messages) = session(false);
    let text = large("x", 12);
    let tell = || session.tell(&Message::parse(&text).unwrap());
    assert_eq!([tell(), tell(), tell()], [Ok(()), Ok(()), Err("the server does not read its messages")]);
    // What it has read leaves room.
    assert_eq!(lines(&mut messages).len(), 2);
    assert_eq!(tell(), Ok(()));
}

#[test]
fn clients_that_do_not_read_are_not_told_without_bound() {
    let text = large("progress", 24);
    for is_shared in [false, true] {
        let (session, _messages) = session(is_shared);
        // Nobody listens for it, and it is forgotten first.
        session.take(&large("x", 24));
        let mut asked = ask(&session, &call("1", "1"));
        for _ in 0..3 {
            session.take(&text);
        }
        session.take(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        // The answer comes in any case.
        let lengths: Vec<usize> = got(&mut asked).iter().map(String::len).collect();
        assert_eq!(lengths, [text.len(), text.len(), 37], "{is_shared}");
        assert!(lines(&mut session.listen()).is_empty());
    }
}
