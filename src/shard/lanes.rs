//! What other shards and the control plane have sent: taken in order, within a budget.
//!
//! Responses are always taken, unless the fan-out is behind, which needs no lane to catch up. A
//! request is taken only when there is room for everything that it leads to; until then it waits in
//! its lane, the lane fills, and its writers are slowed down.

use super::core::LanePaused;
use super::shard::Shard;
use crate::base::{ConnKey, ShardId};
use crate::conn::Pause;
use crate::handler::Handler;
use crate::limits::{LANE_BUDGET, STAGED_BYTES_MAX};
use crate::metrics::Metric;
use crate::pubsub::envelope::{ControlRequest, JobResult, Request, Response};
use crate::pubsub::home::home_of;
use crate::pubsub::registry::Released;

/// Calls `act` for each bit of a word of a bitmap.
fn each_bit(word: usize, mut bits: u64, mut act: impl FnMut(usize)) {
    while bits != 0 {
        act(word * 64 + bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

impl<H: Handler> Shard<H> {
    pub(super) fn drain_lanes(&mut self) {
        if self.is_housekeeping_due() {
            self.core.counters.set(Metric::LaneDepth, self.core.mailbox.waiting() as u64);
        }
        self.core.mailbox.collect();
        for word in 0..self.core.mailbox.ready_words() {
            let stalled = std::mem::take(&mut self.core.stalled[word]);
            let ready = self.core.mailbox.take_ready(word) | stalled;
            each_bit(word, ready, |from| {
                self.take_requests(from);
                self.take_responses(from);
            });
        }
        // What this turn's requests were answered with for this very shard is taken at once.
        let me = self.core.me.index();
        if self.core.mailbox.take_own_news() {
            self.take_requests(me);
            self.take_responses(me);
        }
    }

    fn take_requests(&mut self, from: usize) {
        for _ in 0..LANE_BUDGET {
            if !self.has_room_for_next(from) {
                self.core.stalled[from / 64] |= 1 << (from % 64);
                return;
            }
            match self.core.mailbox.next_request(from) {
                None => return,
                Some(request) => self.take_request(from, request),
            }
        }
        self.core.mailbox.keep_ready(from);
    }

    fn take_request(&mut self, from: usize, request: Request) {
        let shard = ShardId(from as u16);
        match request {
            Request::Publish { from, token, parcel } => self.sequence(from, token, parcel),
            Request::Interest { topic, local } => self.register(shard, &topic, local),
            Request::Release { home, local } => {
                self.home.release(home, shard, self.core.now.monotonic_ms);
                self.respond(from, Response::Released { local });
            }
            Request::Control(ControlRequest::Topics { ticket, prefix, limit }) => {
                let homes = self.home.list(&prefix, limit as usize);
                let subscribers = self.core.registry.list(&prefix, limit as usize);
                self.respond(from, Response::Topics { ticket, homes, subscribers });
            }
            Request::Control(ControlRequest::Busiest { ticket, limit }) => {
                let topics = self.home.busiest(limit as usize);
                self.respond(from, Response::Busiest { ticket, topics });
            }
            Request::Control(ControlRequest::Subscribers { ticket, topics }) => {
                let registry = &self.core.registry;
                let counts = topics.iter().map(|topic| registry.subscribers(topic)).collect();
                self.respond(from, Response::Subscribers { ticket, counts });
            }
            Request::Control(ControlRequest::Retune { ticket, tuning }) => {
                self.retune(&tuning);
                self.respond(from, Response::Retuned { ticket });
            }
            Request::Control(ControlRequest::Drain(order)) => self.begin_drain(order),
            Request::Control(ControlRequest::JobDone { job, result }) => self.job_done(job, result),
        }
    }

    fn take_responses(&mut self, from: usize) {
        for _ in 0..LANE_BUDGET {
            // The fan-out needs no lane to go on, so this can't become a deadlock.
            if self.core.registry.staged_bytes() > STAGED_BYTES_MAX {
                break;
            }
            match self.core.mailbox.next_response(from) {
                Some(response) => self.take_response(response),
                None => return,
            }
        }
        self.core.mailbox.keep_ready(from);
    }

    fn take_response(&mut self, response: Response) {
        match response {
            Response::Deliver { local, offset, frame } => {
                self.core.registry.deliver(local, offset, frame);
            }
            Response::Published { to, parcel, token, result } => {
                self.call(to.key(), |handler, ctx| {
                    handler.on_published(ctx, parcel.topic(), &token, result);
                });
            }
            Response::Interested { local, result } => {
                let name: Box<str> = self.core.registry.name(local).into();
                if let Err((refusal, joiners)) = self.core.registry.interested(local, result) {
                    for joiner in joiners {
                        self.call(joiner.conn, |handler, ctx| {
                            handler.on_subscribed(ctx, &name, &joiner.token, Err(refusal));
                        });
                    }
                }
            }
            Response::Released { local } => self.released(local),
            Response::Topics { .. }
            | Response::Busiest { .. }
            | Response::Subscribers { .. }
            | Response::Retuned { .. }
            | Response::Job { .. } => {
                panic!("only the control plane is told that")
            }
        }
    }

    fn released(&mut self, local: crate::pubsub::envelope::LocalTopic) {
        match self.core.registry.released(local) {
            Released::Forgotten => {}
            Released::NeedsInterest => {
                let topic: Box<str> = self.core.registry.name(local).into();
                let home = home_of(&topic, self.core.shards).index();
                if self.core.mailbox.request_room(home) > 0 {
                    self.core.request(home, Request::Interest { topic, local });
                } else {
                    let refusal = crate::pubsub::envelope::Refusal::Overloaded;
                    self.take_response(Response::Interested { local, result: Err(refusal) });
                }
            }
        }
    }

    fn job_done(&mut self, job: u32, result: JobResult) {
        let job = self.jobs.pending.remove(job as usize);
        self.call(job.conn, |_, ctx| (job.done)(ctx, result));
    }

    /// A home takes more slowly than this connection publishes: its input waits for a while.
    pub(super) fn pause_for_lane(&mut self, key: ConnKey, home: usize) {
        let Some(conn) = self.table.get_mut(key) else { return };
        if !conn.link.io.pause.has(Pause::LANE) {
            conn.link.io.pause.add(Pause::LANE);
            self.core.counters.inc(Metric::ReadsPaused);
            self.core.lane_paused.push(LanePaused { conn: key, home });
            self.steer_recv(key);
        }
    }

    pub(super) fn respond(&mut self, to: usize, response: Response) {
        self.core.counters.inc(Metric::LaneResponses);
        self.core.mailbox.respond(to, response);
    }
}
