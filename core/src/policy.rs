//! The model under training, as the trainer sees it.

use std::any::Any;
use std::ops::Range;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use crate::{Error, Learner, Result, Sample, Segment, Stream, Task, TokenStates, Trajectory};

/// A **policy** owns parameters and a frozen reference, and re-scores recorded decisions.
///
/// *Contract*: [`log_probs`](Policy::log_probs) of a trajectory under [`Parameters::Current`] right after sampling equals
/// what the sampler recorded, within numeric tolerance: the trainer checks this before the first update and refuses to
/// train otherwise. Results do not depend on how decisions are grouped into chunks.
/// *Call order*: for each update, `log_probs` and [`Learner::accumulate`] for one chunk after the other, then
/// [`Learner::apply`] or [`Learner::discard`] once.
/// *Threading*: `Send`, not `Sync`: one thread at a time.
///
/// ```
/// use counterpoint::burn::module::{Module, Param};
/// use counterpoint::burn::tensor::{Device, Int, Tensor, TensorData, activation::log_softmax};
/// use counterpoint::{Learner, LogProbs, ModuleLearner, Policy, Replay, Result, Segment, Trajectory, Parameters, burn};
///
/// /// The model: any burn module. This one prefers some of three arms.
/// #[derive(Module, Debug)]
/// struct Arms {
///     logits: Param<Tensor<1>>,
/// }
///
/// struct Bandit {
///     learner: ModuleLearner<Arms>,
///     reference: Arms,
/// }
///
/// impl Policy for Bandit {
///     fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
///         let arms = match parameters {
///             Parameters::Current => self.learner.module().clone(),
///             Parameters::Detached => self.learner.module().valid(),
///             Parameters::Reference => self.reference.clone(),
///         };
///         // One row per replay; rows that are shorter than the longest are filled up with anything finite.
///         let longest = chunk.iter().map(|replay| replay.decisions().len()).max().unwrap_or(0);
///         let row = |replay: &Replay<'_>| {
///             let mut row = replay.segment().chosen[replay.decisions()].to_vec();
///             row.resize(longest, 0);
///             row
///         };
///         let chosen: Vec<u32> = chunk.iter().flat_map(row).collect();
///         let all = log_softmax(arms.logits.val(), 0);
///         let chosen = Tensor::<1, Int>::from_data(TensorData::new(chosen, [chunk.len() * longest]), &all.device());
///         Ok(LogProbs::new(all.select(0, chosen).reshape([chunk.len(), longest])))
///     }
///
///     fn learner(&mut self) -> &mut dyn Learner {
///         &mut self.learner
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let arms = |device: &Device| Arms { logits: Param::from_data([0.5_f32, 0.25, 0.25].map(f32::ln), device) };
/// let bandit = Bandit {
///     learner: ModuleLearner::new(arms(&Device::flex().autodiff())),
///     reference: arms(&Device::flex()).no_grad(),
/// };
/// let pulls = |chosen: Vec<u32>| {
///     let log_probs = vec![0.0; chosen.len()];
///     Trajectory::new(0, vec![Segment::text(Vec::new(), chosen, log_probs)])
/// };
/// let (two, one) = (pulls(vec![0, 2]), pulls(vec![1]));
/// let chunk = [&two, &one].map(|trajectory| Replay { trajectory, segment: 0, steps: 0..trajectory.len() });
/// let scores = bandit.log_probs(&chunk, Parameters::Current)?.log_probs;
/// assert_eq!(scores.dims(), [2, 2]);
/// assert!(scores.is_tracked(), "it can be back-propagated through");
/// let scores = scores.into_data().try_into_vec::<f32>().unwrap();
/// for (got, expected) in scores.iter().zip([0.5_f32, 0.25, 0.25]) {
///     assert!((got - expected.ln()).abs() < 1e-6);
/// }
/// # Ok(())
/// # }
/// ```
///
/// A complete policy, with a sampler, tasks and a reward around it, is in `examples/custom_policy.rs`.
///
/// A wrapper says what it wraps, and changes what it likes:
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/bandit.rs"));
/// use std::time::{Duration, Instant};
///
/// use counterpoint::{Learner, LogProbs, Policy, Replay, Result, Parameters};
///
/// /// Adds up the time that scoring takes.
/// struct Timed<P> {
///     inner: P,
///     took: std::sync::Mutex<Duration>,
/// }
///
/// impl<P: Policy> Policy for Timed<P> {
///     fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
///         let started = Instant::now();
///         let scores = self.inner.log_probs(chunk, parameters);
///         *self.took.lock().unwrap_or_else(|e| e.into_inner()) += started.elapsed();
///         scores
///     }
///
///     fn learner(&mut self) -> &mut dyn Learner {
///         self.inner.learner()
///     }
///
///     fn wrapped(&self) -> Option<&dyn Policy> {
///         Some(&self.inner)
///     }
/// }
/// # fn main() { let _: Box<dyn Policy> = Box::new(Timed { inner: bandit::Bandit::new(), took: Default::default() }); }
/// ```
pub trait Policy: Any + Send {
    /// Log-probabilities of the decisions of `chunk`, all of one [`Decoding`](crate::Decoding) and
    /// [`SegmentKind`](crate::SegmentKind).
    ///
    /// # Shapes
    /// `[chunk.len(), max decisions]`, f32, row `i` holding the decisions of `chunk[i]` step-major and anything finite
    /// after them. Differentiable for [`Parameters::Current`].
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when a trajectory is not one of this policy's.
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs>;

