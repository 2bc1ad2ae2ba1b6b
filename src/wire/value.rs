//! A JSON text as a tree, for documents that a person wrote: policies and plugin configurations.
//!
//! Members keep their order and their doubles, numbers their digits, so that the reader of a document
//! can report what stands there.

use super::json::{Error, Kind, Reader};
use super::reply::string;

/// One value of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The number's own digits.
    Number(String),
    /// Unescaped.
    String(String),
    /// In order.
    Array(Vec<Value>),
    /// In order, doubled names included.
    Object(Vec<(String, Value)>),
}

/// Why a document cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentError {
    /// It is not strict JSON.
    Json(Error),
    /// A string holds half of a surrogate pair, at this byte.
    NotText(usize),
}

impl DocumentError {
    /// The byte offset of the mistake, or where the string before it ends.
    #[must_use]
    pub fn position(self) -> usize {
        match self {
            Self::Json(error) => error.position(),
            Self::NotText(at) => at,
        }
    }
}

impl From<Error> for DocumentError {
    fn from(error: Error) -> Self {
        Self::Json(error)
    }
}

impl std::fmt::Display for DocumentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not JSON: {error}"),
            Self::NotText(at) => write!(f, "a string before byte {at} is not valid Unicode"),
        }
    }
}

impl Value {
    /// Whether it is an object with a member of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        matches!(self, Self::Object(members) if members.iter().any(|(own, _)| own == name))
    }

    /// Reads a whole document.
    ///
    /// # Errors
    /// When it is not one JSON text, or holds a string without characters.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let mut reader = Reader::new(text);
        let value = Self::read(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    /// The same text without blanks, escapes written one way: equal for two formattings of one document.
    #[must_use]
    pub fn compact(&self) -> String {
        let list = |parts: Vec<String>| parts.join(",");
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(digits) => digits.clone(),
            Self::String(text) => string(text),
            Self::Array(elements) => format!("[{}]", list(elements.iter().map(Self::compact).collect())),
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| format!("{}:{}", string(name), value.compact());
                format!("{{{}}}", list(members.iter().map(member).collect()))
            }
        }
    }

    /// Recursion is bounded by the reader's depth.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DocumentError> {
        Ok(match reader.kind()? {
            Kind::Object => {
                let mut members = Vec::new();
                reader.object::<DocumentError>(|reader, name| {
                    let name = name.decode().ok_or(DocumentError::NotText(reader.position()))?;
                    members.push((name.into_owned(), Self::read(reader)?));
                    Ok(())
                })?;
                Self::Object(members)
            }
            Kind::Array => {
                let mut elements = Vec::new();
                reader.array::<DocumentError>(|reader| {
                    elements.push(Self::read(reader)?);
                    Ok(())
                })?;
                Self::Array(elements)
            }
            Kind::String => {
                let text = reader.value()?.string().and_then(super::json::Text::decode);
                Self::String(text.ok_or(DocumentError::NotText(reader.position()))?.into_owned())
            }
            Kind::Number => Self::Number(reader.value()?.as_str().to_owned()),
            Kind::Bool => Self::Bool(reader.value()?.as_str() == "true"),
            Kind::Null => {
                reader.value()?;
                Self::Null
            }
        })
    }
}

/// As JSON, shortened past 60 characters: for "got ..." in a problem.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = match self {
            Self::Array(_) => "a list".to_owned(),
            Self::Object(_) => "an object".to_owned(),
            simple => simple.compact(),
        };
        if let Some((end, _)) = text.char_indices().nth(60) {
            text.truncate(end);
            text.push('…');
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_keeps_order_doubles_and_digits() {
        let value = Value::parse(r#"{"b":1.50,"a":[true,null,"\u00e9"],"b":{}}"#).unwrap();
        let Value::Object(members) = value else { panic!("an object") };
        let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "a", "b"]);
        assert_eq!(members[0].1, Value::Number("1.50".into()));
        assert_eq!(members[1].1, Value::Array(vec![Value::Bool(true), Value::Null, Value::String("é".into())]));
        assert!(Value::parse("{} {}").is_err());
        assert!(Value::parse(r#""\ud800""#).is_err());
    }
}
