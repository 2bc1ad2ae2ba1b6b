//! Disguises: what an adversary does to a message that has one meaning, so that it may have two. The fuzzer's
//! own mutations know bytes only and rarely leave JSON whole.

/// Names and values that mean something to MCP.
const WORDS: [&str; 44] = [
    "\"jsonrpc\":\"2.0\"",
    "\"id\":1",
    "\"id\":\"a\"",
    "\"method\":\"tools/call\"",
    "\"method\":\"tools/list\"",
    "\"method\":\"sampling/createMessage\"",
    "\"params\":{}",
    "\"params\":{\"name\":\"hidden_x\"}",
    "\"name\":\"hidden_x\"",
    "\"name\":\"a\"",
    "\"uri\":\"file:///hidden/x\"",
    "\"uriTemplate\":\"file:///hidden/{x}\"",
    "\"arguments\":{\"path\":\"secret\"}",
    "\"arguments\":{}",
    "\"_meta\":{}",
    "\"result\":{\"tools\":[{\"name\":\"hidden_x\"}]}",
    "\"result\":{}",
    "\"error\":{\"code\":1,\"message\":\"m\"}",
    "\"tools\":[{\"name\":\"hidden_x\"}]",
    "\"tools\":[]",
    "\"prompts\":[{\"name\":\"hidden_x\"}]",
    "\"resources\":[{\"uri\":\"file:///hidden/x\"}]",
    "\"resourceTemplates\":[{\"uriTemplate\":\"file:///hidden/{x}\"}]",
    "\"inputRequests\":{\"a\":{\"method\":\"sampling/createMessage\"}}",
    "\"ref\":{\"type\":\"ref/prompt\",\"name\":\"hidden_x\"}",
    "\"notifications\":{\"resourceSubscriptions\":[\"file:///hidden/x\"]}",
    "{\"name\":\"hidden_x\"}",
    "{\"name\":\"a\"}",
    "\n\ndata: {\"result\":{\"tools\":[{\"name\":\"hidden_x\"}]}}\n\n",
    "\ndata: ",
    "\r\rdata:",
    "\n\nevent: message\ndata: ",
    "\nid: 1\n",
    "\n\n",
    "\r\n",
    "\u{2028}",
    "\u{85}",
    "\u{feff}",
    "\\ud800",
    "\0",
    "1e400",
    "-0",
    "[",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}}",
];

/// Small, and the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 11).unwrap_or_default() % bound.max(1)
    }
}

/// Changes the first `size` bytes of `data` in place; returns the new size. `plain`: the fuzzer's own mutation.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    plain: fn(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut random = Random(u64::from(seed) << 16 | 0x9E37);
    random.next();
    if random.below(2) == 0 {
        return plain(data, size, max_size);
    }
    let mut text = data[..size].to_vec();
    for _ in 0..=random.below(3) {
        disguise(&mut text, &mut random);
    }
    if text.len() > max_size || text == data[..size] {
        return plain(data, size, max_size);
    }
    data[..text.len()].copy_from_slice(&text);
    text.len()
}

fn disguise(text: &mut Vec<u8>, random: &mut Random) {
    let word = WORDS[random.below(WORDS.len())].as_bytes();
    match random.below(9) {
        // Another case, or a character that folds to it.
        0 => {
            if let Some(at) = random_place(text, random, |byte| byte.is_ascii_alphabetic()) {
                let folded: &[u8] = match (text[at], random.below(2)) {
                    (b's', 0) => "ſ".as_bytes(),
                    (b'k', 0) => "\u{212A}".as_bytes(),
                    (b'i', 0) => "ı".as_bytes(),
                    (other, _) => &[other ^ 0x20],
                };
                text.splice(at..=at, folded.to_vec());
            }
        }
        // The same character as an escape.
        1 => {
            if let Some(at) = random_place(text, random, |byte| byte.is_ascii_alphanumeric()) {
                let escape = format!("\\u{:04x}", text[at]).into_bytes();
                text.splice(at..=at, escape);
            }
        }
        // A member once more, here or elsewhere.
        2 => {
            let (Some(from), Some(to)) = (member(text, random), separator(text, random)) else { return };
            let copy: Vec<u8> = text[from].iter().copied().chain([b',']).collect();
            text.splice(to..to, copy);
        }
        // A member that means something.
        3 | 4 => {
            let Some(to) = separator(text, random) else { return };
            text.splice(to..to, word.iter().copied().chain([b',']));
        }
        5 => {
            let to = random.below(text.len() + 1);
            text.splice(to..to, word.iter().copied());
        }
        // A value in the place of another.
        6 => {
            let Some(gone) = member(text, random) else { return };
            text.splice(gone, word.iter().copied());
        }
        // A part is gone, or a line's end is another.
        7 => {
            if let Some(gone) = member(text, random) {
                text.drain(gone);
            }
        }
        _ => {
            let Some(at) = random_place(text, random, |byte| matches!(byte, b'\n' | b'\r' | b' ' | b',')) else {
                return;
            };
            let other: &[u8] =
                [&b"\n"[..], b"\r", b"\r\n", b"\n\n", b" ", b"\t", b"\xE2\x80\xA8", b""][random.below(8)];
            text.splice(at..=at, other.iter().copied());
        }
    }
}

fn random_place(text: &[u8], random: &mut Random, wanted: fn(u8) -> bool) -> Option<usize> {
    let places: Vec<usize> = (0..text.len()).filter(|at| wanted(text[*at])).collect();
    (!places.is_empty()).then(|| places[random.below(places.len())])
}

/// Where a member or an element may stand: behind an opening bracket or a comma.
fn separator(text: &[u8], random: &mut Random) -> Option<usize> {
    random_place(text, random, |byte| matches!(byte, b'{' | b'[' | b',')).map(|at| at + 1)
}

/// From behind a bracket or comma to the end of the value there, counting brackets and heeding quotes.
fn member(text: &[u8], random: &mut Random) -> Option<std::ops::Range<usize>> {
    let start = separator(text, random)?;
    let (mut depth, mut in_string, mut at) = (0_usize, false, start);
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' | b',' if !in_string && depth == 0 => break,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    let end = at.min(text.len());
    (end > start).then_some(start..end)
}
