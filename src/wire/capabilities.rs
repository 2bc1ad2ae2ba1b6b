//! What a client says that it can do, in each of its requests (MCP 2026-07-28, `_meta`).

use super::json::Raw;
use super::tree::Tree;

/// Where in `_meta` a client declares URL mode elicitation.
const PATH: [&str; 3] = ["io.modelcontextprotocol/clientCapabilities", "elicitation", "url"];

/// Whether the client shows its user an address that it is given. `meta`: `params._meta`.
#[must_use]
pub fn shows_addresses(meta: Raw<'_>) -> bool {
    let Ok(tree) = Tree::read(meta) else { return false };
    matches!(PATH.into_iter().try_fold(&tree, member), Some(Tree::Object(_)))
}

fn member<'t, 'a>(tree: &'t Tree<'a>, name: &str) -> Option<&'t Tree<'a>> {
    let Tree::Object(members) = tree else { return None };
    members.iter().find(|(own, _)| own == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::super::json::Reader;
    use super::*;

    #[test]
    fn only_what_is_said_counts() {
        let meta = |capabilities: &str| format!(r#"{{"a":1,"{}":{capabilities}}}"#, PATH[0]);
        let says = |text: &str| shows_addresses(Reader::new(text).value().unwrap());
        assert!(says(&meta(r#"{"elicitation":{"form":{},"url":{}}}"#)));
        for text in
            ["{}", r#"{"elicitation":{}}"#, r#"{"elicitation":{"url":null}}"#, r#"{"Elicitation":{"url":{}}}"#, "[]"]
        {
            assert!(!says(&meta(text)), "{text}");
        }
        assert!(!says("{}"));
    }
}
