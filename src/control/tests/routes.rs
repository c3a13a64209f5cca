//! Every route and every error that a request can earn.

use super::*;
use crate::base::ShardId;
use crate::control::InForce;
use crate::limits::BROADCAST_TOPICS_MAX;
use crate::metrics::{Metric, ShardCounters};
use serde_json::json;

#[test]
fn health_says_ok_from_the_start_and_readiness_follows_the_stage() {
    let fixture = Fixture::start_with(AdminLimits::default(), "127.0.0.1:0");
    let health = fixture.get("/healthz");
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    fixture.get("/readyz").assert_error(503, "unavailable");
    fixture.post("/v1/publish", r#"{"topic":"t","data":1}"#).assert_error(503, "unavailable");
    fixture.bridge.state.advance(Stage::Ready);
    assert_eq!(fixture.get("/readyz").status, 200);
    fixture.bridge.state.advance(Stage::Draining);
    let draining = fixture.get("/readyz");
    draining.assert_error(503, "unavailable");
    assert!(draining.body.contains("draining") && draining.head.contains("retry-after: 1"));
    assert_eq!(fixture.get("/healthz").status, 200);
}

#[test]
fn metrics_and_status_show_the_board() {
    let fixture = Fixture::start();
    let mut counters = ShardCounters::new();
    counters.set(Metric::ConnectionsOpen, 12);
    counters.add(Metric::ConnectionsAccepted, 30);
    fixture.bridge.board.publish(ShardId(1), &mut counters);
    let metrics = fixture.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    assert!(metrics.body.lines().any(|l| l == "ringwire_connections_open 12"));
    let status = fixture.get("/v1/status").json();
    assert_eq!(status["state"], "ready");
    assert_eq!(status["connections"]["open"], 12);
    assert_eq!(status["connections"]["accepted"], 30);
    assert_eq!(status["shards"][1]["connections_open"], 12);
    assert_eq!(status["shards"][0]["connections_open"], 0);
    assert!(status["rates"]["messages_sent_per_second"].is_number());
}

#[test]
fn the_page_is_sent_with_a_policy_that_lets_only_its_own_script_run() {
    let fixture = Fixture::start();
    let page = fixture.get("/");
    assert_eq!(page.status, 200);
    assert!(page.body.starts_with("<!doctype html>") && page.body.ends_with("</html>\n"));
    let head = &page.head;
    for field in [
        "content-type: text/html; charset=utf-8",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.lines().any(|line| line == field), "{field} in {head}");
    }
    let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy: "));
    let policy = policy.expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    fixture.request("POST", "/", "", "").assert_error(405, "bad_request");
    let stranger = fixture.raw("GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");
    Reply::parse(&stranger).assert_error(403, "forbidden");
}

#[test]
fn an_overview_has_the_status_the_busiest_topics_causes_and_a_history() {
    let fixture = Fixture::start();
    fixture.post("/v1/broadcast", r#"{"topics":["a","b"],"data":1}"#);
    let mut counters = ShardCounters::new();
    counters.set(Metric::ConnectionsOpen, 12);
    counters.add(Metric::ClosedSlowConsumer, 3);
    counters.add(Metric::RefusedTimeout, 2);
    counters.add(Metric::DroppedOldest, 1);
    fixture.bridge.board.publish(ShardId(1), &mut counters);
    fixture.bridge.state.put_in_force(InForce { egress_bytes_max: 4096, ..InForce::default() });
    let overview = fixture.get("/v1/overview").json();
    assert_eq!(overview["status"]["connections"]["open"], 12, "{overview}");
    assert_eq!(overview["status"]["egress_max_bytes"], 4096, "{overview}");
    let topics = overview["topics"]["busiest"].as_array().expect("a list");
    let row = |topic: &Value| (topic["topic"].clone(), topic["subscribers"].clone());
    let rows: Vec<_> = topics.iter().map(row).collect();
    assert_eq!(rows, [(json!("a"), json!(5)), (json!("b"), json!(5))]);
    let first = |list: &str| {
        let cause = &overview[list][0];
        (cause["label"].clone(), cause["total"].clone())
    };
    assert_eq!(first("closes"), (json!("4001"), json!(3)));
    assert_eq!(first("refusals"), (json!("timeout"), json!(2)));
    assert_eq!(first("drops"), (json!("drop_oldest"), json!(1)));
    assert!(overview["history"]["sent_bytes_per_second"].is_array(), "{overview}");
}

#[test]
fn head_is_answered_like_get_without_the_body() {
    let fixture = Fixture::start();
    let reply = fixture.request("HEAD", "/healthz", "", "");
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert!(reply.head.contains("content-length: 3"));
}

#[test]
fn a_publish_is_sequenced_and_its_data_is_not_touched() {
    let fixture = Fixture::start();
    let data = "{ \"n\" : 1.0e0,\t\"big\":123456789012345678901234567890, \"\\u0041\":[ ] }";
    for offset in 1..=2 {
        let body = format!("{{\"data\": {data} ,\"topic\":\"chat:\\u00e9\"}}");
        let reply = fixture.post("/v1/publish", &body);
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.json(), json!({"epoch": "e1", "offset": offset}));
    }
    assert_eq!(fixture.published(), vec![("chat:é".to_owned(), data.to_owned()); 2]);
}

