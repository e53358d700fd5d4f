//! Chunked replay: the memory of an update is that of one chunk, whatever the number of steps T and candidates G.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Once;

use burn::optim::GradientsParams;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator, ParallelIterator};

use super::chunk_loss::{ChunkLoss, Old, Replayed, Scoring, Totals, release};
use super::chunks::chunks;
use super::gathered::Gathered;
use super::items::{Item, is_scored, items};
use super::layout::read;
use super::remask::scored;
use super::{BatchDraw, Group};
use crate::config::{Chunk, MemoryBudget};
use crate::device::is_cpu;
use crate::event::unwatched;
use crate::{Event, Objective, Parameters, Policy, Replay, Replica, Result, Stream, SyncGrpoConfig, Trajectory, Watch};

/// Chunks that a memory budget is for on the CPU, where they are computed side by side.
const SHARES: usize = 8;

/// Replays `groups` chunk by chunk and accumulates the gradients of the objective in the policy's learner, the old
/// log-probabilities being those that were recorded while sampling, or, where images are masked again, the current ones. Stops at the first loss that is not finite.
///
/// Where the policy has replicas, each takes a chunk at a time; their gradients are added in the order of the chunks, so
/// that results do not depend on how many there are.
///
/// Without `draw`, all denoising steps are scored whatever the objective says, and without dropout.
///
/// # Errors
/// What the policy or the objective returns; [`ErrorKind::Contract`](crate::ErrorKind::Contract) when the policy's
/// log-probabilities have a wrong shape, a trajectory's parts do not fit together or a group has not one advantage per
/// trajectory; [`ErrorKind::Config`](crate::ErrorKind::Config) when a chunk is to hold nothing. Gradients accumulated before
/// the error are of no use: discard them.
pub fn accumulate(
    policy: &mut dyn Policy,
    objective: &dyn Objective,
    groups: &[Group],
    chunk: impl Into<Chunk>,
    draw: Option<&BatchDraw>,
) -> Result<Replayed> {
    let told = Once::new();
    let groups = scored(groups, objective, draw)?;
    let batch = Batch::new(objective, &groups, draw, &told)?;
    let recorded = |item: &Item<'_>, i: usize| item.replay.segment().log_probs[i];
    let means =
        batch.means(batch.items.iter().map(|item| item.replay.decisions().map(|i| recorded(item, i)).collect()));
    let old = match groups {
        Cow::Borrowed(_) => Old::Recorded,
        Cow::Owned(_) => Old::Current { keep: false },
    };
    let mut gathered = Gathered::together();
    let pass = Pass { round: 0, old, means: &means };
    Ok(batch.replay(policy, chunk.into(), pass, &mut gathered, &mut unwatched)?.0)
}

/// Log-probabilities of all decisions of `trajectories` as the policy is now, without gradients.
pub(crate) fn log_probs(policy: &dyn Policy, trajectories: Vec<Trajectory>, chunk: Chunk) -> Result<Vec<f32>> {
    let (told, objective) = (Once::new(), SyncGrpoConfig::dr_grpo().init()?);
    let advantages = vec![0.0; trajectories.len()];
    let group = [Group::new(0, trajectories, advantages)];
    Ok(Batch::new(&objective, &group, None, &told)?.log_probs(policy, chunk)?.concat())
}

type Replicas = Vec<Box<dyn Replica>>;

/// One of the updates from a batch.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    /// Its number.
    pub(super) round: usize,
    pub(super) old: Old<'a>,
    /// The old mean log-probabilities of the trajectories, where the objective's ratio is that of sequences.
    pub(super) means: &'a [f64],
}

