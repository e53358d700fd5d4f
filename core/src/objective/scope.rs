//! Which recorded decisions an objective scores.

use serde::{Deserialize, Serialize};

/// Which image positions of a denoising step are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImagePositions {
    /// Every position; one decided earlier is scored with its standing id.
    #[default]
    All,
    /// Only positions still undecided at that step.
    Masked,
}

/// Which recorded decisions an objective scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scope {
    /// Which image positions of a denoising step.
    pub image_positions: ImagePositions,
    /// How many denoising steps of each candidate, drawn anew for every batch; `None` is all of them.
    /// The drawn ones are weighted by T / K, which keeps the expected gradient that of all T.
    pub denoising_steps: Option<usize>,
}
