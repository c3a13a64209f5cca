//! Connections that only stay, and connections that come and go.

use super::clients::{Clients, Scenario};
use super::io::Io;
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

/// Connections that are closed as soon as they are open, and opened again.
pub(super) struct Handshake;

impl Scenario for Handshake {
    fn turn(&mut self, clients: &mut Clients) -> Option<u64> {
        if clients.io.is_loading {
            for slot in (0..clients.count()).map(Slot) {
                if clients.is_idle(slot) {
                    clients.connect(slot);
                }
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
