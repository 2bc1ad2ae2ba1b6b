//! Names and patterns of a policy, indexed: finding what applies to a tool costs about the same for ten as
//! for thousands of them.

use super::pattern::Pattern;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

type Map<K, T> = HashMap<K, T, BuildHasherDefault<Words>>;

/// Eight bytes at a time (FxHash): quick on short names. The keys are the policy author's, so nobody fills a
/// map with collisions.
#[derive(Default)]
struct Words(u64);

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        // The length too, so that zeros at the end count.
        let length = u64::try_from(rest.len()).unwrap_or_default();
        self.write_u64(rest.iter().fold(length, |word, byte| word << 8 | u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn finish(&self) -> u64 {
        // The best bits are the upper ones, and a map looks at the lower.
        self.0.rotate_left(26)
    }
}

/// What names and patterns stand for; an exact name beats every pattern.
#[derive(Debug)]
pub(super) struct Names<T> {
    exact: Map<Box<str>, T>,
    /// In order of precedence.
    patterns: Vec<(Pattern, T)>,
    /// By their best pattern.
    shapes: Vec<Shape>,
}

/// The patterns whose literal ends are equally long. Of a policy's patterns most have one of few shapes, and
/// for each shape a name's own ends tell the few patterns that can fit.
#[derive(Debug)]
struct Shape {
    prefix_bytes: usize,
    suffix_bytes: usize,
    /// The lowest place of its patterns.
    best: usize,
    /// By the hash of both ends: ascending places, few of them by another's hash.
    places: Map<u64, Vec<usize>>,
}

impl<T> Names<T> {
    pub(super) fn new(entries: impl IntoIterator<Item = (Pattern, T)>) -> Self {
        let (mut exact, mut patterns) = (Map::default(), Vec::new());
        for (pattern, entry) in entries {
            if pattern.is_exact() {
                exact.insert(pattern.as_str().into(), entry);
            } else {
                patterns.push((pattern, entry));
            }
        }
        patterns.sort_by_cached_key(|(pattern, _)| pattern.precedence());
        let mut shapes: BTreeMap<(usize, usize), Shape> = BTreeMap::new();
        for (place, (pattern, _)) in patterns.iter().enumerate() {
            let (prefix, suffix) = pattern.ends();
            let lengths = (prefix.len(), suffix.len());
            let shape = shapes.entry(lengths).or_insert_with(|| Shape::new(lengths, place));
            shape.places.entry(hash_of(prefix.as_bytes(), suffix.as_bytes())).or_default().push(place);
        }
        let mut shapes: Vec<Shape> = shapes.into_values().collect();
        shapes.sort_by_key(|shape| shape.best);
        Self { exact, patterns, shapes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// How many patterns there are beside the plain names.
    pub(super) fn patterns(&self) -> usize {
        self.patterns.len()
    }

    /// What all of them stand for: plain names in byte order, then patterns in order of precedence.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.named().map(|(_, entry)| entry)
    }

    /// The same, each plain name with it.
    pub(super) fn named(&self) -> impl Iterator<Item = (Option<&str>, &T)> {
        let mut exact: Vec<(&str, &T)> = self.exact.iter().map(|(name, entry)| (name.as_ref(), entry)).collect();
        exact.sort_unstable_by_key(|(name, _)| *name);
        let exact = exact.into_iter().map(|(name, entry)| (Some(name), entry));
        exact.chain(self.patterns.iter().map(|(_, entry)| (None, entry)))
    }

    /// The one entry that applies to `name`.
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.exact.get(name).or_else(|| self.get_pattern(name))
    }

    /// The entry of the pattern that would apply to `name` if none were written for it alone.
    pub(super) fn get_pattern(&self, name: &str) -> Option<&T> {
        let mut found: Option<(usize, &T)> = None;
        for shape in &self.shapes {
            let bound = found.map_or(usize::MAX, |(place, _)| place);
            if shape.best > bound {
                break;
            }
            let places = shape.candidates(name).iter().take_while(|place| **place < bound);
            let mut candidates = places.filter_map(|place| Some((*place, self.patterns.get(*place)?)));
            let first = candidates.find(|(_, (pattern, _))| pattern.matches(name));
            found = first.map(|(place, (_, entry))| (place, entry)).or(found);
        }
        found.map(|(_, entry)| entry)
    }
}

impl Shape {
    fn new((prefix_bytes, suffix_bytes): (usize, usize), best: usize) -> Self {
        Self { prefix_bytes, suffix_bytes, best, places: Map::default() }
    }

    /// The places of the patterns that may begin and end as `name` does.
    fn candidates(&self, name: &str) -> &[usize] {
        let prefix = name.as_bytes().get(..self.prefix_bytes);
        let suffix = name.len().checked_sub(self.suffix_bytes).and_then(|start| name.as_bytes().get(start..));
        let places = prefix.zip(suffix).and_then(|(prefix, suffix)| self.places.get(&hash_of(prefix, suffix)));
        places.map(Vec::as_slice).unwrap_or_default()
    }
}

fn hash_of(prefix: &[u8], suffix: &[u8]) -> u64 {
    let mut words = Words::default();
    words.write(prefix);
    words.write(suffix);
    words.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The meaning, without an index.
    fn plain<'p>(patterns: &'p [Pattern], name: &str) -> Option<&'p str> {
        let exact = patterns.iter().find(|pattern| pattern.is_exact() && pattern.as_str() == name);
        let fitting = patterns.iter().filter(|pattern| !pattern.is_exact() && pattern.matches(name));
        exact.or_else(|| fitting.min_by_key(|pattern| pattern.precedence())).map(Pattern::as_str)
    }

    /// Every text of up to `length` of these characters.
    fn texts(characters: &[char], length: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..length {
            last = last
                .iter()
                .flat_map(|text| characters.iter().map(move |character| format!("{text}{character}")))
                .collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn the_index_finds_what_trying_all_would() {
        let patterns: Vec<Pattern> = texts(&['a', 'é', '*', '?'], 4).iter().map(|text| Pattern::new(text)).collect();
        let names = texts(&['a', 'é', 'b'], 5);
        // All of them, and thinned out: with all, few names need more than the exact ones.
        for (step, skip) in [(1, 0), (3, 1), (7, 2), (31, 5), (101, 7)] {
            let some: Vec<Pattern> = patterns.iter().skip(skip).step_by(step).cloned().collect();
            let index = Names::new(some.iter().map(|pattern| (pattern.clone(), pattern.as_str())));
            for name in &names {
                assert_eq!(index.get(name).copied(), plain(&some, name), "{name} of every {step}th");
            }
        }
    }
}
