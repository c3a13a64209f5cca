//! What it costs to learn the peer's address when connections are accepted into direct descriptors.
//!
//! Owns one server thread with one ring and a few client threads per run; prints, per way, accepts
//! per second and CPU time of the server thread per accept (see `docs/adr/0002-peer-address.md`).
//! CPU time is the robust figure: the rate falls when anything else runs on the machine.
//! `cargo bench --bench peer_address` measures; run any other way (`cargo test`) it does one tiny
//! round of everything, so that it can't rot. It never leaves 127.0.0.0/8.
//!
//! B1: the server closes first and clients reset (SO_LINGER 0), so no port waits in TIME_WAIT.
//! B2: memory that the kernel may write to (`rooms`, `sent`) lives until `drain` has seen every
//!     accept end, and is never moved.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, DestinationSlot, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};

#[path = "peer_address/checks.rs"]
mod checks;
#[path = "peer_address/clients.rs"]
mod clients;

use clients::{ARRIVALS, Arrivals, Session, client};

/// Entries of the table of direct descriptors; far more than clients keep open.
const TABLE: u32 = 4096;
/// The most accepts that any way keeps in flight.
const ACCEPTS_MAX: u32 = 512;

const ACCEPT: u64 = 1;
const INSTALL: u64 = 2;
const UPDATE: u64 = 3;
const CLOSE: u64 = 4;
const CANCEL: u64 = 5;

/// A way to accept into the table of direct descriptors and to learn who came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Multishot, without an address: the floor.
    Multishot,
    /// This many single-shot accepts in flight, each with room for an address.
    SingleShot(u32),
    /// Multishot, then FIXED_FD_INSTALL, getpeername, close.
    Install,
    /// Multishot to process descriptors, then getpeername, FILES_UPDATE (a batch a turn), close.
    Register,
}

const WAYS: [Way; 7] = [
    Way::Multishot,
    Way::SingleShot(1),
    Way::SingleShot(16),
    Way::SingleShot(64),
    Way::SingleShot(ACCEPTS_MAX),
    Way::Install,
    Way::Register,
];

impl Way {
    fn name(self) -> String {
        match self {
            Way::Multishot => "a  multishot, no address".into(),
            Way::SingleShot(k) => format!("b  single-shot, K = {k}"),
            Way::Install => "c  multishot + FIXED_FD_INSTALL".into(),
            Way::Register => "d  process fd + FILES_UPDATE".into(),
        }
    }
}

#[derive(Clone, Copy)]
struct Figures {
    accepts_per_s: f64,
    cpu_us: f64,
    named_percent: f64,
}

/// Room for one address, written by the kernel.
#[derive(Clone, Copy)]
#[repr(C)]
struct Room {
    address: libc::sockaddr_in,
    len: libc::socklen_t,
}

fn rooms(count: u32) -> Box<[Room]> {
    // SAFETY: `Room` is made of integers only; all zeroes is a valid value of it.
    let empty: Room = unsafe { std::mem::zeroed() };
    vec![empty; count as usize].into_boxed_slice()
}

fn new_ring(table: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all().setup_cqsize(4096);
    let ring = builder.build(1024)?;
    ring.submitter().register_files_sparse(table)?;
    Ok(ring)
}

fn push(ring: &mut IoUring, entry: squeue::Entry) {
    // SAFETY: the entries of this file point only into rooms and batches, which B2 keeps alive.
    while unsafe { ring.submission().push(&entry) }.is_err() {
        ring.submit().expect("submit to make room");
    }
}

fn accept_single(listener: &TcpListener, room: *mut Room, index: u32) -> squeue::Entry {
    let len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: `room` is an element of a live boxed slice, and no accept that uses it is in flight.
    let (address, len) = unsafe {
        (*room).len = len;
        (&raw mut (*room).address, &raw mut (*room).len)
    };
    opcode::Accept::new(Fd(listener.as_raw_fd()), address.cast(), len)
        .file_index(Some(DestinationSlot::auto_target()))
        .build()
        .user_data(ACCEPT << 32 | u64::from(index))
}

fn is_loopback(address: &libc::sockaddr_in) -> bool {
    i32::from(address.sin_family) == libc::AF_INET
        && address.sin_addr.s_addr.to_ne_bytes()[0] == 127
        && address.sin_port != 0
}

fn peer_of(fd: i32) -> io::Result<libc::sockaddr_in> {
    let mut room = rooms(1);
    room[0].len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    let Room { address, len } = &mut room[0];
    // SAFETY: both pointers are to live memory, and `len` says how large the first one is.
    match unsafe { libc::getpeername(fd, (&raw mut *address).cast(), len) } {
        0 => Ok(*address),
        _ => Err(io::Error::last_os_error()),
    }
}

