//! How connections end: close handshakes, last words, and the teardown terminate -> join -> close.

use super::shard::Shard;
use crate::base::ConnKey;
use crate::conn::{CloseReason, Deadline, Phase, Recv, Send, Stage, Teardown, Trigger};
use crate::handler::Handler;
use crate::metrics::Metric;
use crate::ring::{Op, ShutdownHow};
use crate::ws::close::{CONTROL_BYTES_MAX, CloseCode, write_payload};
use crate::ws::fault::PeerFault;
use crate::ws::opcode::Opcode;

impl<H: Handler> Shard<H> {
    /// We close: says so, and waits for the peer to say the same.
    pub(super) fn close(&mut self, key: ConnKey, reason: CloseReason, text: &str) {
        let Some(conn) = self.table.get(key) else { return };
        match conn.stage.phase() {
            Phase::Upgrading => return self.refuse_for_now(key),
            Phase::Closing | Phase::Ended => return,
            // It is leaving this phase already, and its handler asks for it once more.
            Phase::Open if !conn.link.is_open => return,
            Phase::Open => {}
        }
        self.leave_open(key, reason);
        if !self.say_close(key, reason, text) {
            // Who is not told won't answer: the end of our stream, behind what waits, tells it.
            return self.end(key, Trigger::StreamLost, true);
        }
        let next = self.move_on(key, Trigger::CloseRequested);
        assert_eq!(next, Some(Phase::Closing));
        if let Some(conn) = self.table.get_mut(key)
            && let Stage::Open { protocol } = std::mem::replace(&mut conn.stage, Stage::Ended)
        {
            conn.stage = Stage::Closing { protocol };
        }
        self.set_close_deadline(key);
        // Its close frame has to be heard, whatever had paused reading.
        if let Some(conn) = self.table.get_mut(key) {
            conn.link.io.pause = Default::default();
        }
        self.steer_recv(key);
    }

    /// What a short send has left over was more than may wait, and is lost.
    pub(super) fn give_up_on_slow(&mut self, key: ConnKey) {
        match self.phase_of(key) {
            // Our close frame was the last of it: the end of our stream has to do.
            Some(Phase::Closing) => {
                self.core.counters.inc(Metric::LastWordsLost);
                self.end(key, Trigger::StreamLost, true);
            }
            Some(Phase::Upgrading | Phase::Open | Phase::Ended) | None => {
                self.close(key, CloseReason::SlowConsumer, CloseReason::SlowConsumer.text());
            }
        }
    }

    /// The peer has closed: answers in kind, unless we closed first (RFC 6455, section 5.5.1).
    pub(super) fn peer_closed(&mut self, key: ConnKey, code: Option<CloseCode>) {
        if self.phase_of(key) == Some(Phase::Open) {
            self.leave_open(key, CloseReason::Peer(code));
            self.say_close(key, CloseReason::Peer(code), "");
        }
        self.end(key, Trigger::CloseReceived, false);
    }

    /// The peer broke the protocol: tells it how, and ends (RFC 6455, section 7.1.7).
    pub(super) fn peer_faulted(&mut self, key: ConnKey, fault: PeerFault) {
        self.core.counters.inc(Metric::fault(fault));
        let reason = CloseReason::Fault(fault);
        if self.phase_of(key) == Some(Phase::Open) {
            self.leave_open(key, reason);
            self.say_close(key, reason, reason.text());
        }
        self.end(key, Trigger::PeerFaulted, true);
    }

    /// There is no room for the unfinished message: its memory comes back at once, and not only
    /// when the peer has answered a close.
    pub(super) fn give_up_on_partial(&mut self, key: ConnKey) {
        let reason = CloseReason::Overloaded;
        if self.phase_of(key) == Some(Phase::Open) {
            self.leave_open(key, reason);
            self.say_close(key, reason, reason.text());
        }
        self.end(key, Trigger::PeerFaulted, true);
    }

