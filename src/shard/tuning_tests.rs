//! Limits that are lowered on a small kernel: what is over them stays, and is not added to. The
//! accounts are compared after each turn (`audit`).

use crate::handler::{Ctx, Handler, Message};
use crate::metrics::Metric;
use crate::pubsub::tuning::Tuning;
use crate::sim::wire;
use crate::sim::world::{World, small_config, small_tuning};

/// `+topic` subscribes and `-topic` unsubscribes; anything else comes back.
struct Topics;

impl Handler for Topics {
    type Session = ();

    fn on_message(&mut self, ctx: &mut Ctx<'_, ()>, message: Message<'_>) {
        let topic = |octets| std::str::from_utf8(octets).expect("a topic");
        match message.payload {
            [b'+', name @ ..] => {
                if ctx.subscribe(topic(name), b"").is_err() {
                    assert!(ctx.send_text("refused").is_ok(), "room");
                }
            }
            [b'-', name @ ..] => assert!(ctx.unsubscribe(topic(name)), "it subscribes to it"),
            _ => {
                let _ = ctx.send(message);
            }
        }
    }
}

fn world() -> World<Topics> {
    World::new(2, 64, small_config(), |_| Topics)
}

#[test]
fn topics_over_a_lowered_limit_stay_and_none_is_added() {
    let mut world = world();
    let client = world.connect(0, "/");
    let other = world.connect(0, "/");
    for topic in ["+a", "+b", "+c"] {
        world.send_text(client, topic);
    }
    world.retune(Tuning { topics_max: 2, home_topics_max: 1, ..small_tuning() });
    assert_eq!(world.count(Metric::Subscriptions), 3, "nobody has lost one");
    world.send_text(other, "+a");
    assert_eq!(world.texts(other), [""; 0], "a topic that is there is none that is added");
    world.send_text(other, "+d");
    assert_eq!(world.texts(other), ["refused"]);
    // Two are left, and two there may be.
    world.send_text(client, "-b");
    world.send_text(other, "+d");
    assert_eq!(world.texts(other), ["refused"]);
    world.retune(small_tuning());
    world.send_text(other, "+d");
    assert_eq!(world.texts(other), [""; 0]);
    assert_eq!(world.count(Metric::Subscriptions), 4);
}

#[test]
fn a_frame_under_way_is_taken_and_what_follows_it_goes_by_the_lowered_limit() {
    let mut world = world();
    let [whole, split] = [0, 1].map(|shard| world.connect(shard, "/"));
    let mut octets = Vec::new();
    wire::write_frame(&mut octets, wire::FIN | wire::TEXT, &[b'x'; 1000]);
    world.client(whole).write(&octets[..500]);
    world.client(split).write_frame(wire::TEXT, &[b'x'; 1000]);
    world.run();
    world.retune(Tuning { message_bytes_max: 200, ..small_tuning() });
    world.client(whole).write(&octets[500..]);
    world.client(split).write_frame(wire::FIN, b"x");
    world.run();
    assert_eq!(world.texts(whole), ["x".repeat(1000)], "it had been announced");
    assert_eq!(world.close_code(split), 1009, "another frame for a message that is too large");
    world.send_text(whole, &"x".repeat(201));
    assert_eq!(world.close_code(whole), 1009, "the next message");
}

#[test]
fn unfinished_messages_over_a_lowered_total_stay_until_they_grow() {
    let mut world = world();
    let [quiet, busy] = [0, 0].map(|shard| world.connect(shard, "/"));
    for client in [quiet, busy] {
        world.client(client).write_frame(wire::TEXT, &[b'x'; 1000]);
    }
    world.run();
    world.retune(Tuning { ingress_total_bytes_max: 1024, ..small_tuning() });
    assert!(world.count(Metric::IngressPartialBytes) > 1024);
    world.client(busy).write_frame(0, b"more");
    world.run();
    assert_eq!(world.close_code(busy), 1013);
    world.client(quiet).write_frame(wire::FIN, b"");
    world.run();
    assert_eq!(world.texts(quiet), ["x".repeat(1000)], "who was not asked for more");
}

/// Twice as much as may wait from now on waits for a client that does not read, and nothing more is
/// read from it.
#[test]
fn what_waits_over_a_lowered_limit_is_sent_and_nothing_is_added() {
    let mut world = world();
    let client = world.connect(0, "/");
    world.client(client).room = 0;
    for _ in 0..12 {
        world.send_text(client, &"x".repeat(1000));
    }
    let waits = world.count(Metric::EgressQueuedBytes);
    assert!(waits > 8 << 10, "{waits}");
    world.retune(Tuning { egress_bytes_max: 4 << 10, ..small_tuning() });
    assert_eq!(world.count(Metric::EgressQueuedBytes), waits, "all of it stays");
    world.send_text(client, &"y".repeat(1000));
    assert!(world.count(Metric::EgressQueuedBytes) <= waits, "and no more is taken");
    world.client(client).room = 1 << 20;
    world.run();
    // What is read afterwards may find no room; what waited has lost nothing.
    let waited = waits as usize / 1000;
    let texts = world.texts(client);
    assert!(texts.len() >= waited, "{} of {waited}", texts.len());
    assert!(texts[..waited].iter().all(|text| *text == "x".repeat(1000)));
}

/// The one exception: what waits for all is memory, and the slowest go as whenever it fills.
#[test]
fn a_lowered_total_of_what_waits_closes_the_slowest() {
    let mut world = world();
    let [slow, well] = [0, 0].map(|shard| world.connect(shard, "/"));
    world.client(slow).room = 0;
    for _ in 0..8 {
        world.send_text(slow, &"x".repeat(1000));
    }
    world.retune(Tuning { egress_total_bytes_max: 4 << 10, ..small_tuning() });
    assert_eq!(world.count(Metric::SlowConsumersClosed), 1);
    world.send_text(well, "hello");
    assert_eq!(world.texts(well), ["hello"]);
}
