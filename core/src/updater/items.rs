//! What an update replays: every recorded step with its weight.

use super::{BatchDraw, Group};
use crate::{Decoding, GroupShape, ImagePositions, Objective, Replay, Segment};

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
    /// Its place in the batch.
    pub(super) number: usize,
}

/// Everything that is to be replayed of `groups`, candidates in order. Without `draw`, all steps.
pub(super) fn items<'a>(groups: &'a [Group], objective: &dyn Objective, draw: Option<&BatchDraw>) -> Vec<Item<'a>> {
    let scope = objective.scope();
    let mut items = Vec::new();
    let mut trajectory = 0;
    for group in groups {
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
                    let number = items.len();
                    items.push(Item { replay, advantage, weight: weight * often, often, trajectory, number });
                };
                let all = segment.steps();
                match segment.decoding {
                    Decoding::Autoregressive if all == 0 => {}
                    Decoding::Autoregressive => push(0..all, 1.0),
                    Decoding::Masked => {
                        let (steps, often) = match (scope.denoising_steps, draw) {
                            (Some(k), Some(draw)) if k < all => {
                                let steps = draw.denoising_steps(group.cursor, one.candidate, k, all);
                                (steps, all as f64 / k as f64)
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

fn scored(segment: &Segment, positions: ImagePositions) -> usize {
    (0..segment.len()).filter(|&i| is_scored(segment, i, positions)).count()
}

pub(super) fn is_scored(segment: &Segment, decision: usize, positions: ImagePositions) -> bool {
    segment.decoding == Decoding::Autoregressive || positions == ImagePositions::All || segment.undecided[decision]
}
