//! A shard: its parts, how a turn goes, and what each completion leads to.
//!
//! Invariants: S1 the staging memory of a turn is released only after the exceptions of its submit
//! were heard (they come first); S2 after each call of the handler its commands are carried out
//! before anything else happens to the connection; S3 operations of a turn that close descriptors
//! come after its sends.

use std::sync::Arc;

use super::admission::Admission;
use super::api::{Ctx, Jobs, ShardView};
use super::core::{Command, Core, Life, ShardConfig};
use super::inflating::Inflating;
use super::mailbox::Mailbox;
use crate::base::prng::Prng;
use crate::base::wheel::Wheel;
use crate::base::{ConnKey, Now, ShardId, Slot, Stopwatch, Tick};
use crate::conn::io_state::RecvOrder;
use crate::conn::{Deadline, Outbox, Pause, Recv, Stage, Table};
use crate::handler::Handler;
use crate::limits::{ACCEPT_RETRY_MS, CLOSE_BUDGET, STALL_RETRY_MS};
use crate::limits::{HOUSEKEEPING_MS, REFUSAL_SLOTS, TOPIC_EXPIRY_BUDGET, TOPIC_IDLE_MS_MAX};
use crate::metrics::{Board, Metric, ShardCounters};
use crate::pubsub::home::Home;
use crate::pubsub::press::Press;
use crate::pubsub::registry::Registry;
use crate::ring::{
    AcceptFault, Completion, FileSlot, ListenerId, Op, OpQueue, PeerAddr, RecvEnd, Staging,
};
use crate::ws::partial::PartialPool;

/// How long the shell may wait for completions after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// There is more to do: not at all.
    No,
    /// Until this moment of the monotonic clock.
    UntilMs(u64),
}

/// See the module's header.
pub struct Shard<H: Handler> {
    pub(super) core: Core,
    pub(super) table: Table,
    /// By slot: what the handler keeps for each open connection.
    pub(super) sessions: Vec<Option<H::Session>>,
    pub(super) home: Home,
    pub(super) handler: H,
    pub(super) jobs: Jobs<H::Session>,
    /// Where frames and answers are put together.
    pub(super) scratch: Vec<u8>,
    is_settled: bool,
    housekeeping_ms: u64,
    /// When the next turn should begin, at the latest.
    pub(super) wake_ms: u64,
}

impl<H: Handler> Shard<H> {
    /// A shard that has not begun to accept.
    pub fn new(
        me: ShardId,
        config: Arc<ShardConfig>,
        admission: Arc<Admission>,
        mailbox: Mailbox,
        handler: H,
        seed: u64,
        now: Now,
    ) -> Self {
        let slots = config.connections_max + REFUSAL_SLOTS;
        let mut prng = Prng::new(seed);
        let mailbox_words = mailbox.ready_words();
        let home = Home::new(config.home_topics_max, TOPIC_IDLE_MS_MAX, prng.next_u64());
        let mut pool =
            PartialPool::inflating(config.deflate.map(|it| it.inflating).unwrap_or_default());
        pool.stopwatch = config.deflate.map_or(Stopwatch::STILL, |it| it.stopwatch);
        let core = Core {
            me,
            shards: mailbox.participants() - 1,
            now,
            admission,
            outbox: Outbox::compressing(
                config.arena_bytes,
                config.egress,
                config.deflate.map(|deflate| (deflate.compression, deflate.stopwatch)),
            ),
            mailbox,
            press: Press::default(),
            registry: Registry::new(slots, config.topics_max),
            counters: ShardCounters::new(),
            wheel: Wheel::new(slots, now.tick()),
            pool,
            inflating: Inflating::default(),
            takeovers: 0,
            prng,
            ops: OpQueue::new(),
            closes: Default::default(),
            commands: Vec::new(),
            starved: Vec::new(),
            flushing: Vec::new(),
            lane_paused: Vec::new(),
            too_slow: Vec::new(),
            congested: Vec::new(),
            stalled: vec![0; mailbox_words],
            patient_until: now.tick(),
            deaf_until_ms: 0,
            deaf: (0..config.listeners).map(ListenerId).collect(),
            open: 0,
            ingress_bytes: 0,
            stage: Life::Serving,
            config,
        };
        Shard {
            core,
            table: Table::new(slots),
            sessions: Vec::new(),
            home,
            handler,
            jobs: Jobs { pending: slab::Slab::new() },
            scratch: Vec::new(),
            is_settled: true,
            housekeeping_ms: now.monotonic_ms,
            wake_ms: now.monotonic_ms,
        }
    }

