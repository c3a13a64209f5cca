//! The event loop on a small kernel: what a client and a handler may do to a shard.

use crate::conn::CloseReason;
use crate::handler::{Ctx, Handler, Message};
use crate::limits::CLOSE_BUDGET;
use crate::metrics::Metric;
use crate::pubsub::policy::SlowConsumer;
use crate::sim::socket::StreamEnd;
use crate::sim::world::{World, head, small_config};
use crate::ws::close::CloseCode;

/// Gives back what it gets, publishes `p...` to a topic that `s` subscribes to, `P...` to one that
/// `S` subscribes to, leaves the first on `u`, and closes on `x`.
#[derive(Default)]
pub(super) struct Plain {
    closed: Vec<CloseReason>,
}

impl Handler for Plain {
    type Session = ();

    fn on_message(&mut self, ctx: &mut Ctx<'_, ()>, message: Message<'_>) {
        match message.payload {
            b"s" => ctx.subscribe("t", b"").expect("room"),
            b"S" => ctx.subscribe("u", b"").expect("room"),
            b"u" => assert!(ctx.unsubscribe("t"), "it subscribes to it"),
            b"x" => ctx.close(CloseCode(4000), "asked"),
            payload @ [b'p', ..] => {
                let _ = ctx.publish("t", "", payload, message.kind, b"");
            }
            payload @ [b'P', ..] => {
                let _ = ctx.publish("u", "", payload, message.kind, b"");
            }
            _ => {
                let _ = ctx.send(message);
            }
        }
    }

    fn on_close(&mut self, ctx: &mut Ctx<'_, ()>, reason: CloseReason) {
        self.closed.push(reason);
        // A wish that comes too late.
        ctx.close(CloseCode::NORMAL, "me too");
    }
}

fn world() -> World<Plain> {
    World::new(1, 64, small_config(), |_| Plain::default())
}

#[test]
fn a_close_frame_in_pieces_inside_a_message_ends_the_connection_like_any_other() {
    for step in 1..12 {
        for code in [1000, 1005] {
            let mut world = world();
            let client = world.connect(0, "/");
            world.client(client).input_step = step;
            world.client(client).write_frame(0x01, b"the first half");
            world.client(client).write_close(code);
            world.run();
            assert_eq!(world.close_code(client), if code == 1005 { 1002 } else { 1000 });
            world.client(client).end();
            world.run();
            assert!(world.client(client).is_closed, "step {step}");
            assert_eq!(world.count(Metric::IngressPartialBytes), 0);
        }
    }
}

#[test]
fn a_handler_that_closes_in_on_close_changes_nothing() {
    let mut world = world();
    let client = world.connect(0, "/");
    world.send_text(client, "x");
    assert_eq!(world.close_code(client), 4000);
    world.client(client).write_close(4000);
    world.run();
    assert!(world.client(client).is_closed);
    assert_eq!(world.count(Metric::ClosedOther), 1, "counted once");
}

#[test]
fn a_pong_in_time_counts_however_late_it_is_looked_for() {
    let mut world = world();
    let client = world.connect(0, "/");
    while world.client(client).take_frames().is_empty() {
        world.advance(64);
    }
    world.client(client).write_frame(0x8a, b"");
    world.run();
    // The process stood still for a while, beyond the deadline of the pong.
    world.leap(14_000);
    world.run();
    assert!(world.client(client).take_frames().is_empty());
    assert_eq!(world.count(Metric::HeartbeatsLost), 0);
    world.advance(60_000);
    assert_eq!(world.close_code(client), 4002);
    assert!(world.client(client).is_closed);
}

#[test]
fn time_in_which_the_shard_did_not_run_is_not_held_against_its_peers() {
    let mut world = world();
    let (alive, dead) = (world.connect(0, "/"), world.connect(0, "/"));
    while world.client(alive).take_frames().is_empty() {
        world.advance(64);
    }
    // The pong is on its way, and more came before it than is read in one turn.
    world.leap(14_000);
    world.run();
    assert_eq!(world.count(Metric::HeartbeatsLost), 0);
    world.advance(2_000);
    world.client(alive).write_frame(0x8a, b"");
    world.advance(10_000);
    assert_eq!(world.close_code(dead), 4002);
    assert_eq!(world.count(Metric::HeartbeatsLost), 1, "patience ends");
    assert!(!world.client(alive).is_closed);
}

#[test]
fn pings_come_an_interval_apart_also_when_a_pong_may_take_longer_than_that() {
    let mut config = small_config();
    config.heartbeat_interval_ms = 1_000;
    config.heartbeat_timeout_ms = 10_000;
    let mut world = World::new(1, 64, config, |_| Plain::default());
    let client = world.connect(0, "/");
    let mut pings = 0;
    for _ in 0..600 {
        world.advance(64);
        for _ping in world.client(client).take_frames() {
            pings += 1;
            world.client(client).write_frame(0x8a, b"");
        }
    }
    assert!((38..=43).contains(&pings), "{pings} pings in 38.4 s");
}

