//! From rewards and log-probabilities to a loss.

mod sync_grpo;
mod terms;

pub use sync_grpo::{Advantage, ImagePositions, Kl, Normalization, Ratio, SyncGrpo, SyncGrpoConfig};
pub use terms::{GroupShape, Loss, LossStats, Scope, Terms};

use crate::Result;

/// An **objective** turns the rewards of a group into advantages, and a chunk's log-probabilities into a loss.
///
/// *Contract*: the loss of a batch is the sum of the losses of its chunks, however it is cut into chunks; everything
/// that couples candidates (means over the group, lengths) goes into [`advantages`](Objective::advantages) and
/// [`weight`](Objective::weight), which are computed before.
/// *Call order*: `advantages` and `weight` once per group, then `loss` for one chunk after the other.
/// *Threading*: `Send`, one thread at a time.
pub trait Objective: Send {
    /// Advantages A_i of a group's rewards R_i.
    fn advantages(&self, rewards: &[f64]) -> Vec<f64>;

    /// Weight of every scored decision of `segment` of candidate `candidate`: its a_j and its share in the mean.
    fn weight(&self, group: &GroupShape, candidate: usize, segment: usize) -> f64;

    /// The loss (to be minimised) of one chunk and its statistics.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when something it needs is missing from `terms`.
    fn loss(&self, terms: Terms) -> Result<Loss>;

    /// Which recorded decisions are scored. All of them by default.
    fn scope(&self) -> Scope {
        Scope::default()
    }

    /// Whether [`Terms::reference`] is needed. `false` saves the reference's forward passes.
    fn needs_reference(&self) -> bool {
        true
    }

    /// Whether [`Terms::sequence_log_ratio`] is needed. `true` costs one more forward pass per update.
    fn needs_sequence_ratio(&self) -> bool {
        false
    }
}
