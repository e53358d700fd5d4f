//! One run of a recipe, from its config to the evaluations before and after.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use burn::tensor::Device;
use counterpoint::config::RunConfig;
use counterpoint::metrics::{Metrics, MetricsLog};
use counterpoint::trainer::Outcome;
use counterpoint::{Error, Event, Journal, Judged, Result, StopToken, Trainer};
use counterpoint_report::tensorboard::EventFile;
use counterpoint_unifybench::HeldOutTable;

use crate::{
    Cell, Delay, Progress, RunFolder, Stage, evaluation_sampler, evaluator, loaded, parts, report_run, save_grid,
};

/// The numbers of each step.
const METRICS: &str = "metrics.jsonl";
/// The resolved config.
pub(crate) const CONFIG: &str = "config.toml";
/// The weight files that it began from, with their revisions and hashes.
const WEIGHTS: &str = "weights.json";
/// The samples before training.
pub(crate) const BEFORE: &str = "before.json";
/// The samples after training; where it is, the run is done.
pub(crate) const AFTER: &str = "after.json";
/// The report, written last.
pub(crate) const REPORT: &str = "report.html";
/// Columns of the sample grids.
const COLUMNS: u32 = 8;

/// A run to be done, or to be gone on with.
pub struct Recipe<'a> {
    /// What to do.
    pub config: &'a RunConfig,
    /// What its relative paths are relative to.
    pub base: &'a Path,
    /// Where to compute.
    pub device: &'a Device,
    /// Asks for a stop on the next step boundary.
    pub stop: &'a StopToken,
    /// A run whose evaluation before training is this one's too (same seed, model, sampler and data), when it is there.
    pub before: Option<&'a RunFolder>,
}

/// A run that is done.
#[derive(Debug)]
pub struct Run {
    /// Where everything of it is.
    pub folder: RunFolder,
    /// The samples on the held-out half before training.
    pub before: Vec<Judged>,
    /// And after.
    pub after: Vec<Judged>,
}

impl Run {
    /// The metrics of its steps.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when they cannot be read.
    pub fn history(&self) -> Result<Vec<(u64, Metrics)>> {
        MetricsLog::read(&self.folder.path().join(METRICS))
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// All steps were done and evaluated.
    Completed(Run),
    /// It was asked to stop and kept a checkpoint after this many steps.
    Stopped(u64),
}

/// Who is told how a run goes on.
#[derive(Clone)]
pub enum Watch {
    /// A display that shows this run alone.
    Run(Progress),
    /// A count of the steps of many runs.
    Count(Arc<Stage>),
}

impl Recipe<'_> {
    /// Does the run in `folder`: evaluates, trains, evaluates, and leaves everything there. What an earlier call left of
    /// the same config is not done again.
    ///
    /// # Errors
    /// The first thing that went wrong. What was finished before is kept.
    pub fn run(&self, folder: RunFolder, watch: &Watch) -> Result<Ended> {
        let config_text = self.config.to_toml()?;
        let same = folder.has(CONFIG) && folder.read(CONFIG)? == config_text;
        if same && folder.has(AFTER) {
            watch.done_before(self.config.trainer.steps);
            let (before, after): (Vec<Judged>, Vec<Judged>) = (folder.read_json(BEFORE)?, folder.read_json(AFTER)?);
            if !folder.has(REPORT) {
                report_run(&folder, self.device, &before, Some(&after))?;
            }
            return Ok(Ended::Completed(Run { folder, before, after }));
        }

        // Models are read, and rewards look at all tasks.
        let preparing = watch.preparing();
        let parts = parts(self.config, self.base, self.device)?;
        let mut trainer = Trainer::new(parts, self.config.trainer.clone(), self.config.run.seed)?
            .with_run_config(&self.config.to_table()?)?;
        if let Some(evaluator) = evaluator(self.config, self.base, self.device)? {
            let section = &self.config.evaluation;
            trainer = trainer.with_evaluator(evaluator, section.every, section.best.as_deref());
        }
        if let Some(sampler) = evaluation_sampler(self.config, self.base, self.device)? {
            trainer = trainer.with_evaluation_sampler(sampler);
        }
        drop(preparing);
        let folder = folder.made(&self.config.run)?;
        if let Some(checkpoint) = folder.checkpoint()? {
            trainer = trainer.with_folder(folder.path());
            trainer.resume(&checkpoint)?;
            watch.resumed(&checkpoint, trainer.progress().step);
        } else {
            // What is there of a run was not kept in a checkpoint.
            trainer = trainer.with_journal(Journal::new(folder.path()).overwriting());
            if !(same && folder.has(BEFORE)) {
                // What is there is of another config.
                folder.remove(AFTER)?;
                folder.remove(BEFORE)?;
                folder.write(CONFIG, &config_text)?;
                folder.write_json(WEIGHTS, &loaded(self.config, self.base)?)?;
                self.evaluate_before(&folder, &mut trainer, watch)?;
            }
        }

        trainer.observe(events(&folder, trainer.progress().step)?);
        #[cfg(feature = "mlflow")]
        if let Some(mlflow) = crate::mlflow::mlflow(&folder, self.config)? {
            trainer.observe(mlflow);
        }
        #[cfg(feature = "opentelemetry")]
        if let Some(telemetry) = crate::telemetry::telemetry(&self.config.run.name)? {
            trainer.observe(telemetry);
        }
        watch.start(self.config, trainer.progress().step);
        let shown = watch.clone();
        trainer.on_event(move |event| shown.show(event));
        let outcome = catch_unwind(AssertUnwindSafe(|| trainer.run(self.stop))).map_err(|panic| {
            let steps = trainer.progress().step;
            Error::panicked(panic.as_ref())
                .at(format_args!("broken off after {steps} steps, which are in a checkpoint (--resume goes on)"))
        });
        let outcome = outcome.flatten()?;
        watch.finish();
        let before: Vec<Judged> = folder.read_json(BEFORE)?;
        if outcome == Outcome::Cancelled {
            report_run(&folder, self.device, &before, None)?;
            return Ok(Ended::Stopped(trainer.progress().step));
        }

        let after = watch.evaluate("after", &mut trainer)?;
        if !after.is_empty() {
            folder.write("held_out.json", &HeldOutTable::of(&before, &after)?.to_json()?)?;
        }
        folder.remove(AFTER)?;
        folder.remove(REPORT)?;
        folder.write(CONFIG, &config_text)?;
        let after = keep(&folder, "after", after)?;
        report_run(&folder, self.device, &before, Some(&after))?;
        Ok(Ended::Completed(Run { folder, before, after }))
    }

