//! What `ringwire serve` speaks: the subprotocol `ringwire.v1.json` (`docs/protocol.md`).
//!
//! Owns the JSON on the wire and one counter for each connection. Never looks into `data`, which
//! is passed on octet by octet, and keeps nothing of a request: what its answer needs travels with
//! it as a token.
//!
//! Invariants: J1 every request with an `id` is answered once, but for a subscription that is
//! ended before it stands; J2 an answer's `id` is the request's, octet by octet; J3 to understand
//! and answer a good request costs no allocation here, except for escapes in a topic's name.

mod answer;
mod request;
mod resume;
#[cfg(test)]
mod tests;

use std::fmt::Display;

use crate::base::ErrorCode;
use crate::handler::{
    Accept, Ctx, Handler, Kind, Message, Publication, Refusal, SendError, SubscribeError, Upgrade,
};
use crate::limits::BAD_REQUESTS_MAX;
use crate::metrics::Metric;
use crate::pubsub::envelope::{Position, Refusal as PublishRefusal, Token};
use crate::ws::close::CloseCode;
use answer::Writer;
use request::{Ask, BadRequest, Request};
use resume::Resume;

/// The subprotocol's name in the opening handshake.
pub const SUBPROTOCOL: &str = "ringwire.v1.json";

/// The client does not speak the protocol; to reconnect would change nothing.
const BAD_REQUEST: CloseCode = CloseCode(4500);

/// What an operator may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Where clients connect.
    pub path: &'static str,
}

impl Default for SessionConfig {
    fn default() -> Self {
        SessionConfig { path: "/ws" }
    }
}

/// What is kept for each open connection.
#[derive(Debug, Default)]
pub struct Session {
    bad_in_a_row: u8,
}

const _: () = assert!(size_of::<Option<Session>>() <= 8, "there may be a million of them");

/// See the module's header.
pub struct JsonHandler {
    config: SessionConfig,
    instance: u64,
    /// Where answers are written; bounded, because every part of an answer is.
    scratch: Vec<u8>,
}

/// What a handler may do for the connection at hand.
type Call<'a, 'b> = &'a mut Ctx<'b, Session>;

impl JsonHandler {
    /// A handler for one shard. `instance` is a random number that all shards of a process share:
    /// it makes session names unique across restarts.
    pub fn new(config: SessionConfig, instance: u64) -> Self {
        JsonHandler { config, instance, scratch: Vec::new() }
    }

    fn take(&mut self, ctx: Call<'_, '_>, text: &str) {
        match request::parse(text) {
            Ok(Request { id, ask }) => {
                ctx.session().bad_in_a_row = 0;
                self.carry_out(ctx, id, ask);
            }
            Err(BadRequest { id, problem }) => self.bad_request(ctx, id, problem),
        }
    }

    fn carry_out(&mut self, ctx: Call<'_, '_>, id: Option<&str>, ask: Ask<'_>) {
        match ask {
            Ask::Subscribe { topic, since } => {
                let token = Resume::of(since).pack(id);
                if let Err(error) = ctx.subscribe(&topic, token.as_bytes()) {
                    self.refuse_subscribe(ctx, id, error);
                }
            }
            Ask::Unsubscribe { topic } if ctx.unsubscribe(&topic) => {
                if let Some(id) = id {
                    self.answer(ctx, |to| to.ack(id, &topic, None));
                }
            }
            Ask::Unsubscribe { .. } => {
                self.error(ctx, id, ErrorCode::UnknownTopic, "not subscribed to this topic");
            }
            Ask::Publish { topic, data } => {
                let token = id.unwrap_or_default().as_bytes();
                match ctx.publish(&topic, "", data.as_bytes(), Kind::Text, token) {
                    Ok(_) => {}
                    Err(error) => self.refuse_publish(ctx, id, error),
                }
            }
            Ask::Ping => self.answer(ctx, |to| to.pong(id)),
            Ask::Unavailable { what } => self.error(ctx, id, ErrorCode::Unavailable, what),
        }
    }

    fn refuse_subscribe(&mut self, ctx: Call<'_, '_>, id: Option<&str>, error: SubscribeError) {
        let code = match error {
            SubscribeError::Closed => return,
            SubscribeError::Topic(fault) => return self.bad_request(ctx, id, fault),
            SubscribeError::TooMany | SubscribeError::TopicsExhausted => ErrorCode::LimitExceeded,
            SubscribeError::Overloaded => ErrorCode::Overloaded,
            SubscribeError::TokenTooLong => ErrorCode::Internal,
        };
        self.error(ctx, id, code, error);
    }

