//! `state.json`: where the trainer was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkpoint::Reader;
use crate::config::join;
use crate::rollouts::Ledger;
use crate::{Error, Result};

const STATE: &str = "state.json";

/// How many differences an error message lists before it says "and N more".
const LISTED: usize = 4;

/// Keys that may change when a run is resumed: they change how long it lasts, where it writes and how it is watched, not what a
/// step computes. (A change of `trainer.steps` or `trainer.warmup_steps` stretches the learning-rate schedule from there on.)
const FREE: [&str; 18] = [
    "placement",
    "run.name",
    "run.output",
    "data.root",
    "evaluation.kind",
    "evaluation.every",
    "evaluation.best",
    "trainer.steps",
    "trainer.warmup_steps",
    "trainer.chunk",
    "trainer.overlap_rewards",
    "trainer.gate_tolerance",
    "trainer.max_non_finite",
    "trainer.max_idle",
    "trainer.stop_when",
    "trainer.checkpoint_every",
    "trainer.keep_last",
    "trainer.keep_best",
];

/// What a run counts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Progress {
    /// Steps completed.
    pub step: u64,
    /// Tasks drawn so far; the next task's cursor.
    pub cursor: u64,
    /// Steps skipped for non-finite numbers, in all.
    pub skipped: u64,
    /// Steps skipped in a row up to now.
    pub skipped_in_a_row: u64,
    /// Steps in a row, up to now, that had nothing to learn from.
    pub idle_in_a_row: u64,
    /// Sampling steps spent so far.
    pub ledger: Ledger,
    /// Whether sampling and replay were found to agree.
    pub gated: bool,
}

/// Where the trainer was: all that a resumed run needs besides parameters and optimizer to go on bit for bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainerState {
    /// Seed of the run's random streams.
    pub seed: u64,
    /// The adaptive state of the group filter, as [`GroupFilter::state`](crate::GroupFilter::state) gives it.
    pub filter: Value,
    /// That of the sampler.
    #[serde(default)]
    pub sampler: Value,
    /// Those of the rewards that have one, by name.
    #[serde(default)]
    pub rewards: BTreeMap<String, Value>,
    /// That of the task source.
    #[serde(default)]
    pub tasks: Value,
    /// Whether the next step's groups are drawn with the parameters before the last update, which the checkpoint then has in `behind/`
    /// ([`TrainerConfig::staleness`](crate::config::TrainerConfig::staleness)).
    #[serde(default)]
    pub behind: bool,
    /// What the trainer counts over the run.
    pub progress: Progress,
    /// What the policy calls its kind.
    pub policy: String,
    /// The trainer's settings.
    pub trainer: Value,
    /// The rest of the run's config, where the program gave one.
    #[serde(default)]
    pub config: Value,
}

impl TrainerState {
    /// Writes it into `dir`, the folder of a [`Writer`](crate::checkpoint::Writer).
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(STATE);
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::io("cannot write", &path, e.into()))?;
        fs::write(&path, text + "\n").map_err(|e| Error::io("cannot write", &path, e))
    }

    /// Reads it from a verified checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when the checkpoint has none, or one that does not fit.
    pub fn read(checkpoint: &Reader) -> Result<Self> {
        let path = checkpoint.path(STATE)?;
        let text = fs::read_to_string(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        let state: Self = serde_json::from_str(&text)
            .map_err(|e| Error::checkpoint(format!("{} is not a trainer's state", path.display())).with_source(e))?;
        if state.progress.step != checkpoint.step() {
            return Err(Error::checkpoint(format!(
                "{}: expected step {} as in the manifest, got {}",
                path.display(),
                checkpoint.step(),
                state.progress.step
            )));
        }
        Ok(state)
    }

    /// Refuses to go on with this state in a run that is another: another kind of policy, another seed, or a setting that
    /// changes what a step computes. How long the run lasts, where it writes and how it is watched may change.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) naming the differences, of settings by their dotted keys.
    pub fn check_same_run(&self, now: &Self) -> Result<()> {
        let mut differences = Vec::new();
        if now.policy != self.policy {
            differences.push(difference("the policy", Some(&self.policy.as_str()), Some(&now.policy.as_str())));
        }
        if now.seed != self.seed {
            differences.push(difference("the seed", Some(&self.seed), Some(&now.seed)));
        }
        let (old, new) = (self.settings(), now.settings());
        for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            if old.get(key) != new.get(key) && !FREE.iter().any(|free| within(key, free)) {
                differences.push(difference(key, old.get(key), new.get(key)));
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        let more = differences.len().saturating_sub(LISTED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        differences.truncate(LISTED);
        Err(Error::checkpoint(format!(
            "the checkpoint is of another run: {}{more}; resume with the checkpoint's settings, or start a new run",
            differences.join("; ")
        )))
    }

    /// All settings by dotted key.
    fn settings(&self) -> BTreeMap<String, &Value> {
        let mut found = BTreeMap::new();
        flatten("", &self.config, &mut found);
        // What the config says of the trainer was resolved to these.
        found.retain(|key, _| !within(key, "trainer"));
        flatten("trainer", &self.trainer, &mut found);
        found
    }
}

fn difference<T: std::fmt::Display>(key: &str, expected: Option<&T>, got: Option<&T>) -> String {
    let shown = |v: Option<&T>| v.map(T::to_string).unwrap_or_else(|| "nothing".to_owned());
    format!("{key}: expected {} as in the checkpoint, got {}", shown(expected), shown(got))
}

fn flatten<'a>(key: &str, value: &'a Value, found: &mut BTreeMap<String, &'a Value>) {
    match value {
        Value::Object(table) => {
            table.iter().for_each(|(name, value)| flatten(&join(key, name), value, found));
        }
        Value::Null => {}
        other => {
            found.insert(key.to_owned(), other);
        }
    }
}

/// Whether dotted `key` is `outer` or lies below it.
fn within(key: &str, outer: &str) -> bool {
    key.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
