//! The status page in a real Chromium, against a real server under load.
//!
//! Needs Debian's `chromium`; `tests/page/setup.sh` installs what drives it on first use.

mod common;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use common::{JsonClient, Process, SOON, Server, assert_shows, command};
use serde_json::{Value, json};

/// The first run downloads.
const SETUP_LIMIT: Duration = Duration::from_secs(400);
/// A browser on a busy machine.
const BROWSER_LIMIT: Duration = Duration::from_secs(120);
/// The lowest contrast of text that WCAG 2.1 calls enough (level AA).
const CONTRAST_MIN: f64 = 4.5;
/// A topic that would do harm if it were markup.
const HOSTILE: &str = "chat:<img src=x onerror=alert(1)>\u{202e}&amp;";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/page")
}

fn browser(arguments: &[&str]) -> Process {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut command = Command::new(folder().join("setup.sh"));
        Process::spawn("setup.sh", &mut command).succeed(SETUP_LIMIT);
    });
    let mut command = Command::new("node");
    command.arg(folder().join("browser.mjs")).args(arguments);
    Process::spawn("browser.mjs", &mut command)
}

fn line(process: &Process) -> Value {
    let line = process.line(BROWSER_LIMIT);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// A fan-out that lasts longer than the browser looks.
fn load(server: &Server) -> Process {
    let mut command = command("bench");
    command.args(["fanout", "--publishers", "4", "--subscribers", "20", "--rate", "50", "--quiet"]);
    command.args(["--duration", "10m", &server.url()]);
    Process::spawn("ringwire bench", &mut command)
}

fn texts(row: &Value) -> Vec<&str> {
    row.as_array().expect("cells").iter().map(|cell| cell.as_str().expect("text")).collect()
}

fn rows(shown: &Value, table: &str) -> Vec<Vec<String>> {
    let rows = shown["tables"][table].as_array().expect("rows").iter();
    rows.map(|row| texts(row).into_iter().map(str::to_owned).collect()).collect()
}

fn sum(one: &Value, other: &Value) -> f64 {
    one.as_f64().expect("a number") + other.as_f64().expect("a number")
}

/// Every tile beside the number that it is made from.
fn assert_tiles(told: &Value, shown: &Value) {
    let status = &told["status"];
    let (connections, rates) = (&status["connections"], &status["rates"]);
    let tile = |name: &str, part: usize| shown["tiles"][name][part].as_str().expect("a tile");
    for (name, number) in [
        ("connections", &connections["open"]),
        ("received", &rates["messages_received_per_second"]),
        ("sent", &json!(sum(&rates["messages_sent_per_second"], &rates["deliveries_per_second"]))),
        ("deliveries", &rates["deliveries_per_second"]),
        ("egress", &status["egress_queued_bytes"]),
        ("accepts", &rates["accepts_per_second"]),
    ] {
        assert_shows(tile(name, 0), number, name);
    }
    assert_shows(tile("received", 1), &rates["received_bytes_per_second"], "received bytes");
    assert_shows(tile("sent", 1), &rates["sent_bytes_per_second"], "sent bytes");
    let most = tile("connections", 1).strip_prefix("of ").expect("the limit");
    assert_shows(most, &connections["max"], "the most connections");
    let loads = status["shards"].as_array().expect("shards").iter();
    let load = loads.map(|shard| shard["loop_busy_ratio"].as_f64().expect("a ratio"));
    assert_shows(tile("load", 0), &json!(load.fold(0.0, f64::max)), "the busiest shard");
}

fn assert_tables(told: &Value, shown: &Value) {
    let shards = told["status"]["shards"].as_array().expect("shards");
    assert_eq!(rows(shown, "shards").len(), shards.len());
    for (row, shard) in rows(shown, "shards").iter().zip(shards) {
        assert_shows(&row[1], &shard["loop_busy_ratio"], "the load of a shard");
        assert_shows(&row[2], &shard["connections_open"], "connections of a shard");
        assert_shows(&row[3], &shard["subscriptions"], "subscriptions of a shard");
    }
    let topics = told["topics"]["busiest"].as_array().expect("topics");
    assert_eq!(rows(shown, "topics").len(), topics.len());
    for (row, topic) in rows(shown, "topics").iter().zip(topics) {
        assert_eq!(Some(row[0].as_str()), topic["topic"].as_str());
        assert_shows(&row[1], &topic["subscribers"], "subscribers");
        assert_shows(&row[2], &topic["messages_per_second"], "messages");
    }
    let closes = told["closes"].as_array().expect("closes");
    assert_eq!(rows(shown, "closes").len(), closes.len());
    for (row, close) in rows(shown, "closes").iter().zip(closes) {
        assert_eq!(Some(row[0].as_str()), close["label"].as_str());
        assert_shows(&row[2], &close["recent"], "recent closes");
        assert_shows(&row[3], &close["total"], "closes");
    }
}

/// Headings, contrast, width, and that nothing came from elsewhere or went wrong.
fn assert_decent(seen: &Value, origin: &str) {
    assert_eq!(seen["complaints"], json!([]));
    assert_eq!(seen["fits"], json!({"phone": true, "desktop": true}));
    for (scheme, worst) in seen["contrasts"].as_object().expect("both") {
        let ratio = worst[0].as_f64().expect("a ratio");
        assert!(ratio >= CONTRAST_MIN, "{scheme}: {worst}");
    }
    for request in texts(&seen["requests"]) {
        assert!(request.starts_with(origin) || request.starts_with("data:"), "{request}");
    }
    let outline = seen["outline"].as_array().expect("headings");
    assert_eq!(outline[0], json!(["h1", "Ringwire"]));
    assert!(outline.iter().filter(|heading| heading[0] == "h2").count() >= 6, "{outline:?}");
}

#[test]
fn a_browser_shows_what_the_server_says() {
    let server = Server::serve(&["--shards", "2"]);
    let _load = load(&server);
    let open = common::poll(SOON, || {
        let open = server.metric("ringwire_connections_open", &[]);
        (open == 20.0 && server.metric("ringwire_deliveries_total", &[]) > 0.0).then_some(())
    });
    assert!(open.is_some(), "the load has not come");
    let mut client = JsonClient::open(server.ws);
    client.subscribe(HOSTILE);
    drop(JsonClient::open(server.ws));
    server.await_metric("ringwire_connections_closed_total", &[], 1.0, SOON);

    let origin = format!("http://{}", server.admin);
    let mut browser = browser(&["look", &format!("{origin}/")]);
    let seen = line(&browser);
    browser.succeed(BROWSER_LIMIT);
    let (told, shown) = (&seen["told"], &seen["shown"]);
    assert_eq!(told["status"]["connections"]["open"], 21, "{told}");
    assert!(told["status"]["rates"]["deliveries_per_second"].as_f64() > Some(0.0), "{told}");
    assert_eq!(shown["stage"], "ready");
    assert_tiles(told, shown);
    assert_tables(told, shown);
    let topics = rows(shown, "topics");
    assert!(topics.iter().any(|row| row[0] == HOSTILE && row[1] == "1"), "{topics:?}");
    assert!(topics[0][1] == "20" && topics[0][2] != "0", "the bench's topic leads: {topics:?}");
    let points = shown["plots"].as_array().expect("plots").iter();
    assert!(points.clone().count() == 8 && points.clone().all(|n| n.as_u64() > Some(0)), "{shown}");
    assert_decent(&seen, &origin);
    server.stop();
}

#[test]
fn a_page_outlives_the_server_and_finds_the_next_one() {
    let server = Server::serve(&[]);
    let admin = server.admin.to_string();
    let mut browser = browser(&["outlive", &format!("http://{admin}/")]);
    assert_eq!(line(&browser), json!(["ready", ""]));
    server.stop();
    let gone = line(&browser);
    assert_eq!(gone[0], "no answer");
    assert!(gone[1].as_str().is_some_and(|text| text.contains("No answer")), "{gone}");
    let next = Server::serve(&["--admin", &admin]);
    assert_eq!(line(&browser), json!(["ready", ""]));
    browser.succeed(BROWSER_LIMIT);
    next.stop();
}