fn close_fd(fd: i32) {
    // SAFETY: `fd` came from a completion that gave it to us, and this is its only use from here.
    assert_eq!(unsafe { libc::close(fd) }, 0);
}

fn thread_cpu() -> Duration {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `at` is live for the call.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut at) }, 0);
    Duration::new(at.tv_sec as u64, at.tv_nsec as u32)
}

struct Server {
    ring: IoUring,
    listener: TcpListener,
    way: Way,
    rooms: Box<[Room]>,
    /// Process descriptors for the next FILES_UPDATE, and those of the one that is out: the kernel
    /// turns them into slots in place, so that `sent_fds` remembers them.
    next: Vec<i32>,
    sent: Vec<i32>,
    sent_fds: Vec<i32>,
    accepts_out: u32,
    accepted: u64,
    named: u64,
}

impl Server {
    fn new(listener: TcpListener, way: Way) -> Self {
        Server {
            ring: new_ring(TABLE).expect("a ring"),
            listener,
            way,
            rooms: rooms(ACCEPTS_MAX),
            next: Vec::with_capacity(TABLE as usize),
            sent: Vec::with_capacity(TABLE as usize),
            sent_fds: Vec::with_capacity(TABLE as usize),
            accepts_out: 0,
            accepted: 0,
            named: 0,
        }
    }

    fn measure(mut self, session: &Session, warm_up: Duration, length: Duration) -> Figures {
        match self.way {
            Way::SingleShot(k) => (0..k).for_each(|index| self.arm(index)),
            Way::Multishot | Way::Install | Way::Register => self.arm(0),
        }
        let born = Instant::now();
        while born.elapsed() < warm_up {
            self.turn();
        }
        let (start, cpu, accepted, named) =
            (Instant::now(), thread_cpu(), self.accepted, self.named);
        while start.elapsed() < length {
            self.turn();
        }
        let (cpu, seconds) = (thread_cpu() - cpu, start.elapsed().as_secs_f64());
        let accepts = (self.accepted - accepted) as f64;
        let named = (self.named - named) as f64;
        session.stop();
        while !session.is_over() {
            self.turn();
        }
        self.drain();
        Figures {
            accepts_per_s: accepts / seconds,
            cpu_us: cpu.as_secs_f64() * 1e6 / accepts,
            named_percent: named * 100.0 / accepts,
        }
    }

    fn arm(&mut self, index: u32) {
        let listener = Fd(self.listener.as_raw_fd());
        let direct = self.way != Way::Register;
        let entry = match self.way {
            Way::SingleShot(_) => {
                accept_single(&self.listener, &raw mut self.rooms[index as usize], index)
            }
            Way::Multishot | Way::Install | Way::Register => opcode::AcceptMulti::new(listener)
                .allocate_file_index(direct)
                .build()
                .user_data(ACCEPT << 32),
        };
        self.accepts_out += 1;
        push(&mut self.ring, entry);
    }

