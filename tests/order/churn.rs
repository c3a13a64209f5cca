//! Connections that come and go at random, from a seed: they subscribe to the same topic and to
//! others, unsubscribe, publish elsewhere, close properly, hang up, or reset.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::TOPIC;
use crate::common::{Frame, Gate, JsonClient, Random};

const CONNECTIONS: usize = 12;
/// Steps of each churner over the whole run.
const STEPS: u64 = 1_500;

/// See the module's header. Keeps pace with the subscribers, and ends with them.
pub(crate) fn churn(ws: SocketAddr, gate: &Gate, seed: u64, messages: u64) {
    let _alarm = gate.alarm();
    let mut random = Random::seeded(seed);
    let mut connections: Vec<Option<JsonClient>> = (0..CONNECTIONS).map(|_| None).collect();
    for step in 0..STEPS {
        gate.await_all(messages * step / STEPS);
        let place = random.below(CONNECTIONS);
        connections[place] = match connections[place].take() {
            None => Some(JsonClient::open(ws)),
            Some(client) => act(client, &mut random),
        };
    }
}

/// Does something, and gives the connection back when it is still there.
fn act(mut client: JsonClient, random: &mut Random) -> Option<JsonClient> {
    let others = format!("order:other-{}", random.below(20));
    let topic = if random.below(2) == 0 { TOPIC } else { &others };
    match random.below(10) {
        0..4 => say(client, &json!({"type": "subscribe", "id": 1, "topic": topic})),
        4 | 5 => say(client, &json!({"type": "unsubscribe", "id": 2, "topic": topic})),
        6 => say(client, &json!({"type": "publish", "id": 3, "topic": others, "data": {"n": 1}})),
        // In the middle of whatever the server is sending; it may be our last word or not.
        7 => {
            client.raw().try_send(&Frame::close(1000).octets());
            None
        }
        8 => None,
        _ => {
            client.into_raw().reset();
            None
        }
    }
}

/// One that never reads may have been closed as a slow consumer.
fn say(mut client: JsonClient, message: &Value) -> Option<JsonClient> {
    client.raw().try_send(&Frame::text(message.to_string()).octets()).then_some(client)
}
