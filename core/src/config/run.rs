//! The sections of a run's config.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::TrainerConfig;
use super::typed::Problem;

/// A whole run. Relative paths in it are kept as they are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// `[run]`: name, seed and output folder.
    pub run: RunSection,
    /// `[policy]`: the model under training.
    pub policy: Component,
    /// `[sampler]`: how trajectories are drawn from it.
    pub sampler: Component,
    /// `[filter]`: which drafts are finished. Default: Dynamic Group Scaling (`kind = "dgs"`), as in the paper.
    #[serde(default)]
    pub filter: FilterSection,
    /// `[objective]`: what is maximised. Default: `kind = "sync_grpo"`, as in the paper.
    #[serde(default = "sync_grpo")]
    pub objective: Component,
    /// `[rewards.<name>]`: one table of settings for each reward, by the name under which it is registered, or by any name
    /// with `kind` saying that; 1 or more.
    pub rewards: BTreeMap<String, Table>,
    /// `[reward_weights.<class>]`: weight of each reward, 0 or more and not all 0, by concept class. `default` is for
    /// every class that has no table of its own. Paper: tier 0.4, ber 0.3, der 0.3, and for `person` tier 0.4, ber 0.2,
    /// der 0.2, fer 0.2.
    pub reward_weights: BTreeMap<String, BTreeMap<String, f64>>,
    /// `[data]`: where tasks come from.
    pub data: Component,
    /// `[evaluation]`: how the policy is judged. Default: `kind = "none"`.
    #[serde(default)]
    pub evaluation: EvaluationSection,
    /// `[trainer]`: the training loop.
    #[serde(default)]
    pub trainer: TrainerConfig,
    /// `[placement]`: which devices do what. Default: one does everything.
    #[serde(default, skip_serializing_if = "Placement::is_default")]
    pub placement: Placement,
}

/// `[placement]`: devices by the names that [`crate::device`] lists. It changes no sample: what is drawn for a candidate does not
/// depend on who draws it, up to the rounding of devices that differ.
///
/// ```toml
/// [placement]
/// learner = "cuda:0"
/// rollouts = ["cuda:1", "cuda:2"]
/// rewards = "cuda:3"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Placement {
    /// Where the policy is trained. Default: what the command line says, and `flex` (the CPU) without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learner: Option<String>,
    /// Where candidates are drawn for training, side by side; a copy of the policy is on each. Default: none, which is where the policy
    /// is trained.
    pub rollouts: Vec<String>,
    /// Where the chunks of an update are computed, side by side; their gradients are summed where the policy is trained. Default: none, which
    /// is there too. More than one chunk is what there has to be (`trainer.chunk`), and each device has a copy of policy and reference.
    pub updates: Vec<String>,
    /// Where rewards compute that have no `device` of their own. Default: where the policy is trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewards: Option<String>,
}

