//! One metric over the steps of a run: points, gaps, the running mean, and fewer points where there are very many.

use counterpoint::metrics::Metrics;

/// Values that a curve is drawn with at most; of more, neighbours are averaged.
const MOST_POINTS: usize = 400;

/// Where a step is on the two horizontal axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Its number.
    pub step: f64,
    /// Seconds of training at its end, from the first step in the history on.
    pub seconds: f64,
}

/// One point of a curve. NaN values are gaps.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub place: Place,
    pub raw: f64,
    pub smooth: f64,
}

/// One curve.
#[derive(Debug, Clone)]
pub struct Series {
    pub label: String,
    pub points: Vec<Point>,
    /// Steps with NaN or infinity.
    pub non_finite: usize,
    /// The last finite value.
    pub last: f64,
}

/// Where every step of `history` is. Times that add up to no number are left out.
pub fn places(history: &[(u64, Metrics)]) -> Vec<Place> {
    let mut seconds = 0.0;
    let mut place = |(step, metrics): &(u64, Metrics)| {
        let so_far = seconds + metrics.seconds();
        seconds = if so_far.is_finite() { so_far } else { seconds };
        Place { step: *step as f64, seconds }
    };
    history.iter().map(&mut place).collect()
}

/// How many measured steps the running mean spans; 1 when there are too few steps for one.
pub fn window(steps: usize) -> usize {
    if steps < 10 { 1 } else { 2 * (steps / 20).max(2) + 1 }
}

impl Series {
    /// The curve of the metric `name`, or `None` when no step has a finite value. A step without the metric is left out;
    /// one where it is not finite is a gap.
    pub fn of(history: &[(u64, Metrics)], places: &[Place], name: &str, label: &str) -> Option<Self> {
        let measured = history.iter().zip(places);
        let raw: Vec<(Place, f64)> = measured.filter_map(|((_, m), place)| Some((*place, m.get(name)?))).collect();
        let last = raw.iter().rev().map(|(_, value)| *value).find(|v| v.is_finite())?;
        let non_finite = raw.iter().filter(|(_, value)| !value.is_finite()).count();
        let values: Vec<f64> = raw.iter().map(|(_, value)| if value.is_finite() { *value } else { f64::NAN }).collect();
        let smooth = running_mean(&values, window(history.len()));
        let points = raw.iter().zip(&values).zip(smooth);
        let points = points.map(|(((place, _), raw), smooth)| Point { place: *place, raw: *raw, smooth }).collect();
        Some(Self { label: label.to_owned(), points: thin(points), non_finite, last })
    }

    /// Pieces without gaps.
    pub fn pieces(&self) -> impl Iterator<Item = &[Point]> {
        self.points.split(|p| p.raw.is_nan()).filter(|piece| !piece.is_empty())
    }
}

/// The mean of the finite values among the `window` around each finite value, fewer at the ends; a gap stays one.
fn running_mean(values: &[f64], window: usize) -> Vec<f64> {
    let half = window / 2;
    let mean = |i: usize| {
        let around = &values[i.saturating_sub(half)..(i + half + 1).min(values.len())];
        mean(around.iter().copied())
    };
    (0..values.len()).map(|i| if values[i].is_nan() { f64::NAN } else { mean(i) }).collect()
}

/// The mean of the finite values, NaN when there are none.
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    // Incrementally, so that large values do not overflow.
    let add = |(n, mean): (f64, f64), value: f64| (n + 1.0, mean + (value / (n + 1.0) - mean / (n + 1.0)));
    let (n, mean) = values.filter(|v| v.is_finite()).fold((0.0, 0.0), add);
    if n > 0.0 { mean } else { f64::NAN }
}

/// How many neighbours of so many steps become one point.
pub fn neighbours(steps: usize) -> usize {
    steps.div_ceil(MOST_POINTS)
}

