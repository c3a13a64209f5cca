//! A flood of publishes on several topics at once, as fast as the readers of each one keep up. The
//! readers assert that they lose nothing.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::EGRESS_BYTES_MAX;
use crate::common::{Feed, Flow, Frame, Gate, Item, JsonClient};

/// Messages that a publisher sends before it looks at the answers.
const BATCH: u64 = 32;
/// How far a publisher may be ahead of its slowest reader: less than may wait for one connection,
/// so that these readers keep up, however busy the machine is.
const WINDOW: u64 = 256;
/// What makes the messages long.
const PADDING_BYTES: usize = 512;
/// What a message costs in a queue, at most: data, envelope, and what is charged beside.
const COST_MAX: u64 = 900;
/// How long the reader waits before it looks whether the others still live.
const LOOK_MS: u16 = 500;

const _: () = assert!(WINDOW * COST_MAX < EGRESS_BYTES_MAX as u64 - 1024);

/// What was published on one topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flood {
    /// The last offset.
    pub(crate) last: u64,
    /// What one message costs in a queue, at most.
    pub(crate) cost_max: u64,
}

struct Reader {
    topic: usize,
    place: usize,
    feed: Feed,
    seen: u64,
}

/// See the module's header.
pub(crate) fn flood(
    ws: SocketAddr,
    topics: &[&str],
    readers_each: usize,
    duration: Duration,
) -> Vec<Flood> {
    let gates: Vec<Gate> = topics.iter().map(|_| Gate::new(readers_each, WINDOW)).collect();
    let lasts: Vec<AtomicU64> = topics.iter().map(|_| AtomicU64::new(u64::MAX)).collect();
    let mut readers = Vec::new();
    for (index, topic) in topics.iter().enumerate() {
        readers.extend((0..readers_each).map(|place| Reader::open(ws, topic, index, place)));
    }
    let end = Instant::now() + duration;
    thread::scope(|scope| {
        let (gates, lasts) = (&gates, &lasts);
        scope.spawn(move || read_all(readers, gates, lasts));
        for (index, topic) in topics.iter().enumerate() {
            scope.spawn(move || {
                let _alarms: Vec<_> = gates.iter().map(Gate::alarm).collect();
                let last = publish(ws, topic, &gates[index], end);
                lasts[index].store(last, Relaxed);
            });
        }
    });
    let last = |last: &AtomicU64| last.load(Relaxed);
    lasts.iter().map(|at| Flood { last: last(at), cost_max: COST_MAX }).collect()
}

/// Publishes until `end`; gives the last offset.
fn publish(ws: SocketAddr, topic: &str, gate: &Gate, end: Instant) -> u64 {
    let mut client = JsonClient::open(ws);
    let padding = "-".repeat(PADDING_BYTES);
    let (mut last, mut next) = (0, 0);
    while Instant::now() < end || last == 0 {
        gate.enter(BATCH);
        let mut octets = Vec::new();
        for number in next..next + BATCH {
            octets.extend(
                Frame::text(format!(
                    "{{\"type\":\"publish\",\"id\":{number},\"topic\":\"{topic}\",\
                     \"data\":{{\"number\":{number},\"padding\":\"{padding}\"}}}}"
                ))
                .octets(),
            );
        }
        client.raw().send(&octets);
        next += BATCH;
        for _ in 0..BATCH {
            let answer = client.next();
            match answer["type"].as_str() {
                Some("ack") => last = last.max(answer["offset"].as_u64().expect("an offset")),
                Some("error") if answer["code"] == "overloaded" => gate.give_back(1),
                _ => panic!("{answer}"),
            }
        }
    }
    last
}

impl Reader {
    fn open(ws: SocketAddr, name: &str, topic: usize, place: usize) -> Reader {
        let mut client = JsonClient::open(ws);
        assert_eq!(client.subscribe(name)["offset"], 0, "nothing was published yet");
        let feed = Feed::new(client);
        feed.stream().set_nonblocking(true).expect("a TCP socket");
        Reader { topic, place, feed, seen: 0 }
    }

    fn read(&mut self) {
        let Reader { topic, place, feed, seen } = self;
        let flow = feed.read(|item| match item {
            Item::Message { offset, .. } => {
                assert_eq!(offset, *seen + 1, "reader {place} of topic {topic} has lost something");
                *seen = offset;
            }
            Item::Close(code) => panic!("reader {place} of topic {topic} was closed with {code}"),
        });
        assert!(matches!(flow, Flow::Open | Flow::Silent), "topic {topic}: {flow:?} after {seen}");
    }
}

/// Reads until everybody has the last message of its topic.
fn read_all(mut readers: Vec<Reader>, gates: &[Gate], lasts: &[AtomicU64]) {
    let _alarms: Vec<_> = gates.iter().map(Gate::alarm).collect();
    while readers.iter().any(|reader| reader.seen < lasts[reader.topic].load(Relaxed)) {
        let streams = readers.iter().map(|reader| reader.feed.stream().as_fd());
        let mut fds: Vec<_> = streams.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        poll(&mut fds, PollTimeout::from(LOOK_MS)).expect("sockets can be polled");
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        for (reader, _) in readers.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
            reader.read();
            gates[reader.topic].saw(reader.place, reader.seen);
        }
        // Panics when a publisher has failed.
        gates.iter().for_each(|gate| _ = gate.slowest());
    }
}
