//! Messages that take more inflating than a turn has room for.
//!
//! Owns the list of the connections that wait for room. Each has a slice of a turn at a time. Those
//! whose message is under way go on before others begin, so that only a turn's worth of slices hold
//! what inflating takes; others begin in the order in which they came, and who has begun and ended
//! a message waits behind all of them for the next one. Bound: a connection is listed once.

use std::collections::VecDeque;

use super::shard::Shard;
use crate::base::ConnKey;
use crate::conn::{Pause, Recv, Stage};
use crate::handler::Handler;
use crate::metrics::Metric;
use crate::ws::protocol::Protocol;

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct Inflating {
    /// Messages of these are under way.
    begun: Vec<ConnKey>,
    /// Of these the next one has to wait.
    waiting: VecDeque<ConnKey>,
}

impl Inflating {
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.waiting.is_empty()
    }

    /// How many wait.
    #[cfg(any(test, feature = "sim"))]
    pub(super) fn len(&self) -> usize {
        self.begun.len() + self.waiting.len()
    }
}

fn protocol(stage: &mut Stage) -> Option<&mut Protocol> {
    match stage {
        Stage::Open { protocol } | Stage::Closing { protocol } => Some(protocol),
        Stage::Upgrading { .. } | Stage::Ended => None,
    }
}

impl<H: Handler> Shard<H> {
    /// Nothing more is read from the connection until its message is inflated.
    pub(super) fn stall(&mut self, key: ConnKey) {
        let Some(conn) = self.table.get_mut(key) else { return };
        conn.link.io.pause.add(Pause::INFLATE);
        match protocol(&mut conn.stage).is_some_and(|protocol| protocol.is_inflating()) {
            true => self.core.inflating.begun.push(key),
            false => self.core.inflating.waiting.push_back(key),
        }
        self.core.counters.inc(Metric::InflateStalls);
        self.steer_recv(key);
        self.check_levels(key);
    }

    /// Octets that were on their way when the connection was paused.
    pub(super) fn keep_input(&mut self, key: ConnKey, bytes: &[u8]) {
        let stage = &mut self.table.at_mut(key.slot).stage;
        let protocol = protocol(stage).expect("only a protocol stalls");
        let held = protocol.partial_bytes();
        protocol.keep(bytes);
        self.core.account_ingress(held, protocol.partial_bytes());
        self.check_levels(key);
    }

    /// A new turn has room for more inflating.
    pub(super) fn go_on_inflating(&mut self) {
        self.core.pool.refill();
        for key in std::mem::take(&mut self.core.inflating.begun) {
            self.go_on(key);
        }
        for _ in 0..self.core.inflating.waiting.len() {
            if !self.core.pool.has_room() {
                return;
            }
            let Some(key) = self.core.inflating.waiting.pop_front() else { return };
            self.go_on(key);
        }
    }

    fn go_on(&mut self, key: ConnKey) {
        let Some(conn) = self.table.get_mut(key) else { return };
        let Some(protocol) = protocol(&mut conn.stage) else { return };
        let held = protocol.partial_bytes();
        let mut kept = protocol.take_kept();
        self.core.account_ingress(held, protocol.partial_bytes());
        self.take_kept_input(key, &mut kept);
        self.resume_after_inflating(key);
    }

    fn resume_after_inflating(&mut self, key: ConnKey) {
        let Some(conn) = self.table.get_mut(key) else { return };
        if conn.stage.is_stalled() {
            return;
        }
        conn.link.io.pause.remove(Pause::INFLATE);
        if conn.link.io.recv == Recv::Over {
            self.stream_over(key, false);
            self.advance_teardown(key);
        } else {
            self.steer_recv(key);
        }
    }
}