/// What an update replays.
pub(super) struct Batch<'a> {
    pub(super) items: Vec<Item<'a>>,
    objective: &'a dyn Objective,
    noise: Option<Stream>,
    importance_cap: Option<f64>,
    /// Whether an item above the memory budget was warned of.
    told: &'a Once,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        objective: &'a dyn Objective,
        groups: &'a [Group],
        draw: Option<&BatchDraw>,
        told: &'a Once,
    ) -> Result<Self> {
        groups.iter().try_for_each(Group::check)?;
        let noise = draw.zip(groups.first()).map(|(draw, first)| draw.noise(first));
        Ok(Self { items: items(groups, objective, draw), objective, noise, importance_cap: None, told })
    }

    /// The same with these items alone.
    pub(super) fn only(self, keep: impl Fn(&Item<'_>) -> bool) -> Self {
        let items = self.items.into_iter().filter(|item| keep(item)).enumerate();
        Self { items: items.map(|(number, item)| Item { number, ..item }).collect(), ..self }
    }

    /// The same with importance weights of at most `cap`.
    pub(super) fn weighted(self, cap: Option<f64>) -> Self {
        Self { importance_cap: cap, ..self }
    }

    /// Gathers the gradients of one update; also the scores that `pass.old` says to keep, item by item.
    pub(super) fn replay(
        &self,
        policy: &mut dyn Policy,
        chunk: Chunk,
        Pass { round, old, means }: Pass<'_>,
        gathered: &mut Gathered,
        watch: Watch<'_>,
    ) -> Result<(Replayed, Vec<Vec<f32>>)> {
        let (mut replicas, chunks) = self.cut(policy, chunk)?;
        let sequence_ratios = match (self.objective.needs_sequence_ratio(), old) {
            (false, _) => None,
            (true, Old::Current { .. }) => Some(vec![0.0; means.len()]),
            (true, _) => {
                let now = self.mean_log_probs(policy, chunk)?;
                Some(now.iter().zip(means).map(|(now, old)| now - old).collect::<Vec<_>>())
            }
        };
        let sequence_ratios = sequence_ratios.as_deref();
        let importance_cap = self.importance_cap;
        let scoring = Scoring { objective: self.objective, old, importance_cap, sequence_ratios };
        let mut totals = Totals::default();
        let kind = |chunk: &[&Item<'_>]| chunk[0].replay.segment().kind;
        let mut tell = |done| watch(&Event::Replayed { round, done, total: chunks.len() });
        if replicas.is_empty() {
            for (done, chunk) in chunks.iter().enumerate() {
                let ChunkLoss { loss, sums } = self.score(&scoring, chunk, &*policy)?;
                totals.add(sums);
                let Some(loss) = loss else { break };
                gathered.turn_to(kind(chunk), policy.learner())?;
                policy.learner().accumulate(loss)?;
                tell(done + 1)?;
            }
            return Ok(totals.finish());
        }
        let wave = replicas.len();
        for (number, chunks) in chunks.chunks(wave).enumerate() {
            let work = |(replica, chunk): (&mut Box<dyn Replica>, &Vec<&Item<'_>>)| {
                let ChunkLoss { loss, sums } = self.score(&scoring, chunk, replica.as_ref())?;
                Ok((sums, loss.map(|loss| replica.gradients(loss)).transpose()?))
            };
            let done: Vec<Result<(Totals, Option<GradientsParams>)>> =
                replicas.par_iter_mut().zip(chunks.par_iter()).map(work).collect();
            for (one, chunk) in done.into_iter().zip(chunks) {
                let (sums, gradients) = one?;
                totals.add(sums);
                let Some(gradients) = gradients else { return Ok(totals.finish()) };
                gathered.turn_to(kind(chunk), policy.learner())?;
                policy.learner().add(gradients)?;
            }
            tell(number * wave + chunks.len())?;
        }
        Ok(totals.finish())
    }

    /// The chunks of the items, and those that compute them side by side, if the policy has any.
    fn cut(&self, policy: &dyn Policy, chunk: Chunk) -> Result<(Replicas, Vec<Vec<&Item<'a>>>)> {
        let mut replicas = policy.replicas();
        let chunk = match chunk {
            Chunk::Memory(MemoryBudget { memory_mib }) if policy.device().is_some_and(|d| is_cpu(&d)) => {
                replicas.truncate(SHARES);
                Chunk::Memory(MemoryBudget { memory_mib: (memory_mib / SHARES as u64).max(1) })
            }
            other => other,
        };
        Ok((replicas, chunks(&self.items, chunk, policy, self.told)?))
    }

    fn score(&self, scoring: &Scoring<'_>, chunk: &[&Item<'_>], scorer: &(impl Scorer + ?Sized)) -> Result<ChunkLoss> {
        let current = |replays: &[Replay<'_>]| match &self.noise {
            Some(noise) => scorer.training(replays, noise.clone()),
            None => scorer.scores(replays, Parameters::Current),
        };
        scoring.score(chunk, current, |replays| scorer.scores(replays, Parameters::Reference))
    }

    /// Mean log-probability of each trajectory over its scored decisions as the policy is now, without gradients.
    pub(super) fn mean_log_probs(&self, policy: &dyn Policy, chunk: Chunk) -> Result<Vec<f64>> {
        Ok(self.means(self.log_probs(policy, chunk)?.into_iter()))
    }

    /// Log-probabilities of the decisions of each item as an update scores them: differentiable, though no gradient is taken, and
    /// side by side where the policy has replicas.
    pub(super) fn current_log_probs(&self, policy: &dyn Policy, chunk: Chunk) -> Result<Vec<Vec<f32>>> {
        let (mut replicas, chunks) = self.cut(policy, chunk)?;
        let mut rows = vec![Vec::new(); self.items.len()];
        let mut put = |chunk: &[&Item<'_>], scores: Vec<Vec<f32>>| {
            chunk.iter().zip(scores).for_each(|(item, row)| rows[item.number] = row);
        };
        if replicas.is_empty() {
            for chunk in &chunks {
                put(chunk, current(chunk, policy)?);
            }
            return Ok(rows);
        }
        for wave in chunks.chunks(replicas.len()) {
            let scored =
                replicas.par_iter_mut().zip(wave.par_iter()).map(|(replica, chunk)| current(chunk, &**replica));
            let scored: Vec<Result<Vec<Vec<f32>>>> = scored.collect();
            for (chunk, scores) in wave.iter().zip(scored) {
                put(chunk, scores?);
            }
        }
        Ok(rows)
    }

    /// The same by the policy itself where replicas gave [`current_log_probs`](Self::current_log_probs): of one chunk of each kind of
    /// segment, the rows of other items empty. A wrapper may change the policy's scores and not those of the replicas.
    pub(super) fn own_log_probs(&self, policy: &dyn Policy, chunk: Chunk) -> Result<Vec<Vec<f32>>> {
        let mut rows = vec![Vec::new(); self.items.len()];
        if policy.replicas().is_empty() {
            return Ok(rows);
        }
        let mut seen = BTreeSet::new();
        for chunk in chunks(&self.items, chunk, policy, self.told)? {
            if seen.insert(chunk[0].replay.segment().kind) {
                for (item, row) in chunk.iter().zip(current(&chunk, policy)?) {
                    rows[item.number] = row;
                }
            }
        }
        Ok(rows)
    }

    /// Log-probabilities of the decisions of each item as the policy is now, without gradients.
    fn log_probs(&self, policy: &dyn Policy, chunk: Chunk) -> Result<Vec<Vec<f32>>> {
        let mut rows = vec![Vec::new(); self.items.len()];
        for chunk in chunks(&self.items, chunk, policy, self.told)? {
            let replays: Vec<Replay<'_>> = chunk.iter().map(|item| item.replay.clone()).collect();
            let scores = read(&policy.log_probs(&replays, Parameters::Detached)?, &replays)?;
            for (item, row) in chunk.iter().zip(scores) {
                rows[item.number] = row;
            }
        }
        Ok(rows)
    }

    /// Means by trajectory of the scored decisions of `rows`, one for each item.
    fn means(&self, rows: impl Iterator<Item = Vec<f32>>) -> Vec<f64> {
        let positions = self.objective.scope().image_positions;
        let trajectories = self.items.last().map_or(0, |item| item.trajectory + 1);
        let mut sums = vec![(0.0_f64, 0.0_f64); trajectories];
        for (item, row) in self.items.iter().zip(rows) {
            let (sum, count) = &mut sums[item.trajectory];
            for (i, score) in item.replay.decisions().zip(row) {
                if is_scored(item.replay.segment(), i, positions) {
                    *sum += item.often * f64::from(score);
                    *count += item.often;
                }
            }
        }
        sums.into_iter().map(|(sum, count)| if count > 0.0 { sum / count } else { 0.0 }).collect()
    }
}

