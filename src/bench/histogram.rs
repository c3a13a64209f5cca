//! Latencies in fixed memory: a histogram of nanoseconds with three significant figures, and a
//! recorder that keeps the running second apart from the whole run.
//!
//! H1. Nothing allocates after construction; recording is one increment plus four plain fields.
//! H2. Values outside of 1 ns..=1 h count at the nearest bound, and `clamped` says how many did.
//! H3. The least, the greatest and the mean are exact; a percentile is at most 0.1 % too high.
//!
//! Never reads a clock, and never shares anything: every ring has its own recorder, and whoever
//! reports merges what they hand over.

use hdrhistogram::Histogram;

/// The greatest latency that is told apart: one hour.
pub const LATENCY_NS_MAX: u64 = 3_600_000_000_000;
/// Three figures: a percentile is within 0.1 % of a value that was recorded.
const SIGNIFICANT_FIGURES: u8 = 3;
/// Points of the percentile curve for each step of 90 %, 99 %, 99.9 % ...
const POINTS_PER_DECADE: u32 = 20;
/// Decades of that curve at most: 99.9999999 % has meaning for a billion samples.
const DECADES_MAX: u32 = 9;
/// Percentiles that people ask for by name and that are not on the curve's own grid.
const BY_NAME: [f64; 2] = [50.0, 75.0];

/// How often each latency was seen. About 270 KiB, whatever is recorded.
#[derive(Clone, Debug)]
pub struct LatencyHistogram {
    buckets: Histogram<u64>,
    sum_ns: u128,
    min_ns: u64,
    max_ns: u64,
    clamped: u64,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl LatencyHistogram {
    /// An empty one; all of its memory is allocated here.
    pub fn new() -> Self {
        let buckets = Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_FIGURES)
            .expect("the bounds are constants in order");
        Self { buckets, sum_ns: 0, min_ns: u64::MAX, max_ns: 0, clamped: 0 }
    }

    /// Counts one latency.
    #[inline]
    pub fn record(&mut self, latency_ns: u64) {
        self.record_many(latency_ns, 1);
    }

    /// Counts a latency that `count` had.
    #[inline]
    pub fn record_many(&mut self, latency_ns: u64, count: u64) {
        if count == 0 {
            return;
        }
        let within_ns = latency_ns.clamp(1, LATENCY_NS_MAX);
        self.clamped += if within_ns == latency_ns { 0 } else { count };
        self.sum_ns += u128::from(within_ns) * u128::from(count);
        self.min_ns = self.min_ns.min(within_ns);
        self.max_ns = self.max_ns.max(within_ns);
        self.buckets.saturating_record_n(within_ns, count);
    }

    /// Adds everything that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.add(&other.buckets).expect("all histograms have the same bounds");
        self.sum_ns += other.sum_ns;
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.clamped += other.clamped;
    }

    /// Forgets everything and keeps the memory.
    pub fn reset(&mut self) {
        self.buckets.reset();
        self.sum_ns = 0;
        self.min_ns = u64::MAX;
        self.max_ns = 0;
        self.clamped = 0;
    }

    /// How many latencies were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.len()
    }

    /// How many of them were outside of 1 ns..=1 h.
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    /// The least one, exactly; `None` when nothing was recorded.
    pub fn min_ns(&self) -> Option<u64> {
        (self.count() > 0).then_some(self.min_ns)
    }

    /// The greatest one, exactly; `None` when nothing was recorded.
    pub fn max_ns(&self) -> Option<u64> {
        (self.count() > 0).then_some(self.max_ns)
    }

    /// The mean, exactly; `None` when nothing was recorded.
    pub fn mean_ns(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum_ns as f64 / self.count() as f64)
    }

    /// The least value that at least `percentile` percent of all are not above, as a bucket's
    /// upper end; `None` when nothing was recorded.
    pub fn percentile_ns(&self, percentile: f64) -> Option<u64> {
        let value = |quantile| self.within(self.buckets.value_at_quantile(quantile));
        (self.count() > 0).then(|| value(quantile(percentile)))
    }

    /// The curve of latency by percentile as (percentile, nanoseconds), dense enough to be smooth
    /// over log(1 / (1 - p)), ending with the maximum at 100. It stops where a percentile would
    /// stand for less than one sample. Empty when nothing was recorded.
    pub fn curve(&self) -> Vec<(f64, u64)> {
        if self.count() == 0 {
            return Vec::new();
        }
        let samples = self.count() as f64;
        let mut percentiles: Vec<f64> = (0..=POINTS_PER_DECADE * DECADES_MAX)
            .map(|step| 0.1_f64.powf(f64::from(step) / f64::from(POINTS_PER_DECADE)))
            .take_while(|above| above * samples >= 1.0)
            .map(|above| rounded((1.0 - above) * 100.0))
            .chain(BY_NAME)
            .chain([100.0])
            .collect();
        percentiles.sort_by(f64::total_cmp);
        let quantiles: Vec<f64> = percentiles.iter().copied().map(quantile).collect();
        let values = self.buckets.value_at_quantiles(quantiles).map(|ns| self.within(ns));
        percentiles.iter().copied().zip(values).collect()
    }

    /// A bucket's end may lie beyond what was really seen.
    fn within(&self, bucket_ns: u64) -> u64 {
        bucket_ns.clamp(self.min_ns, self.max_ns)
    }
}

