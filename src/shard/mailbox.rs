//! A shard's ends of the lanes to and from all others, the control plane included.
//!
//! Every ordered pair of participants has two lanes, for requests and for responses (see
//! `pubsub::envelope` for why two). A shard has lanes to itself as well, so that what is local
//! takes the same way as what is not. Wakes nobody: it says whom to wake once per turn.
//!
//! Invariants: M1 a response is only sent where room was seen before; M2 a lane with something left
//! in it stays in `ready`; M3 news is signalled after it was written, at the end of the turn.

use std::sync::Arc;

use crate::base::ShardId;
use crate::base::lane::{Consumer, Producer, PushError, RingBuffer, Signal};
use crate::pubsub::envelope::{Request, Response};

/// Ends towards one participant.
struct Outlet {
    requests: Producer<Request>,
    responses: Producer<Response>,
    has_news: bool,
}

/// Ends from one participant.
struct Inlet {
    requests: Consumer<Request>,
    responses: Consumer<Response>,
}

/// See the module's header.
pub struct Mailbox {
    me: usize,
    outlets: Vec<Outlet>,
    inlets: Vec<Inlet>,
    signals: Arc<[Signal]>,
    ready: Vec<u64>,
    capacity: usize,
}

/// Makes the mailboxes of `participants` participants that can all speak to each other; the last
/// one is the control plane.
pub fn mesh(participants: usize, capacity: usize) -> Vec<Mailbox> {
    let signals: Arc<[Signal]> = (0..participants).map(|_| Signal::new(participants)).collect();
    let mut boxes: Vec<Mailbox> = (0..participants)
        .map(|me| Mailbox {
            me,
            outlets: Vec::with_capacity(participants),
            inlets: Vec::with_capacity(participants),
            signals: Arc::clone(&signals),
            ready: vec![0; participants.div_ceil(64)],
            capacity,
        })
        .collect();
    for from in 0..participants {
        for to in 0..participants {
            let (requests, requests_in) = RingBuffer::new(capacity);
            let (responses, responses_in) = RingBuffer::new(capacity);
            boxes[from].outlets.push(Outlet { requests, responses, has_news: false });
            boxes[to].inlets.push(Inlet { requests: requests_in, responses: responses_in });
        }
    }
    boxes
}

impl Mailbox {
    /// How many participants there are.
    pub fn participants(&self) -> usize {
        self.outlets.len()
    }

    /// Entries of one lane.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many requests the lane to a participant still takes.
    pub fn request_room(&self, to: usize) -> usize {
        self.outlets[to].requests.slots()
    }

    /// Sends a request, or gives it back when the lane is full.
    pub fn request(&mut self, to: usize, request: Request) -> Result<(), Request> {
        let outlet = &mut self.outlets[to];
        match outlet.requests.push(request) {
            Ok(()) => {
                outlet.has_news = true;
                Ok(())
            }
            Err(PushError::Full(request)) => Err(request),
        }
    }

    /// How many responses the lane to a participant still takes.
    pub fn response_room(&self, to: usize) -> usize {
        self.outlets[to].responses.slots()
    }

    /// Sends a response; its sender has looked at [`Self::response_room`].
    pub fn respond(&mut self, to: usize, response: Response) {
        let outlet = &mut self.outlets[to];
        assert!(outlet.responses.push(response).is_ok(), "M1: room was seen before");
        outlet.has_news = true;
    }

    /// Collects the participants that have sent something.
    pub fn collect(&mut self) {
        if self.take_own_news() {
            self.keep_ready(self.me);
        }
        self.signals[self.me].take(&mut self.ready);
    }

    /// True when this participant has sent itself something since the last look.
    pub fn take_own_news(&mut self) -> bool {
        std::mem::take(&mut self.outlets[self.me].has_news)
    }

    /// The participants to read from now, as words of a bitmap.
    pub fn take_ready(&mut self, word: usize) -> u64 {
        std::mem::take(&mut self.ready[word])
    }

    /// Words of the bitmap.
    pub fn ready_words(&self) -> usize {
        self.ready.len()
    }

    /// Something was left in the lanes from this participant (M2).
    pub fn keep_ready(&mut self, from: usize) {
        self.ready[from / 64] |= 1 << (from % 64);
    }

