//! From a config to the parts of a run.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::Device;
use counterpoint::config::{Component, NO_EVALUATION, RunConfig};
use counterpoint::registry::{self, BuildContext};
use counterpoint::{Evaluator, Parts, Result, RewardEnsemble, Sampler, Task, device, serde_json};

/// Builds every component that `config` names; its relative paths are relative to `base`.
///
/// # Errors
/// The first component that cannot be built says why.
pub fn parts(config: &RunConfig, base: &Path, device: &Device) -> Result<Parts> {
    let context = BuildContext::new(device.clone(), base);
    let placement = &config.placement;
    let rewarding = device::named_or(placement.rewards.as_deref(), device).map_err(|e| e.at("placement.rewards"))?;
    let rewarding = BuildContext::new(rewarding, base);
    let rewards = config
        .rewards
        .iter()
        .map(|(name, settings)| registry::named_reward(name, settings, &rewarding))
        .collect::<Result<Vec<_>>>()?;
    let tasks = registry::task_source(&config.data.kind, &config.data.settings, &context)?;
    warn_of_people(&tasks.survey()?, config);
    let sampler = || registry::sampler(&config.sampler.kind, &config.sampler.settings, &context);
    let mut policy = registry::policy(&config.policy.kind, &config.policy.settings, &context)?;
    if !placement.updates.is_empty() {
        let devices = placement.updates.iter().map(|name| device::named(name));
        let devices = devices.collect::<Result<_>>().map_err(|e| e.at("placement.updates"))?;
        policy.update_on(devices)?;
    }
    let mut parts =
        Parts::new(policy, sampler()?, RewardEnsemble::new(rewards, config.reward_weights.clone())?, tasks)?;
    let placed = |name: &String| Ok((device::named(name).map_err(|e| e.at("placement.rollouts"))?, sampler()?));
    parts.rollout_devices = placement.rollouts.iter().map(placed).collect::<Result<_>>()?;
    parts.filter = registry::filter(&config.filter.kind, &config.filter.settings, &context)?;
    parts.surrogate = config.filter.surrogate.clone();
    parts.objective = registry::objective(&config.objective.kind, &config.objective.settings, &context)?;
    Ok(parts)
}

/// Warns of people whose rewards are weighed like those of things, while some classes have tables of their own.
fn warn_of_people(tasks: &[Task], config: &RunConfig) {
    let text = |task: &Task, key: &str| task.params.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    let human = |task: &&Task| text(task, "conversation_type").as_deref() == Some("human");
    let unweighed = |task: &&Task| !config.reward_weights.contains_key(&task.class);
    let people = tasks.iter().filter(human).filter(unweighed);
    let named: BTreeSet<(String, &str)> =
        people.filter_map(|task| Some((text(task, "concept")?, task.class.as_str()))).collect();
    if config.reward_weights.len() > 1 {
        for (concept, class) in named {
            tracing::warn!(
                "data: {concept} is human and of the class `{class}`, which has no table of reward weights: it uses \
                 reward_weights.default (data.classes says which class a concept is of)"
            );
        }
    }
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

/// Builds the sampler of evaluations where `config` has other keys for it than for training.
///
/// # Errors
/// As [`parts`].
pub fn evaluation_sampler(config: &RunConfig, base: &Path, device: &Device) -> Result<Option<Box<dyn Sampler>>> {
    let context = BuildContext::new(device.clone(), base);
    let Some(Component { kind, settings }) = config.evaluation_sampler() else { return Ok(None) };
    registry::sampler(&kind, &settings, &context).map(Some).map_err(|e| e.at("evaluation.sampler"))
}
