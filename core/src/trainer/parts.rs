//! The parts of a run, each with a default where there is one.

use burn::tensor::Device;

use crate::config::TrainerConfig;
use crate::rollouts::Lane;
use crate::{
    GroupFilter, KeepAll, Objective, Policy, Result, RewardEnsemble, Rollouts, Sampler, Streams, SyncGrpoConfig,
    TaskSource, Updater,
};

/// The parts of a run; what a config selects by name, or an embedding program brings.
#[non_exhaustive]
pub struct Parts {
    /// The model under training.
    pub policy: Box<dyn Policy>,
    /// Draws trajectories from it.
    pub sampler: Box<dyn Sampler>,
    /// Decides which candidates are finished and learned from.
    pub filter: Box<dyn GroupFilter>,
    /// Name of the reward that scores previews, for filters that need one.
    pub surrogate: Option<String>,
    /// Turns rewards and log-probabilities into a loss.
    pub objective: Box<dyn Objective>,
    /// The weighted rewards.
    pub rewards: RewardEnsemble,
    /// Where tasks come from.
    pub tasks: Box<dyn TaskSource>,
    /// Devices that draw for training in the place of the policy's own, each with a sampler like [`sampler`](Self::sampler); none by
    /// default ([`Rollouts::with_devices`]).
    pub rollout_devices: Vec<(Device, Box<dyn Sampler>)>,
}

impl Parts {
    /// A run that keeps every candidate and learns by Sync-GRPO with the paper's settings.
    ///
    /// # Errors
    /// None; the objective's own settings are valid.
    pub fn new(
        policy: Box<dyn Policy>,
        sampler: Box<dyn Sampler>,
        rewards: RewardEnsemble,
        tasks: Box<dyn TaskSource>,
    ) -> Result<Self> {
        let objective = Box::new(SyncGrpoConfig::default().init()?);
        Ok(Self {
            policy,
            sampler,
            filter: Box::new(KeepAll),
            surrogate: None,
            objective,
            rewards,
            tasks,
            rollout_devices: Vec::new(),
        })
    }

    /// The same under another filter.
    pub fn with_filter(mut self, filter: impl GroupFilter + 'static) -> Self {
        self.filter = Box::new(filter);
        self
    }

    /// The same with a reward that scores previews.
    pub fn with_surrogate(mut self, reward: impl Into<String>) -> Self {
        self.surrogate = Some(reward.into());
        self
    }

    /// The same with another objective.
    pub fn with_objective(mut self, objective: impl Objective + 'static) -> Self {
        self.objective = Box::new(objective);
        self
    }

    /// The two halves of a loop of one's own: what draws groups and what learns from them, under `config`, their random
    /// streams seeded with `seed`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when a value is out of range, or the filter needs a surrogate and
    /// there is none of that name; what policy or rewards say of tasks that they cannot use.
    pub fn split(mut self, config: &TrainerConfig, seed: u64) -> Result<(Rollouts, Updater)> {
        let tasks = self.tasks.survey()?;
        self.policy.check(&tasks)?;
        self.rewards.check(&tasks)?;
        let streams = Streams::new(seed);
        let rollouts = Rollouts::new(self.sampler, self.rewards, self.tasks, config, streams)?;
        let rollouts = rollouts.with_filter(self.filter, self.surrogate)?.with_devices(self.rollout_devices)?;
        let updater = Updater::new(self.policy, config, streams)?.with_objective(self.objective);
        Ok((rollouts, updater))
    }

    pub(super) fn join(rollouts: Rollouts, updater: Updater) -> Self {
        let Rollouts { sampler, filter, rewards, surrogate, tasks, lanes, .. } = rollouts;
        let (policy, objective) = updater.into_parts();
        let rollout_devices = lanes.into_iter().map(Lane::into_parts).collect();
        Self { policy, sampler, filter, surrogate, objective, rewards, tasks, rollout_devices }
    }
}
