//! Publishers: batches of numbered messages, each acknowledged or refused.
//!
//! What was refused as `overloaded` is published again under a new number: in the publisher's order
//! it then stands where it was accepted, and its old number must never turn up.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::TOPIC;
use crate::common::{Frame, Gate, JsonClient};

/// Messages that a publisher sends before it looks at the answers.
const BATCH: u64 = 32;

/// A message that was acknowledged.
pub(crate) struct Told {
    pub(crate) number: u64,
    pub(crate) offset: u64,
}

/// All acknowledgements of one publisher, in the order in which it had sent.
pub(crate) struct Published {
    pub(crate) publisher: u64,
    pub(crate) offsets: Vec<Told>,
}

/// What a message carries.
pub(crate) fn data(publisher: u64, number: u64) -> String {
    format!("{{\"publisher\":{publisher},\"number\":{number}}}")
}

/// Publishes until `count` messages are acknowledged.
pub(crate) fn publish(ws: SocketAddr, gate: &Gate, publisher: u64, count: u64) -> Published {
    let _alarm = gate.alarm();
    let mut client = JsonClient::open(ws);
    let (mut offsets, mut next) = (Vec::new(), 0);
    while (offsets.len() as u64) < count {
        let batch = BATCH.min(count - offsets.len() as u64);
        gate.enter(batch);
        send(&mut client, publisher, next..next + batch);
        let mut told = answers(&mut client, next, batch);
        gate.give_back(batch - told.len() as u64);
        told.sort_unstable_by_key(|told| told.number);
        offsets.append(&mut told);
        next += batch;
    }
    Published { publisher, offsets }
}

fn send(client: &mut JsonClient, publisher: u64, numbers: std::ops::Range<u64>) {
    let (mut octets, mut text) = (Vec::new(), String::new());
    for number in numbers {
        text.clear();
        let data = data(publisher, number);
        write!(
            text,
            "{{\"type\":\"publish\",\"id\":{number},\"topic\":\"{TOPIC}\",\"data\":{data}}}"
        )
        .expect("a string takes all");
        octets.extend(Frame::text(&text).octets());
    }
    client.raw().send(&octets);
}

/// One answer for each of `count` messages from `first` on; those that were accepted.
fn answers(client: &mut JsonClient, first: u64, count: u64) -> Vec<Told> {
    let mut is_answered = vec![false; count as usize];
    let mut told = Vec::new();
    for _ in 0..count {
        let answer = client.next();
        let number = answer["id"].as_u64().unwrap_or_else(|| panic!("an id of ours: {answer}"));
        let place = number.checked_sub(first).and_then(|at| is_answered.get_mut(at as usize));
        let place = place.unwrap_or_else(|| panic!("an answer to what was not asked: {answer}"));
        assert!(!std::mem::replace(place, true), "answered twice: {answer}");
        match answer["type"].as_str() {
            Some("ack") => {
                let offset = answer["offset"].as_u64();
                let offset = offset.unwrap_or_else(|| panic!("an offset: {answer}"));
                told.push(Told { number, offset });
            }
            Some("error") => assert_eq!(answer["code"], "overloaded", "{answer}"),
            _ => panic!("{answer}"),
        }
    }
    told
}
