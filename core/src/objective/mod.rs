//! From rewards and log-probabilities to a loss.

mod credit;
mod scope;
mod sync_grpo;
mod terms;

pub use credit::Credit;
pub use scope::{ImagePositions, Remask, Scope, StepSampling};
pub use sync_grpo::{Advantage, Kl, Normalization, Ratio, SyncGrpo, SyncGrpoConfig};
pub use terms::{GroupShape, Loss, LossStats, Terms};

use crate::Result;

/// An **objective** turns the rewards of a group into advantages, and a chunk's log-probabilities into a loss.
///
/// *Contract*: the loss of a batch is the sum of the losses of its chunks, however it is cut into chunks; everything
/// that couples candidates (means over the group, lengths) goes into [`advantages`](Objective::advantages) and
/// [`weight`](Objective::weight), which are computed before.
/// *Call order*: `advantages` once for each set of decisions that are compared with each other, which is the whole group unless
/// credit or several images per answer tell the halves apart; then, for each update, `weight` once for each segment of each of its
/// candidates, and `loss` once for each chunk. The check before the first update asks for weights too.
/// *Threading*: `Send + Sync`: where a policy has replicas, `loss` is called from several threads at once.
///
/// ```
/// use counterpoint::burn::tensor::{Device, Tensor};
/// use counterpoint::{GroupShape, Loss, LossStats, Objective, Result, SegmentKind, Terms};
///
/// /// REINFORCE with the group's mean as baseline: the loss is -1/G sum_i A_i sum_j log p_ij.
/// struct Reinforce;
///
/// impl Objective for Reinforce {
///     fn advantages(&self, rewards: &[f64]) -> Vec<f64> {
///         let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
///         rewards.iter().map(|reward| reward - mean).collect()
///     }
///
///     fn weight(&self, group: &GroupShape, _candidate: usize, _segment: usize) -> f64 {
///         1.0 / group.candidates() as f64
///     }
///
///     fn loss(&self, terms: Terms) -> Result<Loss> {
///         let count = terms.weights.clone().greater_elem(0.0).int().sum().into_scalar::<i32>();
///         let loss = (terms.log_probs * terms.advantages * terms.weights).sum().neg();
///         let value = f64::from(loss.clone().detach().into_scalar::<f32>());
///         let mut stats = LossStats::default();
///         (stats.count, stats.loss) = (f64::from(count), value);
///         Ok(Loss { loss, stats })
///     }
///
///     fn needs_reference(&self) -> bool {
///         false
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let advantages = Reinforce.advantages(&[1.0, 0.0]);
/// assert_eq!(advantages, [0.5, -0.5]);
/// let group = GroupShape { scored: vec![vec![(SegmentKind::Understanding, 2)]; 2] };
/// let weight = Reinforce.weight(&group, 0, 0) as f32;
/// assert_eq!(weight, 0.5);
///
/// // Two candidates; the second one has a single decision and a column of padding, which weighs nothing.
/// let device = Device::flex();
/// let log_probs = Tensor::<2>::from_floats([[-1.0, -2.0], [-4.0, -9.0]], &device);
/// let advantages = Tensor::from_floats([[0.5], [-0.5]], &device);
/// let weights = Tensor::from_floats([[weight, weight], [weight, 0.0]], &device);
/// let loss = Reinforce.loss(Terms::new(log_probs.clone(), log_probs, advantages, weights))?;
/// assert_eq!((loss.stats.loss, loss.stats.count), (-0.25, 3.0));
/// # Ok(())
/// # }
/// ```
pub trait Objective: Send + Sync {
    /// Advantages A_i of rewards R_i that are compared with each other: those of a group's candidates, or of its answers, or of
    /// the images of one answer.
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

    /// Which rewards a decision is credited with. All of them by default.
    fn credit(&self) -> Credit {
        Credit::Joint
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
