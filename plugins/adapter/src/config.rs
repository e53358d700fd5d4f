//! `[rewards.<name>]` with `kind = "plugin"`.

use std::path::PathBuf;

use counterpoint::{Error, Judges, Result};
use counterpoint_bridge::BridgeOptions;
use serde::{Deserialize, Serialize};

use crate::OnFailure;
use crate::make::engine;

/// Which plugin, which of its experts, where it runs, and what happens when it fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginConfig {
    /// The plugin: a library, a file whose sidecar says how it is started, or a folder in which the one is that has the expert.
    /// Either this or `command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Program and arguments of a plugin that is a process of its own. It starts in the folder of the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Which of the plugin's experts. Default: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expert: Option<String>,
    /// Which of the expert's outputs. Default: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Which halves of the loop the reward judges: `understanding`, `generation` or `both`, for an expert whose manifest does not
    /// say it, or wrongly. Default: what the manifest says, else both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judges: Option<Judges>,
    /// The expert's own settings; relative paths in them are relative to the config's folder.
    #[serde(default)]
    pub settings: toml::Table,
    /// Where a library runs. Default: in this process.
    #[serde(default)]
    pub isolation: Isolation,
    /// What happens when a call fails as a whole. Default: it is made again, then the run stops.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Seconds that a call may take, above 0. A library that has one runs in a child process whatever `isolation` says, as a call that
    /// hangs can be ended there alone. Default: no limit in this process, `process.call_timeout_s` in another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<f64>,
    /// Instances among which a batch is divided, in this process alone; more than 1 needs a plugin that allows it. Default: 1.
    #[serde(default = "one")]
    pub instances: usize,
    /// Seed of everything random in the expert. Default: 0.
    #[serde(default)]
    pub seed: u64,
    /// How a child process is treated; its start-up timeout is also that of a first look at a library.
    #[serde(default)]
    pub process: BridgeOptions,
}

/// Where a library runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// In this process: the quickest. A plugin that crashes takes the run with it.
    #[default]
    None,
    /// In a child process, which costs less than a millisecond a batch: a plugin that crashes or hangs costs one call.
    Process,
}

fn one() -> usize {
    1
}

impl PluginConfig {
    /// Whether a library runs in a child process.
    pub(crate) fn is_apart(&self) -> bool {
        self.isolation == Isolation::Process || self.deadline_s.is_some()
    }

    /// Checks what does not need the plugin.
    pub(crate) fn check(&self) -> Result<()> {
        match (&self.path, &self.command) {
            (Some(_), Some(_)) => return Err(Error::config("expected either path or command, got both")),
            (None, None) => return Err(Error::config("expected path (a library or folder) or command, got neither")),
            (None, Some(command)) if command.is_empty() => {
                return Err(Error::config("command: expected a program and its arguments, got an empty array"));
            }
            _ => {}
        }
        if let Some(deadline) = self.deadline_s
            && !(deadline > 0.0 && deadline <= 1e9)
        {
            return Err(Error::config(format!("deadline_s: expected seconds above 0, got {deadline}")));
        }
        if self.instances > 1 && (self.is_apart() || self.command.is_some()) {
            return Err(Error::config(format!(
                "instances: expected 1 for a plugin in a process of its own, as one with deadline_s is, got {}",
                self.instances
            )));
        }
        self.process.check().map_err(engine).map_err(|e| e.at("process"))
    }
}
