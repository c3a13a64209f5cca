//! Whether a series of samples grows, or only moves.
//!
//! Samples that follow each other are alike, so their number says nothing of how certain a slope
//! is. The time is cut into a few blocks that are long against whatever moves in them, and a
//! straight line is laid through the means of the blocks; how far these are off the line is the
//! noise.

/// Means that the line is laid through.
const BLOCKS: usize = 12;
/// Student's t for a one-sided certainty of 99.5 % with BLOCKS - 2 degrees of freedom.
const CERTAIN: f64 = 3.169;
/// Growth over the whole time that is too little to matter, as a part of the level: an allocator
/// that takes one page more.
const NEGLIGIBLE: f64 = 0.02;

/// See the module's header. In the unit of the samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trend {
    pub(crate) level: f64,
    /// What the line rises by from the first sample to the last.
    pub(crate) growth: f64,
    /// What of it may be by chance.
    pub(crate) noise: f64,
}

impl Trend {
    /// Of samples in the order of their times; `None` if they are too few.
    pub(crate) fn of(points: &[(f64, f64)]) -> Option<Trend> {
        if points.len() < 2 * BLOCKS {
            return None;
        }
        let span = points.last()?.0 - points.first()?.0;
        let blocks: Vec<(f64, f64)> = (0..BLOCKS)
            .map(|block| {
                let part = |block: usize| points.len() * block / BLOCKS;
                mean(&points[part(block)..part(block + 1)])
            })
            .collect();
        let (at, level) = mean(&blocks);
        let sum = |f: &dyn Fn(f64, f64) -> f64| blocks.iter().map(|(x, y)| f(*x, *y)).sum::<f64>();
        let spread = sum(&|x, _| (x - at) * (x - at));
        let slope = sum(&|x, y| (x - at) * (y - level)) / spread;
        let off = sum(&|x, y| (y - level - slope * (x - at)).powi(2)) / (BLOCKS - 2) as f64;
        let noise = CERTAIN * (off / spread).sqrt() * span;
        Some(Trend { level, growth: slope * span, noise })
    }

    pub(crate) fn has_grown(&self) -> bool {
        self.growth > self.noise && self.growth > NEGLIGIBLE * self.level.abs()
    }
}

fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    (x / count, y / count)
}
