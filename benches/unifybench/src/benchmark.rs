//! UnifyBench++: recognition, questions, plain, knowledge-driven and dense generation, as an evaluator.

mod measures;

use std::collections::BTreeMap;
use std::path::PathBuf;

use counterpoint::registry::{BuildContext, EvaluatorEntry, settings};
use counterpoint::toml::Table;
use counterpoint::{Error, Evaluator, Result, Sample, Task, inventory};
use counterpoint_unictokens::{ExamConfig, Part, examination};
use serde::Deserialize;

use crate::Bleu;

pub use measures::Measures;

inventory::submit! {
    EvaluatorEntry::new("benchmark", |table, context| {
        Ok(Box::new(settings::<BenchmarkConfig>("evaluation", table)?.init(context)?))
    })
}

/// `[evaluation] kind = "benchmark"`. Every measure but BLEU and recognition is a reward, by the table of settings that `[rewards]`
/// would have for it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BenchmarkConfig {
    /// Folder whose held-out half is evaluated; that of `[data]` when it is left out.
    pub root: Option<PathBuf>,
    /// Candidates drawn of each task, 1 or more. Default: 4, as UniCTokens paints of each prompt.
    pub candidates: u64,
    /// The prompts of plain generation, see [`ExamConfig::prompts`].
    pub prompts: Option<PathBuf>,
    /// At most so many tasks of each part and concept; 0 for no limit. Default: 0.
    pub max_tasks: usize,
    /// How answers are compared word by word. Default: characters, 0.7 for single ones and 0.3 for pairs, UniCTokens' own.
    pub bleu: Bleu,
    /// `[evaluation.answers.<name>]`: rewards of what was said against what is right (`params.answer`), such as a judge.
    pub answers: BTreeMap<String, Table>,
    /// `[evaluation.likeness.<name>]`: rewards of an image against the concept's photographs, such as CLIP-I.
    pub likeness: BTreeMap<String, Table>,
    /// `[evaluation.alignment.<name>]`: rewards of an image against a text, such as CLIP-T. Dense prompts are split at their
    /// punctuation, and the image is compared with every segment.
    pub alignment: BTreeMap<String, Table>,
    /// `[evaluation.faces.<name>]`: rewards of images of people against their photographs.
    pub faces: BTreeMap<String, Table>,
    /// `[evaluation.knowledge.<name>]`: rewards of an image that needs a fact (`params.answer`), such as a judge of images.
    pub knowledge: BTreeMap<String, Table>,
}

impl Default for BenchmarkConfig {
    fn default() -> Self {
        let [answers, likeness, alignment, faces, knowledge] = [const { BTreeMap::new() }; 5];
        Self {
            root: None,
            candidates: 4,
            prompts: None,
            max_tasks: 0,
            bleu: Bleu::default(),
            answers,
            likeness,
            alignment,
            faces,
            knowledge,
        }
    }
}

impl BenchmarkConfig {
    /// The evaluator of the data in `context`.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) for no candidates or a measure that cannot be built, and those of
    /// [`examination`].
    pub fn init(self, context: &BuildContext) -> Result<Benchmark> {
        if self.candidates == 0 {
            return Err(Error::config("evaluation.candidates: expected 1 or more, got 0"));
        }
        let exam = ExamConfig { prompts: self.prompts.clone(), max_tasks: self.max_tasks };
        Ok(Benchmark {
            tasks: examination(context, self.root.as_deref(), &exam)?,
            candidates: self.candidates,
            measures: Measures::new(&self, context)?,
        })
    }
}

/// The benchmark as an evaluator. Scores are called `<part>/<measure>`, such as `vqa/bleu`; one that could not be had, of a judge that
/// does not answer say, is left out and nowhere replaced.
pub struct Benchmark {
    tasks: Vec<Task>,
    candidates: u64,
    measures: Measures,
}

impl Evaluator for Benchmark {
    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn candidates(&self) -> u64 {
        self.candidates
    }

    fn split(&self, task: &Task) -> String {
        Part::of(task).map(|part| part.to_string()).unwrap_or_default()
    }

    fn judge(&mut self, task: &Task, samples: &[Sample]) -> Result<Vec<Vec<(String, f64)>>> {
        self.measures.judge(task, samples)
    }
}
