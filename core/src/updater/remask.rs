//! Finished images, masked again: what is scored of them by `remask_final` instead of the steps that made them.

use std::borrow::Cow;

use super::{BatchDraw, Group};
use crate::objective::Remask;
use crate::{Decoding, Error, ImagePositions, Objective, Result, Segment, Trajectory};

/// `groups` as `objective` scores them: as they were recorded, or with masks drawn anew over their finished images, each mask a
/// step of its own.
pub(super) fn scored<'a>(
    groups: &'a [Group],
    objective: &dyn Objective,
    draw: Option<&BatchDraw>,
) -> Result<Cow<'a, [Group]>> {
    let scope = objective.scope();
    if scope.image_positions != ImagePositions::RemaskFinal {
        return Ok(Cow::Borrowed(groups));
    }
    let draw = draw.ok_or_else(|| {
        Error::contract("objective.image_positions = \"remask_final\" draws masks: expected a `BatchDraw`, got none")
    })?;
    let of_group = |group: &Group| {
        let of_trajectory = |trajectory: &Trajectory| {
            let mut stream = draw.of(group.cursor, trajectory.candidate, "update.remask");
            let segments = trajectory.segments.iter().map(|segment| match segment.decoding {
                Decoding::Masked if !segment.is_empty() => remasked(segment, scope.remask, &mut stream),
                _ => segment.clone(),
            });
            Trajectory { segments: segments.collect(), ..*trajectory }
        };
        let trajectories = group.trajectories.iter().map(of_trajectory).collect();
        Group { cursor: group.cursor, trajectories, advantages: group.advantages.clone() }
    };
    Ok(Cow::Owned(groups.iter().map(of_group).collect()))
}

/// The last step of `segment`, the finished image, under masks whose sizes are spread over the range. Nobody sampled from
/// these distributions: there are no recorded log-probabilities.
fn remasked(segment: &Segment, Remask { masks, ratio: [low, high] }: Remask, stream: &mut crate::Stream) -> Segment {
    let tokens = segment.per_step;
    let image = &segment.chosen[segment.len() - tokens..];
    let mut undecided = vec![false; masks * tokens];
    for (mask, flags) in undecided.chunks_mut(tokens).enumerate() {
        let share = low + (high - low) * (mask as f64 + f64::from(stream.uniform())) / masks as f64;
        let count = ((tokens as f64 * share).round() as usize).clamp(1, tokens);
        stream.subset(count, tokens).into_iter().for_each(|position| flags[position] = true);
    }
    Segment { chosen: image.repeat(masks), log_probs: vec![f32::NAN; masks * tokens], undecided, ..segment.clone() }
}
