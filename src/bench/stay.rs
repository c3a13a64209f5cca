//! Connections that only stay, and connections that come and go.

use super::clients::{Clients, Scenario};
use super::io::Io;
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
    interval_ns: Option<f64>,
    /// Connections begun so far.
    begun: u64,
}

impl Handshake {
    /// For a ring that has `count` of the run's connections.
    pub(super) fn new(plan: &Plan, count: u32) -> Handshake {
        Handshake { interval_ns: plan.connect_interval_ns(count), begun: 0 }
    }
}

impl Scenario for Handshake {
    fn turn(&mut self, clients: &mut Clients) -> Option<u64> {
        if !clients.io.is_loading() {
            return None;
        }
        for slot in (0..clients.count()).map(Slot) {
            if clients.is_idle(slot) {
                let (now_ns, from_ns) = (clients.io.now_ns, clients.io.schedule.load.from_ns);
                let due_ns = match self.interval_ns {
                    Some(interval_ns) => from_ns + (self.begun as f64 * interval_ns) as u64,
                    None => now_ns,
                };
                if due_ns > now_ns {
                    return Some(due_ns);
                }
                clients.connect(slot, due_ns);
                self.begun += 1;
            }
        }
        None
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
