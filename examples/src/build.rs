//! From a config to the parts of a run.

use std::path::Path;

use burn::tensor::Device;
use counterpoint::config::RunConfig;
use counterpoint::registry::{self, BuildContext};
use counterpoint::{Error, Parts, Result, RewardEnsemble};
use counterpoint_unictokens::{KIND, PersonalTasks, PersonalTasksConfig, Split};

/// Builds every component that `config` names; its relative paths are relative to `base`.
///
/// # Errors
/// The first component that cannot be built says why.
pub fn parts(config: &RunConfig, base: &Path, device: &Device) -> Result<Parts> {
    let context = BuildContext::new(device.clone(), base);
    let rewards = config
        .rewards
        .iter()
        .map(|(name, settings)| registry::named_reward(name, settings, &context))
        .collect::<Result<Vec<_>>>()?;
    let mut parts = Parts::new(
        registry::policy(&config.policy.kind, &config.policy.settings, &context)?,
        registry::sampler(&config.sampler.kind, &config.sampler.settings, &context)?,
        RewardEnsemble::new(rewards, config.reward_weights.clone())?,
        registry::task_source(&config.data.kind, &config.data.settings, &context)?,
    )?;
    parts.filter = registry::filter(&config.filter.kind, &config.filter.settings, &context)?;
    parts.surrogate = config.filter.surrogate.clone();
    parts.objective = registry::objective(&config.objective.kind, &config.objective.settings, &context)?;
    Ok(parts)
}

/// The tasks of one split of the config's personal concepts, whichever it trains on.
///
/// # Errors
/// [`Config`](counterpoint::ErrorKind::Config) when the data is of another kind; [`Data`](counterpoint::ErrorKind::Data) naming
/// the file that cannot be used.
pub fn tasks(config: &RunConfig, base: &Path, split: Split) -> Result<PersonalTasks> {
    if config.data.kind != KIND {
        return Err(Error::config(format!(
            "data.kind: expected `{KIND}`, whose held-out half the recipes evaluate on, got `{}`",
            config.data.kind
        )));
    }
    let mut settings: PersonalTasksConfig = registry::settings("data", &config.data.settings)?;
    settings.split = split;
    settings.init(base)
}
