//! What an update replays: every recorded step with its weight, cut into chunks.

use super::{Group, StepDraw};
use crate::config::Chunk;
use crate::{Decoding, Error, GroupShape, ImagePositions, Key, Objective, Policy, Replay, Result, Segment};

/// Some steps of a candidate with what the objective needs to know of them.
pub(super) struct Item<'a> {
    pub(super) replay: Replay<'a>,
    pub(super) advantage: f64,
    /// Weight of each scored decision.
    pub(super) weight: f64,
    /// How many decisions each scored one stands for: T / K where K of T denoising steps are scored, else 1.
    pub(super) often: f64,
    /// Which trajectory of the batch this is part of.
    pub(super) trajectory: usize,
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

fn scored(segment: &Segment, positions: ImagePositions) -> usize {
    (0..segment.len()).filter(|&i| is_scored(segment, i, positions)).count()
}

pub(super) fn is_scored(segment: &Segment, decision: usize, positions: ImagePositions) -> bool {
    segment.decoding == Decoding::Autoregressive || positions == ImagePositions::All || segment.undecided[decision]
}
