//! The topics of a floor: who subscribes, and what this turn has brought, already in frames.

use std::collections::HashMap;

/// All topics, by a number that connections remember.
#[derive(Default)]
pub struct Topics {
    numbers: HashMap<String, u32>,
    all: Vec<Topic>,
    /// Topics with something to send.
    dirty: Vec<u32>,
}

/// One topic.
#[derive(Default)]
pub struct Topic {
    /// Connections, in no order.
    pub subscribers: Vec<u32>,
    /// Frames that have come in this turn.
    pub batch: Vec<u8>,
    /// Frames of the turn before, as long as a send may still refer to them.
    pub sent: Vec<u8>,
}

impl Topics {
    /// The number of a topic, which is made if there is none of this name.
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.all.push(Topic::default());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// A topic by its number.
    pub fn of(&mut self, number: u32) -> &mut Topic {
        &mut self.all[number as usize]
    }

    /// The batch that a publisher adds to.
    pub fn batch(&mut self, number: u32) -> &mut Vec<u8> {
        &mut self.all[number as usize].batch
    }

    /// To be called after something was added to a batch that was empty.
    pub fn mark(&mut self, number: u32) {
        self.dirty.push(number);
    }

    /// Whether anything waits to be sent.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes a connection out of a topic.
    pub fn leave(&mut self, number: u32, subscriber: u32) {
        let subscribers = &mut self.all[number as usize].subscribers;
        if let Some(at) = subscribers.iter().position(|other| *other == subscriber) {
            subscribers.swap_remove(at);
        }
    }

    /// The next topic that has something to send; its batch has become `sent`.
    pub fn next_dirty(&mut self) -> Option<&mut Topic> {
        let topic = &mut self.all[self.dirty.pop()? as usize];
        std::mem::swap(&mut topic.batch, &mut topic.sent);
        topic.batch.clear();
        Some(topic)
    }
}
