//! Settings: which layer wins, and the exact words when something is wrong.

use std::ffi::OsString;
use std::path::Path;

use clap::Parser;

use super::super::keys::{Default as Preset, Form, KEYS, Key};
use super::super::origin::Origin;
use super::super::{Cli, Command, Settings};
use crate::pubsub::policy::SlowConsumer;

fn from_flags(flags: &[&str]) -> Result<Settings, String> {
    let cli = Cli::try_parse_from([&["ringwire", "serve"], flags].concat());
    let Command::Serve(args) = cli.map_err(|error| error.to_string())?.command else { panic!() };
    Settings::from_args(&args.engine).map_err(|error| error.to_string())
}

fn from_env(variables: &[(&str, &str)]) -> Result<Settings, String> {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    Settings::from_env(variables).map_err(|error| error.to_string())
}

fn from_file(text: &str) -> Result<Settings, String> {
    Settings::from_text(Path::new("r.toml"), text).map_err(|error| error.to_string())
}

/// A value that every layer takes for this key, as text and as TOML.
fn sample(key: &Key) -> (String, String) {
    let text = match (&key.form, &key.default) {
        (Form::Integer(bounds, _), _) => bounds.end().to_string(),
        (Form::PowerOfTwo(bounds, _), _) => bounds.end().to_string(),
        (Form::Policy(_), _) => "conflate".to_owned(),
        (Form::Switch(_), _) => "true".to_owned(),
        (Form::NamespacePolicies(_), _) => "NAME=conflate".to_owned(),
        (_, Preset::Text(text)) => (*text).to_owned(),
        (_, Preset::Number(number)) => number.to_string(),
    };
    let toml = match &key.form {
        Form::Integer(..) | Form::PowerOfTwo(..) | Form::Switch(_) => text.clone(),
        Form::Addresses(_) => format!("[{text:?}]"),
        Form::NamespacePolicies(_) => "\"conflate\"".to_owned(),
        Form::AdminAddress(_)
        | Form::LogFilter(_)
        | Form::LogFormat(_)
        | Form::Mode(_)
        | Form::Policy(_) => {
            format!("{text:?}")
        }
    };
    (text, toml)
}

#[test]
fn every_key_is_set_alike_by_flag_environment_and_file_and_survives_the_merge() {
    for key in KEYS {
        let (text, toml) = sample(key);
        let path = key.path();
        let (table, name) = path.rsplit_once('.').unwrap();
        let flag = from_flags(&[&format!("--{}={text}", key.flag)]).unwrap();
        let environment = from_env(&[(&key.variable(), &text)]).unwrap();
        let file = from_file(&format!("[{table}]\n{name} = {toml}\n")).unwrap();
        assert_ne!(Settings { origins: Default::default(), ..flag.clone() }, Settings::default());

        assert_eq!(flag.origins[&path], Origin::Flag(key.flag), "{path}");
        assert_eq!(environment.origins[&path], Origin::Variable(key.variable()), "{path}");
        let line = Origin::File { path: "r.toml".into(), line: 2 };
        assert_eq!(file.origins[&path], line, "{path}");
        let bare =
            |settings: &Settings| Settings { origins: Default::default(), ..settings.clone() };
        assert_eq!(bare(&flag), bare(&environment), "{path}");
        assert_eq!(bare(&flag), bare(&file), "{path}");

        let weaker = flag.clone();
        assert_eq!(Settings::default().merge(weaker), flag, "{path} is lost from below");
        assert_eq!(flag.clone().merge(file), flag, "{path} gives way to the weaker");
    }
}

