//! Holds publishers back until their subscribers have caught up, so that a test decides who is
//! slow; and ends all threads of a test when one of them fails.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;

use super::SOON;

/// See the module's header.
pub(crate) struct Gate {
    state: Mutex<State>,
    moved: Condvar,
    window: u64,
}

struct State {
    let_in: u64,
    /// By reader: everything up to here has come.
    seen: Vec<u64>,
    is_broken: bool,
}

/// Breaks the gate when the thread that holds it panics.
pub(crate) struct Alarm<'a>(&'a Gate);

impl Gate {
    /// For so many readers, of which none may be more than `window` messages behind.
    pub(crate) fn new(readers: usize, window: u64) -> Gate {
        let state = State { let_in: 0, seen: vec![0; readers], is_broken: false };
        Gate { state: Mutex::new(state), moved: Condvar::new(), window }
    }

    pub(crate) fn alarm(&self) -> Alarm<'_> {
        Alarm(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    fn wait_until(&self, what: &str, mut done: impl FnMut(&mut State) -> bool) {
        let mut state = self.lock();
        while !done(&mut state) {
            let before = state.seen.clone();
            let waited = self
                .moved
                .wait_timeout_while(state, SOON, |state| !state.is_broken && state.seen == before);
            let (guard, timeout) = waited.expect("nobody panics while holding it");
            state = guard;
            let (is_broken, seen) = (state.is_broken, state.seen.clone());
            if is_broken || timeout.timed_out() {
                drop(state);
                assert!(!is_broken, "another thread of the test has failed");
                panic!("no reader got further for {SOON:?}, waiting {what}: {seen:?}");
            }
        }
    }

    /// Waits until `count` more messages fit the window; counts them as published.
    pub(crate) fn enter(&self, count: u64) {
        self.wait_until("to publish", |state| {
            let slowest = state.seen.iter().min().copied().unwrap_or(state.let_in);
            let fits = state.let_in + count <= slowest + self.window;
            state.let_in += if fits { count } else { 0 };
            fits
        });
    }

    /// Messages that were let in and then refused: others may come in their place.
    pub(crate) fn give_back(&self, count: u64) {
        self.lock().let_in -= count;
        self.moved.notify_all();
    }

    /// A reader has got to here.
    pub(crate) fn saw(&self, reader: usize, upto: u64) {
        self.lock().seen[reader] = upto;
        self.moved.notify_all();
    }

    /// Waits until every reader has got to `upto`.
    pub(crate) fn await_all(&self, upto: u64) {
        let what = format!("until all have {upto}");
        self.wait_until(&what, |state| state.seen.iter().all(|seen| *seen >= upto));
    }

    /// The slowest reader has got to here; panics when another thread has failed.
    pub(crate) fn slowest(&self) -> u64 {
        let state = self.lock();
        let (is_broken, slowest) = (state.is_broken, state.seen.iter().min().copied());
        drop(state);
        assert!(!is_broken, "another thread of the test has failed");
        slowest.unwrap_or(0)
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().is_broken = true;
            self.0.moved.notify_all();
        }
    }
}
