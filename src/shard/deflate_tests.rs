//! Compressed messages through a shard, held against another implementation of deflate (miniz).

use crate::base::Stopwatch;
use crate::conn::compression::CompressionConfig;
use crate::handler::{Ctx, Handler, Message};
use crate::limits::{COMPRESS_BUDGET_BYTES, INFLATE_BUDGET_BYTES, INFLATE_SLICE_BYTES};
use crate::metrics::Metric;
use crate::shard::{DeflateConfig, ShardConfig};
use crate::sim::world::{World, head, small_config};
use crate::ws::deflate::Policy;
use crate::ws::partial::InflateTurn;
use crate::ws::protocol::Limits;

/// Gives back what it gets; `s` subscribes to a topic that everything with a `p` in front goes to.
#[derive(Default)]
struct Relay;

impl Handler for Relay {
    type Session = ();

    fn on_message(&mut self, ctx: &mut Ctx<'_, ()>, message: Message<'_>) {
        match message.payload {
            b"s" => ctx.subscribe("t", b"").expect("room"),
            [b'p', ..] => {
                let _ = ctx.publish("t", "", message.payload, message.kind, b"");
            }
            _ => {
                let _ = ctx.send(message);
            }
        }
    }
}

fn config(policy: Policy, takeovers_max: u32) -> ShardConfig {
    let compression =
        CompressionConfig { level: 6, threshold_bytes: 32, turn_bytes_max: COMPRESS_BUDGET_BYTES };
    let mut config = small_config();
    config.deflate = Some(DeflateConfig {
        compression,
        inflating: InflateTurn::default(),
        policy,
        takeovers_max,
        stopwatch: Stopwatch::STILL,
    });
    config
}

fn world() -> World<Relay> {
    World::new(1, 64, config(Policy::default(), 0), |_| Relay)
}

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

fn connect(world: &mut World<Relay>, offer: &str) -> (usize, String) {
    let client = world.connect_with(0, &head("/", offer));
    let response = world.client(client).take_response();
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    (client, response)
}

/// A message as a client compresses it: miniz ends with a last block.
fn payload(message: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec(message, 6)
}

/// The frames that have come: whether compressed, and what they say.
fn frames(world: &mut World<Relay>, client: usize) -> Vec<(bool, Vec<u8>)> {
    let mut octets = Vec::new();
    world.client(client).read(usize::MAX, &mut octets);
    let (mut rest, mut frames) = (&octets[..], Vec::new());
    while let [first, second, after @ ..] = rest {
        let (len, start) = match second {
            126 => (usize::from(u16::from_be_bytes([after[0], after[1]])), 2),
            127 => (u64::from_be_bytes(after[..8].try_into().unwrap()) as usize, 8),
            len => (usize::from(*len), 0),
        };
        let payload = &after[start..start + len];
        rest = &after[start + len..];
        let message = match first & 0x70 {
            0 => payload.to_vec(),
            0x40 => {
                let whole = [payload, &[0, 0, 0xff, 0xff, 3, 0]].concat();
                miniz_oxide::inflate::decompress_to_vec(&whole).expect("valid deflate")
            }
            other => panic!("reserved bits {other:#x}"),
        };
        frames.push((first & 0x40 != 0, message));
    }
    frames
}

fn json(bytes: usize) -> Vec<u8> {
    br#"{"type":"price","symbol":"ABC","bid":1.2345,"ask":1.2346},"#
        .iter()
        .copied()
        .cycle()
        .take(bytes)
        .collect()
}

#[test]
fn a_compressed_message_comes_back_compressed_however_it_is_cut() {
    for step in [1, 2, 3, 7, 50, 4096] {
        let mut world = world();
        let (client, response) = connect(&mut world, OFFER);
        let agreed = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                      client_no_context_takeover\r\n";
        assert!(response.contains(agreed), "{response}");
        let message = json(3000);
        world.client(client).input_step = step;
        world.client(client).write_frame(0xc1, &payload(&message));
        // In fragments, only the first of which says so, with a ping between them.
        let compressed = payload(&message);
        world.client(client).write_frame(0x41, &compressed[..10]);
        world.client(client).write_frame(0x89, b"!");
        world.client(client).write_frame(0x80, &compressed[10..]);
        world.client(client).write_frame(0x81, b"short and plain");
        world.run();
        let expected = [
            (true, message.clone()),
            (false, b"!".to_vec()),
            (true, message),
            (false, b"short and plain".to_vec()),
        ];
        assert_eq!(frames(&mut world, client), expected, "in steps of {step}");
        assert_eq!(world.count(Metric::InflatedMessages), 2);
        assert_eq!(world.count(Metric::CompressedMessages), 2);
        assert_eq!(world.count(Metric::IngressPartialBytes), 0);
    }
}

#[test]
fn nothing_is_compressed_for_who_has_not_agreed() {
    let mut world = world();
    let (client, response) = connect(&mut world, "");
    assert!(!response.contains("Extensions"), "{response}");
    world.client(client).write_frame(0x81, &json(3000));
    world.run();
    assert_eq!(frames(&mut world, client), [(false, json(3000))]);
    world.client(client).write_frame(0xc1, &payload(&json(3000)));
    world.run();
    assert_eq!(world.close_code(client), 1002);
}

