//! Several references, one score.

use serde::{Deserialize, Serialize};

/// Which of a sample's references count, and how their cosines become one score. It makes no difference to a single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum References {
    /// The mean cosine with all of them: an image is to be like the concept in every view of it.
    #[default]
    Mean,
    /// The cosine with the nearest: an image that shows one of several views well is not marked down for the others, and a copy
    /// of any of them scores 1.
    Max,
    /// The cosine with the first alone; the others are not embedded.
    First,
}

impl References {
    /// Those of `references` that count.
    pub fn of<T>(self, references: &[T]) -> &[T] {
        match self {
            Self::Mean | Self::Max => references,
            Self::First => &references[..references.len().min(1)],
        }
    }

    /// One score from the cosines with the references that count; NaN without one or when one is NaN.
    pub fn score(self, cosines: &[f64]) -> f64 {
        match self {
            Self::Mean | Self::First => cosines.iter().sum::<f64>() / cosines.len() as f64,
            // Not `f64::max`, which would drop a NaN.
            Self::Max => {
                cosines.iter().copied().reduce(|a, b| if a.is_nan() || a > b { a } else { b }).unwrap_or(f64::NAN)
            }
        }
    }
}
