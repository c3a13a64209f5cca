//! What a handler is given: one connection, and what may be asked for on its behalf.
//!
//! Everything here answers at once and honestly: taken, taken but slow down, or refused. What ends
//! or pauses a connection is only written down and done when the handler has returned.

use std::any::Any;

use super::core::{Command, Core};
use crate::base::{ConnId, Now, ShardId};
use crate::conn::egress::Full;
use crate::conn::outbox::Taken;
use crate::conn::{CloseReason, Link, Pause};
use crate::limits::{JOBS_MAX, TOKEN_BYTES_MAX};
use crate::metrics::Metric;
use crate::pubsub::envelope::{JobResult, JobWork, Parcel, Refusal, Request, Response, Token};
use crate::pubsub::home::home_of;
use crate::pubsub::registry::{Joiner, Subscribing};
use crate::pubsub::topic::{TopicFault, check_topic};
use crate::ring::PeerAddr;
use crate::ws::close::CloseCode;
use crate::ws::message::Message;
use crate::ws::opcode::{Kind, Opcode};

/// One open connection, during one call of its handler.
pub struct Ctx<'a, S> {
    pub(super) link: &'a mut Link,
    pub(super) session: &'a mut S,
    pub(super) core: &'a mut Core,
    pub(super) jobs: &'a mut Jobs<S>,
}

/// What became of something that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum SendOutcome {
    /// Taken, and there is room for more.
    Queued,
    /// Taken, but what it goes into is more than half full. The connection's input is paused until
    /// there is room again, if it is the connection's own queue that is full.
    QueuedSlow,
}

/// Why something was not taken. What was to be sent is still the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection has as much waiting for it as it may have.
    #[error("the connection's egress queue is full")]
    Full,
    /// The lane to the topic's home is full.
    #[error("the lane to the topic's home is full")]
    Overloaded,
    /// The connection is closing.
    #[error("the connection is closing")]
    Closed,
    /// The topic's name is not one.
    #[error(transparent)]
    Topic(#[from] TopicFault),
    /// The token is longer than it may be.
    #[error("a token may have {TOKEN_BYTES_MAX} bytes at most")]
    TokenTooLong,
    /// The sender's name is longer than it may be.
    #[error("a sender's name may have 255 bytes at most")]
    NameTooLong,
    /// The message, with its topic, would not fit into a subscriber's queue.
    #[error("the message is larger than any subscriber may be sent")]
    TooLarge,
}

/// Why a subscription was not taken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The topic's name is not one.
    #[error(transparent)]
    Topic(#[from] TopicFault),
    /// The connection has as many subscriptions as it may have.
    #[error("the connection has as many subscriptions as it may have")]
    TooMany,
    /// The shard knows as many topics as it may.
    #[error("the server has as many topics as it may have")]
    TopicsExhausted,
    /// The lane to the topic's home is full.
    #[error("the lane to the topic's home is full")]
    Overloaded,
    /// The connection is closing.
    #[error("the connection is closing")]
    Closed,
    /// The token is longer than it may be.
    #[error("a token may have {TOKEN_BYTES_MAX} bytes at most")]
    TokenTooLong,
}

