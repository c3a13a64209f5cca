//! In steady state neither an echoed nor a published message costs a heap allocation: measured with
//! a counting allocator, first on a shard alone, then on a shard with the real ring and a client on
//! a real socket.

mod counting;
mod rig;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rig::{Machine, Ring, frame};
use ringwire::limits;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const WARM_UP: u64 = 1_000;
const STEADY: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Allocations of `steady` rounds, after rounds that may allocate what is kept from then on.
fn in_steady_state(mut round: impl FnMut(u64)) -> u64 {
    (0..WARM_UP).for_each(&mut round);
    counting::start();
    (WARM_UP..WARM_UP + STEADY).for_each(&mut round);
    counting::stop()
}

#[test]
fn the_counter_counts_this_thread_and_only_while_it_is_asked_to() {
    let before = Box::new(1);
    counting::start();
    let during = Box::new(2);
    let mut growing = Vec::with_capacity(1);
    growing.push(3);
    growing.reserve_exact(100);
    thread::scope(|scope| {
        scope.spawn(|| drop(std::hint::black_box(vec![0_u8; 4096])));
    });
    let with_a_thread = counting::stop();
    let after = Box::new(4);
    assert!(with_a_thread >= 3, "a box, a vector and its growth: {with_a_thread}");
    counting::start();
    let zeroed = vec![0_u8; 64];
    assert_eq!(counting::stop(), 1, "zeroed memory counts as well");
    drop((before, during, growing, after, zeroed));
}

#[test]
fn a_shard_echoes_without_allocating() {
    for payload in [&b""[..], b"hello", &[b'x'; 125], &[b'y'; 3000]] {
        let (mut machine, sent, expected) = (Machine::new(), frame(payload), rig::echo(payload));
        let mut received = sent.clone();
        let allocations = in_steady_state(|_| {
            received.copy_from_slice(&sent);
            machine.receive(&mut received);
            machine.turn();
            assert!(machine.sent() == expected, "the echo is not intact");
        });
        assert_eq!(allocations, 0, "{} octets, {STEADY} messages", payload.len());
    }
}

#[test]
fn a_shard_echoes_pipelined_messages_without_allocating() {
    const PIPELINED: usize = 16;
    let mut machine = Machine::new();
    let sent = frame(b"one of many").repeat(PIPELINED);
    let expected = rig::echo(b"one of many").repeat(PIPELINED);
    let mut received = sent.clone();
    let allocations = in_steady_state(|_| {
        received.copy_from_slice(&sent);
        machine.receive(&mut received);
        machine.turn();
        assert!(machine.sent() == expected, "the echoes are not intact");
    });
    assert_eq!(allocations, 0, "{PIPELINED} messages in each of {STEADY} receives");
}

/// What the end of a receive cuts off is kept until the rest has come: in memory that is reused.
#[test]
fn a_shard_echoes_messages_that_straddle_receives_without_allocating() {
    let payload = [b'z'; 300];
    let (mut machine, sent, expected) = (Machine::new(), frame(&payload), rig::echo(&payload));
    let mut received = sent.clone();
    let allocations = in_steady_state(|round| {
        received.copy_from_slice(&sent);
        // Inside the header, the key and the payload, wherever it falls.
        let cut = 1 + round as usize % (sent.len() - 1);
        let (head, rest) = received.split_at_mut(cut);
        machine.receive(head);
        machine.turn();
        assert!(machine.sent().is_empty(), "half a message was answered");
        machine.receive(rest);
        machine.turn();
        assert!(machine.sent() == expected, "the echo is not intact");
    });
    assert_eq!(allocations, 0, "{STEADY} messages in two receives each");
}

/// A message that a client sends compressed.
fn compressed_frame() -> Vec<u8> {
    let message = br#"{"symbol":"ABC","bid":1.2345,"ask":1.2346},"#.repeat(40);
    let mut sent = frame(&miniz_oxide::deflate::compress_to_vec(&message, 6));
    sent[0] |= 0x40;
    sent
}

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

#[test]
fn a_shard_echoes_compressed_messages_without_allocating() {
    let (mut machine, sent) = (rig::Machine::compressing(), compressed_frame());
    machine.open_with(0, OFFER);
    let mut received = sent.clone();
    let allocations = in_steady_state(|_| {
        received.copy_from_slice(&sent);
        machine.receive(&mut received);
        machine.turn();
        assert_eq!(machine.sent()[0], 0xc2, "the echo is not compressed");
    });
    assert_eq!(allocations, 0, "{STEADY} compressed messages");
}

