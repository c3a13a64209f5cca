//! Where the admin interface listens: a loopback address or a Unix socket, nothing else.
//!
//! Who reaches the admin interface may publish and drain, so the address is the permission: other
//! hosts are kept out by loopback, other users by the mode of the socket.

use socket2::{Domain, SockAddr, Socket, Type};
use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

const BACKLOG: i32 = 128;

/// An address that the admin interface may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddr {
    /// Loopback only.
    Tcp(SocketAddr),
    /// A path; the socket is for its owner only (mode 0600).
    Unix(PathBuf),
}

/// Why the admin interface can't listen, and what to type instead.
#[derive(Debug, thiserror::Error)]
pub enum AdminAddrError {
    /// Neither an address nor a path.
    #[error("`{0}` is no admin address; write 127.0.0.1:9002 or unix:/run/ringwire/admin.sock")]
    Malformed(String),
    /// Others could reach it.
    #[error(
        "the admin interface has no access control of its own and would be open to others on {0}; \
         use --admin 127.0.0.1:{port} or --admin unix:/run/ringwire/admin.sock",
        port = .0.port()
    )]
    NotLoopback(SocketAddr),
    /// Something that is not a socket is there.
    #[error("{} exists and is no socket; move it away or give another path", .0.display())]
    NotASocket(PathBuf),
    /// Another process answers there.
    #[error("another process listens on {0}; end it or give another address with --admin")]
    InUse(AdminAddr),
    /// The system refused.
    #[error("cannot listen on {addr}: {source}; give another address with --admin")]
    Bind {
        /// Where.
        addr: AdminAddr,
        /// Why.
        source: io::Error,
    },
}

/// A bound socket of the admin interface. A Unix socket's file goes with it.
#[derive(Debug)]
pub struct AdminListener {
    pub(super) socket: BoundSocket,
}

#[derive(Debug)]
pub(super) enum BoundSocket {
    Tcp(std::net::TcpListener),
    Unix(UnixListener, PathBuf),
}

impl FromStr for AdminAddr {
    type Err = AdminAddrError;

    fn from_str(text: &str) -> Result<Self, AdminAddrError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(AdminAddr::Unix(path.into()));
        }
        let malformed = |_| AdminAddrError::Malformed(text.to_owned());
        let addr: SocketAddr = text.parse().map_err(malformed)?;
        if addr.ip().to_canonical().is_loopback() {
            Ok(AdminAddr::Tcp(addr))
        } else {
            Err(AdminAddrError::NotLoopback(addr))
        }
    }
}

impl fmt::Display for AdminAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminAddr::Tcp(addr) => write!(f, "{addr}"),
            AdminAddr::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl AdminListener {
    /// Binds and listens.
    pub fn bind(addr: &AdminAddr) -> Result<AdminListener, AdminAddrError> {
        let socket = match addr {
            AdminAddr::Tcp(tcp) if !tcp.ip().to_canonical().is_loopback() => {
                return Err(AdminAddrError::NotLoopback(*tcp));
            }
            AdminAddr::Tcp(tcp) => bind_tcp(*tcp).map(BoundSocket::Tcp),
            AdminAddr::Unix(path) => {
                clear_stale(addr, path)?;
                bind_unix(path).map(|listener| BoundSocket::Unix(listener, path.clone()))
            }
        };
        match socket {
            Ok(socket) => Ok(AdminListener { socket }),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                Err(AdminAddrError::InUse(addr.clone()))
            }
            Err(source) => Err(AdminAddrError::Bind { addr: addr.clone(), source }),
        }
    }

    /// The address it has, with the port that the system chose.
    pub fn local_addr(&self) -> io::Result<AdminAddr> {
        match &self.socket {
            BoundSocket::Tcp(listener) => Ok(AdminAddr::Tcp(listener.local_addr()?)),
            BoundSocket::Unix(_, path) => Ok(AdminAddr::Unix(path.clone())),
        }
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        match self {
            BoundSocket::Tcp(_) => {}
            // A file that is gone already is as good.
            BoundSocket::Unix(_, path) => drop(fs::remove_file(path)),
        }
    }
}

fn bind_tcp(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The mode is set between bind and listen: nobody can connect before it holds.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Removes the socket that a process left behind when it was killed; never anything else.
fn clear_stale(addr: &AdminAddr, path: &Path) -> Result<(), AdminAddrError> {
    let failed = |source| AdminAddrError::Bind { addr: addr.clone(), source };
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(AdminAddrError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(e) => Err(failed(e)),
        Ok(_) => Err(AdminAddrError::InUse(addr.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_loopback_or_a_path_and_the_errors_say_what_to_type() {
        for good in ["127.0.0.1:9002", "127.8.0.1:1", "[::1]:9002", "unix:/run/x.sock"] {
            assert_eq!(good.parse::<AdminAddr>().expect(good).to_string(), good);
        }
        for open in ["0.0.0.0:9002", "[::]:9002", "10.0.0.1:9002", "[::ffff:10.0.0.1]:9002"] {
            let error = open.parse::<AdminAddr>().expect_err(open).to_string();
            assert!(error.contains("--admin 127.0.0.1:9002"), "{error}");
        }
        for bad in ["", "unix:", "9002", "localhost", "/run/x.sock"] {
            let error = bad.parse::<AdminAddr>().expect_err(bad).to_string();
            assert!(error.contains("write 127.0.0.1:9002"), "{error}");
        }
    }

    #[test]
    fn a_socket_left_behind_is_replaced_a_living_one_and_a_file_are_not() {
        let dir = std::env::temp_dir().join(format!("ringwire-admin-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let path = dir.join("admin.sock");
        let addr = AdminAddr::Unix(path.clone());
        drop(UnixListener::bind(&path).expect("bound"));
        let living = AdminListener::bind(&addr).expect("the stale one is replaced");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(AdminListener::bind(&addr), Err(AdminAddrError::InUse(_))));
        drop(living);
        assert!(!path.exists(), "the file goes with the listener");
        fs::write(&path, "precious").expect("written");
        assert!(matches!(AdminListener::bind(&addr), Err(AdminAddrError::NotASocket(_))));
        assert!(path.exists());
        fs::remove_dir_all(&dir).expect("removed");
    }
}
