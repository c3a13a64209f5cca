//! How many connections the process has: the one thing that shards share beside lanes.
//!
//! Invariant A1: at no time are more in than may be. A place that is given back may be missed by
//! who asks at that moment, for the sake of somebody who is just being refused.

use std::sync::Arc;

use crate::base::sync::{AtomicUsize, Ordering::Relaxed};

/// One counter, touched when a connection opens or closes, because SO_REUSEPORT spreads unevenly
/// and a limit for each shard alone would refuse long before the limit of all is reached.
#[derive(Debug)]
pub struct Admission {
    open: AtomicUsize,
    max: usize,
}

impl Admission {
    /// For at most `max` connections.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Admission { open: AtomicUsize::new(0), max })
    }

    /// Takes a place, if there is one.
    pub fn enter(&self) -> bool {
        let fits = self.open.fetch_add(1, Relaxed) < self.max;
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
