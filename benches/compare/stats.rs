//! From runs to figures: medians over rounds, and ratios that are paired round by round, because a
//! machine that is shared is faster in some minutes than in others.

use super::results::{Measured, Sample};
use super::rows::Figure;
use super::servers::{OURS, is_floor, is_ours};

/// A figure over all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Where a server stands in a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) server: String,
    pub(crate) runs: usize,
    /// Runs without faults, of which all figures are.
    pub(crate) good: usize,
    /// What the row is about.
    pub(crate) value: Option<Spread>,
    pub(crate) per_second: Option<f64>,
    pub(crate) cpu_us: Option<f64>,
    pub(crate) memory_bytes: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p99_9_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
    /// How good it is, with the best floor as one; more is better.
    pub(crate) of_floor: Option<f64>,
    /// The same for processor time.
    pub(crate) cpu_of_floor: Option<f64>,
    /// How many times as good Ringwire is.
    pub(crate) ours_times: Option<f64>,
    /// The same for the latency that one of a thousand exceeds.
    pub(crate) ours_late_times: Option<f64>,
    /// How many times as much processor time it takes as Ringwire.
    pub(crate) cpu_times: Option<f64>,
}

/// A row with the standings of all servers, the best first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ranking {
    /// The best floor.
    pub(crate) floor: Option<String>,
    pub(crate) standings: Vec<Standing>,
}

/// The middle of some numbers; of an even count, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (half, last) = (sorted.len() / 2, sorted.len().checked_sub(1)?);
    Some((sorted[half] + sorted[last - half]) / 2.0)
}

fn spread(values: &[f64]) -> Option<Spread> {
    let median = median(values)?;
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(Spread { median, low, high })
}

/// The median of `a / b` over the rounds that have both.
fn paired(a: &[(u32, f64)], b: &[(u32, f64)]) -> Option<f64> {
    let ratios: Vec<f64> = a
        .iter()
        .filter_map(|(round, value)| {
            let (_, other) = b.iter().find(|(other, _)| other == round)?;
            (*other > 0.0).then_some(value / other)
        })
        .collect();
    median(&ratios)
}

/// What a row is about, of one run.
fn value(figure: Figure, sample: &Sample) -> Option<f64> {
    match figure {
        Figure::Echoes | Figure::Deliveries | Figure::Handshakes => Some(sample.per_second),
        Figure::Latency => sample.p99_us,
        Figure::Memory => sample.memory_bytes_per_connection,
    }
}

/// Whether more of it is better.
pub(crate) fn more_is_better(figure: Figure) -> bool {
    match figure {
        Figure::Echoes | Figure::Deliveries | Figure::Handshakes => true,
        Figure::Latency | Figure::Memory => false,
    }
}

/// The good runs of one server.
struct Runs<'a> {
    figure: Figure,
    good: Vec<&'a Sample>,
}

