//! What the proxy knows of a request beside its body, asked for only when a rule or a grant reads it.

use super::number::Decimal;
use crate::wire::value::Value;

/// Answered by the host. Whatever it returns was verified by the proxy, or is the client's word where the
/// path says so (`header.`).
pub trait Facts {
    /// The value of the request header `name`, in lower case.
    ///
    /// # Errors
    /// When it is doubled or no text: nobody can say what the server would read.
    fn header(&self, name: &str) -> Result<Option<String>, Unclear>;

    /// A claim of the JWT that the proxy verified, by the parts of its path.
    ///
    /// # Errors
    /// When the proxy does not say whether there is one.
    fn claim(&self, path: &[String]) -> Result<Option<Claim>, Unclear>;

    /// The first URI among the subject alternative names of the client's certificate, as the proxy verified it.
    ///
    /// # Errors
    /// When the proxy does not say whether there is one.
    fn peer_san(&self) -> Result<Option<String>, Unclear>;
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

impl Claim {
    /// Whether it is `operand`, a string, number or boolean, and of its type. Nothing is converted: who names a
    /// caller knows what the claim is.
    #[must_use]
    pub fn is_exactly(&self, operand: &Value) -> bool {
        match operand {
            Value::String(text) => self.text.as_ref() == Some(text),
            Value::Number(digits) => {
                let number = self.number.as_deref().and_then(Decimal::parse);
                number.is_some() && number == Decimal::parse(digits)
            }
            Value::Bool(truth) => self.boolean == Some(*truth),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }

    /// Whether `word` is an element of the list that it is, or one of its words where it is a text with spaces between
    /// them, like OAuth's `scope`. A part of a word is not enough: `not-admin` does not list `admin`.
    #[must_use]
    pub fn lists(&self, word: &str) -> bool {
        let in_list = self.list.iter().flatten().any(|element| element == word);
        in_list || self.text.as_ref().is_some_and(|text| text == word || text.split(' ').any(|part| part == word))
    }
}

/// A host that knows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFacts;

impl Facts for NoFacts {
    fn header(&self, _name: &str) -> Result<Option<String>, Unclear> {
        Ok(None)
    }

    fn claim(&self, _path: &[String]) -> Result<Option<Claim>, Unclear> {
        Ok(None)
    }

    fn peer_san(&self) -> Result<Option<String>, Unclear> {
        Ok(None)
    }
}
