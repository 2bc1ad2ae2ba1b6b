//! `content-type` values, as far as MCP over HTTP needs them (RFC 9110 §8.3).

const JSON: &[u8] = b"application/json";
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// What a body claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`
    Json,
    /// `text/event-stream`
    EventStream,
    /// No usable claim.
    Absent,
    /// Anything else.
    Other,
}

impl MediaType {
    /// Reads a response's value; only the type counts, in any case. A value that names `text/event-stream`
    /// anywhere is one: some clients look no closer.
    #[must_use]
    pub fn of_response(value: Option<&[u8]>) -> Self {
        if value.is_some_and(|value| names(value, EVENT_STREAM)) {
            return Self::EventStream;
        }
        let Some(essence) = value.and_then(|value| value.split(|byte| *byte == b';').next()) else {
            return Self::Absent;
        };
        let essence = essence.trim_ascii();
        if essence.is_empty() {
            Self::Absent
        } else if essence.eq_ignore_ascii_case(JSON) {
            Self::Json
        } else {
            Self::Other
        }
    }
}

/// Whether clients may differ in what a response with these lines is: they take the first or the last, or look for
/// one of the types anywhere.
#[must_use]
pub fn is_ambiguous<'v>(mut lines: impl Iterator<Item = &'v [u8]> + Clone) -> bool {
    let first = MediaType::of_response(lines.clone().next());
    lines.any(|line| MediaType::of_response(Some(line)) != first || names(line, EVENT_STREAM) && names(line, JSON))
}

fn names(value: &[u8], media_type: &[u8]) -> bool {
    value.windows(media_type.len()).any(|part| part.eq_ignore_ascii_case(media_type))
}

/// Whether a request's value is exactly `application/json`, any case, with no parameter but
/// `charset=utf-8`. Servers pick decoders by the rest, so the rest is refused.
#[must_use]
pub fn is_json_request(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let essence = parts.next().unwrap_or_default();
    let charset = |part: &[u8]| {
        part.is_empty()
            || part.eq_ignore_ascii_case(b"charset=utf-8")
            || part.eq_ignore_ascii_case(b"charset=\"utf-8\"")
    };
    essence.eq_ignore_ascii_case(JSON) && parts.all(charset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_json_in_utf_8_or_nothing() {
        for (value, accepted) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json;", true),
            ("application/json; charset=utf-16", false),
            ("application/json; profile=x", false),
            ("application/json, text/plain", false),
            ("application/json,application/json", false),
            ("application/vnd.api+json", false),
            ("application/jsonx", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json_request(value.as_bytes()), accepted, "{value}");
        }
        assert!(!is_json_request(b"application/json\xFF"));
    }

    #[test]
    fn responses_are_told_by_their_type_alone() {
        for (value, expected) in [
            (None, MediaType::Absent),
            (Some(""), MediaType::Absent),
            (Some("application/json; charset=x"), MediaType::Json),
            (Some("TEXT/EVENT-STREAM"), MediaType::EventStream),
            (Some("text/event-stream; charset=x"), MediaType::EventStream),
            (Some("text/event-stream,text/event-stream"), MediaType::EventStream),
            (Some("text/event-streams"), MediaType::EventStream),
            (Some("text/html"), MediaType::Other),
        ] {
            assert_eq!(MediaType::of_response(value.map(str::as_bytes)), expected, "{value:?}");
        }
    }

    #[test]
    fn a_response_of_two_types_is_ambiguous() {
        for (lines, expected) in [
            (&[][..], false),
            (&["application/json"], false),
            (&["application/json", "Application/JSON; charset=utf-8"], false),
            (&["text/event-stream, text/event-stream"], false),
            (&["text/event-stream", "application/json"], true),
            (&["application/json", "text/event-stream"], true),
            (&["text/event-stream, application/json"], true),
            (&["text/html", "application/json"], true),
        ] {
            assert_eq!(is_ambiguous(lines.iter().map(|line| line.as_bytes())), expected, "{lines:?}");
        }
    }
}
