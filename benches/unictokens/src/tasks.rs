//! Tasks of the two pathways, drawn from concepts: Visual Instruct Reasoning and Textual Attribute Reasoning.

use std::str::FromStr;
use std::sync::Arc;

use counterpoint::{Drawn, Error, FlatTasks, Key, Result, Stream, Streams, Task, TaskOrder, TaskSource};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::classes::{class_of, default_rules};
use crate::pathway::{CONCEPT, PATHWAY};
use crate::wording::fill;
use crate::{ClassRules, Concept, Pathway, Picture, Wording};

/// Which half of the data tasks are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Facts and images for training.
    Train,
    /// Facts and images kept from training.
    HeldOut,
}

impl FromStr for Split {
    type Err = Error;

    /// Reads `train` or `held_out`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "train" => Ok(Self::Train),
            "held_out" => Ok(Self::HeldOut),
            other => Err(Error::config(format!("expected the split `train` or `held_out`, got `{other}`"))),
        }
    }
}

/// Tasks about personal concepts.
///
/// Each cursor draws a concept, a pathway and then a fact or a question, all equally likely. A concept that has nothing
/// for the pathway drawn is not among those that are drawn from.
///
/// The parameters of a task, for rewards: `facts` (the candidates E_k), `target` (index of the right one), `answer` (its
/// text), `prompt` (the reasoning prompt, textual pathway only), `concept` (as it is written in prompts, such as `<ada>`;
/// see [`concept_of`](crate::concept_of)) and `pathway` (`visual` or `textual`; see [`Pathway::of`]). The candidates are
///
/// - on the textual pathway all facts of the concept (`extra_info`),
/// - on the visual pathway the distinct answers to the questions about the task's image, in the order of the questions.
///   Where they are fewer than two there is nothing to tell the right one from: then all facts of the concept, with the
///   answer appended where it is none of them.
///
/// Besides, `noun` is what the concept is (`class` in info.json) and `conversation_type` its type, where info.json says one.
/// The task's class, which selects reward weights, follows from [`ClassRules`].
pub struct PersonalTasks {
    concepts: Vec<Known>,
    split: Split,
    visual_share: f64,
    answer_share: f64,
    order: TaskOrder,
    flat: FlatTasks,
    wording: Wording,
    classes: ClassRules,
}

/// A concept with its decoded reference images.
struct Known {
    concept: Concept,
    references: Vec<Arc<RgbImage>>,
}

impl PersonalTasks {
    /// Tasks about `concepts`; a share of `visual_share`, in [0, 1], takes the visual pathway (the papers' 1:1 is 0.5).
    /// The training images of every concept are decoded here: they are the references of textual tasks, whose image
    /// exists nowhere; a visual task's reference is the image that it asks about.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when there are no concepts or the share is out of range;
    /// [`Data`](counterpoint::ErrorKind::Data) when a reference image cannot be decoded, or a pathway that is asked
    /// for has no fact or no question in this split.
    pub fn new(concepts: Vec<Concept>, split: Split, visual_share: f64) -> Result<Self> {
        Self::undrawn(concepts, split, visual_share)?.drawable()
    }

    /// As [`new`](Self::new), to be gone through and not drawn from: a pathway may have nothing.
    pub(crate) fn undrawn(concepts: Vec<Concept>, split: Split, visual_share: f64) -> Result<Self> {
        if concepts.is_empty() {
            return Err(Error::config("expected at least one concept to make tasks of, got none"));
        }
        if !(0.0..=1.0).contains(&visual_share) {
            return Err(Error::config(format!("visual_share: expected a number in [0, 1], got {visual_share}")));
        }
        let know = |concept: Concept| {
            let references = references(&concept)?;
            Ok(Known { references, concept })
        };
        let concepts = concepts.into_iter().map(know).collect::<Result<Vec<_>>>()?;
        let (wording, classes) = (Wording::default(), default_rules());
        Ok(Self {
            concepts,
            split,
            visual_share,
            answer_share: 0.0,
            order: TaskOrder::Random,
            flat: FlatTasks::default(),
            wording,
            classes,
        })
    }

    /// The same, with something for every pathway that is drawn from.
    fn drawable(self) -> Result<Self> {
        let wanted = [(Pathway::Visual, self.visual_share > 0.0), (Pathway::Textual, self.visual_share < 1.0)];
        for (pathway, wanted) in wanted {
            if wanted && self.able(pathway).next().is_none() {
                return Err(Error::data(self.nothing_for(pathway)));
            }
        }
        Ok(self)
    }

    /// The same tasks in other words.
    pub fn with_wording(mut self, wording: Wording) -> Self {
        self.wording = wording;
        self
    }

