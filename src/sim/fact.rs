//! A completion that owns its octets, so that it can wait to be told.

use crate::base::{ConnKey, ShardId};
use crate::handler::Handler;
use crate::ring::{AcceptFault, Completion, FileSlot, KernelFault, ListenerId, PeerAddr, RecvEnd};
use crate::shard::Shard;

/// See [`Completion`], variant by variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A connection was accepted.
    Accepted(ListenerId, FileSlot),
    /// One accept failed.
    AcceptFailed(ListenerId, AcceptFault),
    /// Accepting has stopped.
    AcceptStopped(ListenerId),
    /// Octets arrived.
    Received(ConnKey, Vec<u8>),
    /// A receive is over.
    RecvEnded(ConnKey, RecvEnd),
    /// A cancel has found no receive.
    CancelMissed(ConnKey),
    /// A fast send was not taken whole.
    SentShort(ConnKey, u32),
    /// A fast send failed.
    SendFailed(ConnKey, KernelFault),
    /// A queued send is over.
    QueuedSent(ConnKey, Result<u32, KernelFault>),
    /// A descriptor is closed.
    Closed(ConnKey),
    /// Somebody has rung.
    Woken,
    /// Nobody could be woken.
    WakeFailed(ShardId),
}

impl Fact {
    /// Tells a shard.
    pub fn tell<H: Handler>(self, shard: &mut Shard<H>) {
        shard.on(match self {
            Fact::Accepted(listener, file) => {
                Completion::Accepted { listener, file, peer: PeerAddr::Unknown }
            }
            Fact::AcceptFailed(listener, fault) => Completion::AcceptFailed { listener, fault },
            Fact::AcceptStopped(listener) => Completion::AcceptStopped { listener },
            Fact::Received(conn, mut bytes) => {
                return shard.on(Completion::Received { conn, bytes: &mut bytes });
            }
            Fact::RecvEnded(conn, why) => Completion::RecvEnded { conn, why },
            Fact::CancelMissed(conn) => Completion::CancelMissed { conn },
            Fact::SentShort(conn, sent) => Completion::SentShort { conn, sent },
            Fact::SendFailed(conn, fault) => Completion::SendFailed { conn, fault },
            Fact::QueuedSent(conn, result) => Completion::QueuedSent { conn, result },
            Fact::Closed(conn) => Completion::Closed { conn },
            Fact::Woken => Completion::Woken,
            Fact::WakeFailed(shard) => Completion::WakeFailed { shard },
        });
    }

    /// The connection that it is about, if it is about one.
    pub fn conn(&self) -> Option<ConnKey> {
        match self {
            Fact::Received(conn, _)
            | Fact::RecvEnded(conn, _)
            | Fact::CancelMissed(conn)
            | Fact::SentShort(conn, _)
            | Fact::SendFailed(conn, _)
            | Fact::QueuedSent(conn, _)
            | Fact::Closed(conn) => Some(*conn),
            Fact::Accepted(..)
            | Fact::AcceptFailed(..)
            | Fact::AcceptStopped(_)
            | Fact::Woken
            | Fact::WakeFailed(_) => None,
        }
    }
}