    /// The parameters and their optimizer.
    fn learner(&mut self) -> &mut dyn Learner;

    /// Hears that [`Parameters::Reference`] is not asked for in this run, as its objective has no use for it: a copy of the parameters that is
    /// kept for that alone may be given back. Nothing by default.
    fn drop_reference(&mut self) {}

    /// The policy that this one wraps. None by default: it is one itself.
    ///
    /// Samplers find the policy that they draw from inside its wrappers, and what a wrapper does not say itself (the
    /// methods below), the wrapped policy says.
    fn wrapped(&self) -> Option<&dyn Policy> {
        None
    }

    /// Scorers with the parameters as they are now, which an update uses side by side, each on a thread of its own. None by
    /// default: the update is computed chunk by chunk. Worth it on the CPU, where many operations use one core.
    fn replicas(&self) -> Vec<Box<dyn Replica>> {
        self.wrapped().map_or_else(Vec::new, Policy::replicas)
    }

    /// Has [`replicas`](Self::replicas) be one on each of `devices` from now on, which compute the chunks of an update side by side (data
    /// parallelism: the gradients are summed where the parameters are, in the order of the chunks, so that an update does not depend on how many
    /// devices there are).
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) by default: its updates are computed where it is.
    fn update_on(&mut self, _devices: Vec<Device>) -> Result<()> {
        Err(Error::contract(format!(
            "updates are to be computed on other devices, and a policy of kind `{}` has no replicas there; leave placement.updates out, or \
             implement `Policy::update_on`",
            self.kind()
        )))
    }

    /// About how many bytes the graph of [`Parameters::Current`] scores of `chunk` takes, on the policy's device. None when it
    /// cannot tell: then chunks are given as a number of sequences.
    fn chunk_bytes(&self, chunk: &[Replay<'_>]) -> Option<u64> {
        self.wrapped()?.chunk_bytes(chunk)
    }

    /// The scores that an update back-propagates through: those of [`Parameters::Current`], under the noise that regularises
    /// training (dropout) where the policy has any. Without noise by default.
    ///
    /// All chunks of a batch get the same `noise`, in every update from it, so that results do not depend on how decisions are
    /// grouped into chunks and the probability ratio is not moved by it; the next batch gets another. Samplers, the gate,
    /// [`Parameters::Detached`] and [`Parameters::Reference`] see none of it.
    ///
    /// # Shapes
    /// As [`log_probs`](Policy::log_probs).
    ///
    /// # Errors
    /// As [`log_probs`](Policy::log_probs).
    fn training_log_probs(&self, chunk: &[Replay<'_>], noise: Stream) -> Result<LogProbs> {
        match self.wrapped() {
            Some(policy) => policy.training_log_probs(chunk, noise),
            None => self.log_probs(chunk, Parameters::Current),
        }
    }

    /// Refuses tasks that it could not work on as they are meant, such as those about a concept that it has no token for.
    /// Asked before the first step about tasks that stand for all of the data
    /// ([`TaskSource::survey`](crate::TaskSource::survey)); accepts everything by default.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) with all that is wrong and what to do.
    fn check(&self, tasks: &[Task]) -> Result<()> {
        self.wrapped().map_or(Ok(()), |policy| policy.check(tasks))
    }

    /// The device that it computes on, with or without autodiff. None by default: not known. Rewards overlap with rollouts
    /// by themselves when one of them computes elsewhere ([`Reward::device`](crate::Reward::device)).
    fn device(&self) -> Option<Device> {
        self.wrapped()?.device()
    }

    /// A copy on `device` with the parameters as they are now, for samplers alone: where rollouts have devices of their own
    /// ([`Rollouts::with_devices`](crate::Rollouts::with_devices)), or go on while the parameters are updated
    /// ([`TrainerConfig::staleness`](crate::config::TrainerConfig::staleness)); asked for at the beginning of a step. `last` is what this returned for that
    /// device before, whose parts that never change may be taken over.
    ///
    /// *Contract*: what is drawn from it is what would be drawn from this one, up to the rounding of its device.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) by default: it cannot be copied.
    fn copied(&self, device: &Device, last: Option<Box<dyn Policy>>) -> Result<Box<dyn Policy>> {
        match self.wrapped() {
            Some(policy) => policy.copied(device, last),
            None => Err(Error::contract(format!(
                "rollouts are to be drawn from a copy of the policy, and one of kind `{}` makes none; leave placement.rollouts and \
                 trainer.staleness out, or implement `Policy::copied`",
                self.kind()
            ))),
        }
    }

    /// Whether it computes in half precision, where sampling and updates, which take other kernels, round differently: the
    /// check before the first update then allows for single decisions that are far off. `false` by default.
    ///
    /// [`Parameters::Current`] and [`Parameters::Reference`] are to take the same kernels even so: while the parameters
    /// are those of the reference, there is no divergence to regularise.
    fn half_precision(&self) -> bool {
        self.wrapped().is_some_and(Policy::half_precision)
    }

    /// Its hidden states, after the last norm, of each sample's image and of its prompt, read together as a question about an image is;
    /// for rewards that compare the two ([`Reward::needs_states`](crate::Reward::needs_states)). All samples have an image.
    ///
    /// *Contract*: those of a sample do not depend on the others; under the parameters as they are now, without gradients.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) by default: it gives none.
    fn token_states(&self, samples: &[Sample]) -> Result<Vec<TokenStates>> {
        match self.wrapped() {
            Some(policy) => policy.token_states(samples),
            None => Err(Error::contract(format!(
                "a reward needs the policy's hidden states of images and prompts, and a policy of kind `{}` gives none; leave the \
                 reward out, or implement `Policy::token_states`",
                self.kind()
            ))),
        }
    }

    /// What kind of policy this is; a checkpoint of another kind is refused. The type's name by default.
    fn kind(&self) -> &str {
        match self.wrapped() {
            Some(policy) => policy.kind(),
            None => std::any::type_name::<Self>(),
        }
    }
}

/// A **replica** scores for a policy on another thread, in a graph of its own.
///
/// *Contract*: its scores and gradients are those of the policy that made it.
/// *Threading*: `Send`; one thread at a time uses it.
pub trait Replica: Send {
    /// As [`Policy::log_probs`].
    ///
    /// # Errors
    /// As [`Policy::log_probs`].
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs>;

    /// As [`Policy::training_log_probs`].
    ///
    /// # Errors
    /// As [`Policy::log_probs`].
    fn training_log_probs(&self, chunk: &[Replay<'_>], _noise: Stream) -> Result<LogProbs> {
        self.log_probs(chunk, Parameters::Current)
    }

    /// Back-propagates a loss `[1]` of this replica's scores; for [`Learner::add`] of its policy.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when the loss does not depend on the parameters.
    fn gradients(&self, loss: Tensor<1>) -> Result<GradientsParams>;
}

/// Which parameters score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parameters {
    /// The parameters under training; the result is differentiable.
    Current,
    /// The parameters under training; no gradient: scores that are only read.
    Detached,
    /// The frozen reference; no gradient.
    Reference,
}

/// Some steps of one segment of one trajectory: the unit of replay.
#[derive(Debug, Clone)]
pub struct Replay<'a> {
    /// The trajectory.
    pub trajectory: &'a Trajectory,
    /// Index of the segment in the trajectory.
    pub segment: usize,
    /// The steps to score.
    pub steps: Range<usize>,
}

impl<'a> Replay<'a> {
    /// The segment.
    pub fn segment(&self) -> &'a Segment {
        &self.trajectory.segments[self.segment]
    }

    /// Range of the decisions within the segment's flat vectors.
    pub fn decisions(&self) -> Range<usize> {
        self.segment().decisions(&self.steps)
    }
}

/// Scores of one chunk, `[n, d]` both, f32.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogProbs {
    /// Natural log-probabilities of the recorded decisions.
    pub log_probs: Tensor<2>,
    /// Entropy in nats of the distributions they were drawn from, where the policy computes it; no gradient needed.
    pub entropy: Option<Tensor<2>>,
}

impl LogProbs {
    /// Scores without the entropy of their distributions.
    pub fn new(log_probs: Tensor<2>) -> Self {
        Self { log_probs, entropy: None }
    }

    /// The same with the entropy.
    pub fn with_entropy(mut self, entropy: Tensor<2>) -> Self {
        self.entropy = Some(entropy);
        self
    }
}
