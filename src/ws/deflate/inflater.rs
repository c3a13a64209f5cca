//! Inflating a message, in portions.
//!
//! Owns what zlib needs for one message. Invariants: I1 the output never has more octets than its
//! bounds allow, however little input says that there are; I2 a call does no more than its budget
//! pays for, but for one portion, and the next one goes on where it stopped: what it gives is
//! charged, and what it takes as well, because hostile blocks give nothing; I3 a message is whole
//! only if its last block is. (One exception: where a block without compression lacks its last
//! four octets, those that every sender leaves out pass for them, as with any receiver.)

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{TAIL, WINDOW_BITS_MAX};
use crate::limits::INFLATE_RATIO_FREE_BYTES;
use crate::ws::fault::PeerFault;

/// What comes after a message's payload: what its sender took off, and then an empty last block,
/// which can only be read as one where a block may begin. Without it the end of a message that was
/// cut off would pass for more to come.
const END: [u8; 9] = [TAIL[0], TAIL[1], TAIL[2], TAIL[3], 0x01, 0x00, 0x00, 0xff, 0xff];

/// What the output grows by, at most, before zlib has shown that there is so much.
const OUTPUT_STEP_BYTES: usize = 16 * 1024;

/// Octets of input of a portion.
const INPUT_STEP_BYTES: usize = 4096;
/// What an octet of input is charged: it may be part of a table for a block without content, which
/// takes as long as so many octets that are given.
const INPUT_CHARGE: usize = 8;
/// And what a stream within the message is: its window is copied.
const RESTART_CHARGE: usize = 2048;

/// What a message may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Octets of the message.
    pub message_bytes_max: usize,
    /// Octets of it for each octet of the payload, unless it has no more than
    /// [`INFLATE_RATIO_FREE_BYTES`].
    pub ratio_max: u32,
}

impl Bounds {
    /// What a message may be that was sent as so many octets, and the fault of one that is more.
    /// Of the whole payload, so that the verdict does not depend on portions.
    fn of(&self, payload_bytes: usize) -> (usize, PeerFault) {
        let by_ratio = payload_bytes.saturating_mul(self.ratio_max as usize);
        let by_ratio = by_ratio.max(INFLATE_RATIO_FREE_BYTES);
        if by_ratio < self.message_bytes_max {
            return (by_ratio, PeerFault::DeflateRatio);
        }
        (self.message_bytes_max, PeerFault::MessageTooLarge)
    }
}

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All of it is there.
    Whole,
    /// The budget is used up; there is more.
    Unfinished,
}

/// See the module's header.
pub struct Inflater {
    zlib: Inflate,
    /// Octets of payload and [`END`] that were taken.
    taken: usize,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Inflater {
    /// Octets that one holds, as zlib's manual has them.
    pub const HEAP_BYTES: usize = (1 << WINDOW_BITS_MAX) + 7 * 1024;

    /// Ready for a message.
    pub fn new() -> Self {
        // Always the largest window: it takes what was compressed for a smaller one.
        Inflater { zlib: Inflate::new(false, WINDOW_BITS_MAX), taken: 0 }
    }

    /// Begins a message, which may refer to `window`.
    pub fn begin(&mut self, window: &[u8]) {
        self.taken = 0;
        self.restart(window);
    }

    fn restart(&mut self, window: &[u8]) {
        self.zlib.reset(false);
        if !window.is_empty() {
            let set = self.zlib.set_dictionary(window);
            assert!(set.is_ok(), "a raw stream takes a window: {set:?}");
        }
    }

    /// Appends more of the message to `out`. `payload` is the same in each call until it is whole.
    pub fn advance(
        &mut self,
        payload: &[u8],
        out: &mut Vec<u8>,
        bounds: &Bounds,
        budget: &mut usize,
    ) -> Result<Progress, PeerFault> {
        // The RFC's empty message is one octet (7.2.3.6), but some send none.
        if payload.is_empty() {
            return Ok(Progress::Whole);
        }
        let (bytes_max, fault) = bounds.of(payload.len());
        loop {
            // They may have been lowered since the last call.
            if out.len() > bytes_max {
                return Err(fault);
            }
            if *budget == 0 {
                return Ok(Progress::Unfinished);
            }
            let (taken_before, start) = (self.taken, out.len());
            let status = self.portion(payload, out, bytes_max, *budget);
            let (consumed, produced) = (self.taken - taken_before, out.len() - start);
            *budget = budget.saturating_sub(produced + consumed * INPUT_CHARGE);
            if out.len() > bytes_max {
                return Err(fault);
            }
            match status? {
                Status::StreamEnd if self.taken == payload.len() + END.len() => {
                    return Ok(Progress::Whole);
                }
                // The sender has marked a block of its own as the last (7.2.3.4): one that is all
                // there, or an empty one whose other octets it took off (7.2.1 allows both).
                Status::StreamEnd if self.taken == payload.len() => return Ok(Progress::Whole),
                Status::StreamEnd if self.taken == payload.len() + TAIL.len() => {
                    return Ok(Progress::Whole);
                }
                Status::StreamEnd if self.taken < payload.len() => {
                    let window = &out[out.len().saturating_sub(1 << WINDOW_BITS_MAX)..];
                    self.restart(window);
                    *budget = budget.saturating_sub(RESTART_CHARGE);
                }
                Status::StreamEnd => return Err(PeerFault::DeflateCorrupt),
                Status::Ok | Status::BufError if consumed == 0 && produced == 0 => {
                    return Err(PeerFault::DeflateCorrupt);
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }

    /// Takes some of the payload and gives some of the message: at most one octet more than may be,
    /// which shows that there are too many.
    fn portion(
        &mut self,
        payload: &[u8],
        out: &mut Vec<u8>,
        bytes_max: usize,
        budget: usize,
    ) -> Result<Status, PeerFault> {
        let input = match payload.get(self.taken..) {
            Some(rest) if !rest.is_empty() => &rest[..rest.len().min(INPUT_STEP_BYTES)],
            Some(_) | None => &END[self.taken - payload.len()..],
        };
        let start = out.len();
        let end = start + OUTPUT_STEP_BYTES.max(start / 2).min(bytes_max + 1 - start).min(budget);
        if end > out.capacity() {
            let capacity = (2 * out.capacity()).min(bytes_max + 1).max(end);
            out.reserve_exact(capacity - start);
        }
        out.resize(end, 0);
        let (in_before, out_before) = (self.zlib.total_in(), self.zlib.total_out());
        let result = self.zlib.decompress(input, &mut out[start..], InflateFlush::NoFlush);
        out.truncate(start + (self.zlib.total_out() - out_before) as usize);
        self.taken += (self.zlib.total_in() - in_before) as usize;
        result.map_err(|_| PeerFault::DeflateCorrupt)
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Inflater::new()
    }
}
