//! What a policy is asked to do: one task makes one group of candidates.

use std::sync::Arc;

use image::RgbImage;
use serde_json::Value;

use crate::{Drawn, Result, Streams};

/// One task: understand (`question`, `image`), then generate from the compound prompt `base_prompt` + answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Task {
    /// Names the task in messages and reports, and nothing more: random streams are keyed by the trainer's cursor, so two
    /// tasks may share an id.
    pub id: u64,
    /// Class of what the task is about, such as `person`: selects the reward weights.
    pub class: String,
    /// The image that the policy looks at while it reasons. Without one the policy uses its own blank image.
    pub image: Option<Arc<RgbImage>>,
    /// The question that the reasoning IR answers.
    pub question: String,
    /// The prompt to which the reasoning is appended: CP = base prompt + IR.
    pub base_prompt: String,
    /// What is said for the model: candidates write nothing, and generate from base prompt + this. None, which is the rule,
    /// lets them answer for themselves.
    pub response: Option<String>,
    /// Whether candidates generate. Those of a task without answer its question, and that is all: nothing is previewed or
    /// filtered, and what judges images abstains.
    pub generates: bool,
    /// Images for rewards that compare.
    pub references: Vec<Arc<RgbImage>>,
    /// What the source says besides, as JSON, for rewards and evaluations: `facts` (array of strings), `target` (index into
    /// it), ...
    pub params: Arc<serde_json::Value>,
}

impl Task {
    /// A task of which nothing is known but its `question`: class `default`, no base prompt, no images, no parameters.
    pub fn new(id: u64, question: impl Into<String>) -> Self {
        Self {
            id,
            class: "default".to_owned(),
            image: None,
            question: question.into(),
            base_prompt: String::new(),
            response: None,
            generates: true,
            references: Vec::new(),
            params: Arc::default(),
        }
    }

    /// The same task of class `class`.
    pub fn with_class(mut self, class: impl Into<String>) -> Self {
        self.class = class.into();
        self
    }

    /// The same task with `base_prompt` before the answer in the compound prompt.
    pub fn with_base_prompt(mut self, base_prompt: impl Into<String>) -> Self {
        self.base_prompt = base_prompt.into();
        self
    }

    /// The same task with `response` in place of the candidates' own answers: generation alone.
    pub fn with_response(mut self, response: impl Into<String>) -> Self {
        self.response = Some(response.into());
        self
    }

    /// The same task with nothing to generate: understanding alone.
    pub fn answer_only(mut self) -> Self {
        self.generates = false;
        self
    }

    /// The same task with images for rewards that compare.
    pub fn with_references(mut self, references: Vec<Arc<RgbImage>>) -> Self {
        self.references = references;
        self
    }

    /// The same task with `params`, a JSON object.
    pub fn with_params(mut self, params: impl Into<Arc<serde_json::Value>>) -> Self {
        self.params = params.into();
        self
    }
}

/// An endless sequence of tasks.
///
/// *Contract*: `task(step, cursor, streams)` depends on its arguments and [`state`](TaskSource::state) alone, so that a resumed run sees the
/// tasks that the uninterrupted one would have seen; what is drawn at random comes from `streams` keyed by step and cursor.
/// *Threading*: called from the trainer's thread only.
///
/// ```
/// use counterpoint::{Key, Result, Streams, Task, TaskSource};
///
/// /// Asks for a random one of its questions.
/// struct Questions(Vec<String>);
///
/// impl TaskSource for Questions {
///     fn task(&self, step: u64, cursor: u64, streams: &Streams) -> Result<Task> {
///         // A stream of the task's own key: a resumed run asks what the uninterrupted one would have asked.
///         let which = streams.stream(Key::task(step, cursor), "question", 0).below(self.0.len());
///         Ok(Task::new(cursor, self.0[which].clone()))
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let questions = Questions(vec!["Where is Ada?".into(), "What does Ada wear?".into()]);
/// let ask = |seed: u64| -> Result<Vec<String>> {
///     (0..20).map(|cursor| Ok(questions.task(0, cursor, &Streams::new(seed))?.question)).collect()
/// };
/// assert_eq!(ask(1)?, ask(1)?);
/// assert_ne!(ask(1)?, ask(2)?);
/// # Ok(())
/// # }
/// ```
pub trait TaskSource: Send {
    /// The task at `cursor`, which the trainer advances by one per task.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) when the task's files cannot be used.
    fn task(&self, step: u64, cursor: u64, streams: &Streams) -> Result<Task>;

    /// Sees what became of a task once all groups of its step are drawn, for sources that choose by it. Nothing by default.
    ///
    /// *Contract*: the only thing that changes [`state`](TaskSource::state).
    fn learned(&mut self, drawn: &Drawn) {
        let _ = drawn;
    }

    /// What it has to remember from one step to the next, for checkpoints and for steps that are taken back. Nothing by default.
    fn state(&self) -> Value {
        Value::Null
    }

    /// Restores what [`state`](TaskSource::state) returned.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when the value is not such a state.
    fn restore(&mut self, state: &Value) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Tasks that stand for all that can be drawn, for checks before the first step: what the policy
    /// ([`Policy::check`](crate::Policy::check)) or a reward ([`Reward::check`](crate::Reward::check)) cannot use is found
    /// then, and so is a file that cannot be read. None by default: nothing is checked.
    ///
    /// # Errors
    /// As [`task`](TaskSource::task).
    fn survey(&self) -> Result<Vec<Task>> {
        Ok(Vec::new())
    }
}

/// A function is a task source.
impl<F: Fn(u64, u64, &Streams) -> Result<Task> + Send> TaskSource for F {
    fn task(&self, step: u64, cursor: u64, streams: &Streams) -> Result<Task> {
        self(step, cursor, streams)
    }
}