#[test]
fn flag_before_environment_before_file() {
    let directory = std::env::temp_dir().join(format!("ringwire-cli-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("layers.toml");
    let text = "[server]\nshards = 1\nmax_connections = 1_000\n\
                listen = [\"[::1]:1\", \"unix:/a\"]\n\
                [timeouts]\nclose_ms = 0x400\n[namespaces.a]\nslow_consumer = \"close\"\n\
                [namespaces.b]\nslow_consumer = \"close\"\n";
    std::fs::write(&path, text).unwrap();
    let environment = || {
        [
            ("RINGWIRE_CONFIG", path.to_str().unwrap()),
            ("RINGWIRE_SERVER_SHARDS", "2"),
            ("RINGWIRE_SERVER_MAX_CONNECTIONS", "2_000"),
            ("RINGWIRE_NAMESPACES_SLOW_CONSUMER", "b=conflate, c=conflate"),
            ("RINGWIRE_SERVER_LOG", ""),
            ("PATH", "/bin"),
        ]
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
    };
    let flags = ["ringwire", "echo", "--shards", "3", "--namespace", "c=drop_oldest"];
    let Command::Echo(args) = Cli::try_parse_from(flags).unwrap().command else { panic!() };
    let settings = Settings::load(&args.engine, environment()).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();

    assert_eq!(settings.server.shards, Some(3));
    assert_eq!(settings.server.max_connections, Some(2000));
    assert_eq!(settings.server.log, None, "an empty variable says nothing");
    let listen = ["[::1]:1", "unix:/a"].map(str::to_owned).to_vec();
    assert_eq!(settings.server.listen, Some(listen));
    assert_eq!(settings.timeouts.close_ms, Some(1024));
    let policies: Vec<_> = settings.namespaces.iter().map(|(n, p)| (n.as_str(), *p)).collect();
    let expected = [
        ("a", SlowConsumer::Close),
        ("b", SlowConsumer::Conflate),
        ("c", SlowConsumer::DropOldest),
    ];
    assert_eq!(policies, expected);
    assert_eq!(settings.origins["server.shards"].to_string(), "--shards");
    let line = format!("{}:6", path.display());
    assert_eq!(settings.origins["timeouts.close_ms"].to_string(), line);
    assert_eq!(
        settings.origins["namespaces.b.slow_consumer"].to_string(),
        "RINGWIRE_NAMESPACES_SLOW_CONSUMER"
    );
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn what_is_wrong_in_the_file_is_told_with_its_line() {
    for (text, told) in [
        (
            "[server]\nshard = 2",
            "r.toml:2: unknown key `server.shard`; did you mean `server.shards`?",
        ),
        (
            "\n\nmax_connections = 2",
            "r.toml:3: unknown key `max_connections`; did you mean `server.max_connections`?",
        ),
        (
            "[server]\nmessage_bytes_max = 2",
            "r.toml:2: unknown key `server.message_bytes_max`; \
             did you mean `limits.message_bytes_max`?",
        ),
        (
            "[heartbeat]\nheartbeat_timeout_ms = 2",
            "r.toml:2: unknown key `heartbeat.heartbeat_timeout_ms`; \
             did you mean `heartbeat.timeout_ms`?",
        ),
        (
            "[heartbeat]\nenthusiasm = 2",
            "r.toml:2: unknown key `heartbeat.enthusiasm`; [heartbeat] has interval_ms, timeout_ms",
        ),
        ("[hartbeat]", "r.toml:1: unknown section `hartbeat`; did you mean `heartbeat`?"),
        (
            "[cheese]",
            "r.toml:1: unknown section `cheese`; there are [server], [limits], [compression], \
             [heartbeat], [timeouts], [slow_consumer], [namespaces]",
        ),
        (
            "[namespaces]\nslow_consumer = \"close\"",
            "r.toml:2: unknown key `namespaces.slow_consumer`; write a table [namespaces.NAME]",
        ),
        (
            "[namespaces.chat]\nslow_consumers = \"close\"",
            "r.toml:2: unknown key `namespaces.chat.slow_consumers`; \
             did you mean `namespaces.chat.slow_consumer`?",
        ),
        (
            "[namespaces.chat]\nslow_consumer = \"shut\"",
            "r.toml:2: namespaces.chat.slow_consumer cannot be `shut`; \
             it takes one of close, drop_oldest, conflate",
        ),
        (
            "[server]\nshards = \"2\"",
            "r.toml:2: server.shards cannot be `\"2\"`; it takes an integer from 1 to 1023",
        ),
        (
            "[server]\n\nshards = -1",
            "r.toml:3: server.shards cannot be `-1`; it takes an integer from 1 to 1023",
        ),
        (
            "[limits]\nrecv_buffers = 100",
            "r.toml:2: limits.recv_buffers cannot be `100`; \
             it takes a power of two from 8 to 32768",
        ),
        (
            "[server]\nlisten = [\"localhost\"]",
            "r.toml:2: server.listen cannot be `localhost`; it takes an IP address with a port, \
             such as 127.0.0.1:9001 or [::]:9001, or unix:/path",
        ),
        (
            "[server]\nlisten = []",
            "r.toml:2: server.listen cannot be an empty list; it takes an IP address with a port, \
             such as 127.0.0.1:9001 or [::]:9001, or unix:/path",
        ),
        ("[server]\nshards = ", "r.toml:2: string values must be quoted, expected literal string"),
        ("[server]\nshards = 1\nshards = 2", "r.toml:3: duplicate key"),
    ] {
        assert_eq!(from_file(text).expect_err(text), told);
    }
}

/// Nor would the kernel take all of them.
#[test]
fn a_socket_has_a_path_that_can_be_told() {
    for path in ["a\nb", "\u{1b}[2J", "a\0", "\u{85}", ""] {
        for flag in ["--listen", "--admin"] {
            assert!(from_flags(&[&format!("{flag}=unix:{path}")]).is_err(), "{flag} {path:?}");
        }
    }
    assert!(from_flags(&["--listen=unix:/run/a b\"\u{e9}", "--admin=unix:/run/a b"]).is_ok());
}

/// A name in quotation marks may hold anything.
#[test]
fn a_message_holds_no_name_that_a_terminal_obeys_and_not_the_whole_of_a_long_one() {
    let name = "\\u001b[2J\\n".to_owned() + &"x".repeat(1000);
    for text in [
        format!("\"{name}\" = 1"),
        format!("[\"{name}\"]"),
        format!("[server]\n\"{name}\" = 1"),
        format!("[namespaces]\n\"{name}\" = 1"),
        format!("[namespaces.\"{name}\"]\nx = 1"),
        format!("[namespaces.\"{name}\"]\nslow_consumer = 1"),
        format!("[namespaces.\"{name}\"]\nslow_consumer = \"x\""),
        format!("[namespaces.\"{name}\"]\nslow_consumer = \"close\""),
    ] {
        let told = from_file(&text).expect_err(&text);
        assert!(told.contains("\\u{1b}[2J\\nxxx") && told.len() < 800, "{told}");
        assert!(!told.contains(char::is_control), "{told:?}");
    }
}

#[test]
fn what_is_wrong_elsewhere_names_its_flag_or_variable() {
    let cases = [
        (
            from_flags(&["--shards", "1024"]),
            "--shards: server.shards cannot be `1024`; it takes an integer from 1 to 1023",
        ),
        (
            from_flags(&["--shards", "-1"]),
            "--shards: server.shards cannot be `-1`; it takes an integer from 1 to 1023",
        ),
        (
            from_flags(&["--admin", "0.0.0.0:9002"]),
            "--admin: server.admin cannot be `0.0.0.0:9002`; it takes a loopback address with a \
             port, such as 127.0.0.1:9002, unix:/path, or none",
        ),
        (
            from_flags(&["--namespace", "a:b=close"]),
            "--namespace: namespaces.NAME.slow_consumer cannot be `a:b=close`; it takes \
             NAME=POLICY, where NAME has no colon and POLICY is close, drop_oldest or conflate",
        ),
        (
            from_env(&[("RINGWIRE_HEARTBEAT_INTERVAL_MS", "25s")]),
            "RINGWIRE_HEARTBEAT_INTERVAL_MS: heartbeat.interval_ms cannot be `25s`; \
             it takes an integer from 256 to 86400000 ms",
        ),
        (
            from_env(&[("RINGWIRE_SERVER_LOG", "inof")]),
            "RINGWIRE_SERVER_LOG: server.log cannot be `inof`; it takes off, error, warn, info, \
             debug or trace, or a list of target=level with commas between them",
        ),
        (
            from_env(&[("RINGWIRE_SERVER_LISTEN", "127.0.0.1:1,,")]),
            "RINGWIRE_SERVER_LISTEN: server.listen cannot be ``; it takes an IP address with a \
             port, such as 127.0.0.1:9001 or [::]:9001, or unix:/path",
        ),
    ];
    for (outcome, told) in cases {
        assert_eq!(outcome.expect_err(told), told);
    }
    let long = format!("{}\n", "9".repeat(1000));
    let told = from_env(&[("RINGWIRE_SERVER_SHARDS", &long)]).unwrap_err();
    assert!(told.len() < 250 && told.contains('\u{2026}'), "{told}");
}

#[test]
fn what_is_taken() {
    let settings = from_flags(&[
        "--listen=127.0.0.1:0",
        "--listen",
        "[::]:9001",
        "--listen=unix:/run/a,b.sock",
        "--admin=none",
        "--log",
        "warn,ringwire::shard=trace",
        "--drain-timeout-ms=0",
    ]);
    let server = settings.unwrap().server;
    let listen = ["127.0.0.1:0", "[::]:9001", "unix:/run/a,b.sock"];
    assert_eq!(server.listen.unwrap(), listen);
    assert_eq!(server.admin.as_deref(), Some("none"));
    assert_eq!(server.log.as_deref(), Some("warn,ringwire::shard=trace"));
    assert_eq!(server.drain_timeout_ms, Some(0));
}

#[test]
fn a_slip_in_a_variable_is_warned_of_and_what_others_set_is_not() {
    let settings = from_env(&[
        ("RINGWIRE_SERVER_SHARD", "2"),
        ("RINGWIRE_SERVER_PORT_9001_TCP", "tcp://10.0.0.1:9001"),
        ("RINGWIRE_URL", "ws://127.0.0.1/"),
    ]);
    let told = "RINGWIRE_SERVER_SHARD in the environment is ignored; \
                did you mean RINGWIRE_SERVER_SHARDS?";
    assert_eq!(settings.unwrap().warnings, [told]);
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let error = Settings::from_file(Path::new("/nonexistent/r.toml")).unwrap_err().to_string();
    let told = "cannot read the configuration file /nonexistent/r.toml: No such file";
    assert!(error.starts_with(told), "{error}");
}
