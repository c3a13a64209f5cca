//! A run: one seed, so many steps, and the end.
//!
//! A step is one action of [`super::plan::ACTIONS`], then a chance for every client to read and
//! write, for the kernel to work, and for every shard that wants one to have a turn; then the
//! invariants are looked at. What the end is made of stands in [`super::ending`].

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::client::{Client, Scene, Stage};
use super::echoes::Plain;
use super::faults::Canary;
use super::host::Host;
use super::plan::{Dialect, Plan};
use super::speech::Ears;
use super::topics::{Topics, Verdict};
use crate::base::prng::Prng;
use crate::handler::Handler;
use crate::limits::DRAIN_BACKLOG_MS;
use crate::metrics::Metric;
use crate::pubsub::envelope::DrainOrder;
use crate::session::{JsonHandler, SessionConfig};

/// Octets of a client's that may lie in a socket before it waits.
const INPUT_BYTES_MAX: usize = 16 * 1024;
/// All shards are looked at together so often, in steps.
const WHOLE_AUDIT_STEPS: u64 = 64;
/// Of so many steps before the end, the last one sees the server drain, if it drains.
const DRAIN_LAST_PART: u64 = 8;
/// How far a clock that jumps goes.
const JUMP_MS_MAX: u64 = 20_000;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Everything that happens follows from it.
    pub seed: u64,
    /// Steps before the end.
    pub steps: u64,
    /// A bug to put in.
    pub canary: Option<Canary>,
    /// Whether to print what happens.
    pub prints: bool,
}

/// A run that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What happened, as one number.
    pub hash: u64,
    /// Turns of shards.
    pub turns: u64,
    /// Clients.
    pub clients: u64,
    /// Messages that subscribers got.
    pub deliveries: u64,
    /// Messages that had to arrive within so many turns in the end.
    pub probes: u64,
    /// What the shards have counted, by the index of the series.
    pub counts: Vec<u64>,
}

impl Default for Report {
    fn default() -> Self {
        let counts = vec![0; Metric::COUNT];
        Report { hash: 0, turns: 0, clients: 0, deliveries: 0, probes: 0, counts }
    }
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, more: Report) {
        self.hash ^= more.hash;
        self.turns += more.turns;
        self.clients += more.clients;
        self.deliveries += more.deliveries;
        self.probes += more.probes;
        self.counts.iter_mut().zip(more.counts).for_each(|(sum, count)| *sum += count);
    }
}

/// A run that did not.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// How far it came; the number of steps stands for the end.
    pub step: u64,
    /// What was wrong.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Failure { seed, step, what } = self;
        write!(f, "seed {seed}, step {step}: {what}")
    }
}

/// See the module's header.
pub(super) struct Sim<H: Handler> {
    pub(super) plan: Plan,
    pub(super) prng: Prng,
    pub(super) host: Host<H>,
    pub(super) clients: Vec<Client>,
    pub(super) topics: Topics,
    /// Numbers of messages and requests.
    pub(super) serial: u64,
    /// Clients so far.
    pub(super) arrivals: usize,
    pub(super) is_draining: bool,
    /// Until when a drain waits for what was acknowledged before it, at least.
    drain_waits_ms: u64,
    drain_late_ms: u64,
    pub(super) probes: u64,
    pub(super) canary: Option<Canary>,
    /// Nothing is compressed any more.
    pub(super) is_plain: bool,
    heard: Vec<u8>,
}

/// Runs a seed. Panics of the code under test become failures, with the step in which they were.
pub fn run(order: Order) -> Result<Report, Failure> {
    let step = Cell::new(0);
    let fail = |what| Failure { seed: order.seed, step: step.get(), what };
    let result = catch_unwind(AssertUnwindSafe(|| run_plan(order, &step)));
    match result {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(what)) => Err(fail(what)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into()));
            Err(fail(format!("panicked: {}", text.unwrap_or_default())))
        }
    }
}

