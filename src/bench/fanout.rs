//! Publishers and subscribers of topics. Each subscriber checks the stream of each publisher.

use super::clients::{Clients, Scenario};
use super::dialect::{Dialect, Said, Wrapping};
use super::io::Io;
use super::order::{Orders, Place, out_of_numbers};
use super::pace::Pacer;
use super::plan::{Fanout as Shape, Pace, Plan};
use super::published::Published;
use super::report::FaultCause;
use super::stamp::{Codec, Corrupt, Stamp};
use crate::base::Slot;
use crate::conn::Link;
use crate::ws::message::Message;

/// One of this ring's publishers.
struct Publisher {
    number: u32,
    slot: Slot,
    wrapping: Wrapping,
    sent: u32,
}

/// See the module's header.
pub(super) struct Fanout {
    shape: Shape,
    dialect: Dialect,
    codec: Codec,
    pacer: Option<Pacer>,
    first: u32,
    /// The part of the run's publishers that other rings have before this one's.
    before: f64,
    /// Whether the connection is ready, by slot.
    ready: Vec<bool>,
    /// The number that is due next, by slot and publisher of its topic.
    expected: Vec<u32>,
    publishers_per_topic: u32,
    publishers: Vec<Publisher>,
    /// The publisher that a connection is, by slot, as a place in `publishers`.
    publisher_at: Vec<u32>,
    orders: Orders,
    cursor: usize,
    has_begun: bool,
}

const NO_PUBLISHER: u32 = u32::MAX;

impl Fanout {
    pub(super) fn new(plan: &Plan, shape: Shape, codec: Codec, first: u32, count: u32) -> Self {
        let publishers_per_topic = shape.publishers_per_topic_max();
        let before = (0..first).filter(|&other| shape.publisher_of(other).is_some()).count() as u32;
        let mut publishers = Vec::new();
        let mut publisher_at = vec![NO_PUBLISHER; count as usize];
        for slot in 0..count {
            if let Some(number) = shape.publisher_of(first + slot) {
                publisher_at[slot as usize] = publishers.len() as u32;
                let wrapping = plan.dialect.publication(shape.topic_of(first + slot));
                publishers.push(Publisher { number, slot: Slot(slot), wrapping, sent: 0 });
            }
        }
        Fanout {
            shape,
            dialect: plan.dialect,
            codec,
            pacer: None,
            first,
            before: f64::from(before) / f64::from(shape.publishers),
            ready: vec![false; count as usize],
            expected: vec![0; count as usize * publishers_per_topic as usize],
            publishers_per_topic,
            publishers,
            publisher_at,
            orders: Orders::default(),
            cursor: 0,
            has_begun: false,
        }
    }

    /// Tells the other rings how many messages this one's publishers have sent.
    pub(super) fn announce(&self, published: &Published) {
        for publisher in &self.publishers {
            published.set(publisher.number, publisher.sent);
        }
    }

    fn begin(&mut self, clients: &mut Clients) {
        self.has_begun = true;
        let (now_ns, senders) = (clients.io.now_ns, self.publishers.len() as u32);
        let at_ns = clients.io.schedule.load.from_ns;
        let share = (senders, self.shape.publishers);
        self.pacer = Pacer::new(self.shape.pace, share, self.before, at_ns);
        if let Pace::Closed { in_flight } = self.shape.pace {
            for place in 0..self.publishers.len() {
                for _ in 0..in_flight {
                    self.publish_if_open(clients, place, now_ns);
                }
            }
        }
    }

    fn publish_if_open(&mut self, clients: &mut Clients, place: usize, due_ns: u64) {
        let slot = self.publishers[place].slot;
        if clients.is_open(slot) {
            let (io, link) = clients.link(slot);
            self.publish(io, link, place, due_ns);
        }
    }

    fn publish(&mut self, io: &mut Io, link: &mut Link, place: usize, due_ns: u64) {
        let Publisher { number, wrapping, sent, .. } = &mut self.publishers[place];
        if *sent == u32::MAX {
            return out_of_numbers(&mut io.tally.faults);
        }
        let stamp = Stamp { publisher: *number, sequence: *sent, sent_ns: due_ns };
        let codec = &self.codec;
        let taken = io.send(link, wrapping.opcode, |out| {
            out.extend_from_slice(wrapping.before.as_bytes());
            codec.write(out, stamp);
            out.extend_from_slice(wrapping.after.as_bytes());
        });
        if taken {
            *sent += 1;
            io.sent(due_ns);
        } else {
            io.not_sent(due_ns);
        }
    }

