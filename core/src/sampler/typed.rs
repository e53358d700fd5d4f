//! Samplers that know their policy, and the one adapter that lets a trainer have any of them.

use std::any::{Any, type_name};
use std::marker::PhantomData;

use serde_json::Value;

use super::{Candidate, Draft, Rollout, Sampler};
use crate::{Error, Policy, Result, Task};

/// A **sampler** of policies of type `P`.
///
/// *Contract*, *call order* and *threading* are those of [`Sampler`], which [`boxed`](TypedSampler::boxed) makes of it. The
/// policy that a trainer has may be a `P` or a wrapper of one ([`Policy::wrapped`]).
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/bandit.rs"));
/// use counterpoint::{
///     Candidate, Draft, Key, Policy, Result, Rollout, Sample, Segment, Streams, Task, Trajectory, TypedSampler,
/// };
/// # use bandit::Bandit;
///
/// /// Pulls two arms of the `Bandit` that the example of `Policy` defines; the first is a preview of both.
/// struct TwoPulls;
///
/// /// The arms pulled so far and how likely each was.
/// type Pulled = Vec<(u32, f32)>;
///
/// fn pull(candidate: &Candidate, number: u64, log_probs: &[f32]) -> (u32, f32) {
///     // The candidate's own stream: what it draws does not depend on who shares the batch.
///     let u = candidate.stream("pull", number).uniform();
///     let mut cumulative = 0.0;
///     let found = log_probs.iter().position(|l| {
///         cumulative += l.exp();
///         cumulative >= u
///     });
///     let arm = found.unwrap_or(log_probs.len() - 1);
///     (arm as u32, log_probs[arm])
/// }
///
/// fn sample(task: &Task, candidate: &Candidate, pulled: &Pulled) -> Sample {
///     let text: String = pulled.iter().map(|(arm, _)| arm.to_string()).collect();
///     Sample::new(task, candidate.key.candidate, String::new(), text, None)
/// }
///
/// impl TypedSampler<Bandit> for TwoPulls {
///     type Draft = Pulled;
///
///     fn draft(
///         &mut self,
///         policy: &Bandit,
///         task: &Task,
///         candidates: &[Candidate],
///         previews: bool,
///     ) -> Result<Vec<Draft<Pulled>>> {
///         let log_probs = policy.log_probs_now()?;
///         let draft = |candidate: &Candidate| {
///             let pulled = vec![pull(candidate, 0, &log_probs)];
///             let preview = previews.then(|| sample(task, candidate, &pulled));
///             Draft::new(*candidate, pulled, 1, 1).with_preview(preview)
///         };
///         Ok(candidates.iter().map(draft).collect())
///     }
///
///     fn finish(&mut self, policy: &Bandit, task: &Task, drafts: Vec<Draft<Pulled>>) -> Result<Vec<Rollout>> {
///         let log_probs = policy.log_probs_now()?;
///         let finish = |Draft { candidate, mut state, .. }: Draft<Pulled>| {
///             state.push(pull(&candidate, 1, &log_probs));
///             // What was chosen, and how likely it was: the trainer checks this against the policy's replay.
///             let (chosen, scores) = state.iter().copied().unzip();
///             let segments = vec![Segment::text(Vec::new(), chosen, scores)];
///             Rollout::new(Trajectory::new(candidate.key.candidate, segments), sample(task, &candidate, &state))
///         };
///         Ok(drafts.into_iter().map(finish).collect())
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let (policy, task) = (Bandit::new(), Task::new(0, "Pull two arms."));
/// let candidate = |candidate| Candidate::new(Streams::new(1), Key { step: 0, task: 0, candidate });
/// let mut sampler = TwoPulls.boxed();
/// let mut draw = |numbers: &[u64]| -> Result<Vec<Rollout>> {
///     let candidates: Vec<Candidate> = numbers.iter().map(|&n| candidate(n)).collect();
///     let drafts = sampler.draft(&policy, &task, &candidates, false)?;
///     sampler.finish(&policy, &task, drafts)
/// };
/// let together = draw(&[0, 1, 2, 3])?;
/// let alone = draw(&[2])?;
/// assert_eq!(together[2].trajectory, alone[0].trajectory);
/// assert!(together.iter().any(|r| r.sample.response != together[0].sample.response));
/// # Ok(())
/// # }
/// ```
pub trait TypedSampler<P: Policy>: Send {
    /// What a draft needs to be finished.
    type Draft: Send + 'static;

    /// As [`Sampler::draft`].
    ///
    /// # Errors
    /// Whatever the policy returns.
    fn draft(
        &mut self,
        policy: &P,
        task: &Task,
        candidates: &[Candidate],
        previews: bool,
    ) -> Result<Vec<Draft<Self::Draft>>>;

    /// As [`Sampler::finish`].
    ///
    /// # Errors
    /// Whatever the policy returns.
    fn finish(&mut self, policy: &P, task: &Task, drafts: Vec<Draft<Self::Draft>>) -> Result<Vec<Rollout>>;

    /// As [`Sampler::state`].
    fn state(&self) -> Value {
        Value::Null
    }

    /// As [`Sampler::restore`].
    ///
    /// # Errors
    /// As [`Sampler::restore`].
    fn restore(&mut self, state: &Value) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// This sampler for a trainer, which has policies of any type.
    fn boxed(self) -> Box<dyn Sampler>
    where
        Self: Sized + 'static,
    {
        Box::new(Erased { sampler: self, policy: PhantomData::<fn(P)> })
    }
}

/// The adapter.
struct Erased<P, T> {
    sampler: T,
    policy: PhantomData<fn(P)>,
}

impl<P: Policy, T: TypedSampler<P>> Sampler for Erased<P, T> {
    fn draft(
        &mut self,
        policy: &dyn Policy,
        task: &Task,
        candidates: &[Candidate],
        previews: bool,
    ) -> Result<Vec<Draft>> {
        let drafts = self.sampler.draft(known(policy)?, task, candidates, previews)?;
        Ok(drafts.into_iter().map(|draft| draft.map(|state| Box::new(state) as Box<dyn Any + Send>)).collect())
    }

    fn finish(&mut self, policy: &dyn Policy, task: &Task, drafts: Vec<Draft>) -> Result<Vec<Rollout>> {
        let known_draft = |draft: Draft| {
            let Draft { candidate, preview, steps_spent, steps_left, state } = draft;
            let state = *state.downcast::<T::Draft>().map_err(|_| {
                Error::contract(format!(
                    "the sampler finishes drafts of type {} and was given another sampler's",
                    type_name::<T::Draft>()
                ))
            })?;
            Ok(Draft { candidate, preview, steps_spent, steps_left, state })
        };
        let drafts = drafts.into_iter().map(known_draft).collect::<Result<_>>()?;
        self.sampler.finish(known(policy)?, task, drafts)
    }

    fn state(&self) -> Value {
        self.sampler.state()
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.sampler.restore(state)
    }
}

/// `policy` as a `P`, or the `P` that it wraps.
fn known<P: Policy>(policy: &dyn Policy) -> Result<&P> {
    let mut at = policy;
    loop {
        if let Some(found) = (at as &dyn Any).downcast_ref() {
            return Ok(found);
        }
        let Some(wrapped) = at.wrapped() else {
            return Err(Error::contract(format!(
                "the sampler draws from policies of type {} and was given one of kind `{}`; a policy that wraps another \
                 says so by `Policy::wrapped`",
                type_name::<P>(),
                policy.kind()
            )));
        };
        at = wrapped;
    }
}
