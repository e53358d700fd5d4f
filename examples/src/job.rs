//! The main job of a recipe: one run, or one for each of several seeds, with its tables and report.

use std::path::Path;

use counterpoint::config::RunConfig;
use counterpoint::{Result, StopToken};
use counterpoint_report::Arm;
use counterpoint_unifybench::{AgreementTable, HeldOutTable, RepeatedTable};

use crate::{
    Done, Ended, Invocation, Planned, Progress, Recipe, RecipeArgs, Repeat, Run, RunFolder, Watch, report_runs,
    stop_on_signals,
};

const TABLE: &str = "shares in %, verified by the renderer's truth; mean and standard deviation over runs; bootstrap interval over \
                     runs and tasks; p of the paired t-test over runs, Holm's correction over the main claims";
const AGREEMENT: &str =
    "AUC: how often a reward ranks a right sample above a wrong one, before and after training; 0.5 is chance";

/// Trains by the recipe that `args` name, or by the one at `default`, evaluates before and after, and leaves everything in the run's folder.
/// With `--seeds N` it does so N times and says how sure the change is. `program` is what goes on with it.
///
/// # Errors
/// The first thing that went wrong; what was finished before is kept.
pub fn job(args: &RecipeArgs, default: &Path, program: Invocation, progress: &Progress) -> Result<Done> {
    let (config, base) = args.load(default)?;
    let stop = stop_on_signals(progress)?;
    let job = Job { args, config: &config, base: &base, stop: &stop, program, progress };
    let done = if args.seeds.is_some() { job.repeated() } else { job.once() };
    done.map_err(|e| args.located(default, e))
}

struct Job<'a> {
    args: &'a RecipeArgs,
    config: &'a RunConfig,
    base: &'a Path,
    stop: &'a StopToken,
    program: Invocation,
    progress: &'a Progress,
}

impl Job<'_> {
    fn once(&self) -> Result<Done> {
        let Self { args, config, base, stop, progress, .. } = *self;
        let folder = args.planned_folder(config)?;
        let recipe = Recipe { config, base, device: &args.device(config)?, stop, before: None };
        match recipe.run(folder, &Watch::Run(progress.clone()))? {
            Ended::Stopped(step) => {
                progress.stopped(step, &args.resume_command(self.program));
                return Ok(Done::Stopped);
            }
            Ended::Completed(run) => {
                if !run.after.is_empty() {
                    let table = HeldOutTable::of(&run.before, &run.after)?;
                    progress.table(&table, table.unit());
                }
                progress.done(run.folder.path());
            }
        }
        Ok(Done::Completed)
    }

    /// One run for each seed, in `runs/<name>-seeds/seed-<n>/`.
    fn repeated(&self) -> Result<Done> {
        let Self { args, config, base, stop, progress, .. } = *self;
        let mut all = config.clone();
        all.run.name = format!("{}-seeds", config.run.name);
        let folder = args.folder(&all)?;
        let planned = args.seeds(config, 1).into_iter().map(|seed| {
            let mut config = config.clone();
            config.run.seed = seed;
            config.run.name = format!("seed-{seed}");
            let folder = RunFolder::at(folder.path().join(&config.run.name))?;
            Ok(Planned { config, folder, before: None })
        });
        let planned = planned.collect::<Result<Vec<_>>>()?;
        let device = args.device(config)?;
        let repeat = Repeat { base, device: &device, stop, jobs: args.jobs(&device), progress };
        let Some(runs) = repeat.run(&format!("{} runs", planned.len()), &planned)? else {
            progress.stopped_runs(&args.resume_command(self.program));
            return Ok(Done::Stopped);
        };

        let samples = runs.iter().flat_map(|run| run.before.iter().chain(&run.after));
        let agreement = AgreementTable::of(samples);
        let histories = runs.iter().map(Run::history).collect::<Result<Vec<_>>>()?;
        let mean = Arm::new("mean over seeds", histories.iter().map(Vec::as_slice));
        let runs: Vec<_> = runs.iter().map(|run| (run.before.as_slice(), run.after.as_slice())).collect();
        let table = RepeatedTable::of(&runs)?;
        folder.write_json("repeated.json", &table)?;
        folder.write_json("agreement.json", &agreement)?;
        let mut tables = vec![("Held-out half", table.cells(), TABLE)];
        if !agreement.rows.is_empty() {
            tables.push(("Rewards against the truth", agreement.cells(), AGREEMENT));
            progress.table(&agreement, AGREEMENT);
        }
        report_runs(&folder, &device, &config.to_toml()?, vec![mean], &tables, Vec::new())?;
        progress.table(&table, TABLE);
        progress.done(folder.path());
        Ok(Done::Completed)
    }
}
