//! WebSocket (RFC 6455) without I/O: bytes in, events out, for the server role and the client role.
//!
//! Owns the wire format: the opening handshake ([`upgrade`], [`client`]), frames ([`header`],
//! [`mask`]), messages ([`protocol`]) and close codes ([`close`]). It never touches a socket or a
//! clock and holds no `unsafe`. Hostile bytes give a [`PeerFault`] or a [`Refusal`], never a panic.

pub mod accept_key;
pub mod client;
pub mod close;
pub mod deflate;
pub mod fault;
pub mod header;
mod inflating;
pub mod mask;
pub mod message;
pub mod opcode;
pub mod partial;
pub mod protocol;
mod recent;
pub mod refusal;
pub mod request;
pub mod upgrade;
pub mod utf8;

pub use accept_key::UpgradeKey;
pub use close::CloseCode;
pub use fault::PeerFault;
pub use header::{HEADER_BYTES_MAX, Header, encode_header, frame_bytes};
pub use message::{Event, Message, Step};
pub use opcode::{Kind, Opcode};
pub use partial::PartialPool;
pub use protocol::{Limits, Protocol, Role};
pub use refusal::Refusal;
pub use request::Request;
pub use upgrade::{Parsed, check_upgrade, parse_request, write_accept};
