//! UnifyBench++: recognition, questions, plain, knowledge-driven and dense generation of a model, trained or not.
//!
//! `cargo run --release --example evaluate -- runs/sync_r1` compares a run with the model that it began from and leaves tables,
//! images and a report in `runs/evaluation/`. What is measured is said by `examples/evaluate.toml`, or by `--measures FILE`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::Device;
use clap::Parser;
use counterpoint::checkpoint::{Reader, latest};
use counterpoint::config::{EvaluationSection, RunConfig, load};
use counterpoint::{Error, Judged, Result, Trainer, device};
use counterpoint_examples::{
    Cell, Progress, RecipeArgs, RunFolder, Stage, evaluation_sampler, evaluator, parts, report_runs, save_grid, start,
};
use counterpoint_report::{Answer, Cell as Shown, Gallery};
use counterpoint_unifybench::{Method, MethodTable};
use serde::{Deserialize, Serialize};

const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sync_r1.toml");
const MEASURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/evaluate.toml");
/// The model as it begins, in tables.
const UNTRAINED: &str = "untrained";
const SAMPLES: &str = "samples.json";
const DONE: &str = "model.json";
const TABLE: &str =
    "means over tasks and runs; in parentheses the 95 % bootstrap interval over tasks, of several runs their deviation";
const DIFFERENCES: &str = "95 % bootstrap interval over runs and tasks; p of the paired t-test over runs, Holm's correction over a \
                           method's measures";
/// Tasks of which images are shown side by side.
const SHOWN: usize = 24;
/// Images in a row of the grid, about.
const COLUMNS: usize = 8;

/// Options of the evaluation.
#[derive(Debug, Parser)]
struct EvaluateArgs {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// What is measured: a file with the table `[evaluation]`; its paths are relative to the recipe's config.
    #[arg(long, value_name = "FILE", default_value = MEASURES)]
    measures: PathBuf,
    /// Leaves the model as it begins out of the comparison.
    #[arg(long)]
    no_untrained: bool,
    /// Runs, or checkpoints of runs, with a name for the table in front or that of the folder without one; several of one name are
    /// runs of one method.
    #[arg(value_name = "[NAME=]RUN")]
    runs: Vec<String>,
}

/// One model to be evaluated.
struct Model {
    method: String,
    config: RunConfig,
    checkpoint: Option<PathBuf>,
}

/// What the file of measures says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasuresFile {
    evaluation: EvaluationSection,
}

/// What some samples are of: where all of it is the same they are not drawn again.
#[derive(PartialEq, Serialize, Deserialize)]
struct Done {
    config: String,
    /// The checkpoint's list of files with their hashes.
    checkpoint: Option<String>,
}

fn main() -> ExitCode {
    start(|args: &EvaluateArgs| args.recipe.output(), run)
}

fn run(args: &EvaluateArgs, progress: &Progress) -> Result<()> {
    let device = device::named(&args.recipe.device)?;
    let (recipe, base) = args.recipe.load_with(Path::new(RECIPE), &["run.name=evaluation".to_owned()])?;
    let models = models(args, &recipe)?;
    // An evaluation that was stopped, or lacks answers of a judge, is gone on with; nothing of another one is taken.
    let folder = RunFolder::at(recipe.run.output.join(&recipe.run.name))?;

    let mut judged: Vec<Vec<Judged>> = Vec::new();
    for model in &models {
        let own = RunFolder::at(folder.path().join(&model.method).join(format!("seed-{}", model.config.run.seed)))?;
        judged.push(evaluate(model, &base, &device, &own, progress).map_err(|e| e.at(&model.method))?);
    }
    let names: Vec<&str> = unique(models.iter().map(|model| model.method.as_str()));
    let of_method = |name: &&str| -> Vec<&[Judged]> {
        let own = models.iter().zip(&judged).filter(|(model, _)| model.method == *name);
        own.map(|(_, samples)| samples.as_slice()).collect()
    };
    let runs: Vec<Vec<&[Judged]>> = names.iter().map(of_method).collect();
    let methods: Vec<Method<'_>> = names.iter().zip(&runs).map(|(name, runs)| Method { name, runs }).collect();
    let table = MethodTable::of(&methods)?;

    folder.write("table.md", &table.to_string())?;
    folder.write("table.csv", &table.to_csv()?)?;
    folder.write_json("table.json", &table)?;
    let mut tables = vec![("Evaluation", table.cells(), TABLE)];
    if !table.differences.is_empty() {
        folder.write("differences.md", &table.difference_cells().to_string())?;
        tables.push(("Differences", table.difference_cells(), DIFFERENCES));
    }
    let gallery = side_by_side(&folder, &models, &judged, &names)?;
    report_runs(&folder, &device, &models[0].config.to_toml()?, Vec::new(), &tables, vec![gallery])?;
    progress.table(&table, TABLE);
    if !table.differences.is_empty() {
        progress.table(&table.difference_cells(), DIFFERENCES);
    }
    for missing in table.missing() {
        progress.note(&format!("{missing} have a score; the same command asks for the others"));
    }
    progress.done(folder.path());
    Ok(())
}

