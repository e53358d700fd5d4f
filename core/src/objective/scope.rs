//! Which recorded decisions an objective scores.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which image tokens are scored: the estimator of an image's log-likelihood. Below, step t of T chooses code x_ti at position
/// i, M_t are the positions that are undecided before it (M_0 all N of them), CP is the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImagePositions {
    /// sum_t sum_i log p(x_ti | M_t, CP), over every position; one decided earlier is scored with its standing id. The
    /// paper's (Sync-R1).
    #[default]
    All,
    /// sum_t sum_(i in M_t) log p(x_ti | M_t, CP): only positions still undecided at that step. Most of what is scored was
    /// drawn and thrown away again, and is noise.
    Masked,
    /// sum_t sum_(i in M_t \ M_(t+1)) log p(x_ti | M_t, CP): only what the step decided, each position once (Mask-GRPO, TraceRL).
    /// The exact likelihood of the image and its order where the order does not depend on the model.
    Revealed,
    /// The finished image x with some positions masked again, by masks m of [`Remask`]:
    /// 1/M sum_m N/|m| sum_(i in m) log p(x_i | x without m, CP), whatever the steps were (UniGRPO, MaskGRPO). The masks are
    /// the same for the current, the old and the reference's scores.
    RemaskFinal,
}

/// How the denoising steps that are scored are drawn, where they are fewer than all. Either keeps the expected gradient that of
/// all T steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepSampling {
    /// K of the T steps, each subset equally likely, weighted by T / K.
    #[default]
    Uniform,
    /// The T steps are cut into K runs of neighbours, as equally long as can be; one step is drawn of each and weighted by
    /// the length of its run. Early and late steps, whose gradients differ most, both always have a say.
    Stratified,
}

/// The masks of [`ImagePositions::RemaskFinal`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Remask {
    /// Masks of each image, M, 1 or more: as many passes as scored steps.
    pub masks: usize,
    /// Smallest and largest share of positions that a mask covers, in (0, 1]. The shares of an image's masks are drawn one
    /// from each M-th part of this range.
    pub ratio: [f64; 2],
}

impl Default for Remask {
    fn default() -> Self {
        Self { masks: 2, ratio: [0.1, 1.0] }
    }
}

impl Remask {
    pub(super) fn validate(&self) -> Result<()> {
        let [low, high] = self.ratio;
        if self.masks == 0 {
            return Err(Error::config("objective.remask.masks: expected 1 or more, got 0"));
        }
        if !(low > 0.0 && low <= high && high <= 1.0) {
            return Err(Error::config(format!(
                "objective.remask.ratio: expected [low, high] with 0 < low <= high <= 1, got [{low}, {high}]"
            )));
        }
        Ok(())
    }
}

/// Which recorded decisions an objective scores.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Scope {
    /// Which image tokens.
    pub image_positions: ImagePositions,
    /// How many denoising steps of each candidate, drawn anew for every batch; `None` is all of them. Of no concern to
    /// [`ImagePositions::RemaskFinal`].
    pub denoising_steps: Option<usize>,
    /// How they are drawn.
    pub step_sampling: StepSampling,
    /// The masks of [`ImagePositions::RemaskFinal`].
    pub remask: Remask,
    /// Whether texts that ended at the sampler's limit are left out ([`Segment::truncated`](crate::Segment::truncated)): nothing of them is
    /// scored or counted. Rewards and advantages are those of the whole group even so.
    pub mask_truncated: bool,
}
