//! Counters: a plain array in each shard, and a board of atomics that others may read.
//!
//! Invariants: C1: a row of the board has one writer, its shard; C2: what [`Board::publish`] has
//! stored equals the shard's array at that moment; C3: neither ever waits. Values of one row may be
//! read from two turns: each is exact, together they are not a snapshot.

use super::catalog::Metric;
use super::timings::{BUCKETS, Bucket, PublishedTimings, ShardTimings, Timing};
use crate::base::ShardId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const WORDS: usize = Metric::COUNT.div_ceil(64);

/// The counters of one shard, in its own memory.
#[derive(Debug, Clone)]
pub struct ShardCounters {
    values: [u64; Metric::COUNT],
    /// One bit for each value that changed since it was published.
    dirty: [u64; WORDS],
    timings: ShardTimings,
}

/// One shard's values for others to read. Aligned so that two shards never write to one cache
/// line, nor to the pair of lines that the prefetcher takes together.
#[derive(Debug)]
#[repr(align(128))]
struct Published {
    values: [AtomicU64; Metric::COUNT],
    timings: PublishedTimings,
}

/// The published counters of all shards.
#[derive(Debug)]
pub struct Board {
    shards: Box<[Published]>,
}

impl Default for ShardCounters {
    fn default() -> Self {
        ShardCounters {
            values: [0; Metric::COUNT],
            dirty: [0; WORDS],
            timings: ShardTimings::default(),
        }
    }
}

impl ShardCounters {
    /// All zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts `amount` more.
    #[inline]
    pub fn add(&mut self, metric: Metric, amount: u64) {
        self.set(metric, self.get(metric).wrapping_add(amount));
    }

    /// Counts one more.
    #[inline]
    pub fn inc(&mut self, metric: Metric) {
        self.add(metric, 1);
    }

    /// Gives a gauge its present value.
    #[inline]
    pub fn set(&mut self, metric: Metric, value: u64) {
        let index = metric.index();
        self.values[index] = value;
        self.dirty[index / 64] |= 1 << (index % 64);
    }

    /// Counts something that took so many microseconds.
    #[inline]
    pub fn observe(&mut self, timing: Timing, us: u64) {
        self.timings.observe(timing, us);
    }

    /// The present value.
    #[inline]
    pub fn get(&self, metric: Metric) -> u64 {
        self.values[metric.index()]
    }
}

impl Board {
    /// A board of zeros for `shards` shards.
    pub fn new(shards: u16) -> Arc<Board> {
        let row = |_| Published {
            values: std::array::from_fn(|_| AtomicU64::new(0)),
            timings: PublishedTimings::new(),
        };
        Arc::new(Board { shards: (0..shards).map(row).collect() })
    }

    /// How many shards publish here.
    pub fn shards(&self) -> u16 {
        self.shards.len() as u16
    }

    /// Stores what has changed in the shard's counters since the last call. Only the shard itself
    /// may call this for its row, once per turn.
    pub fn publish(&self, shard: ShardId, counters: &mut ShardCounters) {
        let Published { values: row, timings } = &self.shards[shard.index()];
        for (word, dirty) in counters.dirty.iter_mut().enumerate() {
            while *dirty != 0 {
                let index = word * 64 + dirty.trailing_zeros() as usize;
                row[index].store(counters.values[index], Relaxed);
                *dirty &= *dirty - 1;
            }
        }
        timings.publish(&mut counters.timings);
    }

    /// The sum over all shards.
    pub fn total(&self, metric: Metric) -> u64 {
        self.per_shard(metric).fold(0, u64::wrapping_add)
    }

    /// The buckets of a timing, summed over all shards.
    pub fn timing(&self, timing: Timing) -> [Bucket; BUCKETS] {
        let mut sums = [Bucket::default(); BUCKETS];
        for row in &self.shards {
            for (sum, bucket) in sums.iter_mut().zip(row.timings.read(timing)) {
                sum.count += bucket.count;
                sum.sum_us += bucket.sum_us;
            }
        }
        sums
    }

    /// The value of each shard, in the order of their numbers.
    pub fn per_shard(&self, metric: Metric) -> impl Iterator<Item = u64> + '_ {
        self.shards.iter().map(move |row| row.values[metric.index()].load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_do_not_share_cache_lines() {
        assert_eq!(size_of::<Published>() % 128, 0);
        assert_eq!(align_of::<Published>(), 128);
    }

    #[test]
    fn only_what_changed_is_stored() {
        let board = Board::new(1);
        let mut counters = ShardCounters::new();
        counters.inc(Metric::Turns);
        board.publish(ShardId(0), &mut counters);
        board.shards[0].values[Metric::Turns.index()].store(77, Relaxed);
        counters.inc(Metric::PongsSent);
        board.publish(ShardId(0), &mut counters);
        assert_eq!(board.total(Metric::Turns), 77, "unchanged, so not stored again");
        assert_eq!(board.total(Metric::PongsSent), 1);
    }

    #[test]
    fn readers_on_other_threads_see_a_counter_only_grow() {
        let board = Board::new(2);
        std::thread::scope(|scope| {
            for shard in 0..2 {
                let board = &board;
                scope.spawn(move || {
                    let mut counters = ShardCounters::new();
                    for _ in 0..10_000 {
                        counters.inc(Metric::Turns);
                        board.publish(ShardId(shard), &mut counters);
                    }
                });
            }
            let mut last = 0;
            while last < 20_000 {
                let now = board.total(Metric::Turns);
                assert!(now >= last);
                last = now;
            }
        });
    }

    proptest! {
        #[test]
        fn the_board_equals_the_sum_of_what_was_counted(
            steps in prop::collection::vec(
                (0u16..3, 0..Metric::COUNT, 0u64..9, any::<bool>()), 0..200
            )
        ) {
            let board = Board::new(3);
            let mut shards = std::array::from_fn::<_, 3, _>(|_| ShardCounters::new());
            let mut model = vec![[0u64; 3]; Metric::COUNT];
            for (shard, index, amount, publish) in steps {
                shards[usize::from(shard)].add(Metric::ALL[index], amount);
                model[index][usize::from(shard)] += amount;
                if publish {
                    board.publish(ShardId(shard), &mut shards[usize::from(shard)]);
                }
            }
            for (shard, counters) in shards.iter_mut().enumerate() {
                board.publish(ShardId(shard as u16), counters);
            }
            for metric in Metric::ALL {
                let per_shard: Vec<u64> = board.per_shard(*metric).collect();
                prop_assert_eq!(&per_shard[..], &model[metric.index()][..]);
                prop_assert_eq!(board.total(*metric), model[metric.index()].iter().sum::<u64>());
            }
        }
    }
}
