//! What all connections of a ring share: the means to send, and the tally of what happened.

use super::order::Place;
use super::plan::Work;
use super::report::FaultCause;
use super::tally::{Schedule, Tally};
use super::unsent::Unsent;
use crate::base::prng::Prng;
use crate::conn::egress::{Full, Tag};
use crate::conn::outbox::{Delivered, EgressLimits};
use crate::conn::{Link, Outbox, Send};
use crate::limits::{
    BENCH_ARENA_BYTES, BENCH_EGRESS_BYTES_MAX, BENCH_EGRESS_TOTAL_BYTES_MAX,
    CLIENT_MESSAGE_BYTES_MAX, COMPRESSION_LEVEL, FRAGMENTS_MAX,
};
use crate::ring::{OpQueue, Staging};
use crate::ws::close::CloseCode;
use crate::ws::deflate::Deflater;
use crate::ws::header::{HEADER_BYTES_MAX, encode_header, mark_compressed};
use crate::ws::opcode::Opcode;
use crate::ws::partial::PartialPool;
use crate::ws::{Limits, mask};

/// See the module's header.
pub(super) struct Io {
    pub(super) now_ns: u64,
    pub(super) outbox: Outbox,
    pub(super) ops: OpQueue,
    /// Orders that come after the sends of the turn.
    pub(super) closes: OpQueue,
    pub(super) pool: PartialPool,
    pub(super) prng: Prng,
    pub(super) scratch: Vec<u8>,
    deflater: Deflater,
    compressed: Vec<u8>,
    pub(super) message_limits: Limits,
    pub(super) closes_by_reset: bool,
    /// Latency is that of handshakes, not of messages.
    pub(super) times_handshakes: bool,
    pub(super) tally: Tally,
    pub(super) unsent: Unsent,
    pub(super) schedule: Schedule,
}

impl Io {
    pub(super) fn new(seed: u64, work: &Work) -> Self {
        let limits = EgressLimits {
            bytes_max: BENCH_EGRESS_BYTES_MAX,
            total_bytes_max: BENCH_EGRESS_TOTAL_BYTES_MAX,
        };
        Io {
            now_ns: 0,
            outbox: Outbox::new(BENCH_ARENA_BYTES, limits),
            ops: OpQueue::new(),
            closes: OpQueue::new(),
            pool: PartialPool::remembering(),
            prng: Prng::new(seed),
            scratch: Vec::new(),
            deflater: Deflater::new(COMPRESSION_LEVEL),
            compressed: Vec::new(),
            message_limits: Limits {
                message_bytes_max: CLIENT_MESSAGE_BYTES_MAX,
                fragments_max: FRAGMENTS_MAX,
                ..Limits::default()
            },
            closes_by_reset: matches!(work, Work::Handshake { reset: true }),
            times_handshakes: matches!(work, Work::Handshake { .. }),
            tally: Tally::new(),
            unsent: Unsent::default(),
            schedule: Schedule::NEVER,
        }
    }

    /// Sends a masked frame whose payload `write` appends. False when it was not taken.
    pub(super) fn send(
        &mut self,
        link: &mut Link,
        opcode: Opcode,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let mut payload = std::mem::take(&mut self.scratch);
        payload.clear();
        write(&mut payload);
        let tag = if opcode.is_control() { Tag::Control } else { Tag::Direct };
        let taken = if !opcode.is_control() && link.deflate_bits != 0 {
            self.send_data(link, opcode, &mut payload)
        } else {
            self.send_frame(link, opcode, false, &mut payload, tag)
        };
        self.scratch = payload;
        if taken.is_err() {
            self.tally.faults.add(FaultCause::Overrun, || {
                format!("{BENCH_EGRESS_BYTES_MAX} octets already wait for one connection")
            });
        }
        taken.is_ok()
    }

    /// Answers a ping.
    pub(super) fn pong(&mut self, link: &mut Link, payload: &[u8]) {
        self.tally.pings += 1;
        self.send(link, Opcode::Pong, |out| out.extend_from_slice(payload));
    }

