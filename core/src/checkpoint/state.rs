//! `state.json`: where the trainer was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::Reader;
use crate::{Error, Result};

const STATE: &str = "state.json";

/// How many differences an error message lists before it says "and N more".
const LISTED: usize = 4;

/// Keys of a run's config that may change when a run is resumed: they change how long it lasts, where it writes and how
/// it is watched, not what a step computes. (A change of `trainer.steps` or `trainer.warmup_steps` stretches the
/// learning-rate schedule from there on.)
const FREE: [&str; 12] = [
    "run.name",
    "run.output",
    "data.root",
    "trainer.steps",
    "trainer.warmup_steps",
    "trainer.chunk",
    "trainer.overlap_rewards",
    "trainer.gate_tolerance",
    "trainer.max_non_finite",
    "trainer.checkpoint_every",
    "trainer.keep_last",
    "trainer.keep_best",
];

/// Where the trainer was: all that a resumed run needs besides parameters and optimizer to go on bit for bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerState {
    /// Steps that are complete; the next step has this number.
    pub step: u64,
    /// Cursor of the next task in the task source.
    pub task_cursor: u64,
    /// Seed of the run's random streams.
    pub seed: u64,
    /// The adaptive state of the group filter, as [`GroupFilter::state`](crate::GroupFilter::state) gives it.
    pub filter: serde_json::Value,
    /// Whatever else the trainer counts over the run, such as non-finite steps in a row.
    pub counters: serde_json::Value,
    /// What the policy calls its kind.
    pub policy: String,
    /// The resolved config as TOML.
    pub config: String,
}

impl TrainerState {
    /// Writes it into `dir`, the folder of a [`Writer`](super::Writer).
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
        if state.step != checkpoint.step() {
            return Err(Error::checkpoint(format!(
                "{}: expected step {} as in the manifest, got {}",
                path.display(),
                checkpoint.step(),
                state.step
            )));
        }
        Ok(state)
    }

    /// Refuses to resume another run: another kind of policy, another seed, or a config (TOML text) that differs in a
    /// key that changes what a step computes. How long the run lasts, where it writes and how it is watched may change.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) naming the differences, of the config by their dotted keys.
    pub fn check_same_run(&self, policy: &str, seed: u64, config: &str) -> Result<()> {
        let mut differences = Vec::new();
        if policy != self.policy {
            differences.push(difference("the policy", Some(&self.policy.as_str()), Some(&policy)));
        }
        if seed != self.seed {
            differences.push(difference("the seed", Some(&self.seed), Some(&seed)));
        }
        let (old, new) = (settings(&self.config)?, settings(config)?);
        for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            if old.get(key) != new.get(key) && !FREE.contains(&key.as_str()) {
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
}

fn difference<T: std::fmt::Display>(key: &str, expected: Option<&T>, got: Option<&T>) -> String {
    let shown = |v: Option<&T>| v.map(T::to_string).unwrap_or_else(|| "nothing".to_owned());
    format!("{key}: expected {} as in the checkpoint, got {}", shown(expected), shown(got))
}

/// All values of a config by dotted key.
fn settings(config: &str) -> Result<BTreeMap<String, Value>> {
    let table: Table =
        config.parse().map_err(|e| Error::checkpoint("expected the run's config as TOML").with_source(e))?;
    let mut found = BTreeMap::new();
    flatten("", table, &mut found);
    Ok(found)
}

fn flatten(prefix: &str, table: Table, found: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => flatten(&format!("{key}."), inner, found),
            other => {
                found.insert(key, other);
            }
        }
    }
}