fn run_plan(order: Order, step: &Cell<u64>) -> Result<Report, String> {
    let mut prng = Prng::new(order.seed);
    let plan = Plan::draw(&mut prng);
    match plan.dialect {
        Dialect::Json => {
            let handler = |_| JsonHandler::new(SessionConfig::default(), 7);
            let host = Host::new(plan.host(prng.next_u64()), handler);
            Sim::new(plan, prng, host).run(order, step)
        }
        Dialect::Echo => {
            let host = Host::new(plan.host(prng.next_u64()), |_| Plain);
            Sim::new(plan, prng, host).run(order, step)
        }
    }
}

impl<H: Handler> Sim<H> {
    fn new(plan: Plan, prng: Prng, host: Host<H>) -> Self {
        Sim {
            plan,
            prng,
            host,
            clients: Vec::new(),
            topics: Topics::default(),
            serial: 0,
            arrivals: 0,
            is_draining: false,
            drain_waits_ms: 0,
            drain_late_ms: 0,
            probes: 0,
            canary: None,
            is_plain: false,
            heard: Vec::new(),
        }
    }

    fn run(mut self, order: Order, step: &Cell<u64>) -> Result<Report, String> {
        self.canary = order.canary.filter(|canary| *canary != Canary::MissesTheLast);
        self.host.kernel.canary = order.canary;
        self.host.kernel.trace.prints = order.prints;
        self.host.kernel.faults = self.plan.faults.clone();
        if order.prints {
            println!("{:#?}\n{:#?}", self.plan.config, self.plan.faults);
        }
        let drain_at = order.steps - order.steps / DRAIN_LAST_PART;
        for number in 0..order.steps {
            step.set(number);
            if order.prints {
                println!("step {number}, {} ms", self.host.now().monotonic_ms);
            }
            if number == drain_at {
                self.is_draining = self.plan.drains;
                self.topics.is_draining = self.is_draining;
                self.drain_late_ms = 20 + self.prng.below(700);
                let patience_ms = self.drain_late_ms.min(DRAIN_BACKLOG_MS);
                self.drain_waits_ms = self.host.now().monotonic_ms + patience_ms;
                self.canary = order.canary;
            }
            self.step(number)?;
        }
        step.set(order.steps);
        self.finish()?;
        Ok(Report {
            hash: self.host.kernel.trace.hash(),
            turns: self.host.turns(),
            clients: self.arrivals as u64,
            deliveries: self.topics.deliveries,
            probes: self.probes,
            counts: Metric::ALL.iter().map(|metric| self.host.count(*metric)).collect(),
        })
    }

    fn step(&mut self, number: u64) -> Verdict {
        self.host.leap(self.prng.below(3));
        self.jump_clocks();
        let action = self.draw_action();
        self.host.kernel.trace.say(format_args!(" {action:?}"));
        self.act(action)?;
        self.pump_some()?;
        if self.is_draining {
            // A lane may be full; to ask twice changes nothing.
            let shard = self.prng.below(self.host.shards() as u64) as usize;
            // One after the other, at a pace of its own, for which there is not always time.
            let order = DrainOrder {
                spread_ms: self.prng.below(700),
                late_ms: self.drain_late_ms,
                timeout_ms: u64::MAX / 2,
                retry_ms_max: 50,
            };
            self.host.drain(shard, order);
        }
        for shard in 0..self.host.shards() {
            if self.chance(self.plan.turns) {
                self.host.kernel.work(shard);
            }
            if self.host.wants_turn(shard) && self.chance(self.plan.turns) {
                self.turn(shard);
            }
        }
        if self.prng.below(4) == 0 {
            self.host.run_control();
        }
        if number.is_multiple_of(WHOLE_AUDIT_STEPS) {
            self.host.audit_all();
        }
        Ok(())
    }

    /// A turn, and a look at what it left behind.
    pub(super) fn turn(&mut self, shard: usize) {
        self.host.turn(shard);
        self.host.audit(shard);
    }

