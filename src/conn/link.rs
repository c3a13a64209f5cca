//! A connection without its protocol: how to reach it and what it owes whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::egress::Egress;
use super::io_state::IoState;
use crate::base::{ConnKey, Tick};
use crate::ring::{FileSlot, PeerAddr};

/// What the connection's one entry in the timer wheel stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// The opening handshake has to be complete.
    Handshake,
    /// Time to look whether something was heard.
    Heartbeat,
    /// Something has to have been heard since the ping.
    Pong,
    /// The closing handshake, or the flushing of last words, has to be complete.
    Close,
}

/// See the module's header.
#[derive(Debug)]
pub struct Link {
    /// Who it is.
    pub key: ConnKey,
    /// Its direct descriptor.
    pub file: FileSlot,
    /// When bytes last came. What we send never counts: a dead peer's kernel may still take it.
    pub heard: Tick,
    /// What waits to be sent, if it is slow.
    pub egress: Option<Box<Egress>>,
    /// Its entry in the outbox of the turn in which it last sent something.
    pub entry: u32,
    /// What the kernel holds of it.
    pub io: IoState,
    /// What its deadline means.
    pub deadline: Deadline,
    /// It takes compressed messages, with a window of 2 to the power of this; 0 where it does not.
    pub deflate_bits: u8,
    /// Messages may be sent: the phase is `Open`.
    pub is_open: bool,
    /// Its handler was told to slow down, and waits for `on_writable`.
    pub owes_writable: bool,
    /// It is one more than may be: its handshake will be answered with 503.
    pub is_surplus: bool,
    /// It ends, and its last words were staged in this turn: whether they went out is not known
    /// yet.
    pub is_flushing: bool,
    /// It has taken something of a queued send since its deadline was last looked at.
    pub has_progress: bool,
    peer: Peer,
}

/// A peer's address in 19 octets instead of 32: there may be a million of them.
#[derive(Clone, Copy, Debug)]
struct Peer {
    ip: [u8; 16],
    port: u16,
    kind: PeerKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerKind {
    V4,
    V6,
    Unix,
    Unknown,
}

impl Link {
    /// A connection that was just accepted.
    pub fn new(key: ConnKey, file: FileSlot, peer: PeerAddr, now: Tick) -> Self {
        Link {
            key,
            file,
            heard: now,
            egress: None,
            entry: 0,
            io: IoState::new(),
            deadline: Deadline::Handshake,
            deflate_bits: 0,
            is_open: false,
            owes_writable: false,
            is_surplus: false,
            is_flushing: false,
            has_progress: false,
            peer: Peer::pack(peer),
        }
    }

    /// The address of the other end (a v6 flow label and scope are not kept).
    pub fn peer(&self) -> PeerAddr {
        self.peer.unpack()
    }

    /// Octets that wait for it.
    pub fn queued_bytes(&self) -> usize {
        self.egress.as_ref().map_or(0, |egress| egress.charged())
    }
}

impl Peer {
    fn pack(peer: PeerAddr) -> Self {
        let mut ip = [0; 16];
        let (port, kind) = match peer {
            PeerAddr::Inet(SocketAddr::V4(addr)) => {
                ip[..4].copy_from_slice(&addr.ip().octets());
                (addr.port(), PeerKind::V4)
            }
            PeerAddr::Inet(SocketAddr::V6(addr)) => {
                ip = addr.ip().octets();
                (addr.port(), PeerKind::V6)
            }
            PeerAddr::Unix => (0, PeerKind::Unix),
            PeerAddr::Unknown => (0, PeerKind::Unknown),
        };
        Peer { ip, port, kind }
    }

    fn unpack(self) -> PeerAddr {
        let ip = match self.kind {
            PeerKind::V4 => {
                let [a, b, c, d, ..] = self.ip;
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            PeerKind::V6 => IpAddr::V6(Ipv6Addr::from(self.ip)),
            PeerKind::Unix => return PeerAddr::Unix,
            PeerKind::Unknown => return PeerAddr::Unknown,
        };
        PeerAddr::Inet(SocketAddr::new(ip, self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_peer_is_the_same_peer() {
        let v4 = PeerAddr::Inet("192.0.2.7:443".parse().unwrap());
        let v6 = PeerAddr::Inet("[2001:db8::1]:65535".parse().unwrap());
        for peer in [v4, v6, PeerAddr::Unix, PeerAddr::Unknown] {
            assert_eq!(Peer::pack(peer).unpack(), peer);
        }
    }
}
