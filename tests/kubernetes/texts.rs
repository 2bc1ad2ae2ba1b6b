//! Policies of any text arrive as they are, and write nothing beside themselves.

use super::{PLATFORMS, object, run, write};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn every_shipped_policy_arrives_as_it_is() {
    let policies = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")).expect("policies");
    let mut count = 0;
    for path in policies.map(|entry| entry.expect("an entry").path()) {
        let name = path.to_str().expect("UTF-8");
        if name.ends_with(".json") && !name.ends_with(".cases.json") {
            let text = std::fs::read_to_string(&path).expect("a file");
            // Two are about such numbers, and would come out with other ones.
            if text.contains("9007199254740993") {
                for (platform, _) in PLATFORMS {
                    assert_eq!(run(&[platform, &["--policy", name]].concat()).status.code(), Some(2), "{name}");
                }
                continue;
            }
            let policy: Value = serde_json::from_str(&text).expect("JSON");
            for (platform, place) in PLATFORMS {
                assert_eq!(object(platform, &["--policy", name]).pointer(place), Some(&policy), "{platform:?} {name}");
            }
            count += 1;
        }
    }
    assert!(count >= 3, "{count} policies");
}

#[test]
fn a_policy_cannot_write_another_object() {
    let reason = "\" ' : # | > - {{ }} [ \\ \t é 漢 🦀 \u{85}\u{2028}\n  failStrategy: FAIL_OPEN\n---\n%YAML\n<<: *a";
    let tools = json!({ "a": { "action": "deny", "reason": reason }, "pluginConfig:": {}, "<<": {}, "on": {} });
    let policy = json!({ "version": "1", "default": "deny", "tools": tools });
    let pretty = serde_json::to_string_pretty(&policy).expect("JSON");
    let escaped: String = pretty.chars().map(|c| if c.is_ascii() { c.to_string() } else { escapes(c) }).collect();
    let layouts = [
        ("one line", policy.to_string()),
        ("many lines", pretty.clone()),
        ("escapes", escaped),
        ("tabs", pretty.replace("\n  ", "\n\t\t")),
        ("carriage returns", pretty.replace('\n', "\r\n")),
        ("only carriage returns", pretty.replace('\n', "\r")),
        ("first line indented", format!("\n\n      {pretty}\n\n\n")),
        ("no indentation", pretty.lines().map(|line| format!("{}\n", line.trim_start())).collect()),
        ("colons apart", pretty.replace("\": ", "\"\n:\n")),
        ("empty lines", pretty.replace("{\n", "{\n\n\n")),
    ];
    for (name, text) in layouts {
        let path = write(&format!("kubernetes {name}.json"), &text);
        let whole = format!(r#"{{"policies": {{"p": {text}}}, "default_policy": "p"}}"#);
        let whole = write(&format!("kubernetes {name} whole.json"), &whole);
        let expected = json!({ "policies": { "p": policy }, "default_policy": "p" });
        for (platform, place) in PLATFORMS {
            let object = |option, path: &Path| object(platform, &[option, path.to_str().expect("UTF-8")]);
            assert_eq!(object("--policy", &path).pointer(place), Some(&policy), "{name} on {platform:?}");
            assert_eq!(object("--config", &whole).pointer(place), Some(&expected), "{name} on {platform:?}");
        }
    }
}

/// A character as JSON can always write it.
fn escapes(c: char) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// Texts of any characters, and whether each is written in escapes.
fn texts() -> impl Strategy<Value = Vec<(Vec<char>, bool)>> {
    vec((vec(any::<char>(), 0..30), any::<bool>()), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_arrives_as_it_is(texts in texts()) {
        let mut tools = String::new();
        let mut expected = json!({});
        for (at, (reason, is_escaped)) in texts.iter().enumerate() {
            let reason = reason.iter().collect::<String>();
            let literal = match is_escaped {
                true => format!("\"{}\"", reason.chars().map(escapes).collect::<String>()),
                false => serde_json::to_string(&reason).expect("JSON"),
            };
            let comma = if at == 0 { "" } else { "," };
            tools += &format!(r#"{comma}"t{at}":{{"action":"deny","reason":{literal}}}"#);
            expected[format!("t{at}")] = json!({ "action": "deny", "reason": reason });
        }
        let policy = format!(r#"{{"version":"1","default":"allow","tools":{{{tools}}}}}"#);
        let path = write("kubernetes any text.json", &policy);
        for (platform, place) in PLATFORMS {
            let object = object(platform, &["--policy", path.to_str().expect("UTF-8")]);
            prop_assert_eq!(&object.pointer(place).expect("a configuration")["tools"], &expected);
        }
    }
}
