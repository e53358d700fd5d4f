//! Settings of the training loop.

use serde::{Deserialize, Serialize};

use super::typed::Problem;
use super::{Chunk, GenerationRate, ImportanceCap, Overlap};
use crate::trainer::Sign;
use crate::{DecayScope, OptimizerConfig, Result};

/// Settings of the training loop. Defaults are those of the Sync-R1 paper's table of hyper-parameters where it has one;
/// fields marked "ours" are not in it.
///
/// ```
/// use counterpoint::config::TrainerConfig;
///
/// let config = TrainerConfig { group_size: 4, steps: 10, ..TrainerConfig::default() };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainerConfig {
    /// Steps of the run, 1 or more. Paper: 100.
    pub steps: u64,
    /// Candidates G that a group learns from, 2 or more: the advantage of a single one is always 0. Paper: 9.
    pub group_size: usize,
    /// Images that are painted for each answer, 1 or more, a divisor of `group_size`, which counts images. With 2 or more an
    /// image is compared with those of the same answer, so that it is not credited with the luck of the text, and answers are
    /// compared by the means over their images; as many as `group_size` leave a single answer, whose text has nothing to be
    /// compared with. Ours: 1, the paper's.
    pub images_per_answer: usize,
    /// Tasks, and so groups, per step, 1 or more. Ours: 1.
    pub tasks_per_step: usize,
    /// Waves of drafts that may be drawn for one group, 1 or more. Ours: 8 (the papers leave it unbounded).
    pub max_attempts: usize,
    /// Optimizer updates from one batch of rollouts, 1 or more. Ours: 1.
    pub updates_per_batch: usize,
    /// How much of an update is computed at once: sequences, or `{ memory_mib = N }`; 1 or more. Ours: 8 sequences.
    pub chunk: Chunk,
    /// Whether the rewards of a task are computed while the step's next task is rolled out: `"auto"`, `true` or `false`.
    /// Changes no result. With one task per step there is nothing to overlap. Ours: `"auto"`, which is when some reward
    /// computes on another device than the policy.
    pub overlap_rewards: Overlap,
    /// Peak learning rate, above 0. Paper: 1e-6.
    pub learning_rate: f64,
    /// Peak learning rate of images, above 0, which gives each half an optimizer of its own, or `"shared"`: one for both, with
    /// `learning_rate`. Ours: `"shared"`, as in the paper.
    pub generation_learning_rate: GenerationRate,
    /// Steps of linear warm-up before the cosine decay; more than `steps` are cut, with a note. Ours: 5 (the paper warms up,
    /// and does not say how long).
    pub warmup_steps: u64,
    /// AdamW's decoupled weight decay, in [0, 1). Paper: 1e-3.
    pub weight_decay: f64,
    /// Which parameters it is for: `"matrices"`, which leaves out norms and biases, or `"all"`. Ours: `"matrices"`, as in
    /// transformers and TRL (the paper does not say).
    pub decay_scope: DecayScope,
    /// AdamW's decay rates of the first and second moment, each in [0, 1). Paper: 0.9 and 0.999.
    pub betas: [f64; 2],
    /// L2 norm that gradients are scaled down to, above 0. Paper: 1.0.
    pub max_grad_norm: f64,
    /// Largest difference, above 0 and in nats, between a log-probability recorded while sampling and that of the
    /// replay with which training may begin. Where the policy computes in half precision
    /// ([`Policy::half_precision`](crate::Policy::half_precision)), single decisions round further apart: there, for each
    /// kind of segment, the 99 % quantile of the differences may be twice this and their mean a quarter of it. Ours: 1e-3;
    /// half precision with guidance needs some tenths, such as 0.2.
    pub gate_tolerance: f64,
    /// Truncated importance weights between sampling and training: `"none"`, or the largest weight, above 0. Ours: `"none"`.
    pub importance_cap: ImportanceCap,
    /// Updates, 0 or 1, by which the parameters that a step's groups are drawn with are behind those that it updates. With 1 the next step's groups
    /// are drawn while this one updates, from a copy of the policy ([`Policy::copied`](crate::Policy::copied)), but for the first step's; that
    /// they are of another policy is corrected by `importance_cap`, which is then to be a number. The optimizer's state is in memory twice, and
    /// in checkpoints. Ours: 0.
    pub staleness: u64,
    /// Steps from one measurement of the gradient's signal and noise to the next (`signal/` in the metrics); each costs
    /// about one update more. 0 for none. Ours: 0.
    pub signal_every: u64,
    /// Steps in a row with non-finite numbers that stop the run, 1 or more. Ours: 3.
    pub max_non_finite: usize,
    /// Steps in a row without an update that stop the run (every group dropped, every answer empty); 0 never does. Ours: 20.
    pub max_idle: usize,
    /// Steps between checkpoints; 0 writes one at the end of the run alone. Ours: 10.
    pub checkpoint_every: u64,
    /// Signs that the run goes wrong on which it ends, with a checkpoint: `"collapsed"`, `"flat"`, `"drifted"`, `"outwitted"`
    /// ([`Sign`]). Each is warned of in any case. Ours: none.
    pub stop_when: Vec<Sign>,
    /// Newest checkpoints that are kept, 1 or more. Ours: 2.
    pub keep_last: usize,
    /// Whether the checkpoint with the highest mean reward is kept besides. Ours: true.
    pub keep_best: bool,
}

