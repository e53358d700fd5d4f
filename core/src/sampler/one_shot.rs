//! Samplers without drafts.

use std::marker::PhantomData;

use super::{Candidate, Draft, Rollout, Sampler, TypedSampler};
use crate::{Policy, Result, Task};

/// A sampler that draws finished candidates at once by `draw`, which returns one rollout for each candidate, in order. Where
/// a filter looks at previews it sees the finished candidates.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/bandit.rs"));
/// use counterpoint::{Candidate, Result, Rollout, Sample, Segment, Task, Trajectory, one_shot};
/// # use bandit::Bandit;
///
/// # fn main() {
/// let sampler = one_shot(|policy: &Bandit, task: &Task, candidates: &[Candidate]| {
///     let log_probs = policy.log_probs_now()?;
///     let draw = |candidate: &Candidate| {
///         let (number, arm) = (candidate.key.candidate, candidate.stream("pull", 0).below(log_probs.len()));
///         let segments = vec![Segment::text(Vec::new(), vec![arm as u32], vec![log_probs[arm]])];
///         let sample = Sample::new(task, number, String::new(), arm.to_string(), None);
///         Rollout::new(Trajectory::new(number, segments), sample)
///     };
///     Ok(candidates.iter().map(draw).collect())
/// });
/// # let _ = sampler;
/// # }
/// ```
pub fn one_shot<P: Policy>(
    draw: impl FnMut(&P, &Task, &[Candidate]) -> Result<Vec<Rollout>> + Send + 'static,
) -> Box<dyn Sampler> {
    OneShot { draw, policy: PhantomData }.boxed()
}

struct OneShot<P, F> {
    draw: F,
    policy: PhantomData<fn(P)>,
}

impl<P, F> TypedSampler<P> for OneShot<P, F>
where
    P: Policy,
    F: FnMut(&P, &Task, &[Candidate]) -> Result<Vec<Rollout>> + Send,
{
    type Draft = Rollout;

    fn draft(
        &mut self,
        policy: &P,
        task: &Task,
        candidates: &[Candidate],
        previews: bool,
    ) -> Result<Vec<Draft<Rollout>>> {
        let draft = |(rollout, &candidate): (Rollout, &Candidate)| {
            let preview = previews.then(|| rollout.sample.clone());
            Draft::new(candidate, rollout, 1, 0).with_preview(preview)
        };
        Ok((self.draw)(policy, task, candidates)?.into_iter().zip(candidates).map(draft).collect())
    }

    fn finish(&mut self, _: &P, _: &Task, drafts: Vec<Draft<Rollout>>) -> Result<Vec<Rollout>> {
        Ok(drafts.into_iter().map(|draft| draft.state).collect())
    }
}