    /// The shell is awake and has read the clocks.
    pub fn begin(&mut self, now: Now) {
        self.core.now = now;
        self.forgive_lateness();
        self.core.mailbox.awake();
        self.is_settled = false;
    }

    /// Takes one fact.
    pub fn on(&mut self, completion: Completion<'_>) {
        match completion {
            Completion::SentShort { conn, sent } => return self.sent_short(conn, sent as usize),
            Completion::SendFailed { conn, fault: _ } => return self.lost(conn),
            Completion::Accepted { .. }
            | Completion::AcceptFailed { .. }
            | Completion::AcceptStopped { .. }
            | Completion::Connected { .. }
            | Completion::Received { .. }
            | Completion::RecvEnded { .. }
            | Completion::CancelMissed { .. }
            | Completion::QueuedSent { .. }
            | Completion::Closed { .. }
            | Completion::Woken
            | Completion::WakeFailed { .. } => self.settle(),
        }
        match completion {
            Completion::Accepted { listener: _, file, peer } => self.accepted(file, peer),
            Completion::AcceptFailed { listener: _, fault } => self.accept_failed(fault),
            Completion::AcceptStopped { listener } => self.core.deaf.push(listener),
            Completion::Connected { .. } => unreachable!("bug: a shard connects to nobody"),
            Completion::Received { conn, bytes } => self.received(conn, bytes),
            Completion::RecvEnded { conn, why } => self.recv_ended(conn, why),
            Completion::CancelMissed { conn } => self.cancel_missed(conn),
            Completion::QueuedSent { conn, result } => self.queued_sent(conn, result),
            Completion::Closed { conn } => self.closed(conn),
            Completion::Woken => {}
            Completion::WakeFailed { shard } => self.core.mailbox.wake_failed(shard),
            Completion::SentShort { .. } | Completion::SendFailed { .. } => {
                unreachable!("dealt with above")
            }
        }
    }

    /// Does everything that is due, and leaves the orders in [`Self::orders`].
    pub fn turn(&mut self) -> Sleep {
        self.settle();
        self.listen();
        self.go_on_inflating();
        self.drain_lanes();
        self.expire_timers();
        self.housekeep();
        self.fan_out();
        self.drain_connections();
        self.leave_topics();
        self.resume_paused();
        self.revive_starved();
        self.depart_if_empty();
        self.flush();
        self.core.counters.inc(Metric::Turns);
        let sleep = self.sleep();
        self.wake_ms = match sleep {
            Sleep::No => self.core.now.monotonic_ms,
            Sleep::UntilMs(at_ms) => at_ms.max(self.core.now.monotonic_ms),
        };
        sleep
    }

    /// The orders of the turn, and the memory that they refer to.
    pub fn orders(&mut self) -> (&mut OpQueue, &Staging) {
        (&mut self.core.ops, self.core.outbox.staging())
    }

    /// Publishes the counters for others to read.
    pub fn publish_counters(&mut self, board: &Board) {
        board.publish(self.core.me, &mut self.core.counters);
    }

    /// The counters, for what the shell counts.
    pub fn counters(&mut self) -> &mut ShardCounters {
        &mut self.core.counters
    }

