//! Chunked replay: the memory of an update is that of one chunk, whatever the number of steps T and candidates G.

use burn::optim::GradientsParams;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator, ParallelIterator};

use super::Trainer;
use super::items::{Item, chunks, is_scored, items};
use super::layout::read;
use super::scoring::{Scored, Scoring, Totals};
use crate::config::Chunk;
use crate::{Error, Key, LossStats, Objective, Policy, Replay, Replica, Result, Stream, Streams, Trajectory, Weights};

/// What an update learns from: one group's trajectories and their advantages A_i.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The trajectories.
    pub trajectories: Vec<Trajectory>,
    /// Their advantages, one each.
    pub advantages: Vec<f64>,
}

/// What the replay of a batch came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// Sums over the scored decisions.
    pub stats: LossStats,
    /// Mean entropy in nats over the scored decisions, where the policy computes it.
    pub entropy: Option<f64>,
    /// What was not finite, and where; the gradients are of no use then.
    pub non_finite: Option<String>,
}

/// Draws what an update leaves to chance: which denoising steps of each candidate it scores, for objectives that score a
/// subset of them, and the noise of [`Policy::training_log_probs`].
#[derive(Debug, Clone, Copy)]
pub struct StepDraw {
    /// The run's streams.
    pub streams: Streams,
    /// Step of the run.
    pub step: u64,
    /// Cursor of the first group's task.
    pub cursor: u64,
    /// Which update of the same batch this is.
    pub round: u64,
}

impl StepDraw {
    /// The noise of the whole update: the same for every chunk.
    fn noise(&self) -> Stream {
        self.streams.stream(Key::task(self.step, self.cursor), "update.noise", self.round)
    }
}

impl Trainer {
    /// One optimizer step on `groups`: the replay, and the gradient's norm before clipping.
    pub(super) fn update(&mut self, step: u64, cursor: u64, round: u64, groups: &[Group]) -> Result<(Replayed, f64)> {
        let draw = StepDraw { streams: self.streams, step, cursor, round };
        let (policy, objective) = (self.parts.policy.as_mut(), self.parts.objective.as_ref());
        let replayed = accumulate(policy, objective, groups, self.config.chunk, Some(&draw));
        let learner = self.parts.policy.learner();
        // The step may be tried again: nothing of this attempt may be left over.
        let mut replayed = replayed.inspect_err(|_| learner.discard())?;
        let norms = learner.gradient_norms();
        if let (None, Some((name, norm))) = (&replayed.non_finite, norms.iter().find(|(_, norm)| !norm.is_finite())) {
            replayed.non_finite = Some(format!("the gradient of {name} has norm {norm}"));
        }
        let norm = norms.iter().map(|(_, norm)| norm * norm).sum::<f64>().sqrt();
        if replayed.non_finite.is_some() {
            learner.discard();
            return Ok((replayed, norm));
        }
        let scale = (self.config.max_grad_norm / (norm + 1e-6)).min(1.0);
        learner.apply(self.schedule.rate(step), scale)?;
        Ok((replayed, norm))
    }
}

/// Replays `groups` chunk by chunk and accumulates the gradients of the objective in the policy's learner. Stops at the
/// first loss that is not finite.
///
/// Where the policy has replicas, each takes a chunk at a time; their gradients are added in the order of the chunks, so
/// that results do not depend on how many there are, unless they share a memory budget.
///
/// Without `draw`, all denoising steps are scored whatever the objective says, and without dropout.
///
/// # Errors
/// What the policy or the objective returns; [`ErrorKind::Contract`](crate::ErrorKind::Contract) when the policy's
/// log-probabilities have a wrong shape, a trajectory's parts do not fit together or a group has not one advantage per
/// trajectory. Gradients accumulated before the error are of no use: discard them.
pub fn accumulate(
    policy: &mut dyn Policy,
    objective: &dyn Objective,
    groups: &[Group],
    chunk: impl Into<Chunk>,
    draw: Option<&StepDraw>,
) -> Result<Replayed> {
    for group in groups {
        if group.advantages.len() != group.trajectories.len() {
            return Err(Error::contract(format!(
                "expected one advantage for each of {} trajectories, got {}",
                group.trajectories.len(),
                group.advantages.len()
            )));
        }
        group.trajectories.iter().try_for_each(Trajectory::validate)?;
    }
    let items = items(groups, objective, draw);
    let replicas = policy.replicas();
    let chunks = chunks(&items, chunk.into().shared_by(replicas.len()), policy)?;
    let sequence_ratios = match objective.needs_sequence_ratio() {
        true => Some(sequence_log_ratios(policy, objective, &chunks)?),
        false => None,
    };
    let scoring = Scoring { objective, sequence_ratios: sequence_ratios.as_deref() };
    let noise = draw.map(StepDraw::noise);
    match replicas.is_empty() {
        true => one_by_one(policy, &scoring, &chunks, noise),
        false => side_by_side(policy, replicas, &scoring, &chunks, noise),
    }
}

