//! Why a connection ends: one enum for the close code on the wire, the metric and the handler.

use crate::ws::close::CloseCode;
use crate::ws::fault::PeerFault;

/// Why a connection ended, as its handler and the metrics see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed, with this code (RFC 6455, section 7.4); `None` when it gave none.
    Peer(Option<CloseCode>),
    /// The peer vanished, or broke the connection, without a close frame.
    Lost,
    /// The peer broke the protocol.
    Fault(PeerFault),
    /// The application closed, with a code of its own.
    Application(CloseCode),
    /// The server is going down (1001).
    Drain,
    /// The subscriber did not read as fast as it was sent to (4001).
    SlowConsumer,
    /// The peer did not answer a ping (4002).
    HeartbeatLost,
    /// The shard's memory for unfinished messages is used up (1013).
    Overloaded,
}

/// The subscriber was too slow: reconnect, and look at what was missed.
pub const SLOW_CONSUMER: CloseCode = CloseCode(4001);
/// Nothing was heard for too long: reconnect.
pub const HEARTBEAT_LOST: CloseCode = CloseCode(4002);

impl CloseReason {
    /// The close code: what is sent when we close, what was received when the peer did (1005 for
    /// a close frame without a code, 1006 for no close frame at all; RFC 6455, section 7.1.5).
    pub fn code(self) -> CloseCode {
        match self {
            CloseReason::Peer(code) => code.unwrap_or(CloseCode::NO_STATUS),
            CloseReason::Lost => CloseCode::ABNORMAL,
            CloseReason::Fault(fault) => fault.close_code(),
            CloseReason::Application(code) => code,
            CloseReason::Drain => CloseCode::GOING_AWAY,
            CloseReason::SlowConsumer => SLOW_CONSUMER,
            CloseReason::HeartbeatLost => HEARTBEAT_LOST,
            CloseReason::Overloaded => CloseCode::TRY_AGAIN_LATER,
        }
    }

    /// What the close frame says beside the code; empty where the code says it all.
    pub fn text(self) -> &'static str {
        match self {
            CloseReason::Peer(_) | CloseReason::Lost | CloseReason::Application(_) => "",
            CloseReason::Fault(fault) => fault.label(),
            CloseReason::Drain => "going away",
            CloseReason::SlowConsumer => "slow consumer",
            CloseReason::HeartbeatLost => "heartbeat lost",
            CloseReason::Overloaded => "overloaded",
        }
    }
}
