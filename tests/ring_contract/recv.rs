//! Receives: stalls, ends, cancels, and what outlives a close.

use std::io::{Read, Write};
use std::net::TcpStream;

use ringwire::base::ConnKey;
use ringwire::ring::{DriverConfig, FileSlot, KernelFault, Op, RecvEnd, ShutdownHow, Wait};
use socket2::SockRef;

use crate::harness::{Fact, Rig, config, key, pattern};

/// Arms again after every end that is not the last, until `len` octets have come.
fn receive(rig: &mut Rig, conn: ConnKey, file: FileSlot, len: usize) -> Vec<RecvEnd> {
    let mut ends = Vec::new();
    while rig.received(conn).len() < len {
        rig.turn(Wait::Until(std::time::Duration::from_millis(20)));
        let ended = rig.facts.iter().rposition(|fact| matches!(fact, Fact::RecvEnded { .. }));
        if let Some(Fact::RecvEnded { conn: of, why }) = ended.map(|at| rig.facts.remove(at)) {
            assert_eq!(of, conn);
            assert!(matches!(why, RecvEnd::Starved | RecvEnd::Again), "{why:?}");
            ends.push(why);
            rig.ops.push(Op::ArmRecv { conn, file });
        }
    }
    ends
}

fn write_in_thread(client: &TcpStream, bytes: Vec<u8>) -> std::thread::JoinHandle<()> {
    let mut client = client.try_clone().unwrap();
    std::thread::spawn(move || client.write_all(&bytes).unwrap())
}

#[test]
fn an_empty_pool_stalls_a_receive_and_loses_nothing() {
    let mut rig = Rig::accepting(DriverConfig { recv_buffers: 4, ..config() });
    let conn = key(3, 1);
    let (client, file) = rig.connect();
    let sent = pattern(0, 1 << 20);
    let writer = write_in_thread(&client, sent.clone());

    rig.arm(conn, file);
    let ends = receive(&mut rig, conn, file, sent.len());

    writer.join().unwrap();
    assert_eq!(rig.received(conn), sent);
    assert!(ends.contains(&RecvEnd::Starved), "{ends:?}");
    assert_eq!(rig.stats().starved, ends.iter().filter(|e| **e == RecvEnd::Starved).count() as u64);
}

#[test]
fn a_stalled_receive_of_one_connection_does_not_stall_another_for_good() {
    let mut rig = Rig::accepting(DriverConfig { recv_buffers: 1, ..config() });
    let conns: Vec<_> = (0..8).map(|slot| (key(slot, 1), rig.connect())).collect();
    for (conn, (client, file)) in &conns {
        (&mut &*client).write_all(&pattern(conn.slot.index(), 10_000)).unwrap();
        rig.ops.push(Op::ArmRecv { conn: *conn, file: *file });
    }
    rig.until("all received", |rig| {
        conns.iter().all(|(conn, _)| rig.received(*conn).len() == 10_000) || rig.stats().starved > 7
    });
    while conns.iter().any(|(conn, _)| rig.received(*conn).len() < 10_000) {
        for (conn, (_, file)) in &conns {
            let end = |fact: &Fact| matches!(fact, Fact::RecvEnded { conn: of, .. } if of == conn);
            if let Some(at) = rig.facts.iter().position(end) {
                rig.facts.remove(at);
                rig.ops.push(Op::ArmRecv { conn: *conn, file: *file });
            }
        }
        rig.turn(Wait::Now);
    }
    for (conn, _) in &conns {
        assert_eq!(rig.received(*conn), pattern(conn.slot.index(), 10_000));
    }
}

#[test]
fn a_multishot_receive_that_ends_without_a_reason_goes_on_when_armed_again() {
    // A completion queue of four can't hold what one connection has to say: the kernel ends the
    // multishot when it has no room for "more to come".
    let small = DriverConfig { sq_entries: 4, cq_entries: 4, recv_buffer_bytes: 256, ..config() };
    let mut rig = Rig::accepting(DriverConfig { accepts_in_flight: 1, ..small });
    let conn = key(0, 1);
    let (client, file) = rig.connect();
    let sent = pattern(0, 200_000);
    let writer = write_in_thread(&client, sent.clone());
    rig.arm(conn, file);

    let ends = receive(&mut rig, conn, file, sent.len());

    writer.join().unwrap();
    assert_eq!(rig.received(conn), sent);
    assert!(ends.contains(&RecvEnd::Again), "{ends:?}");
}

