//! Compressed messages of one connection: inflated when they are whole, in portions that a turn has
//! room for.
//!
//! Owns no state of its own: what is under way lies in the connection's `Partial`. A whole payload
//! that came in one receive is copied there like any other compressed one; inflating it costs far
//! more than the copy.

use super::deflate::{Agreement, Progress, WINDOW_BITS_MIN, Window};
use super::fault::PeerFault;
use super::opcode::Kind;
use super::partial::{Partial, PartialPool, Stage};
use super::protocol::{Found, Limits, Protocol, What, in_partial};

/// A message is charged one part of so many of the window that is copied for it, to the inflater
/// and again with the message: what a copy costs beside inflating.
const WINDOW_CHARGE_PART: usize = 8;

impl Protocol {
    /// Octets that have to wait while this connection [stalls](Self::is_stalled).
    pub fn keep(&mut self, input: &[u8]) {
        let partial = self.partial.as_mut().expect("only who stalls keeps input");
        partial.backlog.extend_from_slice(input);
    }

    /// True while an inflater is held, for a message that is inflated in part.
    pub fn is_inflating(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.inflater.is_some())
    }

    /// What was kept.
    pub fn take_kept(&mut self) -> Vec<u8> {
        self.partial
            .as_mut()
            .map(|partial| std::mem::take(&mut partial.backlog))
            .unwrap_or_default()
    }

    /// Goes on with the message that the partial state holds.
    pub(super) fn inflate_kept(
        &mut self,
        limits: &Limits,
        pool: &mut PartialPool,
    ) -> Result<Option<Found>, PeerFault> {
        let agreement = self.deflate().expect("a compressed message was agreed on");
        let partial = self.partial.as_deref_mut().expect("it holds the message");
        let Stage::Inflating(kind) = partial.stage else { unreachable!("bug: nothing to inflate") };
        match partial.inflate(agreement, limits, pool)? {
            Progress::Unfinished => Ok(None),
            Progress::Whole => {
                pool.inflated.messages += 1;
                pool.inflated.bytes_in += partial.payload.len() as u64;
                pool.inflated.bytes_out += partial.inflated.len() as u64;
                partial.finish(kind)?;
                Ok(Some(in_partial(What::Message(kind))))
            }
        }
    }
}

impl Partial {
    fn inflate(
        &mut self,
        agreement: Agreement,
        limits: &Limits,
        pool: &mut PartialPool,
    ) -> Result<Progress, PeerFault> {
        // The RFC's empty message is one octet (7.2.3.6), but some send none.
        if self.payload.is_empty() {
            return Ok(Progress::Whole);
        }
        if agreement.recv_takeover && self.window.is_none() {
            // zlib's compressor takes a window of 2^9 where it is told to take one of 2^8.
            let bits = agreement.recv_window_bits.max(WINDOW_BITS_MIN);
            self.window = Some(Window::new(bits));
        }
        let is_alone = !agreement.recv_takeover && self.inflater.is_none();
        if is_alone
            && let Some(recent) = &pool.recent
            && let Some(message) = recent.find(&self.payload)
        {
            self.inflated.extend_from_slice(message);
            return Ok(Progress::Whole);
        }
        let slice = pool.slice_left.min(pool.inflate_budget);
        let mut left = slice;
        let mut inflater = match self.inflater.take() {
            Some(inflater) => inflater,
            // Who only waits holds nothing.
            None if slice == 0 => return Ok(Progress::Unfinished),
            None => {
                let window = self.window.as_ref().map_or(&[][..], Window::octets);
                left = left.saturating_sub(window.len() / WINDOW_CHARGE_PART);
                let mut inflater = pool.take_inflater();
                inflater.begin(window);
                inflater
            }
        };
        let start_ns = pool.stopwatch.ns();
        let progress =
            inflater.advance(&self.payload, &mut self.inflated, &limits.bounds(), &mut left);
        pool.inflating_ns += pool.stopwatch.ns() - start_ns;
        pool.inflate_budget -= slice - left;
        pool.slice_left -= slice - left;
        match progress {
            Ok(Progress::Unfinished) => self.inflater = Some(inflater),
            Ok(Progress::Whole) | Err(_) => pool.put_inflater(inflater),
        }
        if is_alone
            && progress == Ok(Progress::Whole)
            && let Some(recent) = &mut pool.recent
        {
            recent.push(&self.payload, &self.inflated);
        }
        progress
    }

    /// The message is whole: it takes the place of its payload, where it is lent from.
    fn finish(&mut self, kind: Kind) -> Result<(), PeerFault> {
        self.stage = Stage::Between;
        std::mem::swap(&mut self.payload, &mut self.inflated);
        self.inflated.clear();
        if kind == Kind::Text && simdutf8::basic::from_utf8(&self.payload).is_err() {
            return Err(PeerFault::InvalidUtf8);
        }
        if let Some(window) = &mut self.window {
            window.push(&self.payload);
        }
        Ok(())
    }
}