    fn evaluate_before(&self, folder: &RunFolder, trainer: &mut Trainer, watch: &Watch) -> Result<()> {
        match self.before.filter(|other| other.has(BEFORE)) {
            Some(other) => folder.write(BEFORE, &other.read(BEFORE)?),
            None => keep(folder, "before", watch.evaluate("before", trainer)?).map(|_| ()),
        }
    }
}

/// TensorBoard's file of a run with so many steps behind it.
fn events(folder: &RunFolder, done: u64) -> Result<EventFile> {
    // What is there without a step behind it is another run's, and is put aside.
    let mut history = match done > 0 && folder.has(METRICS) {
        true => MetricsLog::read(&folder.path().join(METRICS))?,
        false => Vec::new(),
    };
    history.retain(|(step, _)| *step < done);
    let seconds: f64 = history.iter().map(|(_, metrics)| metrics.seconds()).sum();
    let spent = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let started = SystemTime::now().checked_sub(spent).unwrap_or(SystemTime::UNIX_EPOCH);
    EventFile::new(folder.path(), started, &history)
}

/// Keeps an evaluation in the run's folder: its images with prompt and reasoning, and its samples, which go on without images.
fn keep(folder: &RunFolder, name: &str, mut samples: Vec<Judged>) -> Result<Vec<Judged>> {
    let mut cells = Vec::new();
    for of_task in samples.chunk_by(|a, b| a.task == b.task) {
        // The first of each task.
        let sample = &of_task[0];
        if let Some(image) = &sample.image {
            folder.write_image(&format!("samples/{name}/{:03}.png", sample.task), image)?;
            cells.push(Cell { image: image.as_ref().clone(), caption: caption(sample) });
        }
    }
    if !cells.is_empty() {
        save_grid(&cells, COLUMNS, &folder.path().join("samples").join(format!("{name}.png")))?;
    }
    folder.write_json(&format!("{name}.json"), &samples)?;
    samples.iter_mut().for_each(|sample| sample.image = None);
    Ok(samples)
}

fn caption(sample: &Judged) -> String {
    let image = sample.score("image").or_else(|| sample.score("painting/image"));
    let verdict = match (image, sample.rewards.get("reward")) {
        (Some(right), _) => format!("image: {}", if right == 1.0 { "right" } else { "wrong" }),
        (None, Some(reward)) => format!("reward: {reward:.3}"),
        (None, None) => "no reward".to_owned(),
    };
    let said = if sample.given { "given" } else { "IR" };
    format!("{}\n{said}: {}\ntruth: {}\n{verdict}", sample.prompt, sample.response, sample.answer)
}

impl Watch {
    /// No samples without an evaluator.
    fn evaluate(&self, name: &str, trainer: &mut Trainer) -> Result<Vec<Judged>> {
        let tasks = trainer.evaluator().map(|evaluator| evaluator.tasks().len() as u64);
        let stage = match (self, tasks) {
            (Self::Run(progress), Some(tasks)) => Some(progress.stage(name, tasks)),
            _ => None,
        };
        Ok(trainer.evaluate(&mut || stage.iter().for_each(Stage::inc))?.unwrap_or_default())
    }

    fn preparing(&self) -> Option<Delay> {
        match self {
            Self::Run(progress) => Some(progress.delayed("preparing")),
            Self::Count(_) => None,
        }
    }

    fn resumed(&self, checkpoint: &Path, step: u64) {
        if let Self::Run(progress) = self {
            progress.resumed(checkpoint, step);
        }
    }

    fn start(&self, config: &RunConfig, done: u64) {
        match self {
            Self::Run(progress) => progress.start(&config.run.name, &config.trainer, done),
            Self::Count(_) => self.done_before(done),
        }
    }

    fn show(&self, event: &Event<'_>) {
        match (self, event) {
            (Self::Run(progress), event) => progress.show(event),
            (Self::Count(stage), Event::Step(_)) => stage.inc(),
            _ => {}
        }
    }

    fn done_before(&self, steps: u64) {
        if let Self::Count(stage) = self {
            (0..steps).for_each(|_| stage.inc());
        }
    }

    fn finish(&self) {
        if let Self::Run(progress) = self {
            progress.finish();
        }
    }
}
