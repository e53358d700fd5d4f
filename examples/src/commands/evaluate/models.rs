//! Which models are compared: what the command line names.

use std::path::{Path, PathBuf};

use clap::Parser;
use counterpoint::checkpoint::latest;
use counterpoint::config::{EvaluationSection, RunConfig, load};
use counterpoint::file::folder_of;
use counterpoint::{Error, Result};
use serde::Deserialize;

use crate::OutputMode;
use crate::args::built_in;

const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sync_r1.toml");
const MEASURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/evaluate.toml");
/// The model as it begins, in tables.
const UNTRAINED: &str = "untrained";

/// Options of the evaluation.
#[derive(Debug, Parser)]
pub struct EvaluateArgs {
    /// The recipe's config; relative paths in it, and in those of its runs, are relative to its folder.
    #[arg(long, default_value = RECIPE)]
    config: PathBuf,
    /// Overrides a key of every model's config, such as `--set evaluation.candidates=8`. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of what is drawn. Default: each run's own.
    #[arg(long)]
    seed: Option<u64>,
    /// Where to compute: `flex` (CPU), `cuda:N`, `wgpu` or another device by its name.
    #[arg(long, default_value = "flex")]
    pub(super) device: String,
    /// Prints nothing but errors and the tables.
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
    /// Prints one JSON object per event, one per line, and nothing else on standard output.
    #[arg(long)]
    json: bool,
    /// What is measured: a file with the table `[evaluation]`, and `[[conditions]]` to ask the same in several ways; its paths are
    /// relative to the recipe's config.
    #[arg(long, value_name = "FILE", default_value = MEASURES)]
    measures: PathBuf,
    /// Leaves the model as it begins out of the comparison.
    #[arg(long)]
    no_untrained: bool,
    /// Runs of the recipe, or checkpoints of them, with a name for the table in front or the run's own without one; several of one name
    /// are seeds of one method.
    #[arg(value_name = "[NAME=]RUN")]
    runs: Vec<String>,
}

impl EvaluateArgs {
    /// Whom it talks to.
    pub fn output(&self) -> OutputMode {
        OutputMode::of(self.quiet, self.json)
    }

    /// The recipe, and the folder that its paths are relative to.
    pub(super) fn recipe(&self) -> Result<(RunConfig, PathBuf)> {
        if self.config == Path::new(RECIPE) {
            built_in(&self.config, "--config")?;
        }
        let named = [vec!["run.name=evaluation".to_owned()], self.set.clone()].concat();
        Ok((RunConfig::load(&self.config, &named)?, folder_of(&self.config).to_owned()))
    }
}

/// One model to be evaluated.
pub struct Model {
    pub method: String,
    pub config: RunConfig,
    /// None for the model as it begins.
    pub checkpoint: Option<PathBuf>,
}

/// What the file of measures says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measures {
    evaluation: EvaluationSection,
    /// The same evaluation several times, each time otherwise; once as it is when there are none.
    #[serde(default)]
    conditions: Vec<Condition>,
}

/// A way to ask the same.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Its folder.
    pub id: String,
    /// Its name in titles.
    pub name: String,
    /// Keys of every model's config that it changes.
    set: Vec<String>,
}

impl Measures {
    /// The file that `args` name.
    pub fn load(args: &EvaluateArgs) -> Result<Self> {
        if args.measures == Path::new(MEASURES) {
            built_in(&args.measures, "--measures")?;
        }
        let mut measures: Self = load(&args.measures, &[])?;
        for (i, Condition { id, .. }) in measures.conditions.iter().enumerate() {
            check_name(id).map_err(|e| e.at(format!("conditions[{i}].id")))?;
            if measures.conditions[..i].iter().any(|other| other.id == *id) {
                return Err(Error::config(format!("conditions[{i}].id: expected every id once, got `{id}` again")));
            }
        }
        if measures.conditions.is_empty() {
            measures.conditions.push(Condition::default());
        }
        Ok(measures)
    }

    /// The ways to ask, one or more; a single one may have no name.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

impl Condition {
    /// `title`, and under which condition.
    pub fn titled(&self, title: &str) -> String {
        [title, &self.name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// `note` after the name.
    pub fn noted(&self, note: &str) -> String {
        [self.name.as_str(), note].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
    }
}

/// The models that `args` name, asked as `condition` says, those that they began from first.
pub fn models(
    args: &EvaluateArgs,
    recipe: &RunConfig,
    measures: &Measures,
    condition: &Condition,
) -> Result<Vec<Model>> {
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
        trained.push(Model { method, config: overridden(&config, args, condition)?, checkpoint: Some(checkpoint) });
    }
    let mut models = Vec::new();
    if !args.no_untrained || trained.is_empty() {
        let mut begun: Vec<RunConfig> = trained.iter().map(|model| model.config.clone()).collect();
        if begun.is_empty() {
            let mut config = recipe.clone();
            config.evaluation = measures.evaluation.clone();
            begun.push(overridden(&config, args, condition)?);
        }
        // Once for each seed.
        let seeds = unique(begun.iter().map(|config| config.run.seed));
        let of_seed = |seed| begun.iter().find(|config| config.run.seed == seed).cloned();
        let untrained = seeds.into_iter().filter_map(of_seed);
        models.extend(untrained.map(|config| Model { method: UNTRAINED.to_owned(), config, checkpoint: None }));
    }
    models.extend(trained);
    let place = |model: &Model| (model.method.clone(), model.config.run.seed);
    for (i, model) in models.iter().enumerate() {
        if models[..i].iter().any(|other| place(other) == place(model)) {
            return Err(Error::config(format!(
                "expected every seed of a method once, got two runs of seed {} as `{}`; name one of them otherwise (NAME=RUN)",
                model.config.run.seed, model.method
            )));
        }
    }
    Ok(models)
}

/// `config` with the keys of `--set` and of `condition`, and with nothing in it that is not about what is drawn and judged.
fn overridden(config: &RunConfig, args: &EvaluateArgs, condition: &Condition) -> Result<RunConfig> {
    let mut set = [&args.set[..], &condition.set].concat();
    set.extend(args.seed.map(|seed| format!("run.seed={seed}")));
    set.extend(["run.name=evaluation", "run.output=runs"].map(str::to_owned));
    RunConfig::from_toml(&config.to_toml()?, &set)
}

/// The run's folder and the checkpoint that `path` is, or its newest.
fn found(path: &Path) -> Result<(PathBuf, PathBuf)> {
    if path.join("manifest.json").is_file() {
        // A bare name has no folders around it.
        let whole = std::path::absolute(path).map_err(|e| Error::io("cannot find", path, e))?;
        let run = whole.parent().and_then(Path::parent).unwrap_or(&whole);
        return Ok((run.to_owned(), whole.clone()));
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

/// Each of `items` once, in the order in which they come first.
pub fn unique<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.fold(Vec::new(), |mut known, item| {
        if !known.contains(&item) {
            known.push(item);
        }
        known
    })
}
