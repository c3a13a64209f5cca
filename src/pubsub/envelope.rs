//! What shards say to each other: requests to a topic's home, responses from it.
//!
//! Two kinds, because they travel on separate lanes: handling a request produces at most one
//! response to its sender (plus deliveries), handling a response produces nothing. So a shard that
//! always takes responses, and takes a request only when there is room to answer, can't deadlock.

use std::sync::Arc;

use bytes::Bytes;

use super::press::Press;
use super::tuning::Tuning;
use crate::base::{ConnId, ShardId};
use crate::limits::PRESS_CUT_BYTES_MAX;

/// Index of a topic in the registry of the shard whose connections subscribe to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalTopic(pub u32);

/// One stay of a topic in such a registry: the index is used again when it has gone, this number
/// is not (before 2^32 topics have come and gone).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicStay(pub u32);

/// Index of a topic in its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HomeTopic(pub u32);

/// Which run of a topic's sequence: changes whenever the sequence is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// As clients and operators see it: 16 hexadecimal digits.
impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A place in a topic's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The run of the sequence.
    pub epoch: Epoch,
    /// How many messages the run has had; the first has offset 1.
    pub offset: u64,
}

/// Octets of a token that are kept in line.
const TOKEN_INLINE: usize = 22;

/// What an asker wants to have given back with the answer: opaque octets, such as the `id` of a
/// JSON request. Short ones cost no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// In line.
    Short { len: u8, octets: [u8; TOKEN_INLINE] },
    /// On the heap.
    Long(Box<[u8]>),
}

impl Token {
    /// No octets: the asker wants no answer.
    pub const NONE: Token = Token::Short { len: 0, octets: [0; TOKEN_INLINE] };

    /// Copies `token`, whose length the caller has bounded.
    pub fn new(token: &[u8]) -> Self {
        let mut octets = [0; TOKEN_INLINE];
        match octets.get_mut(..token.len()) {
            Some(room) => {
                room.copy_from_slice(token);
                Token::Short { len: token.len() as u8, octets }
            }
            None => Token::Long(token.into()),
        }
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Token::Short { len, octets } => &octets[..usize::from(*len)],
            Token::Long(octets) => octets,
        }
    }

    /// True when no answer is wanted.
    pub fn is_none(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

/// A message on its way to the topic's home, in one piece of memory.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Topic, sender's name and data, one after the other.
    body: Bytes,
    topic_len: u8,
    from_len: u8,
    /// True for text, false for binary.
    pub is_text: bool,
}

impl Parcel {
    /// Packs a message. Topic and name are at most 255 octets (checked at the door).
    pub fn new(press: &mut Press, topic: &str, from: &str, data: &[u8], is_text: bool) -> Self {
        let topic_len = u8::try_from(topic.len()).expect("topics are checked at the door");
        let from_len = u8::try_from(from.len()).expect("names are checked at the door");
        let body = press.press(&[topic.as_bytes(), from.as_bytes(), data]);
        Parcel { body, topic_len, from_len, is_text }
    }

    /// What an answer needs of it. A long message does not wait in a lane once more.
    pub fn receipt(self) -> Parcel {
        if self.body.len() <= PRESS_CUT_BYTES_MAX {
            return self;
        }
        Parcel { body: Bytes::copy_from_slice(self.topic_octets()), from_len: 0, ..self }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        str_of(self.topic_octets())
    }

    /// The topic's octets, for who only compares them.
    pub fn topic_octets(&self) -> &[u8] {
        &self.body[..usize::from(self.topic_len)]
    }

    /// Who sent it; empty when nobody in particular did.
    pub fn from(&self) -> &str {
        str_of(&self.body[usize::from(self.topic_len)..][..usize::from(self.from_len)])
    }

    /// The message itself.
    pub fn data(&self) -> &[u8] {
        &self.body[usize::from(self.topic_len) + usize::from(self.from_len)..]
    }
}

fn str_of(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).expect("packed from a str")
}

/// Asked of a topic's home.
#[derive(Debug)]
pub enum Request {
    /// Sequence this message and fan it out.
    Publish { from: ConnId, token: Token, parcel: Parcel },
    /// The sender has subscribers of this topic, which it knows as `local`.
    Interest { topic: Box<str>, local: LocalTopic },
    /// The sender has no subscribers of this topic any more.
    Release { home: HomeTopic, local: LocalTopic },
    /// Asked by the control plane.
    Control(ControlRequest),
}

