//! Work that has left its shard: it waits, runs on a thread that may block, and comes back.
//!
//! Invariants: J1 every job that was taken gives one result, a panic included; J2 at most
//! [`JOBS_RUNNING_MAX`] run at a time; J3 the shards bound how many wait ([`JOBS_MAX`] each).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::base::ShardId;
use crate::limits::{JOBS_MAX, JOBS_RUNNING_MAX};
use crate::pubsub::envelope::{JobPanicked, JobResult, JobWork};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// See the module's header.
pub(super) struct Jobs {
    waiting: VecDeque<Job>,
    running: JoinSet<JobDone>,
    waiting_max: usize,
}

struct Job {
    from: ShardId,
    job: u32,
    work: JobWork,
}

/// A job that has ended, one way or the other.
pub(super) struct JobDone {
    /// The shard that waits for it.
    pub(super) from: ShardId,
    /// What the shard calls it.
    pub(super) job: u32,
    /// What it gave.
    pub(super) result: JobResult,
}

impl Jobs {
    /// For the jobs of `shards` shards.
    pub(super) fn new(shards: usize) -> Self {
        let waiting_max = shards * JOBS_MAX;
        Jobs { waiting: VecDeque::new(), running: JoinSet::new(), waiting_max }
    }

    /// Takes a job; it runs when there is a thread for it. Needs a runtime.
    pub(super) fn take(&mut self, from: ShardId, job: u32, work: JobWork) {
        assert!(self.waiting.len() < self.waiting_max, "J3: shards bound their jobs");
        self.waiting.push_back(Job { from, job, work });
        self.start();
    }

    /// Waits for the next job to end; `None` at once when none runs. May be dropped at any time.
    pub(super) async fn next(&mut self) -> Option<JobDone> {
        let done = self.running.join_next().await?.expect("J1: a job's panic is caught");
        self.start();
        Some(done)
    }

    /// Waits for those that run, but no longer than `grace`; gives how many still do.
    pub(super) async fn finish(mut self, grace: Duration) -> usize {
        self.waiting.clear();
        let all = async { while self.running.join_next().await.is_some() {} };
        match timeout(grace, all).await {
            Ok(()) => 0,
            Err(_elapsed) => self.running.len(),
        }
    }

    fn start(&mut self) {
        while self.running.len() < JOBS_RUNNING_MAX
            && let Some(Job { from, job, work }) = self.waiting.pop_front()
        {
            self.running.spawn_blocking(move || JobDone { from, job, result: carry_out(work) });
        }
    }
}

/// J1: what is dropped of a panic is the application's too, and may panic again.
fn carry_out(work: JobWork) -> JobResult {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
        JobPanicked
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::{Arc, mpsc};

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("again");
        }
    }

    #[test]
    fn every_job_gives_one_result_even_if_its_panic_panics() {
        tokio_uring::start(async {
            let mut jobs = Jobs::new(1);
            jobs.take(ShardId(0), 0, Box::new(|| Box::new(7u8)));
            jobs.take(ShardId(1), 1, Box::new(|| panic!("one")));
            jobs.take(ShardId(2), 2, Box::new(|| std::panic::panic_any(Bomb)));
            let mut seen = [false; 3];
            while let Some(done) = jobs.next().await {
                assert_eq!(u32::from(done.from.0), done.job);
                assert_eq!(done.result.is_ok(), done.job == 0);
                assert!(!std::mem::replace(&mut seen[done.job as usize], true));
            }
            assert_eq!(seen, [true; 3]);
        });
    }

    #[test]
    fn only_so_many_run_at_a_time_and_the_others_follow() {
        tokio_uring::start(async {
            let count = 2 * JOBS_RUNNING_MAX;
            let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let mut jobs = Jobs::new(1);
            for job in 0..count {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                let work = move || -> Box<dyn std::any::Any + Send> {
                    most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, SeqCst);
                    Box::new(())
                };
                jobs.take(ShardId(0), job as u32, Box::new(work));
            }
            let mut done = 0;
            while jobs.next().await.is_some() {
                done += 1;
            }
            assert_eq!(done, count);
            assert!((1..=JOBS_RUNNING_MAX).contains(&most.load(SeqCst)));
        });
    }

    #[test]
    fn the_end_does_not_wait_for_one_that_never_ends() {
        let (release, held) = mpsc::channel::<()>();
        tokio_uring::start(async {
            let mut jobs = Jobs::new(1);
            jobs.take(ShardId(0), 0, Box::new(move || Box::new(held.recv().is_err())));
            assert_eq!(jobs.finish(Duration::from_millis(1)).await, 1);
            drop(release);
        });
    }
}
