//! What waits for a slow connection, against a model that is a list of frames and adds them up anew
//! each time.

use bytes::Bytes;
use ringwire::conn::egress::{Egress, Full, Queued, Tag};
use ringwire::limits::{
    EGRESS_CONTROL_RESERVE_BYTES, EGRESS_FRAME_OVERHEAD_BYTES, QUEUED_SEND_BYTES_MAX,
    QUEUED_SEND_FRAMES_MAX,
};
use ringwire::pubsub::envelope::TopicStay;
use ringwire::pubsub::policy::SlowConsumer::{self, DropOldest};

use super::choices::Choices;

const CHARGES_MAX: [usize; 4] = [4096, 2048, 20_000, 400_000];
const TOPICS: usize = 3;

/// Input: the limit, whether it begins with a frame that is partly out, then operations.
pub(crate) fn check(octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let mut pair = Pair::new(choices.one_of(&CHARGES_MAX));
    if choices.below(4) == 1 {
        pair.begin_with_partial(&mut choices);
    }
    while !choices.is_empty() {
        match choices.below(8) {
            0..=4 => pair.push(&mut choices),
            5 => pair.send(),
            6 => pair.sent(&mut choices),
            _ => pair.truncate(),
        }
        pair.check();
    }
    pair.drain();
}

/// The egress and its model.
struct Pair {
    egress: Egress,
    charge_max: usize,
    frames: Vec<(Bytes, Tag)>,
    /// Frames that the kernel holds, and how many octets of them, less what was out before.
    in_flight: usize,
    given: usize,
    /// Octets of the first frame that are out.
    skip: usize,
    /// So that no two frames are alike.
    pushed: u32,
}

impl Pair {
    fn new(charge_max: usize) -> Self {
        let egress = Egress::default();
        Pair { egress, charge_max, frames: Vec::new(), in_flight: 0, given: 0, skip: 0, pushed: 0 }
    }

    fn frame(&mut self, choices: &mut Choices<'_>) -> Bytes {
        self.pushed += 1;
        let len = 1 + choices.scaled(if self.charge_max > 100_000 { 17 } else { 11 }) as usize;
        let name = self.pushed.to_be_bytes();
        (0..len).map(|at| name[at % 4] ^ (at / 4) as u8).collect::<Vec<u8>>().into()
    }

    fn begin_with_partial(&mut self, choices: &mut Choices<'_>) {
        let (frame, tag) = (self.frame(choices), tag(choices));
        self.skip = choices.number() % frame.len();
        self.egress.begin_with_partial(frame.clone(), self.skip, tag);
        self.frames.push((frame, tag));
    }

    fn push(&mut self, choices: &mut Choices<'_>) {
        let (tag, frame) = (tag(choices), self.frame(choices));
        let expected = self.expect_push(&frame, tag);
        let before: Vec<_> = self.frames.iter().map(|(frame, _)| frame.len()).collect();
        let outcome = self.egress.push(frame, tag, self.charge_max);
        assert_eq!(outcome, expected, "{tag:?} after {before:?}");
    }

    /// What a push has to do, by the documentation of the policies.
    fn expect_push(&mut self, frame: &Bytes, tag: Tag) -> Result<Queued, Full> {
        let mut queued = Queued::default();
        let droppable = self.droppable();
        match tag {
            Tag::Control | Tag::Direct => {}
            Tag::Message { policy: SlowConsumer::Close, .. } => {}
            Tag::Pong => {
                let last = self.frames.len().checked_sub(1).filter(|last| *last >= droppable);
                if let Some(last) = last.filter(|last| self.frames[*last].1 == Tag::Pong) {
                    let older = self.frames.remove(last);
                    if !self.fits(frame, tag) {
                        self.frames.push(older);
                        return Err(Full);
                    }
                }
            }
            Tag::Message { topic, policy: SlowConsumer::Conflate } => {
                let is_same =
                    |tag| matches!(tag, Tag::Message { topic: other, .. } if other == topic);
                queued.conflated += u32::from(self.drop_first(droppable, is_same));
            }
            Tag::Message { policy: DropOldest, .. } => {
                while !self.fits(frame, tag) {
                    queued.dropped += 1;
                    let may_be = |tag| matches!(tag, Tag::Message { policy: DropOldest, .. });
                    if !self.drop_first(droppable, may_be) {
                        return Ok(queued);
                    }
                }
            }
        }
        if !self.fits(frame, tag) {
            return Err(Full);
        }
        self.frames.push((frame.clone(), tag));
        Ok(queued)
    }

