//! Masking (RFC 6455, section 5.3). The same operation masks and unmasks.

/// XORs `data` with `mask`; `offset` is where in the frame's payload `data` begins.
///
/// Words of 16 octets and no other branch in the loop: the compiler turns it into vector code.
pub fn apply(mask: [u8; 4], offset: usize, data: &mut [u8]) {
    let key = u32::from_le_bytes(mask).rotate_right(8 * (offset % 4) as u32);
    let wide = u128::from(key) * 0x0000_0001_0000_0001_0000_0001_0000_0001;
    let (words, rest) = data.as_chunks_mut::<16>();
    for word in words {
        *word = (u128::from_le_bytes(*word) ^ wide).to_le_bytes();
    }
    let (quads, rest) = rest.as_chunks_mut::<4>();
    for quad in quads {
        *quad = (u32::from_le_bytes(*quad) ^ key).to_le_bytes();
    }
    for (octet, key) in rest.iter_mut().zip(key.to_le_bytes()) {
        *octet ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_loop_of_the_rfc(
            mask: [u8; 4],
            offset in 0..1000_usize,
            data in prop::collection::vec(any::<u8>(), 0..300),
            skip in 0..17_usize,
        ) {
            let start = skip.min(data.len());
            let mut fast = data.clone();
            apply(mask, offset, &mut fast[start..]);
            let naive = data.iter().enumerate().map(|(at, octet)| {
                if at < start { *octet } else { octet ^ mask[(offset + at - start) % 4] }
            });
            prop_assert_eq!(fast, naive.collect::<Vec<_>>());
        }

        #[test]
        fn pieces_equal_the_whole(
            mask: [u8; 4],
            data in prop::collection::vec(any::<u8>(), 0..300),
            cut: prop::sample::Index,
        ) {
            let cut = cut.index(data.len() + 1);
            let (mut whole, mut pieces) = (data.clone(), data);
            apply(mask, 0, &mut whole);
            apply(mask, 0, &mut pieces[..cut]);
            apply(mask, cut, &mut pieces[cut..]);
            prop_assert_eq!(whole, pieces);
        }
    }
}