fn one_by_one(
    policy: &mut dyn Policy,
    scoring: &Scoring<'_>,
    chunks: &[Vec<&Item<'_>>],
    noise: Option<Stream>,
) -> Result<Replayed> {
    let mut totals = Totals::default();
    for chunk in chunks {
        let current = |replays: &[Replay<'_>]| match &noise {
            Some(noise) => policy.training_log_probs(replays, noise.clone()),
            None => policy.log_probs(replays, Weights::Current),
        };
        let Scored { loss, sums } =
            scoring.score(chunk, current, |replays| policy.log_probs(replays, Weights::Reference))?;
        totals.add(sums);
        if totals.non_finite.is_some() {
            break;
        }
        policy.learner().accumulate(loss)?;
    }
    Ok(totals.replayed())
}

fn side_by_side(
    policy: &mut dyn Policy,
    mut replicas: Vec<Box<dyn Replica>>,
    scoring: &Scoring<'_>,
    chunks: &[Vec<&Item<'_>>],
    noise: Option<Stream>,
) -> Result<Replayed> {
    let work = |replica: &mut dyn Replica, chunk: &[&Item<'_>]| -> Result<(Totals, Option<GradientsParams>)> {
        let current = |replays: &[Replay<'_>]| match &noise {
            Some(noise) => replica.training_log_probs(replays, noise.clone()),
            None => replica.log_probs(replays, Weights::Current),
        };
        let Scored { loss, sums } =
            scoring.score(chunk, current, |replays| replica.log_probs(replays, Weights::Reference))?;
        let gradients = if sums.non_finite.is_none() { Some(replica.gradients(loss)?) } else { None };
        Ok((sums, gradients))
    };
    let mut totals = Totals::default();
    for wave in chunks.chunks(replicas.len()) {
        let done = replicas.par_iter_mut().zip(wave.par_iter()).map(|(replica, chunk)| work(replica.as_mut(), chunk));
        for one in done.collect::<Vec<_>>() {
            let (sums, gradients) = one?;
            totals.add(sums);
            let Some(gradients) = gradients else { return Ok(totals.replayed()) };
            policy.learner().add(gradients)?;
        }
    }
    Ok(totals.replayed())
}

/// Mean log-ratio of each trajectory over its scored decisions, without gradients.
fn sequence_log_ratios(policy: &dyn Policy, objective: &dyn Objective, chunks: &[Vec<&Item<'_>>]) -> Result<Vec<f64>> {
    let positions = objective.scope().image_positions;
    let trajectories = chunks.iter().flatten().map(|item| item.trajectory + 1).max().unwrap_or(0);
    let mut sums = vec![(0.0_f64, 0.0_f64); trajectories];
    for chunk in chunks {
        let replays: Vec<Replay<'_>> = chunk.iter().map(|item| item.replay.clone()).collect();
        let current = read(policy.log_probs(&replays, Weights::Detached)?, &replays)?;
        for (item, current) in chunk.iter().zip(current) {
            let segment = item.replay.segment();
            let (sum, count) = &mut sums[item.trajectory];
            for (i, current) in item.replay.decisions().zip(current) {
                if is_scored(segment, i, positions) {
                    *sum += item.often * (f64::from(current) - f64::from(segment.log_probs[i]));
                    *count += item.often;
                }
            }
        }
    }
    Ok(sums.into_iter().map(|(sum, count)| if count > 0.0 { sum / count } else { 0.0 }).collect())
}
