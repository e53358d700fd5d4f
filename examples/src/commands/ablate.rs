//! What each part of Sync-R1 is worth: the recipe with one part left out at a time, on the same seeds and budget.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use counterpoint::config::{RunConfig, nearest};
use counterpoint::metrics::Metrics;
use counterpoint::{Error, Judged, Result};
use counterpoint_report::Arm as ReportArm;
use counterpoint_unifybench::statistics::Moments;
use counterpoint_unifybench::{AblationTable, Arm, Cells, GeneralisationTable, Without};
use serde::Deserialize;

use crate::args::built_in;
use crate::{
    Done, Invocation, OutputMode, Planned, Progress, RecipeArgs, Repeat, Run, RunFolder, report_runs, stop_on_signals,
};

const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sync_r1.toml");
const ARMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ablate.toml");
const AVERAGES: &str = "mean over the steps of a run; mean and standard deviation over seeds";
const LEFT_OUT: &str = "tasks about what a training went without (data.without), and all others; p of the paired t-test over seeds, \
                        Holm's correction over both trainings";
/// Seeds when `--seeds` says nothing.
const SEEDS: u64 = 5;

/// What is to be compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    /// The folder in `runs/` that gets the tables.
    name: String,
    /// Keys that all arms change, the full recipe included; `{seed}` stands for the run's seed.
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
    /// `{seed}` stands for the run's seed.
    set: Vec<String>,
}

/// Options of the ablations.
#[derive(Debug, Parser)]
pub struct AblateArgs {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// What is to be compared with what.
    #[arg(long, value_name = "FILE", default_value = ARMS)]
    plan: PathBuf,
    /// Only these arms of the plan, by their ids, besides the full recipe.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    arms: Vec<String>,
}

impl AblateArgs {
    /// Whom it talks to.
    pub fn output(&self) -> OutputMode {
        self.recipe.output()
    }
}

/// Does the plan that `args` name, arm by arm and seed by seed, and leaves tables and a report in the plan's folder. `program` is what goes
/// on with it.
///
/// # Errors
/// The first thing that went wrong; runs that were done before stay done.
pub fn run(args: &AblateArgs, program: Invocation, progress: &Progress) -> Result<Done> {
    let AblateArgs { recipe: args, plan: path, arms } = args;
    let started = Instant::now();
    let plan = Plan::load(path)?;
    let full = Variant { id: "full".to_owned(), name: "full".to_owned(), set: Vec::new() };
    let variants: Vec<Variant> = [full].into_iter().chain(plan.chosen(arms, path)?).collect();

    let named = [&plan.budget[..], &[format!("run.name={}", toml::Value::from(plan.name.as_str()))]].concat();
    let (recipe, base) = args.load_with(Path::new(RECIPE), &of_seed(&named, args.seed.unwrap_or(0)))?;
    let folder = args.folder(&recipe)?;
    let seeds = args.seeds(&recipe, SEEDS);

    let mut planned: Vec<Planned> = Vec::new();
    for variant in &variants {
        for (i, &seed) in seeds.iter().enumerate() {
            let set = of_seed(&[&plan.budget[..], &variant.set].concat(), seed);
            let (config, _) = args.load_with(Path::new(RECIPE), &set).map_err(|e| e.at(&variant.name))?;
            let one = one(config, &variant.id, seed, &folder, planned.get(i))?;
            planned.push(one);
        }
    }

    let stop = stop_on_signals(progress)?;
    let device = args.device(&recipe)?;
    let repeat = Repeat { base: &base, device: &device, stop: &stop, jobs: args.jobs(&device), progress };
    let Some(runs) = repeat.run(&format!("{} arms, {} seeds", variants.len(), seeds.len()), &planned)? else {
        let other = if path == Path::new(ARMS) { String::new() } else { format!(" --plan {}", path.display()) };
        let arms = if arms.is_empty() { String::new() } else { format!(" --arms {}", arms.join(",")) };
        progress.stopped_runs(&(args.resume_command(program) + &other + &arms));
        return Ok(Done::Stopped);
    };

    let arms = Arms::of(&variants, &planned, &runs, seeds.len())?;
    let table = arms.table()?;
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
    let without = without(&planned, seeds.len());
    if without.iter().any(|words| !words.is_empty()) {
        let table = arms.generalisation(&without)?;
        folder.write("generalisation.md", &table.to_string())?;
        folder.write_json("generalisation.json", &table)?;
        progress.table(&table, LEFT_OUT);
        tables.push(("Generalisation", table.cells(), LEFT_OUT));
    }
    report_runs(&folder, &device, &recipe.to_toml()?, curves(&variants, &runs, seeds.len())?, &tables, Vec::new())?;
    progress.table(&table, &caption);
    progress.done(folder.path());
    Ok(Done::Completed)
}

