//! The held-out half, judged by the renderer's truth and never by a reward.

use std::path::PathBuf;
use std::sync::Arc;

use counterpoint::registry::{BuildContext, EvaluatorEntry, settings};
use counterpoint::{Error, Evaluator, Result, Sample, Task, inventory};
use counterpoint_unictokens::{HeldOut, Pathway, concept_of, held_out};
use serde::Deserialize;

use crate::judged::PAINTING;
use crate::{Concept, Item, Right, Scene, Truth, language};

inventory::submit! {
    EvaluatorEntry::new("unifybench", |table, context| {
        let settings: Settings = settings("evaluation", table)?;
        Ok(Box::new(settings.truth(held_out(context, settings.root.as_deref())?)?))
    })
}

inventory::submit! { EvaluatorEntry::new("auto", auto) }

/// `[evaluation] kind = "unifybench"` or `"auto"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Folder whose held-out half is evaluated; that of `[data]` when it is left out.
    root: Option<PathBuf>,
    /// Candidates drawn of each task, 1 or more.
    candidates: u64,
    /// Whether places are asked for in words that no prompt of the data has; where the renderer's truth judges.
    reworded: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { root: None, candidates: 4, reworded: false }
    }
}

impl Settings {
    /// The renderer's truth about `tasks`.
    fn truth(&self, tasks: Vec<Task>) -> Result<TruthEvaluator> {
        let evaluator = TruthEvaluator::new(tasks)?.with_candidates(self.candidates)?;
        Ok(if self.reworded { evaluator.reworded() } else { evaluator })
    }
}

/// The renderer's truth where every held-out task is a scene of it, the rewards alone elsewhere.
fn auto(table: &counterpoint::toml::Table, context: &BuildContext) -> Result<Box<dyn Evaluator>> {
    let settings: Settings = settings("evaluation", table)?;
    let tasks = held_out(context, settings.root.as_deref())?;
    if tasks.iter().all(|task| scene(task).is_ok()) {
        return Ok(Box::new(settings.truth(tasks)?));
    }
    if settings.reworded {
        let message = "evaluation.reworded: expected data whose places have other words, which are UnifyBench's alone, got others";
        return Err(Error::config(message));
    }
    Ok(Box::new(HeldOut::new(tasks, 0).with_candidates(settings.candidates)?))
}

/// Scores reasoning and image of scenes that UnifyBench knows: whether the reasoning is the fact, word for word, and which
/// attributes the image shows ([`Right`]). Besides, whether the fact itself, given as the reasoning, is painted right: the
/// split `painting`, with scores of its own.
pub struct TruthEvaluator {
    tasks: Vec<Task>,
    truth: Truth,
    candidates: u64,
}

impl TruthEvaluator {
    /// Of `tasks`, one for each scene and pathway: several images and wordings ask about one fact. After them, one for each
    /// scene in which the fact is given, with the base prompt of its textual task, or of its visual one where there is none.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when a task is about what no scene of UnifyBench shows.
    pub fn new(tasks: Vec<Task>) -> Result<Self> {
        let mut found: Vec<(Option<Pathway>, Scene, Task)> = Vec::new();
        for task in tasks {
            let (pathway, scene) = (Pathway::of(&task), scene(&task)?);
            if !found.iter().any(|(p, s, _)| (*p, *s) == (pathway, scene)) {
                found.push((pathway, scene, task));
            }
        }
        let mut painted: Vec<(Scene, Task)> = Vec::new();
        let (textual, others): (Vec<_>, Vec<_>) = found.iter().partition(|(p, ..)| *p == Some(Pathway::Textual));
        for (_, scene, task) in textual.into_iter().chain(others) {
            if !painted.iter().any(|(s, _)| s == scene) {
                painted.push((*scene, task.clone().with_response(language::fact(scene))));
            }
        }
        let found = found.into_iter().map(|(.., task)| task);
        let mut tasks: Vec<Task> = found.chain(painted.into_iter().map(|(_, task)| task)).collect();
        for (id, task) in (0..).zip(&mut tasks) {
            task.id = id;
        }
        Ok(Self { tasks, truth: Truth::new()?, candidates: 4 })
    }

    /// The same with so many candidates of each task; 4 without it. The more, the smaller the part of chance in what is compared.
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

    /// The same facts, asked for by the plain words for their places (`at the beach`), which no prompt of the data has: those
    /// paraphrase (`by the sea`).
    pub fn reworded(mut self) -> Self {
        for task in &mut self.tasks {
            let (Ok(scene), Some(prompt)) = (scene(task), task.params["prompt"].as_str()) else { continue };
            let [plain, paraphrases @ ..] = scene.place.phrases();
            let reword =
                |text: &str| paraphrases.iter().fold(text.to_owned(), |text, other| text.replace(other, plain));
            let prompt = reword(prompt);
            (task.question, task.base_prompt) = (reword(&task.question), reword(&task.base_prompt));
            Arc::make_mut(&mut task.params)["prompt"] = prompt.into();
        }
        self
    }
}

impl Evaluator for TruthEvaluator {
    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn candidates(&self) -> u64 {
        self.candidates
    }

    fn split(&self, task: &Task) -> String {
        match task.response {
            Some(_) => PAINTING.to_owned(),
            None => Pathway::of(task).map(|pathway| pathway.to_string()).unwrap_or_default(),
        }
    }

    fn judge(&mut self, task: &Task, samples: &[Sample]) -> Result<Vec<Vec<(String, f64)>>> {
        let scene = scene(task)?;
        let judge = |sample: &Sample| {
            let image = sample.image.as_deref().cloned();
            let right = Right::of(&self.truth, &Item { scene, response: sample.response.clone(), image })?;
            Ok(if task.response.is_some() { right.painting() } else { right.scores() })
        };
        samples.iter().map(judge).collect()
    }
}

/// The scene that a task's right answer describes.
fn scene(task: &Task) -> Result<Scene> {
    let answer = task.params["answer"].as_str().unwrap_or_default();
    let token = concept_of(task).unwrap_or_default();
    let unknown = || {
        Error::data(format!(
            "task {}: {token} {answer:?} is no scene of UnifyBench, so its renderer cannot judge it; set evaluation.kind = \
             \"rewards\" or \"none\"",
            task.id
        ))
    };
    let (place, accessory, colour) = language::parse_fact(answer).ok_or_else(unknown)?;
    let concept = Concept::of_token(token).ok_or_else(unknown)?;
    Ok(Scene { concept, place, accessory, colour })
}
