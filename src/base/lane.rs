//! Lanes between threads: a bounded lock-free queue per direction, and the signal that wakes its
//! reader.
//!
//! The queue is `rtrb`. What is ours is the [`Signal`]: a bitmap of lanes with news, and whether
//! the reader may be asleep, so that a writer rings the doorbell at most once, and only then.
//!
//! Invariant L1 (no lost wake-up): a writer sets its bit and then looks at `asleep`; a reader sets
//! `asleep` and then looks at the bits. Both sides use `SeqCst`, so at least one sees the other.

use super::sync::{AtomicBool, AtomicU64, Ordering::SeqCst};

pub use rtrb::{Consumer, Producer, PushError, RingBuffer};

const WORD_BITS: usize = 64;

/// What one reader is told by all the writers of its lanes.
#[repr(align(128))]
pub struct Signal {
    pending: Box<[AtomicU64]>,
    asleep: AtomicBool,
}

impl Signal {
    /// A signal for lanes from `writers` writers. The reader counts as awake.
    pub fn new(writers: usize) -> Self {
        let words = writers.div_ceil(WORD_BITS);
        Signal {
            pending: (0..words).map(|_| AtomicU64::new(0)).collect(),
            asleep: AtomicBool::new(false),
        }
    }

    /// Writer: there is news from `writer`. True when its doorbell has to be rung.
    #[must_use]
    pub fn raise(&self, writer: usize) -> bool {
        self.pending[writer / WORD_BITS].fetch_or(1 << (writer % WORD_BITS), SeqCst);
        self.asleep.load(SeqCst) && self.asleep.swap(false, SeqCst)
    }

    /// Writer: the doorbell could not be rung; whoever comes next has to.
    pub fn wake_failed(&self) {
        self.asleep.store(true, SeqCst);
    }

    /// Reader: about to sleep. False when there is news, and then it must not.
    #[must_use]
    pub fn may_sleep(&self) -> bool {
        self.asleep.store(true, SeqCst);
        let quiet = self.pending.iter().all(|word| word.load(SeqCst) == 0);
        if !quiet {
            self.asleep.store(false, SeqCst);
        }
        quiet
    }

    /// Reader: awake again.
    pub fn awake(&self) {
        self.asleep.store(false, SeqCst);
    }

    /// Reader: takes the writers with news, as a bitmap that is added to `ready`.
    pub fn take(&self, ready: &mut [u64]) {
        for (word, pending) in ready.iter_mut().zip(&self.pending) {
            if pending.load(SeqCst) != 0 {
                *word |= pending.swap(0, SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_sleeper_is_rung_once_and_an_awake_reader_never() {
        let signal = Signal::new(130);
        assert!(!signal.raise(0));
        assert!(!signal.may_sleep());
        let mut ready = [0; 3];
        signal.take(&mut ready);
        assert_eq!(ready, [1, 0, 0]);
        assert!(signal.may_sleep());
        assert!(signal.raise(129));
        assert!(!signal.raise(1));
        signal.take(&mut ready);
        assert_eq!(ready, [3, 0, 2]);
    }

    #[test]
    fn no_wake_up_is_lost_between_two_threads() {
        const MESSAGES: u32 = if cfg!(miri) { 200 } else { 100_000 };
        let signal = Arc::new(Signal::new(1));
        let (mut sender, mut receiver) = RingBuffer::new(64);
        let (bell, rung) = std::sync::mpsc::channel();
        let writer = {
            let signal = Arc::clone(&signal);
            std::thread::spawn(move || {
                for message in 0..MESSAGES {
                    while sender.push(message).is_err() {
                        std::thread::yield_now();
                    }
                    if signal.raise(0) {
                        bell.send(()).expect("the reader is there");
                    }
                }
            })
        };
        let mut next = 0;
        while next < MESSAGES {
            let mut ready = [0];
            signal.take(&mut ready);
            while let Ok(message) = receiver.pop() {
                assert_eq!(message, next);
                next += 1;
            }
            if next < MESSAGES && signal.may_sleep() {
                // A lost wake-up would hang here: the deadline turns it into a failure.
                rung.recv_timeout(std::time::Duration::from_secs(20)).expect("woken");
                signal.awake();
            }
        }
        writer.join().expect("the writer ended well");
    }
}
