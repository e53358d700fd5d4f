//! Checkpoints of a run, and going on from one.

use std::path::Path;

use super::ahead::Ahead;
use super::{Progress, Trainer, TrainerState};
use crate::checkpoint::Reader;
use crate::rollouts::Memory;
use crate::{Error, Event, Result, serde_json};

impl Trainer {
    /// Writes a checkpoint now, unless this step has one already or the run has no folder.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when another process or trainer writes to the folder;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when a file cannot be written; earlier checkpoints stay as they are.
    pub fn save(&mut self) -> Result<()> {
        self.flush()?;
        self.save_ranked(None)
    }

    /// As [`save`](Trainer::save), with what the best checkpoint is judged by: higher is better. By default it is the mean
    /// reward of the step, of checkpoints that the trainer writes by itself.
    ///
    /// # Errors
    /// As [`save`](Trainer::save).
    pub fn save_with_metric(&mut self, metric: f64) -> Result<()> {
        self.flush()?;
        self.save_ranked(Some(metric))
    }

    pub(super) fn save_ranked(&mut self, metric: Option<f64>) -> Result<()> {
        let step = self.progress.step;
        let state = self.state()?;
        let Self { journal: Some(journal), updater, audience, ahead, .. } = self else { return Ok(()) };
        let written = journal.checkpoint(step, metric, |dir| {
            updater.save(dir)?;
            ahead.as_mut().map_or(Ok(()), |ahead| ahead.save(updater, dir))?;
            state.write(dir)?;
            audience.observers.iter_mut().try_for_each(|observer| observer.save(dir))
        })?;
        match written {
            Some(path) => self.audience.announce(&Event::Checkpoint { step, path: &path }),
            None => Ok(()),
        }
    }

    /// Goes on from the checkpoint in `dir`: parameters, optimizer, counters and cursor, and what filter, sampler, rewards and
    /// observers keep. The run that follows equals the uninterrupted one bit for bit.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when it is damaged, from another version, or of another
    /// run; the error names the file and, where it is damaged, the previous intact checkpoint. Of the same kind when
    /// another process or trainer writes to this trainer's own folder. The trainer is then unchanged.
    pub fn resume(&mut self, dir: &Path) -> Result<()> {
        if let Some(journal) = &mut self.journal {
            journal.lock()?;
        }
        let reader = Reader::open(dir)?;
        let state = TrainerState::read(&reader)?;
        state.check_same_run(&self.state()?)?;
        let memory = self.rollouts.memory();
        let parameters = self.updater.policy_mut().learner().snapshot();
        match self.load(&state, reader.dir()) {
            Ok(ahead) => self.ahead = ahead,
            Err(error) => {
                self.rollouts.restore(&memory)?;
                self.updater.policy_mut().learner().restore(parameters)?;
                return Err(error);
            }
        }
        self.progress = state.progress;
        self.updater.set_gated(state.progress.gated);
        self.unwritten = None;
        match &mut self.journal {
            Some(journal) => journal.go_on_from(reader.dir(), state.progress.step),
            None => Ok(()),
        }
    }

    fn load(&mut self, state: &TrainerState, dir: &Path) -> Result<Option<Ahead>> {
        let TrainerState { filter, sampler, rewards, tasks, .. } = state.clone();
        self.rollouts.restore(&Memory { filter, sampler, rewards, tasks })?;
        let ahead = match state.behind {
            true => Some(Ahead::load(&mut self.updater, self.rollouts.memory(), dir)?),
            false => None,
        };
        self.updater.load(dir)?;
        self.audience.observers.iter_mut().try_for_each(|observer| observer.load(dir))?;
        Ok(ahead)
    }

    fn state(&mut self) -> Result<TrainerState> {
        let unwritable = |e| Error::checkpoint("cannot represent the trainer's settings").with_source(e);
        let memory = self.ahead.as_ref().map_or_else(|| self.rollouts.memory(), |ahead| ahead.before.clone());
        let Memory { filter, sampler, rewards, tasks } = memory;
        Ok(TrainerState {
            seed: self.seed,
            filter,
            sampler,
            rewards,
            tasks,
            behind: self.ahead.is_some(),
            progress: Progress { gated: self.updater.is_gated(), ..self.progress },
            policy: self.updater.policy().kind().to_owned(),
            trainer: serde_json::to_value(&self.config).map_err(unwritable)?,
            config: self.run_config.clone(),
        })
    }

    /// Makes sure that the files can be written, and hold nothing of the steps from here on.
    pub(super) fn open(&mut self) -> Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let step = self.progress.step;
        journal.open_from(step, self.unwritten.as_ref().map_or(step, |report| report.step))
    }

    /// Writes what could not be written when its step was done.
    fn flush(&mut self) -> Result<()> {
        if self.unwritten.is_some() {
            self.step()?;
        }
        Ok(())
    }
}
