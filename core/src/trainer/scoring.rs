//! The loss of one chunk, and what chunks sum up to.

use burn::tensor::Tensor;

use super::Replayed;
use super::items::{Item, is_scored};
use super::layout::Layout;
use crate::{Error, LogProbs, LossStats, Objective, Replay, Result, Terms};

/// What is the same for all chunks of an update.
pub(super) struct Scoring<'a> {
    pub(super) objective: &'a dyn Objective,
    /// Mean log-ratio of each trajectory, where the objective needs it.
    pub(super) sequence_ratios: Option<&'a [f64]>,
}

/// One chunk scored.
pub(super) struct Scored {
    /// To be back-propagated, unless the sums say that something is not finite.
    pub(super) loss: Tensor<1>,
    pub(super) sums: Totals,
}

impl Scoring<'_> {
    /// Scores `chunk` with `current`, which is differentiable, and `reference`.
    pub(super) fn score(
        &self,
        chunk: &[&Item<'_>],
        current: impl FnOnce(&[Replay<'_>]) -> Result<LogProbs>,
        reference: impl FnOnce(&[Replay<'_>]) -> Result<LogProbs>,
    ) -> Result<Scored> {
        let positions = self.objective.scope().image_positions;
        let replays: Vec<Replay<'_>> = chunk.iter().map(|item| item.replay.clone()).collect();
        let scores = current(&replays)?;
        let layout = Layout::of(&scores, &replays)?;
        let reference = match self.objective.needs_reference() {
            true => Some(layout.attach(reference(&replays)?.log_probs)),
            false => None,
        };
        let weights = layout.fill(chunk, |item, i| match is_scored(item.replay.segment(), i, positions) {
            true => item.weight,
            false => 0.0,
        });
        let entropy = match &scores.entropy {
            Some(values) => Mean::of(values, &weights)?,
            None => Mean::default(),
        };
        let loss = self.objective.loss(Terms {
            log_probs: scores.log_probs,
            old: layout.fill(chunk, |item, i| f64::from(item.replay.segment().log_probs[i])),
            reference,
            advantages: layout.column(chunk, |item| item.advantage),
            weights,
            sequence_log_ratio: self.sequence_ratios.map(|s| layout.column(chunk, |item| s[item.trajectory])),
        })?;
        let non_finite = (!loss.stats.loss.is_finite()).then(|| {
            let kind = replays[0].segment().kind;
            format!("the loss of a chunk of {} {kind:?} replays is {}", replays.len(), loss.stats.loss)
        });
        Ok(Scored { loss: loss.loss, sums: Totals { stats: loss.stats, entropy, non_finite } })
    }
}

/// Sums over chunks.
#[derive(Default)]
pub(super) struct Totals {
    stats: LossStats,
    entropy: Mean,
    /// The first loss that was not finite.
    pub(super) non_finite: Option<String>,
}

impl Totals {
    pub(super) fn add(&mut self, other: Self) {
        self.stats.add(&other.stats);
        self.entropy.sum += other.entropy.sum;
        self.entropy.count += other.entropy.count;
        self.non_finite = self.non_finite.take().or(other.non_finite);
    }

    pub(super) fn replayed(self) -> Replayed {
        let entropy = if self.non_finite.is_none() { self.entropy.value() } else { None };
        Replayed { stats: self.stats, entropy, non_finite: self.non_finite }
    }
}

/// Mean over scored decisions.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn of(values: &Tensor<2>, weights: &Tensor<2>) -> Result<Self> {
        let scored = weights.clone().inner().not_equal_scalar(0.0_f32).float();
        let sum = (values.clone().inner() * scored.clone()).sum();
        let both = Tensor::cat(vec![sum, scored.sum()], 0)
            .try_into_vec_as::<f32>()
            .map_err(|e| Error::contract("cannot read the entropy from the device").with_source(e.to_string()))?;
        Ok(Self { sum: f64::from(both[0]), count: f64::from(both[1]) })
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}