/// Asked of a shard by the control plane.
pub enum ControlRequest {
    /// List topics that live here.
    Topics { ticket: u32, prefix: Box<str>, limit: u32 },
    /// The topics that live here and have had most messages since this was asked last.
    Busiest { ticket: u32, limit: u32 },
    /// Count who subscribes to these.
    Subscribers { ticket: u32, topics: Arc<[Box<str>]> },
    /// Go on with these values.
    Retune { ticket: u32, tuning: Arc<Tuning> },
    /// Stop accepting and close every connection with 1001.
    Drain(DrainOrder),
    /// Work that left the shard has come back.
    JobDone { job: u32, result: JobResult },
}

/// How a shard lets its connections go. The default is: all at once, and without advice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainOrder {
    /// Over how long those that are open at the beginning are told to go, one after the other.
    pub spread_ms: u64,
    /// After how long all the others are told at once.
    pub late_ms: u64,
    /// After how long the shard ends whoever is left.
    pub timeout_ms: u64,
    /// Each is advised to come back after a random time of up to this; none gives no advice.
    pub retry_ms_max: u64,
}

/// What a job gave: its value, or the fact that it panicked.
pub type JobResult = Result<Box<dyn std::any::Any + Send>, JobPanicked>;

/// A job ended by a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobPanicked;

/// Work that leaves the shard.
pub type JobWork = Box<dyn FnOnce() -> Box<dyn std::any::Any + Send> + Send>;

impl std::fmt::Debug for ControlRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ControlRequest::Topics { ticket, prefix, limit } => {
                write!(f, "Topics({ticket}, {prefix:?}, {limit})")
            }
            ControlRequest::Busiest { ticket, limit } => write!(f, "Busiest({ticket}, {limit})"),
            ControlRequest::Subscribers { ticket, topics } => {
                write!(f, "Subscribers({ticket}, {topics:?})")
            }
            ControlRequest::Retune { ticket, tuning } => write!(f, "Retune({ticket}, {tuning:?})"),
            ControlRequest::Drain(order) => write!(f, "Drain({order:?})"),
            ControlRequest::JobDone { job, result } => {
                write!(f, "JobDone({job}, ok: {})", result.is_ok())
            }
        }
    }
}

/// One topic, as the control plane lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSummary {
    /// Its name.
    pub topic: Box<str>,
    /// Where its sequence stands.
    pub position: Position,
}

/// A topic, and how many messages it has had since it was asked about last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyTopic {
    /// Its name.
    pub topic: Box<str>,
    /// Offset of the newest message.
    pub offset: u64,
    /// How many of them are new.
    pub grown: u64,
}

/// Told by a topic's home (or by a shard to the control plane).
pub enum Response {
    /// What has become of a publish, which comes back with it.
    Published { to: ConnId, parcel: Parcel, token: Token, result: Result<Position, Refusal> },
    /// The interest is registered: everything after this position will come.
    Interested { local: LocalTopic, result: Result<(HomeTopic, Position), Refusal> },
    /// The interest is gone: nothing more will come.
    Released { local: LocalTopic },
    /// One message of a topic, encoded once for all subscribers everywhere.
    Deliver { local: LocalTopic, offset: u64, frame: Bytes },
    /// To the control plane: topics whose home is the shard, and how many of the shard's
    /// connections subscribe to which topics.
    Topics { ticket: u32, homes: Vec<TopicSummary>, subscribers: Vec<(Box<str>, u32)> },
    /// To the control plane: the busiest topics whose home is the shard, busiest first.
    Busiest { ticket: u32, topics: Vec<BusyTopic> },
    /// To the control plane: how many of the shard's connections subscribe to each of the topics
    /// that were named.
    Subscribers { ticket: u32, counts: Vec<u32> },
    /// To the control plane: the new values are in force here.
    Retuned { ticket: u32 },
    /// To the control plane: work for a thread that may block.
    Job { from: ShardId, job: u32, work: JobWork },
}

/// Why a request could not be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A queue on the way is full: try again later.
    Overloaded,
    /// The home has as many topics as it may have.
    TopicsExhausted,
}
