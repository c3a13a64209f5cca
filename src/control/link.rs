//! The control plane's place in the mesh: carries questions and orders to the shards, answers and
//! jobs back.
//!
//! Owns the last mailbox of the mesh and whatever waits for a shard. Never blocks, and never waits
//! for room in a lane with a question: that is refused at once.
//!
//! Invariants: N1 an order (drain, new values, a job's result) is kept until its lane takes it; N2
//! what was pushed is signalled before the next wait; N3 the link waits only after
//! [`Mailbox::may_sleep`].

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::bridge::{Ask, Listed, Refused, Sequenced, ServerState, Stage};
use super::event::Event;
use super::jobs::{JobDone, Jobs};
use super::questions::{Questions, answer};
use crate::base::{ConnId, ConnKey, Generation, ShardId, Slot};
use crate::limits::{
    ASKS_SWEEP_MS, ASKS_UNANSWERED_MAX, JOBS_GRACE_MS, JOBS_MAX, LANE_BUDGET, LANE_RETRY_MS,
    SHARDS_MAX,
};
use crate::metrics::{Board, Metric};
use crate::pubsub::envelope::{BusyTopic, ControlRequest, Parcel, Request, Response, Token};
use crate::pubsub::home::home_of;
use crate::pubsub::press::Press;
use crate::pubsub::tuning::Tuning;
use crate::ring::doorbell::{ControlBell, Doorbell, await_bell};
use crate::shard::mailbox::Mailbox;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, sleep};

/// Any octets: a home answers only who gives it some.
const TOKEN: &[u8] = b"admin";

/// What a link is made of.
pub struct LinkParts {
    /// The last one of the mesh.
    pub mailbox: Mailbox,
    /// Wakes shards.
    pub doorbell: Doorbell,
    /// By which shards wake the control plane.
    pub bell: Arc<ControlBell>,
    /// The questions, from [`super::Bridge::new`].
    pub asks: mpsc::Receiver<Ask>,
    /// Octets of a message's data that may be published: what the shards allow their clients.
    pub publish_bytes_max: usize,
    /// What the shards count.
    pub board: Arc<Board>,
}

/// What a link listens to beside questions and shards.
#[derive(Clone, Debug)]
pub struct LinkEvents {
    /// The shards shall drain.
    pub drain: Event,
    /// The shards shall end at once: wakes them all, so that they look.
    pub kill: Event,
    /// The shards have ended: nothing is worth waiting for.
    pub stop: Event,
}

/// See the module's header.
pub struct Link {
    shards: usize,
    mailbox: Mailbox,
    press: Press,
    doorbell: Doorbell,
    bell: Arc<ControlBell>,
    asks: mpsc::Receiver<Ask>,
    publish_bytes_max: usize,
    board: Arc<Board>,
    state: Arc<ServerState>,
    questions: Questions,
    jobs: Jobs,
    /// By shard: orders that have found the lane full (N1).
    owed: Vec<VecDeque<Request>>,
    unwoken: Vec<ShardId>,
}

impl Link {
    /// A link that has not said anything yet.
    pub fn new(parts: LinkParts, state: Arc<ServerState>) -> Link {
        let LinkParts { mailbox, doorbell, bell, asks, publish_bytes_max, board } = parts;
        let shards = mailbox.participants() - 1;
        assert!((1..=usize::from(SHARDS_MAX)).contains(&shards), "{shards} shards");
        Link {
            shards,
            mailbox,
            press: Press::default(),
            doorbell,
            bell,
            asks,
            publish_bytes_max,
            board,
            state,
            questions: Questions::new(ASKS_UNANSWERED_MAX),
            jobs: Jobs::new(shards),
            owed: (0..shards).map(|_| VecDeque::new()).collect(),
            unwoken: Vec::new(),
        }
    }

