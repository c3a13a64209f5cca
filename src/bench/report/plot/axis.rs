//! Axes: from values to pixels, and where ticks stand.

use super::svg::text_width;
use crate::bench::report::units;

/// What a value is, and so how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Things per second.
    PerSecond,
    /// A latency in microseconds.
    Microseconds,
    /// A position in time, in seconds.
    Seconds,
    /// Memory.
    Bytes,
    /// Busy processor cores.
    Cores,
    /// A percentile as [`nines`] counts it.
    Nines,
    /// A number that is compared with one: `1.25 ×`.
    Times,
}

impl Unit {
    /// A measured value with its unit.
    pub fn say(self, value: f64) -> String {
        match self {
            Self::Count => units::amount(value),
            Self::PerSecond => units::rate(value),
            Self::Microseconds => units::latency(value),
            Self::Seconds => units::duration(value),
            Self::Bytes => units::bytes(value),
            Self::Cores => format!("{} cores", units::amount(value)),
            Self::Nines => percentile(value),
            Self::Times => format!("{} ×", units::amount(value)),
        }
    }

    /// A round value at a tick.
    fn tick(self, value: f64) -> String {
        match self {
            Self::Nines => percentile(value),
            Self::Cores => units::trimmed(units::amount(value)),
            Self::Count
            | Self::PerSecond
            | Self::Microseconds
            | Self::Seconds
            | Self::Bytes
            | Self::Times => {
                if value == 0.0 {
                    "0".into()
                } else {
                    units::trimmed(self.say(value))
                }
            }
        }
    }

    /// The next round step that is at least `step`.
    fn round_step(self, step: f64) -> f64 {
        match self {
            Self::Seconds => round_seconds(step),
            Self::Bytes => 2_f64.powf(step.max(1.0).log2().ceil()),
            Self::Count => round_decimal(step).max(1.0),
            Self::PerSecond | Self::Microseconds | Self::Cores | Self::Nines | Self::Times => {
                round_decimal(step)
            }
        }
    }
}

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// Each factor of ten takes the same room; values are above zero.
    Log,
}

/// One axis as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it shows, in words.
    pub label: String,
    /// What its values are.
    pub unit: Unit,
    /// How they become places.
    pub scale: Scale,
    /// Values that it includes whatever the data are, such as 0.
    pub include: Vec<f64>,
}

impl Axis {
    /// An even axis that begins at 0.
    pub fn linear(label: &str, unit: Unit) -> Self {
        Self { label: label.into(), unit, scale: Scale::Linear, include: vec![0.0] }
    }

    /// An axis for latencies between `min` and `max`: even where they are alike, logarithmic where
    /// they are not.
    pub fn latency(label: &str, min: f64, max: f64) -> Self {
        let scale = if min > 0.0 && max / min > 10.0 { Scale::Log } else { Scale::Linear };
        let include = if scale == Scale::Linear { vec![0.0] } else { Vec::new() };
        Self { label: label.into(), unit: Unit::Microseconds, scale, include }
    }
}

/// The place of a percentile on an axis of log(1 / (1 - p)): 90 is 1, 99 is 2, 99.9 is 3. The
/// maximum of `samples` stands where one of them is above.
pub fn nines(percentile: f64, samples: u64) -> f64 {
    let last = (samples.max(1) as f64).log10();
    let above = 1.0 - percentile / 100.0;
    if above > 0.0 { (-above.log10()).clamp(0.0, last) } else { last }
}

/// The percentile at a place, with as many digits as it needs there: `50 %`, `99.9 %`.
fn percentile(nines: f64) -> String {
    let decimals = (nines.ceil() as usize).saturating_sub(2);
    format!("{:.decimals$} %", (1.0 - 0.1_f64.powf(nines)) * 100.0)
}

/// The next of 1, 2, 5, 10, 20 ... that is at least `step`.
fn round_decimal(step: f64) -> f64 {
    let ten = 10_f64.powf(step.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * ten >= step * 0.999_999);
    digit.map_or(10.0 * ten, |digit| digit * ten)
}

/// Steps of a clock.
fn round_seconds(step: f64) -> f64 {
    const STEPS: [f64; 17] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0,
        7_200.0, 14_400.0, 43_200.0, 86_400.0,
    ];
    if step < 0.999_999 {
        return round_decimal(step);
    }
    let round = STEPS.into_iter().find(|round| round * 1.000_001 >= step);
    round.unwrap_or_else(|| (step / 86_400.0).ceil() * 86_400.0)
}

