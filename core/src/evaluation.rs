//! Evaluation: what a policy makes of tasks that training does not draw, judged by something that is no reward, or by the
//! rewards alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::metrics::Metrics;
use crate::{Error, Policy, Result, Rollouts, Sample, Task};

/// An **evaluator** has tasks of its own and says what is right about a policy's samples of them. The rewards score them
/// besides, whatever it says.
///
/// *Contract*: the tasks stay the same for the whole run. A sample's scores do not depend on the others.
/// *Threading*: `Send`; called from the trainer's thread only.
///
/// ```
/// use counterpoint::{Evaluator, Result, Sample, Task};
///
/// /// Whether Ada's hat is said to be red.
/// struct Hats(Vec<Task>);
///
/// impl Evaluator for Hats {
///     fn tasks(&self) -> &[Task] {
///         &self.0
///     }
///
///     fn judge(&mut self, _task: &Task, samples: &[Sample]) -> Result<Vec<Vec<(String, f64)>>> {
///         let red = |sample: &Sample| vec![("red".to_owned(), f64::from(u8::from(sample.response.contains("red"))))];
///         Ok(samples.iter().map(red).collect())
///     }
/// }
/// ```
pub trait Evaluator: Send {
    /// The tasks, in the order in which they are worked on.
    fn tasks(&self) -> &[Task];

    /// How many candidates are drawn of each task, 1 or more. Default: 4.
    fn candidates(&self) -> u64 {
        4
    }

    /// Which part of the evaluation `task` belongs to, such as `textual`; parts are reported apart. Default: one part.
    fn split(&self, task: &Task) -> String {
        let _ = task;
        String::new()
    }

    /// The right reasoning, for reports, where there is one. Default: the task's parameter `answer`.
    fn answer(&self, task: &Task) -> String {
        task.params.get("answer").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    }

    /// Named scores for each of `samples`, shares in [0, 1] or cosines. One that could not be had is left out, never replaced.
    /// Default: none, so that the rewards alone speak.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) when a sample cannot be judged.
    fn judge(&mut self, task: &Task, samples: &[Sample]) -> Result<Vec<Vec<(String, f64)>>> {
        let _ = task;
        Ok(vec![Vec::new(); samples.len()])
    }
}

/// A sample of an evaluation: what was asked and said, what is right, and what the rewards made of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// The part of the evaluation.
    pub split: String,
    /// Number of the task in the evaluation.
    pub task: u64,
    /// The base prompt.
    pub prompt: String,
    /// The reasoning IR that the model wrote, or that the task brought.
    pub response: String,
    /// Whether the task brought it ([`Task::response`]).
    #[serde(default)]
    pub given: bool,
    /// The right reasoning; empty where there is none.
    pub answer: String,
    /// The evaluator's scores; empty where the rewards alone speak.
    pub scores: Vec<(String, f64)>,
    /// Score of each reward that gave one, and the total as `reward`.
    pub rewards: BTreeMap<String, f64>,
    /// The image, while the evaluation is in memory.
    #[serde(skip)]
    pub image: Option<Arc<RgbImage>>,
}

impl Judged {
    /// The evaluator's score of this name.
    pub fn score(&self, name: &str) -> Option<f64> {
        self.scores.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// What is compared: the evaluator's scores, or the rewards where it gives none.
    pub fn values(&self) -> Vec<(&str, f64)> {
        match self.scores.is_empty() {
            true => self.rewards.iter().map(|(name, value)| (name.as_str(), *value)).collect(),
            false => self.scores.iter().map(|(name, value)| (name.as_str(), *value)).collect(),
        }
    }
}

/// Mean of every one of the [`values`](Judged::values) over the samples that have it, in order of first occurrence.
pub fn means<'a>(samples: impl IntoIterator<Item = &'a Judged>) -> Vec<(String, f64)> {
    of_names(samples.into_iter().map(Judged::values))
}

fn of_names<'a>(values: impl Iterator<Item = Vec<(&'a str, f64)>>) -> Vec<(String, f64)> {
    let mut sums: Vec<(&str, f64, usize)> = Vec::new();
    for (name, value) in values.flatten() {
        match sums.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, sum, count)) => {
                *sum += value;
                *count += 1;
            }
            None => sums.push((name, value, 1)),
        }
    }
    sums.into_iter().map(|(name, sum, count)| (name.to_owned(), sum / count as f64)).collect()
}

/// The same as metrics: `eval/<score>`, `eval/reward` and `eval/rewards/<name>`, means over all samples that have them. What
/// rewards make of a response that was given says nothing of the model's own: it counts only where there is nothing else.
pub fn metrics(samples: &[Judged]) -> Metrics {
    let mut metrics = Metrics::new();
    let all_given = samples.iter().all(|sample| sample.given);
    let own = samples.iter().filter(|sample| all_given || !sample.given);
    for (name, value) in of_names(own.map(|s| s.rewards.iter().map(|(n, v)| (n.as_str(), *v)).collect())) {
        let prefix = if name == TOTAL { "eval" } else { "eval/rewards" };
        metrics.insert(format!("{prefix}/{name}"), value);
    }
    for (name, value) in of_names(samples.iter().map(|s| s.scores.iter().map(|(n, v)| (n.as_str(), *v)).collect())) {
        metrics.insert(format!("eval/{name}"), value);
    }
    metrics
}

const TOTAL: &str = "reward";

/// Draws from `policy` as training does, with the same random numbers at every call, and has it judged. `task_done` is
/// called after each task.
///
/// # Errors
/// Whatever the sampler, a reward or the evaluator returns; [`ErrorKind::Contract`](crate::ErrorKind::Contract) when the
/// evaluator judges another number of samples than it was shown.
pub fn evaluate(
    evaluator: &mut dyn Evaluator,
    rollouts: &mut Rollouts,
    policy: &dyn Policy,
    task_done: &mut dyn FnMut(),
) -> Result<Vec<Judged>> {
    let mut judged = Vec::new();
    let tasks: Vec<Task> = evaluator.tasks().to_vec();
    for (number, task) in (0_u64..).zip(&tasks) {
        let drawn = rollouts.sample(policy, task, number, evaluator.candidates())?;
        let samples: Vec<Sample> = drawn.into_iter().map(|rollout| rollout.sample).collect();
        let samples = rollouts.with_states(policy, samples, None)?;
        let scored = rollouts.rewards.score(&samples)?;
        let scores = evaluator.judge(task, &samples)?;
        if scores.len() != samples.len() {
            return Err(Error::contract(format!(
                "evaluator: expected scores of {} samples, got those of {}",
                samples.len(),
                scores.len()
            )));
        }
        let (split, answer) = (evaluator.split(task), evaluator.answer(task));
        for ((sample, scored), scores) in samples.into_iter().zip(scored).zip(scores) {
            let named = scored.parts.into_iter().filter_map(|(name, score)| Some((name, score.value()?)));
            judged.push(Judged {
                split: split.clone(),
                task: number,
                prompt: task.base_prompt.clone(),
                response: sample.response,
                given: task.response.is_some(),
                answer: answer.clone(),
                scores,
                rewards: named.chain(scored.total.map(|total| (TOTAL.to_owned(), total))).collect(),
                image: sample.image,
            });
        }
        task_done();
    }
    Ok(judged)
}
