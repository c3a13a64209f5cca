//! Questions that the shards have been asked and have not answered yet.
//!
//! Owns the tickets and what has come of answers that have several parts. Invariants: Q1 at most
//! `max` questions are held; Q2 a ticket is not given again while 2^32 others are: an answer that
//! comes after its asker has left finds nothing, never the question of somebody else.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::bridge::{Listed, Refused, Sequenced, TopicInfo};
use crate::pubsub::envelope::{BusyTopic, Position, Refusal, TopicSummary};
use tokio::sync::oneshot::Sender;

/// See the module's header.
pub(super) struct Questions {
    waiting: HashMap<u32, Question>,
    next: u32,
    max: usize,
}

enum Question {
    Publish(Sender<Result<Sequenced, Refused>>),
    Topics(Listing),
    Busiest(Search),
    Subscribers(Count),
    /// New values, and how many shards do not have them yet.
    Retune(Sender<Result<(), Refused>>, usize),
}

/// A listing that some shards may still have to add to.
struct Listing {
    reply: Sender<Listed>,
    limit: usize,
    shards_left: usize,
    homes: Vec<TopicSummary>,
    subscribers: HashMap<Box<str>, u64>,
}

/// A search for the busiest topics that some shards may still have to add to.
struct Search {
    reply: Sender<Result<Vec<BusyTopic>, Refused>>,
    limit: usize,
    shards_left: usize,
    found: Vec<BusyTopic>,
}

/// A count of subscribers that some shards may still have to add to.
struct Count {
    reply: Sender<Result<Vec<u64>, Refused>>,
    shards_left: usize,
    sums: Vec<u64>,
}

impl Questions {
    /// No questions yet, and never more than `max`.
    pub(super) fn new(max: usize) -> Self {
        Questions { waiting: HashMap::new(), next: 0, max }
    }

    /// True when another question has to be refused.
    pub(super) fn is_full(&mut self) -> bool {
        if self.waiting.len() >= self.max {
            self.forget_abandoned();
        }
        self.waiting.len() >= self.max
    }

    /// Notes a publish; gives its ticket.
    pub(super) fn publish(&mut self, reply: Sender<Result<Sequenced, Refused>>) -> u32 {
        self.note(Question::Publish(reply))
    }

    /// Notes a listing that `shards` shards will add to; gives its ticket.
    pub(super) fn topics(&mut self, reply: Sender<Listed>, limit: usize, shards: usize) -> u32 {
        let (homes, subscribers) = (Vec::new(), HashMap::new());
        self.note(Question::Topics(Listing {
            reply,
            limit,
            shards_left: shards,
            homes,
            subscribers,
        }))
    }

    /// Notes a search for the busiest topics; gives its ticket.
    pub(super) fn busiest(
        &mut self,
        reply: Sender<Result<Vec<BusyTopic>, Refused>>,
        limit: usize,
        shards: usize,
    ) -> u32 {
        let found = Vec::new();
        self.note(Question::Busiest(Search { reply, limit, shards_left: shards, found }))
    }

    /// Notes a count of the subscribers of some topics; gives its ticket.
    pub(super) fn subscribers(
        &mut self,
        reply: Sender<Result<Vec<u64>, Refused>>,
        topics: usize,
        shards: usize,
    ) -> u32 {
        let sums = vec![0; topics];
        self.note(Question::Subscribers(Count { reply, shards_left: shards, sums }))
    }

    /// Notes new values that `shards` shards shall have; gives their ticket.
    pub(super) fn retune(&mut self, reply: Sender<Result<(), Refused>>, shards: usize) -> u32 {
        self.note(Question::Retune(reply, shards))
    }

    /// A shard has the new values; the last one completes it.
    pub(super) fn retuned(&mut self, ticket: u32) {
        let Some(Question::Retune(_, shards_left)) = self.waiting.get_mut(&ticket) else { return };
        *shards_left -= 1;
        if *shards_left == 0
            && let Some(Question::Retune(reply, _)) = self.waiting.remove(&ticket)
        {
            answer(reply, Ok(()));
        }
    }

    /// A home has answered a publish.
    pub(super) fn published(&mut self, ticket: u32, result: Result<Position, Refusal>) {
        let Some(Question::Publish(_)) = self.waiting.get(&ticket) else { return };
        if let Some(Question::Publish(reply)) = self.waiting.remove(&ticket) {
            answer(reply, result.map(sequenced).map_err(refused));
        }
    }

