//! Text → words: lower-case, without accents, cut as names of tools and sentences are.

use std::cmp::Ordering;

/// A list of words, with a blank between each two. In one piece it takes less room in the engine that a page loads.
macro_rules! words {
    ($first:literal $(, $word:literal)* $(,)?) => { concat!($first $(, " ", $word)*) };
}
pub(super) use words;

/// Whether `word` is in `list`, which is made by [`words!`] and sorted.
pub(super) fn is_in(list: &str, word: &str) -> bool {
    let list = list.as_bytes();
    let is_blank = |byte: &u8| *byte == b' ';
    let (mut from, mut to) = (0, list.len());
    while from < to {
        // The word that is in the middle, or before the blank that is.
        let middle = from + (to - from) / 2;
        let before = list.get(from..middle).unwrap_or_default();
        let start = before.iter().rposition(is_blank).map_or(from, |at| from + at + 1);
        let behind = list.get(middle..to).unwrap_or_default();
        let end = behind.iter().position(is_blank).map_or(to, |at| middle + at);
        match list.get(start..end).unwrap_or_default().cmp(word.as_bytes()) {
            Ordering::Equal => return true,
            Ordering::Less => from = end + 1,
            Ordering::Greater => to = start.saturating_sub(1),
        }
    }
    false
}

/// The words of a name in camelCase, PascalCase, snake_case, kebab-case or with dots, colons or slashes. Digits stay
/// with the letters before them (`d1`, `k8s`). What clients put before a name, `mcp__server__`, is left out.
pub(super) fn of_name(name: &str) -> Vec<String> {
    let bare = name.strip_prefix("mcp__").and_then(|rest| rest.split_once("__")).map_or(name, |(_, tool)| tool);
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before: Option<char> = None;
    let mut characters = bare.chars().filter(|character| !is_unseen(*character)).peekable();
    while let Some(character) = characters.next() {
        let ends_acronym = before.is_some_and(char::is_uppercase)
            && characters.peek().is_some_and(|next| next.is_lowercase())
            // The plural of an acronym: `URLs`.
            && !matches!(characters.peek(), Some('s'));
        let is_hump = character.is_uppercase()
            && (before.is_some_and(|before| before.is_lowercase() || before.is_numeric()) || ends_acronym);
        if is_hump || !character.is_alphanumeric() {
            finish(&mut word, &mut words);
        }
        if character.is_alphanumeric() {
            fold(character, &mut word);
        }
        before = Some(character);
    }
    finish(&mut word, &mut words);
    words
}

/// The words of the first sentence. What joins or lists (`,` `/` `&` `+` `:` brackets and dashes) becomes [`AND`].
pub(super) fn of_sentence(text: &str) -> Vec<String> {
    of_text(text, true)
}

/// The words of a whole text, without what joins them.
pub(super) fn of_all(text: &str) -> Vec<String> {
    of_text(text, false).into_iter().filter(|word| word != AND).collect()
}

/// What a comma and its like become.
pub(super) const AND: &str = "and";

fn of_text(text: &str, is_one_sentence: bool) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = text.trim_start().chars().filter(|character| !is_unseen(*character)).peekable();
    while let Some(character) = characters.next() {
        let is_before_blank = characters.peek().is_none_or(|next| next.is_whitespace());
        match character {
            '-' | '\'' | '’' | '_' if !word.is_empty() && !is_before_blank => word.push(character),
            ',' | '/' | '&' | '+' | ':' | '(' | ')' | '[' | ']' | '-' | '–' | '—' => {
                finish(&mut word, &mut words);
                if !words.is_empty() {
                    words.push(AND.to_owned());
                }
            }
            '。' | '！' => end(&mut word, &mut words, is_one_sentence),
            '.' | '!' | '?' | ';' if is_before_blank => end(&mut word, &mut words, is_one_sentence),
            '\n' if characters.peek() == Some(&'\n') => end(&mut word, &mut words, is_one_sentence),
            letter if letter.is_alphanumeric() => fold(letter, &mut word),
            _ => finish(&mut word, &mut words),
        }
        if is_one_sentence && words.last().is_some_and(String::is_empty) {
            words.pop();
            return words;
        }
    }
    finish(&mut word, &mut words);
    words
}

/// The end of a sentence: an empty word, if that is where reading stops and anything was read.
fn end(word: &mut String, words: &mut Vec<String>, is_one_sentence: bool) {
    finish(word, words);
    if is_one_sentence && !words.is_empty() {
        words.push(String::new());
    }
}

fn finish(word: &mut String, words: &mut Vec<String>) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// Characters that nobody sees: they join what is around them.
fn is_unseen(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{300}'..='\u{36f}')
}