#[test]
fn an_offer_that_is_none_is_a_bad_request() {
    let mut world = world();
    let client = world.connect_with(0, &head("/", "Sec-WebSocket-Extensions: a b\r\n"));
    let response = world.client(client).take_response();
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
}

#[test]
fn a_message_for_many_is_compressed_once_for_each_window() {
    let mut world = world();
    let narrow = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n";
    let offers = [OFFER, OFFER, narrow, "", narrow, OFFER];
    let clients: Vec<usize> = offers.iter().map(|offer| connect(&mut world, offer).0).collect();
    for client in &clients {
        world.send_text(*client, "s");
    }
    let message = [b"p", &json(2000)[..]].concat();
    for _ in 0..3 {
        world.client(clients[0]).write_frame(0x82, &message);
    }
    world.run();
    for (client, offer) in clients.iter().zip(offers) {
        let expected = vec![(!offer.is_empty(), message.clone()); 3];
        assert_eq!(frames(&mut world, *client), expected);
    }
    assert_eq!(world.count(Metric::CompressedMessages), 3 * 2);
    assert_eq!(world.count(Metric::Deliveries), 3 * 6);
    // Below the threshold nothing is.
    world.client(clients[0]).write_frame(0x82, b"p");
    world.run();
    assert_eq!(frames(&mut world, clients[1]), [(false, b"p".to_vec())]);
}

#[test]
fn faults_of_compressed_messages_have_their_codes() {
    let corrupt = [0xff; 20];
    let bomb = payload(&vec![0; 1 << 20]);
    let not_utf8 = payload(&[0xff; 100]);
    let rows: [(&str, u8, &[u8], u16, Metric); 5] = [
        ("corrupt", 0xc1, &corrupt, 1007, Metric::FaultDeflateCorrupt),
        ("too large", 0xc1, &bomb, 1009, Metric::FaultMessageTooLarge),
        ("not UTF-8", 0xc1, &not_utf8, 1007, Metric::FaultInvalidUtf8),
        ("a control frame", 0xc9, b"", 1002, Metric::FaultReservedBits),
        ("another bit", 0xe1, b"", 1002, Metric::FaultReservedBits),
    ];
    for (what, first, octets, code, metric) in rows {
        let mut world = world();
        let (client, _) = connect(&mut world, OFFER);
        world.client(client).write_frame(first, octets);
        world.run();
        assert_eq!(world.close_code(client), code, "{what}");
        assert_eq!(world.count(metric), 1, "{what}");
        assert_eq!(world.count(Metric::IngressPartialBytes), 0, "{what}");
    }
    let mut world = world();
    let (client, _) = connect(&mut world, OFFER);
    world.client(client).write_frame(0x41, &payload(&json(100)));
    world.client(client).write_frame(0xc0, b"");
    world.run();
    assert_eq!(world.close_code(client), 1002, "a continuation");
}

/// Room for messages that take several turns to inflate.
fn patient_world() -> World<Relay> {
    let mut config = config(Policy::default(), 0);
    config.message =
        Limits { message_bytes_max: 8 << 20, inflate_ratio_max: 2000, ..Limits::default() };
    config.ingress_total_bytes_max = 64 << 20;
    config.egress.bytes_max = 32 << 20;
    config.egress.total_bytes_max = 64 << 20;
    World::new(1, 64, config, |_| Relay)
}

#[test]
fn a_large_message_takes_turns_and_others_go_on_in_between() {
    let mut world = patient_world();
    let (big, _) = connect(&mut world, OFFER);
    let (other, _) = connect(&mut world, OFFER);
    let message = json(4 << 20);
    world.client(big).input_step = 1 << 20;
    world.client(big).write_frame(0xc1, &payload(&message));
    world.client(big).write_frame(0x81, b"what comes after it");
    let turns_before = world.count(Metric::Turns);
    let mut answered_after = None;
    let mut turns = 0;
    while frames_waiting(&mut world, big) == 0 {
        if turns == 2 {
            world.client(other).write_frame(0xc1, &payload(&json(500)));
        }
        world.turn(0);
        turns += 1;
        if answered_after.is_none() && frames_waiting(&mut world, other) > 0 {
            answered_after = Some(turns);
        }
        assert!(turns < 100, "it never comes");
    }
    assert!(answered_after.is_some_and(|answered| answered < turns), "{answered_after:?}");
    let least = (message.len() / INFLATE_SLICE_BYTES) as u64;
    // One slice when it came, and one more in that turn.
    assert!(world.count(Metric::Turns) - turns_before >= least - 1);
    assert!(world.count(Metric::InflateStalls) >= least - 1);
    world.run();
    // Its answer is more than a turn compresses.
    let expected = [(false, message), (false, b"what comes after it".to_vec())];
    assert_eq!(frames(&mut world, big), expected);
    assert_eq!(world.count(Metric::IngressPartialBytes), 0);
}

