//! What becomes of subscribers that never read: limits of egress, and policies.

use serde_json::json;

use crate::common::{JsonClient, RawClient, Server};
use crate::file::serve;

const QUEUED: &str = "ringwire_egress_queued_bytes";
const DROPPED: &str = "ringwire_deliveries_dropped_total";
const SLOW: &str = "ringwire_slow_consumers_closed_total";
/// Far above what the kernel's buffers take.
const PUBLISHES_MAX: usize = 4_000;
const MESSAGE_BYTES: usize = 12_000;

fn sleeper(server: &Server, topic: &str) -> JsonClient {
    let mut client = JsonClient::on(RawClient::connect_narrow(server.ws).upgrade("/ws"));
    client.subscribe(topic);
    client
}

/// Publishes until `done`; gives the most that was seen waiting.
fn publish_until(server: &Server, topic: &str, mut done: impl FnMut(&Server) -> bool) -> f64 {
    let mut publisher = JsonClient::open(server.ws);
    let data = json!("x".repeat(MESSAGE_BYTES));
    let mut most: f64 = 0.0;
    for _ in 0..PUBLISHES_MAX / 20 {
        for _ in 0..20 {
            publisher.publish(topic, data.clone());
        }
        most = most.max(server.metric(QUEUED, &[]));
        if done(server) {
            return most;
        }
    }
    panic!("nothing has happened after {PUBLISHES_MAX} messages; {most} octets waited at most");
}

pub(crate) fn egress_bytes_max() {
    let text = "[limits]\nmessage_bytes_max = 16_000\negress_bytes_max = 40_000\n\
                [slow_consumer]\ndefault = \"drop_oldest\"";
    let server = serve(text);
    let _sleeper = sleeper(&server, "a:x");
    let most = publish_until(&server, "a:x", |s| s.metric(DROPPED, &[]) > 100.0);
    assert!(most > 0.0 && most <= 40_000.0, "{most}");
}

/// Three who sleep may have 40,000 octets each, but not 90,000 together: one has to go, though its
/// policy is another.
pub(crate) fn egress_total_bytes_max() {
    let text = "[limits]\nmessage_bytes_max = 16_000\negress_bytes_max = 40_000\n\
                egress_total_bytes_max = 90_000\n[slow_consumer]\ndefault = \"drop_oldest\"";
    let server = serve(text);
    let _sleepers: Vec<_> = (0..3).map(|_| sleeper(&server, "a:x")).collect();
    let most = publish_until(&server, "a:x", |s| s.metric(SLOW, &[]) > 0.0);
    assert!(most <= 90_000.0, "{most}");
}

pub(crate) fn default_policy() {
    let text = "[limits]\nmessage_bytes_max = 16_000\negress_bytes_max = 40_000\n\
                [slow_consumer]\ndefault = \"drop_oldest\"";
    let server = serve(text);
    let _sleeper = sleeper(&server, "a:x");
    let dropped = |s: &Server| s.metric(DROPPED, &[("policy", "drop_oldest")]);
    publish_until(&server, "a:x", |s| dropped(s) > 0.0);
    assert_eq!(server.metric(SLOW, &[]), 0.0);
}

pub(crate) fn namespace_policy() {
    let text = "[limits]\nmessage_bytes_max = 16_000\negress_bytes_max = 40_000\n\
                [namespaces.ticks]\nslow_consumer = \"conflate\"";
    let server = serve(text);
    let _conflated = sleeper(&server, "ticks:x");
    let conflated = |s: &Server| s.metric(DROPPED, &[("policy", "conflate")]);
    publish_until(&server, "ticks:x", |s| conflated(s) > 0.0);
    assert_eq!(server.metric(SLOW, &[]), 0.0);
    let _closed = sleeper(&server, "other:x");
    publish_until(&server, "other:x", |s| s.metric(SLOW, &[]) > 0.0);
}
