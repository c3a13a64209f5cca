//! Connections that only stay, and connections that come and go.

use std::sync::Arc;

use super::clients::{Clients, Scenario};
use super::io::Io;
use super::pace::Pacer;
use super::plan::Plan;
use super::published::Published;
use crate::base::Slot;
use crate::conn::Link;
use crate::ws::message::Message;

/// Connections that answer pings and nothing else.
pub(super) struct Idle;

impl Scenario for Idle {
    fn turn(&mut self, _: &mut Clients) -> Option<u64> {
        None
    }

    fn pacer(&self) -> Option<&Pacer> {
        None
    }

    fn opened(&mut self, _: &mut Io, _: Slot) -> bool {
        false
    }

    fn message(&mut self, io: &mut Io, _: &mut Link, _: Message<'_>) {
        // Somebody else may publish to the topic.
        io.tally.received += 1;
    }

    fn gone(&mut self, _: &mut Io, _: Slot) {}

    fn outstanding(&self, _: &Published) -> u64 {
        0
    }
}

/// Connections that are closed as soon as they are open, and opened again: at a rate, or as fast
/// as they are taken.
pub(super) struct Handshake {
    plan: Arc<Plan>,
    first: u32,
    count: u32,
    pacer: Option<Pacer>,
    has_begun: bool,
}

impl Handshake {
    /// For a ring that has `count` of the run's connections from `first` on.
    pub(super) fn new(plan: Arc<Plan>, first: u32, count: u32) -> Handshake {
        Handshake { plan, first, count, pacer: None, has_begun: false }
    }

    /// The moment at which the next one is due, if one may begin now.
    fn take(&mut self, io: &Io) -> Option<u64> {
        match &mut self.pacer {
            Some(pacer) => pacer.take(io.now_ns, io.schedule.load.until_ns),
            None => io.is_loading().then_some(io.now_ns),
        }
    }
}

impl Scenario for Handshake {
    fn turn(&mut self, clients: &mut Clients) -> Option<u64> {
        let from_ns = clients.io.schedule.load.from_ns;
        if clients.io.now_ns < from_ns {
            return None;
        }
        if !self.has_begun {
            self.has_begun = true;
            self.pacer = Pacer::of_connects(&self.plan, self.first, self.count, from_ns);
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.begin_turn();
        }
        for slot in (0..clients.count()).map(Slot) {
            if clients.is_idle(slot) {
                let Some(due_ns) = self.take(&clients.io) else {
                    return self.pacer.as_ref().map(Pacer::next_ns);
                };
                clients.io.sent(due_ns);
                clients.connect(slot, due_ns);
            }
        }
        None
    }

    fn pacer(&self) -> Option<&Pacer> {
        self.pacer.as_ref()
    }

    fn opened(&mut self, _: &mut Io, _: Slot) -> bool {
        true
    }

    fn message(&mut self, io: &mut Io, _: &mut Link, _: Message<'_>) {
        io.tally.received += 1;
    }

    fn gone(&mut self, _: &mut Io, _: Slot) {}

    fn outstanding(&self, _: &Published) -> u64 {
        0
    }
}
