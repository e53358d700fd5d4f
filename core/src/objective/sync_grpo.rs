//! Sync-GRPO and its relatives: one clipped, KL-regularised policy-gradient objective with named options.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Credit, GroupShape, ImagePositions, Loss, LossStats, Objective, Remask, Scope, StepSampling, Terms};
use crate::device::indicator;
use crate::{Error, Result, SegmentKind};

/// Log-ratios are limited to this range before `exp`, so that f32 stays finite.
const LOG_RATIO_LIMIT: f32 = 20.0;
/// Added to the standard deviation of a group's rewards (GRPO), as in the public implementations.
const STD_EPSILON: f64 = 1e-4;

/// How rewards become advantages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advantage {
    /// A_i = R_i - mean(R) (Dr.GRPO, Sync-GRPO).
    Centered,
    /// A_i = (R_i - mean(R)) / (std(R) + 1e-4), sample standard deviation (GRPO).
    Standardized,
    /// A_i = R_i - mean of the others (RLOO): the expected gradient is exact, where that of `centered` is short by a factor
    /// of 1 - 1/n for n rewards that are compared. That matters where n is small, as among the images of one answer.
    LeaveOneOut,
}

/// How the sum over decisions is normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// 1/G sum_i sum_j (Dr.GRPO, Sync-GRPO).
    Sum,
    /// 1/G sum_i 1/|o_i| sum_j (GRPO, GSPO).
    LengthMean,
    /// 1/G sum_i sum over segments 1/|segment| sum_j: a text and an image weigh alike, however many tokens they have (CoRL).
    SegmentMean,
    /// 1/(sum_i |o_i|) sum_i sum_j (DAPO).
    TokenMean,
}

/// Level at which the probability ratio is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ratio {
    /// D_ij = exp(cur_ij - old_ij).
    Token,
    /// s_i = exp(mean_j(cur_ij - old_ij)) (GSPO), whose gradient reaches every decision alike.
    Sequence,
}

/// Estimator of the KL divergence from the reference, with d = ref - cur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kl {
    /// -d: unbiased, high variance.
    K1,
    /// d^2 / 2.
    K2,
    /// exp(d) - d - 1: non-negative, low variance.
    K3,
    /// No KL term; the reference is never run.
    None,
}

/// Options of [`SyncGrpo`]; the defaults are the paper's (DESIGN section 3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncGrpoConfig {
    /// How rewards become advantages.
    pub advantage: Advantage,
    /// How the sum over decisions is normalised.
    pub normalization: Normalization,
    /// Level of the probability ratio.
    pub ratio: Ratio,
    /// eps below: the ratio is clipped at `1 - clip_low`; in [0, 1].
    pub clip_low: f64,
    /// eps above: the ratio is clipped at `1 + clip_high`; at least 0.
    pub clip_high: f64,
    /// KL estimator.
    pub kl: Kl,
    /// Weight beta of the KL term; at least 0. At 0 there is none: the reference is never run, and no `kl` measured.
    pub beta: f64,
    /// Weight a_und of reasoning tokens; at least 0.
    pub a_und: f64,
    /// Weight a_gen of image tokens; at least 0.
    pub a_gen: f64,
    /// Which rewards a decision is credited with.
    pub credit: Credit,
    /// Which image tokens are scored: the estimator of an image's likelihood.
    pub image_positions: ImagePositions,
    /// Number of denoising steps scored per candidate and update, re-weighted without bias; absent means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denoising_steps: Option<usize>,
    /// How they are drawn.
    pub step_sampling: StepSampling,
    /// The masks of `image_positions = "remask_final"`.
    pub remask: Remask,
    /// Whether texts that ended at the sampler's limit are left out of the loss, so that what was cut off is not learned from (DAPO's
    /// overlong filtering; `mask_truncated_completions` elsewhere).
    pub mask_truncated: bool,
}

impl Default for SyncGrpoConfig {
    fn default() -> Self {
        Self {
            advantage: Advantage::Centered,
            normalization: Normalization::Sum,
            ratio: Ratio::Token,
            clip_low: 0.2,
            clip_high: 0.2,
            kl: Kl::K3,
            beta: 0.01,
            a_und: 0.4,
            a_gen: 0.6,
            credit: Credit::Joint,
            image_positions: ImagePositions::All,
            denoising_steps: None,
            step_sampling: StepSampling::Uniform,
            remask: Remask::default(),
            mask_truncated: false,
        }
    }
}

impl SyncGrpoConfig {
    /// GRPO (DeepSeekMath): standardised advantages, mean over each candidate's length, equal weights.
    pub fn grpo() -> Self {
        Self {
            advantage: Advantage::Standardized,
            normalization: Normalization::LengthMean,
            a_und: 1.0,
            a_gen: 1.0,
            ..Self::default()
        }
    }