    /// Begins the closing handshake.
    pub(super) fn send_close(&mut self, link: &mut Link) {
        let CloseCode(code) = CloseCode::NORMAL;
        self.send(link, Opcode::Close, |out| out.extend_from_slice(&code.to_be_bytes()));
    }

    /// Sends octets that are no frame.
    pub(super) fn send_octets(&mut self, link: &mut Link, octets: &[u8]) {
        let taken = self.outbox.send_raw(link, octets, &[], Tag::Direct);
        taken.expect("the first octets of a connection find an empty queue");
    }

    /// A fast send was not taken whole: the rest waits. False when that is more than may wait.
    #[must_use]
    pub(super) fn take_back(&mut self, link: &mut Link, sent: usize) -> bool {
        match self.outbox.take_back(link, sent) {
            Delivered::Staged | Delivered::Queued(_) => true,
            Delivered::TooSlow => false,
        }
    }

    /// Arms the next queued send, if something waits and none is in flight.
    pub(super) fn send_waiting(&mut self, link: &mut Link) {
        if link.io.send == Send::Idle
            && let Some(op) = self.outbox.next_send(link)
        {
            link.io.send = Send::InFlight;
            self.ops.push(op);
        }
    }

    /// New messages may be sent.
    pub(super) fn is_loading(&self) -> bool {
        self.schedule.load.holds(self.now_ns)
    }

    /// A message has been sent, or a handshake begun, that was due at `due_ns`.
    pub(super) fn sent(&mut self, due_ns: u64) {
        self.tally.sent += 1;
        self.tally.window_sent += u64::from(self.schedule.measured.holds(due_ns));
    }

    /// A message was due at `due_ns` for which there was no room.
    pub(super) fn not_sent(&mut self, due_ns: u64) {
        self.unsent.add(due_ns, self.schedule.measured);
    }

    /// A good message has come that was due at `due_ns`.
    pub(super) fn arrived(&mut self, due_ns: u64, place: Place) {
        match place {
            Place::New => {}
            Place::Repeated => return,
        }
        self.tally.received += 1;
        self.tally.window_received += u64::from(self.schedule.measured.holds(self.now_ns));
        if self.schedule.measured.holds(due_ns) {
            self.tally.latency.record(self.now_ns.saturating_sub(due_ns));
        }
    }

    /// A connection was upgraded whose connect was due at `due_ns`.
    pub(super) fn upgraded(&mut self, due_ns: u64) {
        self.tally.upgraded += 1;
        self.tally.window_upgraded += u64::from(self.schedule.measured.holds(self.now_ns));
        if self.times_handshakes && self.schedule.measured.holds(due_ns) {
            self.tally.latency.record(self.now_ns.saturating_sub(due_ns));
        }
    }

    pub(super) fn orders(&mut self) -> (&mut OpQueue, &Staging) {
        self.outbox.flush(&mut self.ops);
        self.ops.append(&mut self.closes);
        (&mut self.ops, self.outbox.staging())
    }

    /// Sends a message compressed, if that makes it shorter.
    fn send_data(
        &mut self,
        link: &mut Link,
        opcode: Opcode,
        payload: &mut [u8],
    ) -> Result<(), Full> {
        let mut compressed = std::mem::take(&mut self.compressed);
        let taken = match self.deflater.compress(payload, link.deflate_bits, &mut compressed) {
            true => self.send_frame(link, opcode, true, &mut compressed, Tag::Direct),
            false => self.send_frame(link, opcode, false, payload, Tag::Direct),
        };
        self.compressed = compressed;
        taken
    }

    fn send_frame(
        &mut self,
        link: &mut Link,
        opcode: Opcode,
        is_compressed: bool,
        payload: &mut [u8],
        tag: Tag,
    ) -> Result<(), Full> {
        let key = (self.prng.next_u64() as u32).to_le_bytes();
        mask::apply(key, 0, payload);
        let mut header = [0; HEADER_BYTES_MAX];
        let len = encode_header(&mut header, true, opcode, payload.len() as u64, Some(key));
        if is_compressed {
            mark_compressed(&mut header);
        }
        self.outbox.send_raw(link, &header[..len], payload, tag).map(|_| ())
    }
}
