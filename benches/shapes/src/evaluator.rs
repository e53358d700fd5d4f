//! Rows of prompts and questions, judged by what an image shows and by the solution, and never by a model.

use std::path::PathBuf;

use counterpoint::registry::{EvaluatorEntry, settings};
use counterpoint::{Error, Evaluator, Result, Sample, Score, Task, inventory};
use counterpoint_answers::{Accuracy, Format};
use counterpoint_corl::CorlConfig;
use serde::Deserialize;

use crate::prompt::Prompt;
use crate::truth::observe;

inventory::submit! {
    EvaluatorEntry::new("shapes", |table, context| {
        let Settings { path, candidates } = settings("evaluation", table)?;
        let tasks = CorlConfig::new(path).init(&context.base)?;
        let tasks = (0..tasks.rows().len()).map(|row| tasks.of(row)).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(ShapesEvaluator::new(tasks)?.with_candidates(candidates)?))
    })
}

/// `[evaluation] kind = "shapes"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Rows of this world in CoRL's columns.
    path: PathBuf,
    /// Candidates drawn of each row, 1 or more. Default: 4.
    #[serde(default = "candidates")]
    candidates: u64,
}

fn candidates() -> u64 {
    4
}

/// Scores each sample of a prompt of this world and a question about an image of it:
///
/// | score | 1 when |
/// |---|---|
/// | `answer` | the question is answered right ([`Accuracy`]) |
/// | `format` | the answer is thought and answer in tags ([`Format`]) |
/// | `shapes` | the image has the prompt's shapes and no others |
/// | `image` | it shows the prompt: shapes, colours, number and position |
///
/// Splits are the categories of GenEval.
pub struct ShapesEvaluator {
    tasks: Vec<Task>,
    prompts: Vec<Prompt>,
    candidates: u64,
}

impl ShapesEvaluator {
    /// Of `tasks` whose base prompts are prompts of this world.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) naming the prompt that is none.
    pub fn new(mut tasks: Vec<Task>) -> Result<Self> {
        let unknown = |task: &Task| {
            Error::data(format!(
                "task {}: expected a prompt such as \"a red circle and a blue square\", got {:?}; set evaluation.kind = \"none\" for \
                 prompts of another world",
                task.id, task.base_prompt
            ))
        };
        let prompts = tasks.iter().map(|task| Prompt::parse(&task.base_prompt).ok_or_else(|| unknown(task)));
        let prompts = prompts.collect::<Result<Vec<_>>>()?;
        for (id, task) in (0..).zip(&mut tasks) {
            task.id = id;
        }
        Ok(Self { tasks, prompts, candidates: candidates() })
    }

    /// The same with so many candidates of each task; 4 without it.
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

    fn prompt(&self, task: &Task) -> Result<Prompt> {
        let known = self.prompts.get(task.id as usize).copied();
        known.ok_or_else(|| Error::contract(format!("expected a task of this evaluation, got number {}", task.id)))
    }
}

impl Evaluator for ShapesEvaluator {
    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn candidates(&self) -> u64 {
        self.candidates
    }

    fn split(&self, task: &Task) -> String {
        self.prompt(task).map(|prompt| prompt.category().name().to_owned()).unwrap_or_default()
    }

    fn answer(&self, task: &Task) -> String {
        task.params["qa_solution"].as_str().unwrap_or_default().to_owned()
    }

    fn judge(&mut self, task: &Task, samples: &[Sample]) -> Result<Vec<Vec<(String, f64)>>> {
        let prompt = self.prompt(task)?;
        let judge = |sample: &Sample| {
            let mut scores = Vec::new();
            let mut push = |name: &str, value: f64| scores.push((name.to_owned(), value));
            if let Score::Value(right) = Accuracy::default().of(&sample.response, &task.params) {
                push("answer", right);
                push("format", Format::default().of(&sample.response));
            }
            if let Some(image) = &sample.image {
                let verdict = prompt.verdict(&observe(image)?);
                push("shapes", f64::from(u8::from(verdict.shapes)));
                push("image", f64::from(u8::from(verdict.image)));
            }
            Ok(scores)
        };
        samples.iter().map(judge).collect()
    }
}
