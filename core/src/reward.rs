//! Scoring of samples.

use crate::{Result, Sample};

/// A **reward** scores a batch of samples.
///
/// *Contract*: one [`Score`] per sample, in order; a sample's score does not depend on which others share its batch;
/// what cannot be scored is an abstention or a failure, never a silent constant.
/// *Call order*: any. *Threading*: `Send`, one thread at a time.
///
/// A complete reward in under 60 lines is in `examples/custom_reward.rs`.
pub trait Reward: Send {
    /// Name used in the config, in metrics and in errors: lower case, such as `tier`.
    fn name(&self) -> &str;

    /// Scores `samples`.
    ///
    /// # Errors
    /// Any error means that the expert as a whole failed; it is retried and then stops the run with its name.
    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>>;
}

/// What a reward says of one sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Score {
    /// A finite score; higher is better.
    Value(f64),
    /// This reward does not apply to the sample (no face in the image, no facts given). The remaining weights are
    /// renormalised for it.
    Abstain(String),
    /// Scoring this sample failed. The sample is dropped from its group and counted.
    Fail(String),
}

impl Score {
    /// The score, if there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Value(v) => Some(*v),
            _ => None,
        }
    }
}
