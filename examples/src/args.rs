//! The command line that recipes share.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Parser;
use counterpoint::config::{RunConfig, located};
use counterpoint::file::folder_of;
use counterpoint::{Error, Result, device};
use counterpoint_plugins::{experts, replace_rewards};

use crate::{OutputMode, Resume, RunFolder, cores};

/// Options of a recipe.
#[derive(Debug, Clone, Parser)]
pub struct RecipeArgs {
    /// The run's config; relative paths in it are relative to its folder. Default: the recipe's own.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Overrides a key of the config, such as `--set trainer.steps=20`. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Seed of every random decision.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Repeats every run with this many seeds, from `--seed` on, and says how sure the outcome is.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: Option<u64>,
    /// Runs side by side when there are several. Default: one for each core on the CPU, otherwise one.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub jobs: Option<u64>,
    /// Where to train, and to compute whatever has no other place in `[placement]`: `flex` (the CPU), `cuda:N`, `vulkan` and others. Default:
    /// the config's `placement.learner`, and `flex` without it.
    #[arg(long)]
    pub device: Option<String>,
    /// Takes every reward whose expert a plugin in this folder has from that plugin, its settings unchanged.
    #[arg(long, value_name = "DIR")]
    pub rewards_from: Option<PathBuf>,
    /// A key for all of those plugins, such as `isolation=process`, `on_failure=drop`, `deadline_s=10` or
    /// `settings.device=cuda:0`. May be given several times.
    #[arg(long = "plugin", value_name = "KEY=VALUE", requires = "rewards_from")]
    pub plugin: Vec<String>,
    /// Goes on with the newest run of this name from its newest checkpoint; with `--resume=if-there` it begins one where there is none.
    #[arg(long, value_enum, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_value = "no", default_missing_value = "yes")]
    pub resume: Resume,
    /// Prints nothing but errors and the final table.
    #[arg(long, conflicts_with = "json")]
    pub quiet: bool,
    /// Prints one JSON object per event, one per line, and nothing else on standard output.
    #[arg(long)]
    pub json: bool,
}

impl RecipeArgs {
    /// The config that these options describe, `default` being the recipe's own file, and the folder that its relative
    /// paths are relative to.
    ///
    /// # Errors
    /// As [`RunConfig::load`] and [`replace_rewards`].
    pub fn load(&self, default: &Path) -> Result<(RunConfig, PathBuf)> {
        self.load_with(default, &[])
    }

    /// The same with the keys of `set` changed first, as `--set` does.
    ///
    /// # Errors
    /// As [`load`](RecipeArgs::load).
    pub fn load_with(&self, default: &Path, set: &[String]) -> Result<(RunConfig, PathBuf)> {
        let path = match &self.config {
            Some(path) => path,
            None => built_in(default, "--config")?,
        };
        let mut overrides = [set, &self.set].concat();
        overrides.extend(self.seed.map(|seed| format!("run.seed={seed}")));
        if let Some(folder) = &self.rewards_from {
            let offered = experts(folder).map_err(|e| e.at("--rewards-from"))?;
            let written: toml::Table = counterpoint::config::load(path, &[])?;
            let written = written.get("rewards").and_then(toml::Value::as_table);
            let without = offered.iter().filter(|name| !written.is_some_and(|rewards| rewards.contains_key(*name)));
            let without = without.filter(|name| is_weighted_alone(name, &overrides));
            let rewards: Vec<String> = without.map(|name| format!("rewards.{name}.kind=\"{name}\"")).collect();
            overrides.splice(0..0, rewards);
        }
        let mut config = RunConfig::load(path, &overrides)?;
        if let Some(folder) = &self.rewards_from {
            let replaced = replace_rewards(&mut config, folder).map_err(|e| e.at("--rewards-from"))?;
            let keys = |name| self.plugin.iter().map(move |key| format!("rewards.{name}.{key}"));
            let overrides: Vec<String> = replaced.iter().flat_map(keys).collect();
            config = RunConfig::from_toml(&config.to_toml()?, &overrides)?;
        }
        Ok((config, folder_of(path).to_owned()))
    }

    /// `error` with the line of the config or the `--set` that the key which it names is from.
    pub fn located(&self, default: &Path, error: Error) -> Error {
        located(error, self.config.as_deref().unwrap_or(default), &self.set)
    }

    /// Whom these options let the recipe talk to.
    pub fn output(&self) -> OutputMode {
        OutputMode::of(self.quiet, self.json)
    }

    /// The folder of the run `config`: the newest one with `--resume`, otherwise a new one, which is made now.
    ///
    /// # Errors
    /// As [`RunFolder::of`] and [`RunFolder::made`].
    pub fn folder(&self, config: &RunConfig) -> Result<RunFolder> {
        self.planned_folder(config)?.made(&config.run)
    }

    /// The same for a run that makes its folder itself, when it begins: a refused config leaves none.
    ///
    /// # Errors
    /// As [`RunFolder::of`].
    pub fn planned_folder(&self, config: &RunConfig) -> Result<RunFolder> {
        RunFolder::of(&config.run, self.resume)
    }