    /// Serves until `stop`; gives how many jobs still run then. What is unanswered is dropped, and
    /// its askers hear `unavailable`.
    pub async fn run(mut self, events: LinkEvents) -> io::Result<usize> {
        let bell = await_bell(Arc::clone(&self.bell))?;
        let mut sweep = interval(Duration::from_millis(ASKS_SWEEP_MS));
        let (mut is_draining, mut is_killed) = (false, false);
        loop {
            self.mailbox.awake();
            self.take_responses();
            self.pay_owed();
            self.signal();
            let has_more = !self.mailbox.may_sleep();
            let owes = self.owed.iter().any(|owed| !owed.is_empty());
            tokio::select! {
                Some(ask) = self.asks.recv() => self.take_asks(ask),
                Some(done) = self.jobs.next() => self.owe_result(done),
                ready = bell.readable() => {
                    let mut ready = ready?;
                    ready.get_inner().answer()?;
                    ready.clear_ready();
                }
                () = tokio::task::yield_now(), if has_more => {}
                () = sleep(Duration::from_millis(LANE_RETRY_MS)), if owes => {}
                _ = sweep.tick() => self.questions.forget_abandoned(),
                () = events.drain.wait(), if !is_draining => {
                    is_draining = true;
                    self.owe_drain();
                }
                () = events.kill.wait(), if !is_killed => {
                    is_killed = true;
                    self.wake_all();
                }
                () = events.stop.wait() => break,
            }
        }
        drop((self.asks, self.questions));
        Ok(self.jobs.finish(Duration::from_millis(JOBS_GRACE_MS)).await)
    }

    /// Takes what is there, within the budget of a lane.
    fn take_asks(&mut self, first: Ask) {
        self.take_ask(first);
        for _ in 1..LANE_BUDGET {
            let Ok(ask) = self.asks.try_recv() else { return };
            self.take_ask(ask);
        }
    }

    fn take_ask(&mut self, ask: Ask) {
        match ask {
            // Who has stopped waiting was told that there was no answer: better it is not done.
            Ask::Publish { reply, .. } if reply.is_closed() => {}
            Ask::Topics { reply, .. } if reply.is_closed() => {}
            Ask::Busiest { reply, .. } if reply.is_closed() => {}
            Ask::Subscribers { reply, .. } if reply.is_closed() => {}
            Ask::Retune { reply, .. } if reply.is_closed() => {}
            Ask::Publish { topic, data, reply } => self.publish(&topic, &data, reply),
            Ask::Topics { prefix, limit, reply } => self.list(&prefix, limit, reply),
            Ask::Busiest { limit, reply } => self.busiest(limit, reply),
            Ask::Subscribers { topics, reply } => self.subscribers(&topics, reply),
            Ask::Retune { tuning, reply } => self.retune(&tuning, reply),
        }
    }

    fn publish(
        &mut self,
        topic: &str,
        data: &[u8],
        reply: oneshot::Sender<Result<Sequenced, Refused>>,
    ) {
        if data.len() > self.publish_bytes_max {
            return answer(reply, Err(Refused::TooLarge));
        }
        let home = home_of(topic, self.shards).index();
        if self.mailbox.request_room(home) == 0 || self.questions.is_full() {
            return answer(reply, Err(Refused::Overloaded));
        }
        let ticket = self.questions.publish(reply);
        let key = ConnKey { slot: Slot(0), generation: Generation(ticket) };
        let from = ConnId::new(ShardId(self.shards as u16), key);
        let parcel = Parcel::new(&mut self.press, topic, "", data, true);
        self.request(home, Request::Publish { from, token: Token::new(TOKEN), parcel });
    }

    fn list(&mut self, prefix: &str, limit: usize, reply: oneshot::Sender<Listed>) {
        if !self.may_ask_all() {
            return answer(reply, Err(Refused::Overloaded));
        }
        let ticket = self.questions.topics(reply, limit, self.shards);
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        self.ask_all(|| ControlRequest::Topics { ticket, prefix: prefix.into(), limit });
    }

    fn busiest(&mut self, limit: usize, reply: oneshot::Sender<Result<Vec<BusyTopic>, Refused>>) {
        if !self.may_ask_all() {
            return answer(reply, Err(Refused::Overloaded));
        }
        let ticket = self.questions.busiest(reply, limit, self.shards);
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        self.ask_all(|| ControlRequest::Busiest { ticket, limit });
    }

    fn subscribers(
        &mut self,
        topics: &Arc<[Box<str>]>,
        reply: oneshot::Sender<Result<Vec<u64>, Refused>>,
    ) {
        if !self.may_ask_all() {
            return answer(reply, Err(Refused::Overloaded));
        }
        let ticket = self.questions.subscribers(reply, topics.len(), self.shards);
        self.ask_all(|| ControlRequest::Subscribers { ticket, topics: Arc::clone(topics) });
    }

    /// True when there is room for a question to every shard.
    fn may_ask_all(&mut self) -> bool {
        let has_room = (0..self.shards).all(|shard| self.mailbox.request_room(shard) > 0);
        has_room && !self.questions.is_full()
    }

    fn ask_all(&mut self, question: impl Fn() -> ControlRequest) {
        for shard in 0..self.shards {
            self.request(shard, Request::Control(question()));
        }
    }

