//! Networks of a test's own: namespaces, and a wire between two of them that loses, delays,
//! reorders or swallows what it carries.
//!
//! The wire is a program of ours between two TUN devices, so that it does the same on every kernel:
//! its faults are drawn from a seed and counted. Namespaces are named after the process and are
//! removed when their owner is dropped; what a killed run has left behind is removed by the next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};

use crate::common::Random;
use crate::tun;

/// Packets under way in one direction; what comes on top is lost, as on any wire.
const CARRIED_MAX: usize = 4096;
/// How long a wire waits before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
const PACKET_BYTES_MAX: usize = 64 * 1024;
const DEVICE: &str = "wire";

/// Whether this process may make networks. Says loudly if not, and how it would.
pub(crate) fn is_allowed(test: &str) -> bool {
    let lacks = if !nix::unistd::geteuid().is_root() {
        "root"
    } else if !Path::new("/dev/net/tun").exists() {
        "/dev/net/tun (CONFIG_TUN)"
    } else if Command::new("ip").arg("-V").output().is_err() {
        "ip(8) of iproute2"
    } else {
        return true;
    };
    crate::shout(&format!("NOT RUN: {test} needs {lacks}; try: sudo -E cargo test --test faults"));
    false
}

/// A network namespace with its loopback up.
pub(crate) struct Namespace {
    name: String,
    file: File,
}

/// As long as it lives, the thread that made it is in the namespace, and so are the threads and
/// processes that it starts.
pub(crate) struct Inside {
    home: File,
    not_send: PhantomData<*mut ()>,
}

impl Namespace {
    pub(crate) fn new() -> Namespace {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_leftovers();
        let name = format!("rw-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        let file = File::open(format!("/run/netns/{name}")).expect("ip made it");
        Namespace { name, file }
    }

    pub(crate) fn enter(&self) -> Inside {
        let home = File::open("/proc/thread-self/ns/net").expect("procfs is mounted");
        setns(&self.file, CloneFlags::CLONE_NEWNET).expect("root may");
        Inside { home, not_send: PhantomData }
    }

    /// Sets a variable of the namespace's own, such as `net.ipv4.tcp_wmem`.
    pub(crate) fn set(&self, variable: &str, value: &str) {
        let _inside = self.enter();
        let path = format!("/proc/sys/{}", variable.replace('.', "/"));
        std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Runs `ip` in the namespace.
    pub(crate) fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.name], arguments].concat());
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The test may have failed for want of it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        setns(&self.home, CloneFlags::CLONE_NEWNET).expect("the way back is open");
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip(8) is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", arguments.join(" "));
}

/// Removes the namespaces of processes of this test that are gone: they were killed.
fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix("rw-").and_then(|rest| rest.split('-').next()) else {
            continue;
        };
        if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}

/// See the module's header. Packets of IPv4 in both directions.
pub(crate) struct Wire {
    weather: Arc<Weather>,
    threads: Vec<JoinHandle<()>>,
}

/// What befalls packets.
#[derive(Default)]
struct Weather {
    is_over: AtomicBool,
    /// Nothing gets through, and nobody is told.
    is_cut: AtomicBool,
    lost_in_1000: AtomicU32,
    delay_ms: AtomicU64,
    /// On top of the delay, up to so much, different for each packet: they overtake each other.
    jitter_ms: AtomicU64,
    carried: AtomicU64,
    lost: AtomicU64,
}

/// A packet under way; the first one due is carried first.
type Parcel = Reverse<(Instant, u64, Vec<u8>)>;

impl Wire {
    /// Joins two namespaces; each gets its address in 10.77.0.0/24.
    pub(crate) fn between(one: (&Namespace, &str), other: (&Namespace, &str)) -> Wire {
        let weather = Arc::new(Weather::default());
        let [one, other] = [one, other].map(|(namespace, address)| {
            let _inside = namespace.enter();
            let file = tun::open(DEVICE).expect("root may make devices");
            namespace.ip(&["addr", "add", &format!("{address}/24"), "dev", DEVICE]);
            namespace.ip(&["link", "set", DEVICE, "mtu", "1500", "up"]);
            file
        });
        let both = |file: &File| file.try_clone().expect("a descriptor more");
        let ways = [(both(&one), both(&other)), (other, one)];
        let threads = ways.into_iter().enumerate().map(|(seed, (from, to))| {
            let weather = Arc::clone(&weather);
            thread::spawn(move || carry(from, to, &weather, Random::seeded(seed as u64 + 1)))
        });
        Wire { threads: threads.collect(), weather }
    }

    pub(crate) fn cut(&self) {
        self.weather.is_cut.store(true, Relaxed);
    }

    pub(crate) fn mend(&self) {
        self.weather.is_cut.store(false, Relaxed);
    }

    /// From now on packets are lost at random, late, and out of order.
    pub(crate) fn worsen(&self, lost_in_1000: u32, delay: Duration, jitter: Duration) {
        self.weather.lost_in_1000.store(lost_in_1000, Relaxed);
        self.weather.delay_ms.store(delay.as_millis() as u64, Relaxed);
        self.weather.jitter_ms.store(jitter.as_millis() as u64, Relaxed);
    }

    /// Packets that came through and packets that did not.
    pub(crate) fn account(&self) -> (u64, u64) {
        (self.weather.carried.load(Relaxed), self.weather.lost.load(Relaxed))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.weather.is_over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the wire broke");
        }
    }
}

/// One direction.
fn carry(mut from: File, mut to: File, weather: &Weather, mut random: Random) {
    let mut under_way: BinaryHeap<Parcel> = BinaryHeap::new();
    let mut packet = vec![0; PACKET_BYTES_MAX];
    let mut number = 0;
    while !weather.is_over.load(Relaxed) {
        let now = Instant::now();
        while under_way.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
            let Some(Reverse((_, _, octets))) = under_way.pop() else { break };
            // An interface that is full or down loses it, as any would.
            let is_through = !weather.is_cut.load(Relaxed) && to.write_all(&octets).is_ok();
            let account = if is_through { &weather.carried } else { &weather.lost };
            account.fetch_add(1, Relaxed);
        }
        let wait = under_way.peek().map_or(LOOK, |Reverse((due, ..))| *due - now).min(LOOK);
        await_packet(&from, wait);
        while let Ok(len) = from.read(&mut packet) {
            let is_lost = random.below(1000) < weather.lost_in_1000.load(Relaxed) as usize;
            if is_lost || under_way.len() == CARRIED_MAX {
                weather.lost.fetch_add(1, Relaxed);
                continue;
            }
            let jitter_ms = random.below(weather.jitter_ms.load(Relaxed) as usize + 1) as u64;
            let late = Duration::from_millis(weather.delay_ms.load(Relaxed) + jitter_ms);
            number += 1;
            under_way.push(Reverse((Instant::now() + late, number, packet[..len].to_vec())));
        }
    }
}

fn await_packet(from: &File, limit: Duration) {
    let mut fds = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
    // Rounded up: a packet that is due in a fraction of a millisecond is not looked for again and
    // again until then.
    let limit = PollTimeout::try_from(limit + Duration::from_millis(1)).expect("a short time");
    poll(&mut fds, limit).expect("a device can be polled");
}
