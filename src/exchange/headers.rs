//! Header lines as the host hands them over: every line, any bytes.

use crate::wire::pairs::{self, Pairs};
use std::rc::Rc;

/// All lines of one header map, names in lower case. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Headers(Rc<Pairs>);

/// One change of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderEdit {
    /// All lines of this name go.
    Remove(&'static str),
    /// One line of this name, with this value, stands for all.
    Set(&'static str, &'static str),
}

impl Headers {
    /// The lines, in order.
    #[must_use]
    pub fn new(lines: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self::encoded(pairs::encode(&lines)).unwrap_or_default()
    }

    /// The lines in the host's encoding; `None` where it is none.
    pub(crate) fn encoded(bytes: Vec<u8>) -> Option<Self> {
        Some(Self(Rc::new(Pairs::read(bytes)?)))
    }

    /// The first line's value.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// The value of the one line; `Err` when there are several.
    pub(super) fn only(&self, name: &str) -> Result<Option<&[u8]>, ()> {
        let mut values = self.values(name);
        let value = values.next();
        if values.next().is_some() { Err(()) } else { Ok(value) }
    }

    /// All lines' values.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> + Clone {
        self.0.iter().filter(move |(line, _)| *line == name.as_bytes()).map(|(_, value)| value)
    }
}
