//! `sync_r1_full.toml` for what was written here.

use std::path::Path;

use counterpoint::config::RunConfig;
use counterpoint::toml::{self, Table, Value};
use counterpoint::{Error, Result};
use counterpoint_unictokens::{ConceptSet, PersonalTasksConfig};

const FULL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sync_r1_full.toml");

/// The sizes of a run that takes minutes; everything else is the full recipe's.
const SMALL: [&str; 16] = [
    "run.name=published",
    "evaluation.candidates=1",
    "evaluation.max_tasks=2",
    "evaluation.every=2",
    "sampler.text.max_new_tokens=12",
    "sampler.image.timesteps=8",
    "sampler.image.checkpoint_step=2",
    "rewards.tier.weights=towers/ernie",
    "rewards.ber.weights=towers/blip2",
    "rewards.der.weights=towers/dinov2",
    "rewards.fer.detector=towers/mtcnn",
    "rewards.fer.weights=towers/facenet",
    "trainer.steps=4",
    "trainer.group_size=3",
    "trainer.checkpoint_every=2",
    "trainer.chunk.memory_mib=1024",
];

/// The recipe for the concepts in `data`.
pub(crate) fn of(data: &Path) -> Result<RunConfig> {
    let root = data.canonicalize().map_err(|e| Error::io("cannot find", data, e))?;
    let mut config = RunConfig::load(Path::new(FULL), &SMALL.map(str::to_owned))?;
    for table in config.rewards.values_mut() {
        table.remove("device");
    }
    config.data.settings.insert("root".to_owned(), text(&root.display().to_string()));

    let policy = &mut config.policy.settings;
    policy.remove("weights");
    for (key, folder) in [("model", "showo"), ("image_tokenizer", "magvitv2"), ("tokenizer", "phi-1_5")] {
        policy.insert(key.to_owned(), text(folder));
    }
    let set = ConceptSet::open(&root)?;
    let fresh = |name: &String| {
        let words = Value::Array(vec![text(&set.concept(name)?.class)]);
        Ok(Value::Table(Table::from_iter([("name".to_owned(), text(name)), ("words".to_owned(), words)])))
    };
    policy.insert("concepts".to_owned(), Value::Array(set.names().iter().map(fresh).collect::<Result<_>>()?));
    // What may be wrong with the data is said now.
    PersonalTasksConfig::new(&root).init(Path::new("."))?;
    Ok(config)
}

/// The config of `personalize` that goes before `recipe`: two short stages.
pub(crate) fn personalisation(recipe: &RunConfig) -> String {
    let mut policy = recipe.policy.settings.clone();
    policy.retain(|key, _| ["model", "image_tokenizer", "tokenizer"].contains(&key));
    let stage = |stage: &str, epochs: i64| {
        let entries = [("stage", text(stage)), ("epochs", Value::Integer(epochs))];
        Value::Table(entries.map(|(key, value)| (key.to_owned(), value)).into_iter().collect())
    };
    let root = recipe.data.settings.get("root").cloned().unwrap_or_else(|| text("."));
    let stages = vec![stage("understanding", 3), stage("generation", 3)];
    toml::toml! {
        [run]
        name = "personalised"
    }
    .into_iter()
    .chain([
        ("data".to_owned(), Value::Table(Table::from_iter([("root".to_owned(), root)]))),
        ("policy".to_owned(), Value::Table(policy)),
        ("stages".to_owned(), Value::Array(stages)),
    ])
    .collect::<Table>()
    .to_string()
}

/// The measures of `evaluate`: the towers that were written, and no judge.
pub(crate) fn measures() -> String {
    toml::toml! {
        [evaluation]
        kind = "benchmark"
        candidates = 2

        [evaluation.sampler]
        text = { top_k = 1 }

        [evaluation.likeness.dinov2]
        kind = "der"
        weights = "towers/dinov2"

        [evaluation.alignment.blip2]
        kind = "ber"
        weights = "towers/blip2"

        [evaluation.faces.face]
        kind = "fer"
        detector = "towers/mtcnn"
        weights = "towers/facenet"
    }
    .to_string()
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}
