//! A toy run for the engine's tests: a small policy that reasons in text and denoises a strip of codes, its sampler,
//! tasks and rewards. Everything is deterministic and takes milliseconds on the CPU.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod policy;
mod reference;
mod sampler;
mod slow;
mod table;

use std::sync::{Arc, Mutex};

use counterpoint::Parts;
use counterpoint::config::TrainerConfig;
use counterpoint::{
    DynamicGroupScalingConfig, Event, KeepAll, Result, Reward, RewardEnsemble, Sample, Score, Streams, SyncGrpoConfig,
    Task, TaskSource, Trainer, TypedSampler,
};

pub use policy::{Fault, Faults, Heard, ToyPolicy};
pub use reference::{Decisions, Expected, Recorded};
pub use sampler::ToySampler;
pub use slow::Slowly;
pub use table::{TablePolicy, trajectory};

/// Text tokens; 0 ends a text.
pub const VOCABULARY: usize = 5;
/// Most tokens of a text.
pub const LONGEST: usize = 4;
/// Image codes; the mask is code `CODES`.
pub const CODES: usize = 4;
/// Image positions.
pub const POSITIONS: usize = 6;
/// Denoising steps T.
pub const STEPS: usize = 4;

/// Tasks that differ in the token they begin with.
pub struct ToyTasks;

impl TaskSource for ToyTasks {
    fn task(&self, _step: u64, cursor: u64, _streams: &Streams) -> Result<Task> {
        Ok(Task::new(cursor, (1 + cursor % (VOCABULARY as u64 - 1)).to_string()))
    }
}

/// A reward that answers each batch from a closure.
pub struct Batchwise<F>(pub &'static str, pub F);

impl<F: FnMut(&[Sample]) -> Result<Vec<Score>> + Send> Reward for Batchwise<F> {
    fn name(&self) -> &str {
        self.0
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        (self.1)(samples)
    }
}

/// A reward that answers each sample from a closure.
pub fn each(name: &'static str, mut answer: impl FnMut(&Sample) -> Score + Send + 'static) -> Box<dyn Reward> {
    Box::new(Batchwise(name, move |samples: &[Sample]| Ok(samples.iter().map(&mut answer).collect())))
}

/// Share of the text's tokens that are 2 and of the image's codes that are 1, averaged.
pub fn taste(sample: &Sample) -> f64 {
    let tokens: Vec<&str> = sample.response.split_whitespace().collect();
    let text = tokens.iter().filter(|t| **t == "2").count() as f64 / tokens.len().max(1) as f64;
    let pixels = sample.image.as_ref().unwrap().pixels().filter(|p| p.0[0] == 255).count();
    (text + pixels as f64 / POSITIONS as f64) / 2.0
}

pub fn tasteful() -> Box<dyn Reward> {
    each("taste", |sample| Score::Value(taste(sample)))
}

/// An ensemble of one reward with weight 1.
pub fn alone(reward: Box<dyn Reward>) -> RewardEnsemble {
    let weights = [(reward.name().to_owned(), 1.0)].into();
    RewardEnsemble::new(vec![reward], [("default".to_owned(), weights)].into()).unwrap()
}

/// A complete run: keep-all filter, the paper's objective, the taste reward.
pub fn parts() -> Parts {
    let policy = Box::new(ToyPolicy::new(Faults::default()));
    Parts::new(policy, ToySampler::default().boxed(), alone(tasteful()), Box::new(ToyTasks)).unwrap()
}

/// `parts` with something else in them.
pub fn changed(mut parts: Parts, change: impl FnOnce(&mut Parts)) -> Parts {
    change(&mut parts);
    parts
}

/// A run with everything that has state: a filter, two updates per batch, subsets of steps.
pub fn stateful() -> (Parts, TrainerConfig) {
    let objective = SyncGrpoConfig { denoising_steps: Some(2), ..SyncGrpoConfig::default() };
    let filter = DynamicGroupScalingConfig { threshold: 0.3, mu: 0.5, ..Default::default() }.init().unwrap();
    let parts = changed(parts(), |p| {
        p.filter = Box::new(filter);
        p.objective = Box::new(objective.init().unwrap());
        p.surrogate = Some("taste".into());
    });
    (parts, TrainerConfig { updates_per_batch: 2, tasks_per_step: 2, ..config(9) })
}

pub fn config(steps: u64) -> TrainerConfig {
    TrainerConfig {
        steps,
        group_size: 4,
        learning_rate: 0.02,
        warmup_steps: 1,
        checkpoint_every: 0,
        chunk: 3.into(),
        ..TrainerConfig::default()
    }
}

pub fn trainer(parts: Parts, config: TrainerConfig) -> Trainer {
    Trainer::new(parts, config, 7).unwrap()
}

/// What was seen of a run: one line per event.
pub type Log = Arc<Mutex<Vec<String>>>;

/// Notes the events of `trainer`.
pub fn listen(trainer: &mut Trainer) -> Log {
    let log = Log::default();
    let lines = log.clone();
    trainer.on_event(move |event| {
        lines.lock().unwrap().push(match event {
            Event::Drafted { attempt, drafted, admitted, .. } => format!("drafted {attempt} {admitted}/{drafted}"),
            Event::AttemptsExhausted { attempts, filled, .. } => format!("exhausted {attempts} {filled}"),
            Event::Group { rollouts, scores, kept, .. } => {
                assert_eq!(rollouts.len(), scores.len());
                let candidates: Vec<u64> = rollouts.iter().map(|r| r.trajectory.candidate).collect();
                format!("group {candidates:?} kept {kept:?}")
            }
            Event::GroupDropped { reason, .. } => format!("dropped {reason}"),
            Event::StepSkipped { step, reason, .. } => format!("skipped {step}: {reason}"),
            Event::Step(report) => format!("step {}", report.step),
            Event::Checkpoint { step, .. } => format!("checkpoint {step}"),
            Event::DeviceLost { candidates, reason, .. } => format!("device lost {candidates}: {reason}"),
            Event::ScoresFailed { .. } | Event::Replayed { .. } => return,
            other => panic!("an event that the tests do not know: {other:?}"),
        });
    });
    log
}

/// Every parameter of a trainer's toy policy, bit for bit.
pub fn weights(trainer: &mut Trainer) -> Vec<u32> {
    let policy: &dyn std::any::Any = trainer.policy();
    policy.downcast_ref::<ToyPolicy>().unwrap().parameters().into_iter().map(f32::to_bits).collect()
}

/// Runs `n` steps: the metrics of each, timings aside.
pub fn steps(trainer: &mut Trainer, n: usize) -> Vec<counterpoint::metrics::Metrics> {
    (0..n).map(|_| trainer.step().unwrap().metrics.without_timings()).collect()
}

/// Five steps of what `make` makes, and the same interrupted after two: metrics and parameters are equal, bit for bit.
pub fn resumes_bit_for_bit(name: &str, make: impl Fn() -> (Parts, TrainerConfig)) {
    let made = || {
        let (parts, settings) = make();
        trainer(parts, settings)
    };
    let mut whole = made();
    let expected = steps(&mut whole, 5);
    let folder = tempfile::tempdir().unwrap();
    let mut part = made().with_folder(folder.path());
    let mut got = steps(&mut part, 2);
    part.save().unwrap();
    drop(part);
    let mut part = made().with_folder(folder.path());
    part.resume(&folder.path().join("checkpoints/step-000002")).unwrap();
    got.extend(steps(&mut part, 3));
    assert_eq!(got, expected, "{name}");
    assert_eq!(weights(&mut part), weights(&mut whole), "{name}");
}