/// An axis in a picture: its range in values and in pixels.
#[derive(Clone, Debug)]
pub(super) struct Ruler {
    unit: Unit,
    scale: Scale,
    low: f64,
    high: f64,
    low_px: f64,
    high_px: f64,
}

/// A line across the picture, with a label where there is room.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
}

impl Ruler {
    /// An axis over `values`, widened to round ends when `round` (a vertical axis), in pixels that
    /// are set later by [`Ruler::place`].
    pub(super) fn over(axis: &Axis, values: impl Iterator<Item = f64>, round: bool) -> Self {
        let shown =
            |value: &f64| value.is_finite() && (axis.scale == Scale::Linear || *value > 0.0);
        let all = values.chain(axis.include.iter().copied()).filter(shown);
        let (mut low, mut high) =
            all.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            (low, high) = if axis.scale == Scale::Log { (1.0, 10.0) } else { (0.0, 1.0) };
        }
        let mut ruler =
            Self { unit: axis.unit, scale: axis.scale, low, high, low_px: 0.0, high_px: 1.0 };
        ruler.widen(round);
        ruler
    }

    /// Gives the range a width above zero, and round ends if asked.
    fn widen(&mut self, round: bool) {
        match self.scale {
            Scale::Linear => {
                if self.high <= self.low {
                    self.high = self.low + self.unit.round_step(self.low.abs().max(0.5));
                }
                if round {
                    let step = self.unit.round_step((self.high - self.low) / 5.0);
                    self.low = (self.low / step).floor() * step;
                    self.high = (self.high / step).ceil() * step;
                }
            }
            Scale::Log => {
                let (low, high) = (digit_below(self.low), digit_above(self.high));
                self.low = low;
                self.high = high.max(low * 10.0);
            }
        }
    }

    pub(super) fn place(&mut self, low_px: f64, high_px: f64) {
        (self.low_px, self.high_px) = (low_px, high_px);
    }

    /// Where a value is; what lies outside is moved to the end.
    pub(super) fn px(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        self.low_px + part.clamp(0.0, 1.0) * (self.high_px - self.low_px)
    }

    /// Ticks for about one in `spacing_px` pixels.
    pub(super) fn ticks(&self, spacing_px: f64) -> Vec<Tick> {
        let room = ((self.high_px - self.low_px).abs() / spacing_px).max(1.0);
        let values = match (self.unit, self.scale) {
            (Unit::Nines, _) => nines_ticks(self.high),
            (_, Scale::Linear) => self.even_ticks(room),
            (_, Scale::Log) => self.log_ticks(room),
        };
        let tick = |value| Tick { value, label: self.unit.tick(value) };
        values.into_iter().map(tick).collect()
    }

    fn even_ticks(&self, room: f64) -> Vec<f64> {
        let step = self.unit.round_step((self.high - self.low) / room);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step * 1.000_000_1).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }

    /// Powers of ten, and 2 and 5 of each where there is room.
    fn log_ticks(&self, room: f64) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let digits: &[f64] = if decades * 3.0 <= room { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = (decades / room).ceil().max(1.0) as usize;
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let tens = (first..=last).step_by(every).map(|ten| 10_f64.powi(ten));
        let all = tens.flat_map(|ten| digits.iter().map(move |digit| digit * ten));
        all.filter(|value| (self.low * 0.999..=self.high * 1.001).contains(value)).collect()
    }
}

/// 0 %, 50 %, then one for each nine.
fn nines_ticks(high: f64) -> Vec<f64> {
    let whole = (1..=high.floor() as u32).map(f64::from);
    [0.0, 2_f64.log10()].into_iter().chain(whole).collect()
}

/// The next 1, 2 or 5 of a power of ten that is not above `value`.
fn digit_below(value: f64) -> f64 {
    let ten = 10_f64.powf(value.log10().floor());
    let digit = [5.0, 2.0].into_iter().find(|digit| digit * ten <= value * 1.000_001);
    digit.unwrap_or(1.0) * ten
}

/// The next 1, 2 or 5 of a power of ten that is not below `value`.
fn digit_above(value: f64) -> f64 {
    round_decimal(value)
}

