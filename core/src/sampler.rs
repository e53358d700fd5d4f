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
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/bandit.rs"));
/// use std::any::Any;
///
/// use counterpoint::{
///     Candidate, Draft, Error, Key, Policy, Result, Rollout, Sample, Sampler, Segment, Streams, Task, Trajectory,
/// };
/// # use bandit::Bandit;
///
/// /// Pulls one arm of the `Bandit` that the example of `Policy` defines. A draft is finished already.
/// struct OnePull;
///
/// impl Sampler for OnePull {
///     fn draft(&mut self, policy: &dyn Policy, task: &Task, all: &[Candidate], _: bool) -> Result<Vec<Draft>> {
///         let bandit = (policy as &dyn Any).downcast_ref::<Bandit>();
///         let log_probs = bandit.ok_or_else(|| Error::contract("expected a Bandit"))?.log_probs_now()?;
///         let draft = |&candidate: &Candidate| {
///             // The candidate's own stream: what it draws does not depend on who shares the batch.
///             let u = candidate.stream("pull", 0).uniform();
///             let mut cumulative = 0.0;
///             let found = log_probs.iter().position(|l| {
///                 cumulative += l.exp();
///                 cumulative >= u
///             });
///             let arm = found.unwrap_or(log_probs.len() - 1);
///             let number = candidate.key.candidate;
///             // What was chosen, and how likely it was: the trainer checks this against the policy's replay.
///             let segment = Segment::text(Vec::new(), vec![arm as u32], vec![log_probs[arm]]);
///             let trajectory = Trajectory { candidate: number, segments: vec![segment] };
///             let sample = Sample::new(task, number, String::new(), arm.to_string(), None);
///             let state = Box::new(Rollout { trajectory, sample });
///             Draft { candidate, preview: None, steps_spent: 1, steps_left: 0, state }
///         };
///         Ok(all.iter().map(draft).collect())
///     }
///
///     fn finish(&mut self, _: &dyn Policy, _: &Task, drafts: Vec<Draft>) -> Result<Vec<Rollout>> {
///         let foreign = |_| Error::contract("expected a draft of this sampler");
///         drafts.into_iter().map(|d| Ok(*d.state.downcast::<Rollout>().map_err(foreign)?)).collect()
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let (policy, task) = (Bandit::new(), Task::new(0, "Pull an arm."));
/// let candidate = |candidate| Candidate { streams: Streams::new(1), key: Key { step: 0, task: 0, candidate } };
/// let mut draw = |numbers: &[u64]| -> Result<Vec<Rollout>> {
///     let candidates: Vec<Candidate> = numbers.iter().map(|&n| candidate(n)).collect();
///     let drafts = OnePull.draft(&policy, &task, &candidates, false)?;
///     OnePull.finish(&policy, &task, drafts)
/// };
/// let together = draw(&[0, 1, 2, 3])?;
/// let alone = draw(&[2])?;
/// assert_eq!(together[2].trajectory, alone[0].trajectory);
/// assert!(together.iter().any(|r| r.sample.response != together[0].sample.response));
/// # Ok(())
/// # }
/// ```
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