#[test]
fn who_answers_pings_stays_and_who_does_not_is_closed() {
    let mut world = world();
    let (alive, dead) = (world.connect(0, "/"), world.connect(0, "/"));
    for _ in 0..2000 {
        world.advance(100);
        if world.client(alive).take_frames().iter().any(|frame| frame.opcode == 0x9) {
            world.client(alive).write_frame(0x8a, b"");
        }
    }
    assert_eq!(world.close_code(dead), 4002);
    assert!(world.client(dead).is_closed && !world.client(alive).is_closed);
    assert_eq!(world.count(Metric::HeartbeatsLost), 1);
}

#[test]
fn a_subscriber_that_does_not_read_is_closed_with_4001_and_the_others_get_everything() {
    let mut world = world();
    let clients: Vec<usize> = (0..3).map(|_| world.connect(0, "/")).collect();
    for client in &clients[..2] {
        world.send_text(*client, "s");
    }
    world.client(clients[0]).room = 500;
    let message = "p".repeat(1000);
    for _ in 0..50 {
        world.send_text(clients[2], &message);
    }
    assert_eq!(world.texts(clients[1]).len(), 50);
    assert_eq!(world.count(Metric::SlowConsumersClosed), 1);
    world.client(clients[0]).room = usize::MAX;
    world.run();
    let frames = world.client(clients[0]).take_frames();
    let (last, whole) = frames.split_last().expect("a close frame at least");
    assert_eq!((last.opcode, &last.payload[..2]), (0x8, &4001_u16.to_be_bytes()[..]));
    assert!(whole.iter().all(|frame| frame.payload == message.as_bytes()), "no torn frame");
    world.client(clients[0]).write_close(4001);
    world.run();
    assert!(world.client(clients[0]).is_closed);
    assert_eq!(world.count(Metric::EgressQueuedBytes), 0);
}

#[test]
fn whatever_the_socket_takes_at_a_time_the_stream_is_whole() {
    for step in [1, 3, 100, 999, 1003] {
        let mut world = world();
        let (subscriber, publisher) = (world.connect(0, "/"), world.connect(0, "/"));
        world.send_text(subscriber, "s");
        world.client(subscriber).room = 0;
        for number in 0..9 {
            world.write_text(publisher, &format!("p{number}{}", "x".repeat(997)));
            world.send_text(subscriber, &format!("echo {number}"));
        }
        let mut frames = Vec::new();
        for _ in 0..12_000 / step {
            world.client(subscriber).room = step;
            world.run();
            frames.extend(world.client(subscriber).take_frames());
        }
        let messages = frames.iter().filter(|frame| frame.payload[0] == b'p');
        assert!(messages.map(|frame| frame.payload[1]).eq(b'0'..=b'8'), "step {step}");
        let echoes = frames.iter().filter(|frame| frame.payload[0] == b'e');
        assert!(echoes.map(|frame| frame.payload[5]).eq(b'0'..=b'8'), "step {step}");
        assert_eq!(frames.len(), 18);
    }
}

/// Whose message has no room is told so, and holds none of it while its close is under way.
#[test]
fn unfinished_messages_of_all_are_bounded() {
    let mut config = small_config();
    config.ingress_total_bytes_max = 3_000;
    let mut world = World::new(1, 64, config, |_| Plain::default());
    let clients: Vec<usize> = (0..4).map(|_| world.connect(0, "/")).collect();
    let first = clients[0];
    for client in &clients {
        world.client(*client).write_frame(0x01, "x".repeat(2_000).as_bytes());
        world.run();
        let held = world.count(Metric::IngressPartialBytes);
        assert!((2_000..3_000).contains(&held), "{held} octets for one message");
    }
    for client in &clients[1..] {
        assert_eq!(world.close_code(*client), 1013);
    }
    world.client(first).write_frame(0x80, b"end");
    world.run();
    assert_eq!(world.texts(first), ["x".repeat(2_000) + "end"]);
    assert_eq!(world.count(Metric::IngressPartialBytes), 0);
}

#[test]
fn who_is_one_too_many_is_told_so_and_who_says_nothing_is_dropped() {
    let mut config = small_config();
    config.connections_max = 2;
    let mut world = World::new(1, 64, config, |_| Plain::default());
    let first = world.connect(0, "/");
    let silent = world.connect_with(0, "GET / HT");
    let surplus = world.connect_with(0, &head("/", ""));
    let response = world.client(surplus).take_response();
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("Retry-After: "));
    world.client(surplus).end();
    world.advance(11_000);
    assert!(world.client(silent).is_closed && world.client(surplus).is_closed);
    assert_eq!(world.count(Metric::RefusedTimeout), 1);
    assert!(!world.client(first).is_closed);
    world.connect(0, "/");
}

