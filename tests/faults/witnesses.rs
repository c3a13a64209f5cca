//! Clients that a fault must not touch: they talk all along and check every message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{JsonClient, RawClient, Witness};

/// Between two publishes, and between two newcomers: enough to leave the machine to the fault.
const PACE: Duration = Duration::from_millis(5);
/// Witnesses that echo or ping.
const TALKERS: usize = 3;
const LAST_WORD: &str = "the last one";

/// A publisher and a subscriber of a topic that nobody else publishes to.
struct Couple {
    publisher: JoinHandle<u64>,
    subscriber: JoinHandle<u64>,
}

/// See the module's header.
pub(crate) struct Witnesses {
    talkers: Vec<Witness>,
    couple: Option<Couple>,
    stop: Arc<AtomicBool>,
}

impl Witnesses {
    /// On `ringwire echo`.
    pub(crate) fn echoing(ws: SocketAddr) -> Witnesses {
        let talkers = (0..TALKERS).map(|_| Witness::echoing(ws)).collect();
        Witnesses { talkers, couple: None, stop: Arc::default() }
    }

    /// On `ringwire serve`: some ping, one publishes and one is subscribed.
    pub(crate) fn subscribed(ws: SocketAddr) -> Witnesses {
        let talkers = (0..TALKERS).map(|_| Witness::pinging(ws)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let topic = "witness:all";
        let mut subscriber = JsonClient::open(ws);
        assert_eq!(subscriber.subscribe(topic)["offset"], 0, "a topic of its own");
        let publisher = JsonClient::open(ws);
        let stopped = Arc::clone(&stop);
        let couple = Couple {
            publisher: thread::spawn(move || publish(publisher, topic, &stopped)),
            subscriber: thread::spawn(move || subscribe(subscriber)),
        };
        Witnesses { talkers, couple: Some(couple), stop }
    }

    /// Connections that they hold.
    pub(crate) fn count(&self) -> usize {
        self.talkers.len() + if self.couple.is_some() { 2 } else { 0 }
    }

    /// Ends the talk; fails when anything was lost, out of order or not intact.
    pub(crate) fn finish(self) {
        self.stop.store(true, Relaxed);
        let exchanges: u64 = self.talkers.into_iter().map(Witness::finish).sum();
        assert!(exchanges > 0);
        let mut published = 0;
        if let Some(couple) = self.couple {
            published = couple.publisher.join().expect("the publisher was disturbed");
            let received = couple.subscriber.join().expect("the subscriber was disturbed");
            assert_eq!(received, published, "every message that was acknowledged, once");
        }
        println!("witnesses: {exchanges} exchanges, {published} messages through a topic");
    }
}

/// Publishes numbers, each until it is acknowledged; the last word tells the subscriber.
fn publish(mut client: JsonClient, topic: &str, stop: &AtomicBool) -> u64 {
    let mut number = 0;
    loop {
        let is_last = stop.load(Relaxed);
        number += 1;
        let data = if is_last { json!(LAST_WORD) } else { json!(number) };
        while !is_accepted(&mut client, topic, number, &data) {
            thread::sleep(PACE);
        }
        if is_last {
            return number;
        }
        thread::sleep(PACE);
    }
}

/// A refusal for want of room is an honest answer: nothing was published.
fn is_accepted(client: &mut JsonClient, topic: &str, number: u64, data: &Value) -> bool {
    client.send(&json!({"type": "publish", "id": number, "topic": topic, "data": data}));
    let answer = client.next();
    assert_eq!(answer["id"], number, "{answer}");
    if answer["type"] == "ack" {
        assert_eq!(answer["offset"], number, "nobody else publishes here: {answer}");
        return true;
    }
    assert_eq!(answer["code"], "overloaded", "{answer}");
    false
}

fn subscribe(mut client: JsonClient) -> u64 {
    let mut seen = 0;
    loop {
        let message = client.next();
        assert_eq!(message["offset"], seen + 1, "a gap, or something twice: {message}");
        seen += 1;
        if message["data"] == LAST_WORD {
            return seen;
        }
        assert_eq!(message["data"], seen, "not what was published: {message}");
    }
}

/// Newcomers, one after the other: how long each takes to be accepted and upgraded.
pub(crate) struct Newcomers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Arrivals>,
}

/// What newcomers have found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrivals {
    pub(crate) count: u64,
    pub(crate) longest: Duration,
}

impl Newcomers {
    pub(crate) fn start(ws: SocketAddr) -> Newcomers {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut arrivals = Arrivals::default();
            while !stopped.load(Relaxed) {
                let start = Instant::now();
                let client = RawClient::open(ws, "/ws");
                arrivals.longest = arrivals.longest.max(start.elapsed());
                arrivals.count += 1;
                // Without TIME_WAIT, so that they may be many.
                client.reset();
                thread::sleep(PACE);
            }
            arrivals
        });
        Newcomers { stop, thread }
    }

    pub(crate) fn finish(self) -> Arrivals {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("every newcomer was accepted")
    }
}
