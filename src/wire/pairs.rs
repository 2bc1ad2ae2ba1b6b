//! The host's encoding of header maps: a count, then both lengths of every pair, then each key and value
//! with a NUL behind it; numbers are 32-bit little-endian (proxy-wasm ABI 0.2.1).

/// Reads a map. `None` when the lengths do not fit the bytes.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let number = |bytes: &[u8]| usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok();
    let (count, rest) = bytes.split_at_checked(4)?;
    let (lengths, mut rest) = rest.split_at_checked(number(count)?.checked_mul(8)?)?;
    let mut take = |length: &[u8]| {
        let (text, after) = rest.split_at_checked(number(length)?)?;
        rest = after.strip_prefix(&[0])?;
        Some(text.to_vec())
    };
    lengths
        .chunks_exact(8)
        .map(|pair| {
            let (key, value) = pair.split_at_checked(4)?;
            Some((take(key)?, take(value)?))
        })
        .collect()
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
        let owned: Vec<(Vec<u8>, Vec<u8>)> =
            pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        assert_eq!(decode(&bytes), Some(owned));
        assert_eq!(decode(&[]), Some(Vec::new()));
        for length in 1..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(decode(&[255; 12]), None);
    }
}
