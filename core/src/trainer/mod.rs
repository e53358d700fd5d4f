//! The loop: one [`Trainer`] owns everything that a run needs and advances it step by step.

mod beside;
mod event;
mod files;
mod gate;
mod groups;
mod items;
mod layout;
mod resume;
mod rollout;
mod schedule;
mod scoring;
mod step;
mod update;

pub use event::{Event, StepReport, StopToken};
pub use rollout::Ledger;
pub use update::{Group, Replayed, StepDraw, accumulate};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use files::MetricsFile;

use crate::checkpoint::Lock;
use crate::config::TrainerConfig;
use crate::{GroupFilter, Objective, OptimizerConfig, Policy, Result, RewardEnsemble, Sampler, Streams, TaskSource};

/// The parts of a run; what a config selects by name, or an embedding program brings.
pub struct Parts {
    /// The model under training.
    pub policy: Box<dyn Policy>,
    /// Draws trajectories from it.
    pub sampler: Box<dyn Sampler>,
    /// Decides which candidates are finished and learned from.
    pub filter: Box<dyn GroupFilter>,
    /// Turns rewards and log-probabilities into a loss.
    pub objective: Box<dyn Objective>,
    /// The weighted rewards.
    pub rewards: RewardEnsemble,
    /// Name of the reward that scores previews, for filters that need one.
    pub surrogate: Option<String>,
    /// Where tasks come from.
    pub tasks: Box<dyn TaskSource>,
}

type Observer = Box<dyn FnMut(&Event<'_>) + Send>;

/// An owned training run. Call [`step`](Trainer::step) from a loop of your own, or [`run`](Trainer::run).
///
/// *Threading*: `Send`; several trainers may run in one process, each on a thread of its own. Where rewards overlap with
/// rollouts ([`Overlap`](crate::config::Overlap)) a trainer has a second thread, which calls rewards and nothing else.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/bandit.rs"));
/// use counterpoint::config::TrainerConfig;
/// use counterpoint::trainer::{Outcome, Parts};
/// use counterpoint::{
///     Event, KeepAll, Result, Reward, RewardEnsemble, Sample, Score, StopToken, Streams, SyncGrpoConfig, Task, Trainer,
/// };
/// # use bandit::{Bandit, Pulls};
///
/// /// The share of the pulls that were of arm 2.
/// struct ArmTwo;
///
/// impl Reward for ArmTwo {
///     fn name(&self) -> &str {
///         "arm_two"
///     }
///
///     fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
///         let share = |s: &Sample| s.response.matches('2').count() as f64 / s.response.len() as f64;
///         Ok(samples.iter().map(|s| Score::Value(share(s))).collect())
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let weights = [("arm_two".to_owned(), 1.0)].into();
/// let parts = Parts {
///     policy: Box::new(Bandit::new()), // the example of `Policy`
///     sampler: Box::new(Pulls),        // one like the example of `Sampler`, with four pulls
///     filter: Box::new(KeepAll),
///     objective: Box::new(SyncGrpoConfig::dr_grpo().init()?),
///     rewards: RewardEnsemble::new(vec![Box::new(ArmTwo)], [("default".to_owned(), weights)].into())?,
///     surrogate: None,
///     tasks: Box::new(|_step: u64, cursor: u64, _: &Streams| Ok(Task::new(cursor, "Pull four arms."))),
/// };
/// let config = TrainerConfig { steps: 30, learning_rate: 0.1, ..TrainerConfig::default() };
/// let mut trainer = Trainer::new(parts, config, 42)?;
/// trainer.on_event(|event| {
///     if let Event::StepSkipped { step, reason } = event {
///         eprintln!("step {step} was skipped: {reason}");
///     }
/// });
///
/// let first = trainer.step()?;
/// assert!(first.updated && first.metrics.get("reward").is_some());
/// assert_eq!(trainer.run(&StopToken::new())?, Outcome::Completed);
/// assert_eq!(trainer.progress().step, 30);
/// # let policy: Box<dyn std::any::Any> = trainer.into_parts().policy;
/// # let log_probs = policy.downcast::<Bandit>().unwrap().log_probs_now()?;
/// # assert!(log_probs[2].exp() > 0.8, "it learned to pull arm 2: {log_probs:?}");
/// # Ok(())
/// # }
/// ```
pub struct Trainer {
    parts: Parts,
    config: TrainerConfig,
    streams: Streams,
    schedule: schedule::Schedule,
    /// Folder for checkpoints; `None` keeps none.
    checkpoints: Option<PathBuf>,
    /// The resolved config's text, kept in checkpoints.
    config_text: String,
    metrics: Option<MetricsFile>,
    observers: Vec<Observer>,
    progress: Progress,
    /// Step of the newest checkpoint.
    saved_at: Option<u64>,
    /// That of the folder for checkpoints, from the first step, save or resume on.
    lock: Option<Arc<Lock>>,
    /// Whether the files are open at the place where the next step goes on.
    ready: bool,
    /// A step that is done while its metrics could not be written.
    unwritten: Option<StepReport>,
    /// From the first rewards on that overlap with a rollout.
    beside: Option<beside::Beside>,
}

/// What a checkpoint keeps of the trainer itself.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Steps completed.
    pub step: u64,
    /// Tasks drawn so far; the next task's cursor.
    pub cursor: u64,
    /// Steps skipped for non-finite numbers, in all.
    pub skipped: u64,
    /// Steps skipped in a row up to now.
    pub skipped_in_a_row: u64,
    /// Denoising steps spent so far.
    pub ledger: Ledger,
    /// Whether sampling and replay were found to agree.
    pub gated: bool,
}

