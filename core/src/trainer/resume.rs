//! Checkpoints of a run, and going on from one.

use std::path::Path;

use super::{Event, Progress, Trainer};
use crate::checkpoint::{Keep, Reader, TrainerState, Writer};
use crate::{Error, Result};

impl Trainer {
    /// Writes a checkpoint now, unless this step has one already or no folder for checkpoints was given.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when another process or trainer writes to the folder;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when a file cannot be written; earlier checkpoints stay as they are.
    pub fn save(&mut self) -> Result<()> {
        self.flush()?;
        self.save_with(None)
    }

    /// Writes a checkpoint whose rank for `keep_best` is `reward`.
    pub(super) fn save_with(&mut self, reward: Option<f64>) -> Result<()> {
        let step = self.progress.step;
        if self.saved_at == Some(step) {
            return Ok(());
        }
        let Some(lock) = self.lock()? else { return Ok(()) };
        let mut writer = Writer::under(lock, step)?;
        self.parts.policy.learner().save(writer.dir())?;
        self.state()?.write(writer.dir())?;
        if let Some(reward) = reward {
            writer.metric(reward);
        }
        let path = writer.commit(Keep { last: self.config.keep_last, best: self.config.keep_best })?;
        self.saved_at = Some(step);
        self.emit(&Event::Checkpoint { step, path: &path });
        Ok(())
    }

    /// Goes on from the checkpoint in `dir`: parameters, optimizer, filter, counters and cursor. The run that follows
    /// equals the uninterrupted one bit for bit.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when it is damaged, from a newer version, or of another
    /// run; the error names the file and, where it is damaged, the previous intact checkpoint. Of the same kind when
    /// another process or trainer writes to this trainer's own folder. The trainer is then unchanged.
    pub fn resume(&mut self, dir: &Path) -> Result<()> {
        self.lock()?;
        let reader = Reader::open(dir)?;
        let state = TrainerState::read(&reader)?;
        state.check_same_run(self.parts.policy.kind(), self.streams.seed(), &self.config_text)?;
        let progress: Progress = serde_json::from_value(state.counters.clone())
            .map_err(|e| Error::checkpoint(format!("{}: unreadable counters", dir.display())).with_source(e))?;
        let before = self.parts.filter.state();
        self.parts.filter.restore(&state.filter)?;
        if let Err(e) = self.parts.policy.learner().load(reader.dir()) {
            self.parts.filter.restore(&before)?;
            return Err(e);
        }
        self.progress = progress;
        // Opened again at the next step, without what the run wrote of the steps that are now to be done again.
        self.ready = false;
        self.unwritten = None;
        self.saved_at = Some(progress.step);
        Ok(())
    }

    fn state(&self) -> Result<TrainerState> {
        let counters = serde_json::to_value(self.progress)
            .map_err(|e| Error::checkpoint("cannot represent the run's counters").with_source(e))?;
        Ok(TrainerState {
            step: self.progress.step,
            task_cursor: self.progress.cursor,
            seed: self.streams.seed(),
            filter: self.parts.filter.state(),
            counters,
            policy: self.parts.policy.kind().to_owned(),
            config: self.config_text.clone(),
        })
    }
}
