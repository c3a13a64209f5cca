//! Accepts: addresses, a full table, stopping and starting again.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use ringwire::ring::{
    AcceptFault, DriverConfig, KernelFault, ListenAddr, Listener, ListenerId, Op, PeerAddr, Wait,
};

use crate::harness::{Fact, LISTENER, OPTIONS, PATIENCE, Rig, config, key, listen};

const STOPPED: Fact = Fact::AcceptStopped { listener: LISTENER };

fn stops(rig: &Rig) -> usize {
    rig.facts.iter().filter(|fact| **fact == STOPPED).count()
}

/// A path that no other test uses.
fn socket_path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ring-{}-{name}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn the_peer_of_a_tcp_connection_is_known_at_once() {
    for addr in ["127.0.0.1:0", "[::1]:0"] {
        let mut rig = Rig::accepting(DriverConfig { listeners: vec![listen(addr)], ..config() });
        // More than there are accepts in flight: each address is read before it is used again.
        let clients: Vec<_> =
            (0..12).map(|_| TcpStream::connect(rig.tcp_addr()).unwrap()).collect();
        let mut expected: Vec<SocketAddr> =
            clients.iter().map(|client| client.local_addr().unwrap()).collect();
        let mut peers: Vec<SocketAddr> = (0..12)
            .map(|_| match rig.accepted().1 {
                PeerAddr::Inet(peer) => peer,
                other => panic!("{other:?}"),
            })
            .collect();
        expected.sort();
        peers.sort();
        assert_eq!(peers, expected);
    }
}

#[test]
fn a_full_table_stops_accepting_and_harms_nobody() {
    let mut rig = Rig::accepting(DriverConfig { files: 6, ..config() });
    let mut conns: Vec<_> = (0..6).map(|slot| (key(slot, 1), rig.connect())).collect();
    let mut refused = TcpStream::connect(rig.tcp_addr()).unwrap();
    rig.expect_fact(&Fact::AcceptFailed { listener: LISTENER, fault: AcceptFault::TableFull });
    rig.expect_fact(&STOPPED);
    assert!(matches!(refused.read(&mut [0]), Ok(0) | Err(_)), "the kernel has hung up");

    for (conn, (client, file)) in &mut conns {
        rig.arm(*conn, *file);
        client.write_all(b"ping").unwrap();
        rig.until("received", |rig| rig.received(*conn) == b"ping");
        rig.send(*conn, *file, &[b"pong"]);
        rig.turn(Wait::Now);
        client.read_exact(&mut [0; 4]).unwrap();
    }
    let (conn, (client, file)) = conns.remove(2);
    drop(client);
    rig.recv_end(conn);
    rig.close(conn, file);
    rig.ops.push(Op::ArmAccept { listener: LISTENER });
    let (_client, reused) = rig.connect();
    assert_eq!(reused, file);
    assert_eq!(stops(&rig), 0);
}

#[test]
fn cancelled_accepts_stop_once_and_start_again() {
    let mut rig = Rig::accepting(config());
    for round in 0..20 {
        rig.ops.push(Op::CancelAccept { listener: LISTENER });
        rig.expect_fact(&STOPPED);
        rig.turn(Wait::Until(Duration::from_millis(2)));
        let client = TcpStream::connect(rig.tcp_addr()).unwrap();
        rig.turn(Wait::Until(Duration::from_millis(2)));
        assert!(rig.facts.is_empty(), "round {round}: {:?}", rig.facts);

        rig.ops.push(Op::ArmAccept { listener: LISTENER });
        let (file, peer) = rig.accepted();
        assert_eq!(peer, PeerAddr::Inet(client.local_addr().unwrap()));
        rig.ops.push(Op::CloseUnused { file });
    }
    rig.turn(Wait::Now);
    assert_eq!(rig.stats().closes_failed, 0);
}

#[test]
fn a_cancel_that_races_with_connections_loses_none() {
    let mut rig = Rig::accepting(DriverConfig { files: 2048, ..config() });
    let addr = rig.tcp_addr();
    let dialler = std::thread::spawn(move || {
        (0..1000).map(|_| TcpStream::connect(addr).unwrap()).collect::<Vec<_>>()
    });
    let accepted =
        |rig: &Rig| rig.facts.iter().filter(|fact| matches!(fact, Fact::Accepted { .. })).count();
    while accepted(&rig) < 1000 {
        rig.ops.push(Op::CancelAccept { listener: LISTENER });
        rig.expect_fact(&STOPPED);
        rig.ops.push(Op::ArmAccept { listener: LISTENER });
        rig.turn(Wait::Until(Duration::from_millis(1)));
    }
    dialler.join().unwrap();
    assert_eq!((accepted(&rig), rig.facts.len()), (1000, 1000));
}

