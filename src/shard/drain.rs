//! A shard's part of a drain: who is told to go, and when.
//!
//! The control plane divides the number of open connections by the configured rate; each shard
//! spreads its own connections over that time, so that together they keep the rate however unevenly
//! they are filled. Handshakes that were under way are completed, and told to go like the others:
//! who has been accepted is not refused for the sake of a restart.
//!
//! What was acknowledged before the drain is delivered first: nobody is told before the lanes were
//! read to their ends and every batch was handed out, once. Where work never ends, patience does.
//!
//! A shard that has nobody left stays for the others, whose topics it may be the home of: it ends
//! when none of them has anybody left.
//!
//! Invariants: D1 a connection is told once; D2 when `late_ms` have passed, everybody has been told
//! and no handshake is waited for.

use super::core::Life;
use super::shard::Shard;
use crate::base::ConnKey;
use crate::conn::{CloseReason, Phase};
use crate::handler::Handler;
use crate::limits::{DRAIN_BACKLOG_MS, DRAIN_BUDGET, DRAIN_HANDSHAKE_MS, DRAIN_JITTER_PARTS};
use crate::metrics::Metric;
use crate::pubsub::envelope::DrainOrder;
use crate::ring::{ListenerId, Op};

/// What had come before the drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backlog {
    /// The turn that heard of the drain may have looked into some lanes before others: only the
    /// next one sees all that was sent before it.
    Unseen,
    /// Some of it waits in lanes or is being handed out.
    Waiting,
    Done,
}

/// The timetable of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drain {
    order: DrainOrder,
    began_ms: u64,
    /// Connections that were open at the beginning.
    wanted: u64,
    told: u64,
    /// By how much of its interval the next one is late, in parts.
    jitter: u64,
    next_slot: u32,
    refuses_upgrades: bool,
    backlog: Backlog,
    has_departed: bool,
}

impl Drain {
    fn new(order: DrainOrder, now_ms: u64, wanted: u64) -> Self {
        Drain {
            order,
            began_ms: now_ms,
            wanted,
            told: 0,
            jitter: 0,
            next_slot: 0,
            refuses_upgrades: false,
            backlog: Backlog::Unseen,
            has_departed: false,
        }
    }

    /// What waits at the end of a turn, if anything does.
    fn look_at_backlog(&mut self, has_backlog: bool, now_ms: u64) {
        let is_patient = now_ms < self.patience_ms();
        self.backlog = match self.backlog {
            Backlog::Unseen => Backlog::Waiting,
            Backlog::Waiting if has_backlog && is_patient => Backlog::Waiting,
            Backlog::Waiting | Backlog::Done => Backlog::Done,
        };
    }

    /// When what waits is waited for no longer.
    fn patience_ms(&self) -> u64 {
        self.began_ms + self.order.late_ms.min(DRAIN_BACKLOG_MS)
    }

    /// When all who have not been told are told.
    fn all_ms(&self) -> u64 {
        self.began_ms + self.order.spread_ms.min(self.order.late_ms)
    }

    /// When handshakes are waited for no longer.
    fn refuse_ms(&self) -> u64 {
        let patience = self.order.spread_ms.max(DRAIN_HANDSHAKE_MS);
        self.began_ms + patience.min(self.order.late_ms)
    }

    /// When the next one is told.
    fn next_ms(&self) -> u64 {
        if self.told >= self.wanted {
            return self.all_ms();
        }
        let parts = self.told * DRAIN_JITTER_PARTS + self.jitter;
        let after = u128::from(parts) * u128::from(self.order.spread_ms);
        let after = after.div_ceil(u128::from(self.wanted * DRAIN_JITTER_PARTS)) as u64;
        self.all_ms().min(self.began_ms + after)
    }

    /// Only the deadline makes these go: there was no time for them at the configured pace.
    fn is_late(&self, now_ms: u64) -> bool {
        let is_cut = self.order.late_ms < self.order.spread_ms;
        is_cut && now_ms >= self.all_ms()
    }
}

