//! The JSON protocol, request by request, against a model made of `docs/protocol.md`: every answer
//! octet by octet, but for the texts of errors, which are for people.
//!
//! Input: a message in each line. One that begins with `#` comes from the second client, then one
//! that begins with `!` is binary.

use std::collections::BTreeMap;

use ringwire::limits::{BAD_REQUESTS_MAX, REQUEST_ID_BYTES_MAX, TOPIC_BYTES_MAX};

use super::machine::{
    CLIENTS, HOME_TOPICS_MAX, MESSAGE_BYTES_MAX, Machine, PUBLISH_BYTES_MAX, SUBSCRIPTIONS_MAX,
    Sent, UNIX_MS,
};
use super::scan;

const BAD_REQUEST: &str = "bad_request";

pub(crate) fn check(octets: &[u8]) {
    let (mut machine, mut model) = (Machine::new(), Model::default());
    let lines = octets.split(|octet| *octet == b'\n');
    for line in lines.filter(|line| !line.is_empty() && line.len() <= MESSAGE_BYTES_MAX) {
        let (client, line) = line.strip_prefix(b"#").map_or((0, line), |line| (1, line));
        let (is_text, line) = line.strip_prefix(b"!").map_or((true, line), |line| (false, line));
        machine.send(client, is_text, line);
        model.take(client, is_text, line);
        for client in 0..CLIENTS {
            model.compare(client, machine.sent(client));
        }
        if model.has_closed {
            return;
        }
    }
}

/// What a client has to be told.
#[derive(Clone, Debug)]
enum Expected {
    Exactly(String),
    Error { id: Option<String>, code: &'static str },
    Subscribed { id: Option<String>, topic: String, since: Since },
    Close(u16),
}

#[derive(Clone, Debug)]
enum Since {
    Nothing,
    Here { epoch: String, offset: u64 },
    Nowhere,
}

#[derive(Default)]
struct Topic {
    /// Known when somebody was told.
    epoch: Option<String>,
    offset: u64,
}

#[derive(Default)]
struct Model {
    topics: BTreeMap<String, Topic>,
    /// Topics without subscribers, those that were used last at the end.
    idle: Vec<String>,
    subscriptions: [Vec<String>; CLIENTS],
    bad_in_a_row: [u8; CLIENTS],
    expected: [Vec<Expected>; CLIENTS],
    has_closed: bool,
}

/// A request, or what is wrong with it.
struct Request {
    id: Option<String>,
    ask: Option<Ask>,
}

enum Ask {
    Subscribe { topic: String, since: Since },
    Unsubscribe { topic: String },
    Publish { topic: String, data: String },
    Ping,
    Unavailable,
}

impl Model {
    fn take(&mut self, client: usize, is_text: bool, line: &[u8]) {
        let text = std::str::from_utf8(line);
        let request = match (is_text, text) {
            (true, Err(_)) => {
                self.has_closed = true;
                return self.expect(client, Expected::Close(1007));
            }
            (true, Ok(text)) => parse(text),
            (false, _) => Request { id: None, ask: None },
        };
        let Request { id, ask: Some(ask) } = request else {
            return self.bad_request(client, request.id);
        };
        self.bad_in_a_row[client] = 0;
        self.carry_out(client, id, ask);
    }

    fn bad_request(&mut self, client: usize, id: Option<String>) {
        self.expect(client, Expected::Error { id, code: BAD_REQUEST });
        self.bad_in_a_row[client] += 1;
        if self.bad_in_a_row[client] == BAD_REQUESTS_MAX {
            self.has_closed = true;
            self.expect(client, Expected::Close(4500));
        }
    }

    fn carry_out(&mut self, client: usize, id: Option<String>, ask: Ask) {
        let member = id.as_ref().map_or(String::new(), |id| format!(",\"id\":{id}"));
        match ask {
            Ask::Ping => self.expect_text(client, format!("{{\"type\":\"pong\"{member}}}")),
            Ask::Unavailable => self.expect(client, Expected::Error { id, code: "unavailable" }),
            Ask::Subscribe { topic, since } => {
                let expected = self.subscribe(client, id, topic, since);
                self.expect(client, expected);
            }
            Ask::Unsubscribe { topic } => {
                let mine = &mut self.subscriptions[client];
                let Some(at) = mine.iter().position(|other| *other == topic) else {
                    return self.expect(client, Expected::Error { id, code: "unknown_topic" });
                };
                mine.remove(at);
                if !self.subscriptions.iter().any(|all| all.contains(&topic)) {
                    self.idle.push(topic.clone());
                }
                if id.is_some() {
                    let topic = quoted(&topic);
                    self.expect_text(client, format!("{{\"type\":\"ack\"{member},{topic}}}"));
                }
            }
            Ask::Publish { data, .. } if data.len() > PUBLISH_BYTES_MAX => {
                self.expect(client, Expected::Error { id, code: "too_large" });
            }
            Ask::Publish { topic, data } => self.publish(client, id, &topic, &data),
        }
    }

