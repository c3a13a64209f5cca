//! `publish` and `subscribe` against a server that speaks the JSON protocol from a script.

use std::io::{self, ErrorKind, Write};

use clap::Parser;
use serde_json::json;
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;

use super::super::{Cli, CliError, Command, publish, subscribe};
use super::fake::{Fake, Peer, closed_by_client, request, say};

const WELCOME: &str =
    r#"{"type":"welcome","protocol":"ringwire.v1","session":"s","user":null,"heartbeat_ms":25000}"#;

/// Runs a tool with these arguments against the server: its outcome, output and notes.
fn run_with(
    fake: &Fake,
    arguments: &[&str],
    input: &str,
) -> (Result<(), CliError>, String, String) {
    let url = fake.url();
    let line = ["ringwire", arguments[0], "--url", &url];
    let cli = Cli::try_parse_from([&line[..], &arguments[1..]].concat()).unwrap();
    let (mut output, mut notes) = (Vec::new(), Vec::new());
    let outcome = match cli.command {
        Command::Publish(args) => publish::run(&args, &mut input.as_bytes(), &mut output),
        Command::Subscribe(args) => subscribe::run(&args, &mut output, &mut notes),
        Command::Serve(_)
        | Command::Echo(_)
        | Command::Config(_)
        | Command::Doctor(_)
        | Command::Bench(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Top(_) => {
            panic!("not a tool")
        }
    };
    (outcome, String::from_utf8(output).unwrap(), String::from_utf8(notes).unwrap())
}

fn run(fake: &Fake, arguments: &[&str]) -> (Result<(), CliError>, String, String) {
    run_with(fake, arguments, "")
}

fn failure(outcome: Result<(), CliError>) -> (u8, String) {
    let error = outcome.unwrap_err();
    (error.exit_code(), error.to_string())
}

fn close(peer: &mut Peer, code: u16, reason: &'static str) {
    peer.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).unwrap();
    closed_by_client(peer);
}

