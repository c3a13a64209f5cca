//! What is kept of a message or a frame that has not arrived whole, and the pool of such states.
//!
//! Of a compressed message the payload is kept as it came; it is inflated when it is whole (see
//! `inflating`).
//!
//! Invariants: P1 the payload buffer grows with what has arrived (by doubling), never from an
//! announced length and never beyond it; P2 a data frame under way belongs to a message under way;
//! P3 a control frame under way has its own octets and leaves the message alone; P4 the pool holds
//! at most `PARTIALS_POOLED_MAX` states, each with two buffers (a message as sent, and inflated) of
//! at most `PARTIAL_PAYLOAD_KEPT_BYTES`.

use super::close::CONTROL_BYTES_MAX;
use super::deflate::{Inflater, Window};
use super::fault::PeerFault;
use super::header::{HEADER_BYTES_MAX, Header};
use super::mask;
use super::opcode::{Control, Kind};
use super::protocol::Limits;
use super::recent::Recent;
use super::utf8::{Invalid, Utf8};
use crate::base::Stopwatch;
use crate::limits::{
    INFLATE_BUDGET_BYTES, INFLATE_SLICE_BYTES, INFLATERS_POOLED_MAX, PARTIAL_PAYLOAD_BYTES_MIN,
    PARTIAL_PAYLOAD_KEPT_BYTES, PARTIALS_POOLED_MAX,
};

/// Where the stream was cut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// Between two frames of a fragmented message.
    Between,
    /// Inside a header.
    Header,
    /// Inside the payload of a data frame.
    Data(Progress),
    /// Inside the payload of a control frame.
    Control(Control, Progress),
    /// A message is all there and not yet all inflated.
    Inflating(Kind),
}

/// How far a frame's payload has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    mask: Option<[u8; 4]>,
    fin: bool,
    done: usize,
    total: usize,
}

impl Progress {
    /// The caller has checked that the payload's length fits.
    pub(super) fn new(header: &Header) -> Self {
        let total = header.payload_len as usize;
        Progress { mask: header.mask, fin: header.fin, done: 0, total }
    }

    /// Takes this frame's octets off the front of `input`, unmasked.
    fn take<'a>(&mut self, input: &'a mut [u8]) -> &'a [u8] {
        let len = input.len().min(self.total - self.done);
        let chunk = &mut input[..len];
        if let Some(mask) = self.mask {
            mask::apply(mask, self.done, chunk);
        }
        self.done += len;
        chunk
    }
}

/// A message of which frames are missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assembly {
    kind: Kind,
    frames: u32,
    is_compressed: bool,
    utf8: Utf8,
}

/// Up to `N` octets in place.
#[derive(Debug)]
pub(super) struct Inline<const N: usize> {
    octets: [u8; N],
    len: u8,
}

impl<const N: usize> Inline<N> {
    const EMPTY: Self = Inline { octets: [0; N], len: 0 };

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }

    /// Appends as much of `more` as there is room for.
    pub(super) fn fill(&mut self, more: &[u8]) {
        let at = usize::from(self.len);
        let len = more.len().min(N - at);
        self.octets[at..at + len].copy_from_slice(&more[..len]);
        self.len = (at + len) as u8;
    }
}

/// See the module's header.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) stage: Stage,
    pub(super) header: Inline<HEADER_BYTES_MAX>,
    control: Inline<CONTROL_BYTES_MAX>,
    message: Option<Assembly>,
    pub(super) payload: Vec<u8>,
    /// What `payload` has become so far.
    pub(super) inflated: Vec<u8>,
    /// Held while a message is inflated over more than one turn.
    pub(super) inflater: Option<Box<Inflater>>,
    /// The peer's earlier messages, if it may refer to them.
    pub(super) window: Option<Window>,
    /// Octets that came while a message was inflated.
    pub(super) backlog: Vec<u8>,
}

/// What there is of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct SoFar {
    pub(super) payload_bytes: usize,
    pub(super) frames: u32,
    pub(super) is_compressed: bool,
}

/// A message's last frame is complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assembled {
    pub(super) kind: Kind,
    pub(super) is_compressed: bool,
}

impl Partial {
    fn new() -> Self {
        Partial {
            stage: Stage::Between,
            header: Inline::EMPTY,
            control: Inline::EMPTY,
            message: None,
            payload: Vec::new(),
            inflated: Vec::new(),
            inflater: None,
            window: None,
            backlog: Vec::new(),
        }
    }

    /// What there is of the message; `None` between messages.
    pub(super) fn message_so_far(&self) -> Option<SoFar> {
        self.message.map(|message| SoFar {
            payload_bytes: self.payload.len(),
            frames: message.frames,
            is_compressed: message.is_compressed,
        })
    }

