//! The command line that all peers have, and the listening socket.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use rustix::net::{AddressFamily, SocketAddrV4, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections that wait to be accepted; the kernel caps it.
const BACKLOG: i32 = 65_535;

/// The port of `--port P`. Says what is wrong and ends the process otherwise.
pub fn port() -> u16 {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [name, value] if name == "--port" => value.parse().ok(),
        _ => None,
    }
    .unwrap_or_else(|| usage("usage: PEER --port PORT"))
}

/// The port, and how often each connection is sent a ping, of `--port P [--heartbeat-ms N]`.
pub fn port_and_heartbeat() -> (u16, Option<u64>) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let parsed = match args.as_slice() {
        ["--port", port] => port.parse().ok().map(|port| (port, None)),
        ["--port", port, "--heartbeat-ms", ms] => {
            let ms = ms.parse().ok().filter(|ms| *ms > 0);
            port.parse().ok().zip(ms).map(|(port, ms)| (port, Some(ms)))
        }
        _ => None,
    };
    parsed.unwrap_or_else(|| usage("usage: floor-uring --port PORT [--heartbeat-ms MILLISECONDS]"))
}

fn usage(text: &str) -> ! {
    eprintln!("{text}");
    std::process::exit(2)
}

/// A non-blocking listener on all addresses. TCP_NODELAY is inherited by what it accepts.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    raise_descriptors()?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Descriptors that this process may have.
pub fn descriptors_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(1 << 20)
}

/// Clients may come from now on.
pub fn ready() {
    println!("ready");
}

fn raise_descriptors() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}