    fn subscribe(
        &mut self,
        client: usize,
        id: Option<String>,
        topic: String,
        since: Since,
    ) -> Expected {
        if !self.subscriptions[client].contains(&topic) {
            let has_room = self.subscriptions[client].len() < SUBSCRIPTIONS_MAX;
            if !has_room || !self.open(&topic) {
                return Expected::Error { id, code: "limit_exceeded" };
            }
            self.idle.retain(|other| *other != topic);
            self.subscriptions[client].push(topic.clone());
        }
        Expected::Subscribed { id, topic, since }
    }

    fn publish(&mut self, client: usize, id: Option<String>, topic: &str, data: &str) {
        if !self.open(topic) {
            if id.is_some() {
                self.expect(client, Expected::Error { id, code: "limit_exceeded" });
            }
            return;
        }
        if let Some(at) = self.idle.iter().position(|other| other == topic) {
            let topic = self.idle.remove(at);
            self.idle.push(topic);
        }
        let entry = self.topics.get_mut(topic).expect("it is open");
        entry.offset += 1;
        let (quoted, offset) = (quoted(topic), entry.offset);
        let place = format!("{quoted},\"offset\":{offset}");
        for subscriber in 0..CLIENTS {
            if self.subscriptions[subscriber].iter().any(|other| other == topic) {
                let rest = format!("{place},\"ts\":{UNIX_MS},\"data\":{data}");
                self.expect_text(subscriber, format!("{{\"type\":\"message\",{rest}}}"));
            }
        }
        if let Some(id) = id {
            self.expect_text(client, format!("{{\"type\":\"ack\",\"id\":{id},{place}}}"));
        }
    }

    /// Makes sure that the topic has a sequence, at the cost of the one that was idle for longest.
    fn open(&mut self, topic: &str) -> bool {
        if self.topics.contains_key(topic) {
            return true;
        }
        if self.topics.len() == HOME_TOPICS_MAX {
            if self.idle.is_empty() {
                return false;
            }
            self.topics.remove(&self.idle.remove(0));
        }
        self.topics.insert(topic.to_owned(), Topic::default());
        self.idle.push(topic.to_owned());
        true
    }

    fn expect_text(&mut self, client: usize, text: String) {
        self.expect(client, Expected::Exactly(text));
    }

    fn expect(&mut self, client: usize, expected: Expected) {
        self.expected[client].push(expected);
    }

    /// All that was expected has come and nothing else. A publisher's answer may come before or
    /// after its own copy, so the order is not looked at.
    fn compare(&mut self, client: usize, sent: Vec<Sent>) {
        let mut expected = std::mem::take(&mut self.expected[client]);
        for sent in sent {
            let at = expected.iter().position(|expected| self.is_met(expected, &sent));
            let at = at.unwrap_or_else(|| panic!("{sent:?} where {expected:?} is left"));
            expected.remove(at);
        }
        assert!(expected.is_empty(), "{expected:?} has not come");
    }

    fn is_met(&mut self, expected: &Expected, sent: &Sent) -> bool {
        let text = match (expected, sent) {
            (Expected::Close(code), Sent::Close(other)) => return code == other,
            (_, Sent::Close(_)) => return false,
            (_, Sent::Text(text)) => text,
        };
        match expected {
            Expected::Close(_) => false,
            Expected::Exactly(expected) => expected == text,
            Expected::Error { id, code } => {
                let members = scan::object(text).expect("an answer is an object");
                let code = format!("\"{code}\"");
                let mut all = vec![("type", "\"error\"")];
                all.extend(id.as_ref().map(|id| ("id", &**id)));
                all.push(("code", &code));
                let is_error = members.iter().map(|(name, raw)| (&**name, *raw));
                let (told, why) = (members.len() - 1, members.last().expect("a member"));
                is_error.take(told).eq(all) && why.0 == "message" && why.1.len() > 2
            }
            Expected::Subscribed { id, topic, since } => {
                self.is_subscribed(id.as_deref(), topic, since, text)
            }
        }
    }