#[test]
fn a_publish_that_is_wrong_is_refused_and_nothing_reaches_a_shard() {
    let fixture = Fixture::start();
    let long = format!(r#"{{"topic":"{}","data":1}}"#, "t".repeat(201));
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#"{"topic":"t"}"#,
        r#"{"data":1}"#,
        r#"{"topic":1,"data":1}"#,
        r#"{"topic":"","data":1}"#,
        r#"{"topic":"a\nb","data":1}"#,
        r#"{"topic":"t","data":1,"extra":2}"#,
        r#"{"topic":"t","topic":"u","data":1}"#,
        r#"{"topic":"t","data":1} x"#,
        r#"{"topic":"t","data":tru}"#,
        r#"{"topic":"\ud800","data":1}"#,
        &long,
    ] {
        fixture.post("/v1/publish", body).assert_error(400, "bad_request");
    }
    assert_eq!(fixture.published(), []);
}

#[test]
fn data_as_deep_as_a_body_allows_is_passed_on_without_recursion() {
    let fixture = Fixture::start();
    let deep = format!("{}1{}", "[".repeat(500_000), "]".repeat(500_000));
    let reply = fixture.post("/v1/publish", &format!(r#"{{"topic":"t","data":{deep}}}"#));
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(fixture.published()[0].1, deep);
}

#[test]
fn a_refusal_of_the_shards_becomes_its_error() {
    let fixture = Fixture::start();
    let full = fixture.post("/v1/publish", r#"{"topic":"full:t","data":1}"#);
    full.assert_error(503, "overloaded");
    assert!(full.head.contains("retry-after: 1"));
    fixture
        .post("/v1/publish", r#"{"topic":"silent:t","data":1}"#)
        .assert_error(503, "unavailable");
}

#[test]
fn a_broadcast_has_a_result_for_every_topic_in_their_order() {
    let fixture = Fixture::start();
    let reply = fixture.post("/v1/broadcast", r#"{"topics":["a","full:b","c"],"data":[1, 2]}"#);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let results = &reply.json()["results"];
    assert_eq!(results[0], json!({"topic": "a", "epoch": "e1", "offset": 1}));
    assert_eq!(results[1]["topic"], "full:b");
    assert_eq!(results[1]["error"]["code"], "overloaded");
    assert_eq!(results[2], json!({"topic": "c", "epoch": "e1", "offset": 1}));
    let many: Vec<String> = (0..BROADCAST_TOPICS_MAX).map(|n| format!("many:{n}")).collect();
    let reply = fixture.post("/v1/broadcast", &json!({"topics": many, "data": 0}).to_string());
    assert_eq!(reply.json()["results"].as_array().map(Vec::len), Some(BROADCAST_TOPICS_MAX));
    assert_eq!(fixture.published().len(), 2 + BROADCAST_TOPICS_MAX);
}

#[test]
fn a_broadcast_with_one_bad_name_publishes_nothing() {
    let fixture = Fixture::start();
    let many = vec!["t"; BROADCAST_TOPICS_MAX + 1];
    for body in [
        json!({"topics": ["good", ""], "data": 1}),
        json!({"topics": [], "data": 1}),
        json!({"topics": many, "data": 1}),
    ] {
        fixture.post("/v1/broadcast", &body.to_string()).assert_error(400, "bad_request");
    }
    assert_eq!(fixture.published(), []);
}

#[test]
fn topics_are_listed_by_prefix_up_to_the_limit() {
    let fixture = Fixture::start();
    let topics = json!({"topics": ["chat:a b", "chat:b", "news:a"], "data": 1});
    fixture.post("/v1/broadcast", &topics.to_string());
    let names = |path: &str| -> Vec<String> {
        let listed = fixture.get(path).json();
        let listed = listed["topics"].as_array().expect("a list").clone();
        listed.iter().map(|t| t["topic"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names("/v1/topics"), ["chat:a b", "chat:b", "news:a"]);
    assert_eq!(names("/v1/topics?prefix=chat%3A"), ["chat:a b", "chat:b"]);
    assert_eq!(names("/v1/topics?prefix=chat:a+b"), ["chat:a b"]);
    assert_eq!(names("/v1/topics?limit=1&prefix=n"), ["news:a"]);
    assert_eq!(names("/v1/topics?limit=2"), ["chat:a b", "chat:b"]);
    for bad in ["limit=0", "limit=1001", "limit=-1", "limit=x", "prefix=%00", "pre=x", "limit"] {
        fixture.get(&format!("/v1/topics?{bad}")).assert_error(400, "bad_request");
    }
}

#[test]
fn an_unknown_path_is_404_and_a_wrong_method_405_with_those_that_would_do() {
    let fixture = Fixture::start();
    for path in ["/nothing", "/v1", "/v1/publish/", "/healthz/x", "//healthz", "/%68ealthz"] {
        fixture.get(path).assert_error(404, "bad_request");
    }
    let table = [
        ("POST", "/healthz", "get, head"),
        ("DELETE", "/readyz", "get, head"),
        ("PUT", "/metrics", "get, head"),
        ("POST", "/v1/topics", "get, head"),
        ("OPTIONS", "/v1/status", "get, head"),
        ("GET", "/v1/publish", "post"),
        ("PATCH", "/v1/broadcast", "post"),
        ("GET", "/v1/drain", "post"),
    ];
    for (method, path, allow) in table {
        let reply = fixture.request(method, path, "", "");
        reply.assert_error(405, "bad_request");
        assert!(reply.head.contains(&format!("allow: {allow}")), "{}", reply.head);
    }
    let head = fixture.request("HEAD", "/v1/publish", "", "");
    assert_eq!(head.status, 405);
}

#[test]
fn what_a_page_in_a_browser_could_send_is_refused() {
    let fixture = Fixture::start();
    let body = r#"{"topic":"t","data":1}"#;
    for media_type in ["", "Content-Type: text/plain\r\n", "Content-Type: application/jsonx\r\n"] {
        let reply = fixture.request("POST", "/v1/publish", media_type, body);
        reply.assert_error(415, "bad_request");
    }
    for host in ["evil.example", "evil.example:9002", "localhost.evil.example", "@", ""] {
        let text = format!("GET /v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        Reply::parse(&fixture.raw(&text)).assert_error(403, "forbidden");
    }
    for host in ["LOCALHOST:9002", "127.0.0.1:9002", "[::1]:9002", "10.0.0.1"] {
        let text = format!("GET /v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(Reply::parse(&fixture.raw(&text)).status, 200, "{host}");
    }
    assert_eq!(fixture.published(), []);
}

#[test]
fn a_drain_is_ordered_once_and_for_all() {
    let fixture = Fixture::start();
    fixture.post("/v1/drain", "{\"now\":1}").assert_error(400, "bad_request");
    assert!(!fixture.bridge.drain.is_raised());
    for _ in 0..2 {
        assert_eq!(fixture.post("/v1/drain", "{}").status, 202);
        assert!(fixture.bridge.drain.is_raised());
    }
}
