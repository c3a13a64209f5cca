//! The control plane's half of the way to the shards: questions out, answers back.
//!
//! Owns nothing of the shards. Invariants: B1: the queue of questions is bounded, and full is an
//! answer (`overloaded`), never a wait; B2: every question ends: answered, dropped or timed out.

use super::drain::DrainRules;
use super::event::Event;
use super::reload::Source;
use crate::base::ErrorCode;
use crate::limits::{ASK_TIMEOUT_MS, ASKS_WAITING_MAX};
use crate::metrics::Board;
use crate::pubsub::envelope::BusyTopic;
use crate::pubsub::tuning::Tuning;
use bytes::Bytes;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

/// A question to the shards, with the place for its answer.
#[derive(Debug)]
pub enum Ask {
    /// Publish to one topic.
    Publish {
        /// A checked name.
        topic: String,
        /// One JSON value, as it was sent.
        data: Bytes,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Sequenced, Refused>>,
    },
    /// List topics in the order of their names.
    Topics {
        /// Only names that start so.
        prefix: String,
        /// At most so many.
        limit: usize,
        /// Where the answer goes.
        reply: oneshot::Sender<Listed>,
    },
    /// The topics with most messages since this was asked last.
    Busiest {
        /// At most so many.
        limit: usize,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Vec<BusyTopic>, Refused>>,
    },
    /// How many subscribe to each of some topics.
    Subscribers {
        /// Their names.
        topics: Arc<[Box<str>]>,
        /// Where the answer goes: one number for each name.
        reply: oneshot::Sender<Result<Vec<u64>, Refused>>,
    },
    /// Give every shard these values.
    Retune {
        /// The values.
        tuning: Arc<Tuning>,
        /// Told when all have them.
        reply: oneshot::Sender<Result<(), Refused>>,
    },
}

/// The answer to a listing.
pub type Listed = Result<Vec<TopicInfo>, Refused>;

/// Where a publish was put in its topic's order.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sequenced {
    /// Which sequence, as clients see it.
    pub epoch: String,
    /// Place in the sequence.
    pub offset: u64,
}

/// A topic as the listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TopicInfo {
    /// Its name.
    pub topic: String,
    /// Which sequence, as clients see it.
    pub epoch: String,
    /// Offset of the newest message.
    pub offset: u64,
    /// Connections subscribed, over all shards.
    pub subscribers: u64,
}

/// Why the shards did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A queue on the way is full.
    Overloaded,
    /// A configured number is reached.
    LimitExceeded,
    /// The message is above the limit of its topic.
    TooLarge,
    /// Not started yet, or gone.
    Unavailable,
    /// It may or may not have been done.
    NoAnswer,
}

impl Refused {
    /// The code that the asker gets.
    pub fn code(self) -> ErrorCode {
        match self {
            Refused::Overloaded => ErrorCode::Overloaded,
            Refused::LimitExceeded => ErrorCode::LimitExceeded,
            Refused::TooLarge => ErrorCode::TooLarge,
            Refused::Unavailable | Refused::NoAnswer => ErrorCode::Unavailable,
        }
    }

    /// The same for people.
    pub const fn message(self) -> &'static str {
        match self {
            Refused::Overloaded => "a queue to the shards is full; try again shortly",
            Refused::LimitExceeded => "a configured limit is reached",
            Refused::TooLarge => "the message is larger than the server allows",
            Refused::Unavailable => "the server is starting or ending",
            Refused::NoAnswer => "no answer from the shards in time; it may still be done",
        }
    }
}

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not all shards run yet.
    Starting,
    /// New connections are welcome.
    Ready,
    /// Ending; new connections go elsewhere.
    Draining,
}

impl Stage {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Starting => "starting",
            Stage::Ready => "ready",
            Stage::Draining => "draining",
        }
    }
}

/// The stage and when it all began; shared by all threads.
#[derive(Debug)]
pub struct ServerState {
    stage: AtomicU8,
    /// For how long it runs.
    pub started: Instant,
    /// The same for people.
    pub started_at: SystemTime,
    in_force: std::sync::Mutex<InForce>,
    /// Reloads that changed what was to be changed.
    pub reloads_ok: AtomicU64,
    /// Reloads that changed nothing because something was wrong.
    pub reloads_failed: AtomicU64,
}

/// What the control plane itself goes by and shows of the configuration. A reload changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// Connections that the server may have; 0 while nobody has said.
    pub connections_max: u64,
    /// Octets that may wait for all of them; 0 while nobody has said.
    pub egress_bytes_max: u64,
    /// How a drain goes.
    pub drain: DrainRules,
}

impl ServerState {
    /// Starting, now.
    pub fn new() -> Arc<Self> {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let stage = AtomicU8::new(Stage::Starting as u8);
        let (reloads_ok, reloads_failed) = (AtomicU64::new(0), AtomicU64::new(0));
        let in_force = Default::default();
        Arc::new(ServerState { stage, started, started_at, in_force, reloads_ok, reloads_failed })
    }

