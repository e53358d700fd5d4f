//! What a policy is asked to do: one task makes one group of candidates.

use std::sync::Arc;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::{Result, Streams};

/// How the reasoning half of a task is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pathway {
    /// Visual Instruct Reasoning: a reference image and a question about it.
    Visual,
    /// Textual Attribute Reasoning: all known facts and a reasoning prompt; the fitting fact is to be named.
    Textual,
}

/// One task: understand (`question`, `image`), then generate from the compound prompt `base_prompt` + answer.
#[derive(Debug, Clone)]
pub struct Task {
    /// Cursor of the task in its source; the key of its random streams.
    pub id: u64,
    /// The personal concept as it is written in prompts, such as `<ada>`; empty when there is none.
    pub concept: String,
    /// Concept class, such as `person`: selects the reward weights.
    pub class: String,
    /// How the reasoning is asked for.
    pub pathway: Pathway,
    /// The image that the policy looks at while it reasons. Without one the policy uses its own blank image.
    pub image: Option<Arc<RgbImage>>,
    /// The question that the reasoning IR answers.
    pub question: String,
    /// The prompt to which the reasoning is appended: CP = base prompt + IR.
    pub base_prompt: String,
    /// Images of the concept for rewards that compare.
    pub references: Vec<Arc<RgbImage>>,
    /// What rewards need besides, as JSON: `facts` (array of strings), `target` (index into it), ...
    pub params: Arc<serde_json::Value>,
}

impl Task {
    /// A task of which nothing is known but its `question`: class `default`, textual pathway, no images.
    pub fn new(id: u64, question: impl Into<String>) -> Self {
        Self {
            id,
            concept: String::new(),
            class: "default".to_owned(),
            pathway: Pathway::Textual,
            image: None,
            question: question.into(),
            base_prompt: String::new(),
            references: Vec::new(),
            params: Arc::default(),
        }
    }
}

/// An endless, stateless sequence of tasks.
///
/// *Contract*: `task(step, cursor, streams)` depends on its arguments alone, so that a resumed run sees the tasks that
/// the uninterrupted one would have seen; what is drawn at random comes from `streams` keyed by step and cursor.
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
}

/// A function is a task source.
impl<F: Fn(u64, u64, &Streams) -> Result<Task> + Send> TaskSource for F {
    fn task(&self, step: u64, cursor: u64, streams: &Streams) -> Result<Task> {
        self(step, cursor, streams)
    }
}
