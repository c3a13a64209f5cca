//! `[server]`

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::{CLOSE, Event, File, RawClient, SOON, Server, poll, request, upgrade_head};
use crate::effect;
use crate::file::{self, bare, bare_ready, said};

const SMALL: &str = "shards = 1\nmax_connections = 64\n";

pub(crate) fn listen() {
    let socket = File::socket("listen");
    let text = format!(
        "[server]\n{SMALL}admin = \"none\"\nlisten = [\"127.0.0.1:0\", \"unix:{}\"]",
        socket.display()
    );
    let (process, _file) = bare_ready(&text);
    let tcp: SocketAddr = said(&process, "ringwire: listening on ws://").parse().unwrap();
    RawClient::open(tcp, "/ws");
    RawClient::connect_unix(&socket).upgrade("/ws");
}

pub(crate) fn admin() {
    let socket = File::socket("admin");
    let text = format!(
        "[server]\n{SMALL}listen = [\"127.0.0.1:0\"]\nadmin = \"unix:{}\"",
        socket.display()
    );
    let (_process, _file) = bare_ready(&text);
    let mut stream = UnixStream::connect(&socket).expect("it listens there");
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

pub(crate) fn shards() {
    let text = "[server]\nshards = 7\nmax_connections = 64\n\
                listen = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"";
    let (process, _file) = bare_ready(text);
    let admin = said(&process, "ringwire: admin on http://").parse().unwrap();
    let status = request(admin, "GET", "/v1/status", "").json();
    assert_eq!(status["shards"].as_array().map(Vec::len), Some(7), "{status}");
}

pub(crate) fn max_connections() {
    let text = "[server]\nshards = 1\nmax_connections = 2\n\
                listen = [\"127.0.0.1:0\"]\nadmin = \"none\"";
    let (process, _file) = bare_ready(text);
    let addr: SocketAddr = said(&process, "ringwire: listening on ws://").parse().unwrap();
    let _two = [RawClient::open(addr, "/ws"), RawClient::open(addr, "/ws")];
    let mut third = RawClient::connect(addr);
    third.send(upgrade_head("/ws").as_bytes());
    assert_eq!(third.head(SOON).expect("an answer").status, 503);
}

/// A reload of this file logs one line of each level: the one of the server's is not wanted.
pub(crate) fn log() {
    let file = effect::file("[server]\nlog = \"warn\"");
    let server = Server::serve(&["--config", file.path()]);
    effect::rewrite(&file, "[server]\nlog = \"warn\"\nbacklog = 77");
    assert_eq!(server.post("/v1/reload", "{}").status, 200);
    let line = server.await_line("restart to apply");
    assert!(line.contains("WARN"), "{line}");
    let told = server.log();
    assert!(!told.iter().any(|line| line.contains("INFO")), "{told:?}");
}

/// Whoever ignores the close is waited for so long, and not for the 60 s of a closing handshake.
pub(crate) fn drain_timeout() {
    let text = "[server]\ndrain_timeout_ms = 300\n[timeouts]\nclose_ms = 60_000";
    let mut server = file::serve(text);
    let mut client = RawClient::open(server.ws, "/ws");
    server.terminate();
    assert_eq!(client.close_code(SOON), 1001);
    assert_eq!(server.exit(SOON).code(), Some(0));
}

/// Twelve connections at four in a second: the last is told after 2.75 s at the earliest, by a
/// clock that the drain's end is measured on. At the usual rate it would be told at once.
pub(crate) fn drain_rate() {
    let server = file::serve("[server]\ndrain_rate_per_s = 4\ndrain_retry_ms = 0");
    let mut clients: Vec<_> = (0..12).map(|_| RawClient::open(server.ws, "/ws")).collect();
    let before = Instant::now();
    server.terminate();
    for client in &mut clients {
        assert_eq!(client.close_code(SOON), 1001);
    }
    assert!(before.elapsed() >= Duration::from_millis(2_500), "{:?}", before.elapsed());
}

pub(crate) fn drain_retry() {
    let reason_with = |retry_ms: u32| {
        let server = file::serve(&format!("[server]\ndrain_retry_ms = {retry_ms}"));
        let mut client = RawClient::open(server.ws, "/ws");
        server.terminate();
        loop {
            let Event::Frame(frame) = client.event(SOON) else { panic!("no close frame") };
            if frame.opcode == CLOSE {
                return String::from_utf8(frame.payload[2..].to_vec()).expect("text");
            }
        }
    };
    let advised = reason_with(60_000);
    assert!(advised.contains("retry"), "{advised:?}");
    let unadvised = reason_with(0);
    assert!(!unadvised.contains("retry"), "{unadvised:?}");
}

pub(crate) fn log_format() {
    let server = file::serve("[server]\nlog_format = \"json\"");
    server.terminate();
    let line = server.await_line("told to drain");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["level"], "INFO");
}

/// While the server stands still, nobody is accepted: the queue alone says how many get in.
pub(crate) fn backlog() {
    const CLIENTS: usize = 8;
    let connected = |text: &str| {
        let server = file::serve(text);
        server.signal(Signal::SIGSTOP);
        assert!(poll(SOON, || stands_still(server.pid()).then_some(())).is_some());
        let limit = Duration::from_millis(700);
        let streams: Vec<_> =
            (0..CLIENTS).map(|_| TcpStream::connect_timeout(&server.ws, limit)).collect();
        server.signal(Signal::SIGCONT);
        streams.iter().filter(|stream| stream.is_ok()).count()
    };
    let few = connected("[server]\nbacklog = 1");
    assert!((1..=3).contains(&few), "{few} of {CLIENTS}");
    assert_eq!(connected("[server]\nbacklog = 100"), CLIENTS);
}

/// Whether a signal has stopped every thread of a process. Workers of a ring are the kernel's, and
/// accept nothing.
fn stands_still(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    let stats =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats.into_iter().all(|stat| {
        let (name, rest) = stat.rsplit_once(") ").expect("proc_pid_stat(5)");
        rest.starts_with('T') || name.contains("(iou-")
    })
}

pub(crate) fn unix_mode() {
    let socket = File::socket("mode");
    let text = format!(
        "[server]\n{SMALL}admin = \"none\"\nlisten = [\"unix:{}\"]\nunix_mode = \"0604\"",
        socket.display()
    );
    let (_process, _file) = bare_ready(&text);
    let mode = std::fs::metadata(&socket).expect("the socket is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o604);
}

pub(crate) fn allow_overcommit() {
    let text = format!(
        "[server]\n{SMALL}admin = \"none\"\nlisten = [\"127.0.0.1:0\"]\n\
         [limits]\negress_total_bytes_max = 1_099_511_627_776\n"
    );
    let (mut process, _file) = bare(&text);
    assert_eq!(process.exit(SOON).code(), Some(2));
    process.error_line("ringwire: the limits allow 1.1 TiB of memory, but this host has ", SOON);
    let (process, _file) =
        bare_ready(&text.replacen("[server]", "[server]\nallow_overcommit = true", 1));
    said(&process, "ringwire: warning: the limits allow 1.1 TiB of ");
}
