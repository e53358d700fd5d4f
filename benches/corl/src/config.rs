//! Settings.

use std::path::{Path, PathBuf};

use counterpoint::registry::{TaskSourceEntry, settings};
use counterpoint::{Result, TaskOrder, inventory};
use serde::{Deserialize, Serialize};

use crate::rows::read;
use crate::tasks::CorlTasks;

inventory::submit! {
    TaskSourceEntry::new("corl", |table, context| {
        Ok(Box::new(settings::<CorlConfig>("data", table)?.init(&context.base)?))
    })
}

/// Settings of [`CorlTasks`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorlConfig {
    /// A file `.jsonl`, `.json` (of lines) or `.parquet`, or a folder of such files, which are read in the order of their names.
    pub path: PathBuf,
    /// Which halves a task has. Default: `both`.
    #[serde(default)]
    pub halves: Halves,
    /// The names of the columns, where they are others.
    #[serde(default)]
    pub columns: Columns,
    /// How questions are put, `{question}` standing for the question. Default: the question alone.
    #[serde(default = "question")]
    pub question: String,
    /// `random`, each row drawn anew; `shuffled`, all in a random order and then in another; or `sequential`, as the files have them.
    /// Default: `random`.
    #[serde(default)]
    pub order: TaskOrder,
    /// Passes a row over after so many groups in a row whose rewards are all equal, in favour of the next row that teaches something; 0 never
    /// does. Default: 0.
    #[serde(default)]
    pub skip_flat: u64,
    /// Class of the tasks, which chooses the weights of rewards. Default: `default`.
    #[serde(default = "class")]
    pub class: String,
}

/// Which halves a task has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Halves {
    /// A question to answer and a prompt to paint: unified.
    #[default]
    Both,
    /// A prompt to paint.
    Generation,
    /// A question to answer.
    Understanding,
    /// A prompt to paint and a question to answer, in turn: whole steps of the one and of the other, beginning with painting (the cycle of
    /// CoRL's pilot study).
    Alternating,
}

impl Halves {
    /// Those of the tasks of one step.
    pub(crate) fn at(self, step: u64) -> Self {
        match self {
            Self::Alternating if step.is_multiple_of(2) => Self::Generation,
            Self::Alternating => Self::Understanding,
            always => always,
        }
    }
}

/// Names of columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// What to paint. Default: `prompt`.
    pub prompt: String,
    /// The real image. Default: `real_image`.
    pub image: String,
    /// The question. Default: `qa_problem`.
    pub problem: String,
    /// Its answer. Default: `qa_solution`.
    pub solution: String,
    /// The question's kind. Default: `qa_type`.
    pub kind: String,
}

impl Default for Columns {
    fn default() -> Self {
        let [prompt, image, problem, solution, kind] =
            ["prompt", "real_image", "qa_problem", "qa_solution", "qa_type"].map(str::to_owned);
        Self { prompt, image, problem, solution, kind }
    }
}

impl Columns {
    /// Those that rows of these halves need.
    pub(crate) fn needed(&self, halves: Halves) -> Vec<&str> {
        let (prompt, asked) = ([&*self.prompt], [&*self.image, &*self.problem, &*self.solution]);
        match halves {
            Halves::Both | Halves::Alternating => [&prompt[..], &asked].concat(),
            Halves::Generation => prompt.to_vec(),
            Halves::Understanding => asked.to_vec(),
        }
    }

    /// Those that may be missing.
    #[cfg(feature = "parquet")]
    pub(crate) fn optional(&self, halves: Halves) -> Vec<&str> {
        let all = [&self.prompt, &self.image, &self.problem, &self.solution, &self.kind];
        let needed = self.needed(halves);
        all.into_iter().map(String::as_str).filter(|name| !needed.contains(name)).collect()
    }
}

fn question() -> String {
    "{question}".to_owned()
}

fn class() -> String {
    "default".to_owned()
}

impl CorlConfig {
    /// The tasks of `path`, all else by default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            halves: Halves::default(),
            columns: Columns::default(),
            question: question(),
            order: TaskOrder::default(),
            skip_flat: 0,
            class: class(),
        }
    }

    /// Reads the rows; `path` is relative to `base`.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when a file cannot be read, a column is missing, a cell holds something else than it
    /// should or there is no row; [`Config`](counterpoint::ErrorKind::Config) when `question` has no place for the question.
    pub fn init(&self, base: &Path) -> Result<CorlTasks> {
        CorlTasks::new(read(&base.join(&self.path), &self.columns, self.halves)?, self)
    }
}
