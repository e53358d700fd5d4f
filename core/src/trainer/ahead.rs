//! The next step's groups, drawn while the step before it updates the parameters (`trainer.staleness = 1`).

use std::any::Any;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use super::batch::Batch;
use super::{Progress, Trainer};
use crate::event::Told;
use crate::rollouts::Memory;
use crate::updater::Update;
use crate::{Error, Policy, Result, StopToken, Updater, Watch};

/// Where a checkpoint has the parameters that the next step's groups are drawn with.
const BEHIND: &str = "behind";

/// What the next step learns from: groups of the parameters before the last update.
pub(super) struct Ahead {
    /// A copy of the policy with the parameters that they are drawn with.
    pub(super) policy: Box<dyn Policy>,
    /// The same parameters for checkpoints, which a copy for rollouts has no optimizer of.
    behind: Box<dyn Any + Send>,
    /// What rollouts remembered before them.
    pub(super) before: Memory,
    /// The groups. None where drawing them failed, or they are those of a checkpoint: they are drawn when their turn has come.
    pub(super) batch: Option<Batch>,
}

impl Ahead {
    fn new(updater: &mut Updater, before: Memory) -> Result<Self> {
        let policy = updater.policy();
        let device = policy.device().ok_or_else(|| {
            Error::config(format!(
                "trainer.staleness: expected a policy that says its device, got `{}`, which does not; implement `Policy::device`, or \
                 set trainer.staleness = 0",
                policy.kind()
            ))
        })?;
        let policy = policy.copied(&device, None).map_err(|e| e.at("trainer.staleness"))?;
        Ok(Self { policy, behind: updater.policy_mut().learner().snapshot(), before, batch: None })
    }

    /// Writes the parameters that the groups are drawn with into `dir`, that of a checkpoint.
    pub(super) fn save(&mut self, updater: &mut Updater, dir: &Path) -> Result<()> {
        let dir = dir.join(BEHIND);
        fs::create_dir(&dir).map_err(|e| Error::io("cannot make", &dir, e))?;
        let learner = updater.policy_mut().learner();
        let now = learner.snapshot();
        learner.restore(std::mem::replace(&mut self.behind, Box::new(())))?;
        let saved = learner.save(&dir);
        self.behind = learner.snapshot();
        learner.restore(now)?;
        saved
    }

    /// The groups of the step after the checkpoint in `dir`, to be drawn with the parameters that [`save`](Self::save) wrote, which the updater
    /// has then, by rollouts that remember what they did before them.
    pub(super) fn load(updater: &mut Updater, before: Memory, dir: &Path) -> Result<Self> {
        updater.load(&dir.join(BEHIND))?;
        Self::new(updater, before)
    }
}

impl Trainer {
    /// Updates with `batch` and meanwhile, where the step after this one is to be drawn ahead, draws its groups. The third is how many seconds
    /// were waited for them when the update was done.
    pub(super) fn update(&mut self, batch: &Batch) -> Result<(Update, Option<Ahead>, f64)> {
        let Progress { step, cursor, .. } = self.progress;
        let tasks = self.config.tasks_per_step as u64;
        let is_last = step + 1 >= self.config.steps;
        let Self { rollouts, updater, audience, .. } = self;
        if self.config.staleness == 0 || is_last {
            return Ok((updater.update(step, &batch.groups, &mut |event| audience.tell(event))?, None, 0.0));
        }
        let mut ahead = Ahead::new(updater, rollouts.memory())?;
        let (policy, over) = (&mut ahead.policy, StopToken::new());
        let (over, stop) = (&over, audience.stop.clone());
        let cursors = cursor + tasks..cursor + 2 * tasks;
        let (update, drawn, waited) = thread::scope(|scope| {
            let drawing = scope.spawn(move || {
                let mut told = Vec::new();
                let watch: Watch<'_> = &mut |event| {
                    over.check().and_then(|()| stop.check())?;
                    told.extend(Told::of(event));
                    Ok(())
                };
                rollouts.draw_timed(policy.as_ref(), step + 1, cursors, watch).map(|drawn| (drawn, told))
            });
            let update = updater.update(step, &batch.groups, &mut |event| audience.tell(event));
            if update.is_err() {
                over.cancel();
            }
            let started = Instant::now();
            (update, drawing.join(), started.elapsed().as_secs_f64())
        });
        let update = update?;
        let drawn = drawn.unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())));
        match drawn.and_then(|(drawn, told)| Batch::of(&self.updater, drawn, told)) {
            Ok(batch) => ahead.batch = Some(batch),
            // Its own step will say so, if it happens again.
            Err(error) => {
                tracing::debug!(step = step + 1, "drawing ahead failed: {error:#}");
                self.rollouts.restore(&ahead.before)?;
            }
        }
        Ok((update, Some(ahead), waited))
    }
}
