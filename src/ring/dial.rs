//! Connecting: sockets for the client role.
//!
//! Owns the addresses to connect to and from. A socket is made by plain system calls, which can set
//! its options on any kernel, and is then moved into the table of direct descriptors: an open
//! connection holds no descriptor of the process. The kernel copies an address when it takes the
//! connect, so what lies here is never referred to after a submission.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use io_uring::{IoUring, opcode, squeue, types};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{SockAddr, Socket, Type};

use super::op::{FileSlot, SourceId, TargetId};
use super::user_data::UserData;
use crate::base::ConnKey;

/// Where connections go, where they come from, and how they end.
#[derive(Clone, Debug, Default)]
pub struct DialConfig {
    /// Addresses to connect to, by `TargetId`.
    pub targets: Vec<SocketAddr>,
    /// Local addresses to connect from, by `SourceId`; the kernel picks the port.
    pub sources: Vec<IpAddr>,
    /// A close discards what is unsent and resets the connection (SO_LINGER of 0, socket(7)): no
    /// port stays behind in TIME_WAIT.
    pub reset_on_close: bool,
}

/// See the module's header.
pub(super) struct Dialer {
    targets: Vec<SockAddr>,
    sources: Vec<SockAddr>,
    reset_on_close: bool,
}

impl Dialer {
    pub(super) fn new(config: DialConfig) -> Self {
        Dialer {
            targets: config.targets.into_iter().map(SockAddr::from).collect(),
            sources: config
                .sources
                .into_iter()
                .map(|ip| SockAddr::from(SocketAddr::new(ip, 0)))
                .collect(),
            reset_on_close: config.reset_on_close,
        }
    }

    /// A new socket in the slot of the table, ready to be connected.
    pub(super) fn open(
        &self,
        ring: &IoUring,
        file: FileSlot,
        target: TargetId,
        source: Option<SourceId>,
    ) -> io::Result<()> {
        let socket = self.socket(target, source)?;
        ring.submitter().register_files_update(file.0, &[socket.as_raw_fd()])?;
        Ok(())
    }

    fn socket(&self, target: TargetId, source: Option<SourceId>) -> io::Result<OwnedFd> {
        let target = &self.targets[target.0 as usize];
        let socket = Socket::new(target.domain(), Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        if self.reset_on_close {
            socket.set_linger(Some(Duration::ZERO))?;
        }
        if let Some(source) = source {
            // The port is then picked by the connect, which knows the other end: one local port
            // serves many of them (ip(7)).
            setsockopt(&socket, IpBindAddressNoPort, &true)?;
            socket.bind(&self.sources[source.0 as usize])?;
        }
        Ok(socket.into())
    }

    /// The order to connect what [`Self::open`] has made.
    pub(super) fn connect(&self, conn: ConnKey, file: FileSlot, target: TargetId) -> squeue::Entry {
        let target = &self.targets[target.0 as usize];
        opcode::Connect::new(types::Fixed(file.0), target.as_ptr().cast(), target.len())
            .build()
            .user_data(UserData::Connect(conn).encode())
    }
}