    fn fits(&self, frame: &Bytes, tag: Tag) -> bool {
        let reserve = match tag {
            Tag::Control | Tag::Pong => 0,
            Tag::Direct | Tag::Message { .. } => EGRESS_CONTROL_RESERVE_BYTES,
        };
        self.charged(|_| true) + cost(frame) + reserve <= self.charge_max
    }

    /// The first frame that is neither in flight nor partly out.
    fn droppable(&self) -> usize {
        self.in_flight.max(usize::from(self.skip > 0))
    }

    fn drop_first(&mut self, from: usize, which: impl Fn(Tag) -> bool) -> bool {
        let at = (from..self.frames.len()).find(|at| which(self.frames[*at].1));
        at.map(|at| self.frames.remove(at)).is_some()
    }

    fn send(&mut self) {
        if self.in_flight > 0 || self.frames.is_empty() {
            return;
        }
        let (given, skip) = self.egress.next_send();
        assert_eq!(skip as usize, self.skip);
        let octets: usize = given.iter().map(Bytes::len).sum();
        assert!((1..=QUEUED_SEND_FRAMES_MAX).contains(&given.len()));
        assert!(octets <= QUEUED_SEND_BYTES_MAX || given.len() == 1);
        let next = self.frames.get(given.len());
        let is_full = given.len() == QUEUED_SEND_FRAMES_MAX
            || next.is_none_or(|(next, _)| octets + next.len() > QUEUED_SEND_BYTES_MAX);
        assert!(is_full, "one more would have fitted");
        assert!(given.iter().eq(self.frames[..given.len()].iter().map(|(frame, _)| frame)));
        (self.in_flight, self.given) = (given.len(), octets - self.skip);
    }

    fn sent(&mut self, choices: &mut Choices<'_>) {
        if self.in_flight == 0 {
            return;
        }
        let taken = match choices.below(4) {
            0 => self.given,
            1 => 0,
            _ => (choices.number() << 2) % (self.given + 1),
        };
        self.take(taken);
    }

    fn take(&mut self, taken: usize) {
        self.egress.sent(taken);
        let mut out = self.skip + taken;
        while let Some((first, _)) = self.frames.first().filter(|(first, _)| first.len() <= out) {
            out -= first.len();
            self.frames.remove(0);
        }
        (self.skip, self.in_flight) = (out, 0);
    }

    fn truncate(&mut self) {
        let kept = self.droppable().min(self.frames.len());
        assert_eq!(self.egress.truncate(), self.frames.len() - kept);
        self.frames.truncate(kept);
    }

    fn charged(&self, which: impl Fn(Tag) -> bool) -> usize {
        self.frames.iter().filter(|(_, tag)| which(*tag)).map(|(frame, _)| cost(frame)).sum()
    }

    /// E1.
    fn check(&self) {
        assert_eq!(self.egress.charged(), self.charged(|_| true));
        let is_direct = |tag| !matches!(tag, Tag::Message { .. });
        assert_eq!(self.egress.direct(), self.charged(is_direct));
        assert_eq!(self.egress.is_empty(), self.frames.is_empty());
    }

    /// A reader that takes everything gets all that is left, in order.
    fn drain(&mut self) {
        if self.in_flight > 0 {
            self.take(self.given);
        }
        while !self.frames.is_empty() {
            self.send();
            self.take(self.given);
            self.check();
        }
        assert_eq!((self.egress.charged(), self.egress.direct()), (0, 0));
    }
}

fn cost(frame: &Bytes) -> usize {
    frame.len() + EGRESS_FRAME_OVERHEAD_BYTES
}

fn tag(choices: &mut Choices<'_>) -> Tag {
    let topic = TopicStay(choices.below(TOPICS) as u32);
    match choices.below(8) {
        0 => Tag::Control,
        1 => Tag::Pong,
        2 | 3 => Tag::Direct,
        4 => Tag::Message { topic, policy: SlowConsumer::Close },
        5 => Tag::Message { topic, policy: SlowConsumer::Conflate },
        _ => Tag::Message { topic, policy: SlowConsumer::DropOldest },
    }
}