    /// What is in force.
    pub fn in_force(&self) -> InForce {
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts this in force.
    pub fn put_in_force(&self, in_force: InForce) {
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = in_force;
    }

    /// The present stage.
    pub fn stage(&self) -> Stage {
        let stored = self.stage.load(Ordering::Acquire);
        [Stage::Starting, Stage::Ready, Stage::Draining][usize::from(stored)]
    }

    /// Moves on to a later stage; an earlier one is ignored, so that a late "ready" can't undo a
    /// drain.
    pub fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::AcqRel);
    }
}

/// What the control plane knows of the shards. Clones share everything.
#[derive(Clone, Debug)]
pub struct Bridge {
    asks: mpsc::Sender<Ask>,
    /// The counters that the shards publish.
    pub board: Arc<Board>,
    /// Where the process is in its life.
    pub state: Arc<ServerState>,
    /// Raised when the process shall drain.
    pub drain: Event,
    /// Where the configuration is read anew.
    pub(super) source: Option<Arc<dyn Source>>,
    /// Held while it is.
    pub(super) reloading: Arc<Mutex<()>>,
}

/// An answer that has not come yet.
#[derive(Debug)]
pub struct Pending<T>(oneshot::Receiver<T>);

/// The answer about the busiest topics.
pub type PendingBusiest = Pending<Result<Vec<BusyTopic>, Refused>>;

impl<T> Pending<T> {
    /// Waits for it, but not for long.
    pub async fn answer(self) -> Result<T, Refused> {
        match timeout(Duration::from_millis(ASK_TIMEOUT_MS), self.0).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_dropped)) => Err(Refused::Unavailable),
            Err(_elapsed) => Err(Refused::NoAnswer),
        }
    }
}

impl Bridge {
    /// A bridge, and the end where the questions come out.
    pub fn new(
        board: Arc<Board>,
        state: Arc<ServerState>,
        drain: Event,
    ) -> (Bridge, mpsc::Receiver<Ask>) {
        let (asks, questions) = mpsc::channel(ASKS_WAITING_MAX);
        let (source, reloading) = (None, Arc::default());
        (Bridge { asks, board, state, drain, source, reloading }, questions)
    }

    /// The same bridge, with a configuration that can be read anew.
    pub fn with_source(self, source: Option<Arc<dyn Source>>) -> Bridge {
        Bridge { source, ..self }
    }

    /// Whether there is a configuration to read anew.
    pub fn can_reload(&self) -> bool {
        self.source.is_some()
    }

    /// Sends new values to all shards.
    pub fn retune(&self, tuning: Arc<Tuning>) -> Result<Pending<Result<(), Refused>>, Refused> {
        self.ask(|reply| Ask::Retune { tuning, reply })
    }

    /// Sends a publish on its way.
    pub fn publish(
        &self,
        topic: &str,
        data: Bytes,
    ) -> Result<Pending<Result<Sequenced, Refused>>, Refused> {
        self.ask(|reply| Ask::Publish { topic: topic.to_owned(), data, reply })
    }

    /// Asks for topics.
    pub fn topics(&self, prefix: String, limit: usize) -> Result<Pending<Listed>, Refused> {
        self.ask(|reply| Ask::Topics { prefix, limit, reply })
    }

    /// Asks for the topics with most messages since this was asked last.
    pub fn busiest(&self, limit: usize) -> Result<PendingBusiest, Refused> {
        self.ask(|reply| Ask::Busiest { limit, reply })
    }

    /// Asks how many subscribe to each of some topics.
    pub fn subscribers(
        &self,
        topics: Arc<[Box<str>]>,
    ) -> Result<Pending<Result<Vec<u64>, Refused>>, Refused> {
        self.ask(|reply| Ask::Subscribers { topics, reply })
    }

    /// Orders the drain. From here on nobody is told that the server is ready.
    pub fn begin_drain(&self) {
        self.state.advance(Stage::Draining);
        self.drain.raise();
    }

    fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Ask,
    ) -> Result<Pending<T>, Refused> {
        if self.state.stage() == Stage::Starting {
            return Err(Refused::Unavailable);
        }
        let (reply, answer) = oneshot::channel();
        match self.asks.try_send(question(reply)) {
            Ok(()) => Ok(Pending(answer)),
            Err(TrySendError::Full(_given_back)) => Err(Refused::Overloaded),
            Err(TrySendError::Closed(_given_back)) => Err(Refused::Unavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_is_an_answer_and_so_is_a_missing_reader() {
        let (bridge, questions) = Bridge::new(Board::new(1), ServerState::new(), Event::new());
        let publish = || bridge.publish("t", Bytes::from_static(b"1")).map(drop);
        assert_eq!(publish(), Err(Refused::Unavailable), "starting");
        bridge.state.advance(Stage::Ready);
        for _ in 0..ASKS_WAITING_MAX {
            assert_eq!(publish(), Ok(()));
        }
        assert_eq!(publish(), Err(Refused::Overloaded));
        drop(questions);
        assert_eq!(publish(), Err(Refused::Unavailable));
    }

    #[test]
    fn a_stage_only_moves_on() {
        let state = ServerState::new();
        assert_eq!(state.stage(), Stage::Starting);
        for (to, then) in [
            (Stage::Ready, Stage::Ready),
            (Stage::Starting, Stage::Ready),
            (Stage::Draining, Stage::Draining),
            (Stage::Ready, Stage::Draining),
        ] {
            state.advance(to);
            assert_eq!(state.stage(), then);
        }
    }
}