/// The models that `args` name, those that they began from first.
fn models(args: &EvaluateArgs, recipe: &RunConfig) -> Result<Vec<Model>> {
    let measures: MeasuresFile = load(&args.measures, &[])?;
    let mut trained = Vec::new();
    for argument in &args.runs {
        let (name, path) = match argument.split_once('=') {
            Some((name, path)) => (Some(name), Path::new(path)),
            None => (None, Path::new(argument)),
        };
        let (run, checkpoint) = found(path)?;
        let mut config = RunConfig::load(&run.join("config.toml"), &[])?;
        let method = name.map_or_else(|| config.run.name.clone(), str::to_owned);
        check_name(&method)?;
        config.evaluation = measures.evaluation.clone();
        trained.push(Model { method, config: overridden(&config, args)?, checkpoint: Some(checkpoint) });
    }
    let mut models = Vec::new();
    if !args.no_untrained || trained.is_empty() {
        let mut begun: Vec<RunConfig> = trained.iter().map(|model| model.config.clone()).collect();
        if begun.is_empty() {
            let mut config = recipe.clone();
            config.evaluation = measures.evaluation;
            begun.push(overridden(&config, args)?);
        }
        // Once for each seed.
        let seeds = unique(begun.iter().map(|config| config.run.seed));
        let of_seed = |seed| begun.iter().find(|config| config.run.seed == seed).cloned();
        let untrained = seeds.into_iter().filter_map(of_seed);
        models.extend(untrained.map(|config| Model { method: UNTRAINED.to_owned(), config, checkpoint: None }));
    }
    models.extend(trained);
    Ok(models)
}

/// `config` with the keys of `--set`, and with nothing in it that is not about what is drawn and judged.
fn overridden(config: &RunConfig, args: &EvaluateArgs) -> Result<RunConfig> {
    let mut set = args.recipe.set.clone();
    set.extend(args.recipe.seed.map(|seed| format!("run.seed={seed}")));
    set.extend(["run.name=evaluation", "run.output=runs"].map(str::to_owned));
    RunConfig::from_toml(&config.to_toml()?, &set)
}

/// The run's folder and the checkpoint that `path` is, or its newest.
fn found(path: &Path) -> Result<(PathBuf, PathBuf)> {
    if path.join("manifest.json").is_file() {
        let run = path.parent().and_then(Path::parent).unwrap_or(path);
        return Ok((run.to_owned(), path.to_owned()));
    }
    match latest(&path.join("checkpoints"))? {
        Some(checkpoint) => Ok((path.to_owned(), checkpoint)),
        None => Err(Error::checkpoint(format!(
            "expected the folder of a run with a checkpoint, or a checkpoint, got {}",
            path.display()
        ))),
    }
}

/// It names a folder too.
fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) || name == UNTRAINED {
        return Err(Error::config(format!(
            "expected a name for a line of the table that is no `{UNTRAINED}` and has no `/`, `\\` or leading dot, got `{name}`"
        )));
    }
    Ok(())
}

fn unique<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.fold(Vec::new(), |mut known, item| {
        if !known.contains(&item) {
            known.push(item);
        }
        known
    })
}

