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
    // It restores the terminal before a panic is told, too.
    let mut terminal = ratatui::try_init()?;
    let scene = Scene { overview: first, place, interval, lost: None };
    let outcome = show(&mut terminal, scene, &answers, &stop);
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
