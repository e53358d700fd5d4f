//! The loop: one [`Trainer`] composes rollouts, updater and journal, and advances them step by step.

mod ahead;
mod batch;
mod evaluation;
mod health;
mod observer;
mod parts;
mod resume;
mod spread;
mod state;
mod step;
mod streaks;

pub use health::Sign;
pub use observer::Observer;
pub use parts::Parts;
pub use state::{Progress, TrainerState};

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use self::ahead::Ahead;
use self::evaluation::Evaluation;
use self::health::Health;
use self::observer::{Audience, Sees};
use self::spread::Spreads;
use crate::checkpoint::Keep;
use crate::config::TrainerConfig;
use crate::{
    Error, ErrorKind, Event, Journal, Policy, Result, Rollouts, Schedule, StepReport, StopToken, Updater, serde_json,
};

/// An owned training run. Call [`step`](Trainer::step) from a loop of your own, or [`run`](Trainer::run).
///
/// It is composed of three parts, each of which can be used alone: [`Rollouts`] draws groups, an [`Updater`] learns from them, a
/// [`Journal`] keeps metrics and checkpoints. A loop of another shape is written from them ([`Parts::split`]).
///
/// *Threading*: `Send`; several trainers may run in one process, each on a thread of its own. Where rewards overlap with
/// rollouts ([`Overlap`](crate::config::Overlap)) a trainer has a second thread, which calls rewards and nothing else; with
/// [`staleness`](TrainerConfig::staleness) another one draws the next step's groups while parameters are updated.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/bandit.rs"));
/// use counterpoint::config::TrainerConfig;
/// use counterpoint::trainer::{Outcome, Parts};
/// use counterpoint::{
///     Event, Result, Reward, RewardEnsemble, Sample, Score, StopToken, Streams, SyncGrpoConfig, Task, Trainer,
/// };
/// # use bandit::{Bandit, pulls};
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
/// let parts = Parts::new(
///     Box::new(Bandit::new()), // the example of `Policy`
///     pulls(),                 // a sampler of four pulls
///     RewardEnsemble::single(ArmTwo),
///     Box::new(|_step: u64, cursor: u64, _: &Streams| Ok(Task::new(cursor, "Pull four arms."))),
/// )?
/// .with_objective(SyncGrpoConfig::dr_grpo().init()?);
/// let config = TrainerConfig { steps: 30, learning_rate: 0.1, ..TrainerConfig::default() };
/// let mut trainer = Trainer::new(parts, config, 42)?;
/// trainer.on_event(|event| {
///     if let Event::StepSkipped { step, reason, .. } = event {
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
    rollouts: Rollouts,
    updater: Updater,
    journal: Option<Journal>,
    audience: Audience,
    spreads: Spreads,
    health: Health,
    /// Why the run is to end with the step under way.
    ending: Option<String>,
    config: TrainerConfig,
    seed: u64,
    /// The rest of the run's config, kept in checkpoints.
    run_config: serde_json::Value,
    progress: Progress,
    evaluation: Option<Evaluation>,
    /// A step that is done while its metrics could not be written.
    unwritten: Option<StepReport>,
    /// Groups of the next step that are drawn with the parameters before the last update.
    ahead: Option<Ahead>,
}

impl Trainer {
    /// A run of `parts` under `config`, its random streams seeded with `seed`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when a value is out of range, or the filter needs a surrogate and there is none of that name.
    pub fn new(parts: Parts, config: TrainerConfig, seed: u64) -> Result<Self> {
        let (rollouts, updater) = parts.split(&config, seed)?;
        Ok(Self {
            rollouts,
            updater,
            journal: None,
            audience: Audience::default(),
            spreads: Spreads::default(),
            health: Health::default(),
            ending: None,
            config,
            seed,
            run_config: serde_json::Value::Null,
            progress: Progress::default(),
            evaluation: None,
            unwritten: None,
            ahead: None,
        })
    }

    /// Keeps metrics and checkpoints in `folder`; see [`Journal`], which this is short for.
    pub fn with_folder(self, folder: impl Into<PathBuf>) -> Self {
        self.with_journal(Journal::new(folder))
    }

