//! What the recorder of `metrics` can't hold, as Prometheus text: histograms, because a recorder's
//! own record value after value where ours are counted in buckets already, and the processor's
//! time, which is a fraction.

use metrics::Key;
use metrics_exporter_prometheus::LabelSet;
use metrics_exporter_prometheus::formatting::{
    write_help_line, write_metric_line, write_type_line,
};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::metrics::families::process::CPU;
use crate::metrics::timings::{BUCKETS, Bucket};
use crate::metrics::{Board, Timing};

/// Appends them.
pub(super) fn render(text: &mut String, board: &Board) {
    for timing in Timing::ALL {
        histogram(text, timing, &board.timing(timing));
    }
    write_help_line(text, CPU.name, None, None, CPU.help);
    write_type_line(text, CPU.name, None, None, "counter");
    let seconds = cpu_seconds();
    line(text, CPU.name, None, None, seconds);
    text.push('\n');
}

fn histogram(text: &mut String, timing: Timing, buckets: &[Bucket; BUCKETS]) {
    let family = timing.family();
    write_help_line(text, family.name, None, None, family.help);
    write_type_line(text, family.name, None, None, "histogram");
    let bounds = timing.bounds_us().iter().map(|us| (*us as f64 / 1e6).to_string());
    let mut count = 0;
    for (bound, bucket) in bounds.chain(["+Inf".to_owned()]).zip(buckets) {
        count += bucket.count;
        line(text, family.name, Some("bucket"), Some(("le", bound)), count);
    }
    let sum_us: u64 = buckets.iter().map(|bucket| bucket.sum_us).sum();
    line(text, family.name, Some("sum"), None, sum_us as f64 / 1e6);
    line(text, family.name, Some("count"), None, count);
    text.push('\n');
}

fn line<V: std::fmt::Display>(
    text: &mut String,
    name: &'static str,
    suffix: Option<&'static str>,
    label: Option<(&'static str, String)>,
    value: V,
) {
    let none = LabelSet::from_key_and_global(&Key::from_static_name(name), &Default::default());
    write_metric_line(text, name, suffix, &none, label, value, None);
}

fn cpu_seconds() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0.0 };
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ShardId;
    use crate::metrics::ShardCounters;

    #[test]
    fn buckets_are_cumulative_over_all_shards_and_end_with_the_count() {
        let board = Board::new(2);
        for (shard, us) in [(0, 40), (1, 40), (1, 3_000_000)] {
            let mut counters = ShardCounters::new();
            counters.observe(Timing::Turn, us);
            if shard == 1 {
                counters.observe(Timing::Turn, 40);
            }
            board.publish(ShardId(shard), &mut counters);
        }
        let mut text = String::new();
        render(&mut text, &board);
        for wanted in [
            "# TYPE ringwire_turn_seconds histogram",
            "ringwire_turn_seconds_bucket{le=\"0.000025\"} 0",
            "ringwire_turn_seconds_bucket{le=\"0.00005\"} 2",
            "ringwire_turn_seconds_bucket{le=\"1\"} 2",
            "ringwire_turn_seconds_bucket{le=\"+Inf\"} 3",
            "ringwire_turn_seconds_sum 3.00008",
            "ringwire_turn_seconds_count 3",
            "ringwire_handshake_seconds_count 0",
            "# TYPE process_cpu_seconds_total counter",
        ] {
            assert!(text.lines().any(|line| line == wanted), "{wanted} in\n{text}");
        }
        assert!(cpu_seconds() > 0.0);
    }
}
