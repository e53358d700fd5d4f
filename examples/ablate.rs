//! What each part of Sync-R1 is worth: the recipe with one part left out at a time, on the same seeds and budget.
//!
//! `cargo run --release --example ablate` does what `examples/ablate.toml` lists with five seeds and leaves the tables in
//! `runs/ablation/`. Stopped, it goes on with `--resume`. Other comparisons are other files: `--plan examples/estimators.toml`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use counterpoint::config::{RunConfig, nearest};
use counterpoint::metrics::Metrics;
use counterpoint::{Error, Judged, Result};
use counterpoint_examples::{
    Planned, Progress, RecipeArgs, Repeat, Run, RunFolder, report_runs, start, stop_on_signals,
};
use counterpoint_report::Arm as ReportArm;
use counterpoint_unifybench::statistics::Moments;
use counterpoint_unifybench::{AblationTable, Arm, Cells};
use serde::Deserialize;

const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sync_r1.toml");
const ARMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ablate.toml");
const AVERAGES: &str = "mean over the steps of a run; mean and standard deviation over seeds";
/// Seeds when `--seeds` says nothing.
const SEEDS: u64 = 5;

/// What is to be compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    /// The folder in `runs/` that gets the tables.
    name: String,
    /// Keys that all arms change, the full recipe included.
    budget: Vec<String>,
    /// Metrics of the steps to be shown besides, averaged over a run, such as `signal/generation`.
    #[serde(default)]
    metrics: Vec<String>,
    arms: Vec<Variant>,
}

/// The recipe with some keys changed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    /// Its folder, and its name on the command line.
    id: String,
    /// Its name in tables.
    name: String,
    set: Vec<String>,
}

/// Options of the ablations.
#[derive(Debug, Parser)]
struct AblateArgs {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// What is to be compared with what.
    #[arg(long, value_name = "FILE", default_value = ARMS)]
    plan: PathBuf,
    /// Only these arms of the plan, by their ids, besides the full recipe.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    arms: Vec<String>,
}

fn main() -> ExitCode {
    start(|args: &AblateArgs| args.recipe.output(), run)
}

fn run(AblateArgs { recipe: args, plan: path, arms }: &AblateArgs, progress: &Progress) -> Result<()> {
    let started = Instant::now();
    let plan = Plan::load(path)?;
    let full = Variant { id: "full".to_owned(), name: "full".to_owned(), set: Vec::new() };
    let variants: Vec<Variant> = [full].into_iter().chain(plan.chosen(arms, path)?).collect();

    let named = [&plan.budget[..], &[format!("run.name={}", toml::Value::from(plan.name.as_str()))]].concat();
    let (recipe, base) = args.load_with(Path::new(RECIPE), &named)?;
    let folder = args.folder(&recipe)?;
    let seeds = args.seeds(&recipe, SEEDS);

    let mut planned = Vec::new();
    for variant in &variants {
        let set: Vec<String> = plan.budget.iter().chain(&variant.set).cloned().collect();
        let (config, _) = args.load_with(Path::new(RECIPE), &set).map_err(|e| e.at(&variant.name))?;
        for &seed in &seeds {
            planned.push(one(&config, &variant.id, seed, &folder)?);
        }
    }

    let stop = stop_on_signals(progress)?;
    let device = args.device(&recipe)?;
    let repeat = Repeat { base: &base, device: &device, stop: &stop, jobs: args.jobs(&device), progress };
    let Some(runs) = repeat.run(&format!("{} arms, {} seeds", variants.len(), seeds.len()), &planned)? else {
        let other = if path == Path::new(ARMS) { String::new() } else { format!(" --plan {}", path.display()) };
        let arms = if arms.is_empty() { String::new() } else { format!(" --arms {}", arms.join(",")) };
        progress.stopped_runs(&(args.resume_command("ablate") + &other + &arms));
        return Ok(());
    };

    let table = table(&variants, &runs, seeds.len())?;
    folder.write("ablation.md", &table.to_string())?;
    folder.write("ablation.csv", &table.to_csv()?)?;
    folder.write_json("ablation.json", &table)?;
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    let caption = format!(
        "shares in % on the held-out half; p of the paired t-test over {} seeds, Holm's correction over arms for each score; \
         {minutes:.1} minutes",
        seeds.len()
    );
    let mut tables = vec![("Ablations", table.cells(), caption.as_str())];
    if !plan.metrics.is_empty() {
        let metrics = averages(&plan.metrics, &variants, &runs, seeds.len())?;
        folder.write("metrics.md", &metrics.to_string())?;
        progress.table(&metrics, AVERAGES);
        tables.push(("Metrics of the steps", metrics, AVERAGES));
    }
    report_runs(&folder, &device, &recipe.to_toml()?, curves(&variants, &runs, seeds.len())?, &tables, Vec::new())?;
    progress.table(&table, &caption);
    progress.done(folder.path());
    Ok(())
}