    /// The same with a share of tasks, in [0, 1], of which the answer alone is asked, evenly spread over the cursors: reading needs many
    /// answers and painting many images of few, and an answer costs a fraction of an image.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when the share is out of range.
    pub fn with_answer_share(mut self, share: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::config(format!("answer_share: expected a number in [0, 1], got {share}")));
        }
        self.answer_share = share;
        Ok(self)
    }

    /// The same tasks in another order: each pathway goes through all of its tasks, and pathways take turns by their shares.
    pub fn with_order(mut self, order: TaskOrder) -> Self {
        self.order = order;
        self
    }

    /// The same without tasks of which so many groups in a row had equal rewards; 0 keeps all.
    pub fn without_flat(mut self, groups: u64) -> Self {
        self.flat = FlatTasks::after(groups);
        self
    }

    /// The same tasks under other rules of which class a concept is.
    pub fn with_classes(mut self, classes: ClassRules) -> Self {
        self.classes = classes;
        self
    }

    /// Every task of `pathway` in this split, once, in the order of concepts and of their facts or of their images and
    /// questions: what an evaluation goes through. Ids count from 0.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when an image cannot be decoded.
    pub fn all(&self, pathway: Pathway) -> Result<Vec<Task>> {
        let mut tasks = Vec::new();
        for known in &self.concepts {
            for i in 0..self.count(known, pathway) {
                tasks.push(self.build(tasks.len() as u64, known, pathway, i)?);
            }
        }
        Ok(tasks)
    }

    /// The concepts that have something for `pathway`.
    fn able(&self, pathway: Pathway) -> impl Iterator<Item = &Known> {
        self.concepts.iter().filter(move |known| self.count(known, pathway) > 0)
    }

    /// How many tasks a pathway has.
    fn total(&self, pathway: Pathway) -> usize {
        self.able(pathway).map(|known| self.count(known, pathway)).sum()
    }

    /// Number `place` of a pathway's tasks, or the next that is not passed over. Visual tasks are counted on after the textual ones.
    fn numbered(&self, pathway: Pathway, place: usize) -> Result<Task> {
        let first = if pathway == Pathway::Visual { self.total(Pathway::Textual) } else { 0 };
        let place = self.flat.among(first, self.total(pathway), place);
        let mut index = place;
        for known in self.able(pathway) {
            match index.checked_sub(self.count(known, pathway)) {
                Some(left) => index = left,
                None => return self.build((first + place) as u64, known, pathway, index),
            }
        }
        Err(Error::data(self.nothing_for(pathway)))
    }

    /// How many facts or questions a concept has for `pathway`.
    fn count(&self, known: &Known, pathway: Pathway) -> usize {
        let concept = &known.concept;
        match (pathway, self.split) {
            (Pathway::Textual, Split::Train) => concept.training_facts,
            (Pathway::Textual, Split::HeldOut) => concept.facts.len() - concept.training_facts,
            (Pathway::Visual, _) => self.pictures(concept).iter().map(|p| p.questions.len()).sum(),
        }
    }

    fn pictures<'a>(&self, concept: &'a Concept) -> &'a [Picture] {
        match self.split {
            Split::Train => &concept.train,
            Split::HeldOut => &concept.test,
        }
    }

    fn nothing_for(&self, pathway: Pathway) -> String {
        let (what, file) = match (pathway, self.split) {
            (Pathway::Visual, Split::Train) => ("a question about an image", "conversations.json in concept/train"),
            (Pathway::Visual, Split::HeldOut) => ("a question about an image", "vqa.json in concept/test"),
            (Pathway::Textual, Split::Train) => ("a fact for training", "info.json: extra_info, num_testing_info"),
            (Pathway::Textual, Split::HeldOut) => ("a held-out fact", "info.json: extra_info, num_testing_info"),
        };
        format!("expected at least one concept with {what} ({file}), got none; add some or change visual_share")
    }

    /// Task number `index` of a concept and pathway; `index` is below [`count`](Self::count).
    fn build(&self, id: u64, known: &Known, pathway: Pathway, index: usize) -> Result<Task> {
        let concept = &known.concept;
        let token = concept.token();
        let mut facts = concept.facts.clone();
        let wording = &self.wording;
        let always = [("concept", token.as_str()), ("noun", &concept.class), ("info", &concept.info)];
        let (image, question, base_prompt, target, prompt) = match pathway {
            Pathway::Textual => {
                let first = if self.split == Split::Train { 0 } else { concept.training_facts };
                let target = first + index;
                let prompt = &concept.prompts[target];
                let all = facts.join(" ");
                let values = [&always[..], &[("facts", all.as_str()), ("prompt", prompt)]].concat();
                let question = fill(&wording.textual_question, &values);
                (None, question, fill(&wording.textual_base_prompt, &values), target, Some(prompt))
            }
            Pathway::Visual => {
                let pictures = self.pictures(concept);
                let mut questions =
                    pictures.iter().enumerate().flat_map(|(i, p)| p.questions.iter().map(move |q| (i, p, q)));
                let (i, picture, exchange) = questions.nth(index).ok_or_else(|| {
                    Error::data(format!("concept {token}: expected more than {index} questions about images"))
                })?;
                let mut answers = Vec::new();
                for question in &picture.questions {
                    index_of(&mut answers, &question.answer);
                }
                if answers.len() > 1 {
                    facts = answers;
                }
                let target = index_of(&mut facts, &exchange.answer);
                let values = [&always[..], &[("question", exchange.query.as_str())]].concat();
                let question = fill(&wording.visual_question, &values);
                // Training images are the references, which are decoded already.
                let image = match self.split {
                    Split::Train => Arc::clone(&known.references[i]),
                    Split::HeldOut => picture.load()?,
                };
                (Some(image), question, fill(&wording.visual_base_prompt, &values), target, None)
            }
        };
        let base_prompt = match wording.info && !concept.info.is_empty() {
            true => format!("{base_prompt} {}", concept.info),
            false => base_prompt,
        };
        let references = match &image {
            Some(image) => vec![Arc::clone(image)],
            None => known.references.clone(),
        };
        let mut params = serde_json::json!({
            "facts": facts, "target": target, "answer": facts[target], CONCEPT: token, PATHWAY: pathway,
            "noun": concept.class,
        });
        if let Some(conversation_type) = &concept.conversation_type {
            params["conversation_type"] = conversation_type.as_str().into();
        }
        if let Some(prompt) = prompt {
            params["prompt"] = prompt.as_str().into();
        }
        let mut task = Task::new(id, question)
            .with_class(class_of(concept, &self.classes))
            .with_base_prompt(base_prompt)
            .with_references(references)
            .with_params(params);
        task.image = image;
        Ok(task)
    }
}