    /// The peer's stream is over. `is_broken`: ours as well.
    pub(super) fn stream_over(&mut self, key: ConnKey, is_broken: bool) {
        match self.phase_of(key) {
            None => {}
            Some(Phase::Ended) if is_broken => self.begin_join(key),
            Some(Phase::Ended) => {}
            Some(Phase::Upgrading | Phase::Open | Phase::Closing) => self.lost(key),
        }
    }

    /// The connection is gone: nothing can be said any more.
    pub(super) fn lost(&mut self, key: ConnKey) {
        match self.phase_of(key) {
            None => return self.core.counters.inc(Metric::StaleCompletions),
            Some(Phase::Open) => self.leave_open(key, CloseReason::Lost),
            Some(Phase::Upgrading | Phase::Closing | Phase::Ended) => {}
        }
        self.abandon(key, Trigger::StreamLost);
    }

    /// Ends without waiting for anything but the kernel.
    pub(super) fn abandon(&mut self, key: ConnKey, trigger: Trigger) {
        self.end(key, trigger, false);
        self.begin_join(key);
    }

    /// The heartbeat found no life: a last word for whoever may still hear it, and the end.
    pub(super) fn heartbeat_lost(&mut self, key: ConnKey) {
        self.core.counters.inc(Metric::HeartbeatsLost);
        let reason = CloseReason::HeartbeatLost;
        self.leave_open(key, reason);
        self.say_close(key, reason, reason.text());
        self.end(key, Trigger::DeadlinePassed, false);
        let has_waiting = self.table.get(key).is_some_and(|conn| conn.link.egress.is_some());
        if has_waiting {
            self.begin_join(key);
        }
    }

    /// The phase is over for good. What is staged or waits goes out first; with `linger`, the peer
    /// is then given time to close, because closing with unread input would destroy our last words.
    pub(super) fn end(&mut self, key: ConnKey, trigger: Trigger, linger: bool) {
        let next = self.move_on(key, trigger);
        let Some(conn) = self.table.get_mut(key) else { return };
        assert_eq!(next, Some(Phase::Ended));
        let core = &mut self.core;
        match std::mem::replace(&mut conn.stage, Stage::Ended) {
            Stage::Open { mut protocol } | Stage::Closing { mut protocol } => {
                let held = protocol.partial_bytes();
                core.account_ingress(held, 0);
                core.takeovers -= u32::from(protocol.deflate().is_some_and(|d| d.recv_takeover));
                protocol.release(&mut core.pool);
            }
            Stage::Upgrading { head: Some(head), .. } => core.account_ingress(head.0.len(), 0),
            Stage::Upgrading { head: None, .. } | Stage::Ended => {}
        }
        if conn.link.io.teardown == Teardown::None {
            conn.link.io.teardown = Teardown::Flushing { linger };
            conn.link.is_flushing = true;
            core.flushing.push(key);
            self.set_close_deadline(key);
            self.steer_recv(key);
        }
    }

    /// Takes the teardown as far as it can go now.
    pub(super) fn advance_teardown(&mut self, key: ConnKey) {
        let Some(conn) = self.table.get_mut(key) else { return };
        let io = &mut conn.link.io;
        match io.teardown {
            Teardown::None | Teardown::Closing => {}
            Teardown::Flushing { .. } if conn.link.egress.is_some() => {}
            Teardown::Flushing { .. } if conn.link.is_flushing => {}
            Teardown::Flushing { linger: true } if io.recv != Recv::Over => {
                io.teardown = Teardown::Lingering;
                let file = conn.link.file;
                self.core.ops.push(Op::Shutdown { file, how: ShutdownHow::Write });
                self.steer_recv(key);
            }
            Teardown::Flushing { .. } => self.begin_join(key),
            Teardown::Lingering if io.recv == Recv::Over => self.begin_join(key),
            Teardown::Lingering => {}
            Teardown::Joining if io.is_joined() => {
                io.teardown = Teardown::Closing;
                self.core.closes.push_back(Op::Close { conn: key, file: conn.link.file });
            }
            Teardown::Joining => {}
        }
    }

