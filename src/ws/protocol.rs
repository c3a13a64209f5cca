//! The receiving half of one connection: bytes in, events out (RFC 6455, sections 5 to 8).
//!
//! Owns the state between two receives and nothing else. A frame that lies whole in the input is
//! unmasked in place and lent from there: no copy, no heap. Only what the input cuts off is copied
//! to a `Partial`, which comes from and returns to a [`PartialPool`].
//!
//! Invariants: W1 between messages it owns no heap memory, but for the window of a peer that may
//! refer to its earlier messages; W2 the events, and the fault that ends
//! them, don't depend on how the stream was cut; W3 limits are checked when a header is complete,
//! before anything is kept of its payload; W4 nothing is read after a close frame or a fault.

use super::deflate::{Agreement, Bounds};
use super::fault::PeerFault;
use super::header::{self, Header, ShortMessage};
use super::mask;
use super::message::{Event, Message, Step, control_event};
use super::opcode::{Class, Control, Kind};
use super::partial::{Partial, PartialPool, SoFar, Stage};
use crate::limits;

/// Which end we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We are the server: frames from the peer are masked.
    Server,
    /// We are the client: frames from the peer are not masked.
    Client,
}

/// What we take from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a message.
    pub message_bytes_max: usize,
    /// Frames of a message.
    pub fragments_max: u32,
    /// Octets that a compressed message may become for each of its own.
    pub inflate_ratio_max: u32,
}

impl Limits {
    /// Octets of a message as sent. What does not compress becomes a little longer by it: 5 octets
    /// for each block that is stored, of which zlib makes one for 127 octets where it is given the
    /// least memory.
    pub(super) fn payload_bytes_max(&self, is_compressed: bool) -> usize {
        match is_compressed {
            false => self.message_bytes_max,
            true => self.message_bytes_max + self.message_bytes_max / 16 + 64,
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { message_bytes_max: self.message_bytes_max, ratio_max: self.inflate_ratio_max }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            fragments_max: limits::FRAGMENTS_MAX,
            inflate_ratio_max: limits::INFLATE_RATIO_MAX,
        }
    }
}

/// See the module's header.
#[derive(Debug)]
pub struct Protocol {
    role: Role,
    /// The last event was lent from the partial state; the next step may reuse it.
    lent: bool,
    ended: bool,
    deflate: Option<Agreement>,
    pub(super) partial: Option<Box<Partial>>,
}

const _: () = assert!(size_of::<Protocol>() <= 16, "it is part of every connection's slot");

/// An event that was found, as plain data: the borrow is made last, where the compiler accepts it.
#[derive(Clone, Copy)]
pub(super) struct Found {
    what: What,
    place: Place,
}

#[derive(Clone, Copy)]
pub(super) enum What {
    Message(Kind),
    Control(Control),
}

#[derive(Clone, Copy)]
enum Place {
    /// The last `len` octets of what was consumed.
    Input {
        len: usize,
    },
    Partial,
}

impl Protocol {
    /// The state right after the upgrade.
    pub fn new(role: Role) -> Self {
        Protocol { role, lent: false, ended: false, deflate: None, partial: None }
    }

    /// The same where compressed messages were agreed on.
    pub fn with_deflate(role: Role, agreement: Agreement) -> Self {
        Protocol { deflate: Some(agreement), ..Protocol::new(role) }
    }