/// The samples of `model`, from `folder` where they are there and complete.
fn evaluate(
    model: &Model,
    base: &Path,
    device: &Device,
    folder: &RunFolder,
    progress: &Progress,
) -> Result<Vec<Judged>> {
    let Model { method, config, checkpoint } = model;
    let reader = checkpoint.as_ref().map(|path| Reader::open(path)).transpose()?;
    let manifest = reader.as_ref().map(|reader| read(&reader.dir().join("manifest.json"))).transpose()?;
    let done = Done { config: config.to_toml()?, checkpoint: manifest };
    if folder.has(DONE) && folder.has(SAMPLES) && folder.read_json::<Done>(DONE)? == done {
        let samples: Vec<Judged> = folder.read_json(SAMPLES)?;
        if MethodTable::of(&[Method { name: method, runs: &[&samples] }])?.missing().is_empty() {
            return Ok(samples);
        }
    }
    folder.remove(DONE)?;
    let mut parts = parts(config, base, device)?;
    if let Some(reader) = &reader {
        let learner = parts.policy.learner();
        learner.configure(&config.trainer.optimizer());
        learner.load(reader.dir())?;
    }
    let judge = evaluator(config, base, device)?
        .ok_or_else(|| Error::config("evaluation.kind: expected an evaluator, got none"))?;
    let tasks = judge.tasks().len() as u64;
    let mut trainer = Trainer::new(parts, config.trainer.clone(), config.run.seed)?.with_evaluator(judge, 0, None);
    if let Some(sampler) = evaluation_sampler(config, base, device)? {
        trainer = trainer.with_evaluation_sampler(sampler);
    }
    let stage: Stage = progress.stage(&format!("{method}, seed {}", config.run.seed), tasks);
    let mut samples = trainer.evaluate(&mut || stage.inc())?.unwrap_or_default();
    for of_task in samples.chunk_by(|a, b| a.task == b.task) {
        for (number, image) in of_task.iter().enumerate().filter_map(|(i, sample)| Some((i, sample.image.as_ref()?))) {
            folder.write_image(&image_name(of_task[0].task, number), image)?;
        }
    }
    samples.iter_mut().for_each(|sample| sample.image = None);
    folder.write_json(SAMPLES, &samples)?;
    folder.write_json(DONE, &done)?;
    Ok(samples)
}

fn image_name(task: u64, number: usize) -> String {
    format!("images/{task:04}-{number}.png")
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))
}

/// The first image of some tasks by every method, in `side_by_side.png` and for the report.
fn side_by_side(folder: &RunFolder, models: &[Model], judged: &[Vec<Judged>], names: &[&str]) -> Result<Gallery> {
    let of_methods: Vec<(&Model, &Vec<Judged>)> =
        names.iter().filter_map(|name| models.iter().zip(judged).find(|(model, _)| model.method == *name)).collect();
    let image = |model: &Model, task: u64| {
        let own = folder.path().join(&model.method).join(format!("seed-{}", model.config.run.seed));
        let path = own.join(image_name(task, 0));
        let opened = path.is_file().then(|| image::open(&path)).transpose();
        opened
            .map(|i| i.map(image::DynamicImage::into_rgb8))
            .map_err(|e| Error::io("cannot read", &path, std::io::Error::other(e)))
    };
    let first: &[Judged] = judged.first().map_or(&[], Vec::as_slice);
    let mut painted: Vec<&Judged> = Vec::new();
    for of_task in first.chunk_by(|a, b| a.task == b.task) {
        if image(of_methods[0].0, of_task[0].task)?.is_some() {
            painted.push(&of_task[0]);
        }
    }
    let count = painted.len().min(SHOWN);
    let (mut grid, mut cells) = (Vec::new(), Vec::new());
    for sample in (0..count).map(|i| painted[i * painted.len() / count]) {
        let mut answers = Vec::new();
        for (model, samples) in &of_methods {
            let Some(own) = samples.iter().find(|own| own.task == sample.task) else { continue };
            let image = image(model, sample.task)?;
            if let Some(image) = &image {
                let caption = format!("{}\n{}\nIR: {}", model.method, own.prompt, own.response);
                grid.push(Cell { image: image.clone(), caption });
            }
            answers
                .push((model.method.clone(), Answer { reasoning: own.response.clone(), image, verdicts: Vec::new() }));
        }
        let truth = Some(sample.answer.clone()).filter(|answer| !answer.is_empty());
        cells.push(Shown { prompt: format!("{}: {}", sample.split, sample.prompt), truth, answers });
    }
    if !grid.is_empty() {
        // As many tasks in a row as fit, the methods of each beside each other.
        let methods = of_methods.len();
        save_grid(&grid, (methods * (COLUMNS / methods).max(1)) as u32, &folder.path().join("side_by_side.png"))?;
    }
    let note = "The first image of some tasks, drawn with the same random numbers by every method.".to_owned();
    Ok(Gallery { title: "Side by side".to_owned(), note, cells })
}
