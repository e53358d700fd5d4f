//! How much of a gradient is signal: the gradients of two halves of a batch have the signal in common and nothing else.

use std::collections::BTreeSet;

use super::chunk_loss::Old;
use super::gathered::Gathered;
use super::items::Item;
use super::replay::{Batch, Pass};
use super::{BatchDraw, Group, Updater};
use crate::event::unwatched;
use crate::metrics::Metrics;
use crate::{Error, ErrorKind, Result, SegmentKind, Trajectory};

impl Updater {
    /// Measures the gradient of each half of the loop. The batch is cut in two: by tasks, or by answers where there is one
    /// task, or by images where there is one answer. With g1 and g2 the gradients of the two cuts, from n1 and n2 of these
    /// n units, both unbiased for the same gradient g and independent of each other:
    ///
    /// - E g1 . g2 = |g|^2 (for units of one group short by the known factor of a common baseline, and never off 0),
    /// - E |g1 - g2|^2 = v (1 / n1 + 1 / n2), v the variance of one unit; the step's gradient has the variance v / n,
    /// - so signal and noise are equal for v / |g|^2 units (McCandlish et al., arXiv 1812.06162).
    pub(super) fn signal(&mut self, groups: &[Group], draw: &BatchDraw) -> Result<Metrics> {
        let mut metrics = Metrics::new();
        for kind in [SegmentKind::Understanding, SegmentKind::Generation] {
            match self.signal_of(kind, groups, draw) {
                Ok(found) => metrics.extend(found),
                Err(error) => {
                    self.policy.learner().discard();
                    return Err(error);
                }
            }
        }
        Ok(metrics)
    }

    fn signal_of(&mut self, kind: SegmentKind, groups: &[Group], draw: &BatchDraw) -> Result<Metrics> {
        let trajectories: Vec<&Trajectory> = groups.iter().flat_map(|group| &group.trajectories).collect();
        let answers: BTreeSet<u64> = trajectories.iter().map(|trajectory| trajectory.answer).collect();
        let unit = |item: &Item<'_>| match (groups.len(), answers.len()) {
            (1, 1) => item.replay.trajectory.candidate,
            (1, _) => item.replay.trajectory.answer,
            _ => item.group as u64,
        };
        let of_kind = |item: &Item<'_>| item.replay.segment().kind == kind;
        let batch = Batch::new(self.objective.as_ref(), groups, Some(draw), &self.told)?;
        let units: BTreeSet<u64> = batch.items.iter().filter(|item| of_kind(item)).map(unit).collect();
        let n = units.len() as f64;
        if n < 2.0 {
            return Ok(Metrics::new());
        }
        let cuts: [BTreeSet<u64>; 2] = [0, 1].map(|cut| units.iter().copied().skip(cut).step_by(2).collect());
        let mut gradients = Vec::new();
        for cut in &cuts {
            let batch = Batch::new(self.objective.as_ref(), groups, Some(draw), &self.told)?
                .only(|item| of_kind(item) && cut.contains(&unit(item)))
                .weighted(self.config.importance_cap.limit());
            let means = vec![0.0; trajectories.len()];
            let pass = Pass { round: 0, old: Old::Current { keep: false }, means: &means };
            let (policy, mut gathered) = (self.policy.as_mut(), Gathered::together());
            let (replayed, _) = batch.replay(policy, self.config.chunk, pass, &mut gathered, &mut unwatched)?;
            if let Some(reason) = replayed.non_finite {
                return Err(Error::new(ErrorKind::NonFinite, reason));
            }
            gradients.push(self.policy.learner().take()?);
        }
        let sizes = cuts.map(|cut| cut.len() as f64);
        let learner = self.policy.learner();
        // The loss is a mean over all units; these are means over those of a cut.
        let dot = |a: usize, b: usize| -> Result<f64> {
            Ok(learner.dot(&gradients[a], &gradients[b])? * n * n / (sizes[a] * sizes[b]))
        };
        let found = Signal::of([dot(0, 0)?, dot(1, 1)?, dot(0, 1)?], sizes);
        Ok(found.metrics(kind.suffix(), trajectories.len() as f64 / n))
    }
}

/// What two gradients say.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Signal {
    /// Estimate of |g|^2.
    signal: f64,
    /// Estimate of the variance of the mean over all units.
    noise: f64,
    /// Estimate of the number of units for which both are equal.
    units: Option<f64>,
    cosine: f64,
}

impl Signal {
    /// From g1 . g1, g2 . g2 and g1 . g2 of means over so many units.
    fn of([first, second, both]: [f64; 3], [n1, n2]: [f64; 2]) -> Self {
        let variance = (first + second - 2.0 * both).max(0.0) / (1.0 / n1 + 1.0 / n2);
        let units = (both > 0.0).then(|| variance / both);
        let norms = (first * second).sqrt();
        let cosine = if norms > 0.0 { both / norms } else { 0.0 };
        Self { signal: both, noise: variance / (n1 + n2), units, cosine }
    }

    fn metrics(self, suffix: &str, candidates: f64) -> Metrics {
        let mut metrics = Metrics::new();
        metrics.insert(format!("signal{suffix}"), self.signal);
        metrics.insert(format!("signal{suffix}/noise"), self.noise);
        metrics.insert(format!("signal{suffix}/cosine"), self.cosine);
        if let Some(units) = self.units {
            metrics.insert(format!("signal{suffix}/batch"), units * candidates);
        }
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_unbiased() {
        // Units are g + e with g = (0.3, -0.4), |g|^2 = 0.25, and e normal with variance 2 a coordinate: 4 in all.
        let mut stream = crate::Streams::new(5).stream(crate::Key::task(0, 0), "signal", 0);
        let mut normal = || (0..12).map(|_| f64::from(stream.uniform())).sum::<f64>() - 6.0;
        let (mut signal, mut noise) = (0.0, 0.0);
        let draws = 20_000;
        for _ in 0..draws {
            let mut mean = |n: usize| {
                let mut sum = [0.0; 2];
                for _ in 0..n {
                    sum[0] += 0.3 + 2.0_f64.sqrt() * normal();
                    sum[1] += -0.4 + 2.0_f64.sqrt() * normal();
                }
                sum.map(|s| s / n as f64)
            };
            let (a, b) = (mean(2), mean(1));
            let dot = |a: [f64; 2], b: [f64; 2]| a[0] * b[0] + a[1] * b[1];
            let found = Signal::of([dot(a, a), dot(b, b), dot(a, b)], [2.0, 1.0]);
            signal += found.signal / f64::from(draws);
            noise += found.noise / f64::from(draws);
        }
        assert!((signal - 0.25).abs() < 0.06, "{signal}");
        assert!((noise - 4.0 / 3.0).abs() < 0.05, "{noise}");
    }
}
