//! The console: the page on which a person approves calls, sees what was decided, and tries policies.

use super::{Reply, reply};
use std::borrow::Cow;

/// One of its files, as it is served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    path: &'static str,
    content_type: &'static str,
    /// How `body` is compressed, if it is.
    encoding: Option<&'static str>,
    body: &'static [u8],
}

macro_rules! script {
    ($name:literal) => {
        Page::text(concat!("/", $name), "text/javascript; charset=utf-8", include_str!(concat!("console/", $name)))
    };
}

static PAGES: &[Page] = &[
    Page::text("/", "text/html; charset=utf-8", include_str!("console/index.html")),
    Page::text("/console.css", "text/css; charset=utf-8", include_str!("console/console.css")),
    Page::text("/playground.css", "text/css; charset=utf-8", include_str!("console/playground.css")),
    script!("approvals.js"),
    script!("builder.js"),
    script!("choices.js"),
    script!("console.js"),
    script!("decision.js"),
    script!("draft.js"),
    script!("editor.js"),
    script!("edits.js"),
    script!("elements.js"),
    script!("engine.js"),
    script!("examples.js"),
    script!("gateway.js"),
    script!("playground.js"),
    script!("recent.js"),
    script!("risk.js"),
    script!("texts.js"),
    script!("times.js"),
    script!("tree.js"),
    // Compressed once, when it is built: it is most of what the page loads, and every browser can read it so.
    Page {
        path: "/playground.wasm",
        content_type: "application/wasm",
        encoding: Some("gzip"),
        body: include_bytes!(concat!(env!("OUT_DIR"), "/playground.wasm.gz")),
    },
];

impl Page {
    const fn text(path: &'static str, content_type: &'static str, text: &'static str) -> Self {
        Self { path, content_type, encoding: None, body: text.as_bytes() }
    }

    pub(super) fn reply(&self) -> Reply {
        let mut reply = reply(200, self.content_type, self.body.to_vec());
        reply.headers.extend(self.encoding.map(|encoding| ("content-encoding", Cow::Borrowed(encoding))));
        reply
    }
}

/// A build without the playground's engine has an empty file, and serves none.
pub(super) fn page(path: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.path == path && !page.body.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_file_says_so_and_an_empty_one_is_not_there() {
        let of = |name: &str, reply: &Reply| {
            let value = reply.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone().into_owned());
            value.unwrap_or_default()
        };
        let engine = Page { path: "/x", content_type: "application/wasm", encoding: Some("gzip"), body: b"x" }.reply();
        assert_eq!(
            (of("content-type", &engine), of("content-encoding", &engine)),
            ("application/wasm".into(), "gzip".into())
        );
        let script = page("/console.js").unwrap().reply();
        assert_eq!((of("content-encoding", &script), script.body.is_empty()), (String::new(), false));
        let engine = PAGES.iter().find(|page| page.path == "/playground.wasm").unwrap();
        assert_eq!(page("/playground.wasm").is_some(), !engine.body.is_empty());
    }
}