#[test]
fn publish_prints_the_offset_of_its_own_acknowledgement() {
    let fake = Fake::websocket(|peer| {
        say(peer, WELCOME);
        let sent = r#"{"type":"publish","id":1,"topic":"chat:lobby","data":{ "a":1.0 }}"#;
        assert_eq!(peer.read().unwrap(), Message::text(sent), "data goes through byte for byte");
        say(peer, r#"{"type":"ack","id":"1","topic":"chat:lobby","offset":3}"#);
        say(peer, r#"{"type":"error","id":7,"code":"internal","message":"not ours"}"#);
        say(peer, r#"{"type":"ack","id":1,"topic":"chat:lobby","offset":18446744073709551615}"#);
        assert_eq!(closed_by_client(peer), Some((1000, String::new())));
    });
    let (outcome, output, _) = run(&fake, &["publish", "chat:lobby", "{ \"a\":1.0 }"]);
    outcome.unwrap();
    assert_eq!(output, "offset 18446744073709551615\n");
    fake.join();
}

#[test]
fn publish_takes_text_and_standard_input() {
    for (data, input, sent) in
        [("hi", "", json!("hi")), ("-1", "", json!(-1)), ("-", "a b\n", json!("a b"))]
    {
        let fake = Fake::websocket(move |peer| {
            assert_eq!(request(peer)["data"], sent);
            say(peer, r#"{"type":"ack","id":1,"topic":"t","offset":1}"#);
            closed_by_client(peer);
        });
        run_with(&fake, &["publish", "t", data], input).0.unwrap();
        fake.join();
    }
}

#[test]
fn publish_tells_what_went_wrong() {
    let fake = Fake::websocket(|peer| {
        request(peer);
        say(peer, r#"{"type":"error","id":1,"code":"forbidden","message":"not here"}"#);
        closed_by_client(peer);
    });
    let (outcome, output, _) = run(&fake, &["publish", "t", "1"]);
    assert_eq!(failure(outcome), (1, "t: forbidden: not here".into()));
    assert_eq!(output, "");
    fake.join();

    let fake = Fake::websocket(|peer| {
        request(peer);
        close(peer, 1001, "draining");
    });
    let told = "the server closed the connection: 1001 \"draining\"";
    assert_eq!(failure(run(&fake, &["publish", "t", "1"]).0), (1, told.into()));
    fake.join();

    let fake = Fake::websocket(|peer| {
        request(peer);
        closed_by_client(peer);
    });
    let outcome = run(&fake, &["publish", "--timeout-s", "1", "t", "1"]).0;
    assert_eq!(failure(outcome), (1, "no acknowledgement within 1 s".into()));
    fake.join();

    let fake = Fake::websocket(|peer| {
        request(peer);
        say(peer, "hello!");
        closed_by_client(peer);
    });
    let (code, told) = failure(run(&fake, &["publish", "t", "1"]).0);
    assert!(code == 1 && told.contains("does not speak ringwire.v1.json"), "{told}");
    fake.join();
}

#[test]
fn what_cannot_be_asked_for_never_reaches_a_server() {
    for (arguments, told) in [
        (["publish", "--url=http://h/", "t", "1"], "its scheme is not ws"),
        (["publish", "--timeout-s=9", "", "1"], "a topic's name may not be empty"),
        (["subscribe", "--timeout-s=9", "a", "b\n"], "may not hold control characters"),
    ] {
        let cli = Cli::try_parse_from([&["ringwire"], &arguments[..]].concat()).unwrap();
        let (code, text) = failure(super::super::run(cli));
        assert!(code == 2 && text.contains(told), "{text}");
    }
}

#[test]
fn subscribe_prints_messages_as_lines_until_it_has_enough() {
    let fake = Fake::websocket(|peer| {
        say(peer, WELCOME);
        for (id, topic) in [(1, "news:a"), (2, "news:b")] {
            let wanted = json!({"type": "subscribe", "id": id, "topic": topic});
            assert_eq!(request(peer), wanted);
            let answer = json!({"type": "subscribed", "id": id, "topic": topic, "offset": 0});
            say(peer, &answer.to_string());
        }
        peer.send(Message::Ping("x".into())).unwrap();
        say(
            peer,
            "{\"type\":\"message\",\"topic\":\"news:a\",\"offset\":1,\"data\":{\r\n\"a\" : 1}}",
        );
        say(peer, r#"{"type":"join","topic":"news:a","user":"bob"}"#);
        say(peer, r#"{"type":"message","topic":"news:b","offset":9,"data":"x\ny"}"#);
        say(peer, r#"{"type":"message","topic":"news:b","offset":10,"data":"one too many"}"#);
        assert_eq!(peer.read().unwrap(), Message::Pong("x".into()));
        assert_eq!(closed_by_client(peer), Some((1000, String::new())));
    });
    let (outcome, output, notes) = run(&fake, &["subscribe", "--count", "2", "news:a", "news:b"]);
    outcome.unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(
        lines,
        [
            r#"{"type":"message","topic":"news:a","offset":1,"data":{  "a" : 1}}"#,
            r#"{"type":"join","topic":"news:a","user":"bob"}"#,
            r#"{"type":"message","topic":"news:b","offset":9,"data":"x\ny"}"#,
        ]
    );
    let kinds = notes.lines().map(|line| line.contains("\"subscribed\"")).collect::<Vec<_>>();
    assert_eq!(kinds, [false, true, true], "{notes}");
    fake.join();
}

#[test]
fn subscribe_fails_when_the_server_refuses_or_ends() {
    let fake = Fake::websocket(|peer| {
        request(peer);
        request(peer);
        say(peer, r#"{"type":"error","id":2,"code":"limit_exceeded","message":"too many"}"#);
        assert_eq!(closed_by_client(peer), Some((1000, String::new())));
    });
    let outcome = run(&fake, &["subscribe", "a", "b"]).0;
    assert_eq!(failure(outcome), (1, "b: limit_exceeded: too many".into()));
    fake.join();

    let fake = Fake::websocket(|peer| {
        request(peer);
        close(peer, 4001, "slow consumer\u{1b}[2J");
    });
    // What a server says is shown so that it can't play with the terminal.
    let told = "the server closed the connection: 4001 \"slow consumer\\u{1b}[2J\"";
    assert_eq!(failure(run(&fake, &["subscribe", "a"]).0), (1, told.into()));
    fake.join();
}

#[test]
fn subscribe_ends_in_time() {
    for (flags, outcome) in [
        (&["--timeout-s=1"][..], None),
        (&["--timeout-s=1", "--count=2"][..], Some("1 of 2 messages within 1 s")),
    ] {
        let fake = Fake::websocket(|peer| {
            request(peer);
            say(peer, r#"{"type":"message","topic":"a","offset":1,"data":1}"#);
            assert_eq!(closed_by_client(peer), Some((1000, String::new())));
        });
        let result = run(&fake, &[&["subscribe"], flags, &["a"]].concat()).0;
        assert_eq!(result.err().map(|error| error.to_string()).as_deref(), outcome);
        fake.join();
    }
}

/// A pipe whose reader has gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn subscribe_ends_quietly_when_nobody_reads_it() {
    let fake = Fake::websocket(|peer| {
        request(peer);
        say(peer, r#"{"type":"message","topic":"a","offset":1,"data":1}"#);
        assert_eq!(closed_by_client(peer), Some((1000, String::new())));
    });
    let url = fake.url();
    let cli = Cli::try_parse_from(["ringwire", "subscribe", "--url", &url, "a"]).unwrap();
    let Command::Subscribe(args) = cli.command else { panic!() };
    subscribe::run(&args, &mut Gone, &mut Gone).unwrap();
    fake.join();
}
