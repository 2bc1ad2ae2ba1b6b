//! Reads one object of a document: its known members, and a problem for every other one.

use super::problem::{Pointer, Problems, did_you_mean};
use crate::wire::value::Value;
use std::collections::BTreeSet;

/// The members of one object that have not been read yet.
#[derive(Debug)]
pub struct Fields<'v> {
    at: Pointer,
    members: &'v [(String, Value)],
    known: Vec<&'static str>,
}

impl<'v> Fields<'v> {
    /// Opens `value`, the object at `at`; notes doubled members.
    pub fn of(value: &'v Value, at: &Pointer, problems: &mut Problems) -> Option<Self> {
        let Value::Object(members) = value else {
            problems.add(at, format!("must be an object, got {value}"));
            return None;
        };
        let mut seen = BTreeSet::new();
        for (name, _) in members {
            if !seen.insert(name.as_str()) {
                problems.add(&at.child(name), "member is given twice");
            }
        }
        Some(Self { at: at.clone(), members, known: Vec::new() })
    }

    /// The place of the object.
    #[must_use]
    pub fn at(&self) -> &Pointer {
        &self.at
    }

    /// The value of `name`, and its place.
    pub fn take(&mut self, name: &'static str) -> Option<(&'v Value, Pointer)> {
        self.known.push(name);
        let (_, value) = self.members.iter().find(|(member, _)| member == name)?;
        Some((value, self.at.child(name)))
    }

    /// Whether `name` is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(member, _)| member == name)
    }

    /// Whether `name` is there and a list.
    #[must_use]
    pub fn has_list(&self, name: &str) -> bool {
        self.members.iter().any(|(member, value)| member == name && matches!(value, Value::Array(_)))
    }

    /// Whether `name` is there and a list without elements.
    #[must_use]
    pub fn has_empty_list(&self, name: &str) -> bool {
        self.members
            .iter()
            .any(|(member, value)| member == name && matches!(value, Value::Array(list) if list.is_empty()))
    }

    /// Whether `name` is there and `true`.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        self.members.iter().any(|(member, value)| member == name && *value == Value::Bool(true))
    }

    /// Notes a problem when `name` is not there.
    pub fn require(&self, name: &'static str, problems: &mut Problems) {
        if !self.has(name) {
            problems.add(&self.at, format!("{name} is required"));
        }
    }

    /// A string.
    pub fn string(&mut self, name: &'static str, problems: &mut Problems) -> Option<&'v str> {
        let (value, at) = self.take(name)?;
        if let Value::String(text) = value {
            return Some(text);
        }
        problems.add(&at, format!("{name} must be a string, got {value}"));
        None
    }

    /// `true` or `false`.
    pub fn bool(&mut self, name: &'static str, problems: &mut Problems) -> Option<bool> {
        let (value, at) = self.take(name)?;
        if let Value::Bool(flag) = value {
            return Some(*flag);
        }
        problems.add(&at, format!("{name} must be true or false, got {value}"));
        None
    }

    /// A list's elements, each with its place.
    pub fn list(&mut self, name: &'static str, problems: &mut Problems) -> Vec<(&'v Value, Pointer)> {
        let Some((value, at)) = self.take(name) else { return Vec::new() };
        let Value::Array(elements) = value else {
            problems.add(&at, format!("{name} must be a list, got {value}"));
            return Vec::new();
        };
        elements.iter().enumerate().map(|(index, element)| (element, at.child(index))).collect()
    }

    /// An object's members, each with its place; doubled ones are a problem.
    pub fn map(&mut self, name: &'static str, problems: &mut Problems) -> Vec<(&'v str, &'v Value, Pointer)> {
        let Some((value, at)) = self.take(name) else { return Vec::new() };
        let Some(fields) = Fields::of(value, &at, problems) else { return Vec::new() };
        fields.members.iter().map(|(name, value)| (name.as_str(), value, at.child(name))).collect()
    }

    /// One of some words, and what it stands for.
    pub fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)], problems: &mut Problems) -> Option<T> {
        let (value, at) = self.take(name)?;
        let chosen = choices.iter().find(|(choice, _)| matches!(value, Value::String(text) if text == choice));
        if chosen.is_none() {
            let allowed: Vec<String> = choices.iter().map(|(choice, _)| format!("\"{choice}\"")).collect();
            let words: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            let hint = if let Value::String(text) = value { did_you_mean(text, &words) } else { String::new() };
            problems.add(&at, format!("{name} must be one of {}, got {value}{hint}", allowed.join(", ")));
        }
        chosen.map(|(_, chosen)| *chosen)
    }

    /// Notes every member that nobody asked for.
    pub fn finish(self, problems: &mut Problems) {
        for (name, _) in self.members {
            if !self.known.contains(&name.as_str()) {
                let hint = did_you_mean(name, &self.known);
                problems.add_unknown(&self.at, name, &hint);
            }
        }
    }
}
