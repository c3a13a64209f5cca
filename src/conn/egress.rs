//! Frames that wait for a slow connection, bounded in octets.
//!
//! Exists only while something waits; a connection that keeps up owns none. The limit is strict:
//! it is checked before a frame is taken, and each frame is charged its octets and
//! `EGRESS_FRAME_OVERHEAD_BYTES`, so that many small frames can't cost more than is planned.
//!
//! Invariants: E1 `charged` is the sum over `frames` and never above the limit; E2 the first
//! `in_flight` frames belong to the kernel and a frame that is partly out is never dropped, so the
//! stream never has a hole inside a frame; E3 a policy drops messages of topics that have it, and
//! nothing else.

#[cfg(any(test, feature = "sim"))]
mod audit;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::limits::{
    EGRESS_CONTROL_RESERVE_BYTES, EGRESS_FRAME_OVERHEAD_BYTES, QUEUED_SEND_BYTES_MAX,
    QUEUED_SEND_FRAMES_MAX,
};
use crate::pubsub::envelope::TopicStay;
use crate::pubsub::policy::SlowConsumer;

/// What a waiting frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// An answer, or what the application sent to this connection alone.
    Direct,
    /// A pong: only the newest one matters (RFC 6455, section 5.5.3).
    Pong,
    /// A close frame or a ping.
    Control,
    /// A message of a topic, with the policy of its namespace.
    Message { topic: TopicStay, policy: SlowConsumer },
}

#[derive(Debug)]
struct Waiting {
    frame: Bytes,
    tag: Tag,
}

/// The limit is reached and nothing may be dropped: the frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What became of a frame that was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// Older messages dropped in its favour, and itself where it could never fit.
    pub dropped: u32,
    /// Messages of the same topic that it took the place of.
    pub conflated: u32,
}

impl std::ops::AddAssign for Queued {
    fn add_assign(&mut self, more: Queued) {
        self.dropped += more.dropped;
        self.conflated += more.conflated;
    }
}

/// See the module's header.
#[derive(Debug, Default)]
pub struct Egress {
    frames: VecDeque<Waiting>,
    charged: usize,
    /// The part of `charged` that is not messages of topics: what the peer's own requests cause.
    direct: usize,
    in_flight: usize,
    /// Octets of the first frame that are out already.
    skip: usize,
}

impl Egress {
    /// Octets charged at present.
    pub fn charged(&self) -> usize {
        self.charged
    }

