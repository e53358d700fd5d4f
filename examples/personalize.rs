//! Personalisation before reinforcement learning: what a concept's tokens stand for, learned from photographs and conversations.
//!
//!     cargo run --release --example personalize -- --config CONFIG
//!     cargo run --release --example sync_r1 -- --config RECIPE --set policy.personalised=FOLDER
//!
//! One concept after the other goes through the stages of the config. The folder `runs/<name>` gets, for each of them, the metrics
//! of its epochs and UniCTokens' three files, a report, and `concepts.json`, from which a recipe begins
//! (`policy.personalised`). Relative paths in the config are relative to its file.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Parser;
use counterpoint::checkpoint::{Keep, Reader};
use counterpoint::config::{self, RunSection, typed};
use counterpoint::file::folder_of;
use counterpoint::image::RgbImage;
use counterpoint::metrics::{Metrics, MetricsLog};
use counterpoint::registry::BuildContext;
use counterpoint::toml::Table;
use counterpoint::{Error, Journal, Result, StopToken, device, toml};
use counterpoint_examples::{Done, OutputMode, Progress, Resume, RunFolder, report_runs, start, stop_on_signals};
use counterpoint_report::Arm;
use counterpoint_report::tensorboard::EventFile;
use counterpoint_showo::personalisation::{Asked, Base, Captioned, Lessons, Personalisation, Stage, StageConfig};
use counterpoint_showo::{Concept, ConceptFiles, ConceptTokens, Precision, ShowoPolicy};
use counterpoint_unictokens::{Concept as PersonalConcept, ConceptSet, Exchange, Picture};
use counterpoint_unifybench::Cells;
use serde::{Deserialize, Serialize};

/// What starts this.
const COMMAND: &str = "cargo run --release --example personalize --";
/// The config as it was resolved.
const RESOLVED: &str = "config.toml";
/// Metrics of an epoch.
const IMAGES: &str = "loss/generation";
const ANSWERS: &str = "loss/understanding";

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/personalize.toml");

#[derive(Parser)]
#[command(about = "Teaches a Show-o what the tokens of personal concepts stand for")]
struct Args {
    /// Data, model and stages.
    #[arg(long, default_value = CONFIG)]
    config: PathBuf,
    /// Overrides a key of the config, such as `--set run.name=miso`. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where to compute: `flex` (CPU), `cuda:N`, `wgpu` or another device by its name.
    #[arg(long, default_value = "flex")]
    device: String,
    /// Goes on with the newest run of this name; with `--resume=if-there` it begins one where there is none.
    #[arg(long, value_enum, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_value = "no", default_missing_value = "yes")]
    resume: Resume,
    /// Prints nothing but errors and the final table.
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
    /// Prints one JSON object per event, one per line.
    #[arg(long)]
    json: bool,
}

/// The config file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    run: RunSection,
    data: Data,
    /// As in a recipe, without `concepts`.
    policy: Table,
    #[serde(default)]
    tokens: Tokens,
    /// In their order; each has `stage` and what of [`StageConfig`] is to be another than UniCTokens'.
    stages: Vec<Table>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    root: PathBuf,
    /// Which concepts; all of them when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    concepts: Option<Vec<String>>,
    /// What a photograph shows; `{concept}` stands for the name.
    #[serde(default = "caption")]
    caption: String,
}

/// How many soft tokens a concept has.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tokens {
    understanding: usize,
    generation: usize,
    perception: usize,
}

impl Default for Tokens {
    fn default() -> Self {
        let Concept { understanding, generation, .. } = Concept::new("");
        Self { understanding, generation, perception: 8 }
    }
}

/// Metrics by epoch.
type History = Vec<(u64, Metrics)>;

/// A line of the final table: mean losses of the first and of the last epoch.
#[derive(Serialize)]
struct Learned {
    concept: String,
    stage: &'static str,
    epochs: usize,
    images: Option<[f64; 2]>,
    answers: Option<[f64; 2]>,
}

/// What was learned.
#[derive(Serialize)]
struct Outcome(Vec<Learned>);

impl Learned {
    fn new(concept: &str, stage: Stage, history: &[(u64, Metrics)]) -> Self {
        let of = |epoch: Option<&(u64, Metrics)>, what| epoch.and_then(|(_, metrics)| metrics.get(what));
        let ends = |what| Some([of(history.first(), what)?, of(history.last(), what)?]);
        Self {
            concept: concept.to_owned(),
            stage: stage.name(),
            epochs: history.len(),
            images: ends(IMAGES),
            answers: ends(ANSWERS),
        }
    }
}