    /// A shard has added its part to a listing; the last one completes it.
    pub(super) fn listed(
        &mut self,
        ticket: u32,
        homes: Vec<TopicSummary>,
        subscribers: Vec<(Box<str>, u32)>,
    ) {
        let Some(Question::Topics(listing)) = self.waiting.get_mut(&ticket) else { return };
        listing.homes.extend(homes);
        for (topic, count) in subscribers {
            *listing.subscribers.entry(topic).or_default() += u64::from(count);
        }
        listing.shards_left -= 1;
        if listing.shards_left == 0
            && let Some(Question::Topics(listing)) = self.waiting.remove(&ticket)
        {
            listing.complete();
        }
    }

    /// A shard has named its busiest topics; the last one completes the search.
    pub(super) fn found_busiest(&mut self, ticket: u32, topics: Vec<BusyTopic>) {
        let Some(Question::Busiest(search)) = self.waiting.get_mut(&ticket) else { return };
        search.found.extend(topics);
        search.shards_left -= 1;
        if search.shards_left == 0
            && let Some(Question::Busiest(search)) = self.waiting.remove(&ticket)
        {
            let Search { reply, limit, mut found, .. } = search;
            found.sort_unstable_by(|a, b| {
                let rank = |topic: &BusyTopic| Reverse((topic.grown, topic.offset));
                rank(a).cmp(&rank(b)).then_with(|| a.topic.cmp(&b.topic))
            });
            found.truncate(limit);
            answer(reply, Ok(found));
        }
    }

    /// A shard has counted its subscribers; the last one completes the count.
    pub(super) fn counted(&mut self, ticket: u32, counts: &[u32]) {
        let Some(Question::Subscribers(count)) = self.waiting.get_mut(&ticket) else { return };
        for (sum, more) in count.sums.iter_mut().zip(counts) {
            *sum += u64::from(*more);
        }
        count.shards_left -= 1;
        if count.shards_left == 0
            && let Some(Question::Subscribers(count)) = self.waiting.remove(&ticket)
        {
            answer(count.reply, Ok(count.sums));
        }
    }

    /// Forgets questions whose askers have gone.
    pub(super) fn forget_abandoned(&mut self) {
        self.waiting.retain(|_, question| match question {
            Question::Publish(reply) => !reply.is_closed(),
            Question::Topics(listing) => !listing.reply.is_closed(),
            Question::Busiest(search) => !search.reply.is_closed(),
            Question::Subscribers(count) => !count.reply.is_closed(),
            Question::Retune(reply, _) => !reply.is_closed(),
        });
    }

    fn note(&mut self, question: Question) -> u32 {
        assert!(self.waiting.len() < self.max, "Q1: its asker has looked");
        let ticket = self.next;
        self.next = self.next.wrapping_add(1);
        assert!(self.waiting.insert(ticket, question).is_none(), "Q2: a ticket names one question");
        ticket
    }
}

impl Listing {
    fn complete(mut self) {
        self.homes.sort_unstable_by(|a, b| a.topic.cmp(&b.topic));
        self.homes.truncate(self.limit);
        let info = |home: TopicSummary| TopicInfo {
            subscribers: self.subscribers.get(&home.topic).copied().unwrap_or(0),
            topic: home.topic.into(),
            epoch: home.position.epoch.to_string(),
            offset: home.position.offset,
        };
        let topics = self.homes.into_iter().map(info).collect();
        answer(self.reply, Ok(topics));
    }
}

/// Tells the asker. One who has gone meanwhile needs no answer.
pub(super) fn answer<T>(reply: Sender<T>, answer: T) {
    drop(reply.send(answer));
}

fn sequenced(position: Position) -> Sequenced {
    Sequenced { epoch: position.epoch.to_string(), offset: position.offset }
}