    /// The part of it that the peer's own requests have caused.
    pub fn direct(&self) -> usize {
        self.direct
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Takes a frame, unless that would go over `charge_max`.
    pub fn push(&mut self, frame: Bytes, tag: Tag, charge_max: usize) -> Result<Queued, Full> {
        let cost = cost_of(&frame);
        let data_max = charge_max.saturating_sub(EGRESS_CONTROL_RESERVE_BYTES);
        let mut queued = Queued::default();
        match tag {
            Tag::Control => self.make_sure(cost, charge_max)?,
            // Looks at the newest frame only: a scan for each ping would be a gift to attackers.
            Tag::Pong => {
                let is_last = self.frames.len() > self.first_droppable()
                    && self.frames.back().is_some_and(|waiting| waiting.tag == Tag::Pong);
                let older = if is_last { self.frames.pop_back() } else { None };
                if let Some(older) = &older {
                    self.uncharge(older);
                }
                if let Err(full) = self.make_sure(cost, charge_max) {
                    if let Some(older) = older {
                        self.add(older.frame, older.tag);
                    }
                    return Err(full);
                }
            }
            Tag::Direct => self.make_sure(cost, data_max)?,
            Tag::Message { policy: SlowConsumer::Close, .. } => self.make_sure(cost, data_max)?,
            Tag::Message { topic, policy: SlowConsumer::Conflate } => {
                let is_same = |waiting: &Waiting| {
                    matches!(
                        waiting.tag, Tag::Message { topic: other, .. } if other == topic
                    )
                };
                queued.conflated += u32::from(self.drop_first(is_same));
                self.make_sure(cost, data_max)?;
            }
            Tag::Message { policy: SlowConsumer::DropOldest, .. } => {
                while self.make_sure(cost, data_max).is_err() {
                    queued.dropped += 1;
                    if !self.drop_first(|waiting| may_drop(waiting.tag)) {
                        return Ok(queued);
                    }
                }
            }
        }
        self.add(frame, tag);
        Ok(queued)
    }

    /// Forgets everything that may still be forgotten: nothing more will be sent but last words.
    pub fn truncate(&mut self) -> usize {
        let kept = self.first_droppable();
        let dropped = self.frames.len() - kept;
        for waiting in self.frames.split_off(kept) {
            self.uncharge(&waiting);
        }
        dropped
    }

    /// What to give to the kernel next: frames in order, and how much of the first is out.
    pub fn next_send(&mut self) -> (Vec<Bytes>, u32) {
        assert_eq!(self.in_flight, 0, "one send in flight per connection");
        let mut octets = 0;
        let fits = self.frames.iter().take(QUEUED_SEND_FRAMES_MAX).take_while(|waiting| {
            let is_first = octets == 0;
            octets += waiting.frame.len();
            is_first || octets <= QUEUED_SEND_BYTES_MAX
        });
        let frames: Vec<Bytes> = fits.map(|waiting| waiting.frame.clone()).collect();
        self.in_flight = frames.len();
        (frames, self.skip as u32)
    }

    /// The send in flight is over, and `octets` of it are out.
    pub fn sent(&mut self, octets: usize) {
        self.in_flight = 0;
        let mut out = self.skip + octets;
        while let Some(first) = self.frames.front() {
            if out < first.frame.len() {
                break;
            }
            out -= first.frame.len();
            let waiting = self.frames.pop_front().expect("just seen");
            self.uncharge(&waiting);
        }
        assert!(out == 0 || !self.frames.is_empty(), "the kernel took what it was given");
        self.skip = out;
    }

    /// The first frame is partly out already: only for a queue that has just begun.
    pub fn begin_with_partial(&mut self, frame: Bytes, skip: usize, tag: Tag) {
        assert!(self.frames.is_empty() && skip < frame.len());
        self.skip = skip;
        self.add(frame, tag);
    }

    fn add(&mut self, frame: Bytes, tag: Tag) {
        let cost = cost_of(&frame);
        self.charged += cost;
        self.direct += if is_message(tag) { 0 } else { cost };
        self.frames.push_back(Waiting { frame, tag });
    }

    fn uncharge(&mut self, waiting: &Waiting) {
        let cost = cost_of(&waiting.frame);
        self.charged -= cost;
        self.direct -= if is_message(waiting.tag) { 0 } else { cost };
    }

    fn make_sure(&self, cost: usize, charge_max: usize) -> Result<(), Full> {
        if self.charged + cost <= charge_max { Ok(()) } else { Err(Full) }
    }

    fn first_droppable(&self) -> usize {
        self.in_flight.max(usize::from(self.skip > 0)).min(self.frames.len())
    }

    fn drop_first(&mut self, which: impl Fn(&Waiting) -> bool) -> bool {
        let from = self.first_droppable();
        let Some(offset) = self.frames.iter().skip(from).position(which) else { return false };
        let waiting = self.frames.remove(from + offset).expect("just found");
        self.uncharge(&waiting);
        true
    }
}

fn is_message(tag: Tag) -> bool {
    match tag {
        Tag::Message { .. } => true,
        Tag::Direct | Tag::Pong | Tag::Control => false,
    }
}

/// True for what makes room for newer messages (E3).
fn may_drop(tag: Tag) -> bool {
    match tag {
        Tag::Message { policy: SlowConsumer::DropOldest, .. } => true,
        Tag::Message { policy: SlowConsumer::Close | SlowConsumer::Conflate, .. } => false,
        Tag::Direct | Tag::Pong | Tag::Control => false,
    }
}

/// What a frame is charged.
pub fn cost_of(frame: &Bytes) -> usize {
    frame.len() + EGRESS_FRAME_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COST: usize = 100 + EGRESS_FRAME_OVERHEAD_BYTES;
    const MAX: usize = 4 * COST + EGRESS_CONTROL_RESERVE_BYTES;

    fn frame(name: u8) -> Bytes {
        Bytes::from(vec![name; 100])
    }

    fn message(topic: u32, policy: SlowConsumer) -> Tag {
        Tag::Message { topic: TopicStay(topic), policy }
    }

    fn names(egress: &Egress) -> Vec<u8> {
        egress.frames.iter().map(|waiting| waiting.frame[0]).collect()
    }

    #[test]
    fn close_refuses_what_does_not_fit_and_a_close_frame_still_does() {
        let mut egress = Egress::default();
        for name in 0..4 {
            egress.push(frame(name), message(1, SlowConsumer::Close), MAX).unwrap();
        }
        assert_eq!(egress.push(frame(9), message(1, SlowConsumer::Close), MAX), Err(Full));
        assert_eq!(egress.push(frame(9), Tag::Direct, MAX), Err(Full));
        assert!(egress.push(frame(7), Tag::Control, MAX).is_ok());
        assert_eq!(names(&egress), [0, 1, 2, 3, 7]);
    }

    #[test]
    fn drop_oldest_spares_answers_and_what_is_in_flight() {
        let mut egress = Egress::default();
        egress.push(frame(0), message(1, SlowConsumer::DropOldest), MAX).unwrap();
        egress.next_send();
        egress.push(frame(1), Tag::Direct, MAX).unwrap();
        for name in 2..4 {
            egress.push(frame(name), message(1, SlowConsumer::DropOldest), MAX).unwrap();
        }
        let queued = egress.push(frame(4), message(2, SlowConsumer::DropOldest), MAX).unwrap();
        assert_eq!(queued.dropped, 1);
        assert_eq!(names(&egress), [0, 1, 3, 4]);
        let huge = Bytes::from(vec![5; MAX]);
        let queued = egress.push(huge, message(2, SlowConsumer::DropOldest), MAX).unwrap();
        assert_eq!(queued.dropped, 3, "the two that were dropped for it, and itself");
        assert_eq!(names(&egress), [0, 1]);
    }

    #[test]
    fn drop_oldest_drops_nothing_of_topics_with_another_policy() {
        let mut egress = Egress::default();
        let others = [SlowConsumer::Close, SlowConsumer::Conflate];
        for (name, policy) in [(0, others[0]), (1, others[1]), (2, SlowConsumer::DropOldest)] {
            egress.push(frame(name), message(u32::from(name), policy), MAX).unwrap();
        }
        for name in 3..6 {
            egress.push(frame(name), message(2, SlowConsumer::DropOldest), MAX).unwrap();
        }
        assert_eq!(names(&egress), [0, 1, 4, 5]);
        for name in [6, 7] {
            egress.push(frame(name), message(3, SlowConsumer::Close), MAX + 2 * COST).unwrap();
        }
        let queued = egress.push(frame(8), message(2, SlowConsumer::DropOldest), MAX).unwrap();
        assert_eq!(queued.dropped, 3, "the two that are left of it, and itself");
        assert_eq!(names(&egress), [0, 1, 6, 7]);
    }

    #[test]
    fn conflate_keeps_the_newest_of_each_topic() {
        let mut egress = Egress::default();
        for (name, topic) in [(0, 1), (1, 2), (2, 1), (3, 1), (4, 2)] {
            egress.push(frame(name), message(topic, SlowConsumer::Conflate), MAX).unwrap();
        }
        assert_eq!(names(&egress), [3, 4]);
    }

    #[test]
    fn a_frame_that_is_partly_out_stays() {
        let mut egress = Egress::default();
        egress.begin_with_partial(frame(0), 40, message(1, SlowConsumer::Conflate));
        egress.push(frame(1), message(1, SlowConsumer::Conflate), MAX).unwrap();
        egress.push(frame(2), message(1, SlowConsumer::Conflate), MAX).unwrap();
        assert_eq!(names(&egress), [0, 2]);
        assert_eq!(egress.truncate(), 1);
        assert_eq!(egress.next_send().1, 40);
        egress.sent(60);
        assert!(egress.is_empty());
        assert_eq!(egress.charged(), 0);
    }

    #[test]
    fn only_the_newest_pong_waits() {
        let mut egress = Egress::default();
        for name in 0..3 {
            egress.push(frame(name), Tag::Pong, MAX).unwrap();
        }
        assert_eq!(names(&egress), [2]);
    }

    proptest! {
        /// Whatever the kernel takes at a time, the octets come out in order and none twice.
        #[test]
        fn short_sends_neither_lose_nor_repeat(
            sizes in prop::collection::vec(1..400usize, 1..100),
            takes in prop::collection::vec(1..2000usize, 1..400),
        ) {
            let mut egress = Egress::default();
            let mut next = 0u8;
            let mut expected = Vec::new();
            for size in sizes {
                let mut octet = || {
                    next = next.wrapping_add(1);
                    next
                };
                let octets: Vec<u8> = (0..size).map(|_| octet()).collect();
                expected.extend_from_slice(&octets);
                egress.push(octets.into(), Tag::Direct, usize::MAX).unwrap();
            }
            let mut out = Vec::new();
            let mut takes = takes.into_iter().cycle();
            while !egress.is_empty() {
                let (frames, skip) = egress.next_send();
                let given = frames.concat().split_off(skip as usize);
                let taken = takes.next().unwrap().min(given.len());
                out.extend_from_slice(&given[..taken]);
                egress.sent(taken);
            }
            prop_assert_eq!(out, expected);
            prop_assert_eq!(egress.charged(), 0);
        }
    }
}
