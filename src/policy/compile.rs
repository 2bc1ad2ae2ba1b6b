//! Compile once: a document becomes a [`Policy`] that a decision only reads, or every problem it has.

use super::document::{Action, Default, Document};
use super::limit::Limit;
use super::pattern::Pattern;
use super::problem::{Pointer, Problems};
use crate::wire::value::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// One policy, ready to decide.
#[derive(Debug)]
pub struct Policy {
    name: String,
    version: String,
    pub(super) default: Default,
    pub(super) hide: Names<()>,
    pub(super) hide_unlisted: bool,
    pub(super) all_limits: Vec<Limit>,
    pub(super) tools: Names<Entry>,
}

/// What applies to one tool.
#[derive(Debug)]
pub(super) struct Entry {
    /// `action: deny`: rule and message, where the author gave one.
    pub(super) deny: Option<(String, Option<String>)>,
    pub(super) limits: Vec<Limit>,
}

/// What names and patterns stand for; an exact name beats every pattern.
#[derive(Debug)]
pub(super) struct Names<T> {
    exact: BTreeMap<String, T>,
    /// In order of precedence.
    patterns: Vec<(Pattern, T)>,
}

impl<T> Names<T> {
    fn new(entries: impl IntoIterator<Item = (Pattern, T)>) -> Self {
        let (mut exact, mut patterns) = (BTreeMap::new(), Vec::new());
        for (pattern, entry) in entries {
            if pattern.is_exact() {
                exact.insert(pattern.as_str().to_owned(), entry);
            } else {
                patterns.push((pattern, entry));
            }
        }
        patterns.sort_by_cached_key(|(pattern, _)| pattern.precedence());
        Self { exact, patterns }
    }

    /// The one entry that applies to `name`.
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        let pattern = || self.patterns.iter().find(|(pattern, _)| pattern.matches(name));
        self.exact.get(name).or_else(|| pattern().map(|(_, entry)| entry))
    }
}

impl Policy {
    /// Compiles the document `value` that stands at `at`, for the counters of `name`.
    pub fn compile(name: &str, value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Self> {
        let mut found = Problems::default();
        let document = Document::read(value, at, &mut found);
        let is_sound = found.is_empty();
        problems.append(found);
        let document = document.filter(|_| is_sound)?;
        let limits = |list: &[super::document::Limit]| list.iter().map(|limit| Limit::new(name, at, limit)).collect();
        // The place of a policy within a configuration is no part of its rules' names.
        let entries = document.tools.iter().map(|(pattern, entry)| {
            let deny = (entry.action == Action::Deny)
                .then(|| (entry.at.within(at).child("action").as_str().to_owned(), entry.reason.clone()));
            (pattern.clone(), Entry { deny, limits: limits(&entry.limits) })
        });
        Some(Self {
            name: name.to_owned(),
            version: version_of(value),
            default: document.default,
            hide: Names::new(document.hide.iter().map(|pattern| (pattern.clone(), ()))),
            hide_unlisted: document.hide_unlisted,
            all_limits: limits(&document.all_tools),
            tools: Names::new(entries),
        })
    }

    /// Compiles a document that stands alone.
    ///
    /// # Errors
    /// Every problem of the document.
    pub fn load(name: &str, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let policy = match Value::parse(text) {
            Ok(value) => Self::compile(name, &value, &Pointer::root(), &mut problems),
            Err(error) => {
                problems.add(&Pointer::root(), error.to_string());
                None
            }
        };
        policy.ok_or(problems)
    }

    /// The name that its counters belong to.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first 12 hex digits of the SHA-256 of the document written without blanks.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

fn version_of(value: &Value) -> String {
    let digest = Sha256::digest(value.compact());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
