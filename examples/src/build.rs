//! From a config to the parts of a run.

use std::path::Path;

use burn::tensor::Device;
use counterpoint::config::{NO_EVALUATION, RunConfig};
use counterpoint::registry::{self, BuildContext};
use counterpoint::{Evaluator, Parts, Result, RewardEnsemble};

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

/// Builds the evaluator that `config` names, none for `none`.
///
/// # Errors
/// As [`parts`].
pub fn evaluator(config: &RunConfig, base: &Path, device: &Device) -> Result<Option<Box<dyn Evaluator>>> {
    let section = &config.evaluation;
    if section.kind == NO_EVALUATION {
        return Ok(None);
    }
    let context = BuildContext::new(device.clone(), base).with_data(config.data.clone());
    registry::evaluator(&section.kind, &section.settings, &context).map(Some)
}
