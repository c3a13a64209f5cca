//! Bombs and malformed streams of clients that agreed on compression, against the real binary: each
//! gets its close code and is counted under its name, the server's memory stays within what one
//! message may be, and a well-behaved neighbour notices nothing.

mod common;

use common::{BINARY, CLOSE, CONTINUATION, Frame, Length, PING, PONG, Random, RawClient, SOON};
use common::{Server, Witness, upgrade_head};
use miniz_oxide::deflate::compress_to_vec;

const FAULTS: &str = "ringwire_peer_faults_total";
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// What the server may have come to use: a few messages of the largest size, as sent and as
/// inflated, in memory that the allocator has not given back.
const GROWTH_BYTES_MAX: u64 = 12 * MESSAGE_BYTES_MAX as u64;
/// RSV1.
const COMPRESSED: u8 = 4;

/// What a client sends, and what it gets for that.
struct Case {
    name: &'static str,
    frames: Vec<Frame>,
    /// Close code and the fault's name, or nothing: the message comes back.
    verdict: Option<(u16, &'static str)>,
}

fn case(name: &'static str, payload: Vec<u8>, code: u16, fault: &'static str) -> Case {
    let frames = vec![Frame::new(BINARY, payload).reserved(COMPRESSED)];
    Case { name, frames, verdict: Some((code, fault)) }
}

/// Octets that compress about forty times: beyond the size before the ratio.
fn thin(bytes: usize) -> Vec<u8> {
    let mut random = Random::seeded(5);
    let mut out = vec![0; bytes];
    for block in out.chunks_mut(4096) {
        let end = block.len().min(60);
        block[..end].fill_with(|| random.below(256) as u8);
    }
    out
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut random = Random::seeded(6);
    (0..bytes).map(|_| random.below(256) as u8).collect()
}

fn bombs() -> Vec<Case> {
    let sparse = compress_to_vec(&vec![0; 64 << 20], 9);
    let step = sparse.len() / 100 + 1;
    let last = sparse.len().div_ceil(step) - 1;
    let pieces = sparse.chunks(step).enumerate().map(|(index, piece)| {
        let opcode = if index == 0 { BINARY } else { CONTINUATION };
        let frame = Frame::new(opcode, piece);
        let frame = if index == 0 { frame.reserved(COMPRESSED) } else { frame };
        if index == last { frame } else { frame.open_ended() }
    });
    let too_long = Frame::new(BINARY, "").reserved(COMPRESSED).length(Length::Claimed(1 << 40));
    vec![
        Case {
            name: "64 MiB of zeros in fragments",
            frames: pieces.collect(),
            verdict: Some((1009, "message_too_large")),
        },
        case("64 MiB of zeros", sparse, 1009, "message_too_large"),
        case(
            "zeros of just the size",
            compress_to_vec(&vec![0; MESSAGE_BYTES_MAX], 6),
            1009,
            "deflate_ratio",
        ),
        case(
            "too large",
            compress_to_vec(&thin(MESSAGE_BYTES_MAX + 1), 6),
            1009,
            "message_too_large",
        ),
        case(
            "five times too large",
            compress_to_vec(&thin(5 * MESSAGE_BYTES_MAX), 6),
            1009,
            "message_too_large",
        ),
        case(
            "stored and too large",
            compress_to_vec(&noise(MESSAGE_BYTES_MAX + 1), 0),
            1009,
            "message_too_large",
        ),
        Case {
            name: "announced as too large",
            frames: vec![too_long],
            verdict: Some((1009, "message_too_large")),
        },
    ]
}

/// Deflate that nobody writes.
fn malformed() -> Vec<Case> {
    let hello = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let corrupt = "deflate_corrupt";
    let not_utf8 = compress_to_vec(&[&[b'a'; 60_000][..], &[0xff]].concat(), 6);
    let mut all = vec![
        case("an invalid block type", vec![0xff, 0xff], 1007, corrupt),
        case("cut off in a block", vec![0xf2, 0x48, 0xcd], 1007, corrupt),
        case("refers to what was never sent", vec![0xf2, 0x00, 0x11, 0x00, 0x00], 1007, corrupt),
        case("too many codes", vec![0xfc, 0x00, 0x00], 1007, corrupt),
        case("codes that are none", vec![0x04, 0x00, 0xfe, 0xff], 1007, corrupt),
        case("a stored length that is not its complement", vec![0, 5, 0, 5, 0, 1], 1007, corrupt),
        case("noise", noise(60_000), 1007, corrupt),
        case("more after the last block", [&hello[..], &[0xff; 3]].concat(), 1007, corrupt),
    ];
    all.push(Case {
        name: "not UTF-8 at its very end",
        frames: vec![Frame::text(not_utf8).reserved(COMPRESSED)],
        verdict: Some((1007, "invalid_utf8")),
    });
    all
}

/// The bit where it means nothing.
fn misplaced() -> Vec<Case> {
    let hello = compress_to_vec(b"Hello", 6);
    let (head, rest) = hello.split_at(2);
    let first = Frame::new(BINARY, head).reserved(COMPRESSED).open_ended();
    let reserved = |name, frames| Case { name, frames, verdict: Some((1002, "reserved_bits")) };
    let marked = |opcode, payload: &[u8]| Frame::new(opcode, payload).reserved(COMPRESSED);
    vec![
        reserved("a compressed ping", vec![marked(PING, b"x")]),
        reserved("a compressed pong", vec![marked(PONG, b"x")]),
        reserved("a compressed close", vec![marked(CLOSE, &[3, 0xe8])]),
        reserved("a compressed continuation", vec![first, marked(CONTINUATION, rest)]),
        reserved("another reserved bit", vec![Frame::text("x").reserved(COMPRESSED | 2)]),
    ]
}

/// What is long, valid, and says nothing: it costs turns, and nobody else his.
fn futile() -> Vec<Case> {
    let all = [
        ("a hundred thousand empty stored blocks", [0, 0, 0, 0xff, 0xff].repeat(100_000)),
        // Ten bits each: a fixed block that ends at once.
        ("empty blocks with fixed codes", [0x02, 0x08, 0x20, 0x80, 0x00].repeat(100_000)),
        ("twenty thousand streams", [3, 0].repeat(20_000)),
    ];
    let case = |(name, payload): (_, Vec<u8>)| {
        // The first octet of the empty block whose other four every sender leaves out.
        let payload: Vec<u8> = [&payload[..], &[0]].concat();
        let frames = vec![Frame::new(BINARY, payload).reserved(COMPRESSED)];
        Case { name, frames, verdict: None }
    };
    all.map(case).into()
}

fn agree(server: &Server) -> RawClient {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    let head = upgrade_head("/").replace("\r\n\r\n", &format!("\r\n{offer}"));
    let mut client = RawClient::connect(server.ws);
    client.send(head.as_bytes());
    let answer = client.head(SOON).expect("an answer to the handshake");
    assert_eq!(answer.status, 101, "{answer:?}");
    let agreed = answer.field("sec-websocket-extensions").unwrap_or_default();
    assert!(agreed.starts_with("permessage-deflate"), "{answer:?}");
    client
}

/// The most memory that the process has ever had.
fn peak_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
    let status = status.expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).expect("VmHWM in kB");
    kib.trim().parse::<u64>().expect("a number") * 1024
}

