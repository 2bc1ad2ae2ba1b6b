//! Tool-name patterns: `*` is any run of characters, `?` exactly one; case-sensitive, the whole name.

/// A name or a pattern, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    /// Characters that stand for themselves; more of them win.
    literals: usize,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        let literals = text.chars().filter(|character| !is_wildcard(*character)).count();
        Self { text: text.to_owned(), literals }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is a plain name.
    pub(super) fn is_exact(&self) -> bool {
        !self.text.contains(is_wildcard)
    }

    /// What every name that fits begins with and ends with.
    pub(super) fn ends(&self) -> (&str, &str) {
        let prefix = self.text.split(is_wildcard).next().unwrap_or_default();
        let suffix = self.text.rsplit(is_wildcard).next().unwrap_or_default();
        (prefix, suffix)
    }

    /// The order in which patterns are tried: most literal characters first, then by bytes.
    pub(super) fn precedence(&self) -> impl Ord + use<> {
        (std::cmp::Reverse(self.literals), self.text.clone())
    }

    /// Whether every name that `other` stands for surely fits.
    pub(super) fn covers(&self, other: &Self) -> bool {
        // Read as a name, a wildcard of `other` fits only a wildcard here; `?` is too narrow for what `*` is.
        let is_wide = !self.text.contains('?') || !other.text.contains('*');
        is_wide && self.matches(&other.text)
    }

    /// Whether the whole of `name` fits. At most `name` × pattern steps, without backtracking stacks.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let (mut pattern, mut rest) = (self.text.chars(), name.chars());
        // Where to go on after the last `*`: the pattern behind it, and the first name not yet tried there.
        let mut star: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
        loop {
            let before_name = rest.clone();
            match (pattern.next(), rest.next()) {
                (Some('*'), _) => {
                    rest = before_name.clone();
                    star = Some((pattern.clone(), before_name));
                }
                (None, None) => return true,
                (Some('?'), Some(_)) => {}
                (Some(wanted), Some(found)) if wanted == found => {}
                _ => {
                    let Some((after_star, mut from)) = star.take() else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    (pattern, rest) = (after_star.clone(), from.clone());
                    star = Some((after_star, from));
                }
            }
        }
    }
}

fn is_wildcard(character: char) -> bool {
    matches!(character, '*' | '?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_match() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "A", false),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "anything", true),
            ("get_*", "get_", true),
            ("get_*", "get_user", true),
            ("get_*", "forget_user", false),
            ("*_user", "get_user_user", true),
            ("a*b*c", "a1b2bc", true),
            ("a*b*c", "a1b2b", false),
            ("?", "é", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("**a**", "bab", true),
            ("delete_*", "delete_😀", true),
            ("*?", "", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_hostile_pair_is_judged_in_bounded_time() {
        let pattern = Pattern::new(&format!("{}b", "a*".repeat(200)));
        assert!(!pattern.matches(&"a".repeat(5000)));
    }

    #[test]
    fn more_literal_characters_come_first_then_byte_order() {
        let mut patterns: Vec<Pattern> = ["*", "get_*", "?et_*", "get_user_*", "a*b", "b*a"].map(Pattern::new).into();
        patterns.sort_by_key(Pattern::precedence);
        let order: Vec<&str> = patterns.iter().map(Pattern::as_str).collect();
        assert_eq!(order, ["get_user_*", "get_*", "?et_*", "a*b", "b*a", "*"]);
    }
}