    /// True so many times of a thousand.
    pub(super) fn chance(&mut self, of_thousand: u64) -> bool {
        self.prng.below(1000) < of_thousand
    }

    fn jump_clocks(&mut self) {
        if !self.plan.faults.clock_jumps.strikes(&mut self.prng) {
            return;
        }
        let by_ms = self.prng.below(JUMP_MS_MAX);
        if self.prng.below(4) == 0 {
            self.host.set_wall_clock(1_790_000_000_000 - by_ms * 1000);
        } else {
            self.host.leap(by_ms);
        }
    }

    /// Gives each client the chance to read and to write.
    pub(super) fn pump_some(&mut self) -> Verdict {
        for index in 0..self.clients.len() {
            if self.chance(self.plan.pump) {
                self.read(index, false)?;
                self.write(index, false);
            }
        }
        self.part_with_the_dead();
        Ok(())
    }

    /// Lets every client read and write as much as it can. True when anything moved.
    pub(super) fn pump_all(&mut self) -> Result<bool, String> {
        let mut moved = false;
        for index in 0..self.clients.len() {
            moved |= self.read(index, true)?;
            moved |= self.write(index, true);
        }
        self.part_with_the_dead();
        Ok(moved)
    }

    fn read(&mut self, index: usize, all: bool) -> Result<bool, String> {
        let client = &mut self.clients[index];
        if client.is_stalled && !all {
            return Ok(false);
        }
        let is_part = !all && self.prng.below(3) == 0;
        let most = if is_part { 1 + self.prng.below(100) as usize } else { usize::MAX };
        self.heard.clear();
        let now_ms = self.host.now().monotonic_ms;
        let is_at_rest = !self.host.wants_turn(self.host.kernel.socket(client.socket).shard);
        let socket = self.host.kernel.socket_mut(client.socket);
        if is_at_rest {
            socket.settle();
        }
        socket.read(most, &mut self.heard);
        let (end, silence_ms) = (socket.stream_end(), socket.silence_ms(now_ms));
        let ears = Ears {
            plan: &self.plan,
            topics: &mut self.topics,
            pace: socket.pace(),
            canary: self.canary,
        };
        let is_draining = self.is_draining;
        let is_patient = is_draining && now_ms < self.drain_waits_ms;
        let mut scene = Scene { ears, is_draining, is_patient, silence_ms };
        if !self.heard.is_empty() {
            self.host.kernel.trace.mix_octets(&self.heard);
            let verdict = client.hear(&self.heard, &mut scene);
            verdict.map_err(|what| format!("{}: {what}", client.describe()))?;
        }
        if let Some(end) = end
            && client.stage != Stage::Over
        {
            let verdict = client.hear_end(end, &scene);
            verdict.map_err(|what| format!("{}: {what}", client.describe()))?;
        }
        Ok(!self.heard.is_empty() || end.is_some())
    }

    fn write(&mut self, index: usize, all: bool) -> bool {
        let client = &mut self.clients[index];
        let socket = self.host.kernel.socket_mut(client.socket);
        if client.has_ended {
            return false;
        }
        let mut moved = false;
        if client.unwritten() > 0 && socket.input_len() < INPUT_BYTES_MAX {
            let most = match self.prng.below(4) {
                _ if all => usize::MAX,
                0 => 1 + self.prng.below(8) as usize,
                1 => 1 + self.prng.below(500) as usize,
                _ => INPUT_BYTES_MAX,
            };
            socket.write(&client.take_unwritten(most));
            moved = true;
        }
        if client.stage == Stage::Over || (client.wants_end && client.unwritten() == 0) {
            client.has_ended = true;
            socket.end();
            moved = true;
        }
        moved
    }

    /// Forgets clients whose streams have ended both ways: the shard may still have to find out.
    fn part_with_the_dead(&mut self) {
        self.clients.retain(|client| client.stage != Stage::Over || !client.has_ended);
    }
}
