//! The console: the page on which a person approves calls, and sees what was decided.

/// One of its files, as it is served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) text: &'static str,
}

static PAGES: [Page; 3] = [
    Page { path: "/", content_type: "text/html; charset=utf-8", text: include_str!("console/index.html") },
    Page { path: "/console.css", content_type: "text/css; charset=utf-8", text: include_str!("console/console.css") },
    Page {
        path: "/console.js",
        content_type: "text/javascript; charset=utf-8",
        text: include_str!("console/console.js"),
    },
];

pub(super) fn page(path: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.path == path)
}