    /// True when the shard is going down.
    pub fn is_draining(&self) -> bool {
        matches!(self.core.stage, Life::Draining(_))
    }

    /// Connections, those that are ending included.
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// Calls the handler for one open connection and carries out what it asked for.
    pub(super) fn call<R>(
        &mut self,
        key: ConnKey,
        hook: impl FnOnce(&mut H, &mut Ctx<'_, H::Session>) -> R,
    ) -> Option<R> {
        let conn = self.table.get_mut(key)?;
        let session = self.sessions.get_mut(key.slot.index())?.as_mut()?;
        let (core, jobs) = (&mut self.core, &mut self.jobs);
        let mut ctx = Ctx { link: &mut conn.link, session, core, jobs };
        let result = hook(&mut self.handler, &mut ctx);
        self.carry_out_commands(key);
        self.check_congestion(key);
        Some(result)
    }

    /// S2.
    #[inline]
    pub(super) fn carry_out_commands(&mut self, key: ConnKey) {
        if !self.core.commands.is_empty() {
            self.carry_out_all(key);
        }
    }

    #[inline(never)]
    fn carry_out_all(&mut self, key: ConnKey) {
        for command in std::mem::take(&mut self.core.commands) {
            match command {
                Command::Close { reason, text } => self.close(key, reason, &text),
                Command::PauseForLane { home } => self.pause_for_lane(key, home),
                Command::SteerRecv => self.steer_recv(key),
            }
        }
    }

    /// Brings a connection's receive in line with what its state wants.
    pub(super) fn steer_recv(&mut self, key: ConnKey) {
        let Some(conn) = self.table.get_mut(key) else { return };
        match conn.link.io.steer_recv() {
            RecvOrder::Keep => {}
            RecvOrder::Arm => self.core.ops.push(Op::ArmRecv { conn: key, file: conn.link.file }),
            RecvOrder::Cancel => self.core.ops.push(Op::CancelRecv { conn: key }),
        }
    }

    /// Sets the connection's one deadline.
    pub(super) fn set_deadline(&mut self, key: ConnKey, deadline: Deadline, at: Tick) {
        if let Some(conn) = self.table.get_mut(key) {
            conn.link.deadline = deadline;
            self.core.wheel.set(key.slot, at);
        }
    }

    fn accepted(&mut self, file: FileSlot, peer: PeerAddr) {
        self.core.counters.inc(Metric::ConnectionsAccepted);
        let now = self.core.now.tick();
        let Some(key) = self.table.insert(file, peer, now) else {
            self.core.counters.inc(Metric::RefusedUnavailable);
            self.core.closes.push_back(Op::CloseUnused { file });
            return;
        };
        let has_room = self.table.len() <= self.core.config.connections_max as usize;
        let is_admitted = has_room && self.core.admission.enter();
        let conn = self.table.get_mut(key).expect("just inserted");
        conn.link.is_surplus = !is_admitted;
        let since_ms = self.core.now.monotonic_ms as u32;
        conn.stage = Stage::Upgrading { head: None, since_ms };
        let timeout_ms = self.core.config.handshake_timeout_ms;
        self.set_deadline(key, Deadline::Handshake, now.after_ms(timeout_ms));
        self.steer_recv(key);
    }

    fn accept_failed(&mut self, fault: AcceptFault) {
        let metric = match fault {
            AcceptFault::TableFull => Metric::AcceptTableFull,
            AcceptFault::Aborted | AcceptFault::Kernel(_) => Metric::AcceptFailures,
        };
        // Listeners that are taken away fail what is under way on them.
        if self.core.stage == Life::Serving {
            self.core.counters.inc(metric);
        }
        match fault {
            AcceptFault::Aborted => {}
            AcceptFault::TableFull | AcceptFault::Kernel(_) => {
                self.core.deaf_until_ms = self.core.now.monotonic_ms + ACCEPT_RETRY_MS;
            }
        }
    }

    fn recv_ended(&mut self, key: ConnKey, why: RecvEnd) {
        let Some(conn) = self.table.get_mut(key) else {
            return self.core.counters.inc(Metric::StaleCompletions);
        };
        let io = &mut conn.link.io;
        match why {
            RecvEnd::Again | RecvEnd::Cancelled => io.recv = Recv::Idle,
            RecvEnd::Starved => {
                io.recv = Recv::Starved;
                self.core.counters.inc(Metric::RecvStarved);
                self.core.starved.push(key);
            }
            RecvEnd::Eof | RecvEnd::Failed(_) => io.recv = Recv::Over,
        }
        if conn.link.io.recv == Recv::Over {
            if why == RecvEnd::Eof && conn.stage.is_stalled() {
                // What came before the end is heard first.
                return;
            }
            self.stream_over(key, why != RecvEnd::Eof);
        } else {
            self.steer_recv(key);
        }
        self.advance_teardown(key);
    }

    /// Arms listeners that do not accept. After a failure they stay deaf for a while: whatever is
    /// short does not come back by asking at once.
    fn listen(&mut self) {
        let may_accept = self.core.stage == Life::Serving
            && self.core.now.monotonic_ms >= self.core.deaf_until_ms
            && self.table.len() < (self.core.config.connections_max + REFUSAL_SLOTS) as usize;
        if may_accept && !self.core.deaf.is_empty() {
            for listener in self.core.deaf.drain(..) {
                self.core.ops.push(Op::ArmAccept { listener });
            }
        }
    }

    /// Arms the receives that had no buffer: what the last completions held is back by now.
    fn revive_starved(&mut self) {
        for key in std::mem::take(&mut self.core.starved) {
            if let Some(conn) = self.table.get_mut(key)
                && conn.link.io.recv == Recv::Starved
            {
                conn.link.io.recv = Recv::Idle;
                self.steer_recv(key);
            }
        }
    }

    /// Lets those read on who were paused because a lane was full, once it has drained.
    fn resume_paused(&mut self) {
        if self.core.lane_paused.is_empty() {
            return;
        }
        let low = self.core.mailbox.capacity() / 4 * 3;
        let paused = std::mem::take(&mut self.core.lane_paused);
        for entry in paused {
            if self.core.mailbox.request_room(entry.home) < low {
                self.core.lane_paused.push(entry);
            } else if let Some(conn) = self.table.get_mut(entry.conn) {
                conn.link.io.pause.remove(Pause::LANE);
                self.steer_recv(entry.conn);
            }
        }
    }

    pub(super) fn is_housekeeping_due(&self) -> bool {
        self.core.now.monotonic_ms >= self.housekeeping_ms
    }

    fn housekeep(&mut self) {
        if !self.is_housekeeping_due() {
            return;
        }
        let now_ms = self.core.now.monotonic_ms;
        self.housekeeping_ms = now_ms + HOUSEKEEPING_MS;
        self.home.expire(now_ms, TOPIC_EXPIRY_BUDGET);
        let connections = self.table.len();
        self.handler.on_tick(&mut ShardView { core: &mut self.core, connections });
    }

    /// S1: what the last submit left over has been heard, so its memory is free again.
    fn settle(&mut self) {
        if self.is_settled {
            return;
        }
        self.is_settled = true;
        self.core.outbox.begin_turn();
        for key in std::mem::take(&mut self.core.flushing) {
            if let Some(conn) = self.table.get_mut(key) {
                conn.link.is_flushing = false;
            }
            self.advance_teardown(key);
        }
        for key in std::mem::take(&mut self.core.too_slow) {
            self.give_up_on_slow(key);
        }
        for key in std::mem::take(&mut self.core.congested) {
            self.relieve(key);
        }
    }

    fn flush(&mut self) {
        let sends = self.core.outbox.flush(&mut self.core.ops);
        self.core.counters.add(Metric::FastSends, sends as u64);
        for _ in 0..CLOSE_BUDGET {
            let Some(close) = self.core.closes.pop_front() else { break };
            self.core.ops.push(close);
        }
        let (control, ops) = (self.core.shards, &mut self.core.ops);
        let mut rung = 0;
        self.core.mailbox.signal(|to| {
            rung += 1;
            let shard = ShardId(to as u16);
            ops.push(if to == control { Op::WakeControl } else { Op::Wake { shard } });
        });
        self.core.counters.add(Metric::DoorbellsRung, rung);
        self.publish_gauges();
    }

    fn publish_gauges(&mut self) {
        let core = &mut self.core;
        core.counters.set(Metric::ConnectionsOpen, core.open as u64);
        core.counters.set(Metric::DirectDescriptors, self.table.len() as u64);
        core.counters.set(Metric::Topics, self.home.len() as u64);
        core.counters.set(Metric::Subscriptions, core.registry.memberships() as u64);
        core.counters.set(Metric::EgressQueuedBytes, core.outbox.charged_total() as u64);
        core.counters.set(Metric::IngressPartialBytes, core.ingress_bytes as u64);
        if core.config.deflate.is_some() {
            self.count_compression();
        }
    }

    fn count_compression(&mut self) {
        let counters = &mut self.core.counters;
        let compressed = self.core.outbox.take_compression_counts();
        counters.add(Metric::CompressedMessages, compressed.messages);
        counters.add(Metric::CompressedBytesIn, compressed.bytes_in);
        counters.add(Metric::CompressedBytesOut, compressed.bytes_out);
        counters.add(Metric::CompressionMicroseconds, compressed.us);
        counters.add(Metric::CompressionGivenUp, compressed.given_up);
        counters.add(Metric::CompressionSkipped, compressed.skipped);
        let inflated = self.core.pool.take_inflated_counts();
        counters.add(Metric::InflatedMessages, inflated.messages);
        counters.add(Metric::InflatedBytesIn, inflated.bytes_in);
        counters.add(Metric::InflatedBytesOut, inflated.bytes_out);
        counters.add(Metric::InflateMicroseconds, inflated.us);
    }

    fn sleep(&mut self) -> Sleep {
        let drain_ms = self.drain_wake_ms();
        let core = &mut self.core;
        let is_settling = !core.flushing.is_empty() || !core.congested.is_empty();
        let is_closing = !core.closes.is_empty();
        let drains = drain_ms <= core.now.monotonic_ms;
        let is_inflating = !core.inflating.is_empty();
        let is_busy = core.registry.has_dirty() || is_settling || is_closing || drains;
        let is_busy = is_busy || is_inflating;
        if is_busy || !core.mailbox.may_sleep() {
            return Sleep::No;
        }
        let now_ms = core.now.monotonic_ms;
        let waits_for_lane =
            !core.lane_paused.is_empty() || core.stalled.iter().any(|word| *word != 0);
        let waits_for_lane = waits_for_lane || core.registry.has_leaving();
        let waits_to_listen = !core.deaf.is_empty() && core.deaf_until_ms > now_ms;
        let timers_ms = core.wheel.next_deadline().map_or(u64::MAX, Tick::start_ms);
        let mut until_ms = timers_ms.min(self.housekeeping_ms).min(drain_ms);
        if waits_for_lane {
            // Whoever has to make room may share this core: spinning would keep it from doing so.
            until_ms = until_ms.min(now_ms + STALL_RETRY_MS);
        }
        if waits_to_listen {
            until_ms = until_ms.min(core.deaf_until_ms);
        }
        Sleep::UntilMs(until_ms)
    }

    /// Keeps a session for an open connection.
    pub(super) fn keep_session(&mut self, slot: Slot, session: H::Session) {
        if self.sessions.len() <= slot.index() {
            self.sessions.resize_with(slot.index() + 1, || None);
        }
        self.sessions[slot.index()] = Some(session);
    }
}
