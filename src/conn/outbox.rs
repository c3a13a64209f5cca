//! What the connections of a shard send in one turn.
//!
//! Everything that a connection is sent during a turn becomes one chain of staged segments and one
//! send. A message of a topic is staged once for all subscribers. A connection that already has
//! something waiting takes the slow way: its [`Egress`].
//!
//! Owns the staging memory, and the sum of what waits in the shard. Invariants: O2 of `ring::op`
//! (at most one send per connection and turn, none while something waits); B1 what a short send
//! left over is queued in order before anything newer of the connection; B2 a frame that was sent
//! in part is always sent to its end.

use bytes::Bytes;

pub use super::batch::BatchId;
use super::batch::{Batch, Frame, Whole};
use super::compression::Compression;
use super::egress::{Egress, Full, Queued, Tag};
use super::link::Link;
use crate::base::ConnKey;
use crate::limits::{
    ARENA_FRAME_BYTES_MAX, EGRESS_CONTROL_RESERVE_BYTES, EGRESS_FRAME_OVERHEAD_BYTES,
};
use crate::pubsub::envelope::TopicStay;
use crate::pubsub::policy::SlowConsumer;
use crate::ring::{FileSlot, Op, OpQueue, Piece, SegmentId, Staging};
use crate::ws::header::{HEADER_BYTES_MAX, encode_header};
use crate::ws::opcode::Opcode;

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressLimits {
    /// For one connection, in octets as charged.
    pub bytes_max: usize,
    /// For all connections of the shard.
    pub total_bytes_max: usize,
}

/// Where a connection stands after something was taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Below the high watermark.
    Flowing,
    /// Above it: whoever produces for this connection had better pause.
    Congested,
}

/// What became of a topic's batch for one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It will be sent with this turn.
    Staged,
    /// It waits behind what waits already, and the policy may have dropped something.
    Queued(Queued),
    /// It would go over the limit, and the policy is to close.
    TooSlow,
}

pub(super) struct Entry {
    key: ConnKey,
    file: FileSlot,
    first: SegmentId,
    last: SegmentId,
    pub(super) direct_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Direct,
    Batch(BatchId),
    Frame(BatchId, usize),
}

/// See the module's header.
pub struct Outbox {
    staging: Staging,
    /// By segment: where its bytes come from.
    origins: Vec<Origin>,
    pub(super) entries: Vec<Entry>,
    pub(super) batches: Vec<Batch>,
    pub(super) frames: Vec<Frame>,
    pub(super) limits: EgressLimits,
    pub(super) charged_total: usize,
    pub(super) compression: Option<Compression>,
}

impl Outbox {
    /// An outbox whose arena holds `arena_bytes`.
    pub fn new(arena_bytes: usize, limits: EgressLimits) -> Self {
        Outbox {
            compression: None,
            staging: Staging::new(arena_bytes),
            origins: Vec::new(),
            entries: Vec::new(),
            batches: Vec::new(),
            frames: Vec::new(),
            limits,
            charged_total: 0,
        }
    }

    /// The memory of this turn's sends, for the driver.
    pub fn staging(&self) -> &Staging {
        &self.staging
    }

    /// What waits in all queues of the shard, as charged.
    pub fn charged_total(&self) -> usize {
        self.charged_total
    }

    /// How much may wait.
    pub fn limits(&self) -> EgressLimits {
        self.limits
    }

    /// How much may wait from now on. What waits already stays, even when that is more.
    pub fn set_limits(&mut self, limits: EgressLimits) {
        self.limits = limits;
    }

    /// Above this a connection is congested.
    pub fn high_watermark(&self) -> usize {
        self.limits.bytes_max / 2
    }

    /// At this or below, a congested connection flows again.
    pub fn low_watermark(&self) -> usize {
        self.limits.bytes_max / 4
    }

    /// Takes a frame for one connection.
    pub fn send(&mut self, link: &mut Link, opcode: Opcode, payload: &[u8]) -> Result<Taken, Full> {
        let tag = match opcode {
            Opcode::Pong => Tag::Pong,
            Opcode::Close | Opcode::Ping => Tag::Control,
            Opcode::Text | Opcode::Binary | Opcode::Continuation => Tag::Direct,
        };
        if tag == Tag::Direct
            && link.deflate_bits != 0
            && let Some(taken) = self.send_compressed(link, opcode, payload)
        {
            return taken;
        }
        let mut header = [0; HEADER_BYTES_MAX];
        let header_len = encode_header(&mut header, true, opcode, payload.len() as u64, None);
        self.send_raw(link, &header[..header_len], payload, tag)
    }