/// Heap octets of a connection that was opened with these fields, has had a message back, and
/// idles.
fn held_by_an_idle_connection(fields: &str, sent: &[u8]) -> i64 {
    let mut machine = rig::Machine::compressing();
    let mut held = Vec::with_capacity(rig::CONNECTIONS_MAX as usize);
    for file in 0..rig::CONNECTIONS_MAX as usize {
        machine.open_with(file, fields);
        machine.receive_from(file, &mut sent.to_vec());
        machine.turn();
        assert_eq!(machine.sent()[0], sent[0], "compressed like what was sent");
        held.push(counting::held());
    }
    // What the first ones have led to is the shard's.
    let first = held.len() / 2;
    (held[held.len() - 1] - held[first]) / (held.len() - 1 - first) as i64
}

#[test]
fn an_idle_connection_holds_no_more_where_compression_was_agreed_on() {
    let plain = held_by_an_idle_connection("", &frame(&[b'x'; 1000]));
    let compressed = held_by_an_idle_connection(OFFER, &compressed_frame());
    assert!((compressed - plain).abs() <= 8, "{compressed} octets instead of {plain}");
}

/// Sends `count` messages, `pipelined` at a time, and takes their echoes.
fn talk(addr: SocketAddr, count: u64, pipelined: usize) {
    let mut stream = TcpStream::connect(addr).expect("the ring accepts");
    stream.set_nodelay(true).expect("a TCP socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time above zero");
    stream.write_all(rig::HANDSHAKE).expect("the ring reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet).expect("an answer to the handshake");
        head.extend_from_slice(&octet);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{:?}", String::from_utf8_lossy(&head));
    let sent = frame(b"through the kernel and back").repeat(pipelined);
    let expected = rig::echo(b"through the kernel and back").repeat(pipelined);
    let mut received = vec![0; expected.len()];
    for _ in 0..count.div_ceil(pipelined as u64) {
        stream.write_all(&sent).expect("the ring reads");
        stream.read_exact(&mut received).expect("the echoes");
        assert!(received == expected, "the echoes are not intact");
    }
}

#[test]
fn a_shard_on_the_real_ring_echoes_without_allocating() {
    for pipelined in [1, 16] {
        let mut ring = Ring::new();
        let addr = ring.addr();
        let client = thread::spawn(move || talk(addr, WARM_UP + STEADY + WARM_UP, pipelined));
        let deadline = Instant::now() + PATIENCE;
        let mut echo_until = |echoed: u64| {
            while ring.machine.echoed() < echoed {
                assert!(Instant::now() < deadline && !client.is_finished(), "the echo stalls");
                ring.turn();
            }
        };
        echo_until(WARM_UP);
        counting::start();
        echo_until(WARM_UP + STEADY);
        let allocations = counting::stop();
        while !client.is_finished() {
            ring.turn();
        }
        client.join().expect("all echoes were intact");
        assert_eq!(allocations, 0, "{STEADY} messages, {pipelined} at a time");
    }
}

/// What a client asks to be published, and what its subscribers are sent after `"offset":N`.
fn publication(bytes: usize, is_answered: bool) -> (String, String) {
    let data = "x".repeat(bytes);
    let id = if is_answered { r#""id":7,"# } else { "" };
    (
        format!(r#"{{"type":"publish",{id}"topic":"chat:lobby","data":"{data}"}}"#),
        format!(r#","data":"{data}"}}"#),
    )
}

/// Allocations of `rounds` rounds in which all subscribers publish. Every one of them is sent all
/// that was published.
fn fan_out(crowd: usize, bytes: usize, is_answered: bool, rounds: u64) -> u64 {
    let mut machine = Machine::serving(crowd);
    let (publish, sent) = publication(bytes, is_answered);
    let publish = rig::text_frame(publish.as_bytes());
    let mut received = publish.clone();
    let mut round = |_| {
        for client in 0..crowd {
            received.copy_from_slice(&publish);
            machine.receive_from(client, &mut received);
        }
        machine.turn();
        let ends = |end: &[u8]| {
            let windows = machine.sent().windows(end.len());
            windows.filter(|window| *window == end).count()
        };
        assert_eq!(ends(sent.as_bytes()), crowd * crowd, "a message is missing");
        assert_eq!(ends(br#""type":"ack","id":7"#), if is_answered { crowd } else { 0 });
    };
    (0..rounds).for_each(&mut round);
    counting::start();
    (0..rounds).for_each(&mut round);
    counting::stop()
}

#[test]
fn a_published_message_is_delivered_and_answered_without_allocating() {
    for is_answered in [false, true] {
        assert_eq!(fan_out(20, 30, is_answered, 300), 0, "answered: {is_answered}");
    }
}

/// Parcel and frame of a long one have memory of their own, which all subscribers share; what the
/// answer needs of it is copied.
#[test]
fn a_long_published_message_costs_the_same_whoever_subscribes() {
    for (crowd, is_answered, each) in [(2, false, 3), (6, false, 3), (2, true, 4), (6, true, 4)] {
        let rounds = 30;
        let allocations = fan_out(crowd, limits::PRESS_CUT_BYTES_MAX, is_answered, rounds);
        let published = crowd as u64 * rounds;
        assert_eq!(allocations, each * published, "{published} messages to {crowd}");
    }
}
