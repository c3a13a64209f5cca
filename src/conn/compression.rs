//! Compressing what a shard sends (RFC 7692): each message by itself, so that one for many
//! subscribers is compressed once, and nobody's connection owns a window.

use bytes::Bytes;

use super::batch::BatchId;
use super::egress::{Full, Tag};
use super::link::Link;
use super::outbox::{EgressLimits, Outbox, Taken};
use crate::base::Stopwatch;
use crate::limits::{EGRESS_CONTROL_RESERVE_BYTES, EGRESS_FRAME_OVERHEAD_BYTES};
use crate::ws::deflate::Deflater;
use crate::ws::header::{HEADER_BYTES_MAX, encode_header, header_bytes, mark_compressed};
use crate::ws::opcode::Opcode;

/// How a shard compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionConfig {
    /// From 1 (fastest) to 9.
    pub level: u8,
    /// Messages of fewer octets are sent as they are.
    pub threshold_bytes: usize,
    /// Octets that may be compressed in one turn, and so also of the largest message that is.
    pub turn_bytes_max: usize,
}

/// What was compressed since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompressionCounts {
    /// Messages, however many got each of them.
    pub messages: u64,
    /// Octets of them before.
    pub bytes_in: u64,
    /// And after.
    pub bytes_out: u64,
    /// Messages that would not have become shorter.
    pub given_up: u64,
    /// Messages that were more than the turn had room for.
    pub skipped: u64,
    /// Microseconds that it took.
    pub us: u64,
}

/// See the module's header.
pub(super) struct Compression {
    deflater: Deflater,
    config: CompressionConfig,
    payload: Vec<u8>,
    /// Octets that may yet be compressed in this turn.
    budget: usize,
    stopwatch: Stopwatch,
    /// Nanoseconds that are in no count yet.
    ns: u64,
    pub(super) counts: CompressionCounts,
}

impl Compression {
    pub(super) fn new(config: CompressionConfig, stopwatch: Stopwatch) -> Self {
        Compression {
            deflater: Deflater::new(config.level),
            config,
            payload: Vec::new(),
            budget: config.turn_bytes_max,
            stopwatch,
            ns: 0,
            counts: CompressionCounts::default(),
        }
    }

    /// A new turn: as much may be compressed again.
    pub(super) fn refill(&mut self) {
        self.budget = self.config.turn_bytes_max;
    }

    /// The compressed payload, if it is worth it. It has to be given back with [`Self::restore`].
    pub(super) fn compress(&mut self, message: &[u8], window_bits: u8) -> Option<Vec<u8>> {
        if message.len() < self.config.threshold_bytes {
            return None;
        }
        if message.len() > self.budget {
            self.counts.skipped += 1;
            return None;
        }
        self.budget -= message.len();
        let start_ns = self.stopwatch.ns();
        let is_shorter = self.deflater.compress(message, window_bits, &mut self.payload);
        self.ns += self.stopwatch.ns() - start_ns;
        if !is_shorter {
            self.counts.given_up += 1;
            return None;
        }
        self.counts.messages += 1;
        self.counts.bytes_in += message.len() as u64;
        self.counts.bytes_out += self.payload.len() as u64;
        Some(std::mem::take(&mut self.payload))
    }

    /// Takes back the memory of a payload.
    pub(super) fn restore(&mut self, payload: Vec<u8>) {
        self.payload = payload;
    }

    /// A whole, unmasked data frame, compressed if that is worth it.
    pub(super) fn frame(&mut self, frame: &Bytes, window_bits: u8) -> Option<Bytes> {
        let (opcode, message) = frame.split_at(header_bytes(frame));
        let opcode = Opcode::from_bits(opcode[0] & 0x0f).expect("a frame of ours");
        let payload = self.compress(message, window_bits)?;
        let mut header = [0; HEADER_BYTES_MAX];
        let len = encode_header(&mut header, true, opcode, payload.len() as u64, None);
        mark_compressed(&mut header);
        let compressed = Bytes::from([&header[..len], &payload].concat());
        self.restore(payload);
        Some(compressed)
    }
}

impl Outbox {
    /// An outbox whose arena holds `arena_bytes`, and which compresses for those who take it.
    pub fn compressing(
        arena_bytes: usize,
        limits: EgressLimits,
        compression: Option<(CompressionConfig, Stopwatch)>,
    ) -> Self {
        let mut outbox = Outbox::new(arena_bytes, limits);
        outbox.compression =
            compression.map(|(config, stopwatch)| Compression::new(config, stopwatch));
        outbox
    }

    /// A message as one connection takes it compressed, if that is worth it: not where even an
    /// empty one would be refused.
    fn compress_for(&mut self, link: &Link, message: &[u8]) -> Option<Vec<u8>> {
        let waits = link.egress.as_ref().map(|egress| egress.charged());
        let staged = || self.index_of(link).map_or(0, |entry| self.entries[entry].direct_bytes);
        let data_max = self.limits.bytes_max - EGRESS_CONTROL_RESERVE_BYTES;
        let is_full = waits.unwrap_or_else(staged) + EGRESS_FRAME_OVERHEAD_BYTES > data_max;
        if is_full || (waits.is_some() && self.charged_total >= self.limits.total_bytes_max) {
            return None;
        }
        self.compression.as_mut()?.compress(message, link.deflate_bits)
    }

    /// Takes a message for one connection compressed, if that is worth it. Apart from what plain
    /// messages go through, which is laid out as one piece.
    #[inline(never)]
    pub(super) fn send_compressed(
        &mut self,
        link: &mut Link,
        opcode: Opcode,
        message: &[u8],
    ) -> Option<Result<Taken, Full>> {
        let payload = self.compress_for(link, message)?;
        let mut header = [0; HEADER_BYTES_MAX];
        let len = encode_header(&mut header, true, opcode, payload.len() as u64, None);
        mark_compressed(&mut header);
        let taken = self.send_raw(link, &header[..len], &payload, Tag::Direct);
        if let Some(compression) = &mut self.compression {
            compression.restore(payload);
        }
        Some(taken)
    }

    /// The batch as it is sent to those who take it compressed: made once for each size of window.
    #[inline(never)]
    pub(super) fn compressed(&mut self, id: BatchId, window_bits: u8) -> BatchId {
        let index = id.0 as usize;
        let batch = &self.batches[index];
        if let Some((_, made)) = batch.compressed.iter().find(|(bits, _)| *bits == window_bits) {
            return *made;
        }
        let Some(compression) = &mut self.compression else { return id };
        let mut is_shorter = false;
        let frames = batch.frames.clone().map(|index| {
            let frame = self.frames[index].octets();
            let compressed = compression.frame(frame, window_bits);
            is_shorter |= compressed.is_some();
            compressed.unwrap_or_else(|| frame.clone())
        });
        let frames: Vec<Bytes> = frames.collect();
        let (topic, policy) = (batch.topic, batch.policy);
        let made = if is_shorter { self.stage(topic, policy, &frames) } else { id };
        self.batches[index].compressed.push((window_bits, made));
        made
    }

    /// What was compressed since the last call.
    pub fn take_compression_counts(&mut self) -> CompressionCounts {
        let Some(compression) = &mut self.compression else { return CompressionCounts::default() };
        let us = compression.ns / 1000;
        compression.ns %= 1000;
        CompressionCounts { us, ..std::mem::take(&mut compression.counts) }
    }
}