    /// Takes octets that are not a frame (an HTTP response), or a frame in two parts.
    #[inline]
    pub fn send_raw(
        &mut self,
        link: &mut Link,
        head: &[u8],
        body: &[u8],
        tag: Tag,
    ) -> Result<Taken, Full> {
        let len = head.len() + body.len();
        if link.egress.is_some() {
            let frame = Bytes::from([head, body].concat());
            self.queue(link, frame, tag)?;
            return Ok(self.level(link));
        }
        let data_max = self.limits.bytes_max - EGRESS_CONTROL_RESERVE_BYTES;
        let entry = self.index_of(link);
        let staged = entry.map_or(0, |entry| self.entries[entry].direct_bytes);
        let is_data = matches!(tag, Tag::Direct | Tag::Pong);
        if is_data && staged + len + EGRESS_FRAME_OVERHEAD_BYTES > data_max {
            return Err(Full);
        }
        let piece = if len < ARENA_FRAME_BYTES_MAX && len <= self.staging.room() {
            self.staging.write_frame(head, body)
        } else {
            self.staging.share(Bytes::from([head, body].concat()))
        };
        self.append(link, entry, piece, Origin::Direct, len);
        // Nothing waits, so what was staged in this turn is all.
        Ok(self.taken(staged + len))
    }

    /// Stages a topic's messages once, for any number of [`Self::deliver`].
    pub fn stage(&mut self, topic: TopicStay, policy: SlowConsumer, frames: &[Bytes]) -> BatchId {
        let start = self.frames.len();
        self.frames.extend(frames.iter().map(Frame::new));
        let octets: usize = frames.iter().map(Bytes::len).sum();
        let whole = match frames {
            [only] => Some(self.staging.share(only.clone())),
            several if octets <= self.staging.room() => {
                let start = self.staging.mark();
                several.iter().for_each(|frame| self.staging.write(frame));
                Some(Piece::Arena { start, len: octets as u32 })
            }
            _ => None,
        };
        let first_shared = self.staging.shared_len();
        if whole.is_none() {
            for frame in frames {
                self.staging.share(frame.clone());
            }
        }
        let frames = start..self.frames.len();
        let id = BatchId(self.batches.len() as u32);
        let whole = whole.map(|piece| {
            self.origins.push(Origin::Batch(id));
            Whole { piece, segment: self.staging.chain(piece) }
        });
        let compressed = Vec::new();
        self.batches.push(Batch { topic, policy, frames, whole, first_shared, compressed });
        id
    }

    /// Takes a staged batch for one subscriber.
    #[inline(always)]
    pub fn deliver(&mut self, link: &mut Link, id: BatchId) -> Delivered {
        let id = match link.deflate_bits {
            0 => id,
            bits => self.compressed(id, bits),
        };
        let batch = &self.batches[id.0 as usize];
        if link.egress.is_none()
            && let Some(whole) = batch.whole
        {
            match self.index_of(link) {
                None => self.enter(link, whole.segment, 0),
                Some(at) => self.append(link, Some(at), whole.piece, Origin::Batch(id), 0),
            }
            return Delivered::Staged;
        }
        self.deliver_frames(link, id)
    }

    /// The same, frame by frame.
    fn deliver_frames(&mut self, link: &mut Link, id: BatchId) -> Delivered {
        let batch = &self.batches[id.0 as usize];
        let frames = batch.frames.clone();
        if link.egress.is_some() {
            let tag = batch.tag();
            let mut queued = Queued::default();
            for index in frames {
                let frame = self.frames[index].keep();
                match self.queue(link, frame, tag) {
                    Ok(more) => queued += more,
                    Err(Full) => return Delivered::TooSlow,
                }
            }
            return Delivered::Queued(queued);
        }
        let shared = batch.first_shared..;
        for (index, shared) in frames.zip(shared) {
            let (entry, piece) = (self.index_of(link), Piece::Shared { index: shared });
            self.append(link, entry, piece, Origin::Frame(id, index), 0);
        }
        Delivered::Staged
    }

