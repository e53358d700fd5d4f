//! How trajectories are drawn from a policy.

use std::any::Any;

use crate::{Key, Policy, Result, Sample, Streams, Task, Trajectory};

/// A **sampler** draws trajectories from a policy in two phases: [`draft`](Sampler::draft) up to the checkpoint step t_c
/// with a preview, [`finish`](Sampler::finish) for those that were admitted.
///
/// *Contract*: all candidates of a call are drawn in one batch; every random decision comes from
/// `candidate.streams(..)`, so a candidate's trajectory does not depend on which others share its batch. The recorded
/// log-probabilities are those of the distributions that were sampled from (guided, temperature-scaled).
/// *Call order*: `draft` any number of times, then `finish` once with some of the drafts.
/// *Threading*: `Send`, used from one thread at a time.
pub trait Sampler: Send {
    /// Draws `candidates` up to the checkpoint step, with previews when `previews` says so.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when the policy is not of the kind this sampler draws from.
    fn draft(
        &mut self,
        policy: &dyn Policy,
        task: &Task,
        candidates: &[Candidate],
        previews: bool,
    ) -> Result<Vec<Draft>>;

    /// Completes drafts, in the order given.
    ///
    /// # Errors
    /// As [`draft`](Sampler::draft).
    fn finish(&mut self, policy: &dyn Policy, task: &Task, drafts: Vec<Draft>) -> Result<Vec<Rollout>>;
}

/// One candidate to draw, with its source of randomness.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// The run's streams.
    pub streams: Streams,
    /// Step, task and candidate number.
    pub key: Key,
}

impl Candidate {
    /// The candidate's stream for decision number `index` of `purpose`.
    pub fn stream(&self, purpose: &str, index: u64) -> crate::Stream {
        self.streams.stream(self.key, purpose, index)
    }
}

/// A candidate at its checkpoint step.
pub struct Draft {
    /// The candidate.
    pub candidate: Candidate,
    /// What it looks like so far, scored by the surrogate; `None` when no previews were asked for.
    pub preview: Option<Sample>,
    /// Denoising steps spent on it so far.
    pub steps_spent: usize,
    /// Denoising steps that finishing it will cost.
    pub steps_left: usize,
    /// What the sampler needs to go on.
    pub state: Box<dyn Any + Send>,
}

/// A finished candidate.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// What it decided.
    pub trajectory: Trajectory,
    /// What rewards see of it.
    pub sample: Sample,
}
