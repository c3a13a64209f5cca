//! Fewer points that look the same: a run of hours has more seconds than a picture has pixels.
//!
//! Of each bundle of points the least and the greatest are kept, in their order, so that no peak
//! and no dip is lost (a mean would hide the stall that one looks for).

/// A value at a place; `None` where there is none, which interrupts a line.
pub(super) type Point = (f64, Option<f64>);

/// At most about `points_max` of `points`.
pub(super) fn thinned(points: &[Point], points_max: usize) -> Vec<Point> {
    if points.len() <= points_max.max(2) {
        return points.to_vec();
    }
    let bundle = points.len().div_ceil(points_max.max(2) / 2);
    points.chunks(bundle).flat_map(extremes).collect()
}

/// The least and the greatest value of a bundle in their order, or the gap that it is.
fn extremes(bundle: &[Point]) -> Vec<Point> {
    let values = bundle.iter().enumerate().filter_map(|(at, point)| Some((at, point.1?)));
    let by_value = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1);
    let (least, greatest) = (values.clone().min_by(by_value), values.max_by(by_value));
    match (least, greatest) {
        (Some((a, _)), Some((b, _))) if a == b => vec![bundle[a]],
        (Some((a, _)), Some((b, _))) => vec![bundle[a.min(b)], bundle[a.max(b)]],
        (None, _) | (_, None) => bundle.first().map(|point| (point.0, None)).into_iter().collect(),
    }
}

/// The least and the greatest of `points` whose place is in `from..to`.
pub(super) fn range(points: &[Point], from: f64, to: f64) -> Option<(f64, f64)> {
    let start = points.partition_point(|point| point.0 < from);
    let inside = points[start..].iter().take_while(|point| point.0 < to);
    let values = inside.filter_map(|point| point.1);
    values.fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_and_dips_stay() {
        let mut points: Vec<Point> = (0..3_600).map(|n| (f64::from(n), Some(100.0))).collect();
        points[1_234].1 = Some(5_000.0);
        points[2_345].1 = Some(1.0);
        let thin = thinned(&points, 600);
        assert!(thin.len() <= 600, "{} points", thin.len());
        assert!(thin.is_sorted_by(|a, b| a.0 < b.0), "in their order");
        assert!(thin.contains(&points[1_234]) && thin.contains(&points[2_345]));
        assert_eq!(thinned(&points[..600], 600), &points[..600]);
    }

    #[test]
    fn gaps_stay_gaps() {
        let mut points: Vec<Point> = (0..1_000).map(|n| (f64::from(n), Some(1.0))).collect();
        points[400..500].iter_mut().for_each(|point| point.1 = None);
        let thin = thinned(&points, 100);
        let gaps = thin.iter().filter(|point| point.1.is_none());
        assert!(gaps.clone().all(|point| (400.0..500.0).contains(&point.0)));
        assert_eq!(gaps.count(), 5);
    }

    #[test]
    fn a_range_is_of_what_is_inside() {
        let points = [(1.0, Some(9.0)), (2.0, Some(3.0)), (3.0, None), (4.0, Some(5.0))];
        assert_eq!(range(&points, 2.0, 4.0), Some((3.0, 3.0)));
        assert_eq!(range(&points, 0.0, 9.0), Some((3.0, 9.0)));
        assert_eq!(range(&points, 2.5, 3.5), None);
    }
}
