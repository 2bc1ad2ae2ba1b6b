//! The cookbook shows the policies as they are: no snippet of `docs/cookbook.md` differs from its tested file.
#![cfg(not(target_arch = "wasm32"))]
// A test is a host: it may read files, and what it finds missing ends it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

use std::path::Path;

const COOKBOOK: &str = include_str!("../docs/cookbook.md");
const RECIPES: usize = 17;

fn policy(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_recipe_is_its_file() {
    let recipes: Vec<&str> = COOKBOOK.split("\n## ").skip(1).collect();
    assert_eq!(recipes.len(), RECIPES);
    for recipe in recipes {
        let (title, rest) = recipe.split_once('\n').expect("a title");
        let (_, link) = rest.split_once("[`policies/").expect(title);
        let (name, rest) = link.split_once("`](../policies/").expect(title);
        assert!(rest.starts_with(&format!("{name})\n")), "{title}: the link leads to another file");
        let (_, snippet) = rest.split_once("```json\n").expect(title);
        let (snippet, _) = snippet.split_once("```\n").expect(title);
        assert_eq!(snippet, policy(name), "{title}");
        assert!(COOKBOOK.contains(&format!("| [{title}](#")), "{title} is not in the table");
        assert!(COOKBOOK.contains(&format!("[`{name}`](../policies/{name}) |")), "{name} is not in the table");
    }
}

/// Each recipe's cases show a call that goes on and one that does not.
#[test]
fn every_recipe_is_shown_at_work() {
    for recipe in COOKBOOK.split("\n[`policies/").skip(1) {
        let (name, _) = recipe.split_once(".json`").expect("a file");
        let cases = policy(&format!("{name}.cases.json"));
        for outcome in [r#""expect": "allowed""#, r#""expect": "denied""#] {
            assert!(cases.contains(outcome), "{name} has no case with {outcome}");
        }
        assert!(cases.matches("\"name\": ").count() >= 5, "{name} has too few cases");
    }
}
