//! Chunked replay: the memory of an update is that of one chunk, whatever the number of steps T and candidates G.

use burn::tensor::{Tensor, TensorData};

use super::Trainer;
use crate::config::Chunk;
use crate::{
    Decoding, Error, GroupShape, ImagePositions, Key, LogProbs, LossStats, Objective, Policy, Replay, Result, Segment,
    Streams, Terms, Trajectory, Weights,
};

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

/// Draws which denoising steps of each candidate an update scores, for objectives that score a subset of them.
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

/// Some steps of a candidate with what the objective needs to know of them.
pub(super) struct Item<'a> {
    pub(super) replay: Replay<'a>,
    advantage: f64,
    /// Weight of each scored decision.
    weight: f64,
    /// How many decisions each scored one stands for: T / K where K of T denoising steps are scored, else 1.
    often: f64,
    /// Which trajectory of the batch this is part of.
    trajectory: usize,
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

/// Replays `groups` chunk by chunk and accumulates the gradients of the objective in the
/// policy's learner. Stops at the first loss that is not finite.
///
/// Without `draw`, all denoising steps are scored whatever the objective says.
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
    let chunk = chunk.into();
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
    let sequence_ratios = match objective.needs_sequence_ratio() {
        true => Some(sequence_log_ratios(policy, objective, &items, chunk)?),
        false => None,
    };
    let positions = objective.scope().image_positions;
    let mut stats = LossStats::default();
    let mut entropy = Mean::default();
    for chunk in chunks(&items, chunk, policy)? {
        let replays: Vec<Replay<'_>> = chunk.iter().map(|item| item.replay.clone()).collect();
        let scores = policy.log_probs(&replays, Weights::Current)?;
        let layout = Layout::of(&scores, &replays)?;
        let reference = match objective.needs_reference() {
            true => Some(layout.attach(policy.log_probs(&replays, Weights::Reference)?.log_probs)),
            false => None,
        };
        let weights = layout.fill(&chunk, |item, i| match is_scored(item.replay.segment(), i, positions) {
            true => item.weight,
            false => 0.0,
        });
        if let Some(values) = &scores.entropy {
            entropy.add(values, &weights)?;
        }
        let loss = objective.loss(Terms {
            log_probs: scores.log_probs,
            old: layout.fill(&chunk, |item, i| f64::from(item.replay.segment().log_probs[i])),
            reference,
            advantages: layout.column(&chunk, |item| item.advantage),
            weights,
            sequence_log_ratio: sequence_ratios.as_ref().map(|s| layout.column(&chunk, |item| s[item.trajectory])),
        })?;
        stats.add(&loss.stats);
        if !loss.stats.loss.is_finite() {
            let kind = replays[0].segment().kind;
            let reason = format!("the loss of a chunk of {} {kind:?} replays is {}", replays.len(), loss.stats.loss);
            return Ok(Replayed { stats, entropy: None, non_finite: Some(reason) });
        }
        policy.learner().accumulate(loss.loss)?;
    }
    Ok(Replayed { stats, entropy: entropy.value(), non_finite: None })
}

/// Mean log-ratio of each trajectory over its scored decisions, without gradients.
fn sequence_log_ratios(
    policy: &dyn Policy,
    objective: &dyn Objective,
    items: &[Item<'_>],
    chunk: Chunk,
) -> Result<Vec<f64>> {
    let positions = objective.scope().image_positions;
    let trajectories = items.last().map_or(0, |item| item.trajectory + 1);
    let mut sums = vec![(0.0_f64, 0.0_f64); trajectories];
    for chunk in chunks(items, chunk, policy)? {
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

/// Everything that is to be replayed of `groups`, candidates in order. Without `draw`, all steps.
pub(super) fn items<'a>(groups: &'a [Group], objective: &dyn Objective, draw: Option<&StepDraw>) -> Vec<Item<'a>> {
    let scope = objective.scope();
    let mut items = Vec::new();
    let mut trajectory = 0;
    for (g, group) in groups.iter().enumerate() {
        let shape = GroupShape {
            scored: group
                .trajectories
                .iter()
                .map(|t| t.segments.iter().map(|s| (s.kind, scored(s, scope.image_positions))).collect())
                .collect(),
        };
        for (i, (one, &advantage)) in group.trajectories.iter().zip(&group.advantages).enumerate() {
            for (s, segment) in one.segments.iter().enumerate() {
                let weight = objective.weight(&shape, i, s) / groups.len() as f64;
                let mut push = |steps: std::ops::Range<usize>, often: f64| {
                    let replay = Replay { trajectory: one, segment: s, steps };
                    items.push(Item { replay, advantage, weight: weight * often, often, trajectory });
                };
                let all = segment.steps();
                match segment.decoding {
                    Decoding::Autoregressive if all == 0 => {}
                    Decoding::Autoregressive => push(0..all, 1.0),
                    Decoding::Masked => {
                        let (steps, often) = match (scope.denoising_steps, draw) {
                            (Some(k), Some(draw)) if k < all => {
                                let candidate = one.candidate;
                                let key = Key { step: draw.step, task: draw.cursor + g as u64, candidate };
                                let mut stream = draw.streams.stream(key, "update.denoising_steps", draw.round);
                                (stream.subset(k, all), all as f64 / k as f64)
                            }
                            _ => ((0..all).collect(), 1.0),
                        };
                        steps.into_iter().for_each(|t| push(t..t + 1, often));
                    }
                }
            }
            trajectory += 1;
        }
    }
    items
}

/// Cuts `items` into chunks of one segment kind and decoding, candidates in order.
pub(super) fn chunks<'i, 'a>(
    items: &'i [Item<'a>],
    size: Chunk,
    policy: &dyn Policy,
) -> Result<Vec<Vec<&'i Item<'a>>>> {
    let sort = |item: &Item<'_>| (item.replay.segment().kind, item.replay.segment().decoding);
    let mut sorts = Vec::new();
    for item in items {
        if !sorts.contains(&sort(item)) {
            sorts.push(sort(item));
        }
    }
    let mut chunks = Vec::new();
    for wanted in sorts {
        let of_sort: Vec<&Item<'a>> = items.iter().filter(|item| sort(item) == wanted).collect();
        match size {
            Chunk::Sequences(count) => chunks.extend(of_sort.chunks(count).map(<[_]>::to_vec)),
            Chunk::Memory(budget) => fill(&mut chunks, of_sort, budget.memory_mib.saturating_mul(1 << 20), policy)?,
        }
    }
    Ok(chunks)
}