#[test]
fn an_overflowed_completion_queue_loses_nothing() {
    let small = DriverConfig { sq_entries: 8, cq_entries: 8, recv_buffers: 256, ..config() };
    let mut rig = Rig::accepting(small);
    let conns: Vec<_> = (0..40).map(|slot| (key(slot, 1), rig.connect())).collect();
    for (conn, (_, file)) in &conns {
        rig.ops.push(Op::ArmRecv { conn: *conn, file: *file });
    }
    rig.turn(Wait::Now);
    for (conn, (client, _)) in &conns {
        (&mut &*client).write_all(&pattern(conn.slot.index() * 7, 3000)).unwrap();
    }
    for (_, (client, _)) in &conns {
        client.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let eof = |rig: &Rig, conn| rig.facts.contains(&Fact::RecvEnded { conn, why: RecvEnd::Eof });
    while !conns.iter().all(|(conn, _)| eof(&rig, *conn)) {
        for (conn, (_, file)) in &conns {
            let again = Fact::RecvEnded { conn: *conn, why: RecvEnd::Again };
            if let Some(at) = rig.facts.iter().position(|fact| *fact == again) {
                rig.facts.remove(at);
                rig.ops.push(Op::ArmRecv { conn: *conn, file: *file });
            }
        }
        rig.turn(Wait::Until(std::time::Duration::from_millis(20)));
    }
    for (conn, _) in &conns {
        assert_eq!(rig.received(*conn), pattern(conn.slot.index() * 7, 3000));
    }
    assert!(rig.stats().cq_overflows > 0, "{:?}", rig.stats());
}

#[test]
fn a_cancelled_receive_leaves_no_byte_behind_and_takes_none() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (client, file) = rig.connect();
    let sent = pattern(0, 4 << 20);
    let writer = write_in_thread(&client, sent.clone());

    let mut cancelled = 0;
    while rig.received(conn).len() < sent.len() {
        rig.ops.push(Op::ArmRecv { conn, file });
        rig.turn(Wait::Now);
        rig.ops.push(Op::CancelRecv { conn });
        let why = rig.recv_end(conn);
        cancelled += u32::from(why == RecvEnd::Cancelled);
        merge(&mut rig, conn);
    }
    writer.join().unwrap();
    assert_eq!(rig.received(conn), sent);
    assert!(cancelled > 0);
}

/// Keeps the list of facts short: what was received becomes one fact.
fn merge(rig: &mut Rig, conn: ConnKey) {
    let bytes = rig.received(conn);
    rig.facts.clear();
    rig.facts.push(Fact::Received { conn, bytes });
}

#[test]
fn a_cancel_behind_the_end_is_harmless() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (client, file) = rig.connect();
    rig.arm(conn, file);
    drop(client);
    assert_eq!(rig.recv_end(conn), RecvEnd::Eof);
    rig.ops.push(Op::CancelRecv { conn });
    rig.turn(Wait::Now);
    assert_eq!(rig.stats().cancels_late, 1);
    assert_eq!(rig.facts, [Fact::CancelMissed { conn }]);
}

/// Whatever the kernel was doing with the receive: it ends, and not an octet is missing.
#[test]
fn a_cancel_that_races_with_octets_ends_the_receive() {
    const ROUNDS: usize = 2000;
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (mut client, file) = rig.connect();
    let writer = std::thread::spawn(move || {
        (0..ROUNDS * 4).for_each(|_| client.write_all(b"x").unwrap());
        client
    });
    for _ in 0..ROUNDS {
        rig.arm(conn, file);
        rig.cancel(conn);
    }
    let _client = writer.join().unwrap();
    rig.arm(conn, file);
    rig.until("all octets", |rig| rig.received(conn).len() == ROUNDS * 4);
}

#[test]
fn a_reset_is_a_failure_not_an_end() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (client, file) = rig.connect();
    rig.arm(conn, file);
    SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(rig.recv_end(conn), RecvEnd::Failed(KernelFault(libc::ECONNRESET)));
}

#[test]
fn closing_a_descriptor_does_not_end_its_receive() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (mut client, file) = rig.connect();
    rig.arm(conn, file);

    rig.close(conn, file);
    client.write_all(b"still there").unwrap();
    rig.until("received", |rig| rig.received(conn) == b"still there");

    drop(client);
    assert_eq!(rig.recv_end(conn), RecvEnd::Eof);
}

#[test]
fn shutting_both_halves_down_ends_the_receive_and_tells_the_peer() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (mut client, file) = rig.connect();
    rig.arm(conn, file);
    rig.ops.push(Op::Shutdown { file, how: ShutdownHow::Both });
    assert_eq!(rig.recv_end(conn), RecvEnd::Eof);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    rig.close(conn, file);
}

#[test]
fn shutting_the_write_half_down_leaves_the_receive_armed() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (mut client, file) = rig.connect();
    rig.arm(conn, file);
    rig.ops.push(Op::Shutdown { file, how: ShutdownHow::Write });
    rig.turn(Wait::Now);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    client.write_all(b"last words").unwrap();
    rig.until("received", |rig| rig.received(conn) == b"last words");
}

