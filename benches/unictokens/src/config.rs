//! The section `[data]` of a config with `kind = "unictokens"`.

use std::path::{Path, PathBuf};

use counterpoint::registry::{TaskSourceEntry, settings};
use counterpoint::{Error, ErrorKind, Result, TaskOrder, inventory};
use serde::{Deserialize, Serialize};

use crate::classes::default_rules;
use crate::concept::twice;
use crate::without::without;
use crate::{ClassRule, ClassRules, Concept, ConceptSet, PersonalTasks, Split, Wording};

/// The name under which [`PersonalTasks`] are registered.
pub const KIND: &str = "unictokens";

inventory::submit! {
    TaskSourceEntry::new(KIND, |table, context| {
        Ok(Box::new(settings::<PersonalTasksConfig>("data", table)?.init(&context.base)?))
    })
}

/// Settings of [`PersonalTasks`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonalTasksConfig {
    /// Folder of the data set.
    pub root: PathBuf,
    /// Half of the data set that tasks are drawn from: `train` or `held_out`. Default: `train`.
    #[serde(default = "train")]
    pub split: Split,
    /// The concepts, 1 or more, with or without angle brackets; all of them when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concepts: Option<Vec<String>>,
    /// What training never sees, and an evaluation asks about all the same: concepts by name, facts and questions about images by what
    /// the fact or the answer [mentions](crate::mentions). Default: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Share of tasks that take the visual pathway, in [0, 1]; the others take the textual one. Paper: 1:1, so 0.5.
    #[serde(default = "half")]
    pub visual_share: f64,
    /// Share of tasks of which the answer alone is asked and nothing is painted, in [0, 1], evenly spread. Paper: 0.
    #[serde(default)]
    pub answer_share: f64,
    /// `random`, each drawn anew; `shuffled`, all in a random order and then in another; or `sequential`, as the files have them. Default:
    /// `random`.
    #[serde(default)]
    pub order: TaskOrder,
    /// Passes a task over after so many groups in a row whose rewards are all equal, in favour of the next one of its pathway that teaches
    /// something; 0 never does. Default: 0.
    #[serde(default)]
    pub skip_flat: u64,
    /// How questions and prompts are put.
    #[serde(default)]
    pub wording: Wording,
    /// `[data.classes.<class>]`: which concepts are of that class, and so use its table of reward weights; the others are of
    /// the class that their `info.json` says. Default: `person = { conversation_type = "human" }`.
    #[serde(default = "default_rules")]
    pub classes: ClassRules,
}

impl PersonalTasksConfig {
    /// Every concept in the folder `root`, for training, both pathways equally often.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            split: train(),
            concepts: None,
            without: Vec::new(),
            visual_share: half(),
            answer_share: 0.0,
            order: TaskOrder::Random,
            skip_flat: 0,
            wording: Wording::default(),
            classes: default_rules(),
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key, the range and what came.
    pub fn validate(&self) -> Result<()> {
        for (key, share) in [("visual_share", self.visual_share), ("answer_share", self.answer_share)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::config(format!("data.{key}: expected a number in [0, 1], got {share}")));
            }
        }
        if self.concepts.as_ref().is_some_and(Vec::is_empty) {
            let expected = "data.concepts: expected 1 or more concepts (leave it out for all), got an empty array";
            return Err(Error::config(expected));
        }
        if let Some(twice) = self.concepts.as_deref().and_then(twice) {
            return Err(Error::config(format!("data.concepts: expected every concept once, got <{twice}> twice")));
        }
        let empty = |rule: &ClassRule| rule.conversation_type.is_none() && rule.nouns.is_empty();
        if let Some((class, _)) = self.classes.iter().find(|(_, rule)| empty(rule)) {
            let message = format!("data.classes.{class}: expected `conversation_type` or `nouns`, got neither");
            return Err(Error::config(message));
        }
        self.wording.validate()
    }

    /// Reads the concepts and makes tasks of them; a relative `root` is relative to `base`.
    ///
    /// # Errors
    /// As [`validate`](Self::validate); [`Data`](counterpoint::ErrorKind::Data) naming the file that cannot be used.
    pub fn init(self, base: &Path) -> Result<PersonalTasks> {
        self.make(base, PersonalTasks::new)
    }

    /// As [`init`](Self::init), of tasks that are gone through and not drawn: a pathway may have none.
    pub(crate) fn init_undrawn(self, base: &Path) -> Result<PersonalTasks> {
        self.make(base, PersonalTasks::undrawn)
    }

    fn make(self, base: &Path, new: fn(Vec<Concept>, Split, f64) -> Result<PersonalTasks>) -> Result<PersonalTasks> {
        self.validate()?;
        self.read(base, new).map_err(|e| match e.kind() {
            ErrorKind::Data => e.at("data (the guide's chapter \"Your own data\" describes the folder)"),
            _ => e,
        })
    }

    fn read(self, base: &Path, new: fn(Vec<Concept>, Split, f64) -> Result<PersonalTasks>) -> Result<PersonalTasks> {
        let set = ConceptSet::open(&base.join(&self.root))?;
        let names = self.concepts.as_deref().unwrap_or(set.names());
        let concepts = names.iter().map(|name| set.concept(name)).collect::<Result<Vec<_>>>()?;
        let concepts = without(concepts, &self.without)?;
        let tasks = new(concepts, self.split, self.visual_share)?;
        let tasks = tasks.with_answer_share(self.answer_share)?.with_order(self.order).without_flat(self.skip_flat);
        Ok(tasks.with_wording(self.wording).with_classes(self.classes))
    }
}

fn train() -> Split {
    Split::Train
}

fn half() -> f64 {
    0.5
}
