//! The held-out half, judged by the rewards alone.

use std::path::{Path, PathBuf};

use counterpoint::registry::{BuildContext, EvaluatorEntry, settings};
use counterpoint::{Error, Evaluator, Result, Task, inventory};
use serde::Deserialize;

use crate::concept::bare;
use crate::{ConceptSet, KIND, Pathway, PersonalTasksConfig, Split, concept_of};

inventory::submit! {
    EvaluatorEntry::new("rewards", |table, context| {
        let Settings { root, candidates, max_tasks } = settings("evaluation", table)?;
        Ok(Box::new(HeldOut::new(held_out(context, root.as_deref())?, max_tasks).with_candidates(candidates)?))
    })
}

/// `[evaluation] kind = "rewards"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Folder whose held-out half is evaluated; that of `[data]` when it is left out.
    root: Option<PathBuf>,
    /// Candidates drawn of each task, 1 or more.
    candidates: u64,
    /// The most tasks of each pathway, spread over all of them; 0 for no limit.
    max_tasks: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { root: None, candidates: 4, max_tasks: 0 }
    }
}

/// Every task of the held-out half of the run's `[data]`, textual ones first: what an evaluator by name works on. A question
/// that is put about several images of a concept occurs once. What training goes without (`data.without`) is among them. With
/// `root`, the `evaluation.root` of a config, it is the held-out half of that folder, with all else as `[data]` says.
///
/// # Errors
/// [`Config`](counterpoint::ErrorKind::Config) when the run's data are of another kind, or `root` lacks one of
/// `data.concepts`; [`Data`](counterpoint::ErrorKind::Data) when a file cannot be used or the half is empty.
pub fn held_out(context: &BuildContext, root: Option<&Path>) -> Result<Vec<Task>> {
    let config = held_out_config(context, root)?;
    let root = context.resolve(&config.root);
    let source = config.init_undrawn(&context.base)?;
    let mut tasks: Vec<Task> = Vec::new();
    for pathway in [Pathway::Textual, Pathway::Visual] {
        for task in source.all(pathway)? {
            let same = |other: &Task| {
                Pathway::of(other) == Some(pathway)
                    && concept_of(other) == concept_of(&task)
                    && other.question == task.question
                    && other.params["answer"] == task.params["answer"]
            };
            if !tasks.iter().any(same) {
                tasks.push(task);
            }
        }
    }
    if tasks.is_empty() {
        return Err(Error::data(format!(
            "{}: expected a held-out half to evaluate on, got neither held-out facts (num_testing_info in info.json) nor \
             questions about held-out images (vqa.json in concept/test); add some, or set evaluation.kind = \"none\"",
            root.display()
        )));
    }
    for (id, task) in (0..).zip(&mut tasks) {
        task.id = id;
    }
    Ok(tasks)
}

/// The run's `[data]`, its held-out half, or that of the folder `root`.
pub(crate) fn held_out_config(context: &BuildContext, root: Option<&Path>) -> Result<PersonalTasksConfig> {
    let data = context.data.as_ref().filter(|data| data.kind == KIND).ok_or_else(|| {
        let got = context.data.as_ref().map_or("none", |data| &data.kind);
        Error::config(format!(
            "data.kind: expected `{KIND}`, whose held-out half this evaluation is about, got `{got}`"
        ))
    })?;
    let mut config: PersonalTasksConfig = settings("data", &data.settings)?;
    config.split = Split::HeldOut;
    config.without.clear();
    if let Some(other) = root {
        has_concepts(context, other, &config)?;
        config.root = other.to_owned();
    }
    Ok(config)
}

/// Whether the folder `other` has every concept that the run's data name.
fn has_concepts(context: &BuildContext, other: &Path, data: &PersonalTasksConfig) -> Result<()> {
    let set = ConceptSet::open(&context.resolve(other)).map_err(|e| e.at("evaluation.root"))?;
    let there = |name: &&String| set.names().iter().any(|known| known == bare(name));
    match data.concepts.iter().flatten().find(|name| !there(name)) {
        None => Ok(()),
        Some(name) => Err(Error::config(format!(
            "evaluation.root: expected every concept of data.concepts, got no <{}> in {}, which is evaluated in place of {}",
            bare(name),
            context.resolve(other).display(),
            context.resolve(&data.root).display()
        ))),
    }
}

/// Some tasks of personal concepts, which the rewards alone judge; reported by pathway.
pub struct HeldOut {
    tasks: Vec<Task>,
    candidates: u64,
}

impl HeldOut {
    /// Of `tasks`, at most `max_tasks` of each pathway, spread evenly; 0 for all.
    pub fn new(tasks: Vec<Task>, max_tasks: usize) -> Self {
        let chosen = |pathway: Pathway| {
            let of: Vec<&Task> = tasks.iter().filter(|task| Pathway::of(task) == Some(pathway)).collect();
            let count = if max_tasks == 0 { of.len() } else { of.len().min(max_tasks) };
            (0..count).map(|i| of[i * of.len() / count].clone()).collect::<Vec<_>>()
        };
        let tasks = [Pathway::Textual, Pathway::Visual].into_iter().flat_map(chosen).collect();
        Self { tasks, candidates: Settings::default().candidates }
    }

    /// The same with so many candidates of each task.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) for none.
    pub fn with_candidates(mut self, candidates: u64) -> Result<Self> {
        if candidates == 0 {
            return Err(Error::config("evaluation.candidates: expected 1 or more, got 0"));
        }
        self.candidates = candidates;
        Ok(self)
    }
}

impl Evaluator for HeldOut {
    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn candidates(&self) -> u64 {
        self.candidates
    }

    fn split(&self, task: &Task) -> String {
        Pathway::of(task).map(|pathway| pathway.to_string()).unwrap_or_default()
    }
}
