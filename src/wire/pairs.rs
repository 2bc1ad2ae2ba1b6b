//! The host's encoding of header maps: a count, then both lengths of every pair, then each key and value
//! with a NUL behind it; numbers are 32-bit little-endian (proxy-wasm ABI 0.2.1).

use std::ops::Range;

/// A map in the host's encoding, of which nothing is copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pairs {
    bytes: Vec<u8>,
    /// Where each key and each value is.
    places: Vec<(Range<usize>, Range<usize>)>,
}

impl Pairs {
    /// Reads a map. `None` when the lengths do not fit the bytes.
    pub(crate) fn read(bytes: Vec<u8>) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let number = |bytes: &[u8]| usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok();
        let (count, rest) = bytes.split_at_checked(4)?;
        let (lengths, _) = rest.split_at_checked(number(count)?.checked_mul(8)?)?;
        let mut places = Vec::with_capacity(lengths.len() / 8);
        let mut at = 4 + lengths.len();
        let mut take = |length: &[u8]| {
            let end = at.checked_add(number(length)?)?;
            let place = at..end;
            at = end.checked_add(1)?;
            (bytes.get(end) == Some(&0)).then_some(place)
        };
        for pair in lengths.chunks_exact(8) {
            let (key, value) = pair.split_at_checked(4)?;
            places.push((take(key)?, take(value)?));
        }
        Some(Self { bytes, places })
    }

    /// Each key and its value, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        let text = |place: &Range<usize>| self.bytes.get(place.clone()).unwrap_or_default();
        self.places.iter().map(move |(key, value)| (text(key), text(value)))
    }
}

/// Writes a map. Lengths past 32 bits cannot occur in a module of 32-bit memory.
pub(crate) fn encode<T: AsRef<[u8]>>(pairs: &[(T, T)]) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = number(pairs.len()).to_vec();
    for (key, value) in pairs {
        bytes.extend(number(key.as_ref().len()));
        bytes.extend(number(value.as_ref().len()));
    }
    for text in pairs.iter().flat_map(|(key, value)| [key, value]) {
        bytes.extend(text.as_ref());
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_survives_both_ways_and_a_broken_one_is_no_map() {
        let pairs = [(":method", "POST"), ("x", ""), ("x", "é")];
        let bytes = encode(&pairs);
        let read = Pairs::read(bytes.clone()).unwrap();
        let texts = pairs.map(|(key, value)| (key.as_bytes(), value.as_bytes()));
        assert_eq!(read.iter().collect::<Vec<_>>(), texts);
        assert_eq!(Pairs::read(Vec::new()), Some(Pairs::default()));
        for length in 1..bytes.len() {
            assert_eq!(Pairs::read(bytes[..length].to_vec()), None, "{length}");
        }
        assert_eq!(Pairs::read(vec![255; 12]), None);
    }
}
