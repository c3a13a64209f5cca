//! How many connections the process has, and in a drain how many shards still have some: what
//! shards share beside lanes.
//!
//! Invariants: A1 nobody is let in while as many are in as may be. A place that is given back may
//! be missed by who asks at that moment, for the sake of somebody who is just being refused. A2 a
//! shard departs once, and none ends before all have departed: it is the home of topics that others
//! use.

use std::sync::Arc;

use crate::base::sync::AtomicUsize;
use crate::base::sync::Ordering::{AcqRel, Acquire, Relaxed};

/// Connections are counted here when they open and close, because SO_REUSEPORT spreads unevenly and
/// a limit for each shard alone would refuse long before the limit of all is reached.
#[derive(Debug)]
pub struct Admission {
    open: AtomicUsize,
    max: AtomicUsize,
    staying: AtomicUsize,
}

impl Admission {
    /// For at most `max` connections of so many shards.
    pub fn new(max: usize, shards: usize) -> Arc<Self> {
        let (open, staying) = (AtomicUsize::new(0), AtomicUsize::new(shards));
        Arc::new(Admission { open, max: AtomicUsize::new(max), staying })
    }

    /// For at most `max` from now on. Who is there stays, even when that is more.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Relaxed);
    }

    /// A shard has no connection left, and takes none. True when it was the last.
    pub fn depart(&self) -> bool {
        let before = self.staying.fetch_sub(1, AcqRel);
        assert!(before > 0, "A2: each shard departs once");
        before == 1
    }

    /// True when no shard has a connection left.
    pub fn have_all_departed(&self) -> bool {
        self.staying.load(Acquire) == 0
    }

    /// Takes a place, if there is one.
    pub fn enter(&self) -> bool {
        let fits = self.open.fetch_add(1, Relaxed) < self.max.load(Relaxed);
        if !fits {
            self.open.fetch_sub(1, Relaxed);
        }
        fits
    }

    /// How many there are.
    #[cfg(any(test, feature = "sim"))]
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Gives a place back.
    pub fn leave(&self) {
        let before = self.open.fetch_sub(1, Relaxed);
        assert!(before > 0, "only what has entered leaves");
    }
}
