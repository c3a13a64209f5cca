//! The server and its service manager: what it is told (sd_notify(3)), the watchdog, and listening
//! sockets that are handed over (sd_listen_fds(3)). The managers here are naive ones of the tests'
//! own; `tests/systemd/run.sh` does the same with a real systemd.

mod common;

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::{Deadline, File, Process, RawClient, SOON, Server, command, number_from_env, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A manager that only listens.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(name: &str) -> Manager {
        let name = format!("manager-{}-{name}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        Manager { socket: UnixDatagram::bind(&path).expect("bound"), path }
    }

    fn start(&self, watchdog_us: u64, hang: &Path, flags: &[&str]) -> Server {
        let mut command = command("echo");
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", watchdog_us.to_string());
        command.env("RINGWIRE_TEST_HANG_WHILE_EXISTS", hang);
        Server::start_by(command, "echo", flags)
    }

    /// The next word of the server, if one comes in time.
    fn next(&self, limit: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(limit)).expect("a time above zero");
        let mut octets = [0; 4096];
        let len = self.socket.recv(&mut octets).ok()?;
        Some(String::from_utf8(octets[..len].to_vec()).expect("text"))
    }

    /// Waits for a word that starts so.
    fn hear(&self, wanted: &str) -> String {
        let deadline = Deadline::after(SOON);
        let mut heard = Vec::new();
        while let Some(word) = deadline.left().and_then(|left| self.next(left)) {
            if word.starts_with(wanted) {
                return word;
            }
            heard.push(word);
        }
        panic!("no {wanted} among {heard:?}");
    }

    fn forget(&self) {
        while self.next(Duration::from_millis(1)).is_some() {}
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn hang_file(name: &str) -> PathBuf {
    let name = format!("hang-{}-{name}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn the_manager_is_told_from_ready_to_stopping() {
    let manager = Manager::new("life");
    let flags = ["--shards", "3", "--drain-timeout-ms", "7000"];
    let mut server = manager.start(4_000_000, &hang_file("none"), &flags);
    manager.hear("READY=1");
    manager.hear("WATCHDOG=1");
    manager.hear("WATCHDOG=1");
    let status = manager.hear("STATUS=");
    assert!(status.ends_with(" connections on 3 shards, 0 topics"), "{status}");
    let mut client = RawClient::open(server.ws, "/");
    server.terminate();
    assert_eq!(manager.hear("STOPPING=1"), "STOPPING=1\nEXTEND_TIMEOUT_USEC=17000000");
    assert!(manager.hear("STATUS=").starts_with("STATUS=draining: "));
    client.expect_close(1001, "drain");
    assert_eq!(server.exit(SOON).code(), Some(0));
}

/// Also when nothing came of it: the manager waits for the "ready" that ends a reload.
#[test]
fn a_reload_is_told_and_ended_by_ready_whatever_came_of_it() {
    let (manager, file) = (Manager::new("reload"), File::new(""));
    let mut server = manager.start(4_000_000, &hang_file("none"), &["--config", file.path()]);
    manager.hear("READY=1");
    for text in ["[server]\ndrain_timeout_ms = 9_000", "[server]\nno_such_key = 1"] {
        file.write(text);
        server.signal(Signal::SIGHUP);
        manager.hear("RELOADING=1\nMONOTONIC_USEC=");
        manager.hear("READY=1");
    }
    server.terminate();
    // By the new value, and some time to spare.
    assert_eq!(manager.hear("STOPPING=1"), "STOPPING=1\nEXTEND_TIMEOUT_USEC=19000000");
    assert_eq!(server.exit(SOON).code(), Some(0));
}

/// The control plane is alive, and so is the other shard: the watchdog starves all the same.
#[test]
fn a_shard_that_hangs_starves_the_watchdog_until_it_goes_on() {
    let (manager, hang) = (Manager::new("hang"), hang_file("one"));
    let server = manager.start(2_000_000, &hang, &["--shards", "2"]);
    manager.hear("WATCHDOG=1");
    std::fs::write(&hang, "").expect("written");
    let mut last = server.metric("ringwire_shard_turns_total", &[("shard", "0")]);
    let is_hanging = poll(SOON, || {
        thread::sleep(Duration::from_millis(1_500));
        let now = server.metric("ringwire_shard_turns_total", &[("shard", "0")]);
        (std::mem::replace(&mut last, now) == now).then_some(())
    });
    assert!(is_hanging.is_some(), "it goes on turning");
    // What was said before is still to be read, and one last time may have been due.
    manager.forget();
    let deadline = Deadline::after(Duration::from_secs(4));
    while let Some(left) = deadline.left() {
        let word = manager.next(left).unwrap_or_default();
        assert_ne!(word, "WATCHDOG=1", "fed while a shard hangs");
    }
    std::fs::remove_file(&hang).expect("removed");
    manager.hear("WATCHDOG=1");
    server.stop();
}

/// A command that listens on what it is given, run twice by a manager that keeps the socket.
struct Activated {
    process: Process,
    addr: SocketAddr,
}

impl Activated {
    fn start(flags: &[&str]) -> Activated {
        let server = command("echo");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/activate.py");
        let mut manager = Command::new("python3");
        manager.arg(script).arg("2").arg(server.get_program()).args(server.get_args());
        manager.args(["--admin", "none"]).args(flags);
        for (name, value) in server.get_envs() {
            match value {
                Some(value) => manager.env(name, value),
                None => manager.env_remove(name),
            };
        }
        let process = Process::spawn("activate.py", &mut manager);
        let port = process.line(SOON).strip_prefix("port ").map(str::parse).expect("a port");
        let addr = SocketAddr::from(([127, 0, 0, 1], port.expect("a number")));
        Activated { process, addr }
    }

    /// Waits until the command serves and gives its process.
    fn up(&self) -> Pid {
        let pid = self.process.line(SOON);
        let pid = pid.strip_prefix("pid ").unwrap_or_else(|| panic!("{pid}"));
        let listening = self.process.error_line("ringwire: listening on ws://", SOON);
        assert_eq!(listening, self.addr.to_string());
        self.process.error_line("ringwire: ready", SOON);
        Pid::from_raw(pid.parse().expect("a number"))
    }

    fn exited(&self) {
        assert_eq!(self.process.line(SOON), "exit 0");
    }
}

/// Clients that come at a steady rate, whoever still waits (`tests/systemd/trickle.py`).
struct Trickle {
    process: Process,
    stop: PathBuf,
}

impl Trickle {
    fn start(addr: SocketAddr, per_s: u64) -> Trickle {
        let stop = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("trickle-{}-stop", std::process::id()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systemd/trickle.py");
        let mut command = Command::new("python3");
        command.arg(script).args(["--at", &addr.to_string(), &per_s.to_string()]).arg(&stop);
        Trickle { process: Process::spawn("trickle.py", &mut command), stop }
    }

    /// Waits until so many more are in than now.
    fn more(&self, count: u64) {
        while self.process.try_line(Duration::ZERO).is_some() {}
        let next = || {
            let line = self.process.line(SOON);
            let number = line.split(' ').next().map(str::parse::<u64>);
            number.and_then(Result::ok).unwrap_or_else(|| panic!("{line}"))
        };
        let goal = next() + count;
        while next() < goal {}
    }

    /// Nobody comes any more, and none of all that came was refused.
    fn end(mut self) {
        std::fs::write(&self.stop, "").expect("written");
        self.process.succeed(SOON);
        let mut last = String::new();
        while let Some(line) = self.process.try_line(SOON) {
            last = line;
        }
        println!("{last}");
    }
}

impl Drop for Trickle {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.stop);
    }
}

/// Clients come all the time; some stay and have to be drained. `RINGWIRE_TRICKLE_PER_S` is how
/// many come.
#[test]
fn a_restart_on_an_inherited_socket_refuses_nobody() {
    let mut manager = Activated::start(&["--shards", "3"]);
    let first = manager.up();
    let mut staying: Vec<RawClient> = (0..50).map(|_| RawClient::open(manager.addr, "/")).collect();
    let per_s = number_from_env("RINGWIRE_TRICKLE_PER_S", 200);
    let trickle = Trickle::start(manager.addr, per_s);
    trickle.more(per_s / 2);
    kill(first, Signal::SIGTERM).expect("it runs");
    for client in &mut staying {
        client.expect_close(1001, "restart");
    }
    manager.exited();
    let second = manager.up();
    assert_ne!(first, second);
    trickle.more(per_s / 2);
    trickle.end();
    kill(second, Signal::SIGTERM).expect("it runs");
    manager.exited();
    manager.process.succeed(SOON);
}
