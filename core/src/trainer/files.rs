//! The files that a run writes: opened before a step computes anything, and at the place where the run goes on.

use std::path::PathBuf;
use std::sync::Arc;

use super::{StepReport, Trainer};
use crate::Result;
use crate::checkpoint::{Lock, set_aside};
use crate::metrics::MetricsLog;

/// `metrics.jsonl`, opened when the first step begins: only then is it known where a resumed run goes on.
pub(super) struct MetricsFile {
    pub(super) path: PathBuf,
    pub(super) log: Option<MetricsLog>,
}

impl Trainer {
    /// Takes the lock of the folder for checkpoints, if there is one and it is not held yet.
    pub(super) fn lock(&mut self) -> Result<Option<Arc<Lock>>> {
        if let (None, Some(root)) = (&self.lock, &self.checkpoints) {
            self.lock = Some(Arc::new(Lock::acquire(root)?));
        }
        Ok(self.lock.clone())
    }

    /// Makes sure that the files can be written, and hold nothing of the steps from here on.
    pub(super) fn ready(&mut self) -> Result<()> {
        if self.ready {
            return Ok(());
        }
        self.lock()?;
        // Before the metrics are cut: a kill in between must not leave a checkpoint that the metrics do not reach.
        if let Some(root) = &self.checkpoints {
            set_aside(root, self.progress.step + 1)?;
        }
        let step = self.unwritten.as_ref().map_or(self.progress.step, |report| report.step);
        if let Some(file) = &mut self.metrics {
            file.log = Some(match step {
                0 => MetricsLog::create(&file.path)?,
                step => MetricsLog::resume(&file.path, step)?,
            });
        }
        self.ready = true;
        Ok(())
    }

    /// Writes the line of a step durably; after an error the file is to be opened anew.
    pub(super) fn log(&mut self, report: &StepReport) -> Result<()> {
        let Some(log) = self.metrics.as_mut().and_then(|file| file.log.as_mut()) else { return Ok(()) };
        let result = log.append(report.step, &report.metrics).and_then(|()| log.sync());
        self.ready = result.is_ok();
        result
    }

    /// Writes what could not be written when its step was done.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.unwritten.is_some() {
            self.step()?;
        }
        Ok(())
    }
}
