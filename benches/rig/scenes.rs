//! What a shard goes through again and again, whole and in memory: octets in, orders out.
//!
//! A scene first plays one round whose outcome is checked in full; later rounds only count sends.
//! The octets of a round are given by the caller, because a shard unmasks in place.

use ringwire::handler::Handler;
use ringwire::session::{JsonHandler, SessionConfig};

use super::wire;
use super::{Echo, Machine, Relay};

/// See the module's header.
pub(crate) struct Scene<H: Handler> {
    machine: Machine<H>,
    /// How many connections send something in a round.
    talkers: usize,
    /// How many sends a round leads to.
    sends: usize,
    /// What the talkers send in a round, one after the other.
    pub(crate) input: Vec<u8>,
}

impl<H: Handler> Scene<H> {
    /// One round. `input` has to be what [`Scene::input`] is.
    #[inline]
    pub(crate) fn round(&mut self, input: &mut [u8]) {
        for (file, bytes) in input.chunks_exact_mut(input.len() / self.talkers).enumerate() {
            self.machine.receive(file, bytes);
        }
        assert_eq!(self.machine.rest(), self.sends, "every round leads to the same");
    }
}

/// Connections that each have `pipelined` messages of `bytes` octets echoed in a round.
pub(crate) fn echo(connections: usize, bytes: usize, pipelined: usize) -> Scene<Echo> {
    let mut machine = Machine::new(connections as u32, Echo);
    machine.open(connections);
    let payload = wire::octets(bytes);
    let sent = wire::frame(wire::BINARY, &payload).repeat(pipelined);
    let expected = wire::bare_frame(wire::BINARY, &payload).repeat(pipelined);
    for file in 0..connections {
        machine.receive(file, &mut sent.clone());
    }
    let mut echoed = 0;
    machine.turn_with(0, |_, octets| echoed += usize::from(octets == expected));
    assert_eq!(echoed, connections, "every echo is intact");
    let input = sent.repeat(connections);
    Scene { machine, talkers: connections, sends: connections, input }
}

/// Connections that all subscribe to one topic of `ringwire serve`; the first `publishers` publish
/// a message with `bytes` octets of data in a round.
pub(crate) fn fan_out(publishers: usize, subscribers: usize, bytes: usize) -> Scene<JsonHandler> {
    let handler = JsonHandler::new(SessionConfig::default(), 7);
    let mut machine = Machine::new(subscribers as u32, handler);
    machine.open(subscribers);
    let subscribe = wire::frame(wire::TEXT, br#"{"type":"subscribe","topic":"chat:lobby"}"#);
    for file in 0..subscribers {
        machine.receive(file, &mut subscribe.clone());
    }
    assert_eq!(machine.rest(), subscribers, "each is told that it subscribes");
    let data = "x".repeat(bytes - 2);
    let publish = format!(r#"{{"type":"publish","topic":"chat:lobby","data":"{data}"}}"#);
    let publish = wire::frame(wire::TEXT, publish.as_bytes());
    for file in 0..publishers {
        machine.receive(file, &mut publish.clone());
    }
    let (mut delivered, mut sends) = (vec![0; subscribers], 0);
    while delivered.iter().sum::<usize>() < publishers * subscribers {
        let turn = machine.turn_with(0, |file, octets| {
            delivered[file] += octets.windows(data.len()).filter(|w| *w == data.as_bytes()).count();
        });
        assert!(turn.sends > 0, "a turn without a send: {delivered:?}");
        sends += turn.sends;
    }
    assert!(delivered.iter().all(|count| *count == publishers), "each once: {delivered:?}");
    Scene { machine, talkers: publishers, sends, input: publish.repeat(publishers) }
}

/// Connections that all subscribe to one topic and each send a message of `bytes` octets to it in a
/// round.
pub(crate) fn relay(connections: usize, bytes: usize) -> Scene<Relay> {
    let mut machine = Machine::new(connections as u32, Relay);
    machine.open(connections);
    machine.rest();
    let payload = wire::octets(bytes);
    let sent = wire::frame(wire::BINARY, &payload);
    for file in 0..connections {
        machine.receive(file, &mut sent.clone());
    }
    let expected = wire::bare_frame(wire::BINARY, &payload).repeat(connections);
    let mut relayed = 0;
    machine.turn_with(0, |_, octets| relayed += usize::from(octets == expected));
    assert_eq!(relayed, connections, "each gets every message");
    Scene { machine, talkers: connections, sends: connections, input: sent.repeat(connections) }
}
