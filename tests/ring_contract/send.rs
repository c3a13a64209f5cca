//! Sends: what silence means, what a short count means, and who owns the bytes when.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringwire::base::ConnKey;
use ringwire::ring::staging::Piece;
use ringwire::ring::{DriverConfig, FileSlot, KernelFault, Op, ShutdownHow, Wait};
use socket2::SockRef;

use crate::harness::{Fact, PATIENCE, Rig, config, key, pattern, read_all};

const A_WHILE: Wait = Wait::Until(Duration::from_millis(50));

/// A client that takes little until it reads.
fn slow_client(rig: &mut Rig) -> (TcpStream, FileSlot) {
    let (client, file) = rig.connect();
    SockRef::from(&client).set_recv_buffer_size(256 << 10).unwrap();
    (client, file)
}

/// Writes `bytes` into the arena as `pieces` pieces that don't touch each other.
fn stage_in_arena(rig: &mut Rig, bytes: &[u8], pieces: usize) -> ringwire::ring::SegmentId {
    let mut last = None;
    let mut first = None;
    for chunk in bytes.chunks(bytes.len().div_ceil(pieces)) {
        let piece = Piece::Arena { start: rig.staging.mark(), len: chunk.len() as u32 };
        rig.staging.write(chunk);
        rig.staging.write(b"#");
        last = Some(match last {
            None => rig.staging.chain(piece),
            Some(last) => rig.staging.extend(last, piece),
        });
        first = first.or(last);
    }
    first.unwrap()
}

/// A turn after which the staged memory is overwritten, as the next turn would do.
fn turn_and_scribble(rig: &mut Rig) {
    rig.driver.submit(&mut rig.ops, &rig.staging, Wait::Now).unwrap();
    rig.staging.tail_mut(0).fill(0xEE);
    rig.turn(Wait::Now);
}

#[test]
fn silent_sends_and_counted_exceptions_add_up_to_the_stream() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (mut client, file) = slow_client(&mut rig);
    let (mut at, mut read, mut silent, mut exceptions) = (0, Vec::new(), 0, 0);
    while silent < 7_500 || exceptions < 40 {
        // Mostly small sends; every 150th is more than the socket holds.
        let len = if silent % 150 == 149 { 6 << 20 } else { 64 + silent % 1000 };
        let pieces = 1 + silent % 7;
        let first = stage_in_arena(&mut rig, &pattern(at, len), pieces);
        rig.ops.push(Op::Send { conn, file, first });
        turn_and_scribble(&mut rig);
        let taken = rig.taken(conn, len);
        at += taken;
        if taken == len {
            silent += 1;
        } else {
            exceptions += 1;
            silent += 1;
            drain(&mut client, &mut read, at);
        }
        assert!(rig.facts.is_empty(), "{:?}", rig.facts);
    }
    drain(&mut client, &mut read, at);
    assert!(read == pattern(0, at), "the stream is not what was counted");
    assert_eq!(rig.stats().sends_short, exceptions);
    rig.ops.push(Op::Close { conn, file });
    rig.turn(Wait::Now);
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "and not an octet more");
}

fn drain(client: &mut TcpStream, read: &mut Vec<u8>, to: usize) {
    let from = read.len();
    read.resize(to, 0);
    client.read_exact(&mut read[from..]).unwrap();
}

#[test]
fn a_short_count_spans_pieces_and_the_rest_was_not_touched() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (mut client, file) = slow_client(&mut rig);
    let all = pattern(0, 7 << 20);
    let first = stage_in_arena(&mut rig, &all, 500);
    rig.ops.push(Op::Send { conn, file, first });
    turn_and_scribble(&mut rig);
    let taken = rig.taken(conn, all.len());
    assert!(taken < all.len() && taken > 2 * (all.len() / 500), "{taken}");

    rig.close(conn, file);
    let mut read = Vec::new();
    client.read_to_end(&mut read).unwrap();
    assert_eq!(read.len(), taken);
    assert!(read == all[..taken]);
}

#[test]
fn a_full_socket_takes_nothing_and_says_so() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (client, file) = slow_client(&mut rig);
    fill(&mut rig, conn, file);
    rig.send(conn, file, &[b"no", b" room"]);
    rig.turn(Wait::Now);
    assert_eq!(rig.taken(conn, 7), 0);
    drop(client);
}

/// Sends until not an octet goes any more; gives how many went.
fn fill(rig: &mut Rig, conn: ConnKey, file: FileSlot) -> usize {
    let mut at = 0;
    let mut refused = 0;
    while refused < 3 {
        let chunk = pattern(at, 256 << 10);
        rig.send(conn, file, &[&chunk]);
        rig.turn(Wait::Now);
        let taken = rig.taken(conn, chunk.len());
        at += taken;
        // What is under way may still make room: full is full three times in a row.
        refused = if taken == 0 { refused + 1 } else { 0 };
        rig.turn(Wait::Until(Duration::from_millis(5)));
    }
    at
}

