//! Policies, samplers, rewards, filters, objectives, task sources and evaluators by name, so that a config can select them.
//!
//! A crate registers a constructor with [`inventory::submit!`] (re-exported as [`crate::inventory`]):
//!
//! ```
//! use counterpoint::{inventory, KeepAll, registry::FilterEntry};
//!
//! inventory::submit! {
//!     FilterEntry::new("everything", |_settings, _context| Ok(Box::new(KeepAll)))
//! }
//! ```
//!
//! A linker drops a crate that nothing refers to, and its registrations with it: the program that wants them says
//! `use that_crate as _;`.

mod builtin;

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use crate::config::Component;
use crate::{
    Error, Evaluator, GroupFilter, Judges, Objective, Policy, Result, Reward, Sample, Sampler, Score, Task, TaskSource,
};

/// What a constructor may need besides its own settings.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BuildContext {
    /// Where the model computes; without autodiff, which a policy adds for its trainable parameters.
    pub device: Device,
    /// Folder that relative paths of the config are relative to.
    pub base: PathBuf,
    /// The run's `[data]`, for an evaluator that works on the half which is kept from training.
    pub data: Option<Component>,
}

impl BuildContext {
    /// A context in which models compute on `device` and relative paths are relative to `base`.
    pub fn new(device: Device, base: impl Into<PathBuf>) -> Self {
        Self { device, base: base.into(), data: None }
    }

    /// The same of a run with this `[data]`.
    pub fn with_data(mut self, data: Component) -> Self {
        self.data = Some(data);
        self
    }

    /// `path` itself when absolute, else relative to [`base`](BuildContext::base).
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }
}

macro_rules! registry {
    ($(#[$doc:meta] $entry:ident $sort:literal $lookup:ident $names:ident -> $product:ty;)*) => {$(
        #[$doc]
        #[non_exhaustive]
        pub struct $entry {
            /// The name by which a config selects it.
            pub name: &'static str,
            /// Builds it from its table of the config.
            pub build: fn(&toml::Table, &BuildContext) -> Result<$product>,
        }

        impl $entry {
            /// `build` under `name`.
            pub const fn new(
                name: &'static str,
                build: fn(&toml::Table, &BuildContext) -> Result<$product>,
            ) -> Self {
                Self { name, build }
            }
        }

        inventory::collect!($entry);

        /// Builds the one registered under `name`.
        ///
        /// # Errors
        /// [`ErrorKind::Config`](crate::ErrorKind::Config) when the name is unknown (the nearest known one is named) or
        /// registered twice, and whatever the constructor says of its settings.
        pub fn $lookup(name: &str, settings: &toml::Table, context: &BuildContext) -> Result<$product> {
            let mut found = inventory::iter::<$entry>.into_iter().filter(|e| e.name == name);
            let Some(entry) = found.next() else {
                return Err(unknown($sort, name, &$names()));
            };
            if found.next().is_some() {
                return Err(Error::config(format!(
                    "two {}s are registered as `{name}`; rename one of them", $sort
                )));
            }
            (entry.build)(settings, context)
        }

        /// The registered names, sorted.
        pub fn $names() -> Vec<&'static str> {
            let mut names: Vec<_> = inventory::iter::<$entry>.into_iter().map(|e| e.name).collect();
            names.sort_unstable();
            names
        }
    )*};
}

registry! {
    /// A registered [`Policy`].
    PolicyEntry "policy" policy policies -> Box<dyn Policy>;
    /// A registered [`Sampler`].
    SamplerEntry "sampler" sampler samplers -> Box<dyn Sampler>;
    /// A registered [`Reward`].
    RewardEntry "reward" reward rewards -> Box<dyn Reward>;
    /// A registered [`GroupFilter`].
    FilterEntry "filter" filter filters -> Box<dyn GroupFilter>;
    /// A registered [`Objective`].
    ObjectiveEntry "objective" objective objectives -> Box<dyn Objective>;
    /// A registered [`TaskSource`].
    TaskSourceEntry "task source" task_source task_sources -> Box<dyn TaskSource>;
    /// A registered [`Evaluator`].
    EvaluatorEntry "evaluator" evaluator evaluators -> Box<dyn Evaluator>;
}

/// Builds the reward that the table `[rewards.<name>]` of a config describes: the one that is registered as its `kind`, or
/// without that key as `name`. It is called `name`, whatever it calls itself.
///
/// # Errors
/// As [`reward()`]; [`ErrorKind::Config`](crate::ErrorKind::Config) when `kind` is no string.
pub fn named_reward(name: &str, table: &toml::Table, context: &BuildContext) -> Result<Box<dyn Reward>> {
    let mut settings = table.clone();
    let kind = match settings.remove("kind") {
        None => name.to_owned(),
        Some(toml::Value::String(kind)) => kind,
        Some(other) => {
            let message = format!("rewards.{name}.kind: expected a string, got {} `{other}`", other.type_str());
            return Err(Error::config(message));
        }
    };
    let reward = reward(&kind, &settings, context).map_err(|e| e.of_section(&kind, &format!("rewards.{name}")))?;
    Ok(if kind == name { reward } else { Box::new(Named { name: name.to_owned(), reward }) })
}

/// A reward under the name that a config gives it.
struct Named {
    name: String,
    reward: Box<dyn Reward>,
}

impl Reward for Named {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        self.reward.score(samples)
    }

    fn preview(&mut self, previews: &[Sample]) -> Result<Vec<Score>> {
        self.reward.preview(previews)
    }

    fn judges(&self) -> Judges {
        self.reward.judges()
    }

    fn needs_states(&self) -> bool {
        self.reward.needs_states()
    }

    fn check(&mut self, tasks: &[Task]) -> Result<()> {
        self.reward.check(tasks)
    }

    fn state(&self) -> serde_json::Value {
        self.reward.state()
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        self.reward.restore(state)
    }

    fn device(&self) -> Option<String> {
        self.reward.device()
    }
}

fn unknown(sort: &str, name: &str, known: &[&str]) -> Error {
    let hint = crate::config::nearest(name, known.iter().copied())
        .map(|n| format!("; did you mean `{n}`?"))
        .unwrap_or_default();
    Error::config(format!(
        "no {sort} is registered as `{name}`{hint} (registered: {}; a crate registers its own when the program says `use the_crate as _;`)",
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    ))
}

/// Reads a component's settings from its table of the config.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) naming `section` and the key that is unknown or of a wrong type.
pub fn settings<T: serde::de::DeserializeOwned>(section: &str, table: &toml::Table) -> Result<T> {
    crate::config::typed(section, table)
}
