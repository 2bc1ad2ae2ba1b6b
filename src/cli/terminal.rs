//! Texts of servers and callers, on a terminal.

/// `text` without what would act on a terminal, or stand there unseen.
pub(super) fn plain(text: &str) -> String {
    let is_unseen = |character: char| matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_unseen(character) {
            plain.extend(character.escape_unicode());
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn nothing_acts_or_hides() {
        assert_eq!(plain("get_user's \"é\""), "get_user's \"é\"");
        assert_eq!(plain("a\u{1b}[2Jb\n\u{202e}c\u{200b}"), "a\\u{1b}[2Jb\\u{a}\\u{202e}c\\u{200b}");
    }
}
