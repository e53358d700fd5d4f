//! UnifyBench++: recognition, questions, plain, knowledge-driven and dense generation of a model, trained or not.

mod models;
mod side_by_side;

use std::path::Path;

use burn::tensor::Device;
use counterpoint::checkpoint::Reader;
use counterpoint::{Error, Judged, Result, Trainer, device};
use counterpoint_report::Gallery;
use counterpoint_unifybench::{Cells, Method, MethodTable};
use serde::{Deserialize, Serialize};

pub use self::models::EvaluateArgs;
use self::models::{Condition, Measures, Model, models, unique};
use self::side_by_side::side_by_side;
use crate::{Progress, RunFolder, Stage, evaluation_sampler, evaluator, parts, report_runs};

const SAMPLES: &str = "samples.json";
const DONE: &str = "model.json";
const TABLE: &str =
    "means over tasks and runs; in parentheses the 95 % bootstrap interval over tasks, of several runs their deviation";
const DIFFERENCES: &str = "95 % bootstrap interval over runs and tasks; p of the paired t-test over runs, Holm's correction over a \
                           method's measures";

/// What some samples are of: where all of it is the same they are not drawn again.
#[derive(PartialEq, Serialize, Deserialize)]
struct Done {
    config: String,
    /// The checkpoint's list of files with their hashes.
    checkpoint: Option<String>,
}

/// Compares the models that `args` name and leaves tables, images and a report in the evaluation's folder.
///
/// # Errors
/// The first thing that went wrong; what was drawn before is kept.
pub fn run(args: &EvaluateArgs, progress: &Progress) -> Result<()> {
    let device = device::named(&args.device)?;
    let (recipe, base) = args.recipe()?;
    let measures = Measures::load(args)?;
    let asked = measures.conditions().iter().map(|condition| models(args, &recipe, &measures, condition));
    let asked = asked.collect::<Result<Vec<_>>>()?;
    // An evaluation that was stopped, or lacks answers of a judge, is gone on with; nothing of another one is taken.
    let folder = RunFolder::at(recipe.run.output.join(&recipe.run.name))?;

    let (mut tables, mut galleries) = (Vec::new(), Vec::new());
    for (condition, models) in measures.conditions().iter().zip(&asked) {
        let own = RunFolder::at(folder.path().join(&condition.id))?;
        let compared = compare(models, condition, &base, &device, &own, progress)?;
        tables.extend(compared.tables);
        galleries.push(compared.gallery);
    }
    let tables: Vec<_> = tables.iter().map(|(title, cells, note)| (title.as_str(), cells.clone(), *note)).collect();
    report_runs(&folder, &device, &asked[0][0].config.to_toml()?, Vec::new(), &tables, galleries)?;
    progress.done(folder.path());
    Ok(())
}

/// What the report shows of one condition: tables with title and note, and images.
struct Compared {
    tables: Vec<(String, Cells, &'static str)>,
    gallery: Gallery,
}

/// Evaluates `models`, leaves samples and tables in `folder` and prints the tables.
fn compare(
    models: &[Model],
    condition: &Condition,
    base: &Path,
    device: &Device,
    folder: &RunFolder,
    progress: &Progress,
) -> Result<Compared> {
    let mut judged: Vec<Vec<Judged>> = Vec::new();
    for model in models {
        let own = RunFolder::at(folder.path().join(&model.method).join(format!("seed-{}", model.config.run.seed)))?;
        let samples = evaluate(model, condition, base, device, &own, progress);
        judged.push(samples.map_err(|e| e.at(condition.titled(&model.method)))?);
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
    let mut tables = vec![(condition.titled("Evaluation"), table.cells(), TABLE)];
    if !table.differences.is_empty() {
        folder.write("differences.md", &table.difference_cells().to_string())?;
        tables.push((condition.titled("Differences"), table.difference_cells(), DIFFERENCES));
    }
    let gallery = side_by_side(condition.titled("Side by side"), folder, models, &judged, &names)?;
    for (_, cells, note) in &tables {
        progress.table(cells, &condition.noted(note));
    }
    for missing in table.missing() {
        progress.note(&format!("{missing} have a score; the same command asks for the others"));
    }
    Ok(Compared { tables, gallery })
}

/// The samples of `model`, from `folder` where they are there and complete.
fn evaluate(
    model: &Model,
    condition: &Condition,
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
    let stage: Stage = progress.stage(&condition.titled(&format!("{method}, seed {}", config.run.seed)), tasks);
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
