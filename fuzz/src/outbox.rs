//! What connections are sent in turns, over sockets that take what they like: every client gets
//! whole frames, in order, each once; and what it does not get, somebody was told of.

use bytes::Bytes;
use ringwire::base::{ConnKey, Generation, Slot, Tick};
use ringwire::conn::Link;
use ringwire::conn::egress::Queued;
use ringwire::conn::outbox::{Delivered, EgressLimits, Outbox};
use ringwire::limits::EGRESS_FRAME_OVERHEAD_BYTES;
use ringwire::pubsub::envelope::TopicStay;
use ringwire::pubsub::policy::SlowConsumer;
use ringwire::ring::{FileSlot, Op, OpQueue, PeerAddr};
use ringwire::ws::Opcode;

use super::choices::Choices;
use super::stream::frame;

const CLIENTS: usize = 3;
const ARENA_BYTES: usize = 16 * 1024;
/// Octets of a frame's payload that say which one it is.
const NAME_BYTES: usize = 4;
const PAYLOAD_BYTES_MAX: usize = 70_000;

/// Input: the limits, then operations.
pub(crate) fn check(octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let bytes_max = choices.one_of(&[8192, 4096, 20_000, 200_000]);
    let total_bytes_max = choices.one_of(&[CLIENTS * bytes_max, 2 * bytes_max, bytes_max]);
    let mut world = World::new(EgressLimits { bytes_max, total_bytes_max });
    while !choices.is_empty() {
        match choices.below(8) {
            0..=2 => world.send(&mut choices),
            3 | 4 => world.publish(&mut choices),
            5 | 6 => world.end_turn(),
            _ => world.make_room(&mut choices),
        }
        world.check();
    }
    world.end();
}

/// What a frame is to its client.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// Nobody may drop it.
    Kept,
    /// A newer one may take its place.
    Pong,
    /// The topic's policy may drop it, and then counts it.
    Droppable,
}

struct Client {
    link: Link,
    /// What it was sent, as far as that was taken.
    expected: Vec<(u32, What)>,
    /// What came out of its socket.
    output: Vec<u8>,
    /// Octets that its socket takes.
    room: usize,
    /// A queued send in flight: what is left of it.
    in_flight: Option<Vec<u8>>,
    dropped: usize,
    is_too_slow: bool,
}

struct World {
    outbox: Outbox,
    limits: EgressLimits,
    clients: Vec<Client>,
    named: u32,
}

impl World {
    fn new(limits: EgressLimits) -> Self {
        let client = |slot: u32| {
            let key = ConnKey { slot: Slot(slot), generation: Generation(slot + 1) };
            Client {
                link: Link::new(key, FileSlot(slot), PeerAddr::Unknown, Tick(0)),
                expected: Vec::new(),
                output: Vec::new(),
                room: 0,
                in_flight: None,
                dropped: 0,
                is_too_slow: false,
            }
        };
        let clients = (0..CLIENTS as u32).map(client).collect();
        World { outbox: Outbox::new(ARENA_BYTES, limits), limits, clients, named: 0 }
    }

    /// A payload that begins with a name of its own.
    fn payload(&mut self, len: usize) -> (u32, Vec<u8>) {
        self.named += 1;
        let mut payload = self.named.to_be_bytes().to_vec();
        payload.resize(NAME_BYTES + len, self.named as u8);
        (self.named, payload)
    }

    fn send(&mut self, choices: &mut Choices<'_>) {
        let client = choices.below(CLIENTS);
        let opcode = choices.one_of(&[Opcode::Text, Opcode::Binary, Opcode::Pong, Opcode::Ping]);
        let long = length(choices);
        let (len, what) = match opcode {
            Opcode::Pong => (long % 120, What::Pong),
            Opcode::Ping | Opcode::Close => (long % 120, What::Kept),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => (long, What::Kept),
        };
        let (name, payload) = self.payload(len);
        let client = &mut self.clients[client];
        if !client.is_too_slow && self.outbox.send(&mut client.link, opcode, &payload).is_ok() {
            client.expected.push((name, what));
        }
    }

    /// A few messages of a topic for some of the clients.
    fn publish(&mut self, choices: &mut Choices<'_>) {
        let (topic, to) = (choices.below(SlowConsumer::ALL.len()), choices.octet());
        let policy = SlowConsumer::ALL[topic];
        let what = if policy == SlowConsumer::Close { What::Kept } else { What::Droppable };
        let messages = 1 + choices.below(4);
        let messages: Vec<_> = (0..messages).map(|_| self.payload(length(choices))).collect();
        let frames = messages.iter().map(|(_, payload)| Bytes::from(frame(0x82, payload, None)));
        let frames: Vec<Bytes> = frames.collect();
        let batch = self.outbox.stage(TopicStay(topic as u32), policy, &frames);
        for (index, client) in self.clients.iter_mut().enumerate() {
            if client.is_too_slow || to >> index & 1 == 0 {
                continue;
            }
            let verdict = self.outbox.deliver(&mut client.link, batch);
            client.expected.extend(messages.iter().map(|(name, _)| (*name, what)));
            client.judge(&mut self.outbox, verdict);
        }
    }