impl Placement {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `[run]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSection {
    /// Name of the run and of its folder in `output`: not empty, no `/` or `\`, no leading dot.
    pub name: String,
    /// Seed of every random decision, 0 to 2^63 - 1 (TOML has no larger integers). Default: 0.
    #[serde(default)]
    pub seed: u64,
    /// Folder in which the run's own folder is made. Default: `runs`.
    #[serde(default = "runs")]
    pub output: PathBuf,
}

/// A component chosen by name: `kind = "..."` and the component's own settings in the same table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct Component {
    /// The name under which it is registered.
    pub kind: String,
    /// The rest of the table, which the component itself gives a type.
    pub settings: Table,
}

/// `[filter]`: a [`Component`] that may need a surrogate reward for previews.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct FilterSection {
    /// The name under which the filter is registered.
    pub kind: String,
    /// The reward, one of `[rewards]`, that scores half-made images. Paper: `ber`. No default: a filter that needs
    /// previews cannot do without.
    pub surrogate: Option<String>,
    /// The rest of the table, which the filter itself gives a type.
    pub settings: Table,
}

/// `[evaluation]`: an [`Evaluator`](crate::Evaluator) chosen by name, and when it is asked besides before and after the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct EvaluationSection {
    /// The name under which the evaluator is registered, or `none`. Default: `none`.
    pub kind: String,
    /// Steps from one evaluation to the next during training; 0 for none. Default: 0.
    pub every: u64,
    /// Metric of the evaluation, such as `reasoning` or `reward`, by which the best checkpoint is known
    /// (`trainer.keep_best`). Default: none, so that the reward of the step decides.
    pub best: Option<String>,
    /// Keys of `[sampler]` that are others here, such as `{ image = { guidance_scale = 2.0 } }`. Default: none.
    pub sampler: Table,
    /// The rest of the table, which the evaluator itself gives a type.
    pub settings: Table,
}

/// The kind of an evaluation that is none.
pub const NO_EVALUATION: &str = "none";

fn sync_grpo() -> Component {
    Component { kind: "sync_grpo".to_owned(), settings: Table::new() }
}

fn runs() -> PathBuf {
    "runs".into()
}

impl Default for FilterSection {
    fn default() -> Self {
        Self { kind: "dgs".to_owned(), surrogate: None, settings: Table::new() }
    }
}

impl Default for EvaluationSection {
    fn default() -> Self {
        Self { kind: NO_EVALUATION.to_owned(), every: 0, best: None, sampler: Table::new(), settings: Table::new() }
    }
}

impl TryFrom<Table> for EvaluationSection {
    type Error = String;

    fn try_from(mut settings: Table) -> Result<Self, String> {
        let kind = take_string(&mut settings, "kind")?.unwrap_or_else(|| Self::default().kind);
        let best = take_string(&mut settings, "best")?;
        let every = match settings.remove("every") {
            None => 0,
            Some(Value::Integer(every)) if every >= 0 => every as u64,
            Some(other) => return Err(format!("expected a number of steps, 0 or more, as `every`, got `{other}`")),
        };
        let sampler = match settings.remove("sampler") {
            None => Table::new(),
            Some(Value::Table(sampler)) => sampler,
            Some(other) => return Err(format!("expected a table of keys of [sampler] as `sampler`, got `{other}`")),
        };
        Ok(Self { kind, every, best, sampler, settings })
    }
}

impl From<EvaluationSection> for Table {
    fn from(section: EvaluationSection) -> Self {
        let mut table = Table::from(Component { kind: section.kind, settings: section.settings });
        table.insert("every".to_owned(), Value::Integer(i64::try_from(section.every).unwrap_or(i64::MAX)));
        if let Some(best) = section.best {
            table.insert("best".to_owned(), Value::String(best));
        }
        if !section.sampler.is_empty() {
            table.insert("sampler".to_owned(), Value::Table(section.sampler));
        }
        table
    }
}

impl TryFrom<Table> for Component {
    type Error = String;

    fn try_from(mut settings: Table) -> Result<Self, String> {
        let kind = take_string(&mut settings, "kind")?.ok_or("missing field `kind`")?;
        Ok(Self { kind, settings })
    }
}

impl From<Component> for Table {
    fn from(component: Component) -> Self {
        let mut table = component.settings;
        table.insert("kind".to_owned(), Value::String(component.kind));
        table
    }
}

impl TryFrom<Table> for FilterSection {
    type Error = String;

    fn try_from(mut settings: Table) -> Result<Self, String> {
        let surrogate = take_string(&mut settings, "surrogate")?;
        let kind = take_string(&mut settings, "kind")?.unwrap_or_else(|| FilterSection::default().kind);
        Ok(Self { kind, surrogate, settings })
    }
}

impl From<FilterSection> for Table {
    fn from(filter: FilterSection) -> Self {
        let mut table = Table::from(Component { kind: filter.kind, settings: filter.settings });
        if let Some(surrogate) = filter.surrogate {
            table.insert("surrogate".to_owned(), Value::String(surrogate));
        }
        table
    }
}

fn take_string(table: &mut Table, key: &str) -> Result<Option<String>, String> {
    match table.remove(key) {
        None => Ok(None),
        Some(Value::String(s)) => Ok(Some(s)),
        Some(other) => Err(format!("expected a string as `{key}`, got {} `{other}`", other.type_str())),
    }
}

/// `table` with the keys of `other` in their places, table by table.
fn merge(table: &mut Table, other: &Table) {
    for (key, value) in other {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

impl RunConfig {
    /// The sampler of evaluations, `[sampler]` with the keys of `evaluation.sampler`; none where that has no keys.
    pub fn evaluation_sampler(&self) -> Option<Component> {
        let keys = &self.evaluation.sampler;
        (!keys.is_empty()).then(|| {
            let Component { kind, mut settings } = self.sampler.clone();
            merge(&mut settings, keys);
            Component { kind, settings }
        })
    }

    /// Checks every range and every name that one section uses of another.
    pub(super) fn check(&self) -> Result<(), Problem> {
        self.run.check()?;
        self.trainer.check()?;
        Problem::unless(!self.rewards.is_empty(), "rewards", "a table [rewards.<name>] for 1 or more rewards", "none")?;
        if let Some(surrogate) = &self.filter.surrogate {
            self.reward_known("filter.surrogate", surrogate)?;
        }
        self.check_evaluation()?;
        self.check_weights()
    }

    fn check_evaluation(&self) -> Result<(), Problem> {
        let EvaluationSection { kind, every, best, sampler, .. } = &self.evaluation;
        let asked = *every > 0 || best.is_some() || !sampler.is_empty();
        Problem::unless(
            kind != NO_EVALUATION || !asked,
            "evaluation.kind",
            "an evaluator, for `every`, `best` or `sampler`",
            "none",
        )?;
        let checkpoints = self.trainer.checkpoint_every;
        Problem::unless(
            best.is_none() || (*every > 0 && checkpoints > 0 && checkpoints.is_multiple_of(*every)),
            "evaluation.every",
            &format!(
                "a divisor of trainer.checkpoint_every ({checkpoints}), so that `best` is known of every checkpoint"
            ),
            every,
        )
    }

    fn check_weights(&self) -> Result<(), Problem> {
        if !self.reward_weights.contains_key("default") {
            return Err(Problem::new("reward_weights.default", "missing; give a weight to each reward of [rewards]"));
        }
        for (class, weights) in &self.reward_weights {
            for (reward, &weight) in weights {
                let key = format!("reward_weights.{class}.{reward}");
                self.reward_known(&key, reward)?;
                Problem::unless(weight >= 0.0 && weight.is_finite(), &key, "a finite number of 0 or more", weight)?;
            }
            Problem::unless(
                weights.values().any(|&w| w > 0.0),
                &format!("reward_weights.{class}"),
                "1 or more weights above 0",
                "none",
            )?;
        }
        Ok(())
    }

    fn reward_known(&self, key: &str, reward: &str) -> Result<(), Problem> {
        if self.rewards.contains_key(reward) {
            return Ok(());
        }
        let known: Vec<&str> = self.rewards.keys().map(String::as_str).collect();
        Err(Problem::unknown_name(key, &format!("no reward `{reward}` in [rewards]"), reward, &known))
    }
}

impl RunSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(
            !self.name.is_empty() && !self.name.starts_with('.') && !self.name.contains(['/', '\\']),
            "run.name",
            "a folder name: not empty, no `/` or `\\`, no leading dot",
            format_args!("\"{}\"", self.name),
        )?;
        Problem::unless(i64::try_from(self.seed).is_ok(), "run.seed", "an integer of 0 to 2^63 - 1", self.seed)
    }
}
