//! What passed deadlines lead to. A connection has at most one.
//!
//! Heartbeats are lazy: bytes that come only stamp the time. A ping is sent when the deadline finds
//! silence, and nothing but bytes from the peer proves that it lives.

use super::shard::Shard;
use crate::base::{ConnKey, Tick};
use crate::conn::{Deadline, Phase, Recv, Trigger};
use crate::handler::Handler;
use crate::limits::{STALL_MS_MIN, TIMER_BUDGET};
use crate::metrics::Metric;
use crate::ws::opcode::Opcode;

impl<H: Handler> Shard<H> {
    pub(super) fn expire_timers(&mut self) {
        let now = self.core.now.tick();
        for _ in 0..TIMER_BUDGET {
            let Some(slot) = self.core.wheel.pop_expired(now) else { return };
            let Some(key) = self.table.key_at(slot) else { continue };
            let deadline = self.table.at_mut(slot).link.deadline;
            match deadline {
                Deadline::Handshake | Deadline::Pong | Deadline::Close
                    if now < self.core.patient_until =>
                {
                    self.set_deadline(key, deadline, self.core.patient_until);
                }
                Deadline::Handshake => {
                    self.core.counters.inc(Metric::RefusedTimeout);
                    self.abandon(key, Trigger::DeadlinePassed);
                }
                Deadline::Heartbeat => self.heartbeat(key, now),
                Deadline::Pong => self.pong_missed(key, now),
                Deadline::Close if self.phase_of(key) == Some(Phase::Ended) => {
                    self.begin_join(key);
                }
                Deadline::Close => self.abandon(key, Trigger::DeadlinePassed),
            }
        }
    }

    /// Called when a turn begins. Time in which this shard did not run is not held against its
    /// peers: they have said in it what is read only now, a budget's worth a turn, and some of
    /// them were kept from speaking by what kept the shard from running.
    pub(super) fn forgive_lateness(&mut self) {
        let late_ms = self.core.now.monotonic_ms.saturating_sub(self.wake_ms);
        if late_ms >= STALL_MS_MIN {
            let more_ms = late_ms.min(self.core.config.heartbeat_timeout_ms);
            let until = self.core.now.tick().after_ms(more_ms);
            self.core.patient_until = self.core.patient_until.max(until);
        }
    }

    /// Time to look whether something was heard.
    fn heartbeat(&mut self, key: ConnKey, now: Tick) {
        let due = self.heard_until(key);
        if due > now {
            return self.set_deadline(key, Deadline::Heartbeat, due);
        }
        self.ping(key, now);
    }

    /// Asks for a sign of life, and waits for it.
    fn ping(&mut self, key: ConnKey, now: Tick) {
        let Some(conn) = self.table.get_mut(key) else { return };
        conn.link.has_progress = false;
        match self.core.outbox.send(&mut conn.link, Opcode::Ping, &[]) {
            Ok(_) => self.core.counters.inc(Metric::PingsSent),
            // It has more waiting for it than a ping: whether that moves is as good a question.
            Err(_) => self.core.counters.inc(Metric::PingsDropped),
        }
        let at = now.before_ms(self.core.config.heartbeat_timeout_ms);
        self.set_deadline(key, Deadline::Pong, at);
    }

    /// The ping should have been answered by now: nothing was heard since, or this would be a
    /// heartbeat's deadline again.
    fn pong_missed(&mut self, key: ConnKey, now: Tick) {
        let Some(conn) = self.table.get_mut(key) else { return };
        let link = &mut conn.link;
        // The ping may have stood in its queue until now, or not have been taken: a slow reader
        // that takes something now and then is asked again. So is who is not read, and can't be
        // heard; if it is dead, the ping finds out.
        let is_slow_but_moving = std::mem::take(&mut link.has_progress);
        let is_unread = link.io.recv != Recv::Armed && link.egress.is_none();
        if is_slow_but_moving || is_unread {
            return self.ping(key, now);
        }
        self.heartbeat_lost(key);
    }

    /// Until when the silence of a connection is no longer than the interval.
    fn heard_until(&self, key: ConnKey) -> Tick {
        let interval_ms = self.core.config.heartbeat_interval_ms;
        self.table.get(key).map_or(Tick(0), |conn| conn.link.heard.before_ms(interval_ms))
    }
}
