//! Subscribers: many streams in one thread. Checks at once that offsets are dense, and sums up what
//! is compared in the end.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::common::{Feed, Flow, Gate, Item, JsonClient};
use crate::{TOPIC, fingerprint};

/// How long a reader waits before it looks whether the others still live.
const LOOK_MS: u16 = 500;

/// See the module's header.
pub(crate) struct Subscriber {
    pub(crate) name: String,
    /// The offset that it was told when it subscribed.
    pub(crate) joined_at: u64,
    /// The last offset that has come.
    pub(crate) seen: u64,
    /// The fingerprints of what has come.
    pub(crate) sum: u64,
    /// Its place in the gate; those who join later have none.
    place: Option<usize>,
    feed: Feed,
}

impl Subscriber {
    /// One of those that are there from the beginning.
    pub(crate) fn open(ws: SocketAddr, place: usize) -> Subscriber {
        let subscriber = Subscriber::join(ws, format!("subscriber {place}"), Some(place));
        assert_eq!(subscriber.joined_at, 0, "nothing was published yet");
        subscriber
    }

    fn join(ws: SocketAddr, name: String, place: Option<usize>) -> Subscriber {
        let mut client = JsonClient::open(ws);
        client.send(&serde_json::json!({"type": "subscribe", "id": 1, "topic": TOPIC}));
        // Nothing of the topic may come before this.
        let subscribed = client.next();
        assert_eq!(subscribed["type"], "subscribed", "{name}: {subscribed}");
        let offset = subscribed["offset"].as_u64();
        let offset = offset.unwrap_or_else(|| panic!("{name}: no offset: {subscribed}"));
        let feed = Feed::new(client);
        feed.stream().set_nonblocking(true).expect("a TCP socket");
        Subscriber { name, joined_at: offset, seen: offset, sum: 0, place, feed }
    }

    /// Takes what is there, up to one read.
    fn read(&mut self) {
        let Subscriber { name, seen, sum, feed, .. } = self;
        let flow = feed.read(|item| match item {
            Item::Message { offset, data } => {
                assert_eq!(offset, *seen + 1, "{name}: a gap, or something twice");
                *seen = offset;
                *sum = sum.wrapping_add(fingerprint(offset, data));
            }
            Item::Close(code) => panic!("{name}: closed with {code} after {seen}"),
        });
        assert!(matches!(flow, Flow::Open | Flow::Silent), "{name}: {flow:?} after {seen}");
    }
}

/// Reads all of `subscribers`, and lets another one join whenever the slowest of all has got to an
/// offset of `joining`, until each one has seen message `last`.
pub(crate) fn read_all(
    ws: SocketAddr,
    gate: &Gate,
    mut subscribers: Vec<Subscriber>,
    joining: Vec<u64>,
    last: u64,
) -> Vec<Subscriber> {
    let _alarm = gate.alarm();
    let mut joining = joining.into_iter().peekable();
    while joining.peek().is_some() || subscribers.iter().any(|one| one.seen < last) {
        for index in readable(&subscribers) {
            let subscriber = &mut subscribers[index];
            subscriber.read();
            if let Some(place) = subscriber.place {
                gate.saw(place, subscriber.seen);
            }
        }
        let slowest = gate.slowest();
        while let Some(at) = joining.next_if(|at| *at <= slowest) {
            let mut joiner = Subscriber::join(ws, format!("the one that joins at {at}"), None);
            // What came right behind the acknowledgement is in the buffer already.
            joiner.read();
            subscribers.push(joiner);
        }
    }
    subscribers
}

fn readable(subscribers: &[Subscriber]) -> Vec<usize> {
    let streams = subscribers.iter().map(|one| one.feed.stream().as_fd());
    let mut fds: Vec<_> = streams.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    poll(&mut fds, PollTimeout::from(LOOK_MS)).expect("sockets can be polled");
    let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
    fds.iter().enumerate().filter(|(_, fd)| is_ready(fd)).map(|(index, _)| index).collect()
}