impl<'a> Runs<'a> {
    fn of(measured: &'a Measured, figure: Figure, server: &str) -> Runs<'a> {
        let mine = measured.samples.iter().filter(|sample| sample.server == server);
        Runs { figure, good: mine.filter(|sample| sample.is_good()).collect() }
    }

    fn by_round(&self, of: impl Fn(&Sample) -> Option<f64>) -> Vec<(u32, f64)> {
        let found = |sample: &&Sample| of(sample).map(|value| (sample.round, value));
        self.good.iter().filter_map(found).collect()
    }

    fn all(&self, of: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
        self.by_round(of).into_iter().map(|(_, value)| value).collect()
    }

    fn median(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(&self.all(of))
    }

    fn value(&self) -> Option<f64> {
        self.median(|sample| value(self.figure, sample))
    }

    fn cpu(&self) -> Option<f64> {
        self.median(|sample| sample.cpu_us)
    }

    /// How many times as good these runs are as the others.
    fn times(&self, others: &Runs<'_>) -> Option<f64> {
        let of = |runs: &Runs<'_>| runs.by_round(|sample| value(self.figure, sample));
        if more_is_better(self.figure) {
            paired(&of(self), &of(others))
        } else {
            paired(&of(others), &of(self))
        }
    }

    /// How many times as long the slowest of a thousand messages of these runs takes.
    fn late_times(&self, others: &Runs<'_>) -> Option<f64> {
        let of = |runs: &Runs<'_>| runs.by_round(|sample| sample.p99_9_us);
        paired(&of(self), &of(others))
    }

    /// How many times as much processor time these runs take as the others.
    fn cpu_times(&self, others: &Runs<'_>) -> Option<f64> {
        let of = |runs: &Runs<'_>| runs.by_round(|sample| sample.cpu_us);
        paired(&of(self), &of(others))
    }
}

/// Ranks the servers of a row.
pub(crate) fn ranking(measured: &Measured, figure: Figure) -> Ranking {
    let mut names: Vec<&str> = Vec::new();
    for sample in &measured.samples {
        if !names.contains(&sample.server.as_str()) {
            names.push(&sample.server);
        }
    }
    let runs = |name: &str| Runs::of(measured, figure, name);
    let floors = || names.iter().copied().filter(|name| is_floor(name));
    let floor = floors()
        .filter_map(|name| Some((name, badness(figure, runs(name).value()?))))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(name, _)| name);
    let cpu_floor = floors()
        .filter_map(|name| Some((name, runs(name).cpu()?)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(name, _)| name);
    let against =
        Against { floor: floor.map(runs), cpu_floor: cpu_floor.map(runs), ours: runs(OURS) };
    let standing = |name: &&str| {
        let count = measured.samples.iter().filter(|sample| sample.server == **name).count();
        against.standing(name, &runs(name), count)
    };
    let mut standings: Vec<Standing> = names.iter().map(standing).collect();
    let place = |standing: &Standing| {
        standing.value.map_or(f64::INFINITY, |value| badness(figure, value.median))
    };
    standings.sort_by(|a, b| place(a).total_cmp(&place(b)));
    Ranking { floor: floor.map(str::to_owned), standings }
}

/// Less is better, whatever the figure.
fn badness(figure: Figure, value: f64) -> f64 {
    if more_is_better(figure) { -value } else { value }
}

/// What all servers of a row are held against.
struct Against<'a> {
    floor: Option<Runs<'a>>,
    cpu_floor: Option<Runs<'a>>,
    ours: Runs<'a>,
}

impl Against<'_> {
    fn standing(&self, server: &str, runs: &Runs<'_>, count: usize) -> Standing {
        let cpu_of_floor =
            |floor: &Runs<'_>| runs.cpu_times(floor).map(|times| 1.0 / times.max(1e-9));
        Standing {
            server: server.to_owned(),
            runs: count,
            good: runs.good.len(),
            value: spread(&runs.all(|sample| value(runs.figure, sample))),
            per_second: runs.median(|sample| Some(sample.per_second)),
            cpu_us: runs.cpu(),
            memory_bytes: runs.median(|sample| sample.memory_bytes.map(|bytes| bytes as f64)),
            p50_us: runs.median(|sample| sample.p50_us),
            p99_us: runs.median(|sample| sample.p99_us),
            p99_9_us: runs.median(|sample| sample.p99_9_us),
            max_us: runs.median(|sample| sample.max_us),
            of_floor: self.floor.as_ref().and_then(|floor| runs.times(floor)),
            cpu_of_floor: self.cpu_floor.as_ref().and_then(cpu_of_floor),
            ours_times: self.ours.times(runs).filter(|_| server != OURS),
            ours_late_times: runs.late_times(&self.ours).filter(|_| server != OURS),
            cpu_times: runs.cpu_times(&self.ours).filter(|_| server != OURS),
        }
    }
}

impl Ranking {
    /// Ringwire's place, if it took part.
    pub(crate) fn ours(&self) -> Option<&Standing> {
        self.of(OURS)
    }

