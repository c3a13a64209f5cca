//! The shadow model: what was published, what became of it, and who may see it where.
//!
//! Knows nothing of shards. It learns from what clients are told, and holds each of them to what
//! any other was told before: a message has one place, a place has one message, what was refused is
//! seen by nobody, and who publishes twice to a topic is seen in that order.

use std::collections::{BTreeMap, HashMap};

use super::plan::TOPICS;
use crate::base::prng::Prng;

/// What a check gives: what is wrong, in words.
pub type Verdict = Result<(), String>;

/// A place in a topic, as clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Which run of the sequence.
    pub epoch: u64,
    /// Where in it.
    pub offset: u64,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    topic: usize,
    publisher: usize,
    is_refused: bool,
    acked: Option<u64>,
    /// That was before the server was told to drain.
    is_early: bool,
    seen: Option<Place>,
}

/// See the module's header.
#[derive(Debug, Default)]
pub struct Topics {
    records: HashMap<u64, Record>,
    logs: BTreeMap<(usize, u64), BTreeMap<u64, u64>>,
    /// Messages that somebody has got.
    pub deliveries: u64,
    /// The server was told to drain.
    pub is_draining: bool,
    newest_number: u64,
}

/// The data of a message: its number, and as much more as the number says.
pub fn data_of(number: u64, payload_max: u64) -> String {
    let mut prng = Prng::new(number);
    let most = if prng.below(4) == 0 { payload_max } else { payload_max / 8 };
    let filler = prng.below(most + 1) as usize;
    let letter = char::from(b'a' + prng.below(26) as u8);
    format!("{{\"n\":{number},\"x\":\"{}\"}}", letter.to_string().repeat(filler))
}

/// The number of a message with this data.
fn number_of(data: &str) -> Option<u64> {
    let rest = data.strip_prefix("{\"n\":")?;
    rest[..rest.find(',')?].parse().ok()
}

impl Topics {
    /// A client sends a message off.
    pub fn published(&mut self, number: u64, topic: usize, publisher: usize) {
        let record = Record {
            topic,
            publisher,
            is_refused: false,
            acked: None,
            is_early: false,
            seen: None,
        };
        self.records.insert(number, record);
        self.newest_number = self.newest_number.max(number);
    }

    /// The newest message of any topic: what is published from now on has a higher number.
    pub fn newest_number(&self) -> u64 {
        self.newest_number
    }

    /// A message of a topic that was published after another one and acknowledged beyond an offset,
    /// before a drain.
    pub fn acked_beyond(&self, topic: usize, after: u64, offset: u64) -> Option<u64> {
        let is_beyond =
            |record: &Record| record.is_early && record.acked.is_some_and(|acked| acked > offset);
        let later = self.records.iter().filter(|(number, _)| **number > after);
        let missed = later.filter(|(_, record)| record.topic == topic && is_beyond(record));
        missed.map(|(number, _)| *number).min()
    }

    /// The publisher was told where its message stands.
    pub fn acked(&mut self, number: u64, offset: u64) -> Verdict {
        let record = self.records.get_mut(&number).expect("only what was published is answered");
        if record.is_refused || record.acked.is_some() {
            return Err(format!("message {number} was answered twice: {record:?}"));
        }
        if record.seen.is_some_and(|place| place.offset != offset) {
            return Err(format!("message {number} is acknowledged at {offset}, not {record:?}"));
        }
        record.acked = Some(offset);
        record.is_early = !self.is_draining;
        Ok(())
    }

    /// The publisher was told that its message was not taken.
    pub fn refused(&mut self, number: u64) -> Verdict {
        let record = self.records.get_mut(&number).expect("only what was published is answered");
        if record.seen.is_some() || record.acked.is_some() {
            return Err(format!("message {number} was refused, but {record:?}"));
        }
        record.is_refused = true;
        Ok(())
    }

    /// A subscriber got a message.
    pub fn seen(&mut self, topic: usize, place: Place, data: &str, payload_max: u64) -> Verdict {
        self.deliveries += 1;
        let number = number_of(data).ok_or_else(|| format!("nobody has published {data:?}"))?;
        if data != data_of(number, payload_max) {
            return Err(format!("the data of message {number} has changed: {data:?}"));
        }
        let Some(record) = self.records.get_mut(&number) else {
            return Err(format!("message {number} was never published"));
        };
        let is_elsewhere = record.seen.is_some_and(|other| other != place)
            || record.acked.is_some_and(|offset| offset != place.offset);
        if record.topic != topic || record.is_refused || is_elsewhere {
            return Err(format!("{number} came at {place:?} of {:?}: {record:?}", TOPICS[topic]));
        }
        record.seen = Some(place);
        let log = self.logs.entry((topic, place.epoch)).or_default();
        match log.insert(place.offset, number) {
            Some(other) if other != number => {
                Err(format!("{other} and {number} both came at {place:?} of {:?}", TOPICS[topic]))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The newest message of a topic that anybody has seen.
    pub fn newest(&self, topic: usize, epoch: u64) -> Option<u64> {
        self.logs.get(&(topic, epoch))?.keys().next_back().copied()
    }

    /// The message that stands in a place.
    pub fn number_at(&self, topic: usize, place: Place) -> Option<u64> {
        self.logs.get(&(topic, place.epoch))?.get(&place.offset).copied()
    }

    /// Each publisher's messages of a topic stand in the order in which it sent them.
    pub fn check_order(&self) -> Verdict {
        for ((topic, epoch), log) in &self.logs {
            let mut last: HashMap<usize, u64> = HashMap::new();
            for (offset, number) in log {
                let publisher = self.records[number].publisher;
                let before = last.insert(publisher, *number);
                if before.is_some_and(|before| before >= *number) {
                    let topic = TOPICS[*topic];
                    return Err(format!(
                        "{number} comes behind {before:?} at {offset} of {topic:?}, epoch {epoch:x}"
                    ));
                }
            }
        }
        Ok(())
    }
}