fn refused(refusal: Refusal) -> Refused {
    match refusal {
        Refusal::Overloaded => Refused::Overloaded,
        Refusal::TopicsExhausted => Refused::LimitExceeded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::envelope::Epoch;
    use tokio::sync::oneshot::{channel, error::TryRecvError};

    fn at(offset: u64) -> Position {
        Position { epoch: Epoch(0xabc), offset }
    }

    fn home(topic: &str, offset: u64) -> TopicSummary {
        TopicSummary { topic: topic.into(), position: at(offset) }
    }

    #[test]
    fn an_answer_that_comes_late_or_twice_reaches_nobody_else() {
        let mut questions = Questions::new(1);
        let (reply, gone) = channel();
        let late = questions.publish(reply);
        assert!(questions.is_full());
        drop(gone);
        assert!(!questions.is_full(), "its asker has gone");
        let (reply, mut mine) = channel();
        let ticket = questions.publish(reply);
        questions.published(late, Ok(at(1)));
        questions.listed(ticket, vec![home("t", 9)], Vec::new());
        assert_eq!(mine.try_recv(), Err(TryRecvError::Empty));
        questions.published(ticket, Ok(at(2)));
        questions.published(ticket, Ok(at(3)));
        let expected = Sequenced { epoch: "0000000000000abc".into(), offset: 2 };
        assert_eq!(mine.try_recv(), Ok(Ok(expected)));
    }

    #[test]
    fn new_values_are_in_force_when_all_shards_have_them() {
        let mut questions = Questions::new(2);
        let (reply, mut told) = channel();
        let ticket = questions.retune(reply, 2);
        questions.retuned(ticket);
        questions.retuned(ticket + 1);
        assert_eq!(told.try_recv(), Err(TryRecvError::Empty));
        questions.retuned(ticket);
        assert_eq!(told.try_recv(), Ok(Ok(())));
        questions.retuned(ticket);
    }

    #[test]
    fn tickets_go_on_after_the_last_number() {
        let mut questions = Questions::new(2);
        questions.next = u32::MAX;
        let [(one, mut first), (other, mut second)] = [channel(), channel()];
        assert_eq!((questions.publish(one), questions.publish(other)), (u32::MAX, 0));
        questions.published(0, Err(Refusal::TopicsExhausted));
        questions.published(u32::MAX, Err(Refusal::Overloaded));
        assert_eq!(first.try_recv(), Ok(Err(Refused::Overloaded)));
        assert_eq!(second.try_recv(), Ok(Err(Refused::LimitExceeded)));
    }

    #[test]
    fn a_search_keeps_the_busiest_of_all_shards_and_a_count_sums() {
        let mut questions = Questions::new(2);
        let (reply, mut found) = channel();
        let ticket = questions.busiest(reply, 3, 2);
        let busy = |topic: &str, offset, grown| BusyTopic { topic: topic.into(), offset, grown };
        questions.found_busiest(ticket, vec![busy("d", 9, 5), busy("b", 7, 0), busy("a", 7, 0)]);
        assert_eq!(found.try_recv(), Err(TryRecvError::Empty));
        questions.found_busiest(ticket, vec![busy("c", 6, 6), busy("e", 6, 0)]);
        let expected = vec![busy("c", 6, 6), busy("d", 9, 5), busy("a", 7, 0)];
        assert_eq!(found.try_recv(), Ok(Ok(expected)));
        let (reply, mut counted) = channel();
        let ticket = questions.subscribers(reply, 2, 2);
        questions.counted(ticket, &[1, u32::MAX]);
        questions.found_busiest(ticket, Vec::new());
        assert_eq!(counted.try_recv(), Err(TryRecvError::Empty));
        questions.counted(ticket, &[2, 1]);
        assert_eq!(counted.try_recv(), Ok(Ok(vec![3, 1 << 32])));
    }

    #[test]
    fn a_listing_waits_for_all_shards_sorts_cuts_and_sums() {
        let mut questions = Questions::new(1);
        let (reply, mut listed) = channel();
        let ticket = questions.topics(reply, 2, 3);
        let count = |topic: &str, count| (Box::from(topic), count);
        questions.listed(ticket, vec![home("c", 3)], vec![count("a", 4), count("nowhere", 1)]);
        questions.listed(ticket, Vec::new(), vec![count("a", u32::MAX), count("c", 7)]);
        assert_eq!(listed.try_recv(), Err(TryRecvError::Empty));
        questions.listed(ticket, vec![home("a", 1), home("b", 0)], Vec::new());
        let topics = listed.try_recv().expect("all have answered").expect("taken");
        let seen: Vec<_> =
            topics.iter().map(|t| (t.topic.as_str(), t.offset, t.subscribers)).collect();
        assert_eq!(seen, [("a", 1, u64::from(u32::MAX) + 4), ("b", 0, 0)]);
    }
}