fn frames_waiting(world: &mut World<Relay>, client: usize) -> usize {
    world.client(client).output().len()
}

#[test]
fn many_large_messages_share_a_turns_budget_in_their_order() {
    let mut world = patient_world();
    let clients: Vec<usize> = (0..12).map(|_| connect(&mut world, OFFER).0).collect();
    let message = json(2 * INFLATE_BUDGET_BYTES);
    for client in &clients {
        world.client(*client).input_step = 1 << 20;
        world.client(*client).write_frame(0xc1, &payload(&message));
    }
    // No turn inflates more than it may, and who came first is done first.
    let (mut done, mut turns) = (Vec::new(), 0);
    while done.len() < clients.len() {
        let before = world.count(Metric::InflatedBytesOut);
        world.turn(0);
        turns += 1;
        // Messages are counted when they are whole.
        let whole = world.count(Metric::InflatedBytesOut) - before;
        assert!(whole <= 4 * message.len() as u64, "{whole} in one turn");
        for client in &clients {
            if !done.contains(client) && frames_waiting(&mut world, *client) > 0 {
                done.push(*client);
            }
        }
        assert!(turns < 1000, "they never come");
    }
    assert_eq!(done, clients, "in their order");
    let all = clients.len() * message.len();
    assert!(turns >= all / INFLATE_BUDGET_BYTES, "{turns} turns for {all} octets");
    world.run();
    for client in clients {
        assert_eq!(frames(&mut world, client), [(false, message.clone())]);
    }
    assert_eq!(world.count(Metric::CompressionSkipped), 12);
}

/// One sends as much as it can, another one a little: that is answered within a few turns, and few
/// hold what inflating takes.
#[test]
fn a_flood_of_one_keeps_no_other_waiting() {
    let mut world = patient_world();
    let (flooder, _) = connect(&mut world, OFFER);
    let others: Vec<usize> = (0..20).map(|_| connect(&mut world, OFFER).0).collect();
    let bomb = payload(&[b' '; 64 * 1024]);
    world.client(flooder).input_step = 1 << 20;
    for _ in 0..2000 {
        world.client(flooder).write_frame(0xc2, &bomb);
    }
    world.turn(0);
    for other in &others {
        world.client(*other).write_frame(0xc1, &payload(&json(2000)));
    }
    for _ in 0..4 {
        world.turn(0);
    }
    for other in others {
        let answers = frames(&mut world, other);
        assert!(
            answers.iter().map(|(_, answer)| answer).eq([&json(2000)]),
            "it waits: {answers:?}"
        );
    }
    assert!(world.count(Metric::InflatedMessages) < 1000, "the flood is under way");
}

#[test]
fn who_ends_after_a_large_message_is_heard_first() {
    for step in [5000, 1 << 20] {
        let mut world = patient_world();
        let (client, _) = connect(&mut world, OFFER);
        let (reader, _) = connect(&mut world, "");
        world.send_text(reader, "s");
        let message = [b"p", &json(3 << 20)[..]].concat();
        world.client(client).input_step = step;
        world.client(client).write_frame(0xc2, &payload(&message));
        world.client(client).end();
        world.run();
        assert_eq!(frames(&mut world, reader), [], "it is larger than may be published");
        assert_eq!(world.count(Metric::InflatedMessages), 1);
        assert!(world.client(client).is_closed);
        assert_eq!(world.count(Metric::IngressPartialBytes), 0);
    }
}

#[test]
fn a_few_may_refer_to_their_earlier_messages() {
    let policy = Policy { client_takeover: true, ..Policy::default() };
    let mut world: World<Relay> = World::new(1, 64, config(policy, 2), |_| Relay);
    let takeover = "permessage-deflate; server_no_context_takeover\r\n";
    let mut clients = Vec::new();
    for index in 0..3 {
        let (client, response) = connect(&mut world, OFFER);
        assert_eq!(response.contains(takeover), index < 2, "{response}");
        clients.push(client);
    }
    let mut compressor = zlib_rs::Deflate::new(6, false, 15);
    for round in 0..20 {
        let message = json(500 + round);
        let mut out = vec![0; 2000];
        let before = compressor.total_out();
        let flush = zlib_rs::DeflateFlush::SyncFlush;
        compressor.compress(&message, &mut out, flush).expect("it compresses");
        out.truncate((compressor.total_out() - before) as usize - 4);
        assert!(round == 0 || out.len() < 40, "it refers to what was before: {}", out.len());
        world.client(clients[0]).write_frame(0xc1, &out);
        world.run();
        assert_eq!(frames(&mut world, clients[0]), [(true, message)]);
    }
    let held = world.count(Metric::IngressPartialBytes);
    assert!((8 << 10..(1 << 15) + 1024).contains(&held), "a window, and no more: {held}");
    // Who goes makes room for the next.
    world.client(clients[0]).end();
    world.run();
    assert_eq!(world.count(Metric::IngressPartialBytes), 0);
    let (_, response) = connect(&mut world, OFFER);
    assert!(response.contains(takeover), "{response}");
}
