//! What a shard does as the home of topics: gives messages their place and fans them out to shards.

use bytes::Bytes;

use super::shard::Shard;
use crate::base::{ConnId, ConnKey, ShardId};
use crate::handler::{Handler, Publication};
use crate::metrics::Metric;
use crate::pubsub::envelope::{
    HomeTopic, LocalTopic, Parcel, Position, Refusal, Request, Response, Token,
};
use crate::pubsub::home::Interest;
use crate::ws::header::{HEADER_BYTES_MAX, encode_header};
use crate::ws::opcode::{Kind, Opcode};

/// What a delivery and an answer may both need of one lane.
const ROOM_PER_PUBLISH: usize = 2;

impl<H: Handler> Shard<H> {
    /// True when the next request from a participant can be taken: every lane that it may lead to
    /// has room, or the request is one that leads nowhere.
    pub(super) fn has_room_for_next(&mut self, from: usize) -> bool {
        let mailbox = &self.core.mailbox;
        let has_room = |to: usize| mailbox.response_room(to) >= ROOM_PER_PUBLISH;
        match mailbox.peek_request(from) {
            None => true,
            Some(Request::Publish { parcel, .. }) => {
                let interested = self.home.find(parcel).map(|topic| self.home.interest(topic));
                has_room(from)
                    && interested.unwrap_or(&[]).iter().all(|i| has_room(i.shard.index()))
            }
            Some(Request::Interest { .. } | Request::Release { .. } | Request::Control(_)) => {
                has_room(from)
            }
        }
    }

    /// Gives a message its place, encodes it once, and sends it to every shard with subscribers.
    pub(super) fn sequence(&mut self, from: ConnId, token: Token, parcel: Parcel) {
        let now = self.core.now;
        let topic = match self.home.find(&parcel) {
            Some(topic) => Ok(topic),
            None => self.home.open(parcel.topic(), now.monotonic_ms),
        };
        let result = topic.map(|topic| {
            let position = self.home.sequence(topic, now.monotonic_ms);
            self.deliver_to_shards(topic, position, &parcel);
            position
        });
        match result {
            Ok(_) => self.core.counters.inc(Metric::PublishesAccepted),
            Err(_) => self.core.counters.inc(Metric::PublishesRefused),
        }
        if !token.is_none() && from.key() != ConnKey::NOBODY {
            let parcel = parcel.receipt();
            let answer = Response::Published { to: from, parcel, token, result };
            self.respond(from.shard().index(), answer);
        }
    }

    fn deliver_to_shards(&mut self, topic: HomeTopic, position: Position, parcel: &Parcel) {
        if self.home.interest(topic).is_empty() {
            return;
        }
        let frame = self.encode_frame(topic, position, parcel);
        let Some((last, others)) = self.home.interest(topic).split_last() else { return };
        let core = &mut self.core;
        let mut deliver = |to: &Interest, frame| {
            let delivery = Response::Deliver { local: to.local, offset: position.offset, frame };
            core.counters.inc(Metric::LaneResponses);
            core.mailbox.respond(to.shard.index(), delivery);
        };
        others.iter().for_each(|to| deliver(to, frame.clone()));
        deliver(last, frame);
    }

    /// The message as one unmasked frame.
    fn encode_frame(&mut self, topic: HomeTopic, position: Position, parcel: &Parcel) -> Bytes {
        let publication = Publication {
            topic: self.home.name(topic),
            position,
            unix_ms: self.core.now.unix_ms,
            from: parcel.from(),
            data: parcel.data(),
            kind: if parcel.is_text { Kind::Text } else { Kind::Binary },
        };
        self.scratch.clear();
        self.scratch.resize(HEADER_BYTES_MAX, 0);
        let kind = self.handler.encode(&publication, &mut self.scratch);
        let body_len = self.scratch.len() - HEADER_BYTES_MAX;
        let mut header = [0; HEADER_BYTES_MAX];
        let len = encode_header(&mut header, true, Opcode::from(kind), body_len as u64, None);
        let start = HEADER_BYTES_MAX - len;
        self.scratch[start..HEADER_BYTES_MAX].copy_from_slice(&header[..len]);
        self.core.press.press(&[&self.scratch[start..]])
    }

    /// A shard has subscribers now: from here on it gets every message.
    pub(super) fn register(&mut self, shard: ShardId, topic: &str, local: LocalTopic) {
        let result: Result<(HomeTopic, Position), Refusal> = self
            .home
            .open(topic, self.core.now.monotonic_ms)
            .map(|home| (home, self.home.register(home, Interest { shard, local })));
        self.respond(shard.index(), Response::Interested { local, result });
    }
}
