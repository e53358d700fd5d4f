//! What an update replays: every recorded step with its weight.

use std::collections::BTreeMap;

use super::{BatchDraw, Group};
use crate::{Decoding, GroupShape, ImagePositions, Objective, Replay, Scope, Segment, SegmentKind};

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
    /// Which group of the batch.
    pub(super) group: usize,
    /// Its place in the batch.
    pub(super) number: usize,
}

/// Everything that is to be replayed of `groups`, candidates in order. Without `draw`, all steps. What weighs nothing is left
/// out, and so are the answers of candidates that share one but for the first, which stands for all; both unless the ratio
/// is one of whole sequences.
pub(super) fn items<'a>(groups: &'a [Group], objective: &dyn Objective, draw: Option<&BatchDraw>) -> Vec<Item<'a>> {
    let scope = objective.scope();
    let masked = |segment: &Segment| scope.mask_truncated && segment.truncated;
    let whole = objective.needs_sequence_ratio();
    let mut items: Vec<Item<'a>> = Vec::new();
    let mut trajectory = 0;
    for (g, group) in groups.iter().enumerate() {
        let shape = GroupShape {
            scored: group
                .trajectories
                .iter()
                .map(|t| {
                    let count = |s: &Segment| if masked(s) { 0 } else { length(s, scope.image_positions) };
                    t.segments.iter().map(|s| (s.kind, count(s))).collect()
                })
                .collect(),
        };
        // Where the item of an answer's segment is.
        let mut answers: BTreeMap<(u64, usize), usize> = BTreeMap::new();
        for (i, (one, advantages)) in group.trajectories.iter().zip(&group.advantages).enumerate() {
            for (s, (segment, &advantage)) in one.segments.iter().zip(advantages).enumerate() {
                let weight = match masked(segment) {
                    true => 0.0,
                    false => objective.weight(&shape, i, s) / groups.len() as f64,
                };
                if segment.steps() == 0 || (weight == 0.0 && !whole) {
                    continue;
                }
                if segment.kind == SegmentKind::Understanding && segment.decoding == Decoding::Autoregressive && !whole
                {
                    let known = answers.get(&(one.answer, s)).copied();
                    if let Some(first) = known.filter(|&first| items[first].replay.segment().chosen == segment.chosen) {
                        items[first].weight += weight;
                        continue;
                    }
                    answers.insert((one.answer, s), items.len());
                }
                for (steps, often) in steps(segment, &scope, draw, (group.cursor, one.candidate)) {
                    let replay = Replay { trajectory: one, segment: s, steps };
                    let number = items.len();
                    let weight = weight * often;
                    items.push(Item { replay, advantage, weight, often, trajectory, group: g, number });
                }
            }
            trajectory += 1;
        }
    }
    items
}

/// The steps of `segment` that are scored, and how many decisions each scored one stands for.
fn steps(
    segment: &Segment,
    scope: &Scope,
    draw: Option<&BatchDraw>,
    (cursor, candidate): (u64, u64),
) -> Vec<(std::ops::Range<usize>, f64)> {
    let all = segment.steps();
    if segment.decoding == Decoding::Autoregressive {
        return vec![(0..all, 1.0)];
    }
    let drawn: Vec<(usize, f64)> = match (scope.image_positions, scope.denoising_steps, draw) {
        (ImagePositions::RemaskFinal, ..) => {
            let often = |mask: usize| {
                let masked = segment.decisions(&(mask..mask + 1)).filter(|&i| segment.undecided[i]).count();
                segment.per_step as f64 / (all * masked.max(1)) as f64
            };
            (0..all).map(|mask| (mask, often(mask))).collect()
        }
        (_, Some(k), Some(draw)) if k < all => draw.denoising_steps(scope.step_sampling, cursor, candidate, k, all),
        _ => (0..all).map(|step| (step, 1.0)).collect(),
    };
    drawn.into_iter().map(|(step, often)| (step..step + 1, often)).collect()
}

/// Scored decisions of a segment before any subset of steps.
fn length(segment: &Segment, positions: ImagePositions) -> usize {
    match (segment.decoding, positions) {
        (Decoding::Masked, ImagePositions::RemaskFinal) => segment.per_step.min(segment.len()),
        _ => (0..segment.len()).filter(|&i| is_scored(segment, i, positions)).count(),
    }
}

pub(super) fn is_scored(segment: &Segment, decision: usize, positions: ImagePositions) -> bool {
    let undecided = || segment.undecided[decision];
    match positions {
        _ if segment.decoding == Decoding::Autoregressive => true,
        ImagePositions::All => true,
        ImagePositions::Masked | ImagePositions::RemaskFinal => undecided(),
        ImagePositions::Revealed => {
            undecided() && !segment.undecided.get(decision + segment.per_step).copied().unwrap_or(false)
        }
    }
}
