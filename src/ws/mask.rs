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
