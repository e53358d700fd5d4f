//! What a concept is examined with: the held-out half of its data, part by part as UnifyBench++ reports it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterpoint::registry::BuildContext;
use counterpoint::{Error, Result, Task};
use image::RgbImage;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::classes::class_of;
use crate::evaluator::held_out_config;
use crate::pathway::CONCEPT;
use crate::tasks::references;
use crate::wording::fill;
use crate::{Concept, ConceptSet, Exchange, Pathway, PersonalTasks, Picture, Split, Wording, json};

/// The task's parameter with the part of the examination that it belongs to.
const PART: &str = "part";
/// The placeholder of a concept in lists of prompts, as UniCTokens' and DreamBooth's have it.
const PLACEHOLDER: &str = "<sks>";
/// The class of people.
const PERSON: &str = "person";

/// A part of the examination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Recognition: is the concept in the photograph? Yes or no.
    Recognition,
    /// VQA: a question about a held-out photograph (`vqa.json`).
    Vqa,
    /// QA: a question without a photograph (`text_only.json`).
    Qa,
    /// Generation from a plain prompt.
    Generation,
    /// Generation of a person, from the prompt of a plain photograph.
    People,
    /// Knowledge-driven generation: a prompt that needs a fact which it does not say; the fact is reasoned out first.
    Knowledge,
    /// Dense generation: a prompt of many clauses that needs no fact.
    Dense,
    /// Dense reasoning and generation: a prompt of many clauses that needs a fact.
    DenseReasoning,
}

impl Part {
    /// All, in the order of the tables.
    pub const ALL: [Self; 8] = [
        Self::Recognition,
        Self::Vqa,
        Self::Qa,
        Self::Generation,
        Self::People,
        Self::Knowledge,
        Self::Dense,
        Self::DenseReasoning,
    ];

    /// The part that `task` belongs to; `None` where its parameter `part` says none.
    pub fn of(task: &Task) -> Option<Self> {
        Self::deserialize(task.params.get(PART)?).ok()
    }

    /// Whether something is answered.
    pub fn answers(self) -> bool {
        matches!(self, Self::Recognition | Self::Vqa | Self::Qa | Self::Knowledge | Self::DenseReasoning)
    }

    /// Whether something is painted.
    pub fn paints(self) -> bool {
        !matches!(self, Self::Recognition | Self::Vqa | Self::Qa)
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recognition => "recognition",
            Self::Vqa => "vqa",
            Self::Qa => "qa",
            Self::Generation => "generation",
            Self::People => "people",
            Self::Knowledge => "knowledge",
            Self::Dense => "dense",
            Self::DenseReasoning => "dense_reasoning",
        })
    }
}

/// Prompts of plain generation by the `generation_type` of info.json, `<sks>` in place of the concept: the layout of UniCTokens'
/// `prompts_to_eval.json`.
pub type Prompts = BTreeMap<String, Vec<String>>;

/// What a config says of the examination's tasks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExamConfig {
    /// The file with the [`Prompts`] of plain generation, relative to the config. Default: the prompt of a plain photograph alone
    /// (`data.wording.visual_base_prompt`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompts: Option<PathBuf>,
    /// At most so many tasks of each part and concept, spread over all of them; 0 for no limit. Default: 0.
    pub max_tasks: usize,
}

