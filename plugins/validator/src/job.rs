//! What a child is asked, and what it answers.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A shared library: absolute path.
    Library(PathBuf),
    /// A program that speaks the bridge's protocol, and its arguments.
    Command(Vec<String>),
}

/// One check in a child process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// What is checked.
    pub target: Target,
    /// Name of the check.
    pub check: String,
    /// Name of the expert; empty for checks of the whole plugin.
    pub expert: String,
    /// The expert's settings.
    pub settings: serde_json::Value,
    /// Folder that paths in the settings are relative to.
    pub base: PathBuf,
    /// Parameters of every item, as JSON.
    pub params: String,
    /// Time that the check may take, in seconds.
    pub timeout: f64,
    /// The file that the child writes its answer into.
    pub answer: PathBuf,
}

impl Job {
    /// The path of the library that is checked.
    pub(crate) fn library(&self) -> Result<&Path, String> {
        match &self.target {
            Target::Library(path) => Ok(path),
            Target::Command(_) => Err("expected a library, got a command".into()),
        }
    }
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "detail", rename_all = "lowercase")]
pub enum Verdict {
    /// The plugin keeps the rule; what was seen.
    Pass(String),
    /// It breaks the rule; how.
    Fail(String),
    /// The rule does not apply, or cannot be checked here; why.
    Skipped(String),
}

/// What a check's function says: `Err` is a failure.
pub type Outcome = Result<Verdict, String>;

/// The rule is kept; `detail` is what was seen.
pub(crate) fn pass(detail: impl Into<String>) -> Outcome {
    Ok(Verdict::Pass(detail.into()))
}

/// The rule is not checked because of `reason`.
pub(crate) fn skip(reason: impl Into<String>) -> Outcome {
    Ok(Verdict::Skipped(reason.into()))
}
