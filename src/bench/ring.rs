//! One ring's thread: where connections meet the kernel and the clock.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::clients::{Clients, Scenario};
use super::clock::Clock;
use super::echo::Echo;
use super::fanout::Fanout;
use super::histogram::LatencyHistogram;
use super::io::Io;
use super::pace::Pacer;
use super::plan::{Plan, Work};
use super::published::Published;
use super::report::FaultCause;
use super::stage::{Board, RingBoard, Stage};
use super::stamp::{Codec, Filler, Form};
use super::stay::{Handshake, Idle};
use super::tally::{Schedule, Tally, Window};
use crate::base::Slot;
use crate::limits::{
    BENCH_CQ_ENTRIES, BENCH_LOOK_MS, BENCH_OPENING_MAX, BENCH_RECV_BUFFER_BYTES,
    BENCH_RECV_BUFFERS, BENCH_SQ_ENTRIES,
};
use crate::ring::{DialConfig, Driver, DriverConfig, Wait};

/// A ring looks at the stage at least so often.
const LOOK_NS: u64 = BENCH_LOOK_MS * 1_000_000;
/// Counts are shown at most so often.
const SHOW_NS: u64 = 20_000_000;
/// Faults and latencies are shown at most so often.
const SHOW_SLOW_NS: u64 = 500_000_000;
/// Below this a wait is not worth its wake-up, and would end too late.
const SPIN_NS: u64 = 60_000;

/// What a ring's thread is given.
pub(super) struct Seat {
    pub(super) ring: u16,
    pub(super) plan: Arc<Plan>,
    pub(super) clock: Clock,
    pub(super) board: Arc<Board>,
    pub(super) published: Arc<Published>,
}

/// Runs one ring from the first connect to the end of the run. `found` is told what it has counted
/// before its connections are closed: with many of them that takes a while.
pub(super) fn run(seat: &Seat, found: impl FnOnce(Tally)) -> io::Result<()> {
    let (first, count) = seat.plan.share_of(seat.ring);
    let plan = &seat.plan;
    let filler = if plan.deflate { Filler::Words } else { Filler::Random };
    let codec = |form, bytes| Codec::new(form, bytes, filler);
    match plan.work {
        Work::Idle { topics: _ } => work(seat, &mut Idle, |_, _| {}, found),
        Work::Handshake { .. } => {
            let mut handshake = Handshake::new(Arc::clone(plan), first, count);
            work(seat, &mut handshake, |_, _| {}, found)
        }
        Work::Echo { form, bytes, pace } => {
            let mut echo = Echo::new(plan, codec(form, bytes), pace, first, count);
            work(seat, &mut echo, |_, _| {}, found)
        }
        Work::Fanout(shape) => {
            let form: Form = plan.dialect.form();
            let mut fanout = Fanout::new(plan, shape, codec(form, shape.bytes), first, count);
            work(seat, &mut fanout, Fanout::announce, found)
        }
    }
}

fn work<S: Scenario>(
    seat: &Seat,
    scenario: &mut S,
    announce: impl Fn(&S, &Published),
    found: impl FnOnce(Tally),
) -> io::Result<()> {
    let (first, count) = seat.plan.share_of(seat.ring);
    let mut driver = Driver::new(driver_config(&seat.plan, count))?;
    let seed = u64::from(std::process::id()) << 32 | u64::from(seat.ring);
    let io = Io::new(seed, &seat.plan.work);
    let clients = Clients::new(io, Arc::clone(&seat.plan), first, count);
    let mut hand = Hand {
        seat,
        board: &seat.board.rings[usize::from(seat.ring)],
        clients,
        connector: Connector::new(&seat.plan, first, count, seat.clock.now_ns()),
        interval: LatencyHistogram::new(),
        shown_ns: 0,
        shown_slow_ns: 0,
        is_silent: false,
    };
    loop {
        let stage = seat.board.stage();
        hand.enter(stage, seat.board.schedule());
        let next_ns = hand.turn(stage, scenario);
        if !hand.is_silent && hand.has_sent_all(stage, scenario) {
            announce(scenario, &seat.published);
            hand.fall_silent(scenario);
        }
        if stage == Stage::Ended {
            found(hand.end(scenario.outstanding(&seat.published)));
            return Ok(());
        }
        let now_ns = seat.clock.now_ns();
        let wait = match next_ns.saturating_sub(now_ns) {
            ..SPIN_NS => Wait::Now,
            ns => Wait::Until(Duration::from_nanos(ns)),
        };
        let (ops, staging) = hand.clients.orders();
        driver.submit(ops, staging, wait)?;
        hand.clients.begin(seat.clock.now_ns());
        // What comes when the run is over tells nothing of the server: a ring that waited for a
        // core while the others let go of theirs would find that it was given up meanwhile.
        if seat.board.stage() == Stage::Ended {
            continue;
        }
        driver.completions(|fact| hand.clients.on(fact, seat.clock.now_ns(), scenario));
    }
}

fn driver_config(plan: &Plan, count: u32) -> DriverConfig {
    let reset_on_close = matches!(plan.work, Work::Handshake { reset: true });
    DriverConfig {
        sq_entries: BENCH_SQ_ENTRIES,
        cq_entries: BENCH_CQ_ENTRIES,
        recv_buffers: BENCH_RECV_BUFFERS,
        recv_buffer_bytes: BENCH_RECV_BUFFER_BYTES,
        files: count.max(1),
        accepts_in_flight: 0,
        listeners: Vec::new(),
        control: None,
        dial: DialConfig {
            targets: plan.targets.clone(),
            sources: plan.sources.clone(),
            reset_on_close,
        },
    }
}

