//! Before the first update: do the log-probabilities recorded while sampling equal those of the replay?

use std::collections::BTreeMap;

use super::replay::Batch;
use super::{Group, Updater};
use crate::metrics::Metrics;
use crate::{Error, Replay, Result, SegmentKind};

/// Half precision looks at this quantile of the differences: of a million decisions some are rounded badly.
const QUANTILE: f64 = 0.99;
/// In half precision, how often `gate_tolerance` that quantile may be.
const QUANTILE_LIMIT: f64 = 2.0;
/// In half precision, how often `gate_tolerance` the mean difference may be.
const MEAN_LIMIT: f64 = 0.25;

impl Updater {
    /// Refuses to train when sampling and replay disagree: in f32 by more than `gate_tolerance` nats anywhere, in half
    /// precision by more than twice that at the 99 % quantile of a kind of segment, or by more than a quarter of it on
    /// average.
    ///
    /// This catches off-by-one scoring, wrong masks, forgotten guidance or temperature: mistakes that train, badly. Gives back
    /// what was measured.
    pub(super) fn gate(&self, groups: &[Group]) -> Result<Metrics> {
        let half = self.policy.half_precision();
        let tolerance = self.config.gate_tolerance;
        let batch = Batch::new(self.objective.as_ref(), groups, None, &self.told)?;
        // A text is short beside its image: each kind is held to the tolerance for itself, and so are the policy's own scores where
        // replicas compute the update's.
        let mut kinds: BTreeMap<(SegmentKind, bool), Differences> = BTreeMap::new();
        // What is trained is what is checked: the differentiable scores, not the detached ones.
        let trained = batch.current_log_probs(self.policy.as_ref(), self.config.chunk)?;
        let own = batch.own_log_probs(self.policy.as_ref(), self.config.chunk)?;
        for (is_own, rows) in [(false, trained), (true, own)] {
            for (item, replayed) in batch.items.iter().zip(rows) {
                let replay = &item.replay;
                let recorded = &replay.segment().log_probs[replay.decisions()];
                let kind = kinds.entry((replay.segment().kind, is_own)).or_default();
                for (i, (&was, is)) in recorded.iter().zip(replayed).enumerate() {
                    let apart = (f64::from(was) - f64::from(is)).abs();
                    if apart.is_nan() || (!half && apart > tolerance) {
                        let limit = format!("tolerance {tolerance}");
                        return Err(disagreement(&place(replay, i, was, is), &limit));
                    }
                    kind.add(apart, || place(replay, i, was, is));
                }
            }
        }
        let (mut mean, mut quantile, mut largest) = (0.0_f64, 0.0_f64, 0.0_f64);
        for kind in kinds.values_mut() {
            let (own_mean, own_quantile) = (kind.mean(), kind.quantile(QUANTILE));
            let (quantile_limit, mean_limit) = (QUANTILE_LIMIT * tolerance, MEAN_LIMIT * tolerance);
            if half && (own_quantile > quantile_limit || own_mean > mean_limit) {
                let limit = format!(
                    "the furthest of all; in half precision the 99 % quantile of such differences may be \
                     {quantile_limit} nats and their mean {mean_limit}, got {own_quantile:.3} and {own_mean:.3}"
                );
                return Err(disagreement(&kind.worst, &limit));
            }
            (mean, quantile) = (mean.max(own_mean), quantile.max(own_quantile));
            largest = largest.max(kind.largest);
        }
        let mut metrics = Metrics::new();
        metrics.insert("gate/max", largest);
        metrics.insert("gate/p99", quantile);
        metrics.insert("gate/mean", mean);
        Ok(metrics)
    }
}

/// How far apart the decisions of one kind of segment are, in nats.
#[derive(Default)]
struct Differences {
    all: Vec<f32>,
    largest: f64,
    /// Where the largest one is.
    worst: String,
}

impl Differences {
    fn add(&mut self, apart: f64, place: impl FnOnce() -> String) {
        self.all.push(apart as f32);
        if apart > self.largest {
            (self.largest, self.worst) = (apart, place());
        }
    }

    fn mean(&self) -> f64 {
        self.all.iter().copied().map(f64::from).sum::<f64>() / self.all.len().max(1) as f64
    }

    /// The smallest difference that this share of the decisions does not exceed.
    fn quantile(&mut self, share: f64) -> f64 {
        let rank = (share * self.all.len() as f64).ceil() as usize;
        if self.all.is_empty() {
            return 0.0;
        }
        let (_, value, _) = self.all.select_nth_unstable_by(rank.saturating_sub(1), f32::total_cmp);
        f64::from(*value)
    }
}

fn place(replay: &Replay<'_>, decision: usize, was: f32, is: f32) -> String {
    let segment = replay.segment();
    format!(
        "candidate {}, {:?} segment, step {}, position {}: sampled at log-probability {was}, replayed at {is}",
        replay.trajectory.candidate,
        segment.kind,
        replay.steps.start + decision / segment.per_step.max(1),
        decision % segment.per_step.max(1),
    )
}

fn disagreement(place: &str, limit: &str) -> Error {
    Error::contract(format!(
        "sampling and replay disagree: {place} ({limit}); the policy's log_probs must score exactly the distribution \
         that the sampler drew from: check the positions, masks, guidance and temperature (in half precision the two \
         round differently: trainer.gate_tolerance needs some tenths there)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_means_are_those_of_the_numbers() {
        let mut differences = Differences::default();
        for i in 0..200 {
            differences.add(f64::from(199 - i), String::new);
        }
        assert_eq!(differences.mean(), 99.5);
        assert_eq!(differences.quantile(0.99), 197.0);
        assert_eq!(differences.quantile(0.5), 99.0);
        assert_eq!(differences.quantile(1.0), differences.largest);
        let mut few = Differences::default();
        (0..50).for_each(|i| few.add(f64::from(i), String::new));
        assert_eq!(few.quantile(0.99), 49.0, "of few, none may be left out");
        assert_eq!(Differences::default().quantile(0.99), 0.0);
    }
}
