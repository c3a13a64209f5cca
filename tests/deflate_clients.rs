//! permessage-deflate with stock clients: every combination of parameters that they can offer,
//! against servers with each policy. What is answered is held against a reading of RFC 7692 that
//! shares no code with the server's, and every message comes back as it was sent.
//!
//! The messages repeat themselves at distances below and above each window, so a server that keeps
//! to no limit sends what the client can't inflate; and the client's last messages resemble its
//! earlier ones, so a server that forgets what the client may refer to can't inflate them.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Client, Process, SOON, Server};
use serde_json::{Value, json};

/// The scripts have shorter limits of their own.
const SCRIPT_LIMIT: Duration = Duration::from_secs(150);

/// What a server is told to agree to.
struct Policy {
    server_bits: u64,
    client_bits: u64,
    takeover: bool,
}

const POLICIES: [Policy; 4] = [
    Policy { server_bits: 15, client_bits: 15, takeover: false },
    Policy { server_bits: 15, client_bits: 15, takeover: true },
    Policy { server_bits: 9, client_bits: 9, takeover: true },
    Policy { server_bits: 12, client_bits: 10, takeover: false },
];

impl Policy {
    fn start(&self) -> Server {
        let mut flags = vec!["--compression".to_owned()];
        let mut set =
            |name: &str, number: u64| flags.push(format!("--compression-{name}={number}"));
        set("threshold-bytes", 1);
        set("server-window-bits", self.server_bits);
        set("client-window-bits", self.client_bits);
        set("takeover-connections-max", if self.takeover { 256 } else { 0 });
        Server::echo(&flags.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The parameters of the answer to an offer; none: it is declined.
    fn answer_to(&self, offer: &Value) -> Option<BTreeSet<String>> {
        let mut answer = BTreeSet::from(["server_no_context_takeover".to_owned()]);
        if offer["clientNo"] == true || !self.takeover {
            answer.insert("client_no_context_takeover".to_owned());
        }
        if let Some(bits) = offer["serverBits"].as_u64() {
            // zlib has no compressor for it.
            if bits == 8 {
                return None;
            }
            answer.insert(format!("server_max_window_bits={}", bits.min(self.server_bits)));
        }
        let client_bits = match offer["clientBits"].as_u64() {
            Some(bits) => bits.min(self.client_bits),
            None if offer["clientBits"] == "any" => self.client_bits,
            None => 15,
        };
        if client_bits < 15 {
            answer.insert(format!("client_max_window_bits={client_bits}"));
        }
        Some(answer)
    }
}

fn parameters(answer: &str) -> Option<BTreeSet<String>> {
    let mut parts = answer.split(';').map(str::trim);
    match parts.next() {
        Some("permessage-deflate") => Some(parts.map(str::to_owned).collect()),
        Some("") => None,
        other => panic!("{other:?} is not permessage-deflate"),
    }
}

/// Runs a script against a server of each policy; so many offers are made to each of them. `usual`
/// is what a client offers that does not say.
fn every_offer(run: impl Fn(&[&str]) -> Process, offers: usize, usual: &Value) {
    let servers: Vec<Server> = POLICIES.iter().map(Policy::start).collect();
    let urls: Vec<String> = servers.iter().map(|server| format!("ws://{}/", server.ws)).collect();
    let mut script = run(&urls.iter().map(String::as_str).collect::<Vec<_>>());
    for (index, policy) in POLICIES.iter().enumerate() {
        let mut agreed = 0;
        for _ in 0..offers {
            let line = script.line(SCRIPT_LIMIT);
            let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            assert_eq!(told["server"], index, "{line}");
            let offer = if told["offer"].is_null() { usual } else { &told["offer"] };
            let answer = told["answer"].as_str().expect("an answer");
            let expected = policy.answer_to(offer);
            assert_eq!(parameters(answer), expected, "{line}");
            agreed += u32::from(expected.is_some());
        }
        let server = &servers[index];
        server.await_metric("ringwire_compression_agreed_total", &[], agreed.into(), SOON);
        for name in ["ringwire_inflated_messages_total", "ringwire_compressed_messages_total"] {
            let messages = server.metric(name, &[]);
            assert!(messages >= f64::from(10 * agreed), "{name}: {messages} in {agreed}");
        }
    }
    script.succeed(SOON);
    servers.into_iter().for_each(Server::stop);
}

/// What browsers offer.
fn like_a_browser() -> Value {
    json!({"serverNo": false, "clientNo": false, "serverBits": null, "clientBits": "any"})
}

#[test]
fn node_offers_every_combination() {
    every_offer(|urls| Client::Node.run("offers", urls), 2 * 2 * 4 * 5, &Value::Null);
}

#[test]
fn python_offers_every_combination() {
    every_offer(|urls| Client::Python.run("offers", urls), 2 * 2 * 4 * 4, &Value::Null);
}

#[test]
fn bun_agrees_with_every_policy() {
    every_offer(|urls| Client::Bun.run("bun", urls), 1, &like_a_browser());
}

#[test]
fn chromium_agrees_with_every_policy() {
    every_offer(|urls| Client::Node.run("chromium", urls), 1, &like_a_browser());
}
