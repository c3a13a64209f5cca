//! The fan-out: each topic's messages of the turn, to each of its subscribers, once.
//!
//! A batch is staged once and every subscriber's send refers to it. Who is too slow is closed only
//! after the walk, so that nobody's place changes while it is under way (R2 of `pubsub::registry`).

use super::sending::count_dropped;
use super::shard::Shard;
use crate::base::ConnKey;
use crate::conn::egress::Queued;
use crate::conn::outbox::Delivered;
use crate::conn::{CloseReason, Send};
use crate::handler::Handler;
use crate::metrics::Metric;
use crate::pubsub::envelope::{LocalTopic, Request};
use crate::pubsub::home::home_of;
use crate::pubsub::registry::TOMBSTONE;

impl<H: Handler> Shard<H> {
    pub(super) fn fan_out(&mut self) {
        self.relieve_memory();
        let mut budget = self.core.config.fanout_budget;
        while budget > 0
            && let Some(topic) = self.core.registry.next_dirty()
        {
            self.admit(topic);
            self.core.registry.begin(topic);
            let cost = self.walk(topic, budget);
            budget -= cost.clamp(1, budget);
        }
        // What could not be finished waits behind the others.
        self.core.registry.rotate();
    }

    /// Hands the batch of a topic to its next subscribers; gives what that is charged.
    fn walk(&mut self, topic: LocalTopic, budget: usize) -> usize {
        let core = &mut self.core;
        let (stay, policy) = (core.registry.stay(topic), core.registry.policy(topic));
        let (batch, ahead) = core.registry.batch(topic);
        if batch.is_empty() {
            core.registry.finish(topic);
            return 0;
        }
        let (messages, places) =
            (batch.len() as u64, ahead.len().min((budget / batch.len()).max(1)));
        let mut too_slow: Vec<ConnKey> = Vec::new();
        let mut dropped = Queued::default();
        let octets: u64 = batch.iter().map(|frame| frame.len() as u64).sum();
        if places > 0 {
            let id = core.outbox.stage(stay, policy, batch);
            let mut reached = 0;
            for slot in ahead[..places].iter().filter(|slot| **slot != TOMBSTONE) {
                let link = &mut self.table.at_mut(crate::base::Slot(*slot)).link;
                match core.outbox.deliver(link, id) {
                    Delivered::Staged => {}
                    Delivered::Queued(queued) => {
                        dropped += queued;
                        debug_assert_eq!(link.io.send, Send::InFlight);
                    }
                    Delivered::TooSlow => too_slow.push(link.key),
                }
                reached += 1;
            }
            core.counters.add(Metric::Deliveries, reached * messages);
            core.counters.add(Metric::SentBytes, reached * octets);
            count_dropped(&mut core.counters, dropped);
        }
        if places < core.registry.batch(topic).1.len() {
            core.registry.pass(topic, places);
        } else {
            core.registry.finish(topic);
        }
        for key in too_slow {
            self.core.counters.add(Metric::DroppedByClose, messages);
            self.close(key, CloseReason::SlowConsumer, CloseReason::SlowConsumer.text());
        }
        places * messages as usize
    }

    /// Lets the joiners of a topic in, where no batch is being walked, and tells them where they
    /// stand.
    fn admit(&mut self, topic: LocalTopic) {
        let (position, joiners) = self.core.registry.admit(topic);
        if joiners.is_empty() {
            return;
        }
        let name: Box<str> = self.core.registry.name(topic).into();
        for joiner in joiners {
            self.call(joiner.conn, |handler, ctx| {
                handler.on_subscribed(ctx, &name, &joiner.token, Ok(position));
            });
        }
    }

    /// Tells the homes of topics that nobody here subscribes to any more.
    pub(super) fn leave_topics(&mut self) {
        while let Some((topic, home)) = self.core.registry.next_leaving() {
            let to = home_of(self.core.registry.name(topic), self.core.shards).index();
            if self.core.mailbox.request_room(to) == 0 {
                // The lane is full. Nothing is lost by waiting; the next turn tries again.
                self.core.counters.inc(Metric::LaneFull);
                return;
            }
            self.core.request(to, Request::Release { home, local: topic });
            self.core.registry.leave_sent(topic);
        }
    }

    /// The memory of all queues nears its limit: the slowest consumers go first.
    fn relieve_memory(&mut self) {
        let most = self.core.outbox.limits().total_bytes_max / 8 * 7;
        if self.core.outbox.charged_total() <= most {
            return;
        }
        // What waits for those who are ending already will be free soon: it is not held against
        // others.
        let slow = self.table.iter().filter(|conn| conn.link.is_open && conn.link.egress.is_some());
        let mut slow: Vec<(usize, ConnKey)> =
            slow.map(|conn| (conn.link.queued_bytes(), conn.link.key)).collect();
        let mut waiting: usize = slow.iter().map(|(bytes, _)| bytes).sum();
        slow.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, key) in slow {
            if waiting <= most {
                return;
            }
            waiting -= bytes;
            self.close(key, CloseReason::SlowConsumer, CloseReason::SlowConsumer.text());
        }
    }
}
