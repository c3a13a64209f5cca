//! A driver on the real kernel, with std sockets as the other side.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ringwire::base::{ConnKey, Generation, ShardId, Slot};
use ringwire::ring::{
    AcceptFault, Completion, Driver, DriverConfig, DriverStats, FileSlot, KernelFault, ListenAddr,
    ListenOptions, Listener, ListenerId, Op, OpQueue, PeerAddr, RecvEnd, SegmentId, Staging, Wait,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const OPTIONS: ListenOptions = ListenOptions { backlog: 4096, unix_mode: 0o600 };
pub(crate) const LISTENER: ListenerId = ListenerId(0);

/// A completion that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Accepted { listener: ListenerId, file: FileSlot, peer: PeerAddr },
    AcceptFailed { listener: ListenerId, fault: AcceptFault },
    AcceptStopped { listener: ListenerId },
    Connected { conn: ConnKey, result: Result<(), KernelFault> },
    Received { conn: ConnKey, bytes: Vec<u8> },
    RecvEnded { conn: ConnKey, why: RecvEnd },
    CancelMissed { conn: ConnKey },
    SentShort { conn: ConnKey, sent: u32 },
    SendFailed { conn: ConnKey, fault: KernelFault },
    QueuedSent { conn: ConnKey, result: Result<u32, KernelFault> },
    Closed { conn: ConnKey },
    Woken,
    WakeFailed { shard: ShardId },
}

impl From<Completion<'_>> for Fact {
    fn from(completion: Completion<'_>) -> Fact {
        match completion {
            Completion::Accepted { listener, file, peer } => {
                Fact::Accepted { listener, file, peer }
            }
            Completion::AcceptFailed { listener, fault } => Fact::AcceptFailed { listener, fault },
            Completion::AcceptStopped { listener } => Fact::AcceptStopped { listener },
            Completion::Connected { conn, result } => Fact::Connected { conn, result },
            Completion::Received { conn, bytes } => Fact::Received { conn, bytes: bytes.to_vec() },
            Completion::RecvEnded { conn, why } => Fact::RecvEnded { conn, why },
            Completion::CancelMissed { conn } => Fact::CancelMissed { conn },
            Completion::SentShort { conn, sent } => Fact::SentShort { conn, sent },
            Completion::SendFailed { conn, fault } => Fact::SendFailed { conn, fault },
            Completion::QueuedSent { conn, result } => Fact::QueuedSent { conn, result },
            Completion::Closed { conn } => Fact::Closed { conn },
            Completion::Woken => Fact::Woken,
            Completion::WakeFailed { shard } => Fact::WakeFailed { shard },
        }
    }
}

/// A driver, what is queued for it, and what it has said.
pub(crate) struct Rig {
    pub(crate) driver: Driver,
    pub(crate) ops: OpQueue,
    pub(crate) staging: Staging,
    pub(crate) facts: Vec<Fact>,
    pub(crate) addrs: Vec<ListenAddr>,
}

/// Small sizes, one TCP listener on a port that the kernel chooses.
pub(crate) fn config() -> DriverConfig {
    DriverConfig {
        sq_entries: 64,
        cq_entries: 256,
        recv_buffers: 16,
        recv_buffer_bytes: 4096,
        files: 64,
        accepts_in_flight: 4,
        listeners: vec![listen("127.0.0.1:0")],
        control: None,
        dial: Default::default(),
    }
}

pub(crate) fn listen(addr: &str) -> Listener {
    Listener::bind(&ListenAddr::Tcp(addr.parse().unwrap()), OPTIONS).unwrap()
}

pub(crate) fn key(slot: u32, generation: u32) -> ConnKey {
    ConnKey { slot: Slot(slot), generation: Generation(generation) }
}

impl Rig {
    pub(crate) fn new(config: DriverConfig) -> Rig {
        let addrs = config.listeners.iter().map(|listener| listener.local_addr().unwrap());
        Rig {
            addrs: addrs.collect(),
            driver: Driver::new(config).unwrap(),
            ops: OpQueue::new(),
            staging: Staging::new(8 << 20),
            facts: Vec::new(),
        }
    }

    /// A rig that accepts on its first listener.
    pub(crate) fn accepting(config: DriverConfig) -> Rig {
        let mut rig = Rig::new(config);
        rig.ops.push(Op::ArmAccept { listener: LISTENER });
        rig.turn(Wait::Now);
        rig
    }

    pub(crate) fn tcp_addr(&self) -> SocketAddr {
        match &self.addrs[0] {
            ListenAddr::Tcp(addr) => *addr,
            ListenAddr::Unix(path) => panic!("a Unix listener: {path:?}"),
        }
    }

    /// One submission and its completions.
    pub(crate) fn turn(&mut self, wait: Wait) {
        self.driver.submit(&mut self.ops, &self.staging, wait).unwrap();
        let facts = &mut self.facts;
        self.driver.completions(|completion| facts.push(completion.into()));
        self.staging.clear();
    }