    /// The assembled message.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The assembled control frame's payload.
    pub(super) fn control(&self) -> &[u8] {
        self.control.as_slice()
    }

    /// Heap octets that this state holds, itself included.
    pub(super) fn heap_bytes(&self) -> usize {
        let inflater = self.inflater.as_ref().map_or(0, |_| Inflater::HEAP_BYTES);
        let window = self.window.as_ref().map_or(0, Window::heap_bytes);
        let buffers = self.payload.capacity() + self.inflated.capacity() + self.backlog.capacity();
        size_of::<Partial>() + buffers + inflater + window
    }

    /// The header is complete; it has been decoded.
    pub(super) fn end_header(&mut self) {
        self.header.len = 0;
        self.stage = Stage::Between;
    }

    /// A data frame begins: the first of a message, or a further one when `kind` is `None`.
    pub(super) fn begin_data(&mut self, kind: Option<Kind>, header: &Header) {
        match kind {
            Some(kind) => {
                let is_compressed = header.is_compressed;
                self.message = Some(Assembly { kind, frames: 1, is_compressed, utf8: Utf8::new() });
            }
            None => self.message.as_mut().expect("P2").frames += 1,
        }
        self.stage = Stage::Data(Progress::new(header));
    }

    /// A control frame begins.
    pub(super) fn begin_control(&mut self, control: Control, header: &Header) {
        self.control.len = 0;
        self.stage = Stage::Control(control, Progress::new(header));
    }

    /// Takes more of a data frame. Gives the octets taken, and what the message is if that
    /// completed it.
    pub(super) fn absorb_data(
        &mut self,
        mut progress: Progress,
        input: &mut [u8],
        limits: &Limits,
    ) -> Result<(usize, Option<Assembled>), PeerFault> {
        let message = self.message.as_mut().expect("P2");
        let rest = progress.total - progress.done;
        let announced = if progress.fin { self.payload.len() + rest } else { usize::MAX };
        let chunk = progress.take(input);
        if message.kind == Kind::Text && !message.is_compressed {
            message.utf8.push(chunk).map_err(|Invalid| PeerFault::InvalidUtf8)?;
        }
        let assembled = Assembled { kind: message.kind, is_compressed: message.is_compressed };
        let whole = message.utf8.is_complete();
        let ceiling = limits.payload_bytes_max(message.is_compressed);
        append(&mut self.payload, chunk, announced.min(ceiling));
        if progress.done < progress.total {
            self.stage = Stage::Data(progress);
            return Ok((chunk.len(), None));
        }
        self.stage = Stage::Between;
        if !progress.fin {
            return Ok((chunk.len(), None));
        }
        if !whole {
            return Err(PeerFault::InvalidUtf8);
        }
        self.message = None;
        Ok((chunk.len(), Some(assembled)))
    }

    /// Takes more of a control frame. Gives the octets taken, and whether that completed it.
    pub(super) fn absorb_control(
        &mut self,
        control: Control,
        mut progress: Progress,
        input: &mut [u8],
    ) -> (usize, Option<Control>) {
        let chunk = progress.take(input);
        self.control.fill(chunk);
        if progress.done < progress.total {
            self.stage = Stage::Control(control, progress);
            return (chunk.len(), None);
        }
        self.stage = Stage::Between;
        (chunk.len(), Some(control))
    }

    /// Forgets the message and what it was made of. The window stays, and is all that then stays.
    pub(super) fn clear(&mut self) {
        self.stage = Stage::Between;
        self.header.len = 0;
        self.control.len = 0;
        self.message = None;
        for buffer in [&mut self.payload, &mut self.inflated] {
            buffer.clear();
            if buffer.capacity() > PARTIAL_PAYLOAD_KEPT_BYTES || self.window.is_some() {
                *buffer = Vec::new();
            }
        }
        self.backlog = Vec::new();
    }
}

/// P1. `ceiling` is what the message can become at most; the caller has checked that it fits.
fn append(payload: &mut Vec<u8>, chunk: &[u8], ceiling: usize) {
    let needed = payload.len() + chunk.len();
    if needed > payload.capacity() {
        let doubled = (2 * payload.capacity()).max(PARTIAL_PAYLOAD_BYTES_MIN);
        let capacity = doubled.min(ceiling).max(needed);
        payload.reserve_exact(capacity - payload.len());
    }
    payload.extend_from_slice(chunk);
}

