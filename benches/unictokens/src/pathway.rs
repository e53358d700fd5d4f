//! What a task's parameters say of its concept and pathway.

use std::fmt::{self, Display};

use counterpoint::Task;
use serde::{Deserialize, Serialize};

/// The task's parameter with its concept.
pub(crate) const CONCEPT: &str = "concept";
/// The task's parameter with its pathway.
pub(crate) const PATHWAY: &str = "pathway";

/// How the reasoning half of a task is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pathway {
    /// Visual Instruct Reasoning: a reference image and a question about it.
    Visual,
    /// Textual Attribute Reasoning: all known facts and a reasoning prompt; the fitting fact is to be named.
    Textual,
}

impl Pathway {
    /// The pathway that `task` takes; `None` where its parameter `pathway` says none.
    pub fn of(task: &Task) -> Option<Self> {
        Self::deserialize(task.params.get(PATHWAY)?).ok()
    }
}

impl Display for Pathway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Visual => "visual",
            Self::Textual => "textual",
        })
    }
}

/// The concept of `task` as it is written in prompts, such as `<ada>`; `None` where its parameter `concept` says none.
pub fn concept_of(task: &Task) -> Option<&str> {
    task.params.get(CONCEPT)?.as_str()
}
