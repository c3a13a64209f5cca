//! The library's face: what an application implements, and what it is given.
//!
//! One handler lives on each shard and is called by that shard's thread alone, so it needs neither
//! locks nor `Send`. Its calls are not re-entrant: what it asks for through [`Ctx`] never calls it
//! back before it has returned.

use crate::base::ShardId;
pub use crate::conn::CloseReason;
use crate::pubsub::envelope::{Position, Refusal as PublishRefusal, Token};
pub use crate::ring::PeerAddr;
pub use crate::shard::api::{Ctx, SendError, SendOutcome, ShardView, SubscribeError};
pub use crate::ws::message::Message;
pub use crate::ws::opcode::Kind;
pub use crate::ws::refusal::Refusal;
pub use crate::ws::request::Request;

/// An application on one shard.
pub trait Handler {
    /// What the application keeps for each open connection; dropped when it closes.
    type Session: Default + 'static;

    /// A client asks to upgrade. Accept it with a session and a subprotocol that it offered, or
    /// refuse it with an HTTP status. The default accepts everything.
    fn on_upgrade(&mut self, upgrade: &Upgrade<'_>) -> Result<Accept<Self::Session>, Refusal> {
        let _ = upgrade;
        Ok(Accept::default())
    }

    /// The connection is open: the first messages may be sent.
    fn on_open(&mut self, ctx: &mut Ctx<'_, Self::Session>) {
        let _ = ctx;
    }

    /// A whole message has come. It lives until the call returns.
    fn on_message(&mut self, ctx: &mut Ctx<'_, Self::Session>, message: Message<'_>);

    /// The connection was congested and can take more again.
    fn on_writable(&mut self, ctx: &mut Ctx<'_, Self::Session>) {
        let _ = ctx;
    }

    /// A subscription stands at this position: every later message of the topic will come. Or it
    /// could not be made.
    fn on_subscribed(
        &mut self,
        ctx: &mut Ctx<'_, Self::Session>,
        topic: &str,
        token: &Token,
        result: Result<Position, PublishRefusal>,
    ) {
        let _ = (ctx, topic, token, result);
    }

    /// A publish that had a token was sequenced, or refused on its way.
    fn on_published(
        &mut self,
        ctx: &mut Ctx<'_, Self::Session>,
        topic: &str,
        token: &Token,
        result: Result<Position, PublishRefusal>,
    ) {
        let _ = (ctx, topic, token, result);
    }

    /// The connection no longer takes messages. Called once for each `on_open`.
    fn on_close(&mut self, ctx: &mut Ctx<'_, Self::Session>, reason: CloseReason) {
        let _ = (ctx, reason);
    }

    /// About once a second, whether something happens or not.
    fn on_tick(&mut self, shard: &mut ShardView<'_>) {
        let _ = shard;
    }

    /// How a publication looks on the wire. Called once for each message on the topic's home shard,
    /// however many subscribers it has. The default sends the data as it was published.
    fn encode(&mut self, publication: &Publication<'_>, out: &mut Vec<u8>) -> Kind {
        out.extend_from_slice(publication.data);
        publication.kind
    }
}

/// A message that was given its place in its topic.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Its place.
    pub position: Position,
    /// When it was sequenced, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The name that the publisher gave itself; empty for none.
    pub from: &'a str,
    /// What was published.
    pub data: &'a [u8],
    /// As text or binary.
    pub kind: Kind,
}

/// A request to upgrade (RFC 6455, section 4.2).
pub struct Upgrade<'a> {
    /// The HTTP request.
    pub request: &'a Request<'a>,
    /// The address of the other end.
    pub peer: PeerAddr,
    /// The shard that will serve the connection.
    pub shard: ShardId,
}

/// How a connection is accepted.
#[derive(Debug, Default)]
pub struct Accept<S> {
    /// What the application keeps for it.
    pub session: S,
    /// The subprotocol that was chosen among those offered.
    pub subprotocol: Option<&'static str>,
}