impl<H: Handler> Shard<H> {
    pub(super) fn begin_drain(&mut self, order: DrainOrder) {
        if self.core.stage != Life::Serving {
            return;
        }
        let open = self.core.open as u64;
        self.core.stage = Life::Draining(Drain::new(order, self.core.now.monotonic_ms, open));
        for listener in (0..self.core.config.listeners).map(ListenerId) {
            if !self.core.deaf.contains(&listener) {
                self.core.ops.push(Op::CancelAccept { listener });
            }
        }
    }

    /// Tells those to go whose time has come, a budget's worth a turn. Comes after the fan-out.
    pub(super) fn drain_connections(&mut self) {
        let Life::Draining(mut drain) = self.core.stage else { return };
        let now_ms = self.core.now.monotonic_ms;
        drain.look_at_backlog(self.has_backlog(), now_ms);
        for _ in 0..DRAIN_BUDGET {
            let may_tell = drain.backlog == Backlog::Done && drain.next_ms() <= now_ms;
            if self.core.open == 0 || !may_tell {
                break;
            }
            let Some(key) = self.next_open(drain.next_slot) else {
                // A handshake that was completed meanwhile may have an earlier slot.
                drain.next_slot = 0;
                continue;
            };
            drain.next_slot = key.slot.0 + 1;
            drain.told += 1;
            drain.jitter = self.core.prng.below(DRAIN_JITTER_PARTS);
            let when = if drain.is_late(now_ms) { Metric::DrainLate } else { Metric::DrainPaced };
            self.core.counters.inc(when);
            self.let_go(key, drain.order.retry_ms_max);
        }
        if !drain.refuses_upgrades && now_ms >= drain.refuse_ms() {
            drain.refuses_upgrades = true;
            self.refuse_handshakes();
        }
        self.core.stage = Life::Draining(drain);
    }

    /// At the end of a turn: nobody is left, and nobody can come in by an accept that was under
    /// way. Who is the last wakes the others, so that all end.
    pub(super) fn depart_if_empty(&mut self) {
        let Life::Draining(drain) = &mut self.core.stage else { return };
        let is_deaf = self.core.deaf.len() == usize::from(self.core.config.listeners);
        if is_deaf
            && self.table.is_empty()
            && !std::mem::replace(&mut drain.has_departed, true)
            && self.core.admission.depart()
        {
            self.core.mailbox.rouse_all();
        }
    }

    /// True when a drain is complete: neither this shard nor another one has anybody left.
    pub fn is_drained(&self) -> bool {
        let has_departed = matches!(self.core.stage, Life::Draining(drain) if drain.has_departed);
        has_departed && self.core.admission.have_all_departed()
    }

    /// When the drain needs the next turn.
    pub(super) fn drain_wake_ms(&self) -> u64 {
        let Life::Draining(drain) = &self.core.stage else { return u64::MAX };
        let told_ms = match (self.core.open, drain.backlog) {
            (0, _) => u64::MAX,
            (_, Backlog::Unseen | Backlog::Done) => drain.next_ms(),
            // The work itself gives the turns, and patience its end.
            (_, Backlog::Waiting) if self.has_backlog() => drain.patience_ms(),
            (_, Backlog::Waiting) => drain.next_ms(),
        };
        let waits = !drain.refuses_upgrades && !self.table.is_empty();
        told_ms.min(if waits { drain.refuse_ms() } else { u64::MAX })
    }

    /// Whether whoever is left has had all the time that there is.
    pub fn is_drain_overdue(&self) -> bool {
        let Life::Draining(drain) = &self.core.stage else { return false };
        self.core.now.monotonic_ms >= drain.began_ms + drain.order.timeout_ms
    }

    /// Whether it is too late for handshakes.
    pub(super) fn refuses_upgrades(&self) -> bool {
        matches!(self.core.stage, Life::Draining(drain) if drain.refuses_upgrades)
    }

    /// Something that came before this turn's end has not been handed out.
    fn has_backlog(&self) -> bool {
        let is_stalled = self.core.stalled.iter().any(|word| *word != 0);
        is_stalled || self.core.mailbox.has_ready() || self.core.registry.has_dirty()
    }