/// The tasks of every [`Part`] that the data of a run have something for, part by part and concept by concept. With `root`, the
/// `evaluation.root` of a config, those of that folder, with all else as `[data]` says.
///
/// Parameters of a task, for rewards: `part`, `concept`, `noun`, and `answer` where something is answered; of what is painted `said`,
/// the prompt with its fact written out where there is one.
///
/// # Errors
/// [`Config`](counterpoint::ErrorKind::Config) when the run's data are of another kind;
/// [`Data`](counterpoint::ErrorKind::Data) when a file cannot be used, or there is nothing to examine.
pub fn examination(context: &BuildContext, root: Option<&Path>, exam: &ExamConfig) -> Result<Vec<Task>> {
    let config = held_out_config(context, root)?;
    let set = ConceptSet::open(&context.resolve(&config.root))?;
    let prompts: Option<Prompts> = exam.prompts.as_ref().map(|file| json::read(&context.resolve(file))).transpose()?;
    let names = config.concepts.clone().unwrap_or_else(|| set.names().to_vec());
    let mut tasks: Vec<(Part, Task)> = Vec::new();
    for name in &names {
        let concept = set.concept(name)?;
        let facts = PersonalTasks::undrawn(vec![concept.clone()], Split::HeldOut, 0.0)?
            .with_wording(config.wording.clone())
            .with_classes(config.classes.clone());
        let examiner = Examiner {
            class: class_of(&concept, &config.classes).to_owned(),
            references: references(&concept)?,
            wording: &config.wording,
            concept: &concept,
        };
        for part in Part::ALL {
            let all = match part {
                Part::Recognition => examiner.recognition(&set)?,
                Part::Vqa => examiner.about_photographs()?,
                Part::Qa => examiner.about_nothing(&set)?,
                Part::Generation => examiner.plain(&set, prompts.as_ref())?,
                Part::People if examiner.class == PERSON => vec![examiner.painted(&examiner.photo())],
                Part::People => Vec::new(),
                Part::Knowledge => facts.all(Pathway::Textual)?.into_iter().map(with_fact_said).collect(),
                Part::Dense | Part::DenseReasoning => examiner.dense(&set, part)?,
            };
            let count = if exam.max_tasks == 0 { all.len() } else { all.len().min(exam.max_tasks) };
            tasks.extend((0..count).map(|i| (part, all[i * all.len() / count].clone())));
        }
    }
    if tasks.is_empty() {
        return Err(Error::data(format!("{}: expected something to examine, got nothing", config.root.display())));
    }
    tasks.sort_by_key(|(part, _)| *part);
    let numbered = tasks.into_iter().zip(0..).map(|((part, mut task), id)| {
        task.id = id;
        let mut params = task.params.as_ref().clone();
        params[PART] = serde_json::json!(part);
        task.with_params(params)
    });
    Ok(numbered.collect())
}

/// The same with its prompt and its fact as what is to be seen.
fn with_fact_said(task: Task) -> Task {
    let mut params = task.params.as_ref().clone();
    let answer = params["answer"].as_str().unwrap_or_default();
    params["said"] = format!("{} {answer}", task.base_prompt).into();
    task.with_params(params)
}

/// Asks about one concept.
struct Examiner<'a> {
    concept: &'a Concept,
    class: String,
    references: Vec<Arc<RgbImage>>,
    wording: &'a Wording,
}

/// The lists of `t2i_conditions.json` that UnifyBench++ adds.
#[derive(Default, Deserialize)]
#[serde(default)]
struct DensePrompts {
    dense_prompt_generation: Vec<String>,
    personalized_dense_prompt_generation: Vec<String>,
    explicit_personalized_dense_prompt_generation: Vec<String>,
}

#[derive(Deserialize)]
struct Kind {
    generation_type: Option<String>,
}

