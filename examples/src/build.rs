//! From a config to the parts of a run.

use std::path::Path;

use burn::tensor::Device;
use counterpoint::config::RunConfig;
use counterpoint::data::{ConceptSet, PersonalTasks, Split};
use counterpoint::registry::{self, BuildContext};
use counterpoint::{Parts, Result, RewardEnsemble};

/// Builds every component that `config` names; its relative paths are relative to `base`.
///
/// # Errors
/// The first component that cannot be built says why.
pub fn parts(config: &RunConfig, base: &Path, device: &Device) -> Result<Parts> {
    let context = BuildContext { device: device.clone(), base: base.to_owned() };
    let rewards = config
        .rewards
        .iter()
        .map(|(name, settings)| registry::named_reward(name, settings, &context))
        .collect::<Result<Vec<_>>>()?;
    let split: Split = config.data.split.parse::<Split>().map_err(|e| e.at("data.split"))?;
    let mut parts = Parts::new(
        registry::policy(&config.policy.kind, &config.policy.settings, &context)?,
        registry::sampler(&config.sampler.kind, &config.sampler.settings, &context)?,
        RewardEnsemble::new(rewards, config.reward_weights.clone())?,
        Box::new(tasks(config, base, split)?),
    )?;
    parts.filter = registry::filter(&config.filter.kind, &config.filter.settings, &context)?;
    parts.surrogate = config.filter.surrogate.clone();
    parts.objective = registry::objective(&config.objective.kind, &config.objective.settings, &context)?;
    Ok(parts)
}

/// The tasks of one split of the config's data.
///
/// # Errors
/// [`Data`](counterpoint::ErrorKind::Data) naming the file that cannot be used.
pub fn tasks(config: &RunConfig, base: &Path, split: Split) -> Result<PersonalTasks> {
    let set = ConceptSet::open(&base.join(&config.data.root))?;
    let names = config.data.concepts.clone().unwrap_or_else(|| set.names().to_vec());
    let concepts = names.iter().map(|name| set.concept(name)).collect::<Result<Vec<_>>>()?;
    PersonalTasks::new(concepts, split, config.data.visual_share)
}
