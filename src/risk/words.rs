//! Text → words: lower-case, without accents, cut as names of tools and sentences are.

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
    for lower in plain.to_lowercase() {
        match lower {
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
            // What lower-casing splits off, as from the Turkish İ.
            '\u{300}'..='\u{36f}' => {}
            other => into.push(other),
        }
    }
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