    /// Dr.GRPO: neither standard deviation nor length, equal weights.
    pub fn dr_grpo() -> Self {
        Self { a_und: 1.0, a_gen: 1.0, ..Self::default() }
    }

    /// DAPO: mean over all tokens, asymmetric clip 0.2 / 0.28, no KL.
    pub fn dapo() -> Self {
        Self { normalization: Normalization::TokenMean, clip_high: 0.28, kl: Kl::None, beta: 0.0, ..Self::grpo() }
    }

    /// GSPO: one ratio per trajectory with the paper's narrow clip 3e-4 / 4e-4.
    pub fn gspo() -> Self {
        Self { ratio: Ratio::Sequence, clip_low: 3e-4, clip_high: 4e-4, ..Self::grpo() }
    }

    /// The preset `kind` (`sync_grpo`, `grpo`, `dr_grpo`, `dapo` or `gspo`) with the keys of `table` in place of its own: what
    /// `[objective]` of a config says.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for another kind, an unknown key or a value of the wrong type.
    pub fn of(kind: &str, table: &toml::Table) -> Result<Self> {
        let preset = match kind {
            "sync_grpo" => Self::default(),
            "grpo" => Self::grpo(),
            "dr_grpo" => Self::dr_grpo(),
            "dapo" => Self::dapo(),
            "gspo" => Self::gspo(),
            _ => {
                return Err(Error::config(format!(
                    "objective.kind: expected sync_grpo, grpo, dr_grpo, dapo or gspo, got `{kind}`"
                )));
            }
        };
        let mut merged = toml::Table::try_from(preset)
            .map_err(|e| Error::config("cannot represent the objective's preset").with_source(e))?;
        merged.extend(table.clone());
        crate::registry::settings("objective", &merged)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the key, its range and the value.
    pub fn validate(&self) -> Result<()> {
        let at_least_zero =
            [("clip_high", self.clip_high), ("beta", self.beta), ("a_und", self.a_und), ("a_gen", self.a_gen)];
        for (key, value) in at_least_zero {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::config(format!("objective.{key}: expected a number of at least 0, got {value}")));
            }
        }
        if !(0.0..=1.0).contains(&self.clip_low) {
            return Err(Error::config(format!(
                "objective.clip_low: expected a number in [0, 1], got {}",
                self.clip_low
            )));
        }
        if self.denoising_steps == Some(0) {
            return Err(Error::config(
                "objective.denoising_steps: expected at least 1, got 0; leave it out to score all steps",
            ));
        }
        self.remask.validate()
    }

    /// The objective with these options.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn init(self) -> Result<SyncGrpo> {
        self.validate()?;
        Ok(SyncGrpo { config: self })
    }
}

/// J = E[ 1/G sum_i sum_j a_j ( min(D_ij A_i, clip(D_ij, 1 - eps_low, 1 + eps_high) A_i) - beta KL_ij ) ], and what the
/// options of [`SyncGrpoConfig`] make of it. The loss is -J.
#[derive(Debug, Clone)]
pub struct SyncGrpo {
    config: SyncGrpoConfig,
}

impl SyncGrpo {
    /// Its options.
    pub fn config(&self) -> &SyncGrpoConfig {
        &self.config
    }

    /// The ratio D, `[n, d]`, differentiable in the current log-probabilities.
    fn ratio(&self, terms: &Terms) -> Result<Tensor<2>> {
        match self.config.ratio {
            Ratio::Token => Ok(limited(terms.log_probs.clone() - terms.old.clone()).exp()),
            Ratio::Sequence => {
                let sequence = terms
                    .sequence_log_ratio
                    .clone()
                    .ok_or_else(|| Error::contract("the sequence ratio needs the trajectories' mean log-ratios"))?;
                // Valued s_i everywhere, with the gradient of s_i towards each decision (GSPO-token, section 4.3).
                let through = terms.log_probs.clone() - terms.log_probs.clone().detach();
                Ok((through + limited(sequence)).exp())
            }
        }
    }

    /// KL estimates, `[n, d]`.
    fn kl(&self, terms: &Terms) -> Result<Option<Tensor<2>>> {
        if !self.needs_reference() {
            return Ok(None);
        }
        let reference = terms
            .reference
            .clone()
            .ok_or_else(|| Error::contract("the KL term needs the reference's log-probabilities"))?;
        let d = limited(reference - terms.log_probs.clone());
        Ok(match self.config.kl {
            Kl::K1 => Some(d.neg()),
            Kl::K2 => Some(d.square() * 0.5),
            Kl::K3 => Some(d.clone().exp() - d - 1.0),
            Kl::None => None,
        })
    }
}

