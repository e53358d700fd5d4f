//! The loss of one chunk, and what chunks sum up to.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::items::{Item, is_scored};
use super::layout::{Layout, read};
use crate::device::indicator;
use crate::metrics::Metrics;
use crate::{Error, LogProbs, LossStats, Objective, Replay, Result, SegmentKind, Terms};

/// What the ratio's denominator is.
#[derive(Clone, Copy)]
pub(super) enum Old<'a> {
    /// What the sampler recorded.
    Recorded,
    /// The current scores: the ratio is exactly 1. `keep` fetches them for later updates from the same batch.
    Current { keep: bool },
    /// What an earlier update kept, by the number of the item.
    Kept(&'a [Vec<f32>]),
}

/// What is the same for all chunks of an update.
pub(super) struct Scoring<'a> {
    pub(super) objective: &'a dyn Objective,
    pub(super) old: Old<'a>,
    /// The largest importance weight, where there are any.
    pub(super) importance_cap: Option<f64>,
    /// Mean log-ratio of each trajectory, where the objective needs it.
    pub(super) sequence_ratios: Option<&'a [f64]>,
}

/// One chunk scored.
pub(super) struct ChunkLoss {
    /// To be back-propagated; `None` when it is not finite.
    pub(super) loss: Option<Tensor<1>>,
    pub(super) sums: Totals,
}