    /// Looks for the next event in `input`, unmasking in place. The caller goes on with what
    /// follows `consumed` until there is no event; then all of `input` is consumed, unless the
    /// connection [stalls](Self::is_stalled). Not to be called again after a close event or a fault
    /// (W4).
    pub fn step<'a>(
        &'a mut self,
        input: &'a mut [u8],
        limits: &Limits,
        pool: &mut PartialPool,
    ) -> Result<Step<'a>, PeerFault> {
        debug_assert!(!self.ended, "W4");
        if self.ended {
            return Ok(Step { consumed: input.len(), event: None });
        }
        self.settle(pool);
        if self.partial.is_none()
            && let Some(short) = header::peek_message(input, self.role)
            && limits.fragments_max > 0
            && short.payload_bytes <= limits.message_bytes_max
        {
            return self.take_short(short, input);
        }
        let (consumed, found) = match self.advance(input, limits, pool) {
            Ok(advanced) => advanced,
            Err(fault) => {
                self.ended = true;
                self.release(pool);
                return Err(fault);
            }
        };
        let Some(Found { what, place }) = found else {
            return Ok(Step { consumed, event: None });
        };
        self.lent = matches!(place, Place::Partial);
        self.ended = matches!(what, What::Control(Control::Close));
        if self.ended && !self.lent {
            // The message that the close frame cut short will never be whole.
            self.release(pool);
        }
        let payload = match (place, what) {
            (Place::Input { len }, _) => &input[consumed - len..consumed],
            (Place::Partial, What::Message(_)) => self.lender().payload(),
            (Place::Partial, What::Control(_)) => self.lender().control(),
        };
        let event = match what {
            What::Message(kind) => Event::Message(Message { kind, payload }),
            What::Control(control) => control_event(control, payload)?,
        };
        Ok(Step { consumed, event: Some(event) })
    }

    /// True while a message takes more inflating than a turn has room for: the rest of the input
    /// has to wait ([`Self::keep`]) until the pool's budget was refilled.
    pub fn is_stalled(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| matches!(partial.stage, Stage::Inflating(_)))
    }

    /// The hot path: a message in one frame that is all there, and nothing unfinished before it.
    fn take_short<'a>(
        &mut self,
        short: ShortMessage,
        input: &'a mut [u8],
    ) -> Result<Step<'a>, PeerFault> {
        let consumed = short.header_bytes + short.payload_bytes;
        let payload = &mut input[short.header_bytes..consumed];
        if let Some(mask) = short.mask {
            mask::apply(mask, 0, payload);
        }
        if short.kind == Kind::Text && simdutf8::basic::from_utf8(payload).is_err() {
            self.ended = true;
            return Err(PeerFault::InvalidUtf8);
        }
        let message = Message { kind: short.kind, payload };
        Ok(Step { consumed, event: Some(Event::Message(message)) })
    }

    /// Heap octets held for an unfinished message.
    pub fn partial_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.heap_bytes())
    }

    /// True after a close frame or a fault: nothing more is read.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Gives back what an unfinished message holds; for teardown.
    pub fn release(&mut self, pool: &mut PartialPool) {
        self.lent = false;
        if let Some(partial) = self.partial.take() {
            pool.put(partial);
        }
    }

    /// Takes back what the last event had borrowed.
    fn settle(&mut self, pool: &mut PartialPool) {
        if self.lent {
            self.lent = false;
            self.release_if_idle(pool);
        }
    }

    fn release_if_idle(&mut self, pool: &mut PartialPool) {
        match self.partial.as_deref_mut() {
            Some(partial) if partial.message_so_far().is_some() => {}
            // What the peer may refer to stays, and nothing else of it.
            Some(partial) if partial.window.is_some() => partial.clear(),
            Some(_) => self.release(pool),
            None => {}
        }
    }

    /// What was agreed on for compressed messages.
    pub fn deflate(&self) -> Option<Agreement> {
        self.deflate
    }

    fn lender(&self) -> &Partial {
        self.partial.as_ref().expect("a partial state lends the event")
    }

    fn message_so_far(&self) -> Option<SoFar> {
        self.partial.as_ref().and_then(|partial| partial.message_so_far())
    }

    fn advance(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        pool: &mut PartialPool,
    ) -> Result<(usize, Option<Found>), PeerFault> {
        let mut consumed = 0;
        if self.is_stalled() {
            let found = self.inflate_kept(limits, pool)?;
            if found.is_some() || self.is_stalled() {
                return Ok((0, found));
            }
        }
        while consumed < input.len() {
            let (used, found) = self.advance_frame(&mut input[consumed..], limits, pool)?;
            consumed += used;
            if found.is_some() || self.is_stalled() {
                return Ok((consumed, found));
            }
        }
        Ok((consumed, None))
    }

    /// Deals with one frame, or with what `input` has of it.
    fn advance_frame(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        pool: &mut PartialPool,
    ) -> Result<(usize, Option<Found>), PeerFault> {
        let Some(partial) = self.partial.as_deref_mut() else {
            return self.start_frame(input, limits, pool);
        };
        match partial.stage {
            Stage::Between | Stage::Header => self.start_frame(input, limits, pool),
            Stage::Inflating(_) => unreachable!("bug: it stalls until all is inflated"),
            Stage::Data(progress) => {
                let (used, assembled) = partial.absorb_data(progress, input, limits)?;
                let Some(assembled) = assembled else { return Ok((used, None)) };
                if !assembled.is_compressed {
                    return Ok((used, Some(in_partial(What::Message(assembled.kind)))));
                }
                partial.stage = Stage::Inflating(assembled.kind);
                Ok((used, self.inflate_kept(limits, pool)?))
            }
            Stage::Control(control, progress) => {
                let (used, control) = partial.absorb_control(control, progress, input);
                Ok((used, control.map(|control| in_partial(What::Control(control)))))
            }
        }
    }

    fn start_frame(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        pool: &mut PartialPool,
    ) -> Result<(usize, Option<Found>), PeerFault> {
        let Some((header, used)) = self.read_header(input, pool)? else {
            return Ok((input.len(), None));
        };
        self.check(&header, limits)?;
        let rest = &mut input[used..];
        let whole = header.payload_len <= rest.len() as u64;
        let lone = header.fin && header.opcode.class() != Class::Continuation;
        if whole && lone && !header.is_compressed {
            let found = take_whole(&header, &mut rest[..header.payload_len as usize])?;
            return Ok((used + header.payload_len as usize, Some(found)));
        }
        let partial = self.partial.get_or_insert_with(|| pool.take());
        match header.opcode.class() {
            Class::First(kind) => partial.begin_data(Some(kind), &header),
            Class::Continuation => partial.begin_data(None, &header),
            Class::Control(control) => partial.begin_control(control, &header),
        }
        let (more, found) = self.advance_frame(rest, limits, pool)?;
        Ok((used + more, found))
    }

    /// Gives the next header and how many octets of `input` it took, or keeps what there is of it.
    fn read_header(
        &mut self,
        input: &[u8],
        pool: &mut PartialPool,
    ) -> Result<Option<(Header, usize)>, PeerFault> {
        let kept = match self.partial.as_deref() {
            Some(partial) if matches!(partial.stage, Stage::Header) => {
                partial.header.as_slice().len()
            }
            Some(_) | None => 0,
        };
        if kept == 0
            && let Some(header) = header::decode(input, self.role, self.deflate.is_some())?
        {
            return Ok(Some((header, header.header_bytes)));
        }
        let partial = self.partial.get_or_insert_with(|| pool.take());
        partial.stage = Stage::Header;
        partial.header.fill(input);
        let octets = partial.header.as_slice();
        let Some(header) = header::decode(octets, self.role, self.deflate.is_some())? else {
            return Ok(None);
        };
        partial.end_header();
        self.release_if_idle(pool);
        Ok(Some((header, header.header_bytes - kept)))
    }

    /// W3.
    fn check(&self, header: &Header, limits: &Limits) -> Result<(), PeerFault> {
        let so_far = self.message_so_far();
        match (header.opcode.class(), so_far) {
            (Class::Control(_), _) => return Ok(()),
            (Class::First(_), Some(_)) => return Err(PeerFault::ExpectedContinuation),
            (Class::Continuation, None) => return Err(PeerFault::UnexpectedContinuation),
            (Class::First(_), None) | (Class::Continuation, Some(_)) => {}
        }
        let first = SoFar { payload_bytes: 0, frames: 0, is_compressed: header.is_compressed };
        let so_far = so_far.unwrap_or(first);
        if so_far.frames >= limits.fragments_max {
            return Err(PeerFault::TooManyFragments);
        }
        let bytes_max = limits.payload_bytes_max(so_far.is_compressed);
        if header.payload_len > bytes_max.saturating_sub(so_far.payload_bytes) as u64 {
            return Err(PeerFault::MessageTooLarge);
        }
        Ok(())
    }
}

pub(super) fn in_partial(what: What) -> Found {
    Found { what, place: Place::Partial }
}

/// A frame that is all of its message (or a control frame), and all there: the hot path.
fn take_whole(header: &Header, payload: &mut [u8]) -> Result<Found, PeerFault> {
    if let Some(mask) = header.mask {
        mask::apply(mask, 0, payload);
    }
    let what = match header.opcode.class() {
        Class::First(kind) => What::Message(kind),
        Class::Control(control) => What::Control(control),
        Class::Continuation => unreachable!("a continuation is never all of its message"),
    };
    if matches!(what, What::Message(Kind::Text)) && simdutf8::basic::from_utf8(payload).is_err() {
        return Err(PeerFault::InvalidUtf8);
    }
    Ok(Found { what, place: Place::Input { len: payload.len() } })
}