/// The differentiable scores of a chunk as numbers; their graph is gone.
fn current(chunk: &[&Item<'_>], scorer: &(impl Scorer + ?Sized)) -> Result<Vec<Vec<f32>>> {
    let replays: Vec<Replay<'_>> = chunk.iter().map(|item| item.replay.clone()).collect();
    let scores = scorer.scores(&replays, Parameters::Current)?;
    let rows = read(&scores, &replays);
    release(scores.log_probs);
    rows
}

/// A policy or one of its replicas.
trait Scorer {
    fn scores(&self, replays: &[Replay<'_>], parameters: Parameters) -> Result<crate::LogProbs>;
    fn training(&self, replays: &[Replay<'_>], noise: Stream) -> Result<crate::LogProbs>;
}

impl Scorer for dyn Policy + '_ {
    fn scores(&self, replays: &[Replay<'_>], parameters: Parameters) -> Result<crate::LogProbs> {
        self.log_probs(replays, parameters)
    }

    fn training(&self, replays: &[Replay<'_>], noise: Stream) -> Result<crate::LogProbs> {
        self.training_log_probs(replays, noise)
    }
}

impl Scorer for dyn Replica + '_ {
    fn scores(&self, replays: &[Replay<'_>], parameters: Parameters) -> Result<crate::LogProbs> {
        self.log_probs(replays, parameters)
    }

    fn training(&self, replays: &[Replay<'_>], noise: Stream) -> Result<crate::LogProbs> {
        self.training_log_probs(replays, noise)
    }
}
