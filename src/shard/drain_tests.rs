//! Drains on a small kernel: who is told when, and what is delivered before.

use super::tests::Plain;
use crate::metrics::Metric;
use crate::pubsub::envelope::DrainOrder;
use crate::pubsub::home::home_of;
use crate::sim::world::{World, head, small_config};

#[test]
fn a_drain_closes_everybody_and_takes_nobody_in() {
    let mut world = World::new(2, 64, small_config(), |_| Plain::default());
    let clients: Vec<usize> = (0..10).map(|index| world.connect(index % 2, "/")).collect();
    world.drain();
    for client in &clients {
        assert_eq!(world.close_code(*client), 1001);
        world.client(*client).write_close(1001);
    }
    assert!(!world.is_drained());
    world.run();
    assert!(world.is_drained() && world.connections() == 0);
    assert!(clients.iter().all(|client| world.client(*client).is_closed));
}

/// Messages that a subscriber's shard finds in its lanes together with the order to drain.
#[test]
fn what_was_sequenced_before_a_drain_is_delivered_before_the_close() {
    let mut world = World::new(2, 64, small_config(), |_| Plain::default());
    let home = home_of("t", 2).index();
    let subscriber = world.connect(1 - home, "/");
    let publisher = world.connect(home, "/");
    world.send_text(subscriber, "s");
    for number in 0..40 {
        world.write_text(publisher, &format!("p{number}"));
    }
    while world.count(Metric::PublishesAccepted) < 40 {
        world.turn(home);
    }
    assert!(world.texts(subscriber).is_empty(), "its shard had no turn yet");
    world.drain();
    let frames = world.client(subscriber).take_frames();
    let (close, messages) = frames.split_last().expect("a close frame at least");
    assert_eq!((close.opcode, &close.payload[..2]), (0x8, &1001_u16.to_be_bytes()[..]));
    let expected = (0..40).map(|number| format!("p{number}").into_bytes());
    assert!(messages.iter().map(|frame| frame.payload.clone()).eq(expected));
}

/// Ten connections on one shard and thirty on another are told over the same second.
#[test]
fn a_paced_drain_takes_the_time_it_was_given_on_every_shard() {
    let mut world = World::new(2, 64, small_config(), |_| Plain::default());
    let clients: Vec<usize> =
        (0..40).map(|index| world.connect(usize::from(index % 4 == 0), "/")).collect();
    let order =
        DrainOrder { spread_ms: 1_000, late_ms: 9_000, timeout_ms: 9_000, retry_ms_max: 70 };
    world.drain_by(order);
    let told = |world: &mut World<Plain>| world.count(Metric::DrainPaced);
    for passed_ms in (100..=1_000).step_by(100) {
        world.advance(100);
        let expected = 40 * passed_ms / 1_000;
        let told = told(&mut world);
        assert!(told.abs_diff(expected) <= 2, "{told} after {passed_ms} ms");
    }
    assert_eq!((told(&mut world), world.count(Metric::DrainLate)), (40, 0));
    let mut advice = Vec::new();
    for client in clients {
        let frames = world.client(client).take_frames();
        let payload = &frames.last().expect("a close frame").payload;
        assert_eq!(payload[..2], 1001u16.to_be_bytes());
        let text = std::str::from_utf8(&payload[2..]).expect("text");
        let ms = text.strip_prefix("going away; retry_after_ms=").expect("advice");
        advice.push(ms.parse::<u64>().expect("a number"));
        world.client(client).write_close(1001);
    }
    assert!(advice.iter().all(|ms| *ms <= 70) && advice.iter().any(|ms| *ms != advice[0]));
    world.run();
    assert!(world.is_drained() && world.connections() == 0);
}

#[test]
fn whom_the_pace_leaves_over_is_told_when_it_is_late() {
    let mut world = World::new(1, 64, small_config(), |_| Plain::default());
    for _ in 0..40 {
        world.connect(0, "/");
    }
    world.drain_by(DrainOrder {
        spread_ms: 4_000,
        late_ms: 1_000,
        timeout_ms: 9_000,
        retry_ms_max: 0,
    });
    world.advance(999);
    let paced = world.count(Metric::DrainPaced);
    assert!((9..=11).contains(&paced), "{paced} of 40 in a quarter of the time");
    world.advance(1);
    assert_eq!(world.count(Metric::DrainPaced) + world.count(Metric::DrainLate), 40);
    assert!(world.count(Metric::DrainLate) >= 29);
}

/// The home of a topic has nobody left, while others still publish to it.
#[test]
fn a_shard_without_connections_serves_its_topics_until_all_are_drained() {
    let mut world = World::new(2, 64, small_config(), |_| Plain::default());
    let elsewhere = 1 - home_of("t", 2).index();
    let clients: Vec<usize> = (0..4).map(|_| world.connect(elsewhere, "/")).collect();
    let last = clients[3];
    world.send_text(last, "s");
    world.drain_by(DrainOrder {
        spread_ms: 1_000,
        late_ms: 9_000,
        timeout_ms: 9_000,
        retry_ms_max: 0,
    });
    world.advance(300);
    world.send_text(last, "p late");
    assert_eq!(world.texts(last), ["p late"]);
    world.advance(900);
    for client in clients {
        world.client(client).write_close(1001);
    }
    world.run();
    assert!(world.is_drained());
}

/// Whoever was accepted before the drain is served and told, unless it takes too long.
#[test]
fn a_handshake_under_way_is_completed_and_a_slow_one_refused() {
    let mut world = World::new(1, 64, small_config(), |_| Plain::default());
    let whole = head("/", "");
    let (first, second) = whole.split_at(20);
    let quick = world.connect_with(0, first);
    let slow = world.connect_with(0, first);
    world.drain_by(DrainOrder { spread_ms: 0, late_ms: 9_000, timeout_ms: 9_000, retry_ms_max: 0 });
    world.client(quick).write(second.as_bytes());
    world.run();
    assert!(world.client(quick).take_response().starts_with("HTTP/1.1 101 "));
    assert_eq!(world.close_code(quick), 1001);
    world.client(quick).write_close(1001);
    world.advance(900);
    assert!(!world.client(slow).is_closed);
    world.advance(200);
    assert!(world.client(slow).take_response().starts_with("HTTP/1.1 503 "));
    world.client(slow).end();
    world.run();
    assert!(world.is_drained());
}
