//! Several runs that belong together: seeds of one recipe, arms of an ablation.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use counterpoint::config::RunConfig;
use counterpoint::{Result, StopToken};

use crate::{Ended, Progress, Recipe, Run, RunFolder, Watch, parallel};

/// How several runs are done.
pub struct Repeat<'a> {
    /// What relative paths of the configs are relative to.
    pub base: &'a Path,
    /// Where to compute.
    pub device: &'a Device,
    /// Asks all runs for a stop on their next step boundary.
    pub stop: &'a StopToken,
    /// Runs side by side.
    pub jobs: usize,
    /// Is told how many steps are done.
    pub progress: &'a Progress,
}

/// One of several runs.
pub struct Planned {
    /// What to do.
    pub config: RunConfig,
    /// Where it is kept.
    pub folder: RunFolder,
    /// A run whose evaluation before training is this one's too, when it is there by then.
    pub before: Option<RunFolder>,
}

impl Repeat<'_> {
    /// Does all of `planned`, those that are done already excepted; `None` when it was stopped, with checkpoints.
    ///
    /// # Errors
    /// The first error of a run, with the run's name. Runs that were done by then stay done.
    pub fn run(&self, title: &str, planned: &[Planned]) -> Result<Option<Vec<Run>>> {
        let steps = planned.iter().map(|run| run.config.trainer.steps).sum();
        let watch = Watch::Count(Arc::new(self.progress.stage(title, steps)));
        let ended = parallel(self.jobs, planned, |run| {
            let recipe = Recipe {
                config: &run.config,
                base: self.base,
                device: self.device,
                stop: self.stop,
                before: run.before.as_ref(),
            };
            recipe.run(run.folder.clone(), &watch).map_err(|e| e.at(&run.config.run.name))
        })?;
        let completed = |ended| match ended {
            Ended::Completed(run) => Some(run),
            Ended::Stopped(_) => None,
        };
        Ok(ended.into_iter().map(completed).collect())
    }
}