    fn is_subscribed(&mut self, id: Option<&str>, topic: &str, since: &Since, text: &str) -> bool {
        let members = scan::object(text).expect("an answer is an object");
        let Some((_, epoch)) = members.iter().find(|(name, _)| name == "epoch") else {
            return false;
        };
        let entry = self.topics.get_mut(topic).expect("it is open");
        let known = entry.epoch.get_or_insert_with(|| (*epoch).to_owned());
        assert!(is_epoch(known), "{known}");
        let offset = entry.offset;
        let recovered = match since {
            Since::Nothing => true,
            Since::Here { epoch, offset: at } => epoch == known && *at == offset,
            Since::Nowhere => false,
        };
        let id = id.map_or(String::new(), |id| format!(",\"id\":{id}"));
        let place = format!("\"epoch\":{known},\"offset\":{offset},\"recovered\":{recovered}");
        text == format!("{{\"type\":\"subscribed\"{id},{},{place}}}", quoted(topic))
    }
}

/// The member `topic`.
fn quoted(topic: &str) -> String {
    format!("\"topic\":\"{}\"", topic.replace('\\', "\\\\").replace('"', "\\\""))
}

fn is_epoch(raw: &str) -> bool {
    let digits = raw.trim_matches('"');
    raw.len() == 18
        && digits.len() == 16
        && digits.bytes().all(|o| b"0123456789abcdef".contains(&o))
}

fn parse(text: &str) -> Request {
    let bad = Request { id: None, ask: None };
    let Some(members) = scan::object(text) else { return bad };
    let known = ["type", "id", "topic", "data", "since", "to"];
    let times = |name: &&str| members.iter().filter(|(other, _)| other == name).count();
    if known.iter().any(|name| times(name) > 1) {
        return bad;
    }
    let member = |name: &str| members.iter().find(|(other, _)| other == name).map(|(_, raw)| *raw);
    if let Some(id) = member("id")
        && (id.len() > REQUEST_ID_BYTES_MAX || !id.starts_with(['"', '-']) && !is_digit(id))
    {
        return bad;
    }
    Request { id: member("id").map(str::to_owned), ask: ask(&member) }
}

fn is_digit(raw: &str) -> bool {
    raw.starts_with(|first: char| first.is_ascii_digit())
}

fn ask<'a>(member: &impl Fn(&str) -> Option<&'a str>) -> Option<Ask> {
    let topic = || {
        let topic = scan::decode(member("topic")?)?;
        let fits = (1..=TOPIC_BYTES_MAX).contains(&topic.len());
        (fits && !topic.contains(char::is_control)).then_some(topic)
    };
    match &*scan::decode(member("type")?)? {
        "ping" => Some(Ask::Ping),
        "auth" | "presence" => Some(Ask::Unavailable),
        "publish" if member("to").is_some() => Some(Ask::Unavailable),
        "publish" => Some(Ask::Publish { data: member("data")?.to_owned(), topic: topic()? }),
        "unsubscribe" => Some(Ask::Unsubscribe { topic: topic()? }),
        "subscribe" => Some(Ask::Subscribe { since: since(member("since"))?, topic: topic()? }),
        _ => None,
    }
}

fn since(raw: Option<&str>) -> Option<Since> {
    let Some(raw) = raw.filter(|raw| *raw != "null") else { return Some(Since::Nothing) };
    let members = scan::object(raw)?;
    let only = |name: &str| {
        let mut named = members.iter().filter(|(other, _)| other == name);
        named.next().filter(|_| named.next().is_none()).map(|(_, raw)| *raw)
    };
    let (epoch, offset) = (only("epoch")?, only("offset")?);
    let offset = offset.bytes().all(|o| o.is_ascii_digit()).then(|| offset.parse().ok())??;
    if !epoch.starts_with('"') {
        return None;
    }
    let epoch = scan::decode(epoch).map(|epoch| format!("\"{epoch}\""));
    Some(match epoch.filter(|epoch| is_epoch(epoch)) {
        Some(epoch) => Since::Here { epoch, offset },
        None => Since::Nowhere,
    })
}
