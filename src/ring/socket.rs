//! Listening sockets, made before the shards start.
//!
//! Owns their creation and options. A TCP address gets one socket per shard (SO_REUSEPORT), and the
//! kernel spreads connections over them by hash; a Unix path has one socket that all shards share,
//! and so has what the service manager hands over: there may be more or fewer shards after a
//! restart, and no queue of connections may be left without a shard that accepts from it.
//! What a connection needs (TCP_NODELAY) is set on the listener, because it is inherited and a
//! direct descriptor has no setsockopt(2) on older kernels.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// A TCP address; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A path in the file system.
    Unix(PathBuf),
}

/// What kind of peers a listener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// TCP over IPv4 or IPv6.
    Inet,
    /// A Unix socket.
    Unix,
}

/// How to listen.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`.
    pub backlog: i32,
    /// Permissions of a Unix socket's file.
    pub unix_mode: u32,
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    kind: ListenerKind,
    /// Somebody else made it and listens on.
    is_inherited: bool,
}

impl Listener {
    /// One listener per shard for the same address.
    pub fn bind_all(
        addr: &ListenAddr,
        options: ListenOptions,
        shards: usize,
    ) -> io::Result<Vec<Listener>> {
        let first = Listener::bind(addr, options)?;
        let resolved = first.local_addr()?;
        let mut all = vec![first];
        while all.len() < shards {
            all.push(match &resolved {
                ListenAddr::Tcp(_) => Listener::bind(&resolved, options)?,
                ListenAddr::Unix(_) => all[0].try_clone()?,
            });
        }
        Ok(all)
    }

    /// One listener.
    pub fn bind(addr: &ListenAddr, options: ListenOptions) -> io::Result<Listener> {
        match addr {
            ListenAddr::Tcp(addr) => bind_tcp(*addr, options),
            ListenAddr::Unix(path) => bind_unix(path, options),
        }
    }

    /// A listening socket that someone else has made, such as systemd.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Listener> {
        let socket = Socket::from(fd);
        let kind = match socket.domain()? {
            Domain::IPV4 | Domain::IPV6 => ListenerKind::Inet,
            Domain::UNIX => ListenerKind::Unix,
            _ => return Err(refusal(io::ErrorKind::Unsupported, "not a TCP or Unix socket")),
        };
        if !socket.is_listener()? {
            return Err(refusal(io::ErrorKind::InvalidInput, "the socket doesn't listen"));
        }
        if kind == ListenerKind::Inet {
            socket.set_tcp_nodelay(true)?;
        }
        Ok(Listener { socket, kind, is_inherited: true })
    }

    /// Listens no more, for all who share the socket (tcp(7): shutdown(2) ends LISTEN). One that
    /// somebody else has made is left alone: who connects waits there for the next process.
    pub fn stop(&self) {
        if self.is_inherited {
            return;
        }
        if let Err(error) = self.socket.shutdown(std::net::Shutdown::Both) {
            // Another shard has been faster with a socket that both share.
            tracing::debug!(%error, "a listener had been stopped");
        }
    }

    /// The same socket for another shard.
    pub fn try_clone(&self) -> io::Result<Listener> {
        let socket = self.socket.try_clone()?;
        Ok(Listener { socket, kind: self.kind, is_inherited: self.is_inherited })
    }

    /// Where it listens, with the port that the kernel chose.
    pub fn local_addr(&self) -> io::Result<ListenAddr> {
        let addr = self.socket.local_addr()?;
        if let Some(addr) = addr.as_socket() {
            return Ok(ListenAddr::Tcp(addr));
        }
        let path = addr.as_pathname().map(Path::to_path_buf);
        path.map(ListenAddr::Unix)
            .ok_or_else(|| refusal(io::ErrorKind::Unsupported, "the socket has no address"))
    }

    /// What kind of peers it has.
    pub fn kind(&self) -> ListenerKind {
        self.kind
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> OwnedFd {
        listener.socket.into()
    }
}

fn bind_tcp(addr: SocketAddr, options: ListenOptions) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(options.backlog)?;
    Ok(Listener { socket, kind: ListenerKind::Inet, is_inherited: false })
}

fn bind_unix(path: &Path, options: ListenOptions) -> io::Result<Listener> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before listen(2), so the file never serves with other permissions.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(options.unix_mode))?;
    socket.listen(options.backlog)?;
    Ok(Listener { socket, kind: ListenerKind::Unix, is_inherited: false })
}

/// Removes the file of a socket that nobody listens on any more, and nothing else.
fn remove_stale(path: &Path) -> io::Result<()> {
    let file = match std::fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file.file_type().is_socket() {
        let what = format!("{} exists and is no socket: choose another path", path.display());
        return Err(refusal(io::ErrorKind::AlreadyExists, &what));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Ok(_) => {
            let what = format!("{} is in use by another process", path.display());
            Err(refusal(io::ErrorKind::AddrInUse, &what))
        }
        Err(error) => Err(error),
    }
}

fn refusal(kind: io::ErrorKind, what: &str) -> io::Error {
    io::Error::new(kind, what)
}
