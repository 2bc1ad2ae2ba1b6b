//! The console: the page on which a person approves calls, sees what was decided, and tries policies.

/// One of its files, as it is served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    path: &'static str,
    pub(super) content_type: &'static str,
    /// How `body` is compressed, if it is.
    pub(super) encoding: Option<&'static str>,
    pub(super) body: &'static [u8],
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
}

/// A build without the playground's engine has an empty file, and serves none.
pub(super) fn page(path: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.path == path && !page.body.is_empty())
}
