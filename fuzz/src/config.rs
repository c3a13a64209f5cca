//! The configuration file, against the same text as an untyped table; by way of the environment; as
//! it is shown, and read again.

use std::ffi::OsString;
use std::path::Path;

use ringwire::cli::Settings;
use ringwire::cli::config::page;
use ringwire::cli::effective::Effective;
use ringwire::cli::keys::{Form, KEYS, Key};
use ringwire::server::Config;
use ringwire::server::plan::Plan;
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

const FILE: &str = "r.toml";
/// Digits that may begin with zeros.
const MODE: &str = "server.unix_mode";
/// Octets of an error, whatever the file: it is for a terminal.
const ERROR_BYTES_MAX: usize = 2000;

/// Input: the file.
pub(crate) fn check(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    match Settings::from_text(Path::new(FILE), text) {
        Err(error) => check_error(&error.to_string(), text),
        Ok(settings) => {
            let table: Table = text.parse().expect("what we take is TOML");
            assert_eq!(written(&settings), flat(&table), "the file says it otherwise");
            check_environment(&settings);
            check_server(&settings);
        }
    }
}

/// One line, of bounded length, that says where, and that does nothing to a terminal.
fn check_error(error: &str, text: &str) {
    let place = error.strip_prefix("r.toml:").expect("an error begins with its place");
    let line: usize = place.split(':').next().and_then(|line| line.parse().ok()).expect("a line");
    assert!((1..=1 + text.matches('\n').count()).contains(&line), "{error}");
    assert!(!error.contains(char::is_control), "{error:?}");
    assert!(error.len() <= ERROR_BYTES_MAX, "{} octets: {error}", error.len());
}

/// Path and values, in the order of the paths.
type Flat = Vec<(String, Vec<String>)>;

/// All that the table says.
fn flat(table: &Table) -> Flat {
    let mut all = Vec::new();
    flatten(table, "", &mut all);
    all.sort();
    all
}

fn flatten(table: &Table, path: &str, all: &mut Flat) {
    for (name, value) in table {
        let path = format!("{path}{name}");
        if path == MODE
            && let Value::String(digits) = value
        {
            let mode = u32::from_str_radix(digits, 8).expect("octal digits");
            all.push((path, vec![format!("{mode:o}")]));
            continue;
        }
        match value {
            Value::Table(inner) => flatten(inner, &format!("{path}."), all),
            Value::Array(list) => all.push((path, list.iter().map(plain).collect())),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => all.push((path, vec![plain(value)])),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        other @ (Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_)) => {
            panic!("no key takes {other}")
        }
    }
}

/// The same of what was understood.
fn written(settings: &Settings) -> Flat {
    let Settings { server, limits, heartbeat, timeouts, slow_consumer, compression, .. } = settings;
    let mut all: Vec<(&str, Option<Vec<String>>)> = Vec::new();
    let one = |text: &Option<String>| text.clone().map(|text| vec![text]);
    all.push(("server.listen", server.listen.clone()));
    all.push(("server.admin", one(&server.admin)));
    all.push(("server.log", one(&server.log)));
    all.push(("server.log_format", server.log_format.map(|v| vec![v.name().to_owned()])));
    all.push(("slow_consumer.default", slow_consumer.default.map(|p| vec![p.to_string()])));
    all.push(("server.allow_overcommit", server.allow_overcommit.map(|v| vec![v.to_string()])));
    all.push(("compression.enabled", compression.enabled.map(|v| vec![v.to_string()])));
    all.push((MODE, server.unix_mode.map(|mode| vec![format!("{mode:o}")])));
    let wide = |number: Option<usize>| number.map(|number| number as u64);
    for (path, number) in [
        ("server.shards", server.shards.map(u64::from)),
        ("server.max_connections", server.max_connections.map(u64::from)),
        ("server.drain_timeout_ms", server.drain_timeout_ms),
        ("server.drain_rate_per_s", server.drain_rate_per_s.map(u64::from)),
        ("server.drain_retry_ms", server.drain_retry_ms),
        ("server.backlog", server.backlog.map(u64::from)),
        ("limits.fragments_max", limits.fragments_max.map(u64::from)),
        ("limits.head_bytes_max", wide(limits.head_bytes_max)),
        ("limits.ingress_total_bytes_max", wide(limits.ingress_total_bytes_max)),
        ("limits.topics_max", wide(limits.topics_max)),
        ("limits.message_bytes_max", wide(limits.message_bytes_max)),
        ("limits.egress_bytes_max", wide(limits.egress_bytes_max)),
        ("limits.egress_total_bytes_max", wide(limits.egress_total_bytes_max)),
        ("limits.subscriptions_max", wide(limits.subscriptions_max)),
        ("limits.recv_buffers", limits.recv_buffers.map(u64::from)),
        ("limits.recv_buffer_bytes", limits.recv_buffer_bytes.map(u64::from)),
        ("compression.level", compression.level.map(u64::from)),
        ("compression.threshold_bytes", wide(compression.threshold_bytes)),
        ("compression.ratio_max", compression.ratio_max.map(u64::from)),
        ("compression.server_window_bits", compression.server_window_bits.map(u64::from)),
        ("compression.client_window_bits", compression.client_window_bits.map(u64::from)),
        (
            "compression.takeover_connections_max",
            compression.takeover_connections_max.map(u64::from),
        ),
        ("heartbeat.interval_ms", heartbeat.interval_ms),
        ("heartbeat.timeout_ms", heartbeat.timeout_ms),
        ("timeouts.handshake_ms", timeouts.handshake_ms),
        ("timeouts.close_ms", timeouts.close_ms),
    ] {
        all.push((path, number.map(|number| vec![number.to_string()])));
    }
    assert_eq!(all.len() + 1, KEYS.len(), "each key is looked at");
    let set = all.into_iter().filter_map(|(path, values)| Some((path.to_owned(), values?)));
    let policies = settings.namespaces.iter().map(|(name, policy)| {
        (format!("namespaces.{name}.slow_consumer"), vec![policy.to_string()])
    });
    let mut flat: Flat = set.chain(policies).collect();
    flat.sort();
    let origins: Vec<_> = settings.origins.keys().cloned().collect();
    let mut paths: Vec<_> = flat.iter().map(|(path, _)| path.clone()).collect();
    paths.sort();
    assert_eq!(paths, origins, "S2: every value has an origin");
    flat
}

