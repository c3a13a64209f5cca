//! What a run is to do, checked: plain data that all rings share.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::dialect::Dialect;
use super::stamp::Form;

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the connections do.
    pub work: Work,
    /// Connections to open; for handshakes, how many are being opened at a time.
    pub connections: u32,
    /// Rings, each with a thread and a table of descriptors of its own.
    pub rings: u16,
    /// Cores that the rings' threads are pinned to in turn; none: they are not pinned.
    pub cpus: Vec<usize>,
    /// Where the server is. Connections take these in turn.
    pub targets: Vec<SocketAddr>,
    /// Where connections come from, in turn; none: the kernel chooses.
    pub sources: Vec<IpAddr>,
    /// The same as it was given, for reports.
    pub urls: Vec<String>,
    /// The value of the field `Host`.
    pub host: String,
    /// What is asked for.
    pub path: String,
    /// What the server speaks.
    pub dialect: Dialect,
    /// Messages are compressed; a server that does not agree is refused.
    pub deflate: bool,
    /// Connections opened per second, all rings together; none: as fast as they are taken.
    pub connect_rate: Option<f64>,
    /// How long everybody rests between the last connect and the first message.
    pub hold: Duration,
    /// Load before the measured window.
    pub warmup: Duration,
    /// The measured window.
    pub duration: Duration,
    /// How long a connect with its upgrade and subscription may take, and a closing handshake; the
    /// last messages have no longer either.
    pub timeout: Duration,
    /// The server's process, to watch its use of CPU and memory.
    pub server_pid: Option<u32>,
}

/// What connections do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Stay, answer pings, and maybe subscribe to one of so many topics.
    Idle { topics: u32 },
    /// Come and go. `reset`: without a closing handshake.
    Handshake { reset: bool },
    /// Send messages that come back.
    Echo { form: Form, bytes: usize, pace: Pace },
    /// Publish to topics and receive from them.
    Fanout(Fanout),
}

/// The shape of a fan-out. Subscriber `g` is in topic `g / subscribers`; the first subscribers of a
/// topic are its publishers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fanout {
    /// Publishers in all, dealt out to the topics in turn.
    pub publishers: u32,
    /// Topics.
    pub topics: u32,
    /// Subscribers of each topic, its publishers included.
    pub subscribers: u32,
    /// Octets of a payload.
    pub bytes: usize,
    /// How fast.
    pub pace: Pace,
}

/// When the next message is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each sender keeps so many on the way: the next goes out when one has come back.
    Closed { in_flight: u32 },
    /// At a fixed rate over all senders, whatever comes back. Latency counts from the moment at
    /// which a message was due, so a stall of the server is not left out.
    Open { per_second: f64 },
    /// All senders send one message each at the same moment, again and again.
    Together { every: Duration },
}

impl Fanout {
    /// Publishers of one topic: all topics have this many or one less.
    pub fn publishers_per_topic_max(&self) -> u32 {
        self.publishers.div_ceil(self.topics)
    }

    /// The topic of a subscriber.
    pub fn topic_of(&self, subscriber: u32) -> u32 {
        subscriber / self.subscribers
    }

    /// The publisher that a subscriber is, if it is one.
    pub fn publisher_of(&self, subscriber: u32) -> Option<u32> {
        let (topic, place) = (self.topic_of(subscriber), subscriber % self.subscribers);
        let publisher = u64::from(place) * u64::from(self.topics) + u64::from(topic);
        (publisher < u64::from(self.publishers)).then_some(publisher as u32)
    }

    /// The publishers of a topic.
    pub fn publishers_of(&self, topic: u32) -> impl Iterator<Item = u32> + use<> {
        (topic..self.publishers).step_by(self.topics as usize)
    }
}

impl Plan {
    /// The connections of a ring: the first, and how many.
    pub fn share_of(&self, ring: u16) -> (u32, u32) {
        let (connections, rings) = (u64::from(self.connections), u64::from(self.rings));
        let first = |ring: u64| (connections * ring / rings) as u32;
        let (from, to) = (first(u64::from(ring)), first(u64::from(ring) + 1));
        (from, to - from)
    }

    /// The part of the run's connections that is before this one.
    pub(super) fn part_before(&self, connection: u32) -> f64 {
        f64::from(connection) / f64::from(self.connections)
    }

    /// The topic that a connection subscribes to.
    pub fn topic_of(&self, connection: u32) -> Option<u32> {
        match self.work {
            Work::Idle { topics: 0 } | Work::Handshake { .. } | Work::Echo { .. } => None,
            Work::Idle { topics } => Some(connection % topics),
            Work::Fanout(fanout) => Some(fanout.topic_of(connection)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_are_dealt_out_and_each_is_a_subscriber_of_its_topic() {
        let pace = Pace::Closed { in_flight: 1 };
        for (publishers, topics, subscribers) in [(1, 1, 5), (7, 3, 4), (100, 1, 100), (3, 5, 2)] {
            let fanout = Fanout { publishers, topics, subscribers, bytes: 20, pace };
            let mut found = Vec::new();
            for subscriber in 0..topics * subscribers {
                if let Some(publisher) = fanout.publisher_of(subscriber) {
                    let topic = fanout.topic_of(subscriber);
                    assert!(fanout.publishers_of(topic).any(|other| other == publisher));
                    found.push(publisher);
                }
            }
            found.sort_unstable();
            assert_eq!(found, (0..publishers).collect::<Vec<_>>());
        }
    }
}
