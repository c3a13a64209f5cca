//! Compressing a message.
//!
//! Owns one compressor for each window size that a peer has agreed to, made when first needed.
//! Invariant: Z1 nothing of a message is referred to by the next one.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

use super::{TAIL, WINDOW_BITS_MAX, WINDOW_BITS_MIN};

/// Window sizes that there may be compressors for.
const SIZES: usize = (WINDOW_BITS_MAX - WINDOW_BITS_MIN + 1) as usize;
/// What a compressor's output grows by, beyond what compressing should leave of the input.
const OUTPUT_STEP_BYTES: usize = 64;

/// See the module's header.
pub struct Deflater {
    level: u8,
    compressors: [Option<Deflate>; SIZES],
}

impl Deflater {
    /// A compressor of this level, from 1 (fastest) to 9.
    pub fn new(level: u8) -> Self {
        assert!((1..=9).contains(&level));
        Deflater { level, compressors: Default::default() }
    }

    /// Replaces `out` by `message`, compressed with a window of 2 to the power of `window_bits`.
    /// False when that would not be shorter; then `out` means nothing.
    pub fn compress(&mut self, message: &[u8], window_bits: u8, out: &mut Vec<u8>) -> bool {
        let index = usize::from(window_bits - WINDOW_BITS_MIN);
        let level = self.level;
        let compressor =
            self.compressors[index].get_or_insert_with(|| new_compressor(level, window_bits));
        compressor.reset();
        out.clear();
        // As long as this it would be of no use; with the tail, which comes off again.
        let room = message.len() + TAIL.len();
        let mut taken = 0;
        while out.len() < room {
            let start = out.len();
            let step = message.len() / 2 + OUTPUT_STEP_BYTES;
            out.resize((start + step).min(room), 0);
            let (in_before, out_before) = (compressor.total_in(), compressor.total_out());
            let status =
                compressor.compress(&message[taken..], &mut out[start..], DeflateFlush::SyncFlush);
            assert!(matches!(status, Ok(Status::Ok | Status::BufError)), "zlib: {status:?}");
            taken += (compressor.total_in() - in_before) as usize;
            let written = (compressor.total_out() - out_before) as usize;
            let has_room_left = start + written < out.len();
            out.truncate(start + written);
            if has_room_left {
                // All of it is out: a flush fills whatever room it has.
                debug_assert_eq!(taken, message.len());
                assert!(out.ends_with(&TAIL), "7.2.1: a flush ends with an empty block");
                out.truncate(out.len() - TAIL.len());
                return out.len() < message.len();
            }
        }
        false
    }

    /// Octets that the compressors made so far hold, as zlib's manual has them.
    pub fn heap_bytes(&self) -> usize {
        let made = self.compressors.iter().enumerate().filter(|(_, made)| made.is_some());
        made.map(|(index, _)| compressor_bytes(WINDOW_BITS_MIN + index as u8)).sum()
    }
}

const MEM_LEVEL: u8 = 8;

fn new_compressor(level: u8, window_bits: u8) -> Deflate {
    Deflate::new_with_config(DeflateConfig {
        level: i32::from(level),
        // Raw: without zlib's own header and checksum.
        window_bits: -i32::from(window_bits),
        mem_level: i32::from(MEM_LEVEL),
        ..DeflateConfig::default()
    })
}

/// zlib's manual, "Memory footprint".
fn compressor_bytes(window_bits: u8) -> usize {
    (1 << (window_bits + 2)) + (1 << (MEM_LEVEL + 9))
}