/// Leaves out labels that would touch the one before (P3); their lines stay.
pub(super) fn without_overlap(ticks: &mut [Tick], px: impl Fn(f64) -> f64) {
    const GAP_PX: f64 = 8.0;
    let mut end_px = f64::MIN;
    for tick in ticks {
        let half = text_width(&tick.label) / 2.0;
        let centre = px(tick.value);
        if centre - half < end_px + GAP_PX {
            tick.label.clear();
        } else {
            end_px = centre + half;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64], px: f64, spacing: f64) -> Vec<String> {
        let mut ruler = Ruler::over(axis, values.iter().copied(), true);
        ruler.place(0.0, px);
        ruler.ticks(spacing).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn even_ticks_are_round_and_have_units() {
        let rate = Axis::linear("", Unit::PerSecond);
        assert_eq!(
            labels(&rate, &[384_000.0], 200.0, 40.0),
            ["0", "100 k/s", "200 k/s", "300 k/s", "400 k/s"]
        );
        let memory = Axis::linear("", Unit::Bytes);
        let mib = 1024.0 * 1024.0;
        assert_eq!(
            labels(&memory, &[41.0 * mib], 200.0, 40.0),
            ["0", "16 MiB", "32 MiB", "48 MiB"]
        );
        let cores = Axis::linear("", Unit::Cores);
        assert_eq!(labels(&cores, &[0.97], 200.0, 40.0), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        let count = Axis::linear("", Unit::Count);
        assert_eq!(labels(&count, &[2.0], 200.0, 20.0), ["0", "1", "2"], "no half connections");
    }

    #[test]
    fn time_is_told_in_steps_of_a_clock() {
        let time = Axis::linear("", Unit::Seconds);
        assert_eq!(
            labels(&time, &[3_600.0], 700.0, 110.0),
            ["0", "10 min", "20 min", "30 min", "40 min", "50 min", "1 h"]
        );
        assert_eq!(labels(&time, &[10.0], 700.0, 110.0), ["0", "2 s", "4 s", "6 s", "8 s", "10 s"]);
    }

    #[test]
    fn latency_is_logarithmic_only_where_it_varies() {
        assert_eq!(Axis::latency("", 100.0, 900.0).scale, Scale::Linear);
        let wide = Axis::latency("", 80.0, 12_000.0);
        assert_eq!(wide.scale, Scale::Log);
        assert_eq!(labels(&wide, &[80.0, 12_000.0], 200.0, 60.0), ["100 µs", "1 ms", "10 ms"]);
        assert_eq!(
            labels(&wide, &[80.0, 12_000.0], 300.0, 30.0),
            ["50 µs", "100 µs", "200 µs", "500 µs", "1 ms", "2 ms", "5 ms", "10 ms", "20 ms"]
        );
    }

    #[test]
    fn every_nine_takes_the_same_room() {
        for (percentile, place) in [(0.0, 0.0), (90.0, 1.0), (99.0, 2.0), (99.9, 3.0)] {
            assert!((nines(percentile, 1_000_000) - place).abs() < 1e-9, "{percentile}");
        }
        assert_eq!(nines(100.0, 10_000), 4.0, "the maximum is one of ten thousand");
        assert_eq!(nines(99.999, 100), 2.0, "no place beyond one sample");
        assert_eq!(nines(100.0, 0), 0.0);
        let axis = Axis { unit: Unit::Nines, ..Axis::linear("", Unit::Nines) };
        let mut ruler = Ruler::over(&axis, [0.0, 4.2].into_iter(), false);
        ruler.place(0.0, 700.0);
        let labels: Vec<_> = ruler.ticks(1.0).into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn any_data_give_an_axis_with_a_width() {
        for values in [vec![], vec![0.0], vec![5.0], vec![f64::NAN], vec![1e-9], vec![1e18, 1e18]] {
            for scale in [Scale::Linear, Scale::Log] {
                for unit in [Unit::Count, Unit::Bytes, Unit::Seconds, Unit::Microseconds] {
                    let axis = Axis { label: String::new(), unit, scale, include: Vec::new() };
                    let mut ruler = Ruler::over(&axis, values.iter().copied(), true);
                    ruler.place(300.0, 0.0);
                    let px = values.iter().map(|value| ruler.px(*value));
                    assert!(px.filter(|px| !px.is_nan()).all(|px| (0.0..=300.0).contains(&px)));
                    let ticks = ruler.ticks(40.0);
                    assert!((1..20).contains(&ticks.len()), "{values:?} {scale:?}: {ticks:?}");
                }
            }
        }
    }

    #[test]
    fn labels_that_would_touch_are_left_out() {
        let mut ticks: Vec<Tick> =
            (0..9).map(|n| Tick { value: f64::from(n), label: "1234".into() }).collect();
        without_overlap(&mut ticks, |value| value * 20.0);
        let kept: Vec<f64> =
            ticks.iter().filter(|tick| !tick.label.is_empty()).map(|tick| tick.value).collect();
        assert_eq!(kept, [0.0, 2.0, 4.0, 6.0, 8.0]);
    }
}