/// At most [`MOST_POINTS`] means of neighbours, each followed by a gap where one of its neighbours is a gap.
fn thin(points: Vec<Point>) -> Vec<Point> {
    let neighbours = neighbours(points.len());
    if neighbours <= 1 {
        return points;
    }
    let merge = |points: &[Point]| {
        let of = |f: fn(&Point) -> f64| mean(points.iter().map(f));
        let place = Place { step: of(|p| p.place.step), seconds: of(|p| p.place.seconds) };
        let mean = Point { place, raw: of(|p| p.raw), smooth: of(|p| p.smooth) };
        let gap = Point { place, raw: f64::NAN, smooth: f64::NAN };
        [Some(mean), points.iter().any(|p| p.raw.is_nan()).then_some(gap)]
    };
    points.chunks(neighbours).flat_map(merge).flatten().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn history(values: &[Option<f64>]) -> Vec<(u64, Metrics)> {
        let step = |(i, value): (usize, &Option<f64>)| {
            let mut metrics = Metrics::new();
            if let Some(value) = value {
                metrics.insert("x", *value);
            }
            metrics.insert("time/rollout", 2.0);
            metrics.insert("time/update", 1.0);
            (i as u64, metrics)
        };
        values.iter().enumerate().map(step).collect()
    }

    fn series(values: &[Option<f64>]) -> Option<Series> {
        let history = history(values);
        Series::of(&history, &places(&history), "x", "x")
    }

    #[test]
    fn steps_that_are_not_finite_are_gaps_and_steps_without_the_metric_are_bridged() {
        let inf = f64::INFINITY;
        let found = series(&[Some(1.0), None, Some(2.0), Some(inf), Some(4.0), Some(f64::NAN)]).unwrap();
        let pieces: Vec<Vec<f64>> = found.pieces().map(|p| p.iter().map(|p| p.raw).collect()).collect();
        assert_eq!(pieces, [vec![1.0, 2.0], vec![4.0]]);
        assert_eq!((found.non_finite, found.last), (2, 4.0));
        assert!(series(&[None, Some(inf)]).is_none());
        assert!(series(&[]).is_none());
    }

    #[test]
    fn wall_clock_is_the_sum_of_the_phases() {
        let places = places(&history(&[Some(1.0), None]));
        assert_eq!(places, [Place { step: 0.0, seconds: 3.0 }, Place { step: 1.0, seconds: 6.0 }]);
    }

    #[test]
    fn the_running_mean_is_centred_and_leaves_gaps_alone() {
        let nan = f64::NAN;
        let mean = running_mean(&[0.0, 3.0, 6.0, nan, 10.0], 3);
        assert_eq!(mean[..3], [1.5, 3.0, 4.5]);
        assert!(mean[3].is_nan());
        assert_eq!(mean[4], 10.0);
        assert_eq!((window(9), window(10), window(50), window(400)), (1, 5, 5, 41));
    }

    #[test]
    fn long_runs_are_thinned_and_keep_their_mean() {
        let mut values: Vec<Option<f64>> = (0..10_000).map(|i| Some(f64::from(i))).collect();
        let found = series(&values).unwrap();
        assert_eq!(found.points.len(), MOST_POINTS);
        assert!((mean(found.points.iter().map(|p| p.raw)) - 4999.5).abs() < 1e-6);
        assert_eq!(found.pieces().count(), 1);
        values[5_000] = Some(f64::NAN);
        assert_eq!(series(&values).unwrap().pieces().count(), 2, "a gap is still seen");
        assert!(mean([f64::MAX, f64::MAX].into_iter()).is_finite());
    }

    #[test]
    fn what_lies_between_many_gaps_is_still_drawn() {
        let values: Vec<Option<f64>> = (0..802).map(|i| Some(if i % 2 == 0 { 1.0 } else { f64::NAN })).collect();
        let found = series(&values).unwrap();
        assert_eq!(found.pieces().map(<[Point]>::len).collect::<Vec<_>>(), [1; 267]);
        assert!(found.pieces().flatten().all(|p| p.raw == 1.0 && p.smooth == 1.0));
    }
}