/// Its queue is full, and so is the shard's memory for queues: not even a close frame fits.
#[test]
fn who_can_not_be_told_why_is_told_the_end_as_soon_as_it_reads() {
    let mut config = small_config();
    config.egress.total_bytes_max = config.egress.bytes_max;
    let mut world = World::new(1, 64, config, |_| Plain::default());
    let (dead, slow) = (world.connect(0, "/"), world.connect(0, "/"));
    world.client(dead).room = 0;
    world.client(dead).input_step = usize::MAX;
    for _ in 0..2 {
        world.write_text(dead, &"e".repeat(7000));
    }
    world.client(dead).write_close(1000);
    world.run();
    // A frame that is partly out may go over the limit.
    world.client(slow).room = 10;
    world.send_text(slow, &"e".repeat(3000));
    world.send_text(slow, "x");
    assert_eq!(world.count(Metric::LastWordsLost), 1);
    world.client(slow).room = usize::MAX;
    world.run();
    let frames = world.client(slow).take_frames();
    assert_eq!(frames.iter().map(|frame| frame.payload.len()).collect::<Vec<_>>(), [3000]);
    assert_eq!(world.client(slow).stream_end(), Some(StreamEnd::Finished));
    world.client(slow).end();
    world.run();
    assert!(world.client(slow).is_closed);
}

/// What a short send leaves over costs more in the queue than it did before, and the close frame
/// is the end of it.
#[test]
fn whose_close_frame_was_lost_with_what_did_not_fit_is_told_the_end() {
    let mut config = small_config();
    config.arena_bytes = 64;
    let mut world = World::new(1, 64, config, |_| Plain::default());
    let client = world.connect(0, "/");
    world.client(client).room = 50;
    world.client(client).input_step = usize::MAX;
    for _ in 0..70 {
        world.write_text(client, &"e".repeat(100));
    }
    world.send_text(client, "x");
    assert_eq!(world.count(Metric::LastWordsLost), 1);
    world.client(client).room = usize::MAX;
    world.run();
    let frames = world.client(client).take_frames();
    assert!(!frames.is_empty() && frames.iter().all(|frame| frame.payload.len() == 100));
    assert_eq!(world.client(client).stream_end(), Some(StreamEnd::Finished));
    world.client(client).end();
    world.run();
    assert!(world.client(client).is_closed);
}

/// The place of a topic that has gone is taken by the next one, while its messages still wait.
#[test]
fn a_message_that_waits_is_not_taken_for_one_of_the_topic_that_came_after_its_own() {
    let mut config = small_config();
    config.policies.default = SlowConsumer::Conflate;
    let mut world = World::new(1, 64, config, |_| Plain::default());
    let (subscriber, publisher) = (world.connect(0, "/"), world.connect(0, "/"));
    world.client(subscriber).room = 1;
    world.send_text(subscriber, "echo");
    world.send_text(subscriber, "s");
    world.send_text(publisher, "p of t");
    world.send_text(subscriber, "u");
    world.send_text(subscriber, "S");
    world.send_text(publisher, "P of u");
    world.send_text(publisher, "P of u again");
    world.client(subscriber).room = usize::MAX;
    world.run();
    assert_eq!(world.texts(subscriber), ["echo", "p of t", "P of u again"]);
}

#[test]
fn a_peer_that_vanishes_frees_its_place() {
    let mut world = world();
    for _ in 0..200 {
        let client = world.connect(0, "/");
        world.send_text(client, "s");
        world.client(client).end();
        world.run();
        assert!(world.client(client).is_closed);
    }
    assert_eq!((world.connections(), world.count(Metric::Subscriptions)), (0, 0));
}

/// Subscribers of one topic share what is staged for it, until one of them is sent more.
#[test]
fn what_one_subscriber_is_sent_beside_a_shared_batch_reaches_nobody_else() {
    let mut world = world();
    let clients: Vec<usize> = (0..4).map(|_| world.connect(0, "/")).collect();
    for client in &clients {
        world.send_text(*client, "s");
    }
    for client in [clients[1], clients[3]] {
        world.send_text(client, "S");
    }
    for publishes in [["p1", "P2"], ["P3", "p4"]] {
        for text in publishes {
            world.write_text(clients[0], text);
        }
        world.run();
        let of_t: Vec<&str> = publishes.into_iter().filter(|text| text.starts_with('p')).collect();
        for client in &clients {
            let mut texts = world.texts(*client);
            texts.sort_unstable();
            let has_both = *client == clients[1] || *client == clients[3];
            let mut expected = if has_both { publishes.to_vec() } else { of_t.clone() };
            expected.sort_unstable();
            assert_eq!(texts, expected, "client {client}");
        }
    }
}

/// Closing is what takes long when a crowd leaves: it is spread over turns, in which others are
/// served.
#[test]
fn the_closes_of_a_crowd_are_spread_over_turns() {
    let mut world = world();
    let crowd: Vec<usize> = (0..60).map(|_| world.connect(0, "/")).collect();
    crowd.iter().for_each(|client| world.client(*client).end());
    let mut closed = 0;
    for _ in 0..60 {
        world.turn(0);
        let now = crowd.iter().filter(|client| world.client(**client).is_closed).count();
        assert!(now <= closed + CLOSE_BUDGET, "{now} closed after {closed}");
        closed = now;
    }
    assert_eq!((closed, world.connections()), (60, 0));
    world.connect(0, "/");
}
