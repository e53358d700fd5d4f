//! How sure a change is: repeated runs, a paired t-test over them, and a bootstrap interval over runs and tasks.

use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::rng::Rng;

/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 10_000;
/// The interval leaves out this share at each end.
const TAIL: f64 = 0.025;

/// Mean and sample standard deviation (n - 1) over runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// The mean.
    pub mean: f64,
    /// The standard deviation; 0 for a single run.
    pub std: f64,
}

impl Moments {
    /// Of `values`; of no values both are 0.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
        let std = if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
        Self { mean, std }
    }
}

/// One score before and after, over several runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Before training.
    pub before: Moments,
    /// After training.
    pub after: Moments,
    /// Mean of after - before.
    pub difference: f64,
    /// Two-sided p of the paired t-test over runs that the difference is 0; `None` for a single run, or when all runs
    /// differ by the same.
    pub p: Option<f64>,
    /// Percentile bootstrap interval of the difference, 95 %: runs are drawn with replacement, and within each its tasks.
    pub interval: [f64; 2],
}

impl Change {
    /// From the scores of each run's tasks: `before[run][task]` and `after[run][task]`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when there are no runs, or both do not have the same runs with the
    /// same number of tasks, at least one.
    pub fn of(before: &[Vec<f64>], after: &[Vec<f64>]) -> Result<Self> {
        let sizes = |runs: &[Vec<f64>]| runs.iter().map(Vec::len).collect::<Vec<_>>();
        let (was, is) = (sizes(before), sizes(after));
        if was != is || was.is_empty() || was.contains(&0) {
            return Err(Error::data(format!(
                "expected the same runs and tasks before and after, got {was:?} and {is:?}"
            )));
        }
        let differences: Vec<Vec<f64>> =
            before.iter().zip(after).map(|(b, a)| b.iter().zip(a).map(|(b, a)| a - b).collect()).collect();
        let means = |runs: &[Vec<f64>]| runs.iter().map(|run| mean(run)).collect::<Vec<_>>();
        let of_runs = means(&differences);
        Ok(Self {
            before: Moments::of(&means(before)),
            after: Moments::of(&means(after)),
            difference: mean(&of_runs),
            p: paired_t_test(&of_runs),
            interval: bootstrap(&differences),
        })
    }
}

/// Two-sided p of the t-test that the mean of `differences` is 0.
pub fn paired_t_test(differences: &[f64]) -> Option<f64> {
    let Moments { mean, std } = Moments::of(differences);
    let freedom = differences.len() as f64 - 1.0;
    if freedom < 1.0 || std == 0.0 {
        return None;
    }
    let t = mean / (std / (freedom + 1.0).sqrt());
    StudentsT::new(0.0, 1.0, freedom).ok().map(|student| 2.0 * student.cdf(-t.abs()))
}

/// Holm's step-down correction: each p multiplied by the number of hypotheses that are still open when its turn comes,
/// never less than that of a smaller one, at most 1.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut corrected, mut largest) = (vec![0.0; p.len()], 0.0_f64);
    for (rank, &i) in order.iter().enumerate() {
        largest = largest.max((p[i] * (p.len() - rank) as f64).min(1.0));
        corrected[i] = largest;
    }
    corrected
}

/// Percentile bootstrap interval of the mean of `runs`, 95 %: runs are drawn with replacement, and within each its tasks.
pub(crate) fn bootstrap(runs: &[Vec<f64>]) -> [f64; 2] {
    let mut rng = Rng::new(0xB007);
    let mut draw = |n: usize| rng.below(n);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let of_runs = (0..runs.len()).map(|_| {
                let run = &runs[draw(runs.len())];
                (0..run.len()).map(|_| run[draw(run.len())]).sum::<f64>() / run.len() as f64
            });
            of_runs.sum::<f64>() / runs.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((RESAMPLES - 1) as f64 * share).round() as usize];
    [at(TAIL), at(1.0 - TAIL)]
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `scipy.stats.ttest_rel` and `ttest_1samp`, scipy 1.17.1.
    #[test]
    fn the_t_test_is_that_of_scipy() {
        let before = [0.31, 0.28, 0.35, 0.30, 0.33].map(|v| vec![v]);
        let after = [0.42, 0.37, 0.41, 0.45, 0.36].map(|v| vec![v]);
        let change = Change::of(&before, &after).unwrap();
        assert!((change.p.unwrap() - 0.012_912_536_283_290_029).abs() < 1e-9, "{change:?}");
        assert!((change.difference - 0.088).abs() < 1e-12);
        assert!((paired_t_test(&[0.05, -0.02, 0.11]).unwrap() - 0.340_033_670_892_555_65).abs() < 1e-9);
        assert_eq!(paired_t_test(&[0.3]), None);
        assert_eq!(paired_t_test(&[0.25, 0.25]), None, "no spread, no test");
    }

    /// `statsmodels.stats.multitest.multipletests(..., method="holm")`, statsmodels 0.15.0.
    #[test]
    fn holm_is_that_of_statsmodels() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005, 0.5]);
        for (got, expected) in corrected.iter().zip([0.04, 0.09, 0.09, 0.025, 0.5]) {
            assert!((got - expected).abs() < 1e-12, "{corrected:?}");
        }
    }

    #[test]
    fn the_interval_is_as_wide_as_theory_says() {
        // One run of 400 tasks, 30 % of which change by one: the interval is 0.3 +- 1.96 sqrt(0.3 0.7 / 400).
        let before = vec![vec![0.0; 400]];
        let after = vec![(0..400).map(|i| if i % 10 < 3 { 1.0 } else { 0.0 }).collect::<Vec<_>>()];
        let [low, high] = Change::of(&before, &after).unwrap().interval;
        let half = 1.96 * (0.3_f64 * 0.7 / 400.0).sqrt();
        assert!((low - (0.3 - half)).abs() < 0.1 * half && (high - (0.3 + half)).abs() < 0.1 * half, "{low} {high}");
        // Runs differ and their tasks do not: the spread is that of runs.
        let after = vec![vec![0.1; 50], vec![0.5; 50]];
        let change = Change::of(&[vec![0.0; 50], vec![0.0; 50]], &after).unwrap();
        assert_eq!(change.interval.map(|v| (v * 10.0).round()), [1.0, 5.0]);
    }

    #[test]
    fn runs_that_do_not_match_are_refused() {
        let error = Change::of(&[vec![0.0, 1.0]], &[vec![0.0]]).unwrap_err();
        assert!(error.to_string().contains("the same runs and tasks"), "{error}");
        assert!(Change::of(&[], &[]).is_err());
    }
}
