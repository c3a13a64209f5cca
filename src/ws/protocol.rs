//! The receiving half of one connection: bytes in, events out (RFC 6455, sections 5 to 8).
//!
//! Owns the state between two receives and nothing else. A frame that lies whole in the input is
//! unmasked in place and lent from there: no copy, no heap. Only what the input cuts off is copied
//! to a `Partial`, which comes from and returns to a [`PartialPool`].
//!
//! Invariants: W1 between messages it owns no heap memory; W2 the events, and the fault that ends
//! them, don't depend on how the stream was cut; W3 limits are checked when a header is complete,
//! before anything is kept of its payload; W4 nothing is read after a close frame or a fault.

use super::fault::PeerFault;
use super::header::{self, Header, ShortMessage};
use super::mask;
use super::message::{Event, Message, Step, control_event};
use super::opcode::{Class, Control, Kind};
use super::partial::{Partial, PartialPool, Stage};
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
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            fragments_max: limits::FRAGMENTS_MAX,
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
    partial: Option<Box<Partial>>,
}

const _: () = assert!(size_of::<Protocol>() <= 16, "it is part of every connection's slot");

/// An event that was found, as plain data: the borrow is made last, where the compiler accepts it.
#[derive(Clone, Copy)]
struct Found {
    what: What,
    place: Place,
}

#[derive(Clone, Copy)]
enum What {
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
        Protocol { role, lent: false, ended: false, partial: None }
    }

    /// Looks for the next event in `input`, unmasking in place. The caller goes on with what
    /// follows `consumed` until there is no event; then all of `input` is consumed. Not to be
    /// called again after a close event or a fault (W4).
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
        if self.message_so_far().is_none() {
            self.release(pool);
        }
    }

    fn lender(&self) -> &Partial {
        self.partial.as_ref().expect("a partial state lends the event")
    }

    fn message_so_far(&self) -> Option<(usize, u32)> {
        self.partial.as_ref().and_then(|partial| partial.message_so_far())
    }

    fn advance(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        pool: &mut PartialPool,
    ) -> Result<(usize, Option<Found>), PeerFault> {
        let mut consumed = 0;
        while consumed < input.len() {
            let (used, found) = self.advance_frame(&mut input[consumed..], limits, pool)?;
            consumed += used;
            if found.is_some() {
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
            Stage::Data(progress) => {
                let (used, kind) = partial.absorb_data(progress, input, limits)?;
                Ok((used, kind.map(|kind| in_partial(What::Message(kind)))))
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
        if whole && lone {
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
            && let Some(header) = header::decode(input, self.role)?
        {
            return Ok(Some((header, header.header_bytes)));
        }
        let partial = self.partial.get_or_insert_with(|| pool.take());
        partial.stage = Stage::Header;
        partial.header.fill(input);
        let Some(header) = header::decode(partial.header.as_slice(), self.role)? else {
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
        let (bytes, frames) = so_far.unwrap_or((0, 0));
        if frames >= limits.fragments_max {
            return Err(PeerFault::TooManyFragments);
        }
        if header.payload_len > limits.message_bytes_max.saturating_sub(bytes) as u64 {
            return Err(PeerFault::MessageTooLarge);
        }
        Ok(())
    }
}

fn in_partial(what: What) -> Found {
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