#[test]
fn a_chain_longer_than_the_kernel_takes_arrives_whole() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (mut client, file) = rig.connect();
    for pieces in [1023, 1024, 1025, 5000] {
        let all = pattern(pieces, pieces * 3);
        let first = stage_in_arena(&mut rig, &all, pieces);
        rig.ops.push(Op::Send { conn, file, first });
        turn_and_scribble(&mut rig);
        assert_eq!(rig.taken(conn, all.len()), all.len());
        let mut read = vec![0; all.len()];
        client.read_exact(&mut read).unwrap();
        assert_eq!(read, all);
    }
    assert_eq!(rig.stats().sends_gathered, 2);
}

#[test]
fn a_turn_may_have_more_orders_than_the_submission_queue() {
    let mut rig =
        Rig::accepting(DriverConfig { sq_entries: 4, cq_entries: 64, files: 256, ..config() });
    let mut conns: Vec<_> = (0..100).map(|slot| (key(slot, 1), rig.connect())).collect();
    for (conn, (_, file)) in &conns {
        let bytes = pattern(conn.slot.index(), 900);
        rig.send(*conn, *file, &[&bytes[..300], &bytes[300..301], &bytes[301..]]);
    }
    rig.turn(Wait::Now);
    for (conn, (client, _)) in &mut conns {
        let mut read = [0; 900];
        client.read_exact(&mut read).unwrap();
        assert_eq!(read.as_slice(), pattern(conn.slot.index(), 900));
    }
    assert!(rig.stats().sq_full > 0 && rig.facts.is_empty(), "{:?}", rig.facts);
}

#[test]
fn sends_of_consecutive_turns_arrive_in_order() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (client, file) = rig.connect();
    let reader = read_all(client);
    for turn in 0..2000_u32 {
        rig.send(conn, file, &[&turn.to_be_bytes()]);
        rig.turn(Wait::Now);
        assert_eq!(rig.taken(conn, 4), 4);
    }
    rig.close(conn, file);
    let expected: Vec<u8> = (0..2000_u32).flat_map(u32::to_be_bytes).collect();
    assert_eq!(reader.join().unwrap(), expected);
}

#[test]
fn a_send_to_a_peer_that_has_gone_fails() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (client, file) = rig.connect();
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let fault = rig.expect_send_fault(conn, file);
    assert!([libc::ECONNRESET, libc::EPIPE].contains(&fault.0), "{fault}");
}

impl Rig {
    /// Sends until the kernel has noticed the reset.
    fn expect_send_fault(&mut self, conn: ConnKey, file: FileSlot) -> KernelFault {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            self.send(conn, file, &[b"anyone?"]);
            self.turn(Wait::Now);
            if let Some(Fact::SendFailed { conn: of, fault }) = self.facts.pop() {
                assert_eq!(of, conn);
                return fault;
            }
            assert!(std::time::Instant::now() < deadline);
        }
    }
}

#[test]
fn a_queued_send_waits_for_the_reader_and_goes_whole() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (client, file) = slow_client(&mut rig);
    let before = fill(&mut rig, conn, file);
    let frames: Vec<Bytes> =
        pattern(before, 3 << 20).chunks(100_000).map(Bytes::copy_from_slice).collect();
    // Pretend that the first ten octets had gone with the fast send: they are not sent again.
    let skip = 10;
    rig.ops.push(Op::SendQueued { conn, file, frames, skip });
    rig.turn(A_WHILE);
    assert!(rig.facts.is_empty(), "nobody reads: {:?}", rig.facts);

    let reader = read_all(client);
    assert_eq!(rig.queued_sent(conn), Ok((3 << 20) - skip));
    rig.close(conn, file);
    let all = reader.join().unwrap();
    assert!(all[..before] == pattern(0, before));
    assert!(all[before..] == pattern(before + 10, (3 << 20) - 10));
}

#[test]
fn a_queued_send_of_very_many_frames_counts_what_it_took() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (client, file) = rig.connect();
    let reader = read_all(client);
    let all = pattern(0, 5000);
    let mut frames: Vec<Bytes> = all.chunks(1).map(Bytes::copy_from_slice).collect();
    while !frames.is_empty() {
        rig.ops.push(Op::SendQueued { conn, file, frames: frames.clone(), skip: 0 });
        let sent = rig.queued_sent(conn).unwrap();
        assert_eq!(sent as usize, frames.len().min(1024));
        frames.drain(..sent as usize);
    }
    rig.close(conn, file);
    assert_eq!(reader.join().unwrap(), all);
}

