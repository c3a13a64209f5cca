//! The configuration read anew while the server runs: what changes, what is told, and that nobody
//! notices who need not.

mod common;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    CONTINUATION, Event, File, Frame, JsonClient, PING, RawClient, Response, SOON, Server, poll,
    upgrade_head,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const RELOADS: &str = "ringwire_config_reloads_total";

fn start(file: &File, flags: &[&str]) -> Server {
    Server::serve(&[&["--config", file.path()], flags].concat())
}

fn reload(server: &Server) -> Response {
    server.post("/v1/reload", "{}")
}

/// Reloads this text, which has to be taken, and gives the answer.
fn take(server: &Server, file: &File, text: &str) -> Value {
    file.write(text);
    let answer = reload(server);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn limits_change_for_connections_that_are_open() {
    let file = File::new("");
    let server = start(&file, &[]);
    let mut client = JsonClient::open(server.ws);
    client.subscribe("a:1");
    let text = "[limits]\nsubscriptions_max = 1\nmessage_bytes_max = 300\n";
    let answer = take(&server, &file, text);
    let expected = json!({
        "applied": [
            {"key": "limits.message_bytes_max", "from": "65536", "to": "300"},
            {"key": "limits.subscriptions_max", "from": "128", "to": "1"},
        ],
        "needs_restart": [],
    });
    assert_eq!(answer, expected);
    let refused = client.request(json!({"type": "subscribe", "topic": "a:2"}), "error");
    assert_eq!(refused["code"], "limit_exceeded");
    let large = json!({"topic": "a:1", "data": "x".repeat(400)}).to_string();
    assert_eq!(server.post("/v1/publish", &large).status, 413, "what operators publish too");
    client.publish("a:1", json!(1));
    client.raw().send_frame(&Frame::text("x".repeat(301)));
    client.raw().expect_close(1009, "the new limit");

    assert_eq!(take(&server, &file, text)["applied"], json!([]), "nothing has changed since");
    take(&server, &file, "");
    let mut client = JsonClient::open(server.ws);
    client.subscribe("a:1");
    client.subscribe("a:2");
    client.publish("a:1", json!("x".repeat(400)));
    server.stop();
}

/// A frame whose length was accepted is taken; another frame of the message goes by the new limit.
#[test]
fn a_message_under_way_may_end_the_frame_that_it_is_in() {
    let file = File::new("");
    let server = start(&file, &[]);
    let [mut whole, mut large, mut split] = [(); 3].map(|()| JsonClient::open(server.ws));
    let publish =
        |data: &str| format!(r#"{{"type":"publish","id":1,"topic":"a:1","data":{data}}}"#);
    let padded = Frame::text(publish("1") + &" ".repeat(1000)).octets();
    let letters = Frame::text(publish(&format!("\"{}\"", "x".repeat(1000)))).octets();
    whole.raw().send(&padded[..500]);
    large.raw().send(&letters[..500]);
    split.raw().send_frame(&Frame::text(publish("1") + &" ".repeat(1000)).open_ended());
    let is_held = || server.metric("ringwire_ingress_partial_bytes", &[]) >= 2_000.0;
    assert!(poll(SOON, || is_held().then_some(())).is_some(), "three unfinished messages");

    take(&server, &file, "[limits]\nmessage_bytes_max = 300\n");
    whole.raw().send(&padded[500..]);
    assert_eq!(whole.next_of("ack")["offset"], 1);
    large.raw().send(&letters[500..]);
    assert_eq!(large.next_of("error")["code"], "too_large", "nobody is sent that any more");
    large.publish("a:1", json!(2));
    split.raw().send_frame(&Frame::new(CONTINUATION, " "));
    split.raw().expect_close(1009, "another frame");
    whole.raw().send_frame(&Frame::text(publish("1") + &" ".repeat(1000)));
    whole.raw().expect_close(1009, "another message");
    server.stop();
}

#[test]
fn heartbeats_change_and_new_clients_are_told() {
    let file = File::new("[heartbeat]\ninterval_ms = 300");
    let server = start(&file, &[]);
    let mut client = JsonClient::open(server.ws);
    let Event::Frame(frame) = client.raw().event(SOON) else { panic!("no ping") };
    assert_eq!(frame.opcode, PING);
    client.raw().send_frame(&Frame::pong(&frame.payload));
    take(&server, &file, "[heartbeat]\ninterval_ms = 60_000");
    let mut newcomer = RawClient::open(server.ws, "/ws");
    let (_, welcome) = newcomer.message();
    let welcome: Value = serde_json::from_slice(&welcome).expect("JSON");
    assert_eq!(welcome["heartbeat_ms"], 60_000);
    // A deadline that was set before may pass once more.
    let sent = || server.metric("ringwire_pings_sent_total", &[]);
    let before = sent();
    while let Event::Frame(frame) = client.raw().event(Duration::from_millis(1500)) {
        client.raw().send_frame(&Frame::pong(&frame.payload));
    }
    assert!(sent() <= before + 1.0, "the old interval goes on");
    server.stop();
}

#[test]
fn fewer_connections_drop_nobody_and_more_than_at_the_start_need_a_restart() {
    let file = File::new("[server]\nmax_connections = 4");
    // The usual flags of a test's server would count more than the file.
    let path = file.path().to_owned();
    let flags = ["--config", &path, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut command = common::command("serve");
    command.args(flags).args(["--shards", "2"]);
    let process = common::Process::spawn("ringwire serve", &mut command);
    process.error_line("ringwire: ready", SOON);
    let addr = |prefix: &str| -> SocketAddr { process.has_said(prefix)[0].parse().expect("one") };
    let (ws, admin) = (addr("ringwire: listening on ws://"), addr("ringwire: admin on http://"));
    let status = || {
        let mut client = RawClient::connect(ws);
        client.send(upgrade_head("/ws").as_bytes());
        client.head(SOON).expect("an answer").status
    };
    let mut three: Vec<JsonClient> = (0..3).map(|_| JsonClient::open(ws)).collect();
    let reload = |most: u32| {
        file.write(&format!("[server]\nmax_connections = {most}"));
        common::request(admin, "POST", "/v1/reload", "{}").json()
    };
    assert_eq!(reload(2)["applied"][0]["to"], "2");
    assert_eq!(status(), 503);
    assert_eq!(common::Metrics::scrape(admin).value("ringwire_connections_max", &[]), 2.0);
    for client in &mut three {
        client.publish("a:1", json!(1));
    }
    let answer = reload(9);
    assert_eq!(
        answer["applied"],
        json!([{"key": "server.max_connections", "from": "2", "to": "4"}])
    );
    assert_eq!(answer["needs_restart"][0]["to"], "9");
    // The one that was refused may still hold its place for a moment.
    assert!(poll(SOON, || (status() == 101).then_some(())).is_some(), "there is room for a fourth");
}

/// At the usual rate these twelve would be told at once, and with advice.
#[test]
fn a_drain_goes_by_the_rules_of_the_last_reload() {
    let file = File::new("");
    let mut server = start(&file, &[]);
    let mut clients: Vec<_> = (0..12).map(|_| RawClient::open(server.ws, "/ws")).collect();
    take(&server, &file, "[server]\ndrain_rate_per_s = 4\ndrain_retry_ms = 0");
    let began = Instant::now();
    server.terminate();
    for client in &mut clients {
        assert_eq!(client.close_code(SOON), 1001);
    }
    // The last one's turn is after 11 twelfths of 3 s.
    assert!(began.elapsed() >= Duration::from_millis(2_500), "{:?}", began.elapsed());
    drop(clients);
    assert_eq!(server.exit(SOON).code(), Some(0));

    let file = File::new("[timeouts]\nclose_ms = 60_000");
    let mut server = start(&file, &[]);
    let mut ignorant = RawClient::open(server.ws, "/ws");
    take(&server, &file, "[server]\ndrain_timeout_ms = 300\n[timeouts]\nclose_ms = 60_000");
    server.terminate();
    assert_eq!(ignorant.close_code(SOON), 1001);
    assert_eq!(server.exit(SOON).code(), Some(0), "not after the 30 s of the start");
}

#[test]
fn policies_change_for_topics_that_are_there() {
    let limits = "[limits]\nmessage_bytes_max = 16_000\negress_bytes_max = 40_000\n";
    let file = File::new(limits);
    let server = start(&file, &[]);
    let mut sleeper = JsonClient::on(RawClient::connect_narrow(server.ws).upgrade("/ws"));
    sleeper.subscribe("ticks:x");
    let policy = "[namespaces.ticks]\nslow_consumer = \"conflate\"";
    let answer = take(&server, &file, &format!("{limits}{policy}"));
    let change =
        json!({"key": "namespaces.NAME.slow_consumer", "from": "", "to": "ticks=conflate"});
    assert_eq!(answer["applied"], json!([change]));
    let mut publisher = JsonClient::open(server.ws);
    let data = json!("x".repeat(12_000));
    let conflated =
        || server.metric("ringwire_deliveries_dropped_total", &[("policy", "conflate")]);
    for _ in 0..200 {
        (0..20).for_each(|_| drop(publisher.publish("ticks:x", data.clone())));
        if conflated() > 0.0 {
            assert_eq!(server.metric("ringwire_slow_consumers_closed_total", &[]), 0.0);
            return server.stop();
        }
    }
    panic!("nothing was conflated");
}

#[test]
fn the_log_changes_and_says_what_needs_a_restart() {
    let file = File::new("[server]\nlog = \"warn\"");
    let server = start(&file, &[]);
    take(&server, &file, "[server]\nlog = \"info\"\nunix_mode = \"0600\"");
    let line = server.await_line("restart to apply");
    let words = [" WARN ", "server.unix_mode", "running=\"\\\"0660", "configured=\"\\\"0600"];
    assert!(words.iter().all(|word| line.contains(word)), "{line}");
    take(&server, &file, "[server]\nlog = \"info\"");
    let line = server.await_line("the configuration is reloaded");
    assert!(line.contains("INFO"), "{line}");
    server.stop();
}

#[test]
fn what_cannot_be_taken_changes_nothing_and_says_why() {
    let file = File::new("[limits]\nmessage_bytes_max = 300\n");
    let server = start(&file, &["--shards", "2"]);
    let bad = [
        ("[limits]\nmessage_bytes_max = 1\n", "limits.message_bytes_max cannot be `1`"),
        ("[limits]\nmesage_bytes_max = 400\n", "unknown key `limits.mesage_bytes_max`"),
        ("[limits\n", "unclosed table"),
        (
            "[limits]\negress_bytes_max = 1_000_000\nmessage_bytes_max = 2_000_000\n",
            "limits.egress_bytes_max is 1000000, too small",
        ),
        (
            "[limits]\negress_total_bytes_max = 1_000_000_000_000\n",
            "the limits allow 1.0 TiB of memory",
        ),
    ];
    for (text, told) in bad {
        file.write(text);
        let answer = reload(&server);
        assert_eq!(answer.status, 400, "{text}: {answer:?}");
        let message = answer.json()["error"]["message"].as_str().expect("text").to_owned();
        assert!(message.contains(told), "{message}");
        if !told.starts_with("the limits allow") {
            assert!(message.starts_with(&format!("{}:", file.path())), "with its line: {message}");
        }
        server.signal(Signal::SIGHUP);
        let line = server.await_line("the configuration is not reloaded");
        assert!(line.contains("ERROR"), "{line}");
    }
    let reloads = |result| server.metric(RELOADS, &[("result", result)]);
    assert_eq!((reloads("ok"), reloads("failed")), (0.0, 2.0 * bad.len() as f64));
    assert_eq!(server.metric("ringwire_connections_max", &[]), 256.0, "as at the start");
    let mut client = JsonClient::open(server.ws);
    client.raw().send_frame(&Frame::text("x".repeat(301)));
    client.raw().expect_close(1009, "the limit of the start");
    server.stop();
}

/// Every message to every subscriber, in order, on connections that live through it all.
#[test]
fn under_load_no_connection_and_no_message_is_lost() {
    const SUBSCRIBERS: usize = 12;
    const TOPICS: [&str; 3] = ["a:x", "b:x", "c:x"];
    const ROUNDS: usize = 40;
    let file = File::new("");
    let server = start(&file, &["--shards", "3"]);
    let subscribers: Vec<(usize, JsonClient)> = (0..SUBSCRIBERS)
        .map(|index| {
            let mut client = JsonClient::open(server.ws);
            client.subscribe(TOPICS[index % TOPICS.len()]);
            (index % TOPICS.len(), client)
        })
        .collect();
    let is_over = AtomicBool::new(false);
    let published: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
    thread::scope(|scope| {
        let (is_over, published, ws) = (&is_over, &published, server.ws);
        let _guard = RaisedAtTheEnd(is_over);
        let publishers: Vec<_> = TOPICS
            .iter()
            .enumerate()
            .map(|(index, topic)| {
                scope.spawn(move || {
                    let mut client = JsonClient::open(ws);
                    while !is_over.load(Relaxed) {
                        let next = published[index].load(Relaxed) + 1;
                        let ack = client.publish(topic, json!({ "n": next }));
                        assert_eq!(ack["offset"], next);
                        published[index].store(next, Relaxed);
                    }
                })
            })
            .collect();
        let readers: Vec<_> = subscribers
            .into_iter()
            .map(|(topic, mut client)| {
                scope.spawn(move || {
                    let mut seen = 0;
                    loop {
                        let message = client.next_of("message");
                        seen += 1;
                        assert_eq!(
                            (&message["offset"], &message["data"]["n"]),
                            (&json!(seen), &json!(seen))
                        );
                        if message["data"]["last"].is_boolean() {
                            return (topic, seen, client);
                        }
                    }
                })
            })
            .collect();
        for round in 0..ROUNDS {
            let before = published.iter().map(|count| count.load(Relaxed)).min();
            file.write(&round_text(round));
            if round % 2 == 0 {
                let result = if round % 10 == 4 { "failed" } else { "ok" };
                let result = [("result", result)];
                let counted = server.metric(RELOADS, &result);
                server.signal(Signal::SIGHUP);
                server.await_metric(RELOADS, &result, counted + 1.0, SOON);
            } else {
                assert_eq!(reload(&server).status, 200, "round {round}");
            }
            let moves = || {
                let now = published.iter().map(|count| count.load(Relaxed)).min();
                (now > before).then_some(())
            };
            assert!(poll(SOON, moves).is_some(), "publishing stands still in round {round}");
        }
        is_over.store(true, Relaxed);
        publishers.into_iter().for_each(|thread| thread.join().expect("acknowledged in order"));
        let mut last = JsonClient::open(ws);
        for (index, topic) in TOPICS.iter().enumerate() {
            let n = published[index].load(Relaxed) + 1;
            last.publish(topic, json!({ "n": n, "last": true }));
        }
        let alive = readers.into_iter().map(|reader| {
            let (topic, seen, mut client) = reader.join().expect("no gap and no end");
            assert_eq!(seen, published[topic].load(Relaxed) + 1, "{}", TOPICS[topic]);
            client.request(json!({"type": "ping"}), "pong");
            client
        });
        let alive: Vec<JsonClient> = alive.collect();
        let closed = server.metric("ringwire_connections_closed_total", &[]);
        assert!(closed <= TOPICS.len() as f64, "only publishers have left: {closed}");
        drop(alive);
    });
    server.stop();
}

/// Lets the threads of a test that fails end, so that it does.
struct RaisedAtTheEnd<'a>(&'a AtomicBool);

impl Drop for RaisedAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Other values each time; each fifth of the signalled files can't be taken.
fn round_text(round: usize) -> String {
    if round % 10 == 4 {
        return "[limits]\nmessage_bytes_max = \"many\"".to_owned();
    }
    let policy = ["close", "drop_oldest", "conflate"][round % 3];
    let other = ["drop_oldest", "close"][round % 2];
    format!(
        "[limits]\nmessage_bytes_max = {}\nsubscriptions_max = {}\ntopics_max = {}\n\
         egress_bytes_max = {}\n[heartbeat]\ninterval_ms = {}\n[timeouts]\nclose_ms = {}\n\
         [slow_consumer]\ndefault = \"{policy}\"\n[namespaces.b]\nslow_consumer = \"{other}\"\n",
        4_096 + round,
        1 + round,
        100 + round,
        (1 << 20) + round,
        20_000 + round,
        5_000 + round,
    )
}