impl Scoring<'_> {
    /// Scores `chunk` with `current`, which is differentiable, and `reference`. Of what cannot be used no graph is left.
    pub(super) fn score(
        &self,
        chunk: &[&Item<'_>],
        current: impl FnOnce(&[Replay<'_>]) -> Result<LogProbs>,
        reference: impl FnOnce(&[Replay<'_>]) -> Result<LogProbs>,
    ) -> Result<ChunkLoss> {
        let replays: Vec<Replay<'_>> = chunk.iter().map(|item| item.replay.clone()).collect();
        let scores = current(&replays)?;
        let graph = scores.log_probs.clone();
        self.loss(chunk, &replays, scores, reference).inspect_err(|_| release(graph))
    }

    fn loss(
        &self,
        chunk: &[&Item<'_>],
        replays: &[Replay<'_>],
        scores: LogProbs,
        reference: impl FnOnce(&[Replay<'_>]) -> Result<LogProbs>,
    ) -> Result<ChunkLoss> {
        let positions = self.objective.scope().image_positions;
        let layout = Layout::of(&scores, replays)?;
        let reference = match self.objective.needs_reference() {
            true => Some(layout.attach(reference(replays)?.log_probs)),
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
        let kept = match self.old {
            Old::Current { keep: true } => read(&scores, replays)?,
            _ => Vec::new(),
        };
        let old = match self.old {
            Old::Recorded => layout.fill(chunk, |item, i| f64::from(item.replay.segment().log_probs[i])),
            Old::Current { .. } => scores.log_probs.clone().detach(),
            Old::Kept(rows) => {
                layout.fill(chunk, |item, i| f64::from(rows[item.number][i - item.replay.decisions().start]))
            }
        };
        let importance = self.importance_cap.map(|cap| {
            let sampled = layout.fill(chunk, |item, i| f64::from(item.replay.segment().log_probs[i]));
            (old.clone() - sampled).exp().clamp_max(cap)
        });
        let mean_importance = match &importance {
            Some(values) => Mean::of(values, &weights)?,
            None => Mean::default(),
        };
        let loss = self.objective.loss(Terms {
            log_probs: scores.log_probs,
            old,
            reference,
            advantages: layout.column(chunk, |item| item.advantage),
            weights,
            importance,
            sequence_log_ratio: self.sequence_ratios.map(|s| layout.column(chunk, |item| s[item.trajectory])),
        })?;
        let finite = loss.stats.loss.is_finite();
        let non_finite = (!finite).then(|| {
            let kind = replays[0].segment().kind;
            format!("the loss of a chunk of {} {kind:?} replays is {}", replays.len(), loss.stats.loss)
        });
        let loss_of = match finite {
            true => Some(loss.loss),
            false => {
                release(loss.loss);
                None
            }
        };
        let kept = chunk.iter().map(|item| item.number).zip(kept).collect();
        let half = Sums { stats: loss.stats, entropy, importance: mean_importance };
        let halves = BTreeMap::from([(replays[0].segment().kind, half)]);
        let sums = Totals { halves, non_finite, kept };
        Ok(ChunkLoss { loss: loss_of, sums })
    }
}

/// Frees the graph of `scores`: burn does so when it is walked, not when its result is dropped.
pub(super) fn release<const D: usize>(scores: Tensor<D>) {
    if scores.is_tracked() {
        scores.sum().backward();
    }
}

/// What the replay of a batch came to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Replayed {
    /// Over all scored decisions.
    pub all: Half,
    /// Over those of each half of the loop, as far as there are any.
    pub halves: BTreeMap<SegmentKind, Half>,
    /// What was not finite, and where; the gradients are of no use then.
    pub non_finite: Option<String>,
}

/// What the replay of some decisions came to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Half {
    /// Sums over the scored decisions.
    pub stats: LossStats,
    /// Mean entropy in nats over the scored decisions, where the policy computes it.
    pub entropy: Option<f64>,
    /// Mean importance weight over the scored decisions, where there are such weights.
    pub importance: Option<f64>,
}

impl Half {
    /// Adds what a later update from the same batch came to; entropy and importance stay those of the first.
    pub(super) fn follow(&mut self, next: &Self) {
        self.stats.add(&next.stats);
        self.entropy = self.entropy.or(next.entropy);
        self.importance = self.importance.or(next.importance);
    }

    /// As metrics, their names ending with `suffix`; with the divergence from the reference where there is one.
    pub(super) fn metrics(&self, suffix: &str, kl: bool) -> Metrics {
        let Self { stats, entropy, importance } = *self;
        let mut metrics = Metrics::new();
        let mut insert = |name: &str, value: f64| metrics.insert(format!("{name}{suffix}"), value);
        if kl {
            insert("kl", stats.mean(stats.kl));
        }
        insert("ratio_mean", stats.mean(stats.ratio));
        insert("ratio_max", stats.ratio_max);
        insert("clip_ratio/low", stats.mean(stats.clipped_low));
        insert("clip_ratio/high", stats.mean(stats.clipped_high));
        entropy.into_iter().for_each(|entropy| insert("entropy", entropy));
        importance.into_iter().for_each(|importance| insert("importance_mean", importance));
        metrics
    }
}

/// Sums over chunks.
#[derive(Default)]
pub(super) struct Totals {
    halves: BTreeMap<SegmentKind, Sums>,
    /// The first loss that was not finite.
    pub(super) non_finite: Option<String>,
    /// Scores that were fetched, by the number of the item.
    kept: Vec<(usize, Vec<f32>)>,
}

/// Sums over chunks of one half.
#[derive(Default)]
struct Sums {
    stats: LossStats,
    entropy: Mean,
    importance: Mean,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.stats.add(&other.stats);
        self.entropy.add(&other.entropy);
        self.importance.add(&other.importance);
    }

    fn finish(&self, finite: bool) -> Half {
        let entropy = if finite { self.entropy.value() } else { None };
        Half { stats: self.stats, entropy, importance: self.importance.value() }
    }
}

impl Totals {
    pub(super) fn add(&mut self, other: Self) {
        for (kind, sums) in other.halves {
            self.halves.entry(kind).or_default().add(&sums);
        }
        self.non_finite = self.non_finite.take().or(other.non_finite);
        self.kept.extend(other.kept);
    }

    /// What it came to, and the scores that were kept in the order of the items.
    pub(super) fn finish(mut self) -> (Replayed, Vec<Vec<f32>>) {
        self.kept.sort_by_key(|(number, _)| *number);
        let finite = self.non_finite.is_none();
        let mut all = Sums::default();
        self.halves.values().for_each(|sums| all.add(sums));
        let halves = self.halves.iter().map(|(kind, sums)| (*kind, sums.finish(finite))).collect();
        let replayed = Replayed { all: all.finish(finite), halves, non_finite: self.non_finite };
        (replayed, self.kept.into_iter().map(|(_, row)| row).collect())
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
        let scored = indicator(weights.clone().inner().not_equal_scalar(0.0_f32));
        let sum = (values.clone().inner() * scored.clone()).sum();
        let both = Tensor::cat(vec![sum, scored.sum()], 0)
            .try_into_vec_as::<f32>()
            .map_err(|e| Error::device("cannot read a chunk's means from the device").with_source(e.to_string()))?;
        Ok(Self { sum: f64::from(both[0]), count: f64::from(both[1]) })
    }

    fn add(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}