impl Examiner<'_> {
    fn fill(&self, template: &str, more: &[(&str, &str)]) -> String {
        let token = self.concept.token();
        let always = [("concept", token.as_str()), ("noun", &self.concept.class), ("info", &self.concept.info)];
        fill(template, &[&always[..], more].concat())
    }

    fn task(&self, question: &str, more: serde_json::Value) -> Task {
        let mut params = serde_json::json!({CONCEPT: self.concept.token(), "noun": self.concept.class});
        for (key, value) in more.as_object().into_iter().flatten() {
            params[key] = value.clone();
        }
        Task::new(0, question).with_class(&self.class).with_references(self.references.clone()).with_params(params)
    }

    /// A question whose answer alone is asked.
    fn asked(&self, exchange: &Exchange, picture: Option<&Picture>) -> Result<Task> {
        let question = self.fill(&self.wording.visual_question, &[("question", &exchange.query)]);
        let params = serde_json::json!({"answer": exchange.answer, "query": exchange.query});
        let mut task = self.task(&question, params).answer_only();
        task.image = picture.map(Picture::load).transpose()?;
        Ok(task)
    }

    /// A prompt that is painted as it is.
    fn painted(&self, prompt: &str) -> Task {
        self.task("", serde_json::json!({"said": prompt})).with_base_prompt(prompt).with_response("")
    }

    /// The prompt of a plain photograph.
    fn photo(&self) -> String {
        self.fill(&self.wording.visual_base_prompt, &[])
    }

    fn test_file<T: DeserializeOwned + Default>(&self, set: &ConceptSet, name: &str) -> Result<T> {
        let file = set.root().join("concept/test").join(&self.concept.name).join(name);
        Ok(json::read_if_present(&file)?.unwrap_or_default())
    }

    /// Every held-out photograph with a question of `positive_recognitions.json`, in turn, and as many held-out photographs of other
    /// concepts with one of `random_recognitions.json`; nothing where a file is missing.
    fn recognition(&self, set: &ConceptSet) -> Result<Vec<Task>> {
        let folder = set.root().join("concept/train").join(&self.concept.name);
        let questions = |file: &str| json::read_if_present::<Vec<Exchange>>(&folder.join(file));
        let (yes, no) = (questions("positive_recognitions.json")?, questions("random_recognitions.json")?);
        let (Some(yes), Some(no)) = (yes, no) else { return Ok(Vec::new()) };
        let mut others = Vec::new();
        for other in set.names().iter().filter(|other| **other != self.concept.name) {
            others.extend(set.concept(other)?.test);
        }
        // Spread over all of the others.
        let count = self.concept.test.len().min(others.len());
        let others = (0..count).map(|i| &others[i * others.len() / count]);
        let shown = self.concept.test.iter().zip(yes.iter().cycle()).map(|(photo, asked)| (photo, asked, "Yes."));
        let not = others.zip(no.iter().cycle()).map(|(photo, asked)| (photo, asked, "No."));
        let ask = |(photo, asked, answer): (&Picture, &Exchange, &str)| {
            self.asked(&Exchange { query: asked.query.clone(), answer: answer.to_owned() }, Some(photo))
        };
        shown.chain(not).map(ask).collect()
    }

    fn about_photographs(&self) -> Result<Vec<Task>> {
        let all = self.concept.test.iter().flat_map(|photo| photo.questions.iter().map(move |q| (photo, q)));
        all.map(|(photo, exchange)| self.asked(exchange, Some(photo))).collect()
    }

    fn about_nothing(&self, set: &ConceptSet) -> Result<Vec<Task>> {
        let questions: Vec<Exchange> = self.test_file(set, "text_only.json")?;
        questions.iter().map(|exchange| self.asked(exchange, None)).collect()
    }

    /// The prompts of this kind of concept.
    fn plain(&self, set: &ConceptSet, prompts: Option<&Prompts>) -> Result<Vec<Task>> {
        let Some(prompts) = prompts else { return Ok(vec![self.painted(&self.photo())]) };
        let file = set.root().join("concept/train").join(&self.concept.name).join("info.json");
        let kind = json::read::<Kind>(&file)?.generation_type.unwrap_or_default();
        let known = || prompts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let of_kind = prompts.get(&kind).ok_or_else(|| {
            let expected = format!("expected `generation_type` to be one of the prompts' ({})", known());
            Error::data(format!("{}: {expected}, got `{kind}`", file.display()))
        })?;
        let token = self.concept.token();
        Ok(of_kind.iter().map(|prompt| self.painted(&prompt.replace(PLACEHOLDER, &token))).collect())
    }

    /// The dense prompts of the held-out facts.
    fn dense(&self, set: &ConceptSet, part: Part) -> Result<Vec<Task>> {
        let file = "t2i_conditions.json";
        // A bare list of reasoning prompts has no dense ones.
        let lists = match self.test_file(set, file)? {
            serde_json::Value::Array(_) => DensePrompts::default(),
            _ => self.test_file(set, file)?,
        };
        let first = self.concept.training_facts;
        if part == Part::Dense {
            return Ok(lists.dense_prompt_generation.iter().skip(first).map(|prompt| self.painted(prompt)).collect());
        }
        let all_facts = self.concept.facts.join(" ");
        let explicit = &lists.explicit_personalized_dense_prompt_generation;
        let ask = |(at, prompt): (usize, &String)| {
            let fact = self.concept.facts.get(at)?;
            let words = [("facts", all_facts.as_str()), ("prompt", prompt)];
            let said = explicit.get(at).unwrap_or(prompt);
            let params = serde_json::json!({
                "answer": fact, "facts": self.concept.facts, "target": at, "prompt": prompt, "said": said,
            });
            let task = self.task(&self.fill(&self.wording.textual_question, &words), params);
            Some(task.with_base_prompt(self.fill(&self.wording.textual_base_prompt, &words)))
        };
        Ok(lists.personalized_dense_prompt_generation.iter().enumerate().skip(first).filter_map(ask).collect())
    }
}
