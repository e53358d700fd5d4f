//! A short run of the recipe, and the reward plugins that cargo builds along with the tests.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint::config::RunConfig;
use counterpoint::metrics::{Metrics, MetricsLog};
use counterpoint::{Result, StopToken, Trainer};
use counterpoint_examples::parts;
use counterpoint_host::{Library, Sidecar};

pub fn base() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The recipe, shortened to `steps` steps.
pub fn config(steps: u64, extra: &[&str]) -> RunConfig {
    let steps = format!("trainer.steps={steps}");
    let short = [
        steps.as_str(),
        "trainer.group_size=3",
        "trainer.images_per_answer=1",
        "data.answer_share=0",
        "objective.denoising_steps=1",
        "trainer.tasks_per_step=2",
        "trainer.warmup_steps=1",
        "trainer.max_attempts=2",
        "trainer.checkpoint_every=100",
        "sampler.image.timesteps=4",
        "sampler.image.checkpoint_step=1",
    ];
    let overrides: Vec<String> = short.iter().chain(extra).map(|s| (*s).to_owned()).collect();
    RunConfig::load(&base().join("sync_r1.toml"), &overrides).unwrap()
}

/// Trains by `config` and returns the metrics, timings left out.
pub fn train(config: &RunConfig) -> Result<Vec<Metrics>> {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(config, &base(), &Device::flex())?;
    let mut trainer = Trainer::new(parts, config.trainer.clone(), config.run.seed)?.with_folder(folder.path());
    trainer.run(&StopToken::new())?;
    let lines = MetricsLog::read(&folder.path().join("metrics.jsonl"))?;
    Ok(lines.into_iter().map(|(_, metrics)| metrics.without_timings()).collect())
}

/// The library of the example `name`, which `cargo test --workspace` builds.
fn example(name: &str) -> PathBuf {
    // This program is target/<profile>/deps/plugins-<hash>.
    let program = std::env::current_exe().unwrap();
    let profile = program.ancestors().nth(2).unwrap();
    let name = format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let path = profile.join("examples").join(name);
    assert!(path.is_file(), "{} is not there: cargo test --workspace builds it", path.display());
    path
}

/// Puts the plugins of TIER, BER, DER and FER into `folder`, with their sidecars.
pub fn install(folder: &Path) {
    for name in ["tier", "ber", "der", "fer"] {
        let built = example(name);
        let plugin = folder.join(built.file_name().unwrap());
        std::fs::copy(&built, &plugin).unwrap();
        seal(&plugin);
    }
}

/// Writes the sidecar of `plugin`.
pub fn seal(plugin: &Path) {
    let manifest = Library::open(plugin).unwrap().manifest();
    Sidecar::of(plugin, manifest).unwrap().write(plugin).unwrap();
}
