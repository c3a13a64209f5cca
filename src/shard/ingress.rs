//! What bytes from a peer lead to: protocol events, and calls of the handler.

use super::shard::Shard;
use crate::base::{ConnKey, Slot};
use crate::conn::{Deadline, Pause, Stage};
use crate::handler::Handler;
use crate::metrics::Metric;
use crate::ws::close::CloseCode;
use crate::ws::fault::PeerFault;
use crate::ws::message::Event;
use crate::ws::opcode::Opcode;

/// What one look at the bytes has led to.
enum Looked {
    /// Something was found and dealt with; so many octets of the input are used up.
    Found(usize),
    /// All input is used up.
    Done,
    /// A message takes more inflating than this turn has room for; the rest of the input is kept.
    Stalled,
    /// The peer has closed.
    Closed(Option<CloseCode>),
    /// The peer is at fault.
    Fault(PeerFault),
}

impl<H: Handler> Shard<H> {
    pub(super) fn received(&mut self, key: ConnKey, bytes: &mut [u8]) {
        let now = self.core.now.tick();
        let Some(conn) = self.table.get_mut(key) else {
            return self.core.counters.inc(Metric::StaleCompletions);
        };
        conn.link.heard = now;
        let is_stalled = conn.stage.is_stalled();
        // Bytes after the ping are what was waited for. What is stored of the connection is at hand
        // now: were the ping's timer left to find out later, all of it would be fetched again.
        if conn.link.deadline == Deadline::Pong {
            let next = now.before_ms(self.core.config.heartbeat_interval_ms);
            self.set_deadline(key, Deadline::Heartbeat, next);
        }
        if is_stalled {
            return self.keep_input(key, bytes);
        }
        self.take_input(key, bytes);
    }

    /// The same as for octets that arrive, for those that were kept. Apart, so that the compiler
    /// lays out the hot path as one piece.
    #[inline(never)]
    pub(super) fn take_kept_input(&mut self, key: ConnKey, bytes: &mut [u8]) {
        self.take_input(key, bytes);
    }

    /// Deals with all of it, or with as much as the turn has room to inflate.
    #[inline(always)]
    fn take_input(&mut self, key: ConnKey, bytes: &mut [u8]) {
        self.core.pool.begin_slice();
        let mut rest = bytes;
        loop {
            let Some(conn) = self.table.get_mut(key) else { return };
            match &conn.stage {
                Stage::Upgrading { .. } => match self.upgrade(key, rest) {
                    Some(used) => rest = &mut rest[used..],
                    None => return,
                },
                Stage::Open { .. } | Stage::Closing { .. } => match self.look(key, rest) {
                    Looked::Found(used) => rest = &mut rest[used..],
                    Looked::Done => return self.check_levels(key),
                    Looked::Stalled => return self.stall(key),
                    Looked::Closed(code) => return self.peer_closed(key, code),
                    Looked::Fault(fault) => return self.peer_faulted(key, fault),
                },
                Stage::Ended => return,
            }
        }
    }

    /// Takes one event out of `input`.
    #[inline(always)]
    fn look(&mut self, key: ConnKey, input: &mut [u8]) -> Looked {
        let Slot(slot) = key.slot;
        let conn = self.table.at_mut(key.slot);
        let (link, protocol, is_open) = match &mut conn.stage {
            Stage::Open { protocol } => (&mut conn.link, protocol, true),
            Stage::Closing { protocol } => (&mut conn.link, protocol, false),
            Stage::Upgrading { .. } | Stage::Ended => unreachable!("only a protocol looks"),
        };
        let core = &mut self.core;
        let held = protocol.partial_bytes();
        let step = match protocol.step(input, &core.config.message, &mut core.pool) {
            Ok(step) => step,
            Err(fault) => {
                // What is still held is accounted for when the stage ends.
                core.account_ingress(held, protocol.partial_bytes());
                return Looked::Fault(fault);
            }
        };
        let used = step.consumed;
        match step.event {
            None => {
                let is_stalled = protocol.is_stalled();
                if is_stalled {
                    protocol.keep(&input[used..]);
                }
                core.account_ingress(held, protocol.partial_bytes());
                return if is_stalled { Looked::Stalled } else { Looked::Done };
            }
            Some(Event::Close { code, .. }) => {
                core.account_ingress(held, protocol.partial_bytes());
                return Looked::Closed(code);
            }
            // After our close frame nothing else is listened to (RFC 6455, section 1.4).
            Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_)) if !is_open => {}
            Some(Event::Message(message)) => {
                core.counters.inc(Metric::MessagesReceived);
                core.counters.add(Metric::ReceivedBytes, message.payload.len() as u64);
                let session = self.sessions[slot as usize].as_mut().expect("open has a session");
                let jobs = &mut self.jobs;
                let mut ctx = super::api::Ctx { link, session, core, jobs };
                self.handler.on_message(&mut ctx, message);
            }
            Some(Event::Ping(payload)) => {
                core.counters.inc(Metric::PingsReceived);
                match core.outbox.send(link, Opcode::Pong, payload) {
                    Ok(_) => core.counters.inc(Metric::PongsSent),
                    Err(_) => core.counters.inc(Metric::PingsDropped),
                }
            }
            Some(Event::Pong(_)) => core.counters.inc(Metric::PongsReceived),
        }
        // S2: nobody has ended it yet.
        let holds = self.table.at_mut(key.slot).stage.partial_bytes();
        self.core.account_ingress(held, holds);
        self.carry_out_commands(key);
        Looked::Found(used)
    }

    /// After input: is it too much for us, or does its answer pile up?
    pub(super) fn check_levels(&mut self, key: ConnKey) {
        if self.core.holds_too_much() && self.partial_bytes(key) > 0 {
            return self.give_up_on_partial(key);
        }
        self.check_congestion(key);
    }

    /// Pauses a connection whose own requests have filled its queue past the high watermark.
    pub(super) fn check_congestion(&mut self, key: ConnKey) {
        let high = self.core.outbox.high_watermark();
        let Some(conn) = self.table.get_mut(key) else { return };
        let direct = conn.link.egress.as_ref().map_or(0, |egress| egress.direct());
        if direct > high && !conn.link.io.pause.has(Pause::EGRESS) {
            conn.link.io.pause.add(Pause::EGRESS);
            self.core.counters.inc(Metric::ReadsPaused);
            self.steer_recv(key);
        }
    }

    pub(super) fn partial_bytes(&self, key: ConnKey) -> usize {
        self.table.get(key).map_or(0, |conn| conn.stage.partial_bytes())
    }
}