#[test]
fn each_bomb_and_each_malformed_stream_gets_its_code_and_harms_nobody() {
    let message_bytes_max = MESSAGE_BYTES_MAX.to_string();
    let egress_bytes_max = (3 * MESSAGE_BYTES_MAX).to_string();
    let flags = ["--compression", "--message-bytes-max", &message_bytes_max, "--egress-bytes-max"];
    let server = Server::echo(&[&flags[..], &[&egress_bytes_max]].concat());
    let witness = Witness::echoing(server.ws);
    let before = peak_bytes(&server);
    let cases: Vec<Case> =
        [bombs(), malformed(), misplaced(), futile()].into_iter().flatten().collect();
    assert!(cases.len() > 20, "{}", cases.len());
    for Case { name, frames, verdict } in &cases {
        let mut client = agree(&server);
        let counted = |fault: &str| server.metric(FAULTS, &[("fault", fault)]);
        let counts = verdict.map(|(_, fault)| counted(fault));
        // Some are closed before all of it is sent.
        for frame in frames {
            if !client.try_send(&frame.octets()) {
                break;
            }
        }
        match *verdict {
            Some((code, fault)) => {
                assert_eq!(client.close_code(SOON), code, "{name}");
                assert_eq!(counted(fault), counts.unwrap_or_default() + 1.0, "{name}: {fault}");
            }
            None => assert_eq!(client.message(), (BINARY, Vec::new()), "{name}"),
        }
    }
    let grown = peak_bytes(&server) - before;
    assert!(grown <= GROWTH_BYTES_MAX, "{grown} octets at most");
    server.await_metric("ringwire_ingress_partial_bytes", &[], 0.0, SOON);
    assert!(witness.finish() > 0);
    server.stop();
}
