//! What the proxy knows of a request beside its body, asked for only when a rule reads it.

/// Answered by the host. Whatever it returns was verified by the proxy, or is the client's word where the
/// path says so (`header.`).
pub trait Facts {
    /// The value of the request header `name`, in lower case.
    ///
    /// # Errors
    /// When it is doubled or no text: nobody can say what the server would read.
    fn header(&self, name: &str) -> Result<Option<String>, Unclear>;

    /// A claim of the JWT that the proxy verified, by the parts of its path.
    fn claim(&self, path: &[String]) -> Option<Claim>;
}

/// There is a value, and it has no single reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unclear;

/// A claim's value: every reading that fits, for a host may not tell its type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// As a string.
    pub text: Option<String>,
    /// As a number, in JSON's digits.
    pub number: Option<String>,
    /// As a boolean.
    pub boolean: Option<bool>,
    /// As a list of strings.
    pub list: Option<Vec<String>>,
}

/// A host that knows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFacts;

impl Facts for NoFacts {
    fn header(&self, _name: &str) -> Result<Option<String>, Unclear> {
        Ok(None)
    }

    fn claim(&self, _path: &[String]) -> Option<Claim> {
        None
    }
}