    /// The place of a publisher's number in a subscriber's row, if the subscriber is to hear it.
    fn row(&self, slot: Slot, publisher: u32) -> Option<usize> {
        let topic = self.shape.topic_of(self.first + slot.0);
        let is_heard = publisher % self.shape.topics == topic && publisher < self.shape.publishers;
        let column = publisher / self.shape.topics;
        is_heard.then(|| slot.index() * self.publishers_per_topic as usize + column as usize)
    }
}

impl Scenario for Fanout {
    fn turn(&mut self, clients: &mut Clients) -> Option<u64> {
        let load = clients.io.schedule.load;
        if clients.io.now_ns < load.from_ns {
            return None;
        }
        if !self.has_begun {
            self.begin(clients);
        }
        let mut pacer = self.pacer.take()?;
        pacer.begin_turn();
        while let Some(due_ns) = pacer.take(clients.io.now_ns, load.until_ns) {
            self.publish_if_open(clients, self.cursor, due_ns);
            self.cursor = (self.cursor + 1) % self.publishers.len();
        }
        let next_ns = pacer.next_ns();
        self.pacer = Some(pacer);
        Some(next_ns)
    }

    fn pacer(&self) -> Option<&Pacer> {
        self.pacer.as_ref()
    }

    fn opened(&mut self, _: &mut Io, slot: Slot) -> bool {
        self.ready[slot.index()] = true;
        false
    }

    fn message(&mut self, io: &mut Io, link: &mut Link, message: Message<'_>) {
        let slot = link.key.slot;
        let payload =
            match self.dialect.understand(message.kind, message.payload, self.codec.bytes()) {
                Said::Payload(payload) => payload,
                Said::Subscribed | Said::Other => return,
                Said::Refused(what) => return io.tally.faults.add(FaultCause::Refused, || what),
                Said::Wrong(what) => return io.tally.faults.add(FaultCause::Protocol, || what),
            };
        let stamp = if message.kind == self.codec.form().kind() {
            self.codec.read(payload)
        } else {
            Err(Corrupt)
        };
        let found = stamp.ok().and_then(|stamp| Some((stamp, self.row(slot, stamp.publisher)?)));
        let Some((stamp, row)) = found else {
            self.orders.corrupted(slot);
            return io.tally.faults.add(FaultCause::Corrupted, || {
                format!("a message of {} octets was not published here", payload.len())
            });
        };
        let expected = &mut self.expected[row];
        let (faults, at) = (&mut io.tally.faults, (slot, row as u64));
        let order = self.orders.observe(at, expected, stamp.sequence, faults);
        io.arrived(stamp.sent_ns, order);
        // One that comes twice must not make two of the next.
        let (Pace::Closed { .. }, Place::New) = (self.shape.pace, order) else { return };
        let place = self.publisher_at[slot.index()];
        let is_own =
            place != NO_PUBLISHER && self.publishers[place as usize].number == stamp.publisher;
        if is_own && io.is_loading() {
            self.publish(io, link, place as usize, io.now_ns);
        }
    }

    fn gone(&mut self, _: &mut Io, slot: Slot) {
        self.ready[slot.index()] = false;
    }

    fn outstanding(&self, published: &Published) -> u64 {
        let columns = self.publishers_per_topic as usize;
        let rows = self.expected.chunks_exact(columns).zip(&self.ready).enumerate();
        let mut late = 0;
        for (slot, (row, _)) in rows.filter(|(_, (_, is_ready))| **is_ready) {
            let topic = self.shape.topic_of(self.first + slot as u32);
            let counts = self.shape.publishers_of(topic).zip(row);
            let owed = |(publisher, expected): (u32, &u32)| {
                u64::from(published.of(publisher).saturating_sub(*expected))
            };
            late += self.orders.still_late(Slot(slot as u32), counts.map(owed).sum());
        }
        late
    }
}
