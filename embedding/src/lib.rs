//! A program that embeds Counterpoint: it composes melodies, and knows of the engine what its API says.
//!
//! The model is a policy of its own kind ([`Composer`]), drawn from by a sampler of its own ([`Improviser`]), trained by
//! a reward of its own ([`Stepwise`]) on tasks of its own ([`Openings`]). [`run`] puts them together. The program's only
//! dependency is `counterpoint`, without default features; the backend is a feature of its own.

mod policy;
mod reward;
mod sampler;
mod tasks;

pub use policy::{Composer, LENGTH, MelodyModel, NOTES};
pub use reward::Stepwise;
pub use sampler::Improviser;
pub use tasks::Openings;

// The guide's listings: every one is compiled and run.
#[cfg(doctest)]
mod guide;

use counterpoint::burn::tensor::Device;
use counterpoint::config::TrainerConfig;
use counterpoint::{Parts, Result, RewardEnsemble, SyncGrpoConfig, Trainer, TypedSampler};

/// The parts of a run that computes on `device`.
///
/// # Errors
/// None with these settings; those that `counterpoint` makes of other ones.
pub fn parts(device: &Device) -> Result<Parts> {
    let parts = Parts::new(
        Box::new(Composer::new(device)),
        Improviser.boxed(),
        RewardEnsemble::single(Stepwise),
        Box::new(Openings),
    )?;
    Ok(parts.with_objective(SyncGrpoConfig::dr_grpo().init()?))
}

/// A short run on `device`: `steps` steps of two groups of six melodies, a checkpoint every two steps.
///
/// # Errors
/// [`Config`](counterpoint::ErrorKind::Config) when `steps` is 0.
pub fn run(device: &Device, steps: u64, seed: u64) -> Result<Trainer> {
    let config = TrainerConfig {
        steps,
        group_size: 6,
        tasks_per_step: 2,
        learning_rate: 0.1,
        warmup_steps: 0,
        checkpoint_every: 2,
        ..TrainerConfig::default()
    };
    Trainer::new(parts(device)?, config, seed)
}
