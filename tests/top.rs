//! `ringwire top` in a pseudo-terminal, read by a terminal emulator that is not ours.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use common::{Figure, JsonClient, Process, SOON, Server, command, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::{Pid, ttyname};
use serde_json::Value;

/// Rates are means of ten seconds.
const STEADY: Duration = Duration::from_secs(60);

/// `ringwire top` and the terminal that it runs in.
struct Terminal {
    child: Child,
    keys: File,
    /// Our own hold on the terminal's other side: what is set there is seen as `top` leaves it.
    side: OwnedFd,
    octets: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Terminal {
    fn start(admin: &str, columns: u16, lines: u16) -> Terminal {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a pseudo-terminal");
        let side = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("cloned"));
        let mut command = command("top");
        command.args(["--admin", admin, "--interval-ms", "200"]).env("TERM", "xterm-256color");
        command.stdin(side(&pty.slave)).stdout(side(&pty.slave)).stderr(side(&pty.slave));
        let child = command.spawn().expect("started");
        let mut source = File::from(pty.master.try_clone().expect("cloned"));
        let (sender, octets) = channel();
        thread::spawn(move || {
            let mut some = [0; 8192];
            while let Ok(read @ 1..) = source.read(&mut some) {
                if sender.send(some[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = vt100::Parser::new(side_of(lines), side_of(columns), 0);
        Terminal { child, keys: File::from(pty.master), side: pty.slave, octets, screen }
    }

    /// What stands there now.
    fn look(&mut self) -> String {
        while let Ok(octets) = self.octets.try_recv() {
            self.screen.process(&octets);
        }
        self.screen.screen().contents()
    }

    /// Looks until something is as it should be.
    fn until<T>(&mut self, limit: Duration, mut seen: impl FnMut(&str) -> Option<T>) -> T {
        let mut last = String::new();
        let found = poll(limit, || {
            last = self.look();
            seen(&last)
        });
        found.unwrap_or_else(|| panic!("not seen; the terminal shows\n{last}"))
    }

    fn resize(&mut self, columns: u16, lines: u16) {
        self.screen.screen_mut().set_size(side_of(lines), side_of(columns));
        let size = [("cols", columns), ("rows", lines)].map(|(n, v)| [n.to_owned(), v.to_string()]);
        let mut stty = Command::new("stty");
        stty.arg("-F").arg(ttyname(&self.side).expect("its name")).args(size.as_flattened());
        assert!(stty.status().expect("stty").success());
        // It is not the terminal's own session, so that nobody else tells it.
        self.signal(Signal::SIGWINCH);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a process id"));
        kill(pid, signal).expect("it is there");
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).expect("pressed");
    }

    /// How it ends, and that the terminal is as it was: its own screen, echo, a cursor.
    fn ends(&mut self) -> ExitStatus {
        let ended = poll(SOON, || self.child.try_wait().expect("our own child"));
        let status = ended.unwrap_or_else(|| panic!("it goes on:\n{}", self.look()));
        poll(SOON, || {
            self.look();
            (!self.screen.screen().alternate_screen()).then_some(())
        })
        .expect("the screen of before");
        assert!(!self.screen.screen().hide_cursor(), "the cursor is hidden");
        let modes = tcgetattr(&self.side).expect("modes").local_flags;
        assert!(modes.contains(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG));
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn side_of(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).expect("some")
}

fn load(server: &Server) -> Process {
    let mut command = command("bench");
    command.args(["fanout", "--publishers", "4", "--subscribers", "20", "--rate", "50", "--quiet"]);
    command.args(["--duration", "10m", &server.url()]);
    Process::spawn("ringwire bench", &mut command)
}

/// The text in the box below a title, without the frame.
fn below(screen: &str, title: &str, lines: usize) -> Option<String> {
    let rows: Vec<Vec<char>> = screen.lines().map(|line| line.chars().collect()).collect();
    let wanted: Vec<char> = format!(" {title} ").chars().collect();
    let (row, column) = rows.iter().enumerate().find_map(|(row, chars)| {
        let column = chars.windows(wanted.len()).position(|some| some == wanted)?;
        Some((row, column))
    })?;
    let line = rows.get(row + lines)?.get(column..)?;
    let text: String = line.iter().take_while(|c| **c != '│').collect();
    Some(text.trim().to_owned())
}

/// True when every figure on the screen is what the API says, rates within a tenth.
fn agrees(screen: &str, overview: &Value) -> bool {
    let status = &overview["status"];
    let figure = |title, line| below(screen, title, line).map(|text| Figure::read(&text));
    let is = |title, number: &Value| {
        figure(title, 1).zip(number.as_f64()).is_some_and(|(figure, number)| figure.is(number))
    };
    let is_near = |title, number: &Value| {
        let near = |(figure, number): (Figure, f64)| {
            number > 0.0 && (figure.value - number).abs() <= number / 10.0
        };
        figure(title, 1).zip(number.as_f64()).is_some_and(near)
    };
    let rates = &status["rates"];
    is("Connections", &status["connections"]["open"])
        && is_near("Messages in", &rates["messages_received_per_second"])
        && is_near("Deliveries", &rates["deliveries_per_second"])
}

#[test]
fn at_two_sizes_it_shows_what_the_api_says_until_q() {
    let server = Server::serve(&["--shards", "2"]);
    let _load = load(&server);
    let mut client = JsonClient::open(server.ws);
    client.subscribe("chat:of-one");
    drop(JsonClient::open(server.ws));
    server.await_metric("ringwire_connections_closed_total", &[], 1.0, SOON);
    let mut terminal = Terminal::start(&server.admin.to_string(), 80, 24);
    let overview = || server.get("/v1/overview").json();
    terminal.until(STEADY, |screen| agrees(screen, &overview()).then_some(()));
    let small = terminal.look();
    for part in ["● ready", "Shards: 2", "Busiest of ", "1006 gone without", "q quits"] {
        assert!(small.contains(part), "{part} in\n{small}");
    }
    assert_eq!(small.lines().count(), 24, "{small}");
    terminal.resize(140, 40);
    terminal.until(STEADY, |screen| {
        let is_large = screen.lines().count() == 40 && screen.contains("chat:of-one");
        (is_large && agrees(screen, &overview())).then_some(())
    });
    terminal.press(b"q");
    assert!(terminal.ends().success());
    server.stop();
}

#[test]
fn it_says_that_the_server_has_gone_and_ends_by_keys_and_by_signals() {
    let server = Server::serve(&[]);
    let admin = server.admin.to_string();
    let mut one = Terminal::start(&format!("http://{admin}"), 80, 24);
    let mut other = Terminal::start(&admin, 100, 30);
    let mut third = Terminal::start(&admin, 60, 10);
    for terminal in [&mut one, &mut other, &mut third] {
        terminal.until(SOON, |screen| screen.contains("● ready").then_some(()));
    }
    third.signal(Signal::SIGTERM);
    assert!(third.ends().success());
    server.stop();
    one.until(SOON, |screen| screen.contains("cannot reach the admin").then_some(()));
    let next = Server::serve(&["--admin", &admin]);
    one.until(SOON, |screen| screen.contains("● ready").then_some(()));
    one.press(b"\x03");
    assert!(one.ends().success(), "Ctrl-C");
    other.press(b"\x1b");
    assert!(other.ends().success(), "Esc");
    next.stop();
}

#[test]
fn once_needs_no_terminal_and_the_live_view_does() {
    let server = Server::serve(&[]);
    let admin = server.admin.to_string();
    let output = command("top").args(["--once", "--admin", &admin]).output().expect("run");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success());
    assert!(
        text.contains(": ready, up ") && text.contains("connections         0 of 256"),
        "{text}"
    );
    let output = command("top").args(["--admin", &admin]).output().expect("run");
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("standard output is no terminal; --once"), "{error}");
    server.stop();
}
