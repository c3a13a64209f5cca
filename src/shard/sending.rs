//! What the kernel says of sends: what was left over waits, what has gone out makes room.

use super::shard::Shard;
use crate::base::ConnKey;
use crate::conn::egress::Queued;
use crate::conn::outbox::Delivered;
use crate::conn::{Pause, Send, Teardown};
use crate::handler::Handler;
use crate::metrics::{Metric, ShardCounters};
use crate::ring::KernelFault;

/// Counts what policies have dropped.
pub(super) fn count_dropped(counters: &mut ShardCounters, queued: Queued) {
    counters.add(Metric::DroppedOldest, u64::from(queued.dropped));
    counters.add(Metric::DroppedByConflation, u64::from(queued.conflated));
}

impl<H: Handler> Shard<H> {
    /// A fast send was not taken whole: the rest waits, and is sent when there is room.
    pub(super) fn sent_short(&mut self, key: ConnKey, sent: usize) {
        self.core.counters.inc(Metric::ShortSends);
        let Some(conn) = self.table.get_mut(key) else {
            return self.core.counters.inc(Metric::StaleCompletions);
        };
        match conn.link.io.teardown {
            Teardown::None | Teardown::Flushing { .. } => {}
            Teardown::Lingering | Teardown::Joining | Teardown::Closing => return,
        }
        let verdict = self.core.outbox.take_back(&mut conn.link, sent);
        self.judge_delivery(key, verdict);
        self.send_waiting(key);
        self.check_congestion(key);
    }

    /// A queued send is over.
    pub(super) fn queued_sent(&mut self, key: ConnKey, result: Result<u32, KernelFault>) {
        let Some(conn) = self.table.get_mut(key) else {
            return self.core.counters.inc(Metric::StaleCompletions);
        };
        conn.link.io.send = Send::Idle;
        match result {
            Ok(octets) => {
                conn.link.has_progress |= octets > 0;
                self.core.outbox.sent(&mut conn.link, octets as usize);
                match conn.link.io.teardown {
                    Teardown::None | Teardown::Flushing { .. } => self.send_waiting(key),
                    Teardown::Lingering | Teardown::Joining | Teardown::Closing => {}
                }
                self.relieve(key);
                self.advance_teardown(key);
            }
            Err(_) => {
                self.lost(key);
                self.advance_teardown(key);
            }
        }
    }

    /// Counts what a policy has done, and notes whom the harshest one is for.
    pub(super) fn judge_delivery(&mut self, key: ConnKey, verdict: Delivered) {
        match verdict {
            Delivered::Staged => {}
            Delivered::Queued(queued) => count_dropped(&mut self.core.counters, queued),
            Delivered::TooSlow => self.core.too_slow.push(key),
        }
    }

    /// Arms the next queued send, if something waits and none is in flight.
    pub(super) fn send_waiting(&mut self, key: ConnKey) {
        let Some(conn) = self.table.get_mut(key) else { return };
        if conn.link.io.send == Send::Idle
            && let Some(op) = self.core.outbox.next_send(&mut conn.link)
        {
            conn.link.io.send = Send::InFlight;
            self.core.counters.inc(Metric::QueuedSends);
            self.core.ops.push(op);
        }
    }

    /// Below the low watermark: reads again, and tells the handler if it waits for that.
    pub(super) fn relieve(&mut self, key: ConnKey) {
        let low = self.core.outbox.low_watermark();
        let Some(conn) = self.table.get_mut(key) else { return };
        let link = &mut conn.link;
        let direct = link.egress.as_ref().map_or(0, |egress| egress.direct());
        let is_writable = link.queued_bytes() <= low && std::mem::take(&mut link.owes_writable);
        if direct <= low && link.io.pause.has(Pause::EGRESS) {
            link.io.pause.remove(Pause::EGRESS);
            self.steer_recv(key);
        }
        if is_writable {
            self.call(key, |handler, ctx| handler.on_writable(ctx));
        }
    }
}
