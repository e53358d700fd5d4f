//! Scoring of samples.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Result, Sample, Task};

/// A **reward** scores a batch of samples.
///
/// *Contract*: one [`Score`] per sample, in order; a sample's score does not depend on which others share its batch;
/// what cannot be scored is an abstention or a failure, never a silent constant.
/// *Call order*: any. *Threading*: `Send`, one thread at a time, and not always the same one: where rewards overlap with
/// rollouts (`trainer.overlap_rewards`) a second thread calls [`score`](Reward::score) while the trainer's own goes on to
/// the next task, whose previews wait for their turn.
///
/// ```
/// use counterpoint::{Result, Reward, Sample, Score, Task};
///
/// /// The share of an answer's words that are different from each other.
/// struct Variety;
///
/// impl Reward for Variety {
///     fn name(&self) -> &str {
///         "variety"
///     }
///
///     fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
///         let score = |sample: &Sample| {
///             let words: Vec<&str> = sample.response.split_whitespace().collect();
///             if words.is_empty() {
///                 return Score::Abstain("there is no answer".to_owned());
///             }
///             let different: std::collections::HashSet<_> = words.iter().collect();
///             Score::Value(different.len() as f64 / words.len() as f64)
///         };
///         Ok(samples.iter().map(score).collect())
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let task = Task::new(0, "What is he like?");
/// let answers = ["a red hat", "red red red red", ""];
/// let samples: Vec<Sample> =
///     (0..).zip(answers).map(|(i, answer)| Sample::new(&task, i, String::new(), answer.to_owned(), None)).collect();
/// let scores = Variety.score(&samples)?;
/// assert_eq!(scores[..2], [Score::Value(1.0), Score::Value(0.25)]);
/// assert!(matches!(&scores[2], Score::Abstain(why) if why == "there is no answer"));
/// # Ok(())
/// # }
/// ```
///
/// A reward that a config selects by name is in `examples/custom_reward.rs`.
pub trait Reward: Send {
    /// Name used in the config, in metrics and in errors: lower case, such as `tier`.
    fn name(&self) -> &str;

    /// Scores `samples`.
    ///
    /// # Errors
    /// Any error means that the expert as a whole failed; it is retried and then stops the run with its name. One of kind
    /// [`ErrorKind::Stopped`](crate::ErrorKind::Stopped) stops it at once.
    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>>;

    /// Scores half-made candidates, as the surrogate of a group filter: a place for a cheaper path, at a smaller size or
    /// in lower precision. By default [`score`](Reward::score) itself.
    ///
    /// *Contract*: as `score`, and always on one scale, for the filter's threshold and its state are in the unit of these
    /// scores; the batches are as large as those of `score`. What it says of a sample never becomes a reward.
    ///
    /// # Errors
    /// As [`score`](Reward::score).
    fn preview(&mut self, previews: &[Sample]) -> Result<Vec<Score>> {
        self.score(previews)
    }

    /// Which halves of the loop its scores depend on. Under causal credit ([`Credit`](crate::objective::Credit)) a decision is
    /// not credited with what a reward says of a half that was over before it. Both by default, which is never wrong.
    ///
    /// *Contract*: always the same.
    fn judges(&self) -> Judges {
        Judges::Both
    }

    /// Whether it needs what the policy itself makes of image and prompt ([`Sample::states`]): the policy then reads every finished
    /// image once, on the trainer's thread, before rewards are asked. `false` by default.
    ///
    /// *Contract*: always the same.
    fn needs_states(&self) -> bool {
        false
    }

    /// Refuses tasks that it could not score as it should, such as a person of whom no reference shows a face. Asked before
    /// the first step about all tasks that stand for the data and in whose class it has a weight
    /// ([`TaskSource::survey`](crate::TaskSource::survey)); accepts everything by default.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) with what is wrong and where.
    fn check(&mut self, tasks: &[Task]) -> Result<()> {
        let _ = tasks;
        Ok(())
    }

    /// What it has to remember from one call to the next, for checkpoints. Nothing by default.
    ///
    /// *Contract*: changed by [`score`](Reward::score) alone. [`restore`](Reward::restore) round-trips it exactly: a step
    /// that fails is undone here too.
    fn state(&self) -> Value {
        Value::Null
    }

    /// Restores what [`state`](Reward::state) returned.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when the value is not such a state.
    fn restore(&mut self, state: &Value) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Name of the device that it computes on ([`device::name`](crate::device::name)), if it is known here: not that of a
    /// reward in another process. Rewards overlap with rollouts by themselves when one of them computes elsewhere than the
    /// policy ([`Policy::device`](crate::Policy::device)). None by default; asked once, when an ensemble is made.
    fn device(&self) -> Option<String> {
        None
    }
}

/// Which halves of the loop a reward's scores depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judges {
    /// The answer alone: the same answer has the same score, whatever the image.
    Understanding,
    /// The image alone.
    Generation,
    /// Both, or it is not known.
    #[default]
    Both,
}

/// What a reward says of one sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Score {
    /// A finite score; higher is better.
    Value(f64),
    /// This reward does not apply to the sample (no reference image, no facts given). The remaining weights are
    /// renormalised for it.
    Abstain(String),
    /// Scoring this sample failed. The sample is dropped from its group and counted.
    Fail(String),
}

impl Score {
    /// The score, if there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Value(v) => Some(*v),
            _ => None,
        }
    }
}