    /// Turns until a fact is there that `pick` wants; takes that fact out.
    pub(crate) fn expect<T>(&mut self, what: &str, mut pick: impl FnMut(&Fact) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.facts.iter().enumerate().find_map(|(i, f)| Some((i, pick(f)?)));
            if let Some((index, picked)) = found {
                self.facts.remove(index);
                return picked;
            }
            assert!(Instant::now() < deadline, "no {what} in {:?}", self.facts);
            self.turn(Wait::Until(Duration::from_millis(20)));
        }
    }

    pub(crate) fn expect_fact(&mut self, fact: &Fact) {
        self.expect(&format!("{fact:?}"), |seen| (seen == fact).then_some(()));
    }

    /// Turns until `done`.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&Rig) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "never {what}: {:?}", self.facts);
            self.turn(Wait::Until(Duration::from_millis(20)));
        }
    }

    pub(crate) fn accepted(&mut self) -> (FileSlot, PeerAddr) {
        self.expect("Accepted", |fact| match fact {
            Fact::Accepted { file, peer, .. } => Some((*file, *peer)),
            _ => None,
        })
    }

    /// A new connection: the client's end and our descriptor.
    pub(crate) fn connect(&mut self) -> (TcpStream, FileSlot) {
        let client = TcpStream::connect(self.tcp_addr()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        let (file, _) = self.accepted();
        (client, file)
    }

    /// Orders the receive of a connection.
    pub(crate) fn arm(&mut self, conn: ConnKey, file: FileSlot) {
        self.ops.push(Op::ArmRecv { conn, file });
        self.turn(Wait::Now);
    }

    pub(crate) fn recv_end(&mut self, conn: ConnKey) -> RecvEnd {
        self.expect("RecvEnded", |fact| match fact {
            Fact::RecvEnded { conn: of, why } if *of == conn => Some(*why),
            _ => None,
        })
    }

    /// Cancels a receive, until it has ended.
    pub(crate) fn cancel(&mut self, conn: ConnKey) -> RecvEnd {
        loop {
            self.ops.push(Op::CancelRecv { conn });
            let ended = self.expect("RecvEnded or CancelMissed", |fact| match fact {
                Fact::RecvEnded { conn: of, why } if *of == conn => Some(Some(*why)),
                Fact::CancelMissed { conn: of } if *of == conn => Some(None),
                _ => None,
            });
            if let Some(why) = ended {
                return why;
            }
        }
    }

    pub(crate) fn queued_sent(&mut self, conn: ConnKey) -> Result<u32, KernelFault> {
        self.expect("QueuedSent", |fact| match fact {
            Fact::QueuedSent { conn: of, result } if *of == conn => Some(*result),
            _ => None,
        })
    }

    pub(crate) fn close(&mut self, conn: ConnKey, file: FileSlot) {
        self.ops.push(Op::Close { conn, file });
        self.expect_fact(&Fact::Closed { conn });
    }

    /// All bytes received for a connection so far.
    pub(crate) fn received(&self, conn: ConnKey) -> Vec<u8> {
        let bytes = self.facts.iter().filter_map(|fact| match fact {
            Fact::Received { conn: of, bytes } if *of == conn => Some(bytes.as_slice()),
            _ => None,
        });
        bytes.collect::<Vec<_>>().concat()
    }

    /// Stages a fast send of these pieces, each of its own.
    pub(crate) fn send(&mut self, conn: ConnKey, file: FileSlot, pieces: &[&[u8]]) {
        let first = self.stage(pieces);
        self.ops.push(Op::Send { conn, file, first });
    }

    fn stage(&mut self, pieces: &[&[u8]]) -> SegmentId {
        let mut first = None;
        let mut last = None;
        for bytes in pieces {
            let piece = self.staging.share(bytes::Bytes::copy_from_slice(bytes));
            last = Some(match last {
                None => self.staging.chain(piece),
                Some(last) => self.staging.extend(last, piece),
            });
            first = first.or(last);
        }
        first.expect("at least one piece")
    }

    /// How many octets of a fast send of `len` were taken; to be asked right after its turn.
    pub(crate) fn taken(&mut self, conn: ConnKey, len: usize) -> usize {
        let exception = self.facts.iter().enumerate().find_map(|(i, fact)| match fact {
            Fact::SentShort { conn: of, sent } if *of == conn => Some((i, *sent as usize)),
            _ => None,
        });
        match exception {
            None => len,
            Some((index, sent)) => {
                self.facts.remove(index);
                sent
            }
        }
    }

    pub(crate) fn stats(&self) -> DriverStats {
        *self.driver.stats()
    }
}

/// Octets that tell their position: no two windows of the stream are alike for long.
pub(crate) fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len)
        .map(|at| (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()[7])
        .collect()
}

/// Reads to the end of the stream in a thread.
pub(crate) fn read_all(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    })
}