/// A percentile as a part of one, and a hair less: the nearest number to 99.9 / 100 may be above
/// it, and a thousand samples would then give the greatest.
fn quantile(percentile: f64) -> f64 {
    (percentile / 100.0 - 1e-12).max(0.0)
}

/// Nine decades need twelve digits of a percentile; more would be noise of the computation.
fn rounded(percentile: f64) -> f64 {
    (percentile * 1e10).round() / 1e10
}

/// The running interval and the whole run of one ring. Record into it; once per second swap the
/// interval out for an empty histogram.
#[derive(Clone, Debug, Default)]
pub struct LatencyRecorder {
    interval: LatencyHistogram,
    earlier: LatencyHistogram,
}

impl LatencyRecorder {
    /// An empty one; all of its memory is allocated here.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one latency, in the running interval.
    #[inline]
    pub fn record(&mut self, latency_ns: u64) {
        self.interval.record(latency_ns);
    }

    /// Counts a latency that `count` had, in the running interval.
    pub fn record_many(&mut self, latency_ns: u64, count: u64) {
        self.interval.record_many(latency_ns, count);
    }

    /// Ends the interval: `into` has it afterwards, whatever it held before, and the next one
    /// starts empty. Costs tens of microseconds and allocates nothing.
    pub fn take_interval(&mut self, into: &mut LatencyHistogram) {
        into.reset();
        self.earlier.merge(&self.interval);
        std::mem::swap(&mut self.interval, into);
    }

    /// Forgets everything, as at the end of a warm-up.
    pub fn reset(&mut self) {
        self.interval.reset();
        self.earlier.reset();
    }

