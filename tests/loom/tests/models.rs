//! Every order of steps that the memory model allows, up to a bound of preemptions.
//!
//! `LOOM_MAX_PREEMPTIONS` tries more of them; without a bound the models take hours.

use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use loom::thread;
use ringwire_loom::admission::Admission;
use ringwire_loom::lane::Signal;

/// Enough for every pair of threads to interrupt each other twice.
const PREEMPTIONS: usize = 4;
/// Reader's turns before a model gives up on it: what it does then is another run.
const TURNS: usize = 2;

fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

/// Lanes to one reader: how many messages each writer has written, without any order of their own,
/// so that what is seen of them is seen for the sake of the signal.
struct Lanes {
    signal: Signal,
    written: [AtomicUsize; 2],
    bell: AtomicBool,
    rung: AtomicUsize,
}

impl Lanes {
    fn new() -> Arc<Self> {
        Arc::new(Lanes {
            signal: Signal::new(2),
            written: [AtomicUsize::new(0), AtomicUsize::new(0)],
            bell: AtomicBool::new(false),
            rung: AtomicUsize::new(0),
        })
    }

    /// A writer's turn: first the message, then the signal (M3 of the mailbox).
    fn write(&self, writer: usize) {
        self.written[writer].store(self.written[writer].load(Relaxed) + 1, Relaxed);
        if self.signal.raise(writer) {
            self.ring();
        }
    }

    fn ring(&self) {
        self.rung.fetch_add(1, Relaxed);
        self.bell.swap(true, Relaxed);
    }
}

/// What a reader has done.
#[derive(Default)]
struct Read {
    seen: [usize; 2],
    /// How often it was about to sleep.
    naps: usize,
    is_asleep: bool,
}

/// A reader's turns. The bell stays rung until it is heard, as a completion of the ring does.
fn read(lanes: &Lanes) -> Read {
    let mut read = Read::default();
    for _ in 0..TURNS {
        let mut ready = [0];
        lanes.signal.take(&mut ready);
        for writer in 0..2 {
            if ready[0] >> writer & 1 == 1 {
                read.seen[writer] = lanes.written[writer].load(Relaxed);
                assert!(read.seen[writer] > 0, "news comes after its message");
            }
        }
        read.naps += 1;
        if !lanes.signal.may_sleep() {
            continue;
        }
        if !lanes.bell.swap(false, Relaxed) {
            read.is_asleep = true;
            return read;
        }
        lanes.signal.awake();
    }
    read
}

/// L1: who sleeps with something unread has been rung for, and nobody more often than he wanted.
fn check(lanes: &Lanes, read: &Read) {
    let written = [0, 1].map(|writer| lanes.written[writer].load(Relaxed));
    if read.is_asleep && written != read.seen {
        assert!(lanes.bell.load(Relaxed), "a lost wake-up: {written:?} and {:?}", read.seen);
    }
    assert!(lanes.rung.load(Relaxed) <= read.naps, "rung more often than it slept");
}

#[test]
fn no_wake_up_of_one_writer_is_lost() {
    explore(PREEMPTIONS, || {
        let lanes = Lanes::new();
        let writer = thread::spawn({
            let lanes = Arc::clone(&lanes);
            move || (0..2).for_each(|_| lanes.write(0))
        });
        let read = read(&lanes);
        writer.join().expect("the writer ends well");
        check(&lanes, &read);
    });
}

#[test]
fn no_wake_up_of_two_writers_is_lost_and_a_sleeper_is_rung_once() {
    explore(PREEMPTIONS - 1, || {
        let lanes = Lanes::new();
        let writers = [0, 1].map(|writer| {
            let lanes = Arc::clone(&lanes);
            thread::spawn(move || lanes.write(writer))
        });
        let read = read(&lanes);
        for writer in writers {
            writer.join().expect("the writer ends well");
        }
        check(&lanes, &read);
    });
}

#[test]
fn after_a_bell_that_failed_the_next_writer_rings() {
    explore(PREEMPTIONS, || {
        let lanes = Lanes::new();
        let unlucky = thread::spawn({
            let lanes = Arc::clone(&lanes);
            move || {
                lanes.written[0].store(1, Relaxed);
                if lanes.signal.raise(0) {
                    lanes.signal.wake_failed();
                }
            }
        });
        let read = read(&lanes);
        unlucky.join().expect("the writer ends well");
        lanes.write(1);
        check(&lanes, &read);
    });
}

/// A1, and that no place is lost.
#[test]
fn no_more_are_in_than_may_be() {
    explore(PREEMPTIONS, || {
        let admission = Admission::new(1, 1);
        let inside = Arc::new(AtomicUsize::new(0));
        let shards = [0, 1].map(|_| {
            let (admission, inside) = (std::sync::Arc::clone(&admission), Arc::clone(&inside));
            thread::spawn(move || {
                if admission.enter() {
                    assert_eq!(inside.fetch_add(1, Relaxed), 0, "one more than may be");
                    inside.fetch_sub(1, Relaxed);
                    admission.leave();
                }
            })
        });
        for shard in shards {
            shard.join().expect("the shard ends well");
        }
        assert!(admission.enter(), "all have left");
        assert!(!admission.enter());
    });
}