/// States for reuse, so that a frame that straddles two receive buffers costs no heap allocation;
/// and what inflating needs, which no connection owns.
#[derive(Debug)]
pub struct PartialPool {
    #[expect(clippy::vec_box, reason = "the boxes are what is reused; moving the states is not")]
    free: Vec<Box<Partial>>,
    #[expect(clippy::vec_box, reason = "the boxes go to a connection when a message takes longer")]
    inflaters: Vec<Box<Inflater>>,
    pub(super) turn: InflateTurn,
    /// Octets that may yet be inflated in this turn.
    pub(super) inflate_budget: usize,
    /// And for the connection that is looked at.
    pub(super) slice_left: usize,
    pub(super) inflated: InflatedCounts,
    /// Tells how long inflating takes.
    pub stopwatch: Stopwatch,
    /// Nanoseconds that are in no count yet.
    pub(super) inflating_ns: u64,
    /// Where the same messages come again and again.
    pub(super) recent: Option<Recent>,
}

/// How much is inflated in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InflateTurn {
    /// Octets for all connections.
    pub bytes_max: usize,
    /// And for one, each time that it is looked at.
    pub slice_bytes_max: usize,
}

impl Default for InflateTurn {
    fn default() -> Self {
        InflateTurn { bytes_max: INFLATE_BUDGET_BYTES, slice_bytes_max: INFLATE_SLICE_BYTES }
    }
}

/// What was inflated since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InflatedCounts {
    /// Messages.
    pub messages: u64,
    /// Octets of them as received.
    pub bytes_in: u64,
    /// And inflated.
    pub bytes_out: u64,
    /// Microseconds that it took.
    pub us: u64,
}

impl PartialPool {
    /// An empty pool.
    pub fn new() -> Self {
        PartialPool::inflating(InflateTurn::default())
    }

    /// An empty pool that inflates so much in a turn.
    pub fn inflating(turn: InflateTurn) -> Self {
        PartialPool {
            turn,
            free: Vec::with_capacity(PARTIALS_POOLED_MAX),
            inflaters: Vec::new(),
            inflate_budget: turn.bytes_max,
            slice_left: turn.slice_bytes_max,
            inflated: InflatedCounts::default(),
            stopwatch: Stopwatch::STILL,
            inflating_ns: 0,
            recent: None,
        }
    }

    /// An empty pool that remembers what it has inflated lately: for many connections that are sent
    /// the same octets.
    pub fn remembering() -> Self {
        PartialPool { recent: Some(Recent::default()), ..PartialPool::new() }
    }

    /// A new turn: as much may be inflated again.
    pub fn refill(&mut self) {
        self.inflate_budget = self.turn.bytes_max;
        self.slice_left = self.turn.slice_bytes_max;
    }

    /// Another connection is looked at: it has a slice of its own of what is left of the turn.
    #[inline(always)]
    pub fn begin_slice(&mut self) {
        self.slice_left = self.turn.slice_bytes_max;
    }

    /// True while this turn has room for more inflating.
    pub fn has_room(&self) -> bool {
        self.inflate_budget > 0
    }

    /// What was inflated since the last call.
    pub fn take_inflated_counts(&mut self) -> InflatedCounts {
        let us = self.inflating_ns / 1000;
        self.inflating_ns %= 1000;
        InflatedCounts { us, ..std::mem::take(&mut self.inflated) }
    }

    /// Heap octets that the pool's states hold.
    pub fn heap_bytes(&self) -> usize {
        let partials: usize = self.free.iter().map(|partial| partial.heap_bytes()).sum();
        let recent = self.recent.as_ref().map_or(0, Recent::heap_bytes);
        partials + self.inflaters.len() * Inflater::HEAP_BYTES + recent
    }

    /// States ready for reuse.
    pub fn len(&self) -> usize {
        self.free.len()
    }

    /// True when the next state comes from the heap.
    pub fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    pub(super) fn take(&mut self) -> Box<Partial> {
        self.free.pop().unwrap_or_else(|| Box::new(Partial::new()))
    }

    pub(super) fn put(&mut self, mut partial: Box<Partial>) {
        if let Some(inflater) = partial.inflater.take() {
            self.put_inflater(inflater);
        }
        if self.free.len() < PARTIALS_POOLED_MAX {
            partial.clear();
            partial.window = None;
            self.free.push(partial);
        }
    }

    pub(super) fn take_inflater(&mut self) -> Box<Inflater> {
        self.inflaters.pop().unwrap_or_default()
    }

    pub(super) fn put_inflater(&mut self, inflater: Box<Inflater>) {
        if self.inflaters.len() < INFLATERS_POOLED_MAX {
            self.inflaters.push(inflater);
        }
    }
}

impl Default for PartialPool {
    fn default() -> Self {
        PartialPool::new()
    }
}
