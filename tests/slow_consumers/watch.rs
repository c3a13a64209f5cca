//! Looks at a server's memory all along: what it says itself, and what the kernel says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::QUEUED;
use crate::common::{Metrics, resident_bytes};

/// Between two samples.
const PACE: Duration = Duration::from_millis(50);

/// See the module's header.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// The highest values of all samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) samples: u64,
    pub(crate) queued_bytes_max: f64,
    pub(crate) resident_bytes_max: u64,
}

impl Watch {
    pub(crate) fn start(admin: SocketAddr, pid: u32) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            while !stopped.load(Relaxed) {
                let queued = Metrics::scrape(admin).value(QUEUED, &[]);
                seen.queued_bytes_max = seen.queued_bytes_max.max(queued);
                seen.resident_bytes_max = seen.resident_bytes_max.max(resident_bytes(pid));
                seen.samples += 1;
                thread::sleep(PACE);
            }
            seen
        });
        Watch { stop, thread }
    }

    pub(crate) fn finish(self) -> Seen {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("every scrape was answered")
    }
}
