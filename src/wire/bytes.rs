//! Finds the next byte of interest at the speed of memory.
//!
//! Most bytes of a tool list, or of large arguments, are the insides of strings. They are looked at a block at a time: a
//! vector where WebAssembly has them (`simd128`), a word elsewhere.

/// How much of `bytes` stands within a JSON string for itself (RFC 8259, section 7): up to a quote, a backslash or a control
/// character.
pub(crate) fn plain_length(bytes: &[u8]) -> usize {
    position::<b'"', b'\\', 0x20>(bytes)
}

/// How much of `bytes` stands before a quote or a backslash.
pub(crate) fn quoted_length(bytes: &[u8]) -> usize {
    position::<b'"', b'\\', 0>(bytes)
}

/// How much of `bytes` stands before the end of a line.
pub(crate) fn line_length(bytes: &[u8]) -> usize {
    position::<b'\n', b'\r', 0>(bytes)
}

/// How much of `bytes` stands before a line feed.
pub(crate) fn to_feed_length(bytes: &[u8]) -> usize {
    position::<b'\n', b'\n', 0>(bytes)
}

/// The place of the first byte that is `A`, `B` or below `LOW`; the length where there is none.
#[inline(always)]
fn position<const A: u8, const B: u8, const LOW: u8>(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks::<{ block::SIZE }>();
    let mut at = 0;
    for block in blocks {
        if let Some(place) = block::first::<A, B, LOW>(block) {
            return at + place;
        }
        at += block::SIZE;
    }
    let is_wanted = |byte: &u8| *byte == A || *byte == B || *byte < LOW;
    at + rest.iter().position(is_wanted).unwrap_or(rest.len())
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod block {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, u64x2, v128_or};

    pub(super) const SIZE: usize = 16;

    /// The place of the first byte that is `A`, `B` or below `LOW`.
    #[inline(always)]
    pub(super) fn first<const A: u8, const B: u8, const LOW: u8>(block: &[u8; SIZE]) -> Option<usize> {
        // Compiled to one load of 16 bytes.
        let all = u128::from_le_bytes(*block);
        let bytes = u64x2(all as u64, (all >> 64) as u64);
        let is_either = v128_or(u8x16_eq(bytes, u8x16_splat(A)), u8x16_eq(bytes, u8x16_splat(B)));
        let found = u8x16_bitmask(v128_or(is_either, u8x16_lt(bytes, u8x16_splat(LOW))));
        (found != 0).then(|| found.trailing_zeros() as usize)
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod block {
    pub(super) const SIZE: usize = 8;

    const ONES: u64 = u64::from_le_bytes([1; SIZE]);
    const TOPS: u64 = u64::from_le_bytes([0x80; SIZE]);

    /// The place of the first byte that is `A`, `B` or below `LOW`.
    #[inline(always)]
    pub(super) fn first<const A: u8, const B: u8, const LOW: u8>(block: &[u8; SIZE]) -> Option<usize> {
        let bytes = u64::from_le_bytes(*block);
        // The top bit of each byte below `low`, which is at most 0x80. A borrow may mark bytes after the first of them, never
        // before it (Sean Anderson, "Bit Twiddling Hacks", `hasless`).
        let below = |bytes: u64, low: u8| bytes.wrapping_sub(ONES * u64::from(low)) & !bytes & TOPS;
        let equal = |to: u8| below(bytes ^ (ONES * u64::from(to)), 1);
        let found = equal(A) | equal(B) | below(bytes, LOW);
        (found != 0).then(|| found.trailing_zeros() as usize / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_wherever_it_stands() {
        for length in 0..100 {
            let mut bytes = vec![b'x'; length];
            assert_eq!([plain_length(&bytes), line_length(&bytes), quoted_length(&bytes)], [length; 3]);
            for at in 0..length {
                for (byte, finders) in [
                    (b'"', [true, false, true]),
                    (b'\\', [true, false, true]),
                    (b'\n', [true, true, false]),
                    (b'\r', [true, true, false]),
                    (0, [true, false, false]),
                    (0x1F, [true, false, false]),
                    (0x20, [false; 3]),
                    (0x7F, [false; 3]),
                    (0xA2, [false; 3]),
                    (0xFF, [false; 3]),
                ] {
                    bytes[at] = byte;
                    // A later one must not be taken for the first.
                    if at + 5 < length {
                        bytes[at + 5] = byte;
                    }
                    let found = [plain_length(&bytes), line_length(&bytes), quoted_length(&bytes)];
                    assert_eq!(
                        found,
                        finders.map(|finds| if finds { at } else { length }),
                        "{byte} at {at} of {length}"
                    );
                    bytes.fill(b'x');
                }
            }
        }
    }

    #[test]
    fn agrees_with_a_look_at_every_byte() {
        // Every byte before and after every other, so that no borrow is taken for a find.
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let bytes: Vec<u8> = (0..40).map(|at| if at % 2 == 0 { first } else { second }).collect();
                let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..=0x1F);
                assert_eq!(plain_length(&bytes), bytes.iter().take_while(|byte| is_plain(byte)).count());
                let is_line = |byte: &u8| !matches!(byte, b'\n' | b'\r');
                assert_eq!(line_length(&bytes), bytes.iter().take_while(|byte| is_line(byte)).count());
            }
        }
    }
}