#[test]
fn a_completion_of_a_reused_slot_carries_the_generation_it_was_armed_for() {
    let mut rig = Rig::accepting(config());
    let (old, new) = (key(0, 1), key(0, 2));
    let (mut old_client, file) = rig.connect();
    rig.arm(old, file);
    rig.close(old, file);
    let (mut new_client, same_file) = rig.connect();
    assert_eq!(file, same_file, "the kernel gives the lowest free slot");
    rig.arm(new, file);

    old_client.write_all(b"from the grave").unwrap();
    new_client.write_all(b"alive").unwrap();

    rig.until("both", |rig| !rig.received(old).is_empty() && !rig.received(new).is_empty());
    assert_eq!(rig.received(old), b"from the grave");
    assert_eq!(rig.received(new), b"alive");
    rig.ops.push(Op::CancelRecv { conn: old });
    assert_eq!(rig.recv_end(old), RecvEnd::Cancelled);
    new_client.write_all(b"!").unwrap();
    rig.until("the other is untouched", |rig| rig.received(new) == b"alive!");
}

#[test]
fn a_shutdown_never_hits_the_next_connection_of_a_slot() {
    let mut rig = Rig::accepting(config());
    for generation in 0..500 {
        let conn = key(0, generation);
        let (mut client, file) = rig.connect();
        rig.arm(conn, file);
        client.write_all(b"x").unwrap();
        rig.until("received", |rig| rig.received(conn) == b"x");
        assert!(!rig.facts.contains(&Fact::RecvEnded { conn, why: RecvEnd::Eof }));
        rig.ops.push(Op::CancelRecv { conn });
        assert_eq!(rig.recv_end(conn), RecvEnd::Cancelled);
        rig.ops.push(Op::Shutdown { file, how: ShutdownHow::Both });
        rig.ops.push(Op::Close { conn, file });
        rig.expect_fact(&Fact::Closed { conn });
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        rig.facts.clear();
    }
    assert_eq!((rig.stats().closes_deferred, rig.stats().closes_failed), (500, 0));
}

#[test]
fn the_end_comes_behind_the_last_octet() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (mut client, file) = rig.connect();
    let sent = pattern(0, 300_000);
    let writer = write_in_thread(&client, sent.clone());
    rig.arm(conn, file);
    receive(&mut rig, conn, file, 1);
    writer.join().unwrap();
    client.write_all(b"!").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    receive_to_the_end(&mut rig, conn, file);
    assert_eq!(rig.received(conn), [sent, b"!".to_vec()].concat());
}

/// Arms again until the stream's end is told, and nothing is told behind it.
fn receive_to_the_end(rig: &mut Rig, conn: ConnKey, file: FileSlot) {
    let end = Fact::RecvEnded { conn, why: RecvEnd::Eof };
    while !rig.facts.contains(&end) {
        if let Some(at) = rig.facts.iter().position(|fact| matches!(fact, Fact::RecvEnded { .. })) {
            rig.facts.remove(at);
            rig.ops.push(Op::ArmRecv { conn, file });
        }
        rig.turn(Wait::Until(std::time::Duration::from_millis(20)));
    }
    rig.turn(Wait::Until(std::time::Duration::from_millis(2)));
    assert_eq!(rig.facts.last(), Some(&end));
}

/// A connection of which the first octets were received and more lie in the socket.
fn with_unread_input(rig: &mut Rig, conn: ConnKey) -> (TcpStream, FileSlot) {
    let (mut client, file) = rig.connect();
    // One segment on this network, so what begins to arrive is all there.
    client.write_all(&pattern(0, 10_000)).unwrap();
    rig.arm(conn, file);
    while rig.recv_end(conn) != RecvEnd::Starved {
        rig.ops.push(Op::ArmRecv { conn, file });
    }
    assert!(rig.received(conn).len() < 10_000);
    (client, file)
}

#[test]
fn what_had_come_before_a_shutdown_is_still_received() {
    let mut rig = Rig::accepting(DriverConfig { recv_buffers: 1, ..config() });
    let conn = key(0, 1);
    let (mut client, file) = with_unread_input(&mut rig, conn);
    rig.ops.push(Op::Shutdown { file, how: ShutdownHow::Both });
    rig.turn(Wait::Now);
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "the shutdown is done");
    rig.ops.push(Op::ArmRecv { conn, file });
    receive_to_the_end(&mut rig, conn, file);
    assert_eq!(rig.received(conn), pattern(0, 10_000));
}

#[test]
fn a_close_with_unread_input_resets_the_client() {
    let mut rig = Rig::accepting(DriverConfig { recv_buffers: 1, ..config() });
    let conn = key(0, 1);
    let (mut client, file) = with_unread_input(&mut rig, conn);
    rig.close(conn, file);
    let read = client.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(read, Err(std::io::ErrorKind::ConnectionReset));
}