    /// A server's place.
    pub(crate) fn of(&self, server: &str) -> Option<&Standing> {
        self.standings.iter().find(|standing| standing.server == server)
    }

    /// The best that is neither Ringwire nor a floor.
    pub(crate) fn best_peer(&self) -> Option<&Standing> {
        let is_peer = |name: &str| !is_floor(name) && !is_ours(name);
        self.standings.iter().find(|place| is_peer(&place.server) && place.value.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::test_data::measured;

    #[test]
    fn medians_are_of_what_is_there() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[f64::NAN]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        let all = spread(&[3.0, 1.0, 8.0]).expect("three");
        assert_eq!((all.median, all.low, all.high), (3.0, 1.0, 8.0));
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        // Twice as fast in every round, though the machine slows down tenfold on the way.
        let a = [(0, 200.0), (1, 20.0), (2, 2.0)];
        let b = [(0, 100.0), (1, 10.0), (2, 1.0)];
        assert_eq!(paired(&a, &b), Some(2.0));
        // Medians alone would say 20 against 100.
        assert_eq!(paired(&a, &[(0, 100.0)]), Some(2.0));
        assert_eq!(paired(&a, &[(7, 1.0)]), None);
        assert_eq!(paired(&a, &[(0, 0.0)]), None, "nothing is not divided by");
    }

    #[test]
    fn rates_are_ranked_from_the_greatest() {
        let row = measured(
            "echo-64",
            &[
                ("bun", &[100.0, 120.0, 110.0]),
                ("floor-epoll", &[190.0, 200.0, 195.0]),
                ("ringwire", &[198.0, 216.0, 209.0]),
                ("floor-uring", &[220.0, 240.0, 220.0]),
            ],
        );
        let ranking = ranking(&row, Figure::Echoes);
        assert_eq!(ranking.floor.as_deref(), Some("floor-uring"));
        let order: Vec<&str> = ranking.standings.iter().map(|s| s.server.as_str()).collect();
        assert_eq!(order, ["floor-uring", "ringwire", "floor-epoll", "bun"]);
        let ours = ranking.ours().expect("it took part");
        assert!((ours.of_floor.expect("a floor") - 0.9).abs() < 1e-9, "{ours:?}");
        assert_eq!(ours.ours_times, None);
        let bun = ranking.of("bun").expect("it took part");
        assert!((bun.ours_times.expect("both") - 1.9).abs() < 1e-9, "{bun:?}");
        // In the made-up data, processor time is the inverse of the rate.
        assert!((bun.cpu_times.expect("both") - 1.9).abs() < 1e-9, "{bun:?}");
        assert!((ours.cpu_of_floor.expect("a floor") - 0.9).abs() < 1e-9, "{ours:?}");
        assert_eq!(ranking.best_peer().map(|peer| peer.server.as_str()), Some("bun"));
    }

    #[test]
    fn memory_is_ranked_from_the_least_and_more_times_is_better_still() {
        let row = measured("idle", &[("bun", &[2000.0]), ("ringwire", &[200.0])]);
        let ranking = ranking(&row, Figure::Memory);
        assert_eq!(ranking.standings[0].server, "ringwire");
        assert_eq!(ranking.standings[1].ours_times, Some(10.0));
        assert_eq!(ranking.floor, None);
    }

    #[test]
    fn runs_with_faults_are_counted_and_give_no_figures() {
        let mut row = measured("echo-64", &[("bun", &[10.0, 30.0]), ("ringwire", &[20.0, 30.0])]);
        row.samples[0].faults.push("1 lost".into());
        let ranking = ranking(&row, Figure::Echoes);
        let bun = ranking.of("bun").expect("it took part");
        assert_eq!((bun.runs, bun.good, bun.per_second), (2, 1, Some(30.0)));
        assert_eq!(bun.ours_times, Some(1.0), "only the second round has both");
    }
}
