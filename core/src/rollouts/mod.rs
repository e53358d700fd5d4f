//! From tasks to groups: draws candidates, filters them and has them scored.

mod draw;
mod drawn;
mod groups;
mod reward_thread;

pub use drawn::{Drawn, Ledger};

use std::collections::BTreeMap;

use serde_json::Value;

use self::reward_thread::RewardThread;
use crate::config::{Overlap, TrainerConfig};
use crate::{
    Candidate, Error, GroupFilter, KeepAll, Key, Policy, Result, RewardEnsemble, Rollout, Sampler, Streams, Task,
    TaskSource,
};

/// Step in the keys of what is drawn for an evaluation: no step of training has it.
const EVALUATION: u64 = u64::MAX;

/// Draws groups: tasks, sampler, filter and rewards. The policy is not its own; whoever asks for a group brings one.
///
/// *Threading*: `Send`. Where rewards overlap with rollouts ([`Overlap`]) it has a second thread, which calls rewards and
/// nothing else.
pub struct Rollouts {
    /// Draws trajectories.
    pub sampler: Box<dyn Sampler>,
    /// The weighted rewards.
    pub rewards: RewardEnsemble,
    /// Where tasks come from.
    pub tasks: Box<dyn TaskSource>,
    pub(crate) filter: Box<dyn GroupFilter>,
    pub(crate) surrogate: Option<String>,
    streams: Streams,
    group_size: usize,
    images_per_answer: usize,
    max_attempts: usize,
    overlap: Overlap,
    /// From the first rewards on that overlap with a rollout.
    thread: Option<RewardThread>,
}

/// What rollouts remember from one group to the next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Memory {
    pub(crate) filter: Value,
    pub(crate) sampler: Value,
    pub(crate) rewards: BTreeMap<String, Value>,
}

impl Rollouts {
    /// Rollouts that keep every candidate; of `config` what concerns them: `group_size`, `images_per_answer`,
    /// `max_attempts`, `overlap_rewards`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when a value is out of range.
    pub fn new(
        sampler: Box<dyn Sampler>,
        rewards: RewardEnsemble,
        tasks: Box<dyn TaskSource>,
        config: &TrainerConfig,
        streams: Streams,
    ) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            sampler,
            rewards,
            tasks,
            filter: Box::new(KeepAll),
            surrogate: None,
            streams,
            group_size: config.group_size,
            images_per_answer: config.images_per_answer,
            max_attempts: config.max_attempts,
            overlap: config.overlap_rewards,
            thread: None,
        })
    }

    /// The same under `filter`, whose previews the reward called `surrogate` scores.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when the filter needs previews and there is no surrogate, or no reward
    /// of that name.
    pub fn with_filter(mut self, filter: Box<dyn GroupFilter>, surrogate: Option<String>) -> Result<Self> {
        if let Some(name) = &surrogate {
            self.rewards.check_name(name).map_err(|e| e.at("filter.surrogate"))?;
        } else if filter.needs_preview() {
            let known = self.rewards.names().collect::<Vec<_>>().join(", ");
            return Err(Error::config(format!(
                "filter.surrogate: this filter needs the name of a reward that scores previews, got none (rewards: {known})"
            )));
        }
        (self.filter, self.surrogate) = (filter, surrogate);
        Ok(self)
    }

    /// The filter.
    pub fn filter(&self) -> &dyn GroupFilter {
        self.filter.as_ref()
    }

    /// `count` finished candidates of `task`, not filtered and not scored: for an evaluation. Their random numbers depend on
    /// the run's seed and on `number`, which tells the tasks of an evaluation apart, and are none that training uses.
    ///
    /// # Errors
    /// Whatever the sampler returns.
    pub fn sample(&mut self, policy: &dyn Policy, task: &Task, number: u64, count: u64) -> Result<Vec<Rollout>> {
        let key = |candidate| Key { step: EVALUATION, task: number, candidate };
        let candidates: Vec<_> = (0..count).map(|candidate| Candidate::new(self.streams, key(candidate))).collect();
        let drafts = self.sampler.draft(policy, task, &candidates, false)?;
        self.sampler.finish(policy, task, drafts)
    }

    /// What is remembered from one group to the next, for checkpoints and for steps that are taken back.
    pub(crate) fn memory(&self) -> Memory {
        Memory { filter: self.filter.state(), sampler: self.sampler.state(), rewards: self.rewards.state() }
    }

    pub(crate) fn restore(&mut self, memory: &Memory) -> Result<()> {
        self.filter.restore(&memory.filter)?;
        self.sampler.restore(&memory.sampler)?;
        self.rewards.restore(&memory.rewards)
    }
}
