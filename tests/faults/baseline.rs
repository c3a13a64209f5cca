//! What a server holds when nothing happens, and that it holds no more when a fault is over.

use std::time::Duration;

use crate::common::{Metrics, Server, poll, resident_bytes};
use crate::{OPEN, QUEUED};

/// Gauges that have to be as they were before.
const GAUGES: [&str; 4] =
    [OPEN, QUEUED, "ringwire_subscriptions", "ringwire_ingress_partial_bytes"];
/// So many equal counts in a row are a count.
const SAME_COUNTS: u32 = 5;
/// What the allocator may keep, and tables that were touched for the first time.
const RESIDENT_SLACK_BYTES: u64 = 32 << 20;
/// For everything to be given back.
const LIMIT: Duration = Duration::from_secs(30);

/// See the module's header.
#[derive(Debug)]
pub(crate) struct Baseline {
    gauges: [f64; GAUGES.len()],
    descriptors: usize,
    resident_bytes: u64,
}

/// Descriptors of a process.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there").count()
}

fn gauges(metrics: &Metrics) -> [f64; GAUGES.len()] {
    GAUGES.map(|family| metrics.value(family, &[]))
}

impl Baseline {
    /// Taken when those are connected who will be there all along.
    pub(crate) fn of(server: &Server, open: usize) -> Baseline {
        server.await_metric(OPEN, &[], open as f64, LIMIT);
        // A gauge counts at the end of a turn, and an admin connection has a descriptor for a
        // moment.
        let (mut last, mut same) = ((gauges(&server.metrics()), usize::MAX), 0);
        let rest = poll(LIMIT, || {
            let now = (gauges(&server.metrics()), descriptors(server.pid()));
            same = if now == last { same + 1 } else { 0 };
            last = now;
            (same == SAME_COUNTS).then_some(now)
        });
        let (gauges, descriptors) = rest.expect("the server comes to rest");
        Baseline { gauges, descriptors, resident_bytes: resident_bytes(server.pid()) }
    }

    /// Waits until everything is as it was. Memory may have grown by what allocators and tables
    /// keep, and by `more_bytes`.
    pub(crate) fn await_return(&self, server: &Server, more_bytes: u64) {
        let (mut now, mut fds) = ([f64::NAN; GAUGES.len()], usize::MAX);
        let is_back = poll(LIMIT, || {
            now = gauges(&server.metrics());
            fds = descriptors(server.pid());
            // A scrape's own descriptor may still be there.
            (now == self.gauges && fds == self.descriptors).then_some(())
        });
        assert!(is_back.is_some(), "{GAUGES:?} {now:?}, {fds} descriptors; before: {self:?}");
        let most = self.resident_bytes + RESIDENT_SLACK_BYTES + more_bytes;
        let resident = resident_bytes(server.pid());
        println!("resident: {} before, {resident} after", self.resident_bytes);
        assert!(resident <= most, "{resident} bytes are resident, more than {most}: {self:?}");
    }
}
