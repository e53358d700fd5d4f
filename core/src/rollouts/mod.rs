//! From tasks to groups: draws candidates, filters them and has them scored.

mod draw;
mod drawn;
mod groups;
mod lanes;
mod reward_thread;

pub use drawn::{Drawn, Ledger};

use std::collections::BTreeMap;

use burn::tensor::Device;
use serde_json::Value;

pub(crate) use self::lanes::Lane;
use self::lanes::Place;
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
    /// Devices that draw in the place of the policy's own.
    pub(crate) lanes: Vec<Lane>,
}

/// What rollouts remember from one group to the next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Memory {
    pub(crate) filter: Value,
    pub(crate) sampler: Value,
    pub(crate) rewards: BTreeMap<String, Value>,
    pub(crate) tasks: Value,
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
            lanes: Vec::new(),
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

    /// The same with what is drawn for training drawn on `devices`, side by side, each with a sampler of its own that is like
    /// [`sampler`](Self::sampler). They get the policy's parameters at the beginning of a step ([`Policy::copied`]); samples do not depend on how
    /// many there are. What a device cannot draw because it is lost is drawn again on the others, and on the policy's own device when
    /// none is left. Evaluations are drawn on the policy's own.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for samplers that remember something from one task to the next.
    pub fn with_devices(mut self, devices: Vec<(Device, Box<dyn Sampler>)>) -> Result<Self> {
        self.lanes = devices.into_iter().map(|(device, sampler)| Lane::new(device, sampler)).collect::<Result<_>>()?;
        Ok(self)
    }

    fn place(&mut self) -> Place<'_> {
        Place { lanes: &mut self.lanes, sampler: self.sampler.as_mut() }
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
        let (filter, sampler, tasks) = (self.filter.state(), self.sampler.state(), self.tasks.state());
        Memory { filter, sampler, rewards: self.rewards.state(), tasks }
    }

    pub(crate) fn restore(&mut self, memory: &Memory) -> Result<()> {
        self.filter.restore(&memory.filter)?;
        self.sampler.restore(&memory.sampler)?;
        self.rewards.restore(&memory.rewards)?;
        self.tasks.restore(&memory.tasks)
    }
}
