//! Messages that come back: a closed loop with some in flight, or an open one at a fixed rate.

use super::clients::{Clients, Scenario};
use super::io::Io;
use super::order::{Orders, Place, out_of_numbers};
use super::pace::Pacer;
use super::plan::{Pace, Plan};
use super::published::Published;
use super::report::FaultCause;
use super::stamp::{Codec, Corrupt, Form, Stamp};
use crate::base::Slot;
use crate::conn::Link;
use crate::ws::message::Message;
use crate::ws::opcode::Opcode;

/// One connection's numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    /// Messages sent: the number of the next one.
    sent: u32,
    /// The number of the message that has to come back next.
    expected: u32,
}

/// See the module's header.
pub(super) struct Echo {
    codec: Codec,
    pace: Pace,
    pacer: Option<Pacer>,
    first: u32,
    connections_total: u32,
    /// The part of the run's connections that other rings have before this one's.
    before: f64,
    streams: Vec<Stream>,
    orders: Orders,
    /// Whose turn it is in an open loop.
    cursor: u32,
    has_begun: bool,
}

impl Echo {
    pub(super) fn new(plan: &Plan, codec: Codec, pace: Pace, first: u32, count: u32) -> Self {
        Echo {
            codec,
            pace,
            pacer: None,
            first,
            connections_total: plan.connections,
            before: plan.part_before(first),
            streams: vec![Stream::default(); count as usize],
            orders: Orders::default(),
            cursor: 0,
            has_begun: false,
        }
    }

    fn begin(&mut self, clients: &mut Clients) {
        self.has_begun = true;
        let count = clients.count();
        let at_ns = clients.io.schedule.load.from_ns;
        self.pacer = Pacer::new(self.pace, (count, self.connections_total), self.before, at_ns);
        if let Pace::Closed { in_flight } = self.pace {
            for slot in (0..count).map(Slot) {
                for _ in 0..in_flight {
                    self.send_if_open(clients, slot, clients.io.now_ns);
                }
            }
        }
    }

    fn send_if_open(&mut self, clients: &mut Clients, slot: Slot, due_ns: u64) {
        if clients.is_open(slot) {
            let (io, link) = clients.link(slot);
            self.send(io, link, due_ns);
        }
    }

    fn send(&mut self, io: &mut Io, link: &mut Link, due_ns: u64) {
        let slot = link.key.slot;
        let stream = &mut self.streams[slot.index()];
        let stamp =
            Stamp { publisher: self.first + slot.0, sequence: stream.sent, sent_ns: due_ns };
        let codec = &self.codec;
        let opcode = match codec.form() {
            Form::Binary => Opcode::Binary,
            Form::Text => Opcode::Text,
        };
        if stream.sent == u32::MAX {
            return out_of_numbers(&mut io.tally.faults);
        }
        if io.send(link, opcode, |out| codec.write(out, stamp)) {
            stream.sent += 1;
            io.sent(due_ns);
        } else {
            io.not_sent(due_ns);
        }
    }
}

impl Scenario for Echo {
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
            let slot = Slot(self.cursor);
            self.cursor = (self.cursor + 1) % clients.count();
            self.send_if_open(clients, slot, due_ns);
        }
        let next_ns = pacer.next_ns();
        self.pacer = Some(pacer);
        Some(next_ns)
    }

    fn pacer(&self) -> Option<&Pacer> {
        self.pacer.as_ref()
    }

    fn opened(&mut self, _: &mut Io, _: Slot) -> bool {
        false
    }

    fn message(&mut self, io: &mut Io, link: &mut Link, message: Message<'_>) {
        let slot = link.key.slot;
        let kind = self.codec.form().kind();
        let stream = &mut self.streams[slot.index()];
        let publisher = self.first + slot.0;
        let place = match self.codec.read(message.payload) {
            Ok(stamp)
                if stamp.publisher == publisher
                    && stamp.sequence < stream.sent
                    && message.kind == kind =>
            {
                let (faults, at) = (&mut io.tally.faults, (slot, u64::from(publisher)));
                let place = self.orders.observe(at, &mut stream.expected, stamp.sequence, faults);
                io.arrived(stamp.sent_ns, place);
                place
            }
            Ok(_) | Err(Corrupt) => {
                io.tally.faults.add(FaultCause::Corrupted, || {
                    format!("an echo of {} octets is not what was sent", message.payload.len())
                });
                self.orders.corrupted(slot);
                Place::New
            }
        };
        // One that comes twice must not make two of the next.
        if let (Pace::Closed { .. }, Place::New) = (self.pace, place)
            && io.is_loading()
        {
            self.send(io, link, io.now_ns);
        }
    }

    fn gone(&mut self, _: &mut Io, slot: Slot) {
        // What was on its way ends with the connection, which is counted as lost itself.
        let stream = &mut self.streams[slot.index()];
        stream.expected = stream.sent;
    }

    fn outstanding(&self, _: &Published) -> u64 {
        let late = |(slot, stream): (usize, &Stream)| {
            let late = u64::from(stream.sent.saturating_sub(stream.expected));
            self.orders.still_late(Slot(slot as u32), late)
        };
        self.streams.iter().enumerate().map(late).sum()
    }
}
