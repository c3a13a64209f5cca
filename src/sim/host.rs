//! A whole server in one thread: shards, the simulated kernel, the control plane, a clock.
//!
//! Mirrors `server/shell.rs`, which joins a shard with the real ring: begin, completions, turn,
//! submit. A shard only gets a turn when something was there to wake it (a completion, a doorbell,
//! its own `Sleep`), so that a lost wake-up shows as a message that never comes.

use std::sync::Arc;

use super::kernel::{Kernel, KernelSizes};
use crate::base::prng::Prng;
use crate::base::{Now, ShardId};
use crate::handler::Handler;
use crate::metrics::Metric;
use crate::pubsub::envelope::{
    ControlRequest, DrainOrder, JobPanicked, JobResult, Request, Response,
};
use crate::pubsub::tuning::Tuning;
use crate::shard::audit::Counts;
use crate::shard::mailbox::{Mailbox, mesh};
use crate::shard::{Admission, Shard, ShardConfig, Sleep};

/// What a host is made of.
pub struct HostPlan {
    /// How many shards.
    pub shards: u16,
    /// Entries of each lane between them.
    pub lane_capacity: usize,
    /// Sizes and times of a shard.
    pub config: ShardConfig,
    /// Connections of all shards together.
    pub connections_max: usize,
    /// Slots of each table of descriptors.
    pub files: usize,
    /// Receive buffers of each shard.
    pub buffers: usize,
    /// Octets of each of them.
    pub buffer_bytes: usize,
    /// For everything that is random.
    pub seed: u64,
}

struct Seat<H: Handler> {
    shard: Shard<H>,
    sleep: Sleep,
    /// Its shell has returned.
    is_over: bool,
    has_stopped_listening: bool,
    /// What the last audit counted.
    audited: Counts,
}

/// See the module's header.
pub struct Host<H: Handler> {
    seats: Vec<Seat<H>>,
    /// What the shards run on.
    pub kernel: Kernel,
    control: Mailbox,
    /// Work that is done and whose lane was full.
    jobs_done: Vec<(usize, u32, JobResult)>,
    now: Now,
    admission: Arc<Admission>,
    /// The shard that had the last turn.
    last: usize,
    turns: u64,
    buffers: usize,
    /// Questions of the control plane that were not answered yet.
    pub questions: usize,
}

impl<H: Handler> Host<H> {
    /// Shards that have not begun to accept.
    pub fn new(plan: HostPlan, handler: impl Fn(ShardId) -> H) -> Self {
        let shards = usize::from(plan.shards);
        let now = Now { monotonic_ms: 1_000_000, unix_ms: 1_790_000_000_000 };
        let mut boxes = mesh(shards + 1, plan.lane_capacity);
        let control = boxes.pop().expect("the last one is the control plane's");
        let sizes = KernelSizes {
            listeners: plan.config.listeners,
            files: plan.files,
            buffers: plan.buffers,
            buffer_bytes: plan.buffer_bytes,
        };
        let mut prng = Prng::new(plan.seed);
        let mut kernel = Kernel::new(shards, sizes, prng.next_u64());
        kernel.set_now(now.monotonic_ms);
        let config = Arc::new(plan.config);
        let admission = Admission::new(plan.connections_max, usize::from(plan.shards));
        let seats = boxes.into_iter().enumerate().map(|(index, mailbox)| {
            let me = ShardId(index as u16);
            let (config, admission) = (Arc::clone(&config), Arc::clone(&admission));
            let seed = prng.next_u64();
            let shard = Shard::new(me, config, admission, mailbox, handler(me), seed, now);
            let (sleep, audited) = (Sleep::No, Counts::default());
            Seat { shard, sleep, is_over: false, has_stopped_listening: false, audited }
        });
        Host {
            seats: seats.collect(),
            kernel,
            control,
            jobs_done: Vec::new(),
            now,
            admission,
            last: 0,
            turns: 0,
            buffers: plan.buffers,
            questions: 0,
        }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.seats.len()
    }

