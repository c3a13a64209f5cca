//! What is kept of a message or a frame that has not arrived whole, and the pool of such states.
//!
//! Invariants: P1 the payload buffer grows with what has arrived (by doubling), never from an
//! announced length and never beyond it; P2 a data frame under way belongs to a message under way;
//! P3 a control frame under way has its own octets and leaves the message alone; P4 the pool holds
//! at most `PARTIALS_POOLED_MAX` states, none with more than `PARTIAL_PAYLOAD_KEPT_BYTES`.

use super::close::CONTROL_BYTES_MAX;
use super::fault::PeerFault;
use super::header::{HEADER_BYTES_MAX, Header};
use super::mask;
use super::opcode::{Control, Kind};
use super::protocol::Limits;
use super::utf8::{Invalid, Utf8};
use crate::limits::{PARTIAL_PAYLOAD_BYTES_MIN, PARTIAL_PAYLOAD_KEPT_BYTES, PARTIALS_POOLED_MAX};

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
    payload: Vec<u8>,
}

impl Partial {
    fn new() -> Self {
        Partial {
            stage: Stage::Between,
            header: Inline::EMPTY,
            control: Inline::EMPTY,
            message: None,
            payload: Vec::new(),
        }
    }

    /// Octets of the message so far and how many frames it had; `None` between messages.
    pub(super) fn message_so_far(&self) -> Option<(usize, u32)> {
        self.message.map(|message| (self.payload.len(), message.frames))
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
        size_of::<Partial>() + self.payload.capacity()
    }

    /// The header is complete; it has been decoded.
    pub(super) fn end_header(&mut self) {
        self.header.len = 0;
        self.stage = Stage::Between;
    }

    /// A data frame begins: the first of a message, or a further one when `kind` is `None`.
    pub(super) fn begin_data(&mut self, kind: Option<Kind>, header: &Header) {
        match kind {
            Some(kind) => self.message = Some(Assembly { kind, frames: 1, utf8: Utf8::new() }),
            None => self.message.as_mut().expect("P2").frames += 1,
        }
        self.stage = Stage::Data(Progress::new(header));
    }

    /// A control frame begins.
    pub(super) fn begin_control(&mut self, control: Control, header: &Header) {
        self.control.len = 0;
        self.stage = Stage::Control(control, Progress::new(header));
    }

    /// Takes more of a data frame. Gives the octets taken, and the kind of the message if that
    /// completed it.
    pub(super) fn absorb_data(
        &mut self,
        mut progress: Progress,
        input: &mut [u8],
        limits: &Limits,
    ) -> Result<(usize, Option<Kind>), PeerFault> {
        let message = self.message.as_mut().expect("P2");
        let rest = progress.total - progress.done;
        let announced = if progress.fin { self.payload.len() + rest } else { usize::MAX };
        let chunk = progress.take(input);
        if message.kind == Kind::Text {
            message.utf8.push(chunk).map_err(|Invalid| PeerFault::InvalidUtf8)?;
        }
        let (kind, whole) = (message.kind, message.utf8.is_complete());
        append(&mut self.payload, chunk, announced.min(limits.message_bytes_max));
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
        Ok((chunk.len(), Some(kind)))
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

    fn reset(&mut self) {
        self.stage = Stage::Between;
        self.header.len = 0;
        self.control.len = 0;
        self.message = None;
        self.payload.clear();
        if self.payload.capacity() > PARTIAL_PAYLOAD_KEPT_BYTES {
            self.payload = Vec::new();
        }
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

/// States for reuse, so that a frame that straddles two receive buffers costs no heap allocation.
#[derive(Debug)]
pub struct PartialPool {
    #[expect(clippy::vec_box, reason = "the boxes are what is reused; moving the states is not")]
    free: Vec<Box<Partial>>,
}

impl PartialPool {
    /// An empty pool.
    pub fn new() -> Self {
        PartialPool { free: Vec::with_capacity(PARTIALS_POOLED_MAX) }
    }

    /// Heap octets that the pool's states hold.
    pub fn heap_bytes(&self) -> usize {
        self.free.iter().map(|partial| partial.heap_bytes()).sum()
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
        if self.free.len() < PARTIALS_POOLED_MAX {
            partial.reset();
            self.free.push(partial);
        }
    }
}

impl Default for PartialPool {
    fn default() -> Self {
        PartialPool::new()
    }
}