    fn refuse_publish(&mut self, ctx: Call<'_, '_>, id: Option<&str>, error: SendError) {
        let code = match error {
            SendError::Closed => return,
            SendError::Topic(fault) => return self.bad_request(ctx, id, fault),
            SendError::Overloaded => ErrorCode::Overloaded,
            SendError::TooLarge => ErrorCode::TooLarge,
            SendError::Full | SendError::TokenTooLong | SendError::NameTooLong => {
                ErrorCode::Internal
            }
        };
        self.error(ctx, id, code, error);
    }

    /// A home could not do what it was asked.
    fn refused(&mut self, ctx: Call<'_, '_>, id: &str, refusal: PublishRefusal) {
        let (code, message) = match refusal {
            PublishRefusal::Overloaded => (ErrorCode::Overloaded, "the topic's home is busy"),
            PublishRefusal::TopicsExhausted => {
                (ErrorCode::LimitExceeded, "the server has as many topics as it may have")
            }
        };
        self.error(ctx, Some(id).filter(|id| !id.is_empty()), code, message);
    }

    /// A client that only ever sends nonsense is not worth an answer forever.
    fn bad_request(&mut self, ctx: Call<'_, '_>, id: Option<&str>, problem: impl Display) {
        self.error(ctx, id, ErrorCode::BadRequest, problem);
        let session = ctx.session();
        session.bad_in_a_row = session.bad_in_a_row.saturating_add(1);
        if session.bad_in_a_row >= BAD_REQUESTS_MAX {
            ctx.close(BAD_REQUEST, "too many bad requests");
        }
    }

    fn error(&mut self, ctx: Call<'_, '_>, id: Option<&str>, code: ErrorCode, why: impl Display) {
        ctx.count(Metric::error_sent(code));
        self.answer(ctx, |to| to.error(id, code, why));
    }

    /// Writes an answer and sends it. Who does not read its answers is closed.
    fn answer(&mut self, ctx: Call<'_, '_>, write: impl FnOnce(Writer<'_>)) {
        self.scratch.clear();
        write(Writer(&mut self.scratch));
        match ctx.send(Message { kind: Kind::Text, payload: &self.scratch }) {
            Ok(_) => {}
            Err(SendError::Full) => ctx.close_slow(),
            Err(
                SendError::Closed
                | SendError::Overloaded
                | SendError::Topic(_)
                | SendError::TokenTooLong
                | SendError::NameTooLong
                | SendError::TooLarge,
            ) => {}
        }
    }
}

impl Handler for JsonHandler {
    type Session = Session;

    /// A client that offers only other subprotocols is accepted with none: it is its own to decide
    /// whether it goes on (RFC 6455, section 4.2.2).
    fn on_upgrade(&mut self, upgrade: &Upgrade<'_>) -> Result<Accept<Session>, Refusal> {
        if upgrade.request.path() != self.config.path {
            return Err(Refusal::NotFound);
        }
        let is_offered = upgrade.request.subprotocols().any(|offer| offer == SUBPROTOCOL);
        let subprotocol = is_offered.then_some(SUBPROTOCOL);
        Ok(Accept { session: Session::default(), subprotocol })
    }

    fn on_open(&mut self, ctx: &mut Ctx<'_, Session>) {
        let (instance, heartbeat_ms) = (self.instance, ctx.heartbeat_interval_ms());
        let conn = ctx.id().to_bits();
        self.answer(ctx, |to| to.welcome(instance, conn, heartbeat_ms));
    }

    fn on_message(&mut self, ctx: &mut Ctx<'_, Session>, message: Message<'_>) {
        match message.text() {
            Some(text) => self.take(ctx, text),
            None => self.bad_request(ctx, None, "send JSON in text frames, not binary ones"),
        }
    }

    fn on_subscribed(
        &mut self,
        ctx: &mut Ctx<'_, Session>,
        topic: &str,
        token: &Token,
        result: Result<Position, PublishRefusal>,
    ) {
        let (resume, id) = Resume::unpack(token);
        match result {
            Ok(position) => {
                let recovered = resume.misses_nothing_at(position);
                self.answer(ctx, |to| to.subscribed(id, topic, position, recovered));
            }
            Err(refusal) => self.refused(ctx, id, refusal),
        }
    }

    fn on_published(
        &mut self,
        ctx: &mut Ctx<'_, Session>,
        topic: &str,
        token: &Token,
        result: Result<Position, PublishRefusal>,
    ) {
        let id = resume::text_of(token.as_bytes());
        match result {
            Ok(position) => self.answer(ctx, |to| to.ack(id, topic, Some(position.offset))),
            Err(refusal) => self.refused(ctx, id, refusal),
        }
    }

    fn encode(&mut self, publication: &Publication<'_>, out: &mut Vec<u8>) -> Kind {
        Writer(out).message(publication);
        Kind::Text
    }
}