    /// The clocks.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Turns of all shards so far.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Connections that hold a place of the admission.
    pub fn admitted(&self) -> usize {
        self.admission.open()
    }

    /// The sum of a series over all shards.
    pub fn count(&mut self, metric: Metric) -> u64 {
        self.seats.iter_mut().map(|seat| seat.shard.counters().get(metric)).sum()
    }

    /// Connections of all shards, those that are ending included.
    pub fn connections(&self) -> usize {
        self.seats.iter().map(|seat| seat.shard.connections()).sum()
    }

    /// True when every shard's drain is complete.
    pub fn is_drained(&self) -> bool {
        self.seats.iter().all(|seat| seat.shard.is_drained())
    }

    /// Time passes.
    pub fn leap(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.unix_ms += ms;
        self.kernel.set_now(self.now.monotonic_ms);
    }

    /// Somebody sets the clock of the wall.
    pub fn set_wall_clock(&mut self, unix_ms: u64) {
        self.now.unix_ms = unix_ms;
    }

    /// The next moment at which a shard wants to be woken.
    pub fn next_wake_ms(&self) -> Option<u64> {
        let running = self.seats.iter().filter(|seat| !seat.is_over);
        let wakes = running.filter_map(|seat| match seat.sleep {
            Sleep::No => None,
            Sleep::UntilMs(at) => Some(at),
        });
        wakes.min()
    }

    /// True when the shard is awake, or something would wake it.
    pub fn wants_turn(&self, shard: usize) -> bool {
        let seat = &self.seats[shard];
        let is_due = match seat.sleep {
            Sleep::No => true,
            Sleep::UntilMs(at) => at <= self.now.monotonic_ms,
        };
        !seat.is_over && (is_due || self.kernel.has_news(shard))
    }

    /// The next shard that wants a turn, in turn: one that waits for another one does not sleep.
    pub fn next_to_turn(&self) -> Option<usize> {
        let shards = self.seats.len();
        let mut after = (1..=shards).map(|step| (self.last + step) % shards);
        after.find(|shard| self.wants_turn(*shard))
    }

    /// One turn of one shard, whether it wants one or not, as the shell makes it.
    pub fn turn(&mut self, shard: usize) {
        let seat = &mut self.seats[shard];
        if seat.is_over {
            return;
        }
        (self.last, self.turns) = (shard, self.turns + 1);
        seat.shard.begin(self.now);
        for fact in self.kernel.reap(shard) {
            fact.tell(&mut seat.shard);
        }
        seat.sleep = seat.shard.turn();
        if seat.shard.is_draining() {
            if !std::mem::replace(&mut seat.has_stopped_listening, true) {
                self.kernel.stop_listening(shard);
            }
            seat.is_over = seat.shard.is_drained();
        }
        let (ops, staging) = seat.shard.orders();
        self.kernel.submit(shard, ops, staging);
        if self.seats[shard].is_over {
            self.kernel.drop_ring(shard);
        }
    }

    /// Asks a shard to drain. False when its lane is full.
    pub fn drain(&mut self, shard: usize, order: DrainOrder) -> bool {
        self.ask(shard, ControlRequest::Drain(order))
    }

    /// Asks a shard for its topics. The answer is counted off when it comes.
    pub fn ask_topics(&mut self, shard: usize) {
        let question = ControlRequest::Topics { ticket: 7, prefix: "".into(), limit: 10 };
        self.questions += usize::from(self.ask(shard, question));
    }

    /// Gives a shard other values. That it has them is counted off like an answer.
    pub fn retune(&mut self, shard: usize, tuning: Arc<Tuning>) {
        let order = ControlRequest::Retune { ticket: 7, tuning };
        self.questions += usize::from(self.ask(shard, order));
    }

    fn ask(&mut self, shard: usize, request: ControlRequest) -> bool {
        let is_taken = self.control.request(shard, Request::Control(request)).is_ok();
        self.signal();
        is_taken
    }