    /// All shards get the order or none. One that still owes the last one stands still: it is not
    /// owed more and more.
    fn retune(&mut self, tuning: &Arc<Tuning>, reply: oneshot::Sender<Result<(), Refused>>) {
        let is_owed = self.owed.iter().flatten().any(is_retune);
        if is_owed || self.questions.is_full() {
            return answer(reply, Err(Refused::Overloaded));
        }
        self.publish_bytes_max = tuning.publish_bytes_max;
        let ticket = self.questions.retune(reply, self.shards);
        for owed in &mut self.owed {
            let tuning = Arc::clone(tuning);
            owed.push_back(Request::Control(ControlRequest::Retune { ticket, tuning }));
        }
    }

    /// Sends what room was seen for.
    fn request(&mut self, shard: usize, request: Request) {
        assert!(self.mailbox.request(shard, request).is_ok(), "room was seen before");
    }

    fn take_responses(&mut self) {
        self.mailbox.collect();
        for word in 0..self.mailbox.ready_words() {
            let mut bits = self.mailbox.take_ready(word);
            while bits != 0 {
                let from = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                self.take_responses_of(from);
            }
        }
    }

    fn take_responses_of(&mut self, from: usize) {
        assert!(self.mailbox.peek_request(from).is_none(), "nothing is asked of the control plane");
        for _ in 0..LANE_BUDGET {
            match self.mailbox.next_response(from) {
                Some(response) => self.take_response(response),
                None => return,
            }
        }
        self.mailbox.keep_ready(from);
    }

    fn take_response(&mut self, response: Response) {
        match response {
            Response::Published { to, parcel: _, token: _, result } => {
                self.questions.published(to.key().generation.0, result);
            }
            Response::Topics { ticket, homes, subscribers } => {
                self.questions.listed(ticket, homes, subscribers);
            }
            Response::Busiest { ticket, topics } => self.questions.found_busiest(ticket, topics),
            Response::Subscribers { ticket, counts } => self.questions.counted(ticket, &counts),
            Response::Retuned { ticket } => self.questions.retuned(ticket),
            Response::Job { from, job, work } => self.jobs.take(from, job, work),
            Response::Deliver { .. } | Response::Interested { .. } | Response::Released { .. } => {
                panic!("the control plane subscribes to nothing")
            }
        }
    }

    fn owe_result(&mut self, done: JobDone) {
        let JobDone { from, job, result } = done;
        let owed = &mut self.owed[from.index()];
        let other_orders = 2;
        assert!(owed.len() < JOBS_MAX + other_orders, "so many jobs, a drain, and new values");
        owed.push_back(Request::Control(ControlRequest::JobDone { job, result }));
    }

    fn owe_drain(&mut self) {
        self.state.advance(Stage::Draining);
        let rules = self.state.in_force().drain;
        let order = rules.order(self.board.total(Metric::ConnectionsOpen));
        for owed in &mut self.owed {
            owed.push_back(Request::Control(ControlRequest::Drain(order)));
        }
    }

    /// N1.
    fn pay_owed(&mut self) {
        for (shard, owed) in self.owed.iter_mut().enumerate() {
            while let Some(order) = owed.pop_front() {
                if let Err(given_back) = self.mailbox.request(shard, order) {
                    owed.push_front(given_back);
                    break;
                }
            }
        }
    }

    /// N2. Where the doorbell fails (the shard has ended, or the kernel is out of memory) the next
    /// signal tries again; a shard looks into its lanes at every housekeeping anyway.
    fn signal(&mut self) {
        let (doorbell, unwoken) = (&mut self.doorbell, &mut self.unwoken);
        self.mailbox.signal(|shard| {
            let shard = ShardId(shard as u16);
            if let Err(e) = doorbell.ring(shard) {
                tracing::debug!(shard = shard.0, error = %e, "a shard could not be woken");
                unwoken.push(shard);
            }
        });
        for shard in self.unwoken.drain(..) {
            self.mailbox.wake_failed(shard);
        }
    }

    fn wake_all(&mut self) {
        for shard in (0..self.shards).map(|shard| ShardId(shard as u16)) {
            if let Err(e) = self.doorbell.ring(shard) {
                tracing::debug!(shard = shard.0, error = %e, "a shard could not be woken");
            }
        }
    }
}

fn is_retune(order: &Request) -> bool {
    matches!(order, Request::Control(ControlRequest::Retune { .. }))
}
