//! Whether a shard's accounts agree with each other: looked at by the simulator after each turn.

use super::shard::Shard;
use crate::base::ConnKey;
use crate::conn::{Phase, Recv, Send, Stage, Teardown};
use crate::handler::Handler;
use crate::ring::FileSlot;

/// What a shard has, as it counts it itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections, those that are ending included.
    pub connections: usize,
    /// Connections that hold a place of the admission.
    pub admitted: usize,
    /// Octets that wait to be sent, as charged.
    pub egress_bytes: usize,
    /// Those of the connection that most wait for.
    pub egress_bytes_largest: usize,
    /// Octets of unfinished messages and handshakes.
    pub ingress_bytes: usize,
    /// Deadlines.
    pub timers: usize,
    /// Subscriptions.
    pub memberships: usize,
    /// Topics that somebody here subscribes to.
    pub topics: usize,
    /// Topics whose home is here.
    pub home_topics: usize,
    /// Shards that are interested in them, once for each topic.
    pub interests: usize,
    /// Octets that wait for their fan-out.
    pub staged_bytes: usize,
    /// Jobs under way.
    pub jobs: usize,
    /// Connections in lists of what is to be done about them.
    pub listed: usize,
}

/// What a connection believes that the kernel holds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who.
    pub conn: ConnKey,
    /// Its descriptor.
    pub file: FileSlot,
    /// A receive.
    pub recv: bool,
    /// A queued send.
    pub send: bool,
    /// Its descriptor is being closed.
    pub is_closing: bool,
}

impl<H: Handler> Shard<H> {
    /// Counts everything once more and compares. Panics where something is wrong. What is over a
    /// limit that was lowered stays and is not added to: so it is compared with what there was
    /// `before`, at the last look.
    pub fn audit(&mut self, before: &Counts) -> Counts {
        self.core.registry.audit(before.topics);
        let egress_bytes_largest = self.audit_egress(before);
        self.audit_connections(before);
        let core = &self.core;
        let lists = [core.starved.len(), core.flushing.len(), core.lane_paused.len()];
        let more = [core.too_slow.len(), core.congested.len(), core.commands.len()];
        let inflating = core.inflating.len() + core.takeovers as usize;
        Counts {
            connections: self.table.len(),
            admitted: self.table.iter().filter(|conn| !conn.link.is_surplus).count(),
            egress_bytes: core.outbox.charged_total(),
            egress_bytes_largest,
            ingress_bytes: core.ingress_bytes,
            timers: core.wheel.armed(),
            memberships: core.registry.memberships(),
            topics: core.registry.topics(),
            home_topics: self.home.len(),
            interests: self.home.interests(),
            staged_bytes: core.registry.staged_bytes(),
            jobs: self.jobs.pending.len(),
            listed: lists.iter().chain(&more).sum::<usize>() + inflating,
        }
    }

    /// What each connection believes that the kernel holds of it.
    pub fn held(&self) -> impl Iterator<Item = Held> {
        self.table.iter().map(|conn| Held {
            conn: conn.link.key,
            file: conn.link.file,
            recv: matches!(conn.link.io.recv, Recv::Armed | Recv::Cancelling),
            send: conn.link.io.send == Send::InFlight,
            is_closing: conn.link.io.teardown == Teardown::Closing,
        })
    }

    /// Gives the charge of the connection that most wait for.
    fn audit_egress(&self, before: &Counts) -> usize {
        let limits = self.core.outbox.limits();
        let most_of_one = limits.bytes_max.max(before.egress_bytes_largest);
        let (mut charged, mut largest, mut beyond) = (0, 0, 0);
        for conn in self.table.iter() {
            charged += conn.link.queued_bytes();
            largest = largest.max(conn.link.queued_bytes());
            if let Some(egress) = &conn.link.egress {
                egress.audit(most_of_one);
                beyond += egress.partial_cost();
            }
        }
        assert_eq!(charged, self.core.outbox.charged_total(), "what waits in all queues");
        let most = (limits.total_bytes_max + beyond).max(before.egress_bytes);
        assert!(charged <= most, "{charged} octets wait, {most} may");
        largest
    }

    fn audit_connections(&self, before: &Counts) {
        let (mut open, mut ingress, mut timers) = (0, 0, 0);
        for conn in self.table.iter() {
            let key = conn.link.key;
            assert_eq!(conn.link.is_open, conn.stage.phase() == Phase::Open, "{key:?}");
            let session = self.sessions.get(key.slot.index()).is_some_and(Option::is_some);
            assert_eq!(session, conn.link.is_open, "a session belongs to an open one: {key:?}");
            open += usize::from(conn.link.is_open);
            ingress += match &conn.stage {
                Stage::Upgrading { head, .. } => head.as_ref().map_or(0, |head| head.0.len()),
                Stage::Open { .. } | Stage::Closing { .. } => conn.stage.partial_bytes(),
                Stage::Ended => 0,
            };
            timers += match conn.link.io.teardown {
                Teardown::None | Teardown::Flushing { .. } | Teardown::Lingering => 1,
                Teardown::Joining | Teardown::Closing => 0,
            };
        }
        assert_eq!(open, self.core.open, "open connections");
        assert_eq!(ingress, self.core.ingress_bytes, "octets of unfinished messages");
        let has_grown = ingress > before.ingress_bytes;
        assert!(
            !(has_grown && self.core.holds_too_much()),
            "{ingress} octets of unfinished messages"
        );
        assert_eq!(timers, self.core.wheel.armed(), "each connection has its deadline");
    }
}