    /// Has the next [`Self::signal`] wake every participant, though there is nothing to read.
    pub fn rouse_all(&mut self) {
        self.outlets.iter_mut().for_each(|outlet| outlet.has_news = true);
    }

    /// Something is known to be left in a lane.
    pub fn has_ready(&self) -> bool {
        self.ready.iter().any(|word| *word != 0)
    }

    /// The next response from a participant.
    pub fn next_response(&mut self, from: usize) -> Option<Response> {
        self.inlets[from].responses.pop().ok()
    }

    /// A look at the next request from a participant.
    pub fn peek_request(&self, from: usize) -> Option<&Request> {
        self.inlets[from].requests.peek().ok()
    }

    /// The next request from a participant.
    pub fn next_request(&mut self, from: usize) -> Option<Request> {
        self.inlets[from].requests.pop().ok()
    }

    /// How many requests and responses wait to be taken here.
    pub fn waiting(&self) -> usize {
        let of = |inlet: &Inlet| inlet.requests.slots() + inlet.responses.slots();
        self.inlets.iter().map(of).sum()
    }

    /// Signals news; `wake` is called for each participant that may be asleep.
    pub fn signal(&mut self, mut wake: impl FnMut(usize)) {
        for (to, outlet) in self.outlets.iter_mut().enumerate() {
            if to != self.me
                && std::mem::take(&mut outlet.has_news)
                && self.signals[to].raise(self.me)
            {
                wake(to);
            }
        }
    }

    /// A participant could not be woken: the next one to signal tries again.
    pub fn wake_failed(&self, participant: ShardId) {
        self.signals[participant.index()].wake_failed();
    }

    /// True when nothing is left to read, and from now on writers wake us.
    pub fn may_sleep(&self) -> bool {
        let own = self.outlets[self.me].has_news;
        !own && self.ready.iter().all(|word| *word == 0) && self.signals[self.me].may_sleep()
    }

    /// We are awake: writers need not wake us.
    pub fn awake(&self) {
        self.signals[self.me].awake();
    }
}

/// Entries of a lane between `participants` participants: what all lanes of a shard hold together
/// is bounded, and so is the memory that they touch in time.
pub fn lane_capacity(participants: usize) -> usize {
    (crate::limits::LANE_ENTRIES_PER_SHARD / participants)
        .clamp(crate::limits::LANE_ENTRIES_MIN, crate::limits::LANE_ENTRIES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::envelope::LocalTopic;

    #[test]
    fn a_full_lane_gives_the_request_back_and_takes_it_later() {
        let mut boxes = mesh(2, 2);
        let request = || Request::Interest { topic: "t".into(), local: LocalTopic(0) };
        assert!(boxes[0].request(1, request()).is_ok());
        assert!(boxes[0].request(1, request()).is_ok());
        assert!(matches!(boxes[0].request(1, request()), Err(Request::Interest { .. })));
        boxes[0].signal(|_| panic!("the reader is awake"));
        boxes[1].collect();
        assert_eq!(boxes[1].take_ready(0), 1);
        assert!(boxes[1].next_request(0).is_some());
        assert!(boxes[0].request(1, request()).is_ok());
        assert!(!boxes[1].may_sleep() || boxes[1].next_request(0).is_some());
    }

    #[test]
    fn a_sleeper_is_woken_once_and_own_news_keeps_awake() {
        let mut boxes = mesh(3, 4);
        assert!(boxes[1].may_sleep());
        for from in [0, 2] {
            boxes[from].respond(1, Response::Released { local: LocalTopic(from as u32) });
        }
        let mut woken = Vec::new();
        boxes[0].signal(|to| woken.push(to));
        boxes[2].signal(|to| woken.push(to));
        assert_eq!(woken, [1]);
        boxes[1].awake();
        boxes[1].collect();
        assert_eq!(boxes[1].take_ready(0), 0b101);
        boxes[1].respond(1, Response::Released { local: LocalTopic(9) });
        assert!(!boxes[1].may_sleep());
        boxes[1].collect();
        assert_eq!(boxes[1].take_ready(0), 0b010);
    }
}
