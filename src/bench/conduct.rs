//! A run from its beginning to its report: starts the rings, sets the stage, watches, and sums up.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::clock::Clock;
use super::plan::{Plan, Work};
use super::published::Published;
use super::report::progress::{Phase, Progress};
use super::report::{FaultLog, Report, TimelinePoint};
use super::ring::{self, Seat};
use super::stage::{Board, Stage, Sums};
use super::stop::Stop;
use super::summary::{self, Observed};
use super::tally::{Schedule, Tally, Window};
use super::watch::{self, Usage};
use crate::limits::{
    BENCH_DRAIN_TIMEOUT_MS, BENCH_HOPELESS_MS, BENCH_LEAD_MS, BENCH_LOOK_MS, BENCH_SETTLE_MAX_MS,
    BENCH_SILENT_MAX_MS, BENCH_STALL_TIMEOUT_MS,
};

/// How often the conductor looks at the board while it waits for something.
const LOOK: Duration = Duration::from_millis(5);
/// How often it looks whether the run is to end early.
const LOOK_EARLY: Duration = Duration::from_millis(50);
/// Between two samples of the time line.
const SAMPLE: Duration = Duration::from_secs(1);

/// Why a run could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The kernel refused a ring or a thread.
    #[error("{what}: {error}")]
    Kernel {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
    /// The process that was to be watched is not there.
    #[error("there is no process {0} on this host to watch; leave --server-pid out")]
    NoProcess(u32),
    /// A ring did not come back from a turn.
    #[error("a ring stands still; take more rings, or smaller messages")]
    StandsStill,
}

/// How a run stands.
#[derive(Clone, Debug)]
pub struct Live {
    work: Work,
    phase: Phase,
    /// The last sample, and the length of its interval.
    last: TimelinePoint,
    interval_seconds: f64,
    established_before: u64,
    asked: u64,
    faults: FaultLog,
    /// Until the end of the window.
    left: Option<Duration>,
}

impl Live {
    /// The same for people.
    pub fn progress(&self) -> Progress<'_> {
        let per_second = |count: u64| count as f64 / self.interval_seconds;
        let (has_messages, connects) = match self.work {
            Work::Idle { .. } => (false, None),
            Work::Handshake { .. } => (false, Some(self.last.received)),
            Work::Echo { .. } | Work::Fanout(_) => (true, None),
        };
        let opened = self.last.established.saturating_sub(self.established_before);
        let connects = connects.or((self.phase == Phase::Connecting).then_some(opened));
        Progress {
            phase: self.phase,
            elapsed_seconds: self.last.second,
            remaining_seconds: self.left.map(|left| left.as_secs_f64()),
            established: self.last.established,
            asked: self.asked,
            connects_per_second: connects.map(per_second),
            sent_per_second: has_messages.then(|| per_second(self.last.sent)),
            received_per_second: has_messages.then(|| per_second(self.last.received)),
            p99_us: self.last.p99_us,
            faults: &self.faults,
        }
    }
}

/// Carries a plan out. `show` is told how it stands about once a second. The run ends early when
/// `stop` is set, when nobody can connect, and when the server has ended every connection; the
/// report is then of what was measured until then.
pub fn conduct(plan: Plan, stop: &Stop, show: &mut dyn FnMut(&Live)) -> Result<Report, BenchError> {
    if let Some(pid) = plan.server_pid
        && watch::look(pid).is_none()
    {
        return Err(BenchError::NoProcess(pid));
    }
    let plan = Arc::new(plan);
    let mut conductor = Conductor::start(Arc::clone(&plan), stop, show)?;
    let observed = match conductor.play() {
        Ok(observed) => observed,
        Err(error) => {
            conductor.board.advance(Stage::Ended);
            return Err(error);
        }
    };
    let outcomes = conductor.end()?;
    Ok(summary::report(&plan, observed, &outcomes))
}

