//! Evaluations between steps.

use crate::evaluation::{evaluate, metrics};
use crate::metrics::Metrics;
use crate::{Error, Evaluator, Event, Judged, Result, Rollouts, Sampler, Trainer};

/// Who judges the policy, and when.
pub(super) struct Evaluation {
    evaluator: Box<dyn Evaluator>,
    /// Draws what is judged, where training does not.
    sampler: Option<Box<dyn Sampler>>,
    /// Steps from one to the next during training; 0 for none.
    every: u64,
    /// Name of the metric that ranks checkpoints.
    best: Option<String>,
}

impl Evaluation {
    /// The metric that ranks checkpoints, where the evaluation has one.
    pub(super) fn best(&self) -> Option<&str> {
        self.best.as_deref()
    }

    /// The metric of a step by which its checkpoint is ranked.
    pub(super) fn rank(&self, metrics: &Metrics) -> Option<f64> {
        metrics.get(match &self.best {
            Some(best) => best,
            None => "reward",
        })
    }
}

impl Trainer {
    /// Has the policy judged by `evaluator`: after every `every` steps (0: never), and whenever
    /// [`evaluate`](Trainer::evaluate) is called. Its metrics are in the line of the step that it follows; with `best` one
    /// of them, such as `reasoning`, decides which checkpoint is the best one.
    pub fn with_evaluator(mut self, evaluator: Box<dyn Evaluator>, every: u64, best: Option<&str>) -> Self {
        let best = best.map(|name| format!("eval/{name}"));
        self.evaluation = Some(Evaluation { evaluator, sampler: None, every, best });
        self
    }

    /// Has what is judged drawn by `sampler` and not by that of training: with the guidance or the temperature that the model
    /// is used with, say. Nothing without an evaluator.
    pub fn with_evaluation_sampler(mut self, sampler: Box<dyn Sampler>) -> Self {
        if let Some(evaluation) = &mut self.evaluation {
            evaluation.sampler = Some(sampler);
        }
        self
    }

    /// The evaluator, if the run has one.
    pub fn evaluator(&self) -> Option<&dyn Evaluator> {
        self.evaluation.as_ref().map(|evaluation| evaluation.evaluator.as_ref())
    }

    /// Has the policy judged as it is now; `task_done` is called after each task. Nothing of it enters training: random
    /// numbers are the evaluation's own, and what rewards remember is put back. None without an evaluator.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn evaluate(&mut self, task_done: &mut dyn FnMut()) -> Result<Option<Vec<Judged>>> {
        let Self { rollouts, updater, evaluation: Some(evaluation), .. } = self else { return Ok(None) };
        let Evaluation { evaluator, sampler, .. } = evaluation;
        let memory = rollouts.memory();
        let mut exchange = |rollouts: &mut Rollouts| {
            sampler.iter_mut().for_each(|other| std::mem::swap(other, &mut rollouts.sampler));
        };
        exchange(rollouts);
        let judged = evaluate(evaluator.as_mut(), rollouts, updater.policy(), task_done);
        exchange(rollouts);
        rollouts.restore(&memory)?;
        judged.map(Some)
    }

    /// The metrics of the evaluation that is due after `done` steps, if one is.
    pub(super) fn evaluate_if_due(&mut self, done: u64) -> Result<Option<Metrics>> {
        let due = |e: &Evaluation| e.every > 0 && done.is_multiple_of(e.every);
        if !self.evaluation.as_ref().is_some_and(due) {
            return Ok(None);
        }
        let judged = self.evaluate(&mut || {}).map_err(|e| e.at(format_args!("the evaluation after step {done}")))?;
        let samples = judged.unwrap_or_default();
        let found = metrics(&samples);
        if let Some(Evaluation { best: Some(best), .. }) = &self.evaluation
            && found.get(best).is_none()
        {
            let known: Vec<&str> = found.iter().map(|(name, _)| name.trim_start_matches("eval/")).collect();
            let best = best.trim_start_matches("eval/");
            return Err(Error::config(format!(
                "evaluation.best: expected a metric of the evaluation ({}), got `{best}`",
                known.join(", ")
            )));
        }
        self.audience.announce(&Event::Evaluated { step: done, samples: &samples })?;
        Ok(Some(found))
    }
}
