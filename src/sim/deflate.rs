//! permessage-deflate from the client's side (RFC 7692), on another implementation than the
//! server's.

use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::{MZFlush, MZStatus, inflate};

/// What clients offer; the server can meet something of each.
pub(super) const OFFERS: [&str; 5] = [
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; client_no_context_takeover; server_max_window_bits=9",
    "permessage-deflate; server_no_context_takeover; client_max_window_bits=10",
    "x-other; y, permessage-deflate; server_max_window_bits=8, permessage-deflate",
];

/// What the server can't meet, or nothing.
pub(super) const UNMET: [&str; 3] =
    ["", "permessage-deflate; server_max_window_bits=8", "permessage-deflate; unheard_of, x-other"];

/// What a sender leaves out at the end of a message.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Raw deflate with a window of 32 KiB.
const WINDOW_BITS: i32 = -15;
const LEVEL: i32 = 3;

/// What was agreed on, and the state of what it sends.
pub(super) struct Deflate {
    compressor: Box<CompressorOxide>,
    /// It refers to its earlier messages.
    takes_over: bool,
}

impl std::fmt::Debug for Deflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflate").field("takes_over", &self.takes_over).finish_non_exhaustive()
    }
}

impl Deflate {
    /// From the head of the server's response.
    pub(super) fn agreed(head: &[u8]) -> Result<Option<Deflate>, String> {
        let head = std::str::from_utf8(head).map_err(|error| error.to_string())?;
        let answer = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
        let Some(answer) = answer else { return Ok(None) };
        if !answer.starts_with("permessage-deflate; server_no_context_takeover") {
            return Err(format!("{answer} is not what servers of ours answer"));
        }
        let is_free = !answer.contains("client_");
        let flags = create_comp_flags_from_zip_params(LEVEL, WINDOW_BITS, 0);
        let compressor = Box::new(CompressorOxide::new(flags));
        Ok(Some(Deflate { compressor, takes_over: is_free }))
    }

    /// The payload of a compressed message.
    pub(super) fn compress(&mut self, message: &[u8]) -> Vec<u8> {
        if message.is_empty() {
            // RFC 7692, section 7.2.3.6.
            return vec![0];
        }
        if !self.takes_over {
            self.compressor.reset();
        }
        let mut out = vec![0; message.len() + message.len() / 8 + 128];
        let result = deflate(&mut self.compressor, message, &mut out, MZFlush::Sync);
        assert_eq!((result.status, result.bytes_consumed), (Ok(MZStatus::Ok), message.len()));
        out.truncate(result.bytes_written);
        assert!(out.ends_with(&TAIL), "a flush ends with an empty block");
        out.truncate(out.len() - TAIL.len());
        out
    }
}

/// The message that a compressed payload of the server's stands for: it refers to nothing before.
pub(super) fn inflate_message(payload: &[u8]) -> Result<Vec<u8>, String> {
    let whole = [payload, &TAIL, &[3, 0]].concat();
    inflate::decompress_to_vec(&whole).map_err(|error| format!("{error} of a compressed message"))
}

/// A message by itself, ended by a last block, as a client may send one as well.
pub(super) fn compressed(message: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec(message, LEVEL as u8)
}