/// The settings without where they came from.
fn bare(settings: &Settings) -> Settings {
    Settings { origins: Default::default(), warnings: Vec::new(), ..settings.clone() }
}

fn key(path: &str) -> &'static Key {
    let section = path.split('.').next().expect("a section");
    let name = path.rsplit('.').next().expect("a name");
    let key = KEYS.iter().find(|key| key.section == section && key.name == name);
    key.expect("every path is a key's")
}

/// Whatever a variable can hold means the same there.
fn check_environment(settings: &Settings) {
    let mut same = Settings::default();
    let mut variables = Vec::new();
    for (path, values) in written(settings) {
        let is_odd = |value: &String| value.contains(',') && key(&path).is_list();
        let is_trimmed = |value: &String| value.trim() != value || value.is_empty();
        if path.starts_with("namespaces.") || values.iter().any(|v| is_odd(v) || is_trimmed(v)) {
            continue;
        }
        variables.push((key(&path).variable(), values.join(",")));
        let text = format!("{path} = {}", toml_value(&path, &values));
        let one = Settings::from_text(Path::new(FILE), &text).expect(&text);
        same = same.merge(one);
    }
    let variables = variables.into_iter().map(|(n, v)| (OsString::from(n), OsString::from(v)));
    let environment = Settings::from_env(variables).expect("the file has it as well");
    assert_eq!(bare(&environment), bare(&same));
}

fn toml_value(path: &str, values: &[String]) -> String {
    let quoted: Vec<_> = values.iter().map(|v| Value::String(v.clone()).to_string()).collect();
    match key(path).form {
        Form::Integer(..) | Form::PowerOfTwo(..) | Form::Switch(_) => values.concat(),
        Form::Addresses(_) => format!("[{}]", quoted.join(", ")),
        Form::AdminAddress(_)
        | Form::LogFilter(_)
        | Form::LogFormat(_)
        | Form::Mode(_)
        | Form::Policy(_)
        | Form::NamespacePolicies(_) => quoted.concat(),
    }
}

/// A server takes it, or says in one line what contradicts what.
fn check_server(settings: &Settings) {
    if let Some(filter) = &settings.server.log {
        assert!(EnvFilter::try_new(filter).is_ok(), "{filter:?} is no filter");
    }
    let defaults = Config { shards: 2, ..Config::default() };
    for memory_bytes in [None, Some(1 << 20), Some(64 << 30)] {
        match Effective::of(settings, defaults.clone(), memory_bytes) {
            Err(error) => check_misfit(&error.to_string()),
            Ok(effective) => {
                assert_eq!(effective.config.check(), Ok(()));
                assert!(!Plan::of(&effective.config).parts.is_empty());
                check_shown(settings, &effective);
            }
        }
    }
}

/// What `ringwire config show` prints is a file that says the same.
fn check_shown(settings: &Settings, effective: &Effective) {
    let shown = page(settings, effective);
    let again = Settings::from_text(Path::new(FILE), &shown);
    let again = again.unwrap_or_else(|error| panic!("{error} in\n{shown}"));
    let again = Effective::of(&again, Config::default(), None).expect("the same is sound");
    for key in KEYS {
        assert_eq!(key.difference(effective, &again), None);
    }
}

/// Each value is fine: what is wrong is how they go together.
fn check_misfit(error: &str) {
    let ways = ["too small for", "may be", "is given twice"];
    assert!(ways.iter().any(|way| error.contains(way)), "{error}");
    assert!(!error.contains(char::is_control), "{error:?}");
}