#[test]
fn a_shutdown_ends_a_queued_send() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (client, file) = slow_client(&mut rig);
    let before = fill(&mut rig, conn, file);
    let frames = vec![Bytes::from(pattern(before, 3 << 20))];
    rig.ops.push(Op::SendQueued { conn, file, frames, skip: 0 });
    rig.turn(Wait::Now);
    rig.ops.push(Op::Shutdown { file, how: ShutdownHow::Both });
    match rig.queued_sent(conn) {
        Ok(sent) => assert!(sent < 3 << 20),
        Err(fault) => assert_eq!(fault, KernelFault(libc::EPIPE)),
    }
    drop(client);
}

#[test]
fn what_a_fast_send_left_over_is_told_before_anything_else() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (mut client, file) = slow_client(&mut rig);
    fill(&mut rig, conn, file);
    rig.arm(conn, file);
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut together = 0;
    while together < 20 {
        assert!(std::time::Instant::now() < deadline, "{together} times");
        rig.facts.clear();
        client.write_all(b"x").unwrap();
        rig.send(conn, file, &[b"no room"]);
        rig.turn(Wait::Now);
        let is_short = |fact: &Fact| matches!(fact, Fact::SentShort { .. });
        assert_eq!(rig.facts.iter().position(is_short), Some(0), "{:?}", rig.facts);
        together += usize::from(!rig.received(conn).is_empty());
    }
}

#[test]
fn a_send_behind_our_own_shutdown_fails() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (mut client, file) = rig.connect();
    rig.ops.push(Op::Shutdown { file, how: ShutdownHow::Write });
    rig.turn(Wait::Now);
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "the shutdown is done");
    rig.send(conn, file, &[b"too late"]);
    rig.expect_fact(&Fact::SendFailed { conn, fault: KernelFault(libc::EPIPE) });
}

#[test]
fn a_reset_ends_a_queued_send() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (client, file) = slow_client(&mut rig);
    let before = fill(&mut rig, conn, file);
    let frames = vec![Bytes::from(pattern(before, 3 << 20))];
    rig.ops.push(Op::SendQueued { conn, file, frames, skip: 0 });
    rig.turn(Wait::Now);
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    match rig.queued_sent(conn) {
        Ok(sent) => assert!(sent < 3 << 20),
        Err(fault) => assert!([libc::ECONNRESET, libc::EPIPE].contains(&fault.0), "{fault}"),
    }
}

/// Frames that say whether someone still holds them.
fn watched(len: usize) -> (Bytes, Arc<Vec<u8>>) {
    let bytes = Arc::new(pattern(0, len));
    struct Owner(Arc<Vec<u8>>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    (Bytes::from_owner(Owner(bytes.clone())), bytes)
}

#[test]
fn frames_of_a_queued_send_outlive_a_close() {
    let mut rig = Rig::accepting(config());
    let conn = key(0, 1);
    let (client, file) = slow_client(&mut rig);
    let before = fill(&mut rig, conn, file);
    let (frame, held) = watched(3 << 20);
    rig.ops.push(Op::SendQueued { conn, file, frames: vec![frame], skip: 0 });
    rig.turn(Wait::Now);
    // A close out of order (O3 forbids it): the kernel's operation holds the socket.
    rig.close(conn, file);
    assert_eq!(Arc::strong_count(&held), 2);

    let reader = read_all(client);
    assert_eq!(rig.queued_sent(conn), Ok(3 << 20));
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(reader.join().unwrap()[before..] == held[..]);
}

#[test]
fn a_driver_that_goes_away_takes_its_sockets_and_memory_with_it() {
    let mut rig = Rig::accepting(config());
    let (sending, receiving) = (key(0, 1), key(1, 1));
    let (mut stuck, file) = slow_client(&mut rig);
    let (mut idle, idle_file) = rig.connect();
    rig.arm(receiving, idle_file);
    fill(&mut rig, sending, file);
    let (frame, held) = watched(3 << 20);
    rig.ops.push(Op::SendQueued { conn: sending, file, frames: vec![frame], skip: 0 });
    rig.turn(Wait::Now);
    assert_eq!(Arc::strong_count(&held), 2);
    let addr = rig.tcp_addr();

    drop(rig);

    assert_eq!(Arc::strong_count(&held), 1);
    // (The end of a ring interrupts a blocking read of its thread once: `read_to_end` repeats it.)
    idle.read_to_end(&mut Vec::new()).unwrap();
    stuck.read_to_end(&mut Vec::new()).unwrap();
    TcpStream::connect(addr).expect_err("nobody listens any more");
}