    /// What was staged goes to the sockets; what they do not take is heard of before the next turn.
    fn end_turn(&mut self) {
        let mut ops = OpQueue::new();
        let has_staged = self.outbox.has_staged();
        assert_eq!(self.outbox.flush(&mut ops) > 0, has_staged);
        let mut is_served = [false; CLIENTS];
        let mut short = Vec::new();
        for op in ops {
            let Op::Send { conn, file, first } = op else { panic!("{op:?} is no send") };
            let index = file.0 as usize;
            let client = &mut self.clients[index];
            assert_eq!(conn, client.link.key);
            assert!(!std::mem::replace(&mut is_served[index], true), "O2: once per turn");
            assert!(client.in_flight.is_none() && client.link.egress.is_none(), "O2");
            let octets = self.outbox.staging().pieces(first).collect::<Vec<_>>().concat();
            let taken = client.take(&octets);
            if taken < octets.len() {
                short.push((index, taken));
            }
        }
        for (index, taken) in short {
            let client = &mut self.clients[index];
            let verdict = self.outbox.take_back(&mut client.link, taken);
            client.judge(&mut self.outbox, verdict);
        }
        self.outbox.begin_turn();
        assert!(!self.outbox.has_staged());
        self.clients.iter_mut().for_each(|client| client.go_on(&mut self.outbox));
    }

    fn make_room(&mut self, choices: &mut Choices<'_>) {
        let client = &mut self.clients[choices.below(CLIENTS)];
        client.room += choices.scaled(16) as usize;
        client.go_on(&mut self.outbox);
    }

    fn check(&self) {
        let queued = self.clients.iter().map(|client| client.link.queued_bytes());
        assert_eq!(self.outbox.charged_total(), queued.clone().sum::<usize>());
        // B2: a frame that is partly out is kept whatever the limits say, as are direct ones that
        // were staged together.
        let excess = self.limits.bytes_max.max(PAYLOAD_BYTES_MAX) + 2 * EGRESS_FRAME_OVERHEAD_BYTES;
        assert!(queued.max().is_none_or(|most| most <= self.limits.bytes_max + excess));
        let total_max = self.limits.total_bytes_max + CLIENTS * excess;
        assert!(self.outbox.charged_total() <= total_max);
    }

    /// Everybody reads: whatever was promised is there.
    fn end(&mut self) {
        self.clients.iter_mut().for_each(|client| client.room = usize::MAX);
        self.clients.iter_mut().for_each(|client| client.go_on(&mut self.outbox));
        self.end_turn();
        assert_eq!(self.outbox.charged_total(), 0);
        self.clients.iter().for_each(Client::check);
    }
}

impl Client {
    fn take(&mut self, octets: &[u8]) -> usize {
        let taken = octets.len().min(self.room);
        self.room -= taken;
        self.output.extend_from_slice(&octets[..taken]);
        taken
    }

    fn judge(&mut self, outbox: &mut Outbox, verdict: Delivered) {
        match verdict {
            Delivered::Staged => {}
            Delivered::Queued(Queued { dropped, conflated }) => {
                self.dropped += (dropped + conflated) as usize;
            }
            Delivered::TooSlow => {
                self.is_too_slow = true;
                outbox.truncate(&mut self.link);
            }
        }
    }

    /// The kernel goes on with what waits, as far as there is room.
    fn go_on(&mut self, outbox: &mut Outbox) {
        loop {
            let octets = match self.in_flight.take() {
                Some(octets) => octets,
                None => match outbox.next_send(&mut self.link) {
                    None => return,
                    Some(Op::SendQueued { conn, frames, skip, .. }) => {
                        assert_eq!(conn, self.link.key);
                        frames.concat().split_off(skip as usize)
                    }
                    Some(other) => panic!("{other:?} is no queued send"),
                },
            };
            if self.room == 0 {
                self.in_flight = Some(octets);
                return;
            }
            let taken = self.take(&octets);
            outbox.sent(&mut self.link, taken);
        }
    }

    /// Whole frames, in order, none twice; and of those that are missing each for a reason.
    fn check(&self) {
        let names = names(&self.output);
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
        let is_missing = |entry: &&(u32, What)| names.binary_search(&entry.0).is_err();
        let missing: Vec<_> = self.expected.iter().filter(is_missing).collect();
        assert_eq!(names.len() + missing.len(), self.expected.len(), "nobody sent one of these");
        if self.is_too_slow {
            return;
        }
        let count = |what| missing.iter().filter(|(_, other)| *other == what).count();
        assert_eq!(count(What::Kept), 0, "{missing:?}");
        assert_eq!(count(What::Droppable), self.dropped, "what is dropped is counted");
        let newer_pong = |name: u32| {
            self.expected.iter().any(|(other, what)| *what == What::Pong && *other > name)
        };
        let mut pongs = missing.iter().filter(|(_, what)| *what == What::Pong);
        assert!(pongs.all(|(name, _)| newer_pong(*name)), "a newer one took its place");
    }
}

/// The names of the frames of a stream, which ends with a whole one.
fn names(stream: &[u8]) -> Vec<u32> {
    let mut rest = stream;
    let mut names = Vec::new();
    while !rest.is_empty() {
        assert!([0x81, 0x82, 0x89, 0x8a].contains(&rest[0]), "a frame begins here");
        let number = |octets: &[u8]| octets.iter().fold(0, |sum, octet| sum << 8 | *octet as usize);
        let (start, len) = match rest[1] {
            126 => (4, number(&rest[2..4])),
            127 => (10, number(&rest[2..10])),
            short => (2, usize::from(short)),
        };
        let payload = &rest[start..start + len];
        let name = number(&payload[..NAME_BYTES]) as u32;
        assert!(payload[NAME_BYTES..].iter().all(|octet| *octet == name as u8));
        names.push(name);
        rest = &rest[start + len..];
    }
    names
}

fn length(choices: &mut Choices<'_>) -> usize {
    let len = choices.scaled(12) as usize;
    if choices.below(64) == 63 { PAYLOAD_BYTES_MAX - NAME_BYTES - 14 } else { len }
}