impl Objective for SyncGrpo {
    fn advantages(&self, rewards: &[f64]) -> Vec<f64> {
        let n = rewards.len() as f64;
        let mean = rewards.iter().sum::<f64>() / n.max(1.0);
        let centered = rewards.iter().map(|r| r - mean);
        match self.config.advantage {
            Advantage::Centered => centered.collect(),
            Advantage::Standardized => {
                let variance = centered.clone().map(|c| c * c).sum::<f64>() / (n - 1.0).max(1.0);
                centered.map(|c| c / (variance.sqrt() + STD_EPSILON)).collect()
            }
            Advantage::LeaveOneOut => centered.map(|c| c * n / (n - 1.0).max(1.0)).collect(),
        }
    }

    fn weight(&self, group: &GroupShape, candidate: usize, segment: usize) -> f64 {
        let a = match group.scored[candidate][segment].0 {
            SegmentKind::Understanding => self.config.a_und,
            SegmentKind::Generation => self.config.a_gen,
        };
        let g = group.candidates() as f64;
        match self.config.normalization {
            Normalization::Sum => a / g,
            Normalization::LengthMean => a / (g * group.length(candidate).max(1) as f64),
            Normalization::SegmentMean => a / (g * group.scored[candidate][segment].1.max(1) as f64),
            Normalization::TokenMean => a / group.total().max(1) as f64,
        }
    }

    fn loss(&self, terms: Terms) -> Result<Loss> {
        let [low, high] = [1.0 - self.config.clip_low, 1.0 + self.config.clip_high];
        let ratio = self.ratio(&terms)?;
        let kl = self.kl(&terms)?;
        let [n, d] = ratio.dims();
        let advantages = terms.advantages.clone().expand([n, d]);

        let surrogate =
            (ratio.clone() * advantages.clone()).min_pair(ratio.clone().clamp(low, high) * advantages.clone());
        let surrogate = match terms.importance.clone() {
            Some(importance) => surrogate * importance,
            None => surrogate,
        };
        let gain = match kl.clone() {
            Some(kl) => surrogate - kl * self.config.beta,
            None => surrogate,
        };
        let loss = (gain * terms.weights.clone()).sum().neg();

        let mut inputs = terms.log_probs.inner() + terms.old.inner();
        if let Some(reference) = terms.reference {
            inputs = inputs + reference.inner();
        }
        // The clamps above would hide a log-probability that is infinite, and on some devices one that is NaN: times
        // zero, either is NaN, and shows in the reported loss.
        let reported = loss.clone().inner() + (inputs * 0.0).sum();
        let stats = statistics(reported, ratio, kl, advantages, terms.weights, [low, high])?;
        Ok(Loss { loss, stats })
    }

    fn scope(&self) -> Scope {
        let SyncGrpoConfig { image_positions, denoising_steps, step_sampling, remask, mask_truncated, .. } =
            self.config;
        Scope { image_positions, denoising_steps, step_sampling, remask, mask_truncated }
    }

    fn credit(&self) -> Credit {
        self.config.credit
    }

    fn needs_reference(&self) -> bool {
        self.config.kl != Kl::None && self.config.beta > 0.0
    }

    fn needs_sequence_ratio(&self) -> bool {
        self.config.ratio == Ratio::Sequence
    }
}

/// A log-ratio within [`LOG_RATIO_LIMIT`], with the gradient of the unlimited one: where the objective does not clip (a large
/// ratio at a negative advantage, a large divergence) the way back must not be cut off.
fn limited(log_ratio: Tensor<2>) -> Tensor<2> {
    let excess = log_ratio.clone().detach() - log_ratio.clone().detach().clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT);
    log_ratio - excess
}

/// All sums of a chunk, fetched from the device in one transfer.
fn statistics(
    loss: Tensor<1>,
    ratio: Tensor<2>,
    kl: Option<Tensor<2>>,
    advantages: Tensor<2>,
    weights: Tensor<2>,
    [low, high]: [f64; 2],
) -> Result<LossStats> {
    let ratio = ratio.inner();
    let advantages = advantages.inner();
    let scored = indicator(weights.inner().not_equal_scalar(0.0_f32));
    let kl = kl.map_or_else(|| ratio.zeros_like(), Tensor::inner);
    let below = ratio.clone().lower_scalar(low).bool_and(advantages.clone().lower_scalar(0.0));
    let above = ratio.clone().greater_scalar(high).bool_and(advantages.greater_scalar(0.0));
    let ratio = ratio * scored.clone();
    let sums = Tensor::cat(
        vec![
            scored.clone().sum(),
            loss,
            (kl * scored.clone()).sum(),
            ratio.clone().sum(),
            ratio.max(),
            (indicator(below) * scored.clone()).sum(),
            (indicator(above) * scored).sum(),
        ],
        0,
    );
    let values = sums
        .try_into_vec_as::<f32>()
        .map_err(|e| Error::device("cannot read the loss statistics from the device").with_source(e.to_string()))?;
    let at = |i: usize| f64::from(values[i]);
    Ok(LossStats {
        count: at(0),
        loss: at(1),
        kl: at(2),
        ratio: at(3),
        ratio_max: at(4),
        clipped_low: at(5),
        clipped_high: at(6),
    })
}
