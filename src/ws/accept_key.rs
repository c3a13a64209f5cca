//! `Sec-WebSocket-Key` and the proof that the server read it (RFC 6455, sections 4.1 and 4.2.2).

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha1::{Digest, Sha1};

/// Octets of a key in base64.
pub const KEY_BYTES: usize = 24;
/// Octets of an accept value in base64.
pub const ACCEPT_BYTES: usize = 28;

const NONCE_BYTES: usize = 16;
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Clients exist that write 22 random letters and `==`: the last letter then has bits that belong
/// to no octet. The key is hashed as it was sent, so nothing depends on them.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A key that is the base64 of 16 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeKey([u8; KEY_BYTES]);

impl UpgradeKey {
    /// Checks a received key.
    pub fn parse(value: &[u8]) -> Option<UpgradeKey> {
        let key: [u8; KEY_BYTES] = value.try_into().ok()?;
        // The engine checks for room by its own upper estimate: 18 for 24 letters.
        let mut nonce = [0; NONCE_BYTES + 2];
        let decoded = TOLERANT.decode_slice(key, &mut nonce).ok()?;
        (decoded == NONCE_BYTES).then_some(UpgradeKey(key))
    }

    /// The key of a client, from 16 octets that it chose at random.
    pub fn from_nonce(nonce: [u8; NONCE_BYTES]) -> UpgradeKey {
        let mut key = [0; KEY_BYTES];
        let written = STANDARD.encode_slice(nonce, &mut key).expect("16 octets make 24 letters");
        assert_eq!(written, KEY_BYTES);
        UpgradeKey(key)
    }

    /// The key as on the wire.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The value of `Sec-WebSocket-Accept`.
    pub fn accept(&self) -> [u8; ACCEPT_BYTES] {
        let digest = Sha1::new().chain_update(self.0).chain_update(GUID).finalize();
        let mut accept = [0; ACCEPT_BYTES];
        let written =
            STANDARD.encode_slice(digest, &mut accept).expect("20 octets make 28 letters");
        assert_eq!(written, ACCEPT_BYTES);
        accept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_the_rfc() {
        let key = UpgradeKey::parse(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        assert_eq!(&key.accept(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(UpgradeKey::from_nonce(*b"the sample nonce"), key);
    }

    #[test]
    fn only_the_base64_of_16_octets() {
        assert!(UpgradeKey::parse(b"abcdefghijklmnopqrstuv==").is_some(), "trailing bits");
        let bad: [&[u8]; 7] = [
            b"",
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZSBub25jZQ=",
            b"dGhlIHNhbXBsZSBub25jZTE=",
            b"dGhlIHNhbXBsZSBub25jZTEy",
            b"dGhlIHNhbXBsZSBub25j*Q==",
            b"dGhlIHNhbXBsZSBub25jZQ== ",
        ];
        for value in bad {
            assert_eq!(UpgradeKey::parse(value), None);
        }
    }
}
