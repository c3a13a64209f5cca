//! Metrics as a real Prometheus sees them, and the rules and the dashboard that are shipped for it.
//!
//! Needs `prometheus` and `promtool` (Debian: `apt-get install prometheus`).

mod common;

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{JsonClient, Process, RawClient, SOON, Server, poll, request};
use ringwire::metrics::families::{self, process, timings};
use ringwire::metrics::{Family, Kind};
use serde_json::Value;

const RULES: &str = "docs/prometheus/ringwire.rules.yml";
const DASHBOARD: &str = "docs/grafana/ringwire.json";
/// Two scrapes, and a busy machine.
const SCRAPED: Duration = Duration::from_secs(40);

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn dashboard() -> Value {
    serde_json::from_str(&text(DASHBOARD)).expect("the dashboard is JSON")
}

/// The queries of the dashboard's panels and annotations.
fn dashboard_queries() -> Vec<String> {
    fn collect(value: &Value, queries: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                queries.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| collect(value, queries));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, queries)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut queries = Vec::new();
    collect(&dashboard(), &mut queries);
    queries
}

/// Every name that a scrape may hold, and those of families as a text may speak of them.
fn known_names() -> BTreeSet<String> {
    let all = families::ALL.iter().chain(process::ALL).chain(timings::ALL);
    let names = |family: &&Family| match family.kind {
        Kind::Counter | Kind::Gauge => vec![family.name.to_owned()],
        Kind::Histogram => {
            ["", "_bucket", "_sum", "_count"].map(|end| format!("{}{end}", family.name)).to_vec()
        }
    };
    all.flat_map(names).collect()
}

/// The words of a text that look like names of our metrics. Recorded series have a colon.
fn named(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let ours = |word: &&str| word.starts_with("ringwire_") || word.starts_with("process_");
    text.split(|c| !is_name(c)).filter(ours).map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_there_are() {
    let known = known_names();
    for path in [RULES, DASHBOARD] {
        let named = named(&text(path));
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
        assert!(named.len() > 15, "{path} names only {named:?}");
    }
    let shown: BTreeSet<_> = named(&text(DASHBOARD));
    let constants = ["ringwire_build_info", "ringwire_shards", "process_virtual_memory_bytes"];
    for family in families::ALL {
        let is_shown = shown.contains(family.name) || constants.contains(&family.name);
        let by_shard = family.name == families::BUSY.name;
        assert!(is_shown || by_shard, "the dashboard does not show {}", family.name);
    }
}

#[test]
fn rules_are_sound_and_each_alert_is_tested() {
    let promtool = |arguments: [&str; 3]| {
        let mut command = Command::new("promtool");
        command.args(arguments).current_dir(file(""));
        Process::spawn("promtool", &mut command).succeed(SOON);
    };
    promtool(["check", "rules", RULES]);
    let tests = "tests/prometheus/ringwire.rules.test.yml";
    promtool(["test", "rules", tests]);
    let (rules, tests) = (text(RULES), text(tests));
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 15, "{alerts:?}");
    for alert in alerts {
        for test in [format!("- name: {alert} fires\n"), format!("- name: {alert} keeps still\n")] {
            assert!(tests.contains(&test), "no test `{test}`");
        }
    }
}

/// A running Prometheus that scrapes one server and has our rules.
struct Prometheus {
    process: Process,
    addr: SocketAddr,
}