    fn signal(&mut self) {
        let kernel = &mut self.kernel;
        self.control.signal(|shard| kernel.ring(shard));
    }

    /// What the control plane does when it gets to it: takes answers, does jobs.
    pub fn run_control(&mut self) {
        for shard in 0..self.seats.len() {
            while let Some(response) = self.control.next_response(shard) {
                match response {
                    Response::Topics { ticket, .. } | Response::Retuned { ticket } => {
                        assert_eq!(ticket, 7, "the answer to our question");
                        self.questions -= 1;
                    }
                    Response::Job { from, job, work } => {
                        let work = std::panic::AssertUnwindSafe(work);
                        let result = std::panic::catch_unwind(work).map_err(|_| JobPanicked);
                        self.jobs_done.push((from.index(), job, result));
                    }
                    Response::Published { .. }
                    | Response::Interested { .. }
                    | Response::Busiest { .. }
                    | Response::Subscribers { .. }
                    | Response::Released { .. }
                    | Response::Deliver { .. } => panic!("nothing for the control plane"),
                }
            }
        }
        for (shard, job, result) in std::mem::take(&mut self.jobs_done) {
            if self.control.request_room(shard) == 0 {
                self.jobs_done.push((shard, job, result));
                continue;
            }
            let done = Request::Control(ControlRequest::JobDone { job, result });
            assert!(self.control.request(shard, done).is_ok(), "there was room");
        }
        self.signal();
    }

    /// Compares a shard's accounts with each other, and with what the kernel holds.
    pub fn audit(&mut self, shard: usize) -> Counts {
        let seat = &mut self.seats[shard];
        let counts = seat.shard.audit(&seat.audited);
        seat.audited = counts;
        if !seat.is_over {
            self.kernel.audit(shard, seat.shard.held());
        }
        counts
    }

    /// The same for all shards, with what they share.
    pub fn audit_all(&mut self) -> Counts {
        let mut sum = Counts::default();
        for shard in 0..self.seats.len() {
            sum += self.audit(shard);
        }
        assert_eq!(sum.admitted, self.admission.open(), "places of the admission");
        sum
    }

    /// Nothing is left of anything, but for topics that are remembered for a while.
    pub fn assert_empty(&mut self) {
        let is_drained = self.seats.iter().any(|seat| seat.is_over);
        let mut counts = self.audit_all();
        // A shard that is drained ends: it waits neither for the homes of topics to hear that
        // nobody is left, nor for jobs.
        if is_drained {
            (counts.interests, counts.topics, counts.jobs, counts.listed) = (0, 0, 0, 0);
        }
        let expected = Counts { home_topics: counts.home_topics, ..Counts::default() };
        assert_eq!(counts, expected, "everything is gone");
        assert_eq!(self.kernel.open_files(), 0, "all descriptors are closed");
        assert_eq!(self.kernel.buffers_out(self.buffers), 0, "all receive buffers are back");
        assert!(is_drained || self.jobs_done.is_empty(), "all jobs were told");
        for metric in [
            Metric::ConnectionsOpen,
            Metric::Subscriptions,
            Metric::EgressQueuedBytes,
            Metric::IngressPartialBytes,
        ] {
            assert_eq!(self.count(metric), 0, "{metric:?}");
        }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, more: Counts) {
        self.connections += more.connections;
        self.admitted += more.admitted;
        self.egress_bytes += more.egress_bytes;
        self.egress_bytes_largest = self.egress_bytes_largest.max(more.egress_bytes_largest);
        self.ingress_bytes += more.ingress_bytes;
        self.timers += more.timers;
        self.memberships += more.memberships;
        self.topics += more.topics;
        self.home_topics += more.home_topics;
        self.interests += more.interests;
        self.staged_bytes += more.staged_bytes;
        self.jobs += more.jobs;
        self.listed += more.listed;
    }
}