    /// Ends what the kernel still does for the connection, so that it can be closed.
    pub(super) fn begin_join(&mut self, key: ConnKey) {
        let Some(conn) = self.table.get_mut(key) else { return };
        let io = &mut conn.link.io;
        if matches!(io.teardown, Teardown::Joining | Teardown::Closing) {
            return;
        }
        io.teardown = Teardown::Joining;
        self.core.wheel.clear(key.slot);
        match (io.send, io.recv) {
            // Only a shutdown ends a send that waits for room.
            (Send::InFlight, _) => {
                let file = conn.link.file;
                self.core.ops.push(Op::Shutdown { file, how: ShutdownHow::Both });
            }
            (Send::Idle, Recv::Armed) => {
                io.recv = Recv::Cancelling;
                self.core.ops.push(Op::CancelRecv { conn: key });
            }
            (Send::Idle, Recv::Idle | Recv::Cancelling | Recv::Starved | Recv::Over) => {}
        }
        self.advance_teardown(key);
    }

    /// A receive was not there to be cancelled. If it has not ended meanwhile, it is there again.
    pub(super) fn cancel_missed(&mut self, key: ConnKey) {
        let Some(conn) = self.table.get(key) else { return };
        if conn.link.io.recv == Recv::Cancelling {
            self.core.ops.push(Op::CancelRecv { conn: key });
        }
    }

    /// The descriptor is closed: frees the slot.
    pub(super) fn closed(&mut self, key: ConnKey) {
        let mut conn = self.table.remove(key);
        self.core.outbox.forget(&mut conn.link);
        self.core.wheel.clear(key.slot);
        if !conn.link.is_surplus {
            self.core.admission.leave();
        }
    }

    pub(super) fn phase_of(&self, key: ConnKey) -> Option<Phase> {
        self.table.get(key).map(|conn| conn.stage.phase())
    }

    /// No messages any more, in either direction: subscriptions end and the handler hears why.
    fn leave_open(&mut self, key: ConnKey, reason: CloseReason) {
        self.core.counters.inc(Metric::closed(reason.code().0));
        self.core.registry.unsubscribe_all(key.slot);
        let Some(conn) = self.table.get_mut(key) else { return };
        conn.link.is_open = false;
        self.core.open -= 1;
        if reason == CloseReason::SlowConsumer {
            self.core.counters.inc(Metric::SlowConsumersClosed);
            let dropped = self.core.outbox.truncate(&mut conn.link);
            self.core.counters.add(Metric::DroppedByClose, dropped as u64);
        }
        self.call(key, |handler, ctx| handler.on_close(ctx, reason));
        self.sessions[key.slot.index()] = None;
    }

    /// Our close frame. False when it can't be queued any more: the end has to do without.
    fn say_close(&mut self, key: ConnKey, reason: CloseReason, text: &str) -> bool {
        let Some(conn) = self.table.get_mut(key) else { return false };
        let mut payload = [0; CONTROL_BYTES_MAX];
        let len = match reason {
            CloseReason::Peer(None) => 0,
            CloseReason::Peer(Some(_))
            | CloseReason::Lost
            | CloseReason::Fault(_)
            | CloseReason::Application(_)
            | CloseReason::Drain
            | CloseReason::SlowConsumer
            | CloseReason::HeartbeatLost
            | CloseReason::Overloaded => write_payload(&mut payload, reason.code(), text),
        };
        let sent = self.core.outbox.send(&mut conn.link, Opcode::Close, &payload[..len]);
        if sent.is_err() {
            self.core.counters.inc(Metric::LastWordsLost);
        }
        sent.is_ok()
    }

    fn set_close_deadline(&mut self, key: ConnKey) {
        let timeout_ms = self.core.config.close_timeout_ms;
        let at = self.core.now.tick().after_ms(timeout_ms);
        self.set_deadline(key, Deadline::Close, at);
    }
}
