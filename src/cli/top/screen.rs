//! The terminal as long as `top` has it: keys, looks at the server, and its return to what it was.
//!
//! Invariant: however this ends (a key, a signal, an error, a panic), the terminal is given back as
//! it was found.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::asker::{AskError, Asker};
use super::overview::Overview;
use super::view::{self, Scene};
use crate::bench::Stop;
use crate::cli::interrupt::on_interrupt;

/// How long a key may wait.
const LOOK: Duration = Duration::from_millis(100);

type Answer = Result<Overview, AskError>;

/// Shows the server until somebody has seen enough.
pub(super) fn run(asker: Asker, first: Overview, interval: Duration) -> io::Result<()> {
    let stop = Stop::default();
    on_interrupt(&stop)?;
    let place = asker.place();
    let answers = watch(asker, interval)?;
    let scene = Scene { overview: first, place, interval, lost: None };
    with_terminal(|terminal| show(terminal, scene, &answers, &stop))
}

/// Takes the terminal for as long as `work` goes on. A panic is told after it was given back, which
/// is for `try_init` to see to.
fn with_terminal(work: impl FnOnce(&mut DefaultTerminal) -> io::Result<()>) -> io::Result<()> {
    let outcome = ratatui::try_init().and_then(|mut terminal| work(&mut terminal));
    ratatui::try_restore().and(outcome)
}

/// Asks again and again, on a thread of its own: a slow server must not keep keys waiting.
fn watch(asker: Asker, interval: Duration) -> io::Result<Receiver<Answer>> {
    let (sender, answers) = sync_channel(1);
    Builder::new().name("asker".into()).spawn(move || {
        loop {
            std::thread::sleep(interval);
            if sender.send(asker.ask()).is_err() {
                return;
            }
        }
    })?;
    Ok(answers)
}

fn show(
    terminal: &mut DefaultTerminal,
    mut scene: Scene,
    answers: &Receiver<Answer>,
    stop: &Stop,
) -> io::Result<()> {
    terminal.draw(|frame| view::draw(frame, &scene))?;
    while !stop.is_set() {
        let mut has_changed = false;
        if event::poll(LOOK)? {
            match event::read()? {
                Event::Key(key) if ends(key) => return Ok(()),
                Event::Resize(..) => has_changed = true,
                Event::Key(_) | Event::Mouse(_) | Event::Paste(_) => {}
                Event::FocusGained | Event::FocusLost => {}
            }
        }
        match answers.try_recv() {
            Ok(answer) => {
                scene.take(answer.map_err(|error| error.to_string()), Instant::now());
                has_changed = true;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                return Err(io::Error::other("nobody asks any more"));
            }
        }
        if has_changed {
            terminal.draw(|frame| view::draw(frame, &scene))?;
        }
    }
    Ok(())
}

fn ends(key: KeyEvent) -> bool {
    if key.kind == KeyEventKind::Release {
        return false;
    }
    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL;
    is_interrupt || key.code == KeyCode::Esc || key.code == KeyCode::Char('q')
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::num::NonZero;
    use std::process::{Command, Stdio};

    use nix::pty::{Winsize, openpty};
    use nix::sys::termios::tcgetattr;

    use super::*;

    /// Says that this process is the one in the pseudo-terminal.
    const CHILD: &str = "RINGWIRE_TEST_SCREEN_CHILD";
    const NAME: &str = "cli::top::screen::tests::a_panic_is_told_on_a_terminal_that_is_as_it_was";

    #[test]
    fn a_panic_is_told_on_a_terminal_that_is_as_it_was() {
        if std::env::var_os(CHILD).is_some() {
            let drawn = with_terminal(|terminal| {
                terminal.draw(|frame| frame.render_widget("figures", frame.area()))?;
                panic!("something that must not happen");
            });
            unreachable!("{drawn:?}");
        }
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a pseudo-terminal");
        let before = tcgetattr(&pty.slave).expect("modes");
        let side = || Stdio::from(pty.slave.try_clone().expect("cloned"));
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args([NAME, "--exact", "--nocapture"]).env(CHILD, "1").env("TERM", "xterm");
        // It would not fit on the screen with the message.
        command.env("RUST_BACKTRACE", "0");
        command.stdin(side()).stdout(side()).stderr(side());
        let mut child = command.spawn().expect("started");
        drop(command);
        let mut source = File::from(pty.master);
        let reader = std::thread::spawn(move || {
            let mut octets = Vec::new();
            // It ends with an error once nobody has the other side any more.
            let _ = source.read_to_end(&mut octets);
            octets
        });
        assert!(!child.wait().expect("our own child").success());
        let after = tcgetattr(&pty.slave).expect("modes");
        drop(pty.slave);
        let octets = reader.join().expect("read");
        assert_eq!(after, before, "echo, lines, signals");
        let cells = |count| NonZero::new(count).expect("some");
        let mut screen = vt100::Parser::new(cells(24), cells(80), 0);
        let mut was_taken = false;
        for octet in octets {
            screen.process(&[octet]);
            was_taken |= screen.screen().alternate_screen();
        }
        let screen = screen.screen();
        assert!(was_taken && !screen.alternate_screen() && !screen.hide_cursor());
        let seen = screen.contents();
        assert!(seen.contains("something that must not happen"), "{seen}");
        assert!(!seen.contains("figures"), "{seen}");
    }
}
