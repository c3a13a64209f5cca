//! What clients write, in a few naive lines that do not depend on the code under test.

/// The masking key of all frames: no octet of it is zero, and no two are alike.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// First octets of whole messages: FIN and the opcode (RFC 6455, section 5.2).
pub(crate) const TEXT: u8 = 0x81;
/// See [`TEXT`].
pub(crate) const BINARY: u8 = 0x82;
/// A pong without a payload.
pub(crate) const PONG: [u8; 6] = [0x8a, 0x80, KEY[0], KEY[1], KEY[2], KEY[3]];
/// A ping as the server sends it.
pub(crate) const PING: [u8; 2] = [0x89, 0x00];

/// The shortest head with which a client upgrades.
pub(crate) const HEAD: &str = "GET /ws HTTP/1.1\r\nHost: localhost:9001\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// A head as browsers write it.
pub(crate) const BROWSER_HEAD: &str = "GET /ws HTTP/1.1\r\nHost: chat.example.com\r\n\
    Connection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/140.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\nOrigin: https://chat.example.com\r\n\
    Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=all\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
    Sec-WebSocket-Protocol: ringwire.v1.json\r\n\r\n";

/// A masked frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let masked = payload.iter().zip(KEY.iter().cycle()).map(|(octet, key)| octet ^ key);
    [header(first, 0x80, payload.len()), KEY.to_vec(), masked.collect()].concat()
}

/// A frame as the server sends it.
pub(crate) fn bare_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [header(first, 0, payload.len()), payload.to_vec()].concat()
}

fn header(first: u8, mask_bit: u8, len: usize) -> Vec<u8> {
    match u8::try_from(len) {
        Ok(len) if len < 126 => vec![first, mask_bit | len],
        _ => {
            let [high, low] = u16::try_from(len).expect("a short payload").to_be_bytes();
            vec![first, mask_bit | 126, high, low]
        }
    }
}

/// Octets that repeat late enough for no optimiser to profit.
pub(crate) fn octets(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// A text of `len` octets or up to three less: ASCII, or letters of one to four octets.
pub(crate) fn text(len: usize, is_ascii: bool) -> String {
    let mixed = "Grüße an 世界, привет мир 🙂. ";
    let pattern = if is_ascii { "The quick brown fox jumps over it. " } else { mixed };
    let endless = pattern.chars().cycle();
    let mut text = String::new();
    text.extend(endless.scan(0, |bytes, letter| {
        *bytes += letter.len_utf8();
        (*bytes <= len).then_some(letter)
    }));
    text
}
