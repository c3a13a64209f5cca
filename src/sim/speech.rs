//! What a client of the JSON protocol has asked, what it may be answered, and what it may be sent.
//!
//! Written from `docs/protocol.md` and nothing else. Answers that need no home come in the order of
//! the requests; those of one topic's home come in the order of that home.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::faults::Canary;
use super::plan::{Gaps, Plan, TOPICS};
use super::socket::Pace;
use super::topics::{Place, Topics, Verdict};

/// A request that has an `id` and was not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Ping,
    Subscribe { topic: usize, since: Option<Place> },
    Unsubscribe { topic: usize },
    Publish { topic: usize, octets: usize },
    Nonsense,
}

impl Ask {
    /// Answered before anything that comes later.
    fn is_immediate(self) -> bool {
        match self {
            Ask::Ping | Ask::Unsubscribe { .. } | Ask::Nonsense => true,
            Ask::Subscribe { .. } | Ask::Publish { .. } => false,
        }
    }
}

/// What the client must be judged by.
pub(super) struct Ears<'a> {
    pub(super) plan: &'a Plan,
    pub(super) topics: &'a mut Topics,
    /// What may have had to wait for this client.
    pub(super) pace: Pace,
    /// What the model is told wrongly, on purpose.
    pub(super) canary: Option<Canary>,
}

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct Speech {
    is_welcome: bool,
    pending: Vec<(u64, Ask)>,
    /// By topic: the last place that it was told or sent.
    subs: BTreeMap<usize, Place>,
    /// The newest message of all when each subscription began.
    since: BTreeMap<usize, u64>,
    /// By topic: [`Pace::settled`] at its last place. Nothing was left out from there on unless
    /// there were more sends that were not taken whole.
    settled: BTreeMap<usize, u64>,
    /// By topic: where it was when it left.
    left: BTreeMap<usize, Place>,
    /// Bad requests without an `id`, each of which is answered.
    nameless: usize,
    /// Publishes without an `id`, which are answered only when they are refused.
    hopeful: usize,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: Option<u64>,
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
    epoch: Option<&'a str>,
    offset: Option<u64>,
    recovered: Option<bool>,
    code: Option<&'a str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Said<'_> {
    fn topic(&self) -> Result<usize, String> {
        let name = self.topic.as_deref().ok_or("a topic is missing")?;
        let known = TOPICS.iter().position(|topic| *topic == name);
        known.ok_or_else(|| format!("nobody has named {name:?}"))
    }

    fn offset(&self) -> Result<u64, String> {
        self.offset.ok_or_else(|| "an offset is missing".to_owned())
    }
}

impl Speech {
    /// Writes a request down, and gives its text.
    pub(super) fn ask(&mut self, id: u64, ask: Ask, plan: &Plan) -> String {
        self.pending.push((id, ask));
        match ask {
            Ask::Ping => format!("{{\"type\":\"ping\",\"id\":{id}}}"),
            Ask::Nonsense => format!("{{\"id\":{id},\"type\":\"sing\"}}"),
            Ask::Unsubscribe { topic } => {
                let topic = quoted(topic);
                format!("{{\"type\":\"unsubscribe\",\"id\":{id},\"topic\":{topic}}}")
            }
            Ask::Subscribe { topic, since } => {
                let (topic, since) = (quoted(topic), since_text(since));
                format!("{{\"type\":\"subscribe\",\"id\":{id},\"topic\":{topic}{since}}}")
            }
            Ask::Publish { topic, .. } => {
                let (topic, data) = (quoted(topic), super::topics::data_of(id, plan.payload_max));
                format!("{{\"type\":\"publish\",\"topic\":{topic},\"id\":{id},\"data\":{data}}}")
            }
        }
    }

    /// The text of a publish that nobody is to answer.
    pub(super) fn publish_quietly(&mut self, number: u64, topic: usize, plan: &Plan) -> String {
        self.hopeful += 1;
        let (topic, data) = (quoted(topic), super::topics::data_of(number, plan.payload_max));
        format!("{{\"data\":{data},\"topic\":{topic},\"type\":\"publish\"}}")
    }

    /// Something was sent that is no request at all.
    pub(super) fn babbled(&mut self) {
        self.nameless += 1;
    }

    /// Where it was when it last left a topic.
    pub(super) fn left_at(&self, topic: usize) -> Option<Place> {
        self.left.get(&topic).copied()
    }

    /// Requests that were not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.pending.len() + self.nameless
    }

    /// The topics that it subscribes to, and where it is in each.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, Place)> {
        self.subs.iter().map(|(topic, place)| (*topic, *place))
    }

    /// True when messages of a topic may have been left out since its last place.
    pub(super) fn was_slow(&self, topic: usize, pace: Pace) -> bool {
        pace.shorts > self.settled[&topic]
    }

    /// Whether all is there that was acknowledged when it still subscribed, up to a drain: else the
    /// topic, where it is, and the message.
    pub(super) fn missed(
        &self,
        plan: &Plan,
        topics: &Topics,
        pace: Pace,
    ) -> Option<(usize, Place, u64)> {
        self.places().find_map(|(topic, place)| {
            let is_owed = plan.keeps_newest(topic) || !self.was_slow(topic, pace);
            let number = topics.acked_beyond(topic, self.since[&topic], place.offset)?;
            is_owed.then_some((topic, place, number))
        })
    }

    /// A drain closes it: what was acknowledged before comes before.
    pub(super) fn check_drain(&self, ears: &Ears<'_>) -> Verdict {
        match self.missed(ears.plan, ears.topics, ears.pace) {
            Some((topic, place, number)) => {
                Err(format!("drained at {place:?} of {topic}, without {number}"))
            }
            None => Ok(()),
        }
    }

    /// A text message has come.
    pub(super) fn hear(&mut self, text: &[u8], ears: &mut Ears<'_>) -> Verdict {
        let said: Said<'_> =
            serde_json::from_slice(text).map_err(|error| format!("not JSON: {error}"))?;
        if !self.is_welcome && said.kind != "welcome" {
            return Err("the welcome comes first".into());
        }
        match said.kind {
            "message" if ears.canary == Some(Canary::MissesTheLast) => Ok(()),
            "ack" if said.offset.is_some() && ears.canary == Some(Canary::MissesAcks) => Ok(()),
            "message" => self.message(&said, ears),
            "welcome" if !self.is_welcome => {
                self.is_welcome = true;
                Ok(())
            }
            "pong" => self.immediate(said.id, |ask| ask == Ask::Ping).map(|_| ()),
            "subscribed" => self.subscribed(&said, ears),
            "ack" if said.offset.is_some() => self.acked(&said, ears),
            "ack" => self.unsubscribed(&said),
            "error" => self.error(&said, ears),
            other => Err(format!("{other:?} was not to be expected")),
        }
    }

    /// Takes the request that is answered; everything immediate before it was answered before.
    fn immediate(
        &mut self,
        id: Option<u64>,
        is_right: impl Fn(Ask) -> bool,
    ) -> Result<(usize, Ask), String> {
        let at = self.find(id)?;
        let overtaken = self.pending[..at].iter().find(|(_, ask)| ask.is_immediate());
        if let Some(overtaken) = overtaken {
            return Err(format!("{id:?} was answered before {overtaken:?}"));
        }
        let (_, ask) = self.pending.remove(at);
        match is_right(ask) {
            true => Ok((at, ask)),
            false => Err(format!("the wrong answer to {ask:?}")),
        }
    }

    fn find(&self, id: Option<u64>) -> Result<usize, String> {
        let id = id.ok_or("an answer without an id")?;
        let at = self.pending.iter().position(|(other, _)| *other == id);
        at.ok_or_else(|| format!("{id} was not asked, or answered before"))
    }

    fn subscribed(&mut self, said: &Said<'_>, ears: &Ears<'_>) -> Verdict {
        let (at, topic) = (self.find(said.id)?, said.topic()?);
        let (_, ask) = self.pending.remove(at);
        let Ask::Subscribe { topic: asked, since } = ask else {
            return Err(format!("subscribed is no answer to {ask:?}"));
        };
        let is_earlier =
            |ask: &Ask| matches!(ask, Ask::Subscribe { topic: of, .. } if *of == topic);
        if asked != topic || self.pending[..at].iter().any(|(_, ask)| is_earlier(ask)) {
            return Err(format!("the answer to an earlier subscription to {topic} is missing"));
        }
        let epoch = said.epoch.and_then(|text| u64::from_str_radix(text, 16).ok());
        let epoch = epoch.ok_or("an epoch is missing")?;
        let mishears = ears.canary == Some(Canary::TellsAWrongOffset);
        let place = Place { epoch, offset: said.offset()? + u64::from(mishears) };
        if said.recovered != Some(since.is_none_or(|since| since == place)) && !mishears {
            return Err(format!("recovered is wrong: from {since:?} to {place:?}"));
        }
        let Some(before) = self.subs.insert(topic, place) else {
            self.since.insert(topic, ears.topics.newest_number());
            self.settled.insert(topic, ears.pace.settled);
            return Ok(());
        };
        self.check_step(before, place, 0, ears, topic)
    }

    fn message(&mut self, said: &Said<'_>, ears: &mut Ears<'_>) -> Verdict {
        let (topic, offset) = (said.topic()?, said.offset()?);
        let Some(place) = self.subs.get_mut(&topic) else {
            return Err(format!("a message of {:?}, which it has not", TOPICS[topic]));
        };
        let before = *place;
        place.offset = offset;
        let place = *place;
        self.check_step(before, place, 1, ears, topic)?;
        let data = said.data.ok_or("data is missing")?;
        ears.topics.seen(topic, place, data.get(), ears.plan.payload_max)
    }

    fn acked(&mut self, said: &Said<'_>, ears: &mut Ears<'_>) -> Verdict {
        let at = self.find(said.id)?;
        let (id, ask) = self.pending.remove(at);
        let Ask::Publish { topic, .. } = ask else {
            return Err(format!("an offset is no answer to {ask:?}"));
        };
        self.check_home_order(at, topic)?;
        if said.topic()? != topic {
            return Err(format!("{id} was published to another topic"));
        }
        if ears.canary == Some(Canary::TakesAcksForRefusals) {
            return ears.topics.refused(id);
        }
        ears.topics.acked(id, said.offset()?)
    }

    /// What a topic's home answers, it answers in the order in which it was asked.
    fn check_home_order(&self, at: usize, topic: usize) -> Verdict {
        let is_same = |ask: &Ask| matches!(ask, Ask::Publish { topic: of, .. } if *of == topic);
        match self.pending[..at].iter().find(|(_, ask)| is_same(ask)) {
            Some((earlier, _)) => Err(format!("the answer to {earlier} was overtaken")),
            None => Ok(()),
        }
    }

    fn unsubscribed(&mut self, said: &Said<'_>) -> Verdict {
        let topic = said.topic()?;
        let (at, _) = self.immediate(said.id, |ask| ask == Ask::Unsubscribe { topic })?;
        // A subscription that did not stand yet is ended without an answer of its own.
        let mut index = 0;
        let mut dropped = 0;
        self.pending.retain(|(_, ask)| {
            let is_ended =
                index < at && matches!(ask, Ask::Subscribe { topic: of, .. } if *of == topic);
            index += 1;
            dropped += usize::from(is_ended);
            !is_ended
        });
        match self.subs.remove(&topic) {
            Some(place) => {
                self.left.insert(topic, place);
                Ok(())
            }
            None if dropped > 0 => Ok(()),
            None => Err(format!("{:?} is left without having been joined", TOPICS[topic])),
        }
    }

    fn error(&mut self, said: &Said<'_>, ears: &mut Ears<'_>) -> Verdict {
        let code = said.code.ok_or("an error without a code")?;
        if said.id.is_none() {
            return self.nameless_error(code);
        }
        let at = self.find(said.id)?;
        let ask = self.pending[at].1;
        match (ask, code) {
            (Ask::Nonsense, "bad_request") => self.immediate(said.id, |_| true).map(|_| ()),
            (Ask::Unsubscribe { topic }, "unknown_topic") if !self.subs.contains_key(&topic) => {
                self.immediate(said.id, |_| true).map(|_| ())
            }
            (Ask::Subscribe { .. }, "limit_exceeded" | "overloaded") => {
                self.pending.remove(at);
                Ok(())
            }
            (Ask::Publish { .. }, "overloaded") => {
                let (id, _) = self.pending.remove(at);
                ears.topics.refused(id)
            }
            (Ask::Publish { topic, .. }, "limit_exceeded") => {
                let (id, _) = self.pending.remove(at);
                self.check_home_order(at, topic)?;
                ears.topics.refused(id)
            }
            (Ask::Publish { octets, .. }, "too_large")
                if octets > ears.plan.config.publish_bytes_max =>
            {
                let (id, _) = self.pending.remove(at);
                ears.topics.refused(id)
            }
            _ => Err(format!("{code:?} is no answer to {ask:?}")),
        }
    }

    /// From one place of a topic to the next: `step` is 1 for a message and 0 for being told again.
    fn check_step(
        &mut self,
        from: Place,
        to: Place,
        step: u64,
        ears: &Ears<'_>,
        topic: usize,
    ) -> Verdict {
        let was_slow = self.was_slow(topic, ears.pace);
        self.settled.insert(topic, ears.pace.settled);
        let wanted = from.offset + step;
        let is_right = match ears.plan.gaps(topic) {
            Gaps::WhereSlow if was_slow => to.offset >= wanted,
            Gaps::Never | Gaps::WhereSlow => to.offset == wanted,
        };
        if is_right && from.epoch == to.epoch {
            return Ok(());
        }
        Err(format!("from {from:?} to {to:?} of {:?}, slow: {was_slow}", TOPICS[topic]))
    }

    /// Errors without an `id`: of bad requests, one each; of publishes, at most one each.
    fn nameless_error(&mut self, code: &str) -> Verdict {
        let left = match code {
            "bad_request" => &mut self.nameless,
            "overloaded" | "limit_exceeded" | "too_large" => &mut self.hopeful,
            other => return Err(format!("{other:?} for a request without an id")),
        };
        *left = left.checked_sub(1).ok_or("one error too many")?;
        Ok(())
    }
}

fn quoted(topic: usize) -> String {
    serde_json::to_string(TOPICS[topic]).expect("a string")
}

fn since_text(since: Option<Place>) -> String {
    let Some(Place { epoch, offset }) = since else { return String::new() };
    format!(",\"since\":{{\"epoch\":\"{epoch:016x}\",\"offset\":{offset}}}")
}
