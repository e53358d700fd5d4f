//! What an objective is given and what it returns.

use burn::tensor::Tensor;

use crate::SegmentKind;

/// One chunk's numbers. `n` rows of `d` decisions; all f32, on the policy's device.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Terms {
    /// Log-probabilities under the current parameters, `[n, d]`, differentiable.
    pub log_probs: Tensor<2>,
    /// Log-probabilities before the first update from this batch, `[n, d]`: in that update those of `log_probs`, so that the
    /// ratio is exactly 1.
    pub old: Tensor<2>,
    /// Log-probabilities under the frozen reference, `[n, d]`.
    pub reference: Option<Tensor<2>>,
    /// Advantages, `[n, 1]`.
    pub advantages: Tensor<2>,
    /// Weights of the decisions, `[n, d]`; 0 for padding and for what is not scored.
    pub weights: Tensor<2>,
    /// Truncated importance weights of the decisions, `[n, d]`, at least 0 and without gradient: what their parts of the
    /// surrogate, not of the KL term, are multiplied by, where [`ImportanceCap`](crate::config::ImportanceCap) asks for it.
    pub importance: Option<Tensor<2>>,
    /// Mean log-ratio of each row's whole trajectory, `[n, 1]`, where the objective asked for it.
    pub sequence_log_ratio: Option<Tensor<2>>,
}

impl Terms {
    /// Terms without a reference, importance weights and sequence ratios.
    pub fn new(log_probs: Tensor<2>, old: Tensor<2>, advantages: Tensor<2>, weights: Tensor<2>) -> Self {
        Self { log_probs, old, reference: None, advantages, weights, importance: None, sequence_log_ratio: None }
    }
}

/// A chunk's loss.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The differentiable loss, `[1]`.
    pub loss: Tensor<1>,
    /// Statistics for the metrics.
    pub stats: LossStats,
}

/// Sums over the scored decisions of a chunk; add them over chunks and divide by `count`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct LossStats {
    /// Scored decisions.
    pub count: f64,
    /// Sum of the loss.
    pub loss: f64,
    /// Sum of the KL estimates against the reference.
    pub kl: f64,
    /// Sum of the probability ratios D.
    pub ratio: f64,
    /// Largest probability ratio.
    pub ratio_max: f64,
    /// Decisions with a negative advantage whose ratio fell below 1 - eps_low.
    pub clipped_low: f64,
    /// Decisions with a positive advantage whose ratio rose above 1 + eps_high.
    pub clipped_high: f64,
}

impl LossStats {
    /// Adds another chunk's sums.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.loss += other.loss;
        self.kl += other.kl;
        self.ratio += other.ratio;
        self.ratio_max = self.ratio_max.max(other.ratio_max);
        self.clipped_low += other.clipped_low;
        self.clipped_high += other.clipped_high;
    }

    /// `sum` per scored decision; 0 when nothing was scored.
    pub fn mean(&self, sum: f64) -> f64 {
        if self.count > 0.0 { sum / self.count } else { 0.0 }
    }
}

/// How many decisions of each segment of each candidate of a group are scored.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupShape {
    /// `[candidate][segment]`: the segment's kind and its number of scored decisions, before any subset of steps.
    pub scored: Vec<Vec<(SegmentKind, usize)>>,
}

impl GroupShape {
    /// Number of candidates, G.
    pub fn candidates(&self) -> usize {
        self.scored.len()
    }

    /// |o_i|: scored decisions of one candidate.
    pub fn length(&self, candidate: usize) -> usize {
        self.scored[candidate].iter().map(|(_, n)| n).sum()
    }

    /// Scored decisions of the whole group.
    pub fn total(&self) -> usize {
        (0..self.candidates()).map(|i| self.length(i)).sum()
    }
}