impl Outcome {
    fn cells(&self) -> Cells {
        let header = ["concept", "stage", "epochs", "loss of images", "loss of answers"].map(str::to_owned).to_vec();
        let ends = |ends: Option<[f64; 2]>| ends.map_or("-".to_owned(), |[from, to]| format!("{from:.3} -> {to:.3}"));
        let rows = self.0.iter().map(|learned| {
            let Learned { concept, stage, epochs, images, answers } = learned;
            vec![concept.clone(), (*stage).to_owned(), epochs.to_string(), ends(*images), ends(*answers)]
        });
        Cells { header, rows: rows.collect() }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cells().fmt(f)
    }
}

fn caption() -> String {
    "A photo of {concept}.".into()
}

fn main() -> ExitCode {
    start(|args: &Args| OutputMode::of(args.quiet, args.json), run)
}

fn run(args: &Args, progress: &Progress) -> Result<Done> {
    let config = read(args)?;
    let text = toml::to_string(&config).map_err(|e| Error::config("cannot write the config as TOML").with_source(e))?;
    let stages = config.stages.iter().enumerate().map(|(i, table)| stage(i, table)).collect::<Result<Vec<_>>>()?;
    let twice = |(i, (stage, _)): &(usize, &(Stage, StageConfig))| stages[..*i].iter().any(|(other, _)| other == stage);
    if let Some((i, (stage, _))) = stages.iter().enumerate().find(twice) {
        return Err(Error::config(format!("stages[{i}]: expected every stage once, got `{}` again", stage.name())));
    }
    if stages.is_empty() {
        return Err(Error::config("stages: expected 1 or more, got none"));
    }
    let place = folder_of(&args.config);
    let device = device::named(&args.device)?;
    let context = BuildContext::new(device.clone(), place.to_owned());
    let set = ConceptSet::open(&place.join(&config.data.root))?;
    let names = config.data.concepts.as_deref().unwrap_or(set.names());
    let concepts = names.iter().map(|name| set.concept(name)).collect::<Result<Vec<_>>>()?;
    let mut photographs = Photographs::default();
    let lessons = concepts.iter().map(|concept| photographs.lessons(&set, concept, &config.data.caption));
    let lessons = lessons.collect::<Result<Vec<_>>>()?;
    let base = Base::load(&ShowoPolicy::model_files(&config.policy, &context)?, &device, Precision::F32)?;

    let folder = RunFolder::of(&config.run, args.resume)?.made(&config.run)?;
    if folder.has(RESOLVED) && folder.read(RESOLVED)? != text {
        return Err(Error::checkpoint(format!(
            "{}: expected the config that the run was begun with, got another; resume with that, or start a new run",
            folder.path().join(RESOLVED).display()
        )));
    }
    folder.write(RESOLVED, &text)?;
    let stop = stop_on_signals(progress)?;
    let (mut learned, mut arms, mut listed) = (Vec::new(), Vec::new(), Vec::new());
    for (PersonalConcept { name, .. }, lessons) in concepts.iter().zip(&lessons) {
        let mut tokens: Option<ConceptTokens> = None;
        for (stage, settings) in &stages {
            let concept = grown(name, *stage, config.tokens);
            let start = base.begin(*stage, settings, concept, lessons, tokens.take(), config.run.seed)?;
            let training = Personalisation::new(&base, *stage, settings, start, lessons, config.run.seed)?;
            let at = folder.path().join(name).join(stage.name());
            let what = format!("{name}, {}", stage.name());
            let started = SystemTime::now();
            let Some((rows, history)) = train(training, settings, &at, &what, &stop, progress)? else {
                progress.stopped_runs(&format!("{COMMAND} --config {} --resume", args.config.display()));
                return Ok(Done::Stopped);
            };
            EventFile::new(&at, started, &history)?;
            learned.push(Learned::new(name, *stage, &history));
            arms.push(Arm::new(&what, [history.as_slice()]));
            tokens = Some(rows);
        }
        if let (Some(tokens), Some((stage, settings))) = (tokens, stages.last()) {
            let Concept { name, understanding, generation, perception } = tokens.concept;
            let files = Path::new(&name).join(stage.name());
            listed.push(ConceptFiles { name, files, epoch: settings.epochs, understanding, generation, perception });
        }
    }
    ConceptFiles::list(&folder.path().join("concepts.json"), &listed)?;
    let table = Outcome(learned);
    let note = "cross-entropy in nats per token, mean of the first and of the last epoch";
    report_runs(&folder, &device, &text, arms, &[("What was learned", table.cells(), note)], Vec::new())?;
    progress.table(&table, note);
    progress.done(folder.path());
    Ok(Done::Completed)
}

