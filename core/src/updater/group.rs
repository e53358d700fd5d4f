//! What an update learns from, and what it leaves to chance.

use super::advantages::advantages;
use crate::objective::StepSampling;
use crate::{Drawn, Error, Key, Objective, Result, Stream, Streams, Trajectory};

/// One group's trajectories and the advantages of their segments.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Group {
    /// Cursor of the group's task: the key of its random streams.
    pub cursor: u64,
    /// The trajectories.
    pub trajectories: Vec<Trajectory>,
    /// Their advantages, `[trajectory][segment]`.
    pub advantages: Vec<Vec<f64>>,
}

impl Group {
    /// The group of the task at `cursor`, each trajectory with one advantage A_i for all its segments.
    pub fn new(cursor: u64, trajectories: Vec<Trajectory>, advantages: Vec<f64>) -> Self {
        let segments = trajectories.iter().map(|t| t.segments.len()).chain(std::iter::repeat(1));
        let advantages = advantages.into_iter().zip(segments).map(|(a, segments)| vec![a; segments]).collect();
        Self { cursor, trajectories, advantages }
    }

    /// The group of the task at `cursor`, with advantages `[trajectory][segment]`.
    pub fn by_segment(cursor: u64, trajectories: Vec<Trajectory>, advantages: Vec<Vec<f64>>) -> Self {
        Self { cursor, trajectories, advantages }
    }

    /// What is learned from `drawn`, with the advantages that `objective` gives to what is compared with each other.
    ///
    /// With causal credit a segment's rewards are those that it can have influenced. With several images per answer an
    /// answer's return is the mean over its images, and it is compared with other answers; an image is compared with its
    /// siblings, the images of the same answer. A task that brings its answer has no answers to compare: all of its images
    /// are siblings.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when the objective does not return one advantage per reward.
    pub fn of(objective: &dyn Objective, drawn: Drawn) -> Result<Self> {
        let advantages = advantages(objective, &drawn)?;
        let trajectories = drawn.rollouts.into_iter().map(|rollout| rollout.trajectory).collect();
        Ok(Self { cursor: drawn.cursor, trajectories, advantages })
    }

    /// Refuses a group whose parts do not fit together.
    pub(super) fn check(&self) -> Result<()> {
        if self.advantages.len() != self.trajectories.len() {
            return Err(Error::contract(format!(
                "expected one advantage for each of {} trajectories, got {}",
                self.trajectories.len(),
                self.advantages.len()
            )));
        }
        for (trajectory, advantages) in self.trajectories.iter().zip(&self.advantages) {
            if advantages.len() != trajectory.segments.len() {
                return Err(Error::contract(format!(
                    "candidate {}: expected one advantage for each of {} segments, got {}",
                    trajectory.candidate,
                    trajectory.segments.len(),
                    advantages.len()
                )));
            }
        }
        self.trajectories.iter().try_for_each(Trajectory::validate)
    }
}

/// Draws what the updates from one batch leave to chance, the same for all of them: which denoising steps of each candidate
/// are scored, for objectives that score a subset, and the noise of
/// [`Policy::training_log_probs`](crate::Policy::training_log_probs).
#[derive(Debug, Clone, Copy)]
pub struct BatchDraw {
    /// The run's streams.
    pub streams: Streams,
    /// Step of the run.
    pub step: u64,
}

impl BatchDraw {
    /// `k` of the `all` denoising steps of a candidate, each with the number of steps that it stands for.
    pub(super) fn denoising_steps(
        &self,
        how: StepSampling,
        cursor: u64,
        candidate: u64,
        k: usize,
        all: usize,
    ) -> Vec<(usize, f64)> {
        let mut stream = self.of(cursor, candidate, "update.denoising_steps");
        match how {
            StepSampling::Uniform => {
                stream.subset(k, all).into_iter().map(|step| (step, all as f64 / k as f64)).collect()
            }
            StepSampling::Stratified => {
                let run = |number: usize| number * all / k..(number + 1) * all / k;
                (0..k).map(run).map(|run| (run.start + stream.below(run.len()), run.len() as f64)).collect()
            }
        }
    }

    /// The stream of a candidate for `purpose`.
    pub(super) fn of(&self, cursor: u64, candidate: u64, purpose: &str) -> Stream {
        self.streams.stream(Key { step: self.step, task: cursor, candidate }, purpose, 0)
    }

    /// The noise of the batch whose first group is `first`.
    pub(super) fn noise(&self, first: &Group) -> Stream {
        self.streams.stream(Key::task(self.step, first.cursor), "update.noise", 0)
    }
}
