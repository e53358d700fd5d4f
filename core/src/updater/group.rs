//! What an update learns from, and what it leaves to chance.

use crate::{Error, Key, Result, Stream, Streams, Trajectory};

/// One group's trajectories and their advantages A_i.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Group {
    /// Cursor of the group's task: the key of its random streams.
    pub cursor: u64,
    /// The trajectories.
    pub trajectories: Vec<Trajectory>,
    /// Their advantages, one each.
    pub advantages: Vec<f64>,
}

impl Group {
    /// The group of the task at `cursor`.
    pub fn new(cursor: u64, trajectories: Vec<Trajectory>, advantages: Vec<f64>) -> Self {
        Self { cursor, trajectories, advantages }
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
    /// `k` of the `all` denoising steps of a candidate.
    pub(super) fn denoising_steps(&self, cursor: u64, candidate: u64, k: usize, all: usize) -> Vec<usize> {
        let key = Key { step: self.step, task: cursor, candidate };
        self.streams.stream(key, "update.denoising_steps", 0).subset(k, all)
    }

    /// The noise of the batch whose first group is `first`.
    pub(super) fn noise(&self, first: &Group) -> Stream {
        self.streams.stream(Key::task(self.step, first.cursor), "update.noise", 0)
    }
}
