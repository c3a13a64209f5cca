//! As much of HTTP as it takes to upgrade: the key, the topic, the answer. Checks nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request to upgrade.
pub struct Head<'a> {
    /// Octets of the whole head.
    pub bytes: usize,
    /// The value of Sec-WebSocket-Key.
    pub key: &'a str,
    /// See [`topic_of`].
    pub topic: Option<&'a str>,
}

/// Not a request that opens a WebSocket.
#[derive(Clone, Copy, Debug)]
pub struct NoUpgrade;

/// The head, once it is there to its end. `Err` for what is no upgrade.
pub fn parse(data: &[u8]) -> Result<Option<Head<'_>>, NoUpgrade> {
    let Some(end) = data.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&data[..end]).map_err(|_| NoUpgrade)?;
    let mut lines = text.split("\r\n");
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or(NoUpgrade)?;
    let fields = lines.filter_map(|line| line.split_once(':'));
    let mut keys = fields.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let (_, key) = keys.next().ok_or(NoUpgrade)?;
    Ok(Some(Head { bytes: end + 4, key: key.trim(), topic: topic_of(target) }))
}

/// T of `/?topic=T`: the connection subscribes to it. Any other target echoes.
pub fn topic_of(target: &str) -> Option<&str> {
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("topic="))
}

/// The answer that opens the connection.
pub fn response(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        STANDARD.encode(digest)
    )
}