#[test]
fn unix_connections_are_accepted_until_cancelled() {
    let path = socket_path("accept");
    let unix = Listener::bind(&ListenAddr::Unix(path.clone()), OPTIONS).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, OPTIONS.unix_mode);
    let second = ListenerId(1);
    let listeners = vec![listen("127.0.0.1:0"), unix];
    let mut rig = Rig::accepting(DriverConfig { listeners, ..config() });
    rig.ops.push(Op::ArmAccept { listener: second });
    rig.turn(Wait::Now);
    for slot in 0..10 {
        let mut client = UnixStream::connect(&path).unwrap();
        let conn = key(slot, 1);
        let file = rig.expect("Accepted", |fact| match fact {
            Fact::Accepted { listener, file, peer } => {
                assert_eq!((*listener, *peer), (second, PeerAddr::Unix));
                Some(*file)
            }
            _ => None,
        });
        rig.arm(conn, file);
        client.write_all(b"local").unwrap();
        rig.until("received", |rig| rig.received(conn) == b"local");
        rig.send(conn, file, &[b"yes", b"!"]);
        rig.turn(Wait::Now);
        client.read_exact(&mut [0; 4]).unwrap();
    }
    rig.ops.push(Op::CancelAccept { listener: second });
    rig.expect_fact(&Fact::AcceptStopped { listener: second });
    rig.facts.clear();
    let (_client, _) = rig.connect();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_full_table_stops_unix_accepts_too() {
    let path = socket_path("full");
    let listeners = vec![Listener::bind(&ListenAddr::Unix(path.clone()), OPTIONS).unwrap()];
    let mut rig = Rig::accepting(DriverConfig { files: 2, listeners, ..config() });
    let _clients: Vec<_> = (0..3).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let (file, _) = rig.accepted();
    rig.accepted();
    rig.expect_fact(&Fact::AcceptFailed { listener: LISTENER, fault: AcceptFault::TableFull });
    rig.expect_fact(&STOPPED);
    rig.ops.push(Op::CloseUnused { file });
    rig.ops.push(Op::ArmAccept { listener: LISTENER });
    let _client = UnixStream::connect(&path).unwrap();
    assert_eq!(rig.accepted().0, file);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_stale_socket_file_is_replaced_and_nothing_else_is() {
    let path = socket_path("stale");
    let addr = ListenAddr::Unix(path.clone());
    drop(UnixListener::bind(&path).unwrap());
    let listener = Listener::bind(&addr, OPTIONS).unwrap();
    assert_eq!(listener.local_addr().unwrap(), addr);
    let in_use = Listener::bind(&addr, OPTIONS).unwrap_err();
    assert_eq!(in_use.kind(), std::io::ErrorKind::AddrInUse);
    drop(listener);
    std::fs::remove_file(&path).unwrap();

    std::fs::write(&path, "precious").unwrap();
    let no_socket = Listener::bind(&addr, OPTIONS).unwrap_err();
    assert_eq!(no_socket.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn every_shard_gets_a_listener_of_its_own_on_one_port() {
    let addr = ListenAddr::Tcp("127.0.0.1:0".parse().unwrap());
    let listeners = Listener::bind_all(&addr, OPTIONS, 3).unwrap();
    let resolved: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
    assert!(resolved.iter().all(|addr| *addr == resolved[0]));
    let mut rigs: Vec<_> = listeners
        .into_iter()
        .map(|listener| Rig::accepting(DriverConfig { listeners: vec![listener], ..config() }))
        .collect();
    let to = rigs[0].tcp_addr();
    let _clients: Vec<_> = (0..60).map(|_| TcpStream::connect(to).unwrap()).collect();
    let accepted = |rigs: &[Rig]| rigs.iter().map(|rig| rig.facts.len()).sum::<usize>();
    while accepted(&rigs) < 60 {
        rigs.iter_mut().for_each(|rig| rig.turn(Wait::Until(Duration::from_millis(2))));
    }
    assert!(rigs.iter().all(|rig| !rig.facts.is_empty()), "the kernel spreads by hash");
}

#[test]
fn a_listener_hands_down_nodelay_to_its_connections() {
    for listener in [listen("127.0.0.1:0"), inherited_listener()] {
        let listener = TcpListener::from(OwnedFd::from(listener));
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }
}

/// A listener as systemd would pass it.
fn inherited_listener() -> Listener {
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    Listener::from_fd(plain.into()).unwrap()
}

#[test]
fn a_descriptor_that_does_not_listen_is_refused() {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(peer.local_addr().unwrap()).unwrap();
    Listener::from_fd(client.into()).unwrap_err();
}

#[test]
fn who_waits_when_listening_stops_is_turned_away() {
    let mut rig = Rig::new(config());
    let mut waiting = TcpStream::connect(rig.tcp_addr()).unwrap();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    rig.driver.stop_listening();
    let read = waiting.read(&mut [0]).map_err(|error| error.kind());
    assert!(matches!(read, Ok(0) | Err(ErrorKind::ConnectionReset)), "{read:?}");
    TcpStream::connect(rig.tcp_addr()).expect_err("nobody listens");

    rig.ops.push(Op::ArmAccept { listener: LISTENER });
    let fault = AcceptFault::Kernel(KernelFault(libc::EINVAL));
    rig.expect_fact(&Fact::AcceptFailed { listener: LISTENER, fault });
    rig.expect_fact(&STOPPED);
}