    /// Writes one send for each connection that has something staged.
    pub fn flush(&mut self, ops: &mut OpQueue) -> usize {
        let sends = self.entries.iter();
        ops.extend(sends.map(|e| Op::Send { conn: e.key, file: e.file, first: e.first }));
        self.entries.len()
    }

    /// True when something was staged since the last turn began.
    pub fn has_staged(&self) -> bool {
        !self.entries.is_empty()
    }

    /// The kernel took only `sent` octets of what this turn staged for the connection: the rest
    /// waits from now on.
    pub fn take_back(&mut self, link: &mut Link, sent: usize) -> Delivered {
        let Some(entry) = self.entry_of(link) else { return Delivered::Staged };
        let mut at = Some(entry.first);
        let mut skip = sent;
        let mut queued = Queued::default();
        let mut verdict = Delivered::Staged;
        while let Some(id) = at {
            at = self.staging.next(id);
            let result = match self.origins[id.0 as usize] {
                Origin::Direct => self.take_back_direct(link, id, &mut skip),
                Origin::Batch(batch) => self.take_back_batch(link, batch, &mut skip),
                Origin::Frame(batch, index) => {
                    let tag = self.tag_of(batch);
                    self.take_back_message(link, index, tag, &mut skip)
                }
            };
            match result {
                Ok(more) => queued += more,
                Err(Full) => verdict = Delivered::TooSlow,
            }
            if verdict == Delivered::TooSlow {
                return verdict;
            }
        }
        Delivered::Queued(queued)
    }

    /// A new turn begins: the memory of the last one is free again.
    pub fn begin_turn(&mut self) {
        if let Some(compression) = &mut self.compression {
            compression.refill();
        }
        self.staging.clear();
        self.origins.clear();
        self.entries.clear();
        self.batches.clear();
        self.frames.clear();
    }

    /// The next queued send of a slow connection.
    pub fn next_send(&mut self, link: &mut Link) -> Option<Op> {
        let (frames, skip) = link.egress.as_mut()?.next_send();
        Some(Op::SendQueued { conn: link.key, file: link.file, frames, skip })
    }

    /// A queued send is over.
    pub fn sent(&mut self, link: &mut Link, octets: usize) {
        self.with_egress(link, |egress| egress.sent(octets));
    }

    /// Forgets what waits, but for a frame that is partly out and what the kernel holds.
    pub fn truncate(&mut self, link: &mut Link) -> usize {
        self.with_egress(link, Egress::truncate).unwrap_or(0)
    }

    /// The connection is gone, and so is what waited for it.
    pub fn forget(&mut self, link: &mut Link) {
        self.charged_total -= link.queued_bytes();
        link.egress = None;
    }

    fn with_egress<T>(&mut self, link: &mut Link, act: impl FnOnce(&mut Egress) -> T) -> Option<T> {
        let egress = link.egress.as_mut()?;
        let before = egress.charged();
        let result = act(egress);
        self.charged_total = self.charged_total - before + egress.charged();
        if egress.is_empty() {
            link.egress = None;
        }
        Some(result)
    }

    fn level(&self, link: &Link) -> Taken {
        let staged = self.entry_of(link).map_or(0, |entry| entry.direct_bytes);
        let waiting = link.egress.as_ref().map_or(0, |egress| egress.direct());
        self.taken(waiting + staged)
    }

    fn taken(&self, direct_bytes: usize) -> Taken {
        if direct_bytes > self.high_watermark() { Taken::Congested } else { Taken::Flowing }
    }

    fn queue(&mut self, link: &mut Link, frame: Bytes, tag: Tag) -> Result<Queued, Full> {
        let room = self.limits.total_bytes_max.saturating_sub(self.charged_total);
        let egress = link.egress.get_or_insert_default();
        let before = egress.charged();
        let charge_max = self.limits.bytes_max.min(before + room);
        let result = egress.push(frame, tag, charge_max);
        self.charged_total = self.charged_total - before + egress.charged();
        if egress.is_empty() {
            link.egress = None;
        }
        result
    }