    /// Adds the whole run, the running interval included, to `total`.
    pub fn add_to(&self, total: &mut LatencyHistogram) {
        total.merge(&self.earlier);
        total.merge(&self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn histogram_of(values: &[u64]) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::new();
        values.iter().for_each(|ns| histogram.record(*ns));
        histogram
    }

    /// The oracle: nearest rank in the sorted list, in whole numbers.
    fn nearest_rank(sorted: &[u64], per_100_000: u64) -> u64 {
        let rank = (sorted.len() as u64 * per_100_000).div_ceil(100_000).max(1);
        sorted[rank as usize - 1]
    }

    fn spread() -> impl Strategy<Value = u64> {
        (0_u32..42, any::<u64>()).prop_map(|(bits, noise)| noise % (1 << bits) + 1)
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_list(
            mut values in proptest::collection::vec(spread(), 1..3_000),
        ) {
            let histogram = histogram_of(&values);
            values.sort_unstable();
            values.iter_mut().for_each(|ns| *ns = (*ns).min(LATENCY_NS_MAX));
            for per_100_000 in [50_000, 75_000, 90_000, 99_000, 99_900, 99_990, 100_000] {
                let exact = nearest_rank(&values, per_100_000);
                let told = histogram.percentile_ns(per_100_000 as f64 / 1e3).expect("not empty");
                prop_assert!(told >= exact, "p{per_100_000}: {told} < {exact}");
                prop_assert!(told - exact <= exact / 1_000, "p{per_100_000}: {told} > {exact}");
            }
            prop_assert_eq!(histogram.min_ns(), values.first().copied());
            prop_assert_eq!(histogram.max_ns(), values.last().copied());
            let mean = values.iter().map(|ns| u128::from(*ns)).sum::<u128>() as f64
                / values.len() as f64;
            prop_assert_eq!(histogram.mean_ns(), Some(mean));
        }

        #[test]
        fn rings_merge_to_what_one_would_have_seen(
            values in proptest::collection::vec(spread(), 0..500),
            cut in 0_usize..500,
        ) {
            let cut = cut.min(values.len());
            let mut merged = histogram_of(&values[..cut]);
            merged.merge(&histogram_of(&values[cut..]));
            let whole = histogram_of(&values);
            prop_assert_eq!(merged.curve(), whole.curve());
            prop_assert_eq!(merged.mean_ns(), whole.mean_ns());
            prop_assert_eq!(merged.clamped(), whole.clamped());
        }
    }

    #[test]
    fn ranks_are_exact_where_the_percentile_falls_on_one() {
        for count in [100_u64, 1_000, 10_000, 45_000] {
            let values: Vec<u64> = (1..=count).map(|n| n * 1_000_000).collect();
            let histogram = histogram_of(&values);
            for per_100_000 in [50_000, 75_000, 90_000, 99_000, 99_900, 99_990] {
                let exact = nearest_rank(&values, per_100_000);
                let percentile = per_100_000 as f64 / 1e3;
                let told = histogram.percentile_ns(percentile).expect("not empty");
                assert!((exact..=exact + exact / 1_000).contains(&told), "{count}: {percentile}");
                let curve = histogram.curve();
                let point = curve.iter().find(|point| point.0 == percentile);
                assert!(point.is_none_or(|point| point.1 == told), "{count}: {percentile}");
            }
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_kept_at_the_bound_and_counted() {
        let histogram = histogram_of(&[0, 1, LATENCY_NS_MAX, LATENCY_NS_MAX + 1, u64::MAX]);
        assert_eq!((histogram.count(), histogram.clamped()), (5, 3));
        assert_eq!(histogram.min_ns(), Some(1));
        assert_eq!(histogram.max_ns(), Some(LATENCY_NS_MAX));
    }

    #[test]
    fn an_empty_histogram_knows_nothing() {
        let empty = LatencyHistogram::new();
        assert_eq!((empty.min_ns(), empty.max_ns(), empty.mean_ns()), (None, None, None));
        assert_eq!((empty.percentile_ns(99.0), empty.curve()), (None, Vec::new()));
    }

    #[test]
    fn the_curve_rises_and_ends_where_samples_end() {
        let values: Vec<u64> = (1..=10_000).map(|n| n * 1_000).collect();
        let curve = histogram_of(&values).curve();
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{curve:?}");
        for percentile in [0.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0] {
            assert!(curve.iter().any(|point| point.0 == percentile), "no p{percentile}");
        }
        assert_eq!(curve.last(), Some(&(100.0, 10_000_000)));
        assert!(curve.len() < 100, "{} points", curve.len());
        assert!(curve[curve.len() - 2].0 <= 99.99 + 1e-9, "beyond one sample in 10,000");
    }

    #[test]
    fn intervals_are_taken_without_losing_anything() {
        let mut recorder = LatencyRecorder::new();
        let mut second = LatencyHistogram::new();
        recorder.record(10);
        recorder.take_interval(&mut second);
        assert_eq!((second.count(), second.max_ns()), (1, Some(10)));
        recorder.record(20);
        recorder.record(30);
        recorder.take_interval(&mut second);
        assert_eq!((second.count(), second.min_ns(), second.max_ns()), (2, Some(20), Some(30)));
        recorder.record(40);
        let mut total = LatencyHistogram::new();
        recorder.add_to(&mut total);
        assert_eq!((total.count(), total.mean_ns()), (4, Some(25.0)));
        recorder.reset();
        total.reset();
        recorder.add_to(&mut total);
        assert_eq!(total.count(), 0);
    }
}