impl Default for TrainerConfig {
    fn default() -> Self {
        Self {
            steps: 100,
            group_size: 9,
            images_per_answer: 1,
            tasks_per_step: 1,
            max_attempts: 8,
            updates_per_batch: 1,
            chunk: Chunk::Sequences(8),
            overlap_rewards: Overlap::Auto,
            learning_rate: 1e-6,
            generation_learning_rate: GenerationRate::Shared,
            warmup_steps: 5,
            weight_decay: 1e-3,
            decay_scope: DecayScope::Matrices,
            betas: [0.9, 0.999],
            max_grad_norm: 1.0,
            gate_tolerance: 1e-3,
            importance_cap: ImportanceCap::None,
            staleness: 0,
            signal_every: 0,
            max_non_finite: 3,
            max_idle: 20,
            checkpoint_every: 10,
            stop_when: Vec::new(),
            keep_last: 2,
            keep_best: true,
        }
    }
}

impl TrainerConfig {
    /// The optimizer that these settings describe: who reads a checkpoint's parameters [configures](crate::Learner::configure)
    /// it first.
    pub fn optimizer(&self) -> OptimizerConfig {
        OptimizerConfig {
            betas: self.betas,
            weight_decay: self.weight_decay,
            decay_scope: self.decay_scope,
            per_half: self.generation_learning_rate.own().is_some(),
            ..OptimizerConfig::default()
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the first field that is out of range, as
    /// `trainer.<field>`, with the range and the value.
    pub fn validate(&self) -> Result<()> {
        Ok(self.check()?)
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        let at_least = |least: u64, key: &str, got: u64| {
            Problem::unless(got >= least, &format!("trainer.{key}"), &format!("an integer of {least} or more"), got)
        };
        at_least(1, "steps", self.steps)?;
        at_least(2, "group_size", self.group_size as u64)?;
        at_least(1, "images_per_answer", self.images_per_answer as u64)?;
        Problem::unless(
            self.group_size.is_multiple_of(self.images_per_answer),
            "trainer.images_per_answer",
            &format!("a divisor of trainer.group_size = {}", self.group_size),
            self.images_per_answer,
        )?;
        at_least(1, "tasks_per_step", self.tasks_per_step as u64)?;
        at_least(1, "max_attempts", self.max_attempts as u64)?;
        at_least(1, "updates_per_batch", self.updates_per_batch as u64)?;
        at_least(1, "chunk", self.chunk.amount())?;
        at_least(1, "max_non_finite", self.max_non_finite as u64)?;
        at_least(1, "keep_last", self.keep_last as u64)?;

        let positive = |key: &str, got: f64| {
            Problem::unless(got > 0.0 && got.is_finite(), &format!("trainer.{key}"), "a finite number above 0", got)
        };
        positive("learning_rate", self.learning_rate)?;
        self.generation_learning_rate.own().map_or(Ok(()), |rate| positive("generation_learning_rate", rate))?;
        positive("max_grad_norm", self.max_grad_norm)?;
        positive("gate_tolerance", self.gate_tolerance)?;
        self.importance_cap.limit().map_or(Ok(()), |cap| positive("importance_cap", cap))?;
        Problem::unless(self.staleness <= 1, "trainer.staleness", "0 or 1", self.staleness)?;
        Problem::unless(
            self.staleness == 0 || self.importance_cap.limit().is_some(),
            "trainer.importance_cap",
            &format!("a number, such as 2.0, with trainer.staleness = {}", self.staleness),
            "\"none\"",
        )?;

        let fraction = |key: &str, got: f64| {
            Problem::unless((0.0..1.0).contains(&got), &format!("trainer.{key}"), "a number in [0, 1)", got)
        };
        fraction("weight_decay", self.weight_decay)?;
        fraction("betas", self.betas[0])?;
        fraction("betas", self.betas[1])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    type Change = fn(&mut TrainerConfig);

    #[test]
    fn the_default_is_valid() {
        TrainerConfig::default().validate().unwrap();
    }

    #[test]
    fn every_value_out_of_range_is_refused_by_its_name() {
        let changes: [(&str, Change); 26] = [
            ("trainer.steps: expected an integer of 1 or more, got 0", |c| c.steps = 0),
            ("trainer.group_size: expected an integer of 2 or more, got 1", |c| c.group_size = 1),
            ("trainer.images_per_answer: expected an integer of 1 or more, got 0", |c| c.images_per_answer = 0),
            ("trainer.images_per_answer: expected a divisor of trainer.group_size = 9, got 2", |c| {
                c.images_per_answer = 2;
            }),
            ("trainer.tasks_per_step:", |c| c.tasks_per_step = 0),
            ("trainer.max_attempts:", |c| c.max_attempts = 0),
            ("trainer.updates_per_batch:", |c| c.updates_per_batch = 0),
            ("trainer.chunk:", |c| c.chunk = 0.into()),
            ("trainer.max_non_finite:", |c| c.max_non_finite = 0),
            ("trainer.keep_last:", |c| c.keep_last = 0),
            ("trainer.learning_rate: expected a finite number above 0, got -1", |c| c.learning_rate = -1.0),
            ("trainer.learning_rate: expected a finite number above 0, got NaN", |c| c.learning_rate = f64::NAN),
            ("trainer.learning_rate:", |c| c.learning_rate = f64::INFINITY),
            ("trainer.generation_learning_rate: expected a finite number above 0, got 0", |c| {
                c.generation_learning_rate = GenerationRate::Own(0.0);
            }),
            ("trainer.max_grad_norm:", |c| c.max_grad_norm = 0.0),
            ("trainer.gate_tolerance:", |c| c.gate_tolerance = 0.0),
            ("trainer.importance_cap: expected a finite number above 0, got 0", |c| {
                c.importance_cap = ImportanceCap::At(0.0);
            }),
            ("trainer.importance_cap:", |c| c.importance_cap = ImportanceCap::At(f64::NAN)),
            ("trainer.staleness: expected 0 or 1, got 2", |c| c.staleness = 2),
            ("trainer.importance_cap: expected a number, such as 2.0, with trainer.staleness = 1, got \"none\"", |c| {
                c.staleness = 1;
            }),
            ("trainer.weight_decay: expected a number in [0, 1), got 1", |c| c.weight_decay = 1.0),
            ("trainer.weight_decay:", |c| c.weight_decay = -0.1),
            ("trainer.weight_decay:", |c| c.weight_decay = f64::NAN),
            ("trainer.betas:", |c| c.betas = [1.0, 0.9]),
            ("trainer.betas:", |c| c.betas = [0.9, 1.0]),
            ("trainer.betas:", |c| c.betas = [-0.1, 0.9]),
        ];
        for (expected, change) in changes {
            let mut config = TrainerConfig::default();
            change(&mut config);
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(expected), "expected {expected}, got {message}");
        }
    }
}
