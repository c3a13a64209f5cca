//! Ctrl-C on a command that has something to say when it ends.
//!
//! No handler: the signals are blocked in every thread, and one thread waits for them. After the
//! first it unblocks them again for itself, so that the second ends the process as usual.

use std::io;
use std::thread::Builder;

use nix::sys::signal::{SigSet, Signal};

use crate::bench::Stop;

/// Sets `stop` at the first SIGINT or SIGTERM. To be called before any other thread is started.
pub(super) fn on_interrupt(stop: &Stop) -> io::Result<()> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    let stop = stop.clone();
    Builder::new().name("interrupt".into()).spawn(move || {
        // Waiting fails only for numbers that are no signals.
        if signals.wait().is_ok() {
            stop.set();
            // The only thing to say that to is the run, and it has been told already.
            let _ = signals.thread_unblock();
            loop {
                std::thread::park();
            }
        }
    })?;
    Ok(())
}