impl<S> Ctx<'_, S> {
    /// The connection's identifier, unique in the life of the process.
    pub fn id(&self) -> ConnId {
        ConnId::new(self.core.me, self.link.key)
    }

    /// The shard that serves the connection.
    pub fn shard(&self) -> ShardId {
        self.core.me
    }

    /// What the application keeps for the connection.
    pub fn session(&mut self) -> &mut S {
        self.session
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> PeerAddr {
        self.link.peer()
    }

    /// The clocks, as read at the beginning of the turn.
    pub fn now(&self) -> Now {
        self.core.now
    }

    /// Octets that wait for this connection because it reads slower than it is sent to.
    pub fn queued_bytes(&self) -> usize {
        self.link.queued_bytes()
    }

    /// Counts something in the shard's metrics.
    pub fn count(&mut self, metric: Metric) {
        self.core.counters.inc(metric);
    }

    /// Sends a message. A refused one is not charged to the connection, and may be sent again after
    /// `on_writable`.
    pub fn send(&mut self, message: Message<'_>) -> Result<SendOutcome, SendError> {
        if !self.link.is_open {
            return Err(SendError::Closed);
        }
        let opcode = Opcode::from(message.kind);
        match self.core.outbox.send(self.link, opcode, message.payload) {
            Ok(taken) => {
                self.core.counters.inc(Metric::MessagesSent);
                self.core.counters.add(Metric::SentBytes, message.payload.len() as u64);
                Ok(match taken {
                    Taken::Flowing => SendOutcome::Queued,
                    Taken::Congested => {
                        self.owe_writable();
                        SendOutcome::QueuedSlow
                    }
                })
            }
            Err(Full) => {
                self.owe_writable();
                Err(SendError::Full)
            }
        }
    }

    fn owe_writable(&mut self) {
        if !std::mem::replace(&mut self.link.owes_writable, true) {
            self.core.congested.push(self.link.key);
        }
    }

    /// Sends a text message.
    pub fn send_text(&mut self, text: &str) -> Result<SendOutcome, SendError> {
        self.send(Message { kind: Kind::Text, payload: text.as_bytes() })
    }

    /// Silence after which this connection is sent a ping, in milliseconds.
    pub fn heartbeat_interval_ms(&self) -> u64 {
        self.core.config.heartbeat_interval_ms
    }

    /// Publishes a message to a topic, this connection included if it subscribes. With a token,
    /// `on_published` follows when the message has its place; without one, nobody is told.
    pub fn publish(
        &mut self,
        topic: &str,
        from: &str,
        data: &[u8],
        kind: Kind,
        token: &[u8],
    ) -> Result<SendOutcome, SendError> {
        check_topic(topic)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(SendError::TokenTooLong);
        }
        if from.len() > usize::from(u8::MAX) {
            return Err(SendError::NameTooLong);
        }
        if data.len() > self.core.config.publish_bytes_max {
            return Err(SendError::TooLarge);
        }
        let home = home_of(topic, self.core.shards).index();
        if self.core.mailbox.request_room(home) == 0 {
            self.core.counters.inc(Metric::LaneFull);
            return Err(SendError::Overloaded);
        }
        let is_text = kind == Kind::Text;
        let parcel = Parcel::new(&mut self.core.press, topic, from, data, is_text);
        let request = Request::Publish { from: self.id(), token: Token::new(token), parcel };
        assert!(self.core.mailbox.request(home, request).is_ok(), "there was room");
        self.core.counters.inc(Metric::LaneRequests);
        if self.core.mailbox.request_room(home) >= self.core.mailbox.capacity() / 2 {
            return Ok(SendOutcome::Queued);
        }
        self.core.commands.push(Command::PauseForLane { home });
        Ok(SendOutcome::QueuedSlow)
    }

    /// Subscribes to a topic. `on_subscribed` follows with the position from which on nothing is
    /// missed, also if the connection subscribes to it already.
    pub fn subscribe(&mut self, topic: &str, token: &[u8]) -> Result<(), SubscribeError> {
        check_topic(topic)?;
        if !self.link.is_open {
            return Err(SubscribeError::Closed);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(SubscribeError::TokenTooLong);
        }
        let core = &mut *self.core;
        let (slot, is_new) = (self.link.key.slot, !core.registry.knows(topic));
        if !core.registry.is_subscribed(slot, topic)
            && core.registry.subscriptions_of(slot) >= core.config.subscriptions_max
        {
            return Err(SubscribeError::TooMany);
        }
        let home = home_of(topic, core.shards).index();
        if is_new && core.mailbox.request_room(home) == 0 {
            core.counters.inc(Metric::LaneFull);
            return Err(SubscribeError::Overloaded);
        }
        let joiner = Joiner { conn: self.link.key, token: Token::new(token) };
        let policy = core.config.policies.of(topic);
        match core.registry.subscribe(joiner, topic, policy) {
            Ok(Subscribing::Waits) => Ok(()),
            Ok(Subscribing::NeedsInterest(local)) => {
                core.request(home, Request::Interest { topic: topic.into(), local });
                Ok(())
            }
            Err(Refusal::TopicsExhausted) => Err(SubscribeError::TopicsExhausted),
            Err(Refusal::Overloaded) => Err(SubscribeError::Overloaded),
        }
    }

    /// Ends a subscription at once: nothing of the topic comes after this. False if there was none.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.core.registry.unsubscribe(self.link.key.slot, topic)
    }

    /// Closes the connection once the handler has returned (RFC 6455, section 7.1.2). The reason is
    /// cut at 123 octets.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        let reason_text = reason.into();
        self.core
            .commands
            .push(Command::Close { reason: CloseReason::Application(code), text: reason_text });
    }

    /// Closes a subscriber that does not read (4001).
    pub fn close_slow(&mut self) {
        let text = CloseReason::SlowConsumer.text().into();
        self.core.commands.push(Command::Close { reason: CloseReason::SlowConsumer, text });
    }

    /// Stops reading from the connection; what has arrived already is still handed over.
    pub fn pause(&mut self) {
        self.link.io.pause.add(Pause::HANDLER);
        self.core.commands.push(Command::SteerRecv);
    }

    /// Goes on reading.
    pub fn resume(&mut self) {
        self.link.io.pause.remove(Pause::HANDLER);
        self.core.commands.push(Command::SteerRecv);
    }

    /// Runs `work` on a thread that may block, and `done` back here with what it gave, unless the
    /// connection is gone by then. `Err` gives the work back when too much is under way.
    pub fn spawn<T, W, D>(&mut self, work: W, done: D) -> Result<(), W>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(&mut Ctx<'_, S>, Result<T, crate::pubsub::envelope::JobPanicked>) + 'static,
    {
        let control = self.core.shards;
        if self.jobs.pending.len() >= JOBS_MAX || self.core.mailbox.response_room(control) == 0 {
            return Err(work);
        }
        let then: Done<S> = Box::new(move |ctx, result| {
            done(ctx, result.map(|value| *value.downcast::<T>().expect("the job's own type")));
        });
        let job = self.jobs.pending.insert(Job { conn: self.link.key, done: then }) as u32;
        let work: JobWork = Box::new(move || Box::new(work()) as Box<dyn Any + Send>);
        let from = self.core.me;
        self.core.mailbox.respond(control, Response::Job { from, job, work });
        Ok(())
    }
}

