//! How long things take, counted in buckets: plain integers like all other counters.
//!
//! Invariants: T1: a time is counted in the first bucket whose bound it does not exceed; T2: the
//! sum is exact, in microseconds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::families::{Family, timings};

/// Bounds of buckets; one more takes what is beyond the last.
const BOUNDS: usize = 13;
/// Buckets of one timing.
pub const BUCKETS: usize = BOUNDS + 1;

/// Something that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Timing {
    /// From an accept to the answer 101.
    Handshake,
    /// One turn of the event loop, without the wait for the kernel.
    Turn,
}

impl Timing {
    /// All of them, in the order of their indices.
    pub const ALL: [Timing; 2] = [Timing::Handshake, Timing::Turn];

    /// The family that shows it.
    pub fn family(self) -> &'static Family {
        match self {
            Timing::Handshake => &timings::HANDSHAKE,
            Timing::Turn => &timings::TURN,
        }
    }

    /// The bounds of its buckets in microseconds, ascending.
    pub fn bounds_us(self) -> &'static [u64; BOUNDS] {
        match self {
            Timing::Handshake => &[
                1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
                2_500_000, 5_000_000, 10_000_000,
            ],
            Timing::Turn => &[
                10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000,
            ],
        }
    }
}

const CELLS: usize = Timing::ALL.len() * BUCKETS;
const _: () = assert!(CELLS <= u32::BITS as usize, "one bit for each");

/// One bucket of one timing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// How many times fell into it.
    pub count: u64,
    /// Their sum in microseconds.
    pub sum_us: u64,
}

/// The buckets of one shard, in its own memory.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardTimings {
    cells: [Bucket; CELLS],
    /// One bit for each bucket that changed since it was published.
    dirty: u32,
}

/// The same for others to read.
#[derive(Debug)]
pub(super) struct PublishedTimings([[AtomicU64; 2]; CELLS]);

fn cell(timing: Timing, bucket: usize) -> usize {
    timing as usize * BUCKETS + bucket
}

impl ShardTimings {
    #[inline]
    pub(super) fn observe(&mut self, timing: Timing, us: u64) {
        let bucket = timing.bounds_us().partition_point(|bound| *bound < us);
        let index = cell(timing, bucket);
        self.cells[index].count += 1;
        self.cells[index].sum_us += us;
        self.dirty |= 1 << index;
    }
}

impl PublishedTimings {
    pub(super) fn new() -> Self {
        PublishedTimings(std::array::from_fn(|_| [AtomicU64::new(0), AtomicU64::new(0)]))
    }

    pub(super) fn publish(&self, shard: &mut ShardTimings) {
        while shard.dirty != 0 {
            let index = shard.dirty.trailing_zeros() as usize;
            self.0[index][0].store(shard.cells[index].count, Relaxed);
            self.0[index][1].store(shard.cells[index].sum_us, Relaxed);
            shard.dirty &= shard.dirty - 1;
        }
    }

    pub(super) fn read(&self, timing: Timing) -> [Bucket; BUCKETS] {
        std::array::from_fn(|bucket| {
            let [count, sum_us] = &self.0[cell(timing, bucket)];
            Bucket { count: count.load(Relaxed), sum_us: sum_us.load(Relaxed) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_are_in_the_order_of_their_indices_and_bounds_ascend() {
        for (index, timing) in Timing::ALL.iter().enumerate() {
            assert_eq!(*timing as usize, index);
            assert!(timing.bounds_us().is_sorted_by(|a, b| a < b), "{timing:?}");
        }
    }

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it_and_the_sum_is_exact() {
        let (mut shard, published) = (ShardTimings::default(), PublishedTimings::new());
        for us in [0, 10, 11, 1_000_000, 1_000_001, 7_000_000] {
            shard.observe(Timing::Turn, us);
        }
        shard.observe(Timing::Handshake, 999);
        published.publish(&mut shard);
        let turns = published.read(Timing::Turn);
        assert_eq!(turns[0], Bucket { count: 2, sum_us: 10 });
        assert_eq!(turns[1], Bucket { count: 1, sum_us: 11 });
        assert_eq!(turns[12], Bucket { count: 1, sum_us: 1_000_000 });
        assert_eq!(turns[13], Bucket { count: 2, sum_us: 8_000_001 });
        assert_eq!(published.read(Timing::Handshake)[0], Bucket { count: 1, sum_us: 999 });
        assert_eq!(shard.dirty, 0);
    }
}