/// As many items into each chunk as fit into `budget` bytes, at least one.
fn fill<'i, 'a>(
    chunks: &mut Vec<Vec<&'i Item<'a>>>,
    items: Vec<&'i Item<'a>>,
    budget: u64,
    policy: &dyn Policy,
) -> Result<()> {
    let mut replays: Vec<Replay<'_>> = Vec::new();
    for item in items {
        replays.push(item.replay.clone());
        let bytes = policy.chunk_bytes(&replays).ok_or_else(|| {
            Error::config(
                "trainer.chunk: this policy does not know how much memory a chunk takes; expected a number of sequences, \
                 got a memory budget",
            )
        })?;
        match chunks.last_mut() {
            Some(chunk) if replays.len() > 1 && bytes <= budget => chunk.push(item),
            _ => {
                replays.drain(..replays.len() - 1);
                chunks.push(vec![item]);
            }
        }
    }
    Ok(())
}

/// Scores fetched to the host, one row of decisions per replay.
pub(super) fn read(scores: LogProbs, replays: &[Replay<'_>]) -> Result<Vec<Vec<f32>>> {
    let layout = Layout::of(&scores, replays)?;
    let values = scores
        .log_probs
        .inner()
        .try_into_vec_as::<f32>()
        .map_err(|e| Error::contract("cannot read log-probabilities from the device").with_source(e.to_string()))?;
    Ok(replays.iter().zip(values.chunks(layout.width)).map(|(r, row)| row[..r.decisions().len()].to_vec()).collect())
}

fn scored(segment: &Segment, positions: ImagePositions) -> usize {
    (0..segment.len()).filter(|&i| is_scored(segment, i, positions)).count()
}

fn is_scored(segment: &Segment, decision: usize, positions: ImagePositions) -> bool {
    segment.decoding == Decoding::Autoregressive || positions == ImagePositions::All || segment.undecided[decision]
}

/// Shape and device of a chunk's tensors.
struct Layout {
    width: usize,
    height: usize,
    device: burn::tensor::Device,
}

impl Layout {
    fn of(scores: &LogProbs, replays: &[Replay<'_>]) -> Result<Self> {
        let [height, width] = scores.log_probs.dims();
        let longest = replays.iter().map(|r| r.decisions().len()).max().unwrap_or(0);
        if height != replays.len() || width < longest {
            return Err(Error::contract(format!(
                "the policy's log_probs returned shape [{height}, {width}], expected [{}, {longest}]",
                replays.len()
            )));
        }
        Ok(Self { width, height, device: scores.log_probs.device() })
    }

    /// `[n, d]` with `value(item, decision)`, the decision an index into the segment's flat vectors; 0 for padding.
    fn fill(&self, chunk: &[&Item<'_>], value: impl Fn(&Item<'_>, usize) -> f64) -> Tensor<2> {
        let mut flat = vec![0.0_f32; self.height * self.width];
        for (item, row) in chunk.iter().zip(flat.chunks_mut(self.width)) {
            for (cell, decision) in row.iter_mut().zip(item.replay.decisions()) {
                *cell = value(item, decision) as f32;
            }
        }
        Tensor::from_data(TensorData::new(flat, [self.height, self.width]), &self.device)
    }

    /// `[n, 1]`.
    fn column(&self, chunk: &[&Item<'_>], value: impl Fn(&Item<'_>) -> f64) -> Tensor<2> {
        let values: Vec<f32> = chunk.iter().map(|item| value(item) as f32).collect();
        Tensor::from_data(TensorData::new(values, [self.height, 1]), &self.device)
    }

    /// A constant of this layout, in the same autodiff context as the chunk's scores.
    fn attach(&self, constant: Tensor<2>) -> Tensor<2> {
        match self.device.is_autodiff() {
            true => constant.inner().autodiff(),
            false => constant,
        }
    }
}

/// Mean over scored decisions.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, values: &Tensor<2>, weights: &Tensor<2>) -> Result<()> {
        let scored = weights.clone().inner().not_equal_scalar(0.0_f32).float();
        let sum = (values.clone().inner() * scored.clone()).sum();
        let both = Tensor::cat(vec![sum, scored.sum()], 0)
            .try_into_vec_as::<f32>()
            .map_err(|e| Error::contract("cannot read the entropy from the device").with_source(e.to_string()))?;
        self.sum += f64::from(both[0]);
        self.count += f64::from(both[1]);
        Ok(())
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}