    /// The seeds of repeated runs, `default` of them when `--seeds` says nothing.
    pub fn seeds(&self, config: &RunConfig, default: u64) -> Vec<u64> {
        (0..self.seeds.unwrap_or(default)).map(|n| config.run.seed.saturating_add(n)).collect()
    }

    /// Where the run `config` trains.
    ///
    /// # Errors
    /// As [`device::named`].
    pub fn device(&self, config: &RunConfig) -> Result<Device> {
        device_of(self.device.as_deref(), config)
    }

    /// Runs side by side, on `device`.
    pub fn jobs(&self, device: &Device) -> usize {
        let default = if device::is_cpu(device) { cores() } else { 1 };
        self.jobs.map_or(default, |jobs| jobs as usize)
    }

    /// The command that resumes this run, with the program that it was begun with.
    pub fn resume_command(&self, program: Invocation) -> String {
        let mut command = format!("{program} --resume");
        if let Some(config) = &self.config {
            command += &format!(" --config '{}'", config.display());
        }
        if let Some(folder) = &self.rewards_from {
            command += &format!(" --rewards-from '{}'", folder.display());
        }
        for key in &self.plugin {
            command += &format!(" --plugin '{key}'");
        }
        if let Some(seed) = self.seed {
            command += &format!(" --seed {seed}");
        }
        if let Some(seeds) = self.seeds {
            command += &format!(" --seeds {seeds}");
        }
        if let Some(jobs) = self.jobs {
            command += &format!(" --jobs {jobs}");
        }
        for set in &self.set {
            command += &format!(" --set '{set}'");
        }
        if let Some(device) = &self.device {
            command += &format!(" --device {device}");
        }
        match self.output() {
            OutputMode::People => {}
            OutputMode::Quiet => command += " --quiet",
            OutputMode::Json => command += " --json",
        }
        command
    }
}

/// How a program is started in a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invocation {
    /// An example of this name, by cargo.
    Example(&'static str),
    /// This subcommand of `counterpoint`.
    Subcommand(&'static str),
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Example(name) => write!(f, "cargo run --release --example {name} --"),
            Self::Subcommand(name) => write!(f, "counterpoint {name}"),
        }
    }
}

/// Where the run `config` trains, or trained, when `--device` says `named`.
pub(crate) fn device_of(named: Option<&str>, config: &RunConfig) -> Result<Device> {
    match (named, &config.placement.learner) {
        (Some(name), _) => device::named(name).map_err(|e| e.at("--device")),
        (None, Some(name)) => device::named(name).map_err(|e| e.at("placement.learner")),
        (None, None) => device::named("flex"),
    }
}

/// `path`, which is part of the clone that this program was built in. The clone may be gone by now; `option` names another one.
pub(crate) fn built_in<'a>(path: &'a Path, option: &str) -> Result<&'a Path> {
    match path.exists() {
        true => Ok(path),
        false => Err(Error::config(format!(
            "expected {}, of the clone that this program was built in, which is not there any more; name another with {option}",
            path.display()
        ))),
    }
}

/// Whether the reward `name` has a weight among `overrides` and nothing else: a plugin that needs no settings.
fn is_weighted_alone(name: &str, overrides: &[String]) -> bool {
    let keys = || overrides.iter().filter_map(|set| set.split_once('=')).map(|(key, _)| key.trim());
    let weighted = |key: &str| key.starts_with("reward_weights.") && key.ends_with(&format!(".{name}"));
    keys().any(weighted) && !keys().any(|key| key.starts_with(&format!("rewards.{name}")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{built_in, is_weighted_alone};

    #[test]
    fn a_file_that_went_with_the_clone_is_said_with_the_option_that_names_another() {
        let [here, gone] = ["/ablate.toml", "/no.toml"].map(|file| env!("CARGO_MANIFEST_DIR").to_owned() + file);
        assert!(built_in(Path::new(&here), "--plan").is_ok());
        let refused = built_in(Path::new(&gone), "--plan").map_err(|e| e.to_string());
        assert!(refused.is_err_and(|e| e.contains("no.toml") && e.ends_with("name another with --plan")));
    }

    #[test]
    fn a_reward_with_a_weight_and_no_settings_is_one_all_the_same() {
        for (set, alone) in [
            (&["reward_weights.default.sharp=0.1"][..], true),
            (&["reward_weights.person.sharp = 0.1", "trainer.steps=3"], true),
            (&["reward_weights.default.sharp=0.1", "rewards.sharp.width=3"], false),
            (&["reward_weights.default.unsharp=0.1"], false),
            (&["rewards.sharp.width=3"], false),
        ] {
            let set: Vec<String> = set.iter().map(|&text| text.to_owned()).collect();
            assert_eq!(is_weighted_alone("sharp", &set), alone, "{set:?}");
        }
    }
}