    fn next_open(&self, slot: u32) -> Option<ConnKey> {
        let is_open = |key: &ConnKey| self.table.get(*key).is_some_and(|c| c.link.is_open);
        self.table.keys_from(slot).find(is_open)
    }

    fn let_go(&mut self, key: ConnKey, retry_ms_max: u64) {
        let text = CloseReason::Drain.text();
        if retry_ms_max == 0 {
            return self.close(key, CloseReason::Drain, text);
        }
        let retry_ms = self.core.prng.below(retry_ms_max + 1);
        self.close(key, CloseReason::Drain, &format!("{text}; retry_after_ms={retry_ms}"));
    }

    fn refuse_handshakes(&mut self) {
        let waits = |key: &ConnKey| self.phase_of(*key) == Some(Phase::Upgrading);
        let keys: Vec<ConnKey> = self.table.keys_from(0).filter(waits).collect();
        for key in keys {
            self.refuse_for_now(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: DrainOrder =
        DrainOrder { spread_ms: 1_000, late_ms: 5_000, timeout_ms: 6_000, retry_ms_max: 0 };

    #[test]
    fn what_waits_is_waited_for_once_and_not_for_ever() {
        let mut drain = Drain::new(ORDER, 500, 10);
        drain.look_at_backlog(false, 500);
        assert_eq!(drain.backlog, Backlog::Waiting, "the first turn has not seen all");
        drain.look_at_backlog(true, 500 + DRAIN_BACKLOG_MS - 1);
        assert_eq!(drain.backlog, Backlog::Waiting);
        let mut unhurried = drain;
        drain.look_at_backlog(true, 500 + DRAIN_BACKLOG_MS);
        assert_eq!(drain.backlog, Backlog::Done, "patience has an end");
        unhurried.look_at_backlog(false, 501);
        unhurried.look_at_backlog(true, 502);
        assert_eq!(unhurried.backlog, Backlog::Done, "what comes later is not waited for");
    }

    /// The moments at which connections are told, with each jitter the same.
    fn moments(mut drain: Drain, jitter: u64) -> Vec<u64> {
        let mut moments = Vec::new();
        drain.jitter = jitter;
        while drain.told < drain.wanted {
            moments.push(drain.next_ms());
            drain.told += 1;
        }
        moments
    }

    #[test]
    fn connections_are_spread_evenly_and_each_may_be_late_within_its_interval() {
        let drain = Drain::new(ORDER, 500, 10);
        let even: Vec<u64> = (0..10).map(|k| 500 + k * 100).collect();
        assert_eq!(moments(drain, 0), even);
        for (moment, even) in moments(drain, DRAIN_JITTER_PARTS - 1).iter().zip(&even) {
            assert!((even + 99..=even + 100).contains(moment), "{moment} for {even}");
        }
    }

    #[test]
    fn a_million_connections_of_a_day_overflow_nothing() {
        let order = DrainOrder { spread_ms: 86_400_000, late_ms: u64::MAX / 2, ..ORDER };
        let mut drain = Drain::new(order, 0, 1 << 20);
        drain.told = (1 << 20) - 1;
        assert!(drain.next_ms() < 86_400_000 && drain.next_ms() > 86_399_000);
    }

    #[test]
    fn what_the_pace_has_no_time_for_is_late() {
        let drain = Drain::new(DrainOrder { late_ms: 300, ..ORDER }, 0, 10);
        assert_eq!(moments(drain, 0), [0, 100, 200, 300, 300, 300, 300, 300, 300, 300]);
        assert!(!drain.is_late(299) && drain.is_late(300));
        assert!(!Drain::new(ORDER, 0, 10).is_late(10_000), "all were told in time");
        assert_eq!(drain.refuse_ms(), 300);
        assert_eq!(Drain::new(DrainOrder { spread_ms: 10, ..ORDER }, 0, 10).refuse_ms(), 1_000);
    }
}
