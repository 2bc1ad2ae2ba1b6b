use super::*;

/// What is answered to this request.
fn ask(request: &serde_json::Value) -> serde_json::Value {
    serde_json::from_str(&answer(&request.to_string())).unwrap()
}

#[test]
fn a_call_is_decided_as_the_policy_says() {
    let policy = r#"{"version":"1","default":"deny","tools":{"a":{}}}"#;
    let answer = ask(&serde_json::json!({ "policy": policy, "calls": [r#"{"tool":"b"}"#] }));
    assert_eq!(answer["decisions"][0]["rule"], "(default deny)");
}