    /// Keeps metrics and checkpoints in `journal`; which checkpoints it keeps is the config's to say.
    ///
    /// A run that goes on in the same folder from its checkpoint ([`resume`](Trainer::resume)) goes on in the same files. One
    /// that finds another run there is refused, unless the journal is to [overwrite](Journal::overwriting) it.
    pub fn with_journal(mut self, journal: Journal) -> Self {
        let keep = Keep { last: self.config.keep_last, best: self.config.keep_best };
        self.journal = Some(journal.with_keep(keep));
        self
    }

    /// Keeps the settings that the parts were made with in checkpoints: a run with others is not resumed from them, but for
    /// names and folders (`run.name`, `run.output`, `data.root`). The trainer's own settings are kept anyway.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the table cannot be represented.
    pub fn with_run_config(mut self, config: &toml::Table) -> Result<Self> {
        self.run_config = serde_json::to_value(config)
            .map_err(|e| Error::config("cannot represent the run's config").with_source(e))?;
        Ok(self)
    }

    /// Learns at another rate than the config's warm-up and cosine.
    pub fn with_schedule(mut self, schedule: impl Schedule + 'static) -> Self {
        self.updater = self.updater.with_schedule(schedule);
        self
    }

    /// Calls `see` for every [`Event`], from the thread that steps the trainer. The order is always that of the tasks:
    /// where the next task is rolled out while rewards are computed, its events come after them.
    pub fn on_event(&mut self, see: impl FnMut(&Event<'_>) + Send + 'static) {
        self.observe(Sees(see));
    }

    /// Has the run watched by `observer`, after those who watch it already.
    pub fn observe(&mut self, observer: impl Observer + 'static) {
        self.audience.observers.push(Box::new(observer));
    }

    /// How far the run is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The configuration.
    pub fn config(&self) -> &TrainerConfig {
        &self.config
    }

    /// The policy.
    pub fn policy(&self) -> &dyn Policy {
        self.updater.policy()
    }

    /// What draws groups.
    pub fn rollouts(&self) -> &Rollouts {
        &self.rollouts
    }

    /// What draws groups, and the policy to draw from: for evaluation between steps.
    pub fn rollouts_mut(&mut self) -> (&mut Rollouts, &dyn Policy) {
        (&mut self.rollouts, self.updater.policy())
    }

    /// What learns from groups.
    pub fn updater_mut(&mut self) -> &mut Updater {
        &mut self.updater
    }

    /// Gives the parts back, trained. What was drawn ahead is thrown away.
    pub fn into_parts(self) -> Parts {
        Parts::join(self.rollouts, self.updater)
    }

    /// Gives up steps in the middle when `stop` is [cancelled](StopToken::cancel): for loops of one's own around
    /// [`step`](Trainer::step), which is then an error of kind [`ErrorKind::Cancelled`]. [`run`](Trainer::run) does so anyway.
    pub fn cancel_on(&mut self, stop: &StopToken) {
        self.audience.stop = stop.clone();
    }

    /// Runs until all steps are done, `stop` is set or an observer asks for the end, then writes a checkpoint where one is due. So it does when
    /// a step fails or panics, as burn does when a device is lost: what was done before is not lost with it.
    ///
    /// # Errors
    /// The first error of a step.
    pub fn run(&mut self, stop: &StopToken) -> Result<Outcome> {
        self.cancel_on(stop);
        while self.progress.step < self.config.steps {
            if stop.is_set() || std::mem::take(&mut self.audience.ended) {
                self.save()?;
                return Ok(Outcome::Cancelled);
            }
            match catch_unwind(AssertUnwindSafe(|| self.step())) {
                Ok(Ok(_)) => {}
                Ok(Err(e)) if e.kind() == ErrorKind::Cancelled && stop.is_set() => {}
                Ok(Err(e)) if self.progress.step == 0 => return Err(e),
                Ok(Err(e)) => return Err(self.last_words(e)),
                Err(panic) => {
                    if self.progress.step > 0
                        && let Err(error) = self.save()
                    {
                        tracing::error!("no checkpoint could be written: {error:#}");
                    }
                    resume_unwind(panic)
                }
            }
        }
        self.save()?;
        Ok(Outcome::Completed)
    }
}

/// How a [`Trainer::run`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// All steps were done.
    Completed,
    /// It was asked to stop.
    Cancelled,
}