/// Runs the epochs that are missing, and writes the rows after the last one. `None` when it was stopped.
fn train(
    mut training: Personalisation<'_>,
    settings: &StageConfig,
    folder: &Path,
    what: &str,
    stop: &StopToken,
    progress: &Progress,
) -> Result<Option<(ConceptTokens, History)>> {
    let mut journal = Journal::new(folder).with_keep(Keep { last: 2, best: false });
    if let Some(newest) = journal.latest()? {
        let checkpoint = Reader::open(&newest)?;
        training.load(checkpoint.dir(), checkpoint.step() as u32)?;
        journal.go_on_from(&newest, checkpoint.step())?;
    }
    journal.open(u64::from(training.epoch()))?;
    let shown = progress.stage(what, u64::from(settings.epochs));
    (0..training.epoch()).for_each(|_| shown.inc());
    while training.epoch() < settings.epochs {
        if stop.is_set() {
            return Ok(None);
        }
        let epoch = u64::from(training.epoch());
        let begun = std::time::Instant::now();
        let losses = training.train_epoch()?;
        let mut metrics = Metrics::new();
        metrics.insert("loss", losses.loss);
        for (name, loss) in [(IMAGES, losses.image), (ANSWERS, Some(losses.answer))] {
            if let Some(loss) = loss {
                metrics.insert(name, loss);
            }
        }
        metrics.insert("time/update", begun.elapsed().as_secs_f64());
        journal.log(epoch, &metrics)?;
        journal.checkpoint(epoch + 1, None, |dir| training.save(dir))?;
        shown.inc();
    }
    let tokens = training.tokens()?;
    tokens.save(folder, settings.epochs)?;
    Ok(Some((tokens, MetricsLog::read(&folder.join("metrics.jsonl"))?)))
}

/// The config file with `--set`.
fn read(args: &Args) -> Result<Config> {
    let config: Config = config::load(&args.config, &args.set)?;
    if !config.data.caption.contains("{concept}") {
        let caption = &config.data.caption;
        return Err(Error::config(format!("data.caption: expected a text with {{concept}} in it, got {caption:?}")));
    }
    Ok(config)
}

/// An entry of `stages`: what it leaves out is as in UniCTokens' script of that stage.
fn stage(at: usize, table: &Table) -> Result<(Stage, StageConfig)> {
    #[derive(Deserialize)]
    struct Kind {
        stage: Stage,
    }
    let section = format!("stages[{at}]");
    let Kind { stage } = typed(&section, table)?;
    let mut whole = Table::try_from(StageConfig::of(stage)).map_err(|e| Error::config(e.to_string()))?;
    whole.extend(table.iter().filter(|(key, _)| *key != "stage").map(|(key, value)| (key.clone(), value.clone())));
    let settings: StageConfig = typed(&section, &whole)?;
    settings.validate().map_err(|e| e.at(section))?;
    Ok((stage, settings))
}

/// The concept with the tokens that it has in this stage.
fn grown(name: &str, stage: Stage, tokens: Tokens) -> Concept {
    let Tokens { understanding, generation, perception } = tokens;
    let mut concept = Concept { name: name.to_owned(), understanding, generation: 0, perception: 0 };
    if stage != Stage::Understanding {
        concept.generation = generation;
    }
    if stage == Stage::Perception {
        concept.perception = perception;
    }
    concept
}

/// Photographs that were decoded: many questions are about one.
#[derive(Default)]
struct Photographs(HashMap<PathBuf, Arc<RgbImage>>);

impl Photographs {
    fn load(&mut self, photo: &Picture) -> Result<Arc<RgbImage>> {
        if let Some(known) = self.0.get(&photo.path) {
            return Ok(known.clone());
        }
        let image = photo.load()?;
        self.0.insert(photo.path.clone(), image.clone());
        Ok(image)
    }

    /// The photographs, captions and questions of a concept.
    fn lessons(&mut self, set: &ConceptSet, concept: &PersonalConcept, caption: &str) -> Result<Lessons> {
        let found = set.lessons(&concept.name)?;
        let caption = caption.replace("{concept}", &concept.token());
        let mut lessons = Lessons { class: concept.class.clone(), ..Lessons::default() };
        for photo in &found.photographs {
            lessons.photographs.push(self.load(photo)?);
        }
        for photo in &found.painted {
            lessons.captioned.push(Captioned { image: self.load(photo)?, caption: caption.clone() });
        }
        for (photo, Exchange { query, answer }) in found.asked {
            lessons.asked.push(Asked { image: self.load(&photo)?, question: query, answer });
        }
        Ok(lessons)
    }
}