impl Prometheus {
    fn scraping(server: &Server) -> Prometheus {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prometheus");
        // What a run that was broken off has left.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("made");
        let config = folder.join("prometheus.yml");
        let (rules, admin) = (file(RULES), server.admin);
        let yaml = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{}]\n\
             scrape_configs:\n\
             - job_name: ringwire\n  static_configs: [{{targets: ['{admin}']}}]\n",
            rules.display()
        );
        std::fs::write(&config, yaml).expect("written");
        // Free now; nobody else is given it again so soon.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = free.local_addr().expect("it has one");
        drop(free);
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={addr}")).arg("--log.level=warn");
        let process = Process::spawn("prometheus", &mut command);
        let prometheus = Prometheus { process, addr };
        let is_ready = || {
            let ready = common::try_request(addr, "GET", "/-/ready", "")?;
            (ready.status == 200).then_some(())
        };
        assert!(poll(SCRAPED, is_ready).is_some(), "Prometheus does not get ready");
        prometheus
    }

    /// The samples of an instant query.
    fn query(&self, query: &str) -> Vec<Value> {
        let octets = query.bytes().map(|octet| format!("%{octet:02x}")).collect::<String>();
        let path = format!("/api/v1/query?query={octets}");
        let response = request(self.addr, "GET", &path, "");
        assert_eq!(response.status, 200, "{query}: {response:?}");
        let answer = response.json();
        assert_eq!(answer["warnings"], Value::Null, "{query}");
        answer["data"]["result"].as_array().expect("samples").clone()
    }

    /// The value of a query with one sample.
    fn value(&self, query: &str) -> Option<f64> {
        let samples = self.query(query);
        assert!(samples.len() <= 1, "{query}: {samples:?}");
        samples.first()?["value"][1].as_str()?.parse().ok()
    }

    fn await_value(&self, query: &str, wanted: f64) {
        let mut last = None;
        let seen = poll(SCRAPED, || {
            last = self.value(query);
            (last == Some(wanted)).then_some(())
        });
        assert!(seen.is_some(), "{query} is {last:?}, not {wanted}");
    }
}

#[test]
fn a_real_prometheus_scrapes_the_server_and_every_panel_has_something_to_show() {
    let server = Server::serve(&["--shards", "2"]);
    let prometheus = Prometheus::scraping(&server);
    prometheus.await_value("up{job=\"ringwire\"}", 1.0);

    let clients: Vec<RawClient> = (0..7).map(|_| RawClient::open(server.ws, "/ws")).collect();
    let mut client = JsonClient::open(server.ws);
    for number in 0..5 {
        client.publish("news:all", number.into());
    }
    prometheus.await_value("ringwire_connections_open", 8.0);
    prometheus.await_value("sum(ringwire_shard_connections_open)", 8.0);
    prometheus.await_value("ringwire_handshakes_completed_total", 8.0);
    prometheus.await_value("ringwire_handshake_seconds_count", 8.0);
    prometheus.await_value("ringwire_publishes_accepted_total", 5.0);
    prometheus.await_value("ringwire_connections_max", 256.0);
    drop(clients);
    prometheus.await_value("ringwire_connections_closed_total{code=\"1006\"}", 7.0);

    every_panel_shows_something(&prometheus);
    rules_load_without_a_warning(&prometheus);
    let mut prometheus = prometheus;
    assert!(prometheus.process.is_running());
    server.stop();
}

fn every_panel_shows_something(prometheus: &Prometheus) {
    // Quantiles of nothing are NaN, but they are there; the annotation marks restarts only.
    let queries = dashboard_queries();
    assert!(queries.len() > 40);
    for query in queries {
        let query = query.replace("$job", "ringwire").replace("$instance", ".*");
        let query = query.replace("$__rate_interval", "20s");
        let may_be_empty = query.starts_with("changes(");
        let seen = poll(SCRAPED, || {
            let samples = prometheus.query(&query);
            (may_be_empty || !samples.is_empty()).then_some(())
        });
        assert!(seen.is_some(), "nothing to show: {query}");
    }
}

fn rules_load_without_a_warning(prometheus: &Prometheus) {
    let healthy = || {
        let rules = request(prometheus.addr, "GET", "/api/v1/rules", "").json();
        let groups = rules["data"]["groups"].as_array().expect("groups").clone();
        let rules: Vec<&Value> =
            groups.iter().flat_map(|g| g["rules"].as_array().expect("rules")).collect();
        assert!(rules.len() > 20, "{} rules", rules.len());
        for rule in &rules {
            assert_ne!(rule["health"], "err", "{rule}");
            assert_ne!(rule["state"], "firing", "{rule}");
        }
        rules.iter().all(|rule| rule["health"] == "ok").then_some(())
    };
    assert!(poll(SCRAPED, healthy).is_some(), "not all rules were evaluated");
}