impl Plan {
    fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
        toml::from_str(&text).map_err(|e| Error::config(format!("{}: {e}", path.display())))
    }

    /// The arms of these ids, all when there are none.
    fn chosen(&self, ids: &[String], path: &Path) -> Result<Vec<Variant>> {
        if ids.is_empty() {
            return Ok(self.arms.clone());
        }
        let one = |id: &String| {
            let known = || self.arms.iter().map(|arm| arm.id.as_str());
            self.arms.iter().find(|arm| arm.id == *id).cloned().ok_or_else(|| {
                let hint = nearest(id, known()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                let (path, known) = (path.display(), known().collect::<Vec<_>>().join(", "));
                Error::config(format!("--arms: expected ids of {path}, got `{id}`{hint} (arms: {known})"))
            })
        };
        ids.iter().map(one).collect()
    }
}

/// One arm on one seed, in `runs/<plan>/<arm>/seed-<n>/`.
fn one(config: &RunConfig, arm: &str, seed: u64, folder: &RunFolder) -> Result<Planned> {
    let mut config = config.clone();
    config.run.seed = seed;
    config.run.name = format!("{arm}-seed-{seed}");
    let place = |arm: &str| RunFolder::at(folder.path().join(arm).join(format!("seed-{seed}")));
    // Nothing is trained yet: the evaluation before training is that of the full recipe.
    Ok(Planned { config, folder: place(arm)?, before: Some(place("full")?) })
}

/// `runs`, variant by variant and seed by seed, against the first variant; and what no training gives.
fn table(variants: &[Variant], runs: &[Run], seeds: usize) -> Result<AblationTable> {
    let of_arms: Vec<&[Run]> = runs.chunks(seeds).collect();
    let samples: Vec<Vec<&[Judged]>> =
        of_arms.iter().map(|runs| runs.iter().map(|run| run.after.as_slice()).collect()).collect();
    let untrained: Vec<&[Judged]> = of_arms[0].iter().map(|run| run.before.as_slice()).collect();
    let mut arms = vec![Arm { name: "no training", runs: &untrained, seconds: 0.0 }];
    for ((variant, samples), runs) in variants.iter().zip(&samples).zip(&of_arms) {
        arms.push(Arm { name: &variant.name, runs: samples, seconds: seconds(runs)? });
    }
    let full = arms.remove(1);
    AblationTable::of(full, &arms)
}

/// The curves of each variant, means over seeds.
fn curves(variants: &[Variant], runs: &[Run], seeds: usize) -> Result<Vec<ReportArm>> {
    let of = |(variant, runs): (&Variant, &[Run])| {
        let logs = runs.iter().map(Run::history).collect::<Result<Vec<_>>>()?;
        Ok(ReportArm::new(&variant.name, logs.iter().map(Vec::as_slice)))
    };
    variants.iter().zip(runs.chunks(seeds)).map(of).collect()
}

/// What `names` were on average: variant by variant, mean and standard deviation over seeds of a run's mean.
fn averages(names: &[String], variants: &[Variant], runs: &[Run], seeds: usize) -> Result<Cells> {
    let mut rows = Vec::new();
    for (variant, runs) in variants.iter().zip(runs.chunks(seeds)) {
        let logs = runs.iter().map(Run::history).collect::<Result<Vec<_>>>()?;
        let shown = |name: &String| {
            let mean = |log: &Vec<(u64, Metrics)>| {
                let values: Vec<f64> = log.iter().filter_map(|(_, metrics)| metrics.get(name)).collect();
                (!values.is_empty()).then(|| Moments::of(&values).mean)
            };
            let means: Vec<f64> = logs.iter().filter_map(mean).collect();
            let Moments { mean, std } = Moments::of(&means);
            if means.is_empty() { "-".to_owned() } else { format!("{mean:.4} ± {std:.4}") }
        };
        rows.push([variant.name.clone()].into_iter().chain(names.iter().map(shown)).collect());
    }
    Ok(Cells { header: ["arm".to_owned()].into_iter().chain(names.iter().cloned()).collect(), rows })
}

/// Mean time of the steps of a run.
fn seconds(runs: &[Run]) -> Result<f64> {
    let mut sum = 0.0;
    for run in runs {
        sum += run.history()?.iter().map(|(_, metrics)| metrics.seconds()).sum::<f64>();
    }
    Ok(sum / runs.len().max(1) as f64)
}