impl Plan {
    fn load(path: &Path) -> Result<Self> {
        if path == Path::new(ARMS) {
            built_in(path, "--plan")?;
        }
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

/// What is set, of a run with this seed.
fn of_seed(set: &[String], seed: u64) -> Vec<String> {
    set.iter().map(|set| set.replace("{seed}", &seed.to_string())).collect()
}

/// One arm on one seed, in `runs/<plan>/<arm>/seed-<n>/`. Where it begins as the full recipe does, the evaluation before training is
/// that one's.
fn one(mut config: RunConfig, arm: &str, seed: u64, folder: &RunFolder, full: Option<&Planned>) -> Result<Planned> {
    config.run.seed = seed;
    config.run.name = format!("{arm}-seed-{seed}");
    let folder = RunFolder::at(folder.path().join(arm).join(format!("seed-{seed}")))?;
    let before = full.filter(|full| model(&full.config) == model(&config)).map(|full| full.folder.clone());
    Ok(Planned { config, folder, before })
}

/// What a policy is before anything of it is trained.
fn model(config: &RunConfig) -> toml::Table {
    let mut settings = config.policy.settings.clone();
    settings.remove("trainable");
    settings
}

/// What the training of each variant went without (`data.without`), variant by variant.
fn without(planned: &[Planned], seeds: usize) -> Vec<Vec<String>> {
    let words = |of_variant: &[Planned]| {
        let words = of_variant[0].config.data.settings.get("without").and_then(|words| words.as_array().cloned());
        words.unwrap_or_default().iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    planned.chunks(seeds).map(words).collect()
}

/// What the models of each variant make of the held-out half, and what they do before training.
struct Arms<'a> {
    /// Name, samples seed by seed, seconds: of the full recipe, then of those that begin otherwise.
    untrained: Vec<(String, Vec<&'a [Judged]>, f64)>,
    trained: Vec<(String, Vec<&'a [Judged]>, f64)>,
}

impl<'a> Arms<'a> {
    /// Of `runs`, variant by variant and seed by seed; the first variant is the full recipe.
    fn of(variants: &[Variant], planned: &[Planned], runs: &'a [Run], seeds: usize) -> Result<Self> {
        let (mut untrained, mut trained) = (Vec::new(), Vec::new());
        for (i, (variant, runs)) in variants.iter().zip(runs.chunks(seeds)).enumerate() {
            let before = || runs.iter().map(|run| run.before.as_slice()).collect();
            match planned[i * seeds].before {
                _ if i == 0 => untrained.push(("no training".to_owned(), before(), 0.0)),
                None => untrained.push((format!("{}, no training", variant.name), before(), 0.0)),
                Some(_) => {}
            }
            let after = runs.iter().map(|run| run.after.as_slice()).collect();
            trained.push((variant.name.clone(), after, seconds(runs)?));
        }
        Ok(Self { untrained, trained })
    }

    fn untrained(&self) -> Vec<Arm<'_>> {
        arms(&self.untrained)
    }

    fn trained(&self) -> Vec<Arm<'_>> {
        arms(&self.trained)
    }

    /// Each against the full recipe, and so what no training gives.
    fn table(&self) -> Result<AblationTable> {
        let trained = self.trained();
        AblationTable::of(trained[0], &[&self.untrained(), &trained[1..]].concat())
    }

    /// Tasks about what the variants went without (`without`, variant by variant), apart from the rest.
    fn generalisation(&self, without: &[Vec<String>]) -> Result<GeneralisationTable> {
        let trained = self.trained();
        let arms = without.iter().zip(&trained).filter(|(words, _)| !words.is_empty());
        let arms: Vec<Without<'_>> = arms.map(|(words, arm)| Without { words, arm: *arm }).collect();
        GeneralisationTable::of(self.untrained()[0], trained[0], &arms)
    }
}

fn arms<'a>(of: &'a [(String, Vec<&[Judged]>, f64)]) -> Vec<Arm<'a>> {
    of.iter().map(|(name, runs, seconds)| Arm { name, runs, seconds: *seconds }).collect()
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