    fn take_back_direct(
        &mut self,
        link: &mut Link,
        id: SegmentId,
        skip: &mut usize,
    ) -> Result<Queued, Full> {
        let frame = match self.staging.piece(id) {
            Piece::Shared { index } => self.staging.frame(index).clone(),
            piece @ Piece::Arena { .. } => {
                let octets = self.staging.bytes(piece);
                if *skip >= octets.len() {
                    *skip -= octets.len();
                    return Ok(Queued::default());
                }
                Bytes::copy_from_slice(octets)
            }
        };
        self.take_back_frame(link, frame, Tag::Direct, skip)
    }

    fn take_back_batch(
        &mut self,
        link: &mut Link,
        batch: BatchId,
        skip: &mut usize,
    ) -> Result<Queued, Full> {
        let tag = self.tag_of(batch);
        let mut queued = Queued::default();
        for index in self.batches[batch.0 as usize].frames.clone() {
            queued += self.take_back_message(link, index, tag, skip)?;
        }
        Ok(queued)
    }

    fn take_back_message(
        &mut self,
        link: &mut Link,
        index: usize,
        tag: Tag,
        skip: &mut usize,
    ) -> Result<Queued, Full> {
        let len = self.frames[index].len();
        if *skip >= len {
            *skip -= len;
            return Ok(Queued::default());
        }
        let frame = self.frames[index].keep();
        self.take_back_frame(link, frame, tag, skip)
    }

    fn take_back_frame(
        &mut self,
        link: &mut Link,
        frame: Bytes,
        tag: Tag,
        skip: &mut usize,
    ) -> Result<Queued, Full> {
        if *skip >= frame.len() {
            *skip -= frame.len();
            return Ok(Queued::default());
        }
        if *skip == 0 {
            return self.queue(link, frame, tag);
        }
        // B2: what is partly out goes out whatever the limits say; it is at most one frame.
        let octets_out = std::mem::take(skip);
        let egress = link.egress.get_or_insert_default();
        egress.begin_with_partial(frame, octets_out, tag);
        self.charged_total += egress.charged();
        Ok(Queued::default())
    }

    fn tag_of(&self, batch: BatchId) -> Tag {
        self.batches[batch.0 as usize].tag()
    }

    fn entry_of(&self, link: &Link) -> Option<&Entry> {
        self.index_of(link).map(|entry| &self.entries[entry])
    }

    pub(super) fn index_of(&self, link: &Link) -> Option<usize> {
        // The key tells an entry of this turn from a left-over index: no clearing of links, and no
        // turn counter that could wrap.
        let index = link.entry as usize;
        self.entries.get(index).is_some_and(|entry| entry.key == link.key).then_some(index)
    }

    /// Makes the connection's entry of this turn.
    #[inline]
    fn enter(&mut self, link: &mut Link, first: SegmentId, direct_bytes: usize) {
        link.entry = self.entries.len() as u32;
        let (key, file) = (link.key, link.file);
        self.entries.push(Entry { key, file, first, last: first, direct_bytes });
    }

    /// Gives an entry that consists of a shared segment one of its own, to which more is appended.
    fn unshare(&mut self, at: usize) {
        let entry = &mut self.entries[at];
        if let Origin::Batch(id) = self.origins[entry.first.0 as usize]
            && let Some(whole) = self.batches[id.0 as usize].whole
            && whole.segment == entry.first
        {
            entry.first = self.staging.chain(whole.piece);
            entry.last = entry.first;
            self.origins.push(Origin::Batch(id));
        }
    }

    /// Appends to what the connection has staged: to its entry `at`, or as the first of a new one.
    #[inline]
    fn append(
        &mut self,
        link: &mut Link,
        at: Option<usize>,
        piece: Piece,
        origin: Origin,
        direct_bytes: usize,
    ) {
        let Some(at) = at else {
            let first = self.staging.chain(piece);
            self.origins.push(origin);
            return self.enter(link, first, direct_bytes);
        };
        let entry = &mut self.entries[at];
        entry.direct_bytes += direct_bytes;
        let continues = origin == Origin::Direct
            && self.origins[entry.last.0 as usize] == Origin::Direct
            && self.staging.grow(entry.last, piece);
        if !continues {
            self.unshare(at);
            let entry = &mut self.entries[at];
            entry.last = self.staging.extend(entry.last, piece);
            self.origins.push(origin);
        }
    }
}