/// A ring's state between two turns.
struct Hand<'a> {
    seat: &'a Seat,
    board: &'a RingBoard,
    clients: Clients,
    connector: Connector,
    /// Where latencies of the last interval are put.
    interval: LatencyHistogram,
    shown_ns: u64,
    shown_slow_ns: u64,
    /// Nothing is sent any more, and all know how much was.
    is_silent: bool,
}

impl Hand<'_> {
    fn enter(&mut self, stage: Stage, schedule: Schedule) {
        let load = match stage {
            // While it drains, nothing new becomes due, but what was due may not all be out.
            Stage::Loading | Stage::Draining => schedule.load,
            Stage::Opening | Stage::Settling | Stage::Ended => Window::NEVER,
        };
        self.clients.io.schedule = Schedule { load, ..schedule };
    }

    /// Nothing more will be sent: it all is, or there is no more time for it.
    fn has_sent_all<S: Scenario>(&self, stage: Stage, scenario: &S) -> bool {
        match stage {
            Stage::Opening | Stage::Loading => false,
            Stage::Draining => {
                let until_ns = self.clients.io.schedule.load.until_ns;
                let is_done = |pacer: &Pacer| pacer.is_done(until_ns);
                self.clients.io.now_ns >= until_ns && scenario.pacer().is_none_or(is_done)
            }
            Stage::Settling | Stage::Ended => true,
        }
    }

    /// Counts what was due and is not sent, and says that nothing more will be.
    fn fall_silent<S: Scenario>(&mut self, scenario: &S) {
        let schedule = self.seat.board.schedule();
        let io = &mut self.clients.io;
        if let Some(pacer) = scenario.pacer() {
            io.unsent.add_rest(pacer, schedule, &mut io.tally.faults);
        }
        io.unsent.record(io.now_ns, &mut io.tally.latency);
        self.is_silent = true;
        self.board.set_silent();
    }

    /// Does what is due, and gives the moment at which something will be.
    fn turn<S: Scenario>(&mut self, stage: Stage, scenario: &mut S) -> u64 {
        self.clients.settle();
        self.clients.expire();
        let now_ns = self.clients.io.now_ns;
        let mut next_ns = now_ns + LOOK_NS;
        let from_ns = self.clients.io.schedule.load.from_ns;
        if from_ns > now_ns {
            next_ns = next_ns.min(from_ns);
        }
        if stage == Stage::Opening
            && let Some(at_ns) = self.connector.turn(&mut self.clients)
        {
            next_ns = next_ns.min(at_ns);
        }
        if !self.is_silent
            && let Some(at_ns) = scenario.turn(&mut self.clients)
        {
            next_ns = next_ns.min(at_ns);
        }
        if now_ns >= self.shown_ns + SHOW_NS {
            self.shown_ns = now_ns;
            self.board.show(&self.clients.io.tally);
            // Before that, nobody knows what is still to come.
            if stage == Stage::Settling && self.seat.board.sums().are_silent {
                // Handshakes that are under way when the window ends are waited for as well.
                let opening = u64::from(self.clients.opening());
                let outstanding = scenario.outstanding(&self.seat.published);
                self.board.set_outstanding(outstanding + opening);
            }
        }
        if now_ns >= self.shown_slow_ns + SHOW_SLOW_NS {
            self.shown_slow_ns = now_ns;
            self.show_slow();
        }
        next_ns
    }

    fn show_slow(&mut self) {
        let tally = &mut self.clients.io.tally;
        tally.latency.take_interval(&mut self.interval);
        self.board.show_slow(&tally.faults, &self.interval);
    }

    fn end(mut self, outstanding: u64) -> Tally {
        let opening = self.clients.opening();
        self.clients.io.tally.failed += opening;
        self.clients.io.tally.faults.add_many(FaultCause::TimedOut, u64::from(opening), || {
            "a connection was still being opened when the run ended".into()
        });
        let waiting = self.clients.io.outbox.charged_total();
        self.clients.io.tally.faults.add_many(FaultCause::Lost, outstanding, || {
            format!(
                "{outstanding} messages had not come when the run ended; {waiting} octets of this \
                 ring waited for the server to read"
            )
        });
        self.clients.io.tally.inflated = self.clients.io.pool.take_inflated_counts();
        self.show_slow();
        self.board.show(&self.clients.io.tally);
        self.clients.io.tally
    }
}

/// Opens the connections of a ring, at a rate or as fast as they are taken.
struct Connector {
    next: u32,
    count: u32,
    opening_max: u32,
    pacer: Option<Pacer>,
}

impl Connector {
    fn new(plan: &Plan, first: u32, count: u32, at_ns: u64) -> Self {
        let is_wanted = !matches!(plan.work, Work::Handshake { .. });
        Connector {
            next: 0,
            count: if is_wanted { count } else { 0 },
            opening_max: (BENCH_OPENING_MAX / u32::from(plan.rings)).max(8),
            pacer: Pacer::of_connects(plan, first, count, at_ns),
        }
    }

    fn turn(&mut self, clients: &mut Clients) -> Option<u64> {
        let now_ns = clients.io.now_ns;
        if let Some(pacer) = &mut self.pacer {
            pacer.begin_turn();
        }
        while self.next < self.count && clients.opening() < self.opening_max {
            if let Some(pacer) = &mut self.pacer
                && pacer.take(now_ns, u64::MAX).is_none()
            {
                return Some(pacer.next_ns());
            }
            clients.connect(Slot(self.next), now_ns);
            self.next += 1;
        }
        None
    }
}