    /// Waits once, then answers everything that has come, as a shard's turn does.
    fn turn(&mut self) {
        let patience = Timespec::from(Duration::from_millis(10));
        match self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&patience)) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => return,
            Err(error) => panic!("submit: {error}"),
        }
        while let Some(cqe) = { self.ring.completion().next() } {
            let index = cqe.user_data() as u32;
            match cqe.user_data() >> 32 {
                ACCEPT => self.accepted(index, cqe.result(), cqueue::more(cqe.flags())),
                INSTALL => self.installed(index, cqe.result()),
                UPDATE => self.registered(cqe.result()),
                other => panic!("completion of kind {other}: {}", cqe.result()),
            }
        }
        if self.sent.is_empty() && !self.next.is_empty() {
            std::mem::swap(&mut self.sent, &mut self.next);
            self.sent_fds.extend_from_slice(&self.sent);
            let update =
                opcode::FilesUpdate::new(self.sent.as_mut_ptr().cast(), self.sent.len() as u32)
                    .offset(-1) // IORING_FILE_INDEX_ALLOC: the kernel chooses the slots
                    .build();
            push(&mut self.ring, update.user_data(UPDATE << 32));
        }
    }

    fn accepted(&mut self, index: u32, result: i32, more: bool) {
        assert!(result >= 0, "accept: {}", io::Error::from_raw_os_error(-result));
        self.accepted += 1;
        match self.way {
            Way::Multishot => self.close(result as u32),
            Way::SingleShot(_) => {
                self.named += u64::from(is_loopback(&self.rooms[index as usize].address));
                self.close(result as u32);
            }
            Way::Install => {
                let entry = opcode::FixedFdInstall::new(Fixed(result as u32), 0).build();
                push(&mut self.ring, entry.user_data(INSTALL << 32 | result as u64));
            }
            Way::Register => {
                self.named += u64::from(peer_of(result).is_ok_and(|a| is_loopback(&a)));
                self.next.push(result);
            }
        }
        if !more {
            self.accepts_out -= 1;
            self.arm(index);
        }
    }

    fn installed(&mut self, slot: u32, fd: i32) {
        assert!(fd >= 0, "install: {}", io::Error::from_raw_os_error(-fd));
        self.named += u64::from(peer_of(fd).is_ok_and(|a| is_loopback(&a)));
        close_fd(fd);
        self.close(slot);
    }

    fn registered(&mut self, count: i32) {
        assert_eq!(count as usize, self.sent.len(), "FILES_UPDATE");
        self.sent_fds.drain(..).for_each(close_fd);
        for slot in std::mem::take(&mut self.sent) {
            self.close(slot as u32);
        }
    }

    fn close(&mut self, slot: u32) {
        let entry = opcode::Close::new(Fixed(slot)).build().user_data(CLOSE << 32);
        push(&mut self.ring, entry.flags(squeue::Flags::SKIP_SUCCESS));
    }

    /// Ends every accept (B2). No connection is left, for the clients have seen theirs closed.
    fn drain(mut self) {
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        push(&mut self.ring, cancel.user_data(CANCEL << 32));
        while self.accepts_out > 0 {
            self.ring.submit_and_wait(1).expect("submit");
            let completions = self.ring.completion();
            let ended = completions
                .filter(|cqe| cqe.user_data() >> 32 == ACCEPT && !cqueue::more(cqe.flags()));
            self.accepts_out -= ended.count() as u32;
        }
    }
}

fn run(way: Way, arrivals: Arrivals, warm_up: Duration, length: Duration) -> Figures {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    // SAFETY: listen(2) on a socket that is listening only changes its backlog.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 4096) }, 0);
    let address = listener.local_addr().expect("its address");
    let session = Session::new(arrivals.clients);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..arrivals.clients)
            .map(|_| scope.spawn(|| client(address, arrivals.window, &session)))
            .collect();
        let figures = Server::new(listener, way).measure(&session, warm_up, length);
        for client in clients {
            let outcome = client.join().expect("a client");
            outcome.unwrap_or_else(|error| panic!("{}: {error}", way.name()));
        }
        figures
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Medians, except for the least CPU time: what is left when the machine was least disturbed.
/// Ratios are of runs of the same round, which saw about the same neighbours.
fn table(ways: &[Way], arrivals: Arrivals, rounds: u32, warm_up: Duration, length: Duration) {
    let mut runs: Vec<Vec<Figures>> = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for (runs, &way) in runs.iter_mut().zip(ways) {
            runs.push(run(way, arrivals, warm_up, length));
        }
    }
    println!("\n{} (medians of {rounds} interleaved rounds of {length:?})", arrivals.name);
    println!(
        "| way | accepts/s | to (a) | CPU µs per accept | to (a) | least | with address |\n\
         |---|---|---|---|---|---|---|"
    );
    for (way, of) in ways.iter().zip(&runs) {
        let figure = |pick: fn(&Figures) -> f64| median(of.iter().map(pick));
        let ratio = |pick: fn(&Figures) -> f64| {
            median(of.iter().zip(&runs[0]).map(|(run, floor)| pick(run) / pick(floor)))
        };
        println!(
            "| {} | {:.0} | {:.2} | {:.1} | {:.2} | {:.1} | {:.1} % |",
            way.name(),
            figure(|run| run.accepts_per_s),
            ratio(|run| run.accepts_per_s),
            figure(|run| run.cpu_us),
            ratio(|run| run.cpu_us),
            of.iter().map(|run| run.cpu_us).fold(f64::INFINITY, f64::min),
            figure(|run| run.named_percent),
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let full = has("--bench") && !has("--test");

    let mut probe = Probe::new();
    let ring = new_ring(1).expect("a ring");
    ring.submitter().register_probe(&mut probe).expect("a probe");
    let installs = probe.is_supported(opcode::FixedFdInstall::CODE);
    let ways: Vec<Way> = WAYS.into_iter().filter(|way| installs || *way != Way::Install).collect();

    checks::run();
    for arrivals in ARRIVALS {
        let (rounds, warm_up, length) = if full { (17, 20, 150) } else { (1, 5, 15) };
        let (warm_up, length) = (Duration::from_millis(warm_up), Duration::from_millis(length));
        table(&ways, arrivals, rounds, warm_up, length);
    }
}