/// Lower case, and Latin letters without their accents; full-width forms as plain ones.
fn fold(character: char, into: &mut String) {
    let plain = match character {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32((character as u32).saturating_sub(0xfee0))
            .map_or(character, |wide| wide.to_ascii_lowercase()),
        other => other,
    };
    match small(plain) {
        'à'..='å' | 'ā' | 'ă' | 'ą' => into.push('a'),
        'ç' | 'ć' | 'č' => into.push('c'),
        'ď' | 'đ' => into.push('d'),
        'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' => into.push('e'),
        'ğ' => into.push('g'),
        'ì'..='ï' | 'ī' | 'į' => into.push('i'),
        'ł' | 'ľ' | 'ĺ' => into.push('l'),
        'ñ' | 'ń' | 'ň' => into.push('n'),
        'ò'..='ö' | 'ø' | 'ō' | 'ő' => into.push('o'),
        'ŕ' | 'ř' => into.push('r'),
        'ś' | 'š' | 'ş' | 'ș' => into.push('s'),
        'ť' | 'ţ' | 'ț' => into.push('t'),
        'ù'..='ü' | 'ū' | 'ů' | 'ű' | 'ų' => into.push('u'),
        'ý' | 'ÿ' => into.push('y'),
        'ź' | 'ż' | 'ž' => into.push('z'),
        'ß' => into.push_str("ss"),
        'æ' => into.push_str("ae"),
        'œ' => into.push_str("oe"),
        other => into.push(other),
    }
}

/// The small letter of a capital one in the scripts that the lists have words in. For all scripts the standard library
/// needs a table as long as the lists.
fn small(letter: char) -> char {
    let behind = match letter {
        'İ' => return 'i',
        'Ÿ' => return 'ÿ',
        'A'..='Z' | 'À'..='Ö' | 'Ø'..='Þ' | 'А'..='Я' => 0x20,
        'Ѐ'..='Џ' => 0x50,
        // Each small letter behind its capital.
        'Ā'..='ķ' | 'Ŋ'..='ŷ' | 'Ș'..='ț' => 1 - (letter as u32 & 1),
        'Ĺ'..='ň' | 'Ź'..='ž' => letter as u32 & 1,
        _ => 0,
    };
    char::from_u32(letter as u32 + behind).unwrap_or(letter)
}

/// What `word` may be an inflection of, itself first: `deletes`, `copies`, `running`, `deleting`.
pub(super) fn stems(word: &str) -> impl Iterator<Item = String> + use<> {
    let mut stems = vec![word.to_owned()];
    let mut cut = |ending: &str, instead: &str| {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.chars().count() >= 2
        {
            stems.push(format!("{stem}{instead}"));
        }
    };
    cut("ies", "y");
    cut("es", "");
    cut("s", "");
    cut("ing", "");
    cut("ing", "e");
    // `running`, `getting`: the doubled letter.
    if let Some(stem) = word.strip_suffix("ing") {
        let mut letters = stem.chars();
        if let (Some(last), Some(before)) = (letters.next_back(), stem.chars().rev().nth(1))
            && last == before
        {
            stems.push(letters.as_str().to_owned());
        }
    }
    stems.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_a_list_is_in_it_and_no_other() {
        let list = words!["a", "ab", "abc", "b", "удалить", "删除"];
        let known: Vec<&str> = list.split(' ').collect();
        assert!(known.iter().all(|word| is_in(list, word)), "{known:?}");
        for word in ["", " ", "a ab", "aa", "abcd", "c", "у", "удалить ", "除", "龜"] {
            assert!(!is_in(list, word), "{word}");
        }
        assert!(is_in("one", "one") && !is_in("one", "on") && !is_in("", "a"));
    }

    #[test]
    fn small_letters_are_those_of_their_scripts() {
        let scripts = ['\0'..='\u{17f}', 'Ș'..='ț', 'Ѐ'..='џ'];
        for letter in scripts.into_iter().flatten() {
            assert_eq!(letter.to_lowercase().next(), Some(small(letter)), "{letter}");
        }
        assert_eq!(small('删'), '删');
    }

    #[test]
    fn names_are_cut_as_they_are_written() {
        for (name, expected) in [
            ("getUser", "get user"),
            ("ListS3Buckets", "list s3 buckets"),
            ("getHTTPServer", "get http server"),
            ("listURLs", "list urls"),
            ("d1_database_delete", "d1 database delete"),
            ("repo.files.delete", "repo files delete"),
            ("Run-Funnels-Query", "run funnels query"),
            ("DELETE_FILE", "delete file"),
            ("mcp__my-server__drop_table", "drop table"),
            ("usuń_kontakt", "usun kontakt"),
            ("ｄｅｌｅｔｅ_all", "delete all"),
            ("de\u{200b}lete", "delete"),
            ("__", ""),
        ] {
            assert_eq!(of_name(name).join(" "), expected, "{name}");
        }
    }

    #[test]
    fn only_the_first_sentence_is_read() {
        for (text, expected) in [
            ("Lists files. Deletes none.", "lists files"),
            ("Read/create/update", "read and create and update"),
            ("Search n8n.io for a flow", "search n8n io for a flow"),
            ("\n  Read-only query\n  of a table\n\nArgs: x", "read-only query of a table"),
            ("...", ""),
        ] {
            assert_eq!(of_sentence(text).join(" "), expected, "{text}");
        }
        assert_eq!(of_all("Lists files. Deletes, never.").join(" "), "lists files deletes never");
    }
}
