//! How trajectories are drawn from a policy.

mod one_shot;
mod typed;

pub use one_shot::one_shot;
pub use typed::TypedSampler;

use std::any::Any;

use serde_json::Value;

use crate::{Key, Policy, Result, Sample, Streams, Task, Trajectory};

/// A **sampler**, as the trainer sees it: draws trajectories from any policy, in two phases. [`draft`](Sampler::draft) up to
/// the checkpoint step t_c with a preview, [`finish`](Sampler::finish) for those that were admitted.
///
/// Samplers are written as a [`TypedSampler`], which knows its policy and the state of its drafts, or as a function by
/// [`one_shot`] where there is nothing to draft.
///
/// *Contract*: all candidates of a call are drawn in one batch; every random decision comes from
/// `candidate.stream(..)`, so a candidate's trajectory does not depend on which others share its batch. The recorded
/// log-probabilities are those of the distributions that were sampled from (guided, temperature-scaled). Candidates with an
/// answer in common have equal segments of understanding, drawn from the streams of [`Candidate::answering`]; a sampler that
/// knows nothing of this is refused where a run wants it.
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

    /// What it has to remember from one task to the next, for checkpoints. Nothing by default.
    fn state(&self) -> Value {
        Value::Null
    }

    /// Restores what [`state`](Sampler::state) returned.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when the value is not such a state.
    fn restore(&mut self, state: &Value) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

/// One candidate to draw, with its source of randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The run's streams.
    pub streams: Streams,
    /// Step, task and candidate number.
    pub key: Key,
    /// Number of its answer: candidates of a task with equal numbers say the same, and paint different images for it
    /// (`trainer.images_per_answer`).
    pub answer: u64,
}

impl Candidate {
    /// The candidate at `key`, with an answer of its own.
    pub fn new(streams: Streams, key: Key) -> Self {
        Self { streams, key, answer: key.candidate }
    }

    /// The same as one of those that share answer number `answer`.
    pub fn with_answer(mut self, answer: u64) -> Self {
        self.answer = answer;
        self
    }

    /// Who stands for its answer: what is drawn from this one's streams is the same for all that share it.
    pub fn answering(&self) -> Self {
        Self { key: Key { candidate: self.answer, ..self.key }, ..*self }
    }

    /// The candidate's stream for decision number `index` of `purpose`.
    pub fn stream(&self, purpose: &str, index: u64) -> crate::Stream {
        self.streams.stream(self.key, purpose, index)
    }
}

/// A candidate at its checkpoint step, with what the sampler needs to go on: `S` where the sampler is known, anything where
/// it is not.
#[non_exhaustive]
pub struct Draft<S = Box<dyn Any + Send>> {
    /// The candidate.
    pub candidate: Candidate,
    /// What it looks like so far, scored by the surrogate; `None` when no previews were asked for.
    pub preview: Option<Sample>,
    /// Sampling steps spent on it so far.
    pub steps_spent: usize,
    /// Sampling steps that finishing it will cost.
    pub steps_left: usize,
    /// What the sampler needs to go on.
    pub state: S,
}

impl<S> Draft<S> {
    /// A draft without a preview, on which `steps_spent` steps were spent and `steps_left` will be.
    pub fn new(candidate: Candidate, state: S, steps_spent: usize, steps_left: usize) -> Self {
        Self { candidate, preview: None, steps_spent, steps_left, state }
    }

    /// The same with what it looks like so far.
    pub fn with_preview(mut self, preview: Option<Sample>) -> Self {
        self.preview = preview;
        self
    }

    /// The same with another state.
    pub(crate) fn map<T>(self, change: impl FnOnce(S) -> T) -> Draft<T> {
        let Self { candidate, preview, steps_spent, steps_left, state } = self;
        Draft { candidate, preview, steps_spent, steps_left, state: change(state) }
    }
}

/// A finished candidate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rollout {
    /// What it decided.
    pub trajectory: Trajectory,
    /// What rewards see of it.
    pub sample: Sample,
    /// Named numbers of it; the mean of each over the finished candidates of a step is a metric.
    pub metrics: Vec<(&'static str, f64)>,
}

impl Rollout {
    /// A candidate that decided `trajectory`, which rewards see as `sample`.
    pub fn new(trajectory: Trajectory, sample: Sample) -> Self {
        Self { trajectory, sample, metrics: Vec::new() }
    }

    /// The same with a number of this name.
    pub fn with_metric(mut self, name: &'static str, value: f64) -> Self {
        self.metrics.push((name, value));
        self
    }
}
