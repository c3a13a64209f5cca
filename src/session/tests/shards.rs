//! Topics, subscribers and publishers on different shards.

use super::*;

/// Every way to place home, subscriber and publisher on two shards.
fn placements() -> impl Iterator<Item = (usize, usize, usize)> {
    (0..8).map(|bits| (bits & 1, bits >> 1 & 1, bits >> 2 & 1))
}

fn offsets(messages: &[String]) -> Vec<u64> {
    let messages = messages.iter().map(|text| value(text));
    messages.map(|message| message["offset"].as_u64().expect("an offset")).collect()
}

#[test]
fn a_message_reaches_its_subscriber_wherever_they_are() {
    for (home, at, from) in placements() {
        let mut world = world(2);
        let topic = topic_at(home, 2);
        let (subscriber, publisher) = (join(&mut world, at), join(&mut world, from));
        subscribe(&mut world, subscriber, &topic);
        let request = format!(r#"{{"type":"publish","id":"p","topic":"{topic}","data":"\u00e9"}}"#);
        let answer = ask_one(&mut world, publisher, &request);
        assert_eq!(answer, format!(r#"{{"type":"ack","id":"p","topic":"{topic}","offset":1}}"#));
        let place = r#""offset":1,"ts":1790000000000"#;
        let message = format!(r#"{{"type":"message","topic":"{topic}",{place},"data":"\u00e9"}}"#);
        assert_eq!(world.texts(subscriber), [message], "{home} {at} {from}");
    }
}

/// The position in the answer and the first message are neighbours, whenever one joins.
#[test]
fn joining_in_the_middle_of_a_stream_leaves_no_gap() {
    for (home, at, from) in placements() {
        let mut world = world(2);
        let topic = topic_at(home, 2);
        let publisher = join(&mut world, from);
        let joiners: Vec<usize> = (0..10).map(|_| join(&mut world, at)).collect();
        let mut next = joiners.iter();
        for number in 0..60_u64 {
            world.write_text(publisher, &publish_text(&topic, &number.to_string()));
            if number % 6 == 3 {
                let request = format!(r#"{{"type":"subscribe","id":1,"topic":"{topic}"}}"#);
                world.write_text(*next.next().expect("ten of them"), &request);
            }
            // Only one shard has a turn, so that joins and messages are under way at once.
            world.turn(number as usize % 2);
        }
        world.run();
        assert!(next.next().is_none());
        for client in joiners {
            let texts = world.texts(client);
            let (first, messages) = texts.split_first().expect("an answer");
            let begin = value(first)["offset"].as_u64().expect("subscribed first");
            let expected: Vec<u64> = (begin + 1..=60).collect();
            assert_eq!(offsets(messages), expected, "{home} {at} {from}");
            let data = messages.iter().map(|text| value(text)["data"].as_u64().unwrap());
            assert!(data.eq(begin..60), "the data of each offset");
        }
    }
}

#[test]
fn all_subscribers_see_one_order_and_a_publisher_keeps_its_own() {
    let mut world = world(3);
    let topic = topic_at(2, 3);
    let subscribers: Vec<usize> = (0..3).map(|shard| join(&mut world, shard)).collect();
    for client in &subscribers {
        subscribe(&mut world, *client, &topic);
    }
    let publishers: Vec<usize> = (0..3).map(|shard| join(&mut world, shard)).collect();
    for number in 0..40 {
        for (name, client) in publishers.iter().enumerate() {
            world.write_text(*client, &publish_text(&topic, &format!("[{name},{number}]")));
        }
        world.turn(number % 3);
    }
    world.run();
    let orders: Vec<Vec<String>> = subscribers.iter().map(|client| world.texts(*client)).collect();
    assert_eq!(offsets(&orders[0]), (1..=120).collect::<Vec<u64>>());
    assert!(orders.iter().all(|order| *order == orders[0]));
    for name in 0..3 {
        let own = orders[0].iter().map(|text| value(text)["data"].clone());
        let own = own.filter(|data| data[0] == name).map(|data| data[1].as_u64().unwrap());
        assert!(own.eq(0..40), "of publisher {name}");
    }
}

#[test]
fn nothing_comes_after_the_answer_to_unsubscribe() {
    for (home, at, from) in placements() {
        let mut world = world(2);
        let topic = topic_at(home, 2);
        let (subscriber, publisher) = (join(&mut world, at), join(&mut world, from));
        subscribe(&mut world, subscriber, &topic);
        for number in 0..30 {
            world.write_text(publisher, &publish_text(&topic, "0"));
            if number == 15 {
                let leave = format!(r#"{{"type":"unsubscribe","id":2,"topic":"{topic}"}}"#);
                world.write_text(subscriber, &leave);
            }
            world.turn(number % 2);
        }
        world.run();
        let texts = world.texts(subscriber);
        assert!(texts.last().unwrap().starts_with("{\"type\":\"ack\""), "{home} {at} {from}");
        // It may come back, and its old shard's interest was given up in the meantime.
        assert_eq!(subscribe(&mut world, subscriber, &topic).1, 30);
    }
}

#[test]
fn who_comes_back_while_the_interest_is_being_released_misses_nothing() {
    for (home, at, from) in placements() {
        let mut world = world(2);
        let topic = topic_at(home, 2);
        let (subscriber, publisher) = (join(&mut world, at), join(&mut world, from));
        let subscribe = format!(r#"{{"type":"subscribe","id":1,"topic":"{topic}"}}"#);
        let leave = format!(r#"{{"type":"unsubscribe","id":2,"topic":"{topic}"}}"#);
        let (mut sent, mut last) = (0, None);
        for round in 0..200_u64 {
            world.write_text(publisher, &publish_text(&topic, "0"));
            sent += 1;
            if round % 3 == 0 {
                let is_in = round % 2 == 0;
                world.write_text(subscriber, if is_in { &subscribe } else { &leave });
            }
            world.turn((round / 2 % 2) as usize);
            for text in world.texts(subscriber) {
                check_next(&text, &mut last);
            }
        }
        world.write_text(subscriber, &subscribe);
        world.run();
        world.texts(subscriber).iter().for_each(|text| check_next(text, &mut last));
        assert_eq!(last, Some(sent), "{home} {at} {from}");
    }
}

/// Follows offsets: an answer sets the place, a message is the next one, an ack ends it.
fn check_next(text: &str, last: &mut Option<u64>) {
    let message = value(text);
    let offset = message["offset"].as_u64();
    match message["type"].as_str() {
        Some("subscribed") if last.is_some() => assert_eq!(*last, offset, "{text}"),
        Some("subscribed") => *last = offset,
        Some("message") => {
            assert_eq!(offset, last.map(|last| last + 1), "{text}");
            *last = offset;
        }
        Some("ack" | "error") => *last = None,
        other => panic!("{other:?}: {text}"),
    }
}

/// Lanes of four entries: the publisher is slowed down, refused at most, and nothing is lost.
#[test]
fn a_full_lane_slows_the_publisher_down() {
    let handler = |_| JsonHandler::new(SessionConfig::default(), INSTANCE);
    let mut world = World::new(2, 4, small_config(), handler);
    let topic = topic_at(1, 2);
    let (subscriber, publisher) = (join(&mut world, 1), join(&mut world, 0));
    subscribe(&mut world, subscriber, &topic);
    world.client(publisher).input_step = 64;
    for id in 0..200 {
        let request = format!(r#"{{"type":"publish","id":{id},"topic":"{topic}","data":{id}}}"#);
        world.write_text(publisher, &request);
    }
    world.run();
    let answers: Vec<_> = world.texts(publisher).iter().map(|text| value(text)).collect();
    assert_eq!(answers.len(), 200);
    let acks = answers.iter().filter(|answer| answer["type"] == "ack");
    let acked: Vec<_> = acks.map(|answer| answer["id"].as_u64().unwrap()).collect();
    let refused = answers.iter().filter(|answer| answer["code"] == "overloaded").count();
    assert_eq!(acked.len() + refused, 200);
    assert!(refused < 20, "slowed down before it is refused: {refused}");
    let texts = world.texts(subscriber);
    assert_eq!(offsets(&texts), (1..=acked.len() as u64).collect::<Vec<_>>());
    let data: Vec<_> = texts.iter().map(|text| value(text)["data"].as_u64().unwrap()).collect();
    assert_eq!(data, acked);
}