/// The shard as a whole, between connections.
pub struct ShardView<'a> {
    pub(super) core: &'a mut Core,
    pub(super) connections: usize,
}

impl ShardView<'_> {
    /// Which shard it is.
    pub fn shard(&self) -> ShardId {
        self.core.me
    }

    /// The clocks.
    pub fn now(&self) -> Now {
        self.core.now
    }

    /// Open connections of this shard.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Publishes a message that belongs to no connection; nobody is told what becomes of it but the
    /// metrics.
    pub fn publish(&mut self, topic: &str, data: &[u8], kind: Kind) -> Result<(), SendError> {
        check_topic(topic)?;
        if data.len() > self.core.config.publish_bytes_max {
            return Err(SendError::TooLarge);
        }
        let home = home_of(topic, self.core.shards).index();
        if self.core.mailbox.request_room(home) == 0 {
            self.core.counters.inc(Metric::LaneFull);
            return Err(SendError::Overloaded);
        }
        let is_text = kind == Kind::Text;
        let parcel = Parcel::new(&mut self.core.press, topic, "", data, is_text);
        let from = ConnId::new(self.core.me, crate::base::ConnKey::NOBODY);
        self.core.request(home, Request::Publish { from, token: Token::NONE, parcel });
        Ok(())
    }
}

/// What is called when a job is done.
type Done<S> = Box<dyn FnOnce(&mut Ctx<'_, S>, JobResult)>;

/// A job under way.
pub(super) struct Job<S> {
    pub(super) conn: crate::base::ConnKey,
    pub(super) done: Done<S>,
}

/// The jobs of a shard that are under way.
pub(super) struct Jobs<S> {
    pub(super) pending: slab::Slab<Job<S>>,
}