struct Conductor<'a> {
    plan: Arc<Plan>,
    stop: &'a Stop,
    clock: Clock,
    board: Arc<Board>,
    ended: Receiver<io::Result<Tally>>,
    /// Rings that have ended before they were told to.
    early: Vec<Tally>,
    show: &'a mut dyn FnMut(&Live),
    timeline: Vec<TimelinePoint>,
    sampled: Sampled,
    arrivals: Arrivals,
}

/// When somebody last came in, and what was counted then.
struct Arrivals {
    upgraded: u64,
    failed: u64,
    at: Instant,
}

/// Where the last sample was taken.
struct Sampled {
    at: Instant,
    sums: Sums,
    usage: Option<Usage>,
    faults: u64,
}

impl<'a> Conductor<'a> {
    fn start(
        plan: Arc<Plan>,
        stop: &'a Stop,
        show: &'a mut dyn FnMut(&Live),
    ) -> Result<Conductor<'a>, BenchError> {
        let clock = Clock::start();
        let board = Arc::new(Board::new(plan.rings));
        let publishers = match plan.work {
            Work::Fanout(shape) => shape.publishers,
            Work::Idle { .. } | Work::Handshake { .. } | Work::Echo { .. } => 0,
        };
        let published = Arc::new(Published::new(publishers));
        // Before the first connection.
        let usage = plan.server_pid.and_then(watch::look);
        let (tell, ended) = channel();
        for ring in 0..plan.rings {
            let seat = Seat {
                ring,
                plan: Arc::clone(&plan),
                clock,
                board: Arc::clone(&board),
                published: Arc::clone(&published),
            };
            let tell = tell.clone();
            let thread = Builder::new().name(format!("bench-{ring}")).spawn(move || {
                pin(&seat);
                // Nobody listens any more when the conductor has given up.
                let found = |tally| tell.send(Ok(tally)).unwrap_or_default();
                let ran = catch_unwind(AssertUnwindSafe(|| ring::run(&seat, found)));
                let panicked = |_| Err(io::Error::other("a ring's thread has panicked"));
                if let Err(error) = ran.unwrap_or_else(panicked) {
                    tell.send(Err(error)).unwrap_or_default();
                }
            });
            let failed = |error| BenchError::Kernel { what: "starting a thread", error };
            if let Err(error) = thread {
                board.advance(Stage::Ended);
                return Err(failed(error));
            }
        }
        let sampled = Sampled { at: Instant::now(), sums: Sums::default(), usage, faults: 0 };
        Ok(Conductor {
            plan,
            stop,
            clock,
            board,
            ended,
            early: Vec::new(),
            show,
            timeline: Vec::new(),
            sampled,
            arrivals: Arrivals { upgraded: 0, failed: 0, at: Instant::now() },
        })
    }

    /// Everything between the first connect and the end.
    fn play(&mut self) -> Result<Observed, BenchError> {
        let started_unix_ms = unix_ms();
        let rss_before_bytes = self.sampled.usage.map(|usage| usage.rss_bytes);
        let opened_in = self.open()?;
        let opened = self.board.sums();
        self.rest_until(self.clock.now_ns() + self.plan.hold.as_nanos() as u64)?;
        let mut observed = Observed {
            started_unix_ms,
            opened_in,
            opened,
            from_second: self.clock.now_ns() as f64 / 1e9,
            seconds: 0.0,
            rss_before_bytes,
            usage: None,
            timeline: Vec::new(),
        };
        if !self.is_over() {
            self.load(&mut observed)?;
        }
        observed.timeline = std::mem::take(&mut self.timeline);
        Ok(observed)
    }

    /// Has messages sent, first to warm up, then to be measured, and waits for the last ones.
    fn load(&mut self, observed: &mut Observed) -> Result<(), BenchError> {
        let load_from_ns = self.clock.now_ns() + BENCH_LEAD_MS * 1_000_000;
        let measured_from_ns = load_from_ns + self.plan.warmup.as_nanos() as u64;
        let mut until_ns = measured_from_ns + self.plan.duration.as_nanos() as u64;
        let schedule = |until_ns| Schedule {
            load: Window { from_ns: load_from_ns, until_ns },
            measured: Window { from_ns: measured_from_ns, until_ns },
        };
        self.board.set_schedule(schedule(until_ns));
        self.board.advance(Stage::Loading);
        self.rest_until(measured_from_ns)?;
        let usage_before = self.plan.server_pid.and_then(watch::look);
        self.rest_until(until_ns)?;
        let usage_after = self.plan.server_pid.and_then(watch::look);
        until_ns = until_ns.min(self.clock.now_ns());
        self.board.set_schedule(schedule(until_ns));
        self.drain()?;
        observed.from_second = measured_from_ns as f64 / 1e9;
        observed.seconds = schedule(until_ns).measured.seconds();
        observed.usage = usage_before.zip(usage_after);
        Ok(())
    }

    /// True when going on makes no sense.
    fn is_over(&mut self) -> bool {
        let sums = self.board.sums();
        let is_hopeless = match self.plan.work {
            Work::Idle { .. } | Work::Echo { .. } | Work::Fanout(_) => sums.established == 0,
            Work::Handshake { .. } => {
                if sums.upgraded > self.arrivals.upgraded {
                    let (upgraded, failed) = (sums.upgraded, sums.failed);
                    self.arrivals = Arrivals { upgraded, failed, at: Instant::now() };
                }
                sums.failed >= self.arrivals.failed + u64::from(self.plan.connections)
                    && self.arrivals.at.elapsed() >= Duration::from_millis(BENCH_HOPELESS_MS)
            }
        };
        is_hopeless || self.stop.is_set()
    }

    /// Waits until every connection is ready or has failed.
    fn open(&mut self) -> Result<Duration, BenchError> {
        let began = Instant::now();
        if let Work::Handshake { .. } = self.plan.work {
            return Ok(Duration::ZERO);
        }
        let asked = u64::from(self.plan.connections);
        let (mut decided, mut progressed) = (0, Instant::now());
        let connect_every = self.plan.connect_rate.map_or(0.0, |rate| 1.0 / rate).min(1e9);
        let stall = Duration::from_millis(BENCH_STALL_TIMEOUT_MS)
            + self.plan.timeout
            + Duration::from_secs_f64(connect_every);
        while decided < asked && progressed.elapsed() < stall && !self.stop.is_set() {
            self.wait(LOOK)?;
            let sums = self.board.sums();
            let so_far = sums.established + sums.failed + sums.lost;
            if so_far > decided {
                (decided, progressed) = (so_far, Instant::now());
            }
        }
        Ok(began.elapsed())
    }

    /// Waits for a moment of the run's clock, or until all is over.
    fn rest_until(&mut self, at_ns: u64) -> Result<(), BenchError> {
        loop {
            let left_ns = at_ns.saturating_sub(self.clock.now_ns());
            if left_ns == 0 || self.is_over() {
                return Ok(());
            }
            self.wait(Duration::from_nanos(left_ns).min(LOOK_EARLY))?;
        }
    }

    /// Waits until everything has arrived that was sent, or nothing arrives any more.
    fn drain(&mut self) -> Result<(), BenchError> {
        // Whoever sees nothing for two looks of a ring has seen what it shows.
        let look = ms(BENCH_LOOK_MS);
        let timeout = self.plan.timeout.min(ms(BENCH_DRAIN_TIMEOUT_MS)).max(2 * look);
        self.board.advance(Stage::Draining);
        self.wait_for_silence(timeout)?;
        self.board.advance(Stage::Settling);
        if !self.wait_for_silence(ms(BENCH_SILENT_MAX_MS))? {
            return Err(BenchError::StandsStill);
        }
        let (began, mut progressed) = (Instant::now(), Instant::now());
        let mut sums = self.board.sums();
        while sums.outstanding > 0
            && progressed.elapsed() < timeout
            && began.elapsed() < ms(BENCH_SETTLE_MAX_MS)
        {
            self.wait(LOOK)?;
            let before = std::mem::replace(&mut sums, self.board.sums());
            if sums != before {
                progressed = Instant::now();
            }
        }
        Ok(())
    }

    /// Waits until no ring sends any more; false when that takes too long.
    fn wait_for_silence(&mut self, timeout: Duration) -> Result<bool, BenchError> {
        let began = Instant::now();
        while !self.board.sums().are_silent {
            if began.elapsed() >= timeout {
                return Ok(false);
            }
            self.wait(LOOK)?;
        }
        Ok(true)
    }

    /// Waits, takes samples when they are due, and notices when a ring has failed.
    fn wait(&mut self, duration: Duration) -> Result<(), BenchError> {
        match self.ended.recv_timeout(duration) {
            Ok(outcome) => {
                let failed = |error| BenchError::Kernel { what: "running a ring", error };
                self.early.push(outcome.map_err(failed)?);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(duration),
        }
        if self.sampled.at.elapsed() >= SAMPLE {
            self.sample();
        }
        Ok(())
    }

    fn sample(&mut self) {
        let (at, sums) = (Instant::now(), self.board.sums());
        let usage = self.plan.server_pid.and_then(watch::look);
        let slow = self.board.take_slow();
        let interval_seconds = (at - self.sampled.at).as_secs_f64();
        let (before, usages) = (&self.sampled.sums, (self.sampled.usage, usage));
        let faults = slow.faults.total().saturating_sub(self.sampled.faults);
        let now_ns = self.clock.now_ns();
        let point = summary::sample(
            now_ns as f64 / 1e9,
            interval_seconds,
            &self.plan,
            (before, &sums),
            usages,
            faults,
            &slow.latency,
        );
        let until_ns = self.board.schedule().measured.until_ns;
        let is_known = until_ns != Window::NEVER.until_ns;
        let left = is_known.then(|| Duration::from_nanos(until_ns.saturating_sub(now_ns)));
        let live = Live {
            work: self.plan.work,
            phase: self.phase(now_ns),
            last: point,
            interval_seconds,
            established_before: before.established,
            asked: u64::from(self.plan.connections),
            faults: slow.faults,
            left,
        };
        let faults = live.faults.total();
        (self.show)(&live);
        self.timeline.push(point);
        self.sampled = Sampled { at, sums, usage, faults };
    }

    fn phase(&self, now_ns: u64) -> Phase {
        let window = self.board.schedule().measured;
        match self.board.stage() {
            Stage::Opening => Phase::Connecting,
            Stage::Loading if now_ns < window.from_ns => Phase::WarmingUp,
            Stage::Loading => Phase::Measuring,
            Stage::Draining | Stage::Settling | Stage::Ended => Phase::Finishing,
        }
    }

    /// Hears what all rings have found. Their threads go on closing connections for a while, which
    /// nobody has to wait for.
    fn end(self) -> Result<Vec<Tally>, BenchError> {
        self.board.advance(Stage::Ended);
        let failed = |error| BenchError::Kernel { what: "running a ring", error };
        let mut tallies = self.early;
        while tallies.len() < usize::from(self.plan.rings) {
            let ended = self.ended.recv().expect("each ring tells how it ended");
            tallies.push(ended.map_err(failed)?);
        }
        Ok(tallies)
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn pin(seat: &Seat) {
    let cpus = &seat.plan.cpus;
    if cpus.is_empty() {
        return;
    }
    let id = cpus[usize::from(seat.ring) % cpus.len()];
    if !core_affinity::set_for_current(core_affinity::CoreId { id }) {
        tracing::warn!(cpu = id, "a ring's thread could not be pinned");
    }
}