impl Trainer {
    /// A run of `parts` under `config`, its random streams seeded with `seed`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when a value is out of range.
    pub fn new(mut parts: Parts, config: TrainerConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        parts.policy.learner().configure(&OptimizerConfig { betas: config.betas, weight_decay: config.weight_decay });
        let schedule = schedule::Schedule::new(&config)?;
        Ok(Self {
            parts,
            config,
            streams: Streams::new(seed),
            schedule,
            checkpoints: None,
            config_text: String::new(),
            metrics: None,
            observers: Vec::new(),
            progress: Progress::default(),
            saved_at: None,
            lock: None,
            ready: false,
            unwritten: None,
            beside: None,
        })
    }

    /// Keeps checkpoints in `folder`, together with the text of the resolved config.
    ///
    /// From its first [`step`](Trainer::step), [`save`](Trainer::save) or [`resume`](Trainer::resume) on, no other trainer
    /// may write there, of this process or another: theirs return an error that names the process. The end of the trainer
    /// gives the folder back, and so does a kill.
    pub fn with_checkpoints(mut self, folder: impl Into<PathBuf>, config_text: impl Into<String>) -> Self {
        self.checkpoints = Some(folder.into());
        self.lock = None;
        self.ready = false;
        self.config_text = config_text.into();
        self
    }

    /// Appends the metrics of every step to the file at `path`, one JSON object per line. A run that is resumed goes on
    /// in the same file, so that it equals that of the uninterrupted run.
    pub fn with_metrics(mut self, path: impl Into<PathBuf>) -> Self {
        self.metrics = Some(MetricsFile { path: path.into(), log: None });
        self.ready = false;
        self
    }

    /// Keeps everything of the run in `folder`: `checkpoints/` (see [`with_checkpoints`](Trainer::with_checkpoints)) and
    /// `metrics.jsonl` (see [`with_metrics`](Trainer::with_metrics)).
    pub fn with_folder(self, folder: &Path, config_text: impl Into<String>) -> Self {
        self.with_checkpoints(folder.join("checkpoints"), config_text).with_metrics(folder.join("metrics.jsonl"))
    }

    /// Calls `observer` for every [`Event`], from the thread that steps the trainer. The order is always that of the tasks:
    /// where the next task is rolled out while rewards are computed, its events come after them.
    pub fn on_event(&mut self, observer: impl FnMut(&Event<'_>) + Send + 'static) {
        self.observers.push(Box::new(observer));
    }

    /// How far the run is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The configuration.
    pub fn config(&self) -> &TrainerConfig {
        &self.config
    }

    /// The parts, for evaluation between steps.
    pub fn parts_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }

    /// Gives the parts back, trained.
    pub fn into_parts(self) -> Parts {
        self.parts
    }

    /// Runs until all steps are done or `stop` is set, then writes a checkpoint where one is due.
    ///
    /// # Errors
    /// The first error of a step. After too many non-finite steps in a row a checkpoint is written first.
    pub fn run(&mut self, stop: &StopToken) -> Result<Outcome> {
        while self.progress.step < self.config.steps {
            if stop.is_set() {
                self.save()?;
                return Ok(Outcome::Cancelled);
            }
            self.step()?;
        }
        self.save()?;
        Ok(Outcome::Completed)
    }

    fn emit(&mut self, event: &Event<'_>) {
        for observer in &mut self.observers {
            observer(event);
        }
    }
}

/// How a [`Trainer::run`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps were done.
    Completed,
    /// It was asked to stop, did so on a step boundary and kept a checkpoint.
    Cancelled,
}