/// Whether place `n` is one of a share that is evenly spread, and how many were so before.
fn spread(share: f64, n: u64) -> (bool, u64) {
    let before = |n: u64| (n as f64 * share).floor() as u64;
    (before(n + 1) > before(n), before(n))
}

/// The training images of `concept`, one at least.
pub(crate) fn references(concept: &Concept) -> Result<Vec<Arc<RgbImage>>> {
    if concept.train.is_empty() {
        return Err(Error::data(format!("concept {}: expected a reference image, got none", concept.token())));
    }
    concept.train.iter().map(Picture::load).collect()
}

/// Where `text` is among `texts`; it is appended where it is not.
fn index_of(texts: &mut Vec<String>, text: &str) -> usize {
    texts.iter().position(|t| t == text).unwrap_or_else(|| {
        texts.push(text.to_owned());
        texts.len() - 1
    })
}

impl TaskSource for PersonalTasks {
    fn task(&self, step: u64, cursor: u64, streams: &Streams) -> Result<Task> {
        let (pathway, place, n) = match self.order {
            TaskOrder::Random => {
                let mut stream: Stream = streams.stream(Key::task(step, cursor), "data.task", 0);
                let visual = f64::from(stream.uniform()) < self.visual_share;
                let pathway = if visual { Pathway::Visual } else { Pathway::Textual };
                let able: Vec<&Known> = self.able(pathway).collect();
                let concept = stream.below(able.len());
                let before: usize = able[..concept].iter().map(|known| self.count(known, pathway)).sum();
                (pathway, before + stream.below(self.count(able[concept], pathway)), cursor)
            }
            order => {
                let (pathway, n) = match spread(self.visual_share, cursor) {
                    (true, before) => (Pathway::Visual, before),
                    (false, before) => (Pathway::Textual, cursor - before),
                };
                let place = order.nth(self.total(pathway), n, streams);
                (pathway, place.ok_or_else(|| Error::data(self.nothing_for(pathway)))?, n)
            }
        };
        let task = self.numbered(pathway, place)?;
        Ok(if spread(self.answer_share, n).0 { task.answer_only() } else { task })
    }

    fn learned(&mut self, drawn: &Drawn) {
        self.flat.saw(drawn.task.id, drawn.flat);
    }

    fn state(&self) -> Value {
        self.flat.state()
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.flat.restore(state)
    }

    /// Every task of the pathways that are drawn from.
    fn survey(&self) -> Result<Vec<Task>> {
        let mut tasks = if self.visual_share < 1.0 { self.all(Pathway::Textual)? } else { Vec::new() };
        if self.visual_share > 0.0 {
            tasks.extend(self.all(Pathway::Visual)?);
        }
        Ok(tasks)
    }
}
