//! A model whose matrices are stored in half precision.

use counterpoint_policy_common::training;
use counterpoint_weights::Precision;

use crate::Showo;

impl Showo {
    /// The same model with its matrices stored in `precision`, in which it computes. Vectors (biases, norms) stay what they
    /// are, and so does what is trained beside the weights.
    pub(crate) fn stored_in(self, precision: Precision) -> Self {
        training::stored_in(self, precision, &["concept_tokens"]).computing_in(precision)
    }
}
